package hiring

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
)

// incidents brings the open incidents in line with what the fold and the write show now.
func (v *derivation) incidents() {
	s, h := v.s, &v.s.Head
	var few [4]wantedIncident
	wanted := few[:0]
	for i := range h.Suspects {
		k := h.Suspects[i].Kind
		grace := v.rules.Bounds.Grace
		switch k {
		default: // every other suspicion waits for what may still be on its way
		case IncidentContradicted, IncidentMissingField:
			grace = 0
		case IncidentFieldDivergence:
			written, yes := v.judged(&h.Suspects[i])
			if !yes {
				continue
			}
			if written {
				grace = 0
			}
		}
		wanted = append(wanted, wantedIncident{Suspect: h.Suspects[i], grace: grace})
	}
	wanted = v.overdue(wanted)
	if w := &s.Write; w.State == WriteDone && (w.Outcome == OutcomeBlocked || w.Outcome == OutcomeRefused || w.Outcome == OutcomeFailed) && (!s.Desired.Empty() || s.Target.Cause != "") {
		wanted = append(wanted, wantedIncident{Suspect: Suspect{Kind: IncidentWriteBlocked, Element: w.Detail, Subject: s.DesiredCause.ID, Epoch: h.Epoch, Eff: w.Since}})
	}
	if v.unwritable {
		wanted = append(wanted, wantedIncident{Suspect: Suspect{
			Kind: IncidentUnmapped, Element: string(h.Stage), Subject: h.EnteredEvent, Epoch: h.Epoch, Eff: h.EnteredAt,
			Values: []IncidentValue{{System: ControlSystem, Value: string(h.Stage), At: h.EnteredAt}},
		}})
	}
	if s.Oversize {
		wanted = append(wanted, wantedIncident{Suspect: Suspect{Kind: IncidentStateOversize, Subject: s.Application}})
	}
	wanted = v.adrift(v.silent(v.undelivered(wanted)))
	v.reconcile(wanted)
}

type wantedIncident struct {
	Suspect
	grace time.Duration
	id    string
}

func (v *derivation) reconcile(wanted []wantedIncident) {
	s := v.s
	if len(wanted) == 0 && len(s.Incidents) == 0 {
		return
	}
	for i := range wanted {
		wanted[i].id = s.incidentID(&wanted[i].Suspect)
	}
	slices.SortFunc(wanted, func(a, b wantedIncident) int { return strings.Compare(a.id, b.id) })
	wanted = slices.CompactFunc(wanted, func(a, b wantedIncident) bool { return a.id == b.id })

	if slices.EqualFunc(wanted, s.Incidents, func(w wantedIncident, o OpenIncident) bool { return w.id == o.ID && o.OpenedAt != 0 }) {
		return
	}
	next := make([]OpenIncident, 0, len(wanted))
	was := s.Incidents
	for i := range wanted {
		w := &wanted[i]
		for len(was) > 0 && was[0].ID < w.id {
			v.gone(&was[0])
			was = was[1:]
		}
		open := OpenIncident{ID: w.id, Kind: w.Kind, Element: w.Element, Subject: w.Subject, Epoch: w.Epoch, FirstSeen: v.now, Owner: v.ownerOf(&w.Suspect)}
		if len(was) > 0 && was[0].ID == w.id {
			open = was[0]
			was = was[1:]
		}
		if open.OpenedAt == 0 {
			if ready := open.FirstSeen.Add(w.grace); v.now >= ready {
				open.OpenedAt = v.now
				v.d.Incidents = append(v.d.Incidents, Incident{
					ID: w.id, Kind: w.Kind, Change: IncidentOpened, Element: w.Element, Subject: w.Subject, Epoch: w.Epoch, Values: w.Values,
					Leader: v.leader(&w.Suspect), Rule: v.ruleOf(w.Kind, w.Element), Owner: open.Owner, OpenedAt: v.now,
				})
			} else {
				v.at(ready)
			}
		}
		next = append(next, open)
	}
	for i := range was {
		v.gone(&was[i])
	}
	s.Incidents = next
}

