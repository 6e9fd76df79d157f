package hiring

import "slices"

// closing keeps track of when the application closed. Once it has been closed and silent for longer than the
// horizon, only the base stays (rule B10); what came in later than that still has its time to be put in order.
func (t *turn) closing(b *Bundle) {
	s := t.s
	if !b.closed(s.Head.Stage) {
		s.ClosedAt = 0
		return
	}
	if s.ClosedAt == 0 {
		s.ClosedAt = t.now
		if due := t.now.Add(t.rules.Bounds.Horizon); s.NextDue == 0 || due < s.NextDue {
			s.NextDue = due
		}
	}
}

// timer handles the clock having reached NextDue.
func (t *turn) timer() {
	s := t.s
	t.touched = true
	if s.ClosedAt != 0 && t.now >= t.prior.UpdatedAt.Add(t.rules.Bounds.Horizon) && len(s.Tail)+len(s.Ring) > 0 {
		t.absorbFirst(len(s.Tail))
		s.Ring, s.Echoes, s.Tail = nil, nil, nil
		t.d.Reason = ReasonCompacted
	}
}

// timerReason names what a firing changed.
func (t *turn) timerReason(e *Event) Reason {
	d, s, p := &t.d, t.s, t.prior
	if d.Reason == ReasonCompacted {
		return ReasonCompacted
	}
	switch {
	case t.migrated():
		return ReasonMigrated
	case d.opened(IncidentStuck):
		return ReasonSLABreached
	case d.opened(IncidentDueSoon):
		return ReasonSLADueSoon
	case e.Type == EventRejudge:
		return ReasonRejudged
	case len(d.Incidents) > 0:
		return ReasonGraceElapsed
	case p.Head.EnteredUntil != 0 && p.UpdatedAt < p.Head.EnteredUntil && t.now >= p.Head.EnteredUntil:
		return ReasonOverrideExpired
	case len(d.Orders) > 0:
		return ReasonOrdered
	case s.Paused:
		return ReasonPaused
	case p.Paused:
		return ReasonResumed
	case slices.ContainsFunc(p.Head.Holds, func(o Hold) bool { return o.holds(p.UpdatedAt) && !o.holds(t.now) }):
		return ReasonHoldExpired
	case s.DesiredRevision != p.DesiredRevision:
		return ReasonSettleElapsed
	case p.Write.State == WriteDeferred && s.Write.State == WriteSent:
		return ReasonDeferElapsed
	case s.RefreshOpen && !p.RefreshOpen:
		return ReasonRefreshDue
	}
	return ReasonGraceElapsed
}

// opened reports whether the decision opened an incident of a kind.
func (d *Decision) opened(k IncidentKind) bool {
	for i := range d.Incidents {
		if d.Incidents[i].Kind == k && d.Incidents[i].Change == IncidentOpened {
			return true
		}
	}
	return false
}
