package hiring

import "time"

// after returns when a duration has passed since t: of working time if it is counted so.
func (b *Bundle) after(t Micros, d time.Duration, business bool) Micros {
	if business {
		return b.Calendar.Add(t, d)
	}
	return t.Add(d)
}

// Due returns when the SLA of the present stage is breached, and when its owner is warned; 0 = never. An edge may ask
// for more than the stage it leads to. b is the bundle as it reads for the application, see For.
func (b *Bundle) Due(h *Head) (breach, warn Micros) {
	rule := b.Stage(h.Stage)
	if rule == nil {
		return 0, 0
	}
	sla, business := rule.SLA, rule.Business
	if sla > 0 {
		breach = b.after(h.EnteredAt, sla, business)
	}
	if e := b.Edge(h.EnteredFrom, h.Stage); e != nil && e.SLA > 0 && !rule.Closed {
		if at := b.after(h.EnteredAt, e.SLA, e.Business); breach == 0 || at < breach {
			breach, sla, business = at, e.SLA, e.Business
		}
	}
	if breach != 0 && rule.WarnBefore > 0 {
		warn = b.after(h.EnteredAt, max(0, sla-rule.WarnBefore), business && rule.Business)
	}
	return breach, warn
}

// overdue adds what the owner of the present stage is told: that its SLA is due soon, or breached. Either ends with the
// stage. The evidence is the stage and since when it has been so.
func (v *derivation) overdue(wanted []wantedIncident) []wantedIncident {
	h := &v.s.Head
	if h.Deleted || h.Anonymized {
		return wanted
	}
	breach, warn := v.b.Due(h)
	if breach == 0 {
		return wanted
	}
	v.at(breach)
	kind, due := IncidentStuck, breach
	switch {
	case v.now >= breach:
	case warn != 0 && v.now >= warn:
		kind, due = IncidentDueSoon, warn
	default:
		v.at(warn)
		return wanted
	}
	return append(wanted, wantedIncident{Suspect: Suspect{
		Kind: kind, Element: string(h.Stage), Subject: h.EnteredEvent, Epoch: h.Epoch, Eff: due,
		Values: []IncidentValue{{System: ControlSystem, Value: string(h.Stage), At: h.EnteredAt}},
	}})
}