// incidentID returns the id of a suspicion's incident: the one it has in the state, or its first.
func (s *State) incidentID(d *Suspect) string {
	for i := range s.Incidents {
		if o := &s.Incidents[i]; o.Kind == d.Kind && o.Element == d.Element && o.Subject == d.Subject && o.Epoch == d.Epoch {
			return o.ID
		}
	}
	return IncidentID(s.Application, d.Epoch, d.Kind, d.Element, d.Subject)
}

// gone closes an incident that no longer stands: resolved when it was true and ended, retracted when a refold
// shows that it never was (rule B9).
func (v *derivation) gone(o *OpenIncident) {
	if o.OpenedAt == 0 {
		return
	}
	change := IncidentResolved
	if v.refolded && fromFold(o.Kind) && !v.derived(o) {
		change = IncidentRetracted
		for i := range v.raised {
			r := &v.raised[i]
			if r.Kind == o.Kind && r.Element == o.Element && r.Subject == o.Subject && r.Epoch == o.Epoch {
				change = IncidentResolved
				break
			}
		}
	}
	v.d.Incidents = append(v.d.Incidents, Incident{
		ID: o.ID, Kind: o.Kind, Change: change, Element: o.Element, Subject: o.Subject, Epoch: o.Epoch, Rule: v.ruleOf(o.Kind, o.Element), Owner: o.Owner,
		OpenedAt: o.OpenedAt, ClosedAt: v.now,
	})
}

// derived reports whether an incident of a kind that the fold suspects follows the clock or the write all the same: an
// element that missed its deadline, a canonical stage that the ATS has no name for or has never shown.
func (v *derivation) derived(o *OpenIncident) bool {
	switch o.Kind {
	default:
		return false
	case IncidentFieldDivergence:
		return o.Element == facetStage
	case IncidentUnmapped:
		return v.b.Stage(Stage(o.Element)) != nil
	case IncidentMissingField:
		r := v.b.element(o.Element)
		return r != nil && !r.Mandatory
	}
}

// fromFold reports whether a kind is a suspicion of the fold; the others follow the clock or the write.
func fromFold(k IncidentKind) bool {
	return k != IncidentStateOversize && k != IncidentStuck && k != IncidentDueSoon && k != IncidentWriteBlocked
}

// leader names the system whose value stands.
func (v *derivation) leader(s *Suspect) string {
	if len(s.Values) > 0 {
		return s.Values[0].System
	}
	return ControlSystem
}

// ruleOf names the rule that decides: of an element's disagreement its own.
func (v *derivation) ruleOf(k IncidentKind, element string) string {
	if k == IncidentFieldDivergence {
		if r := v.b.element(element); r != nil {
			return r.Conflict.String()
		}
	}
	return k.String()
}

// IncidentOwner settles what is no stage's owner's to settle.
const IncidentOwner = "recruiting operations"

func (v *derivation) ownerOf(s *Suspect) string {
	switch s.Kind {
	default:
	case IncidentStuck, IncidentDueSoon, IncidentForbiddenJump, IncidentUnauthorised, IncidentUnconsumedResult, IncidentVerdictOverridden:
		if rule := v.b.Stage(v.s.Head.Stage); rule != nil {
			return rule.Owner
		}
	}
	return IncidentOwner
}

// IncidentID names an incident by what it is about, never by its values (rule B9).
func IncidentID(application string, epoch int32, k IncidentKind, element, subject string) string {
	return digestText(application, strconv.Itoa(int(epoch)), k.String(), element, subject)
}

// digestText returns 32 hex digits that name parts.
func digestText(parts ...string) string {
	var buf [256]byte
	b := buf[:0]
	for _, p := range parts {
		b = append(b, p...)
		b = append(b, 0)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}
