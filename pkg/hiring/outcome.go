package hiring

import "time"

var outcomeReasons = [...]Reason{
	OutcomeAttempt: ReasonAttempted, OutcomeConfirmed: ReasonConfirmed, OutcomeAlready: ReasonAlready, OutcomeSuperseded: ReasonSuperseded,
	OutcomeBlocked: ReasonBlocked, OutcomeRefused: ReasonRefused, OutcomeNotApplicable: ReasonNotApplicable, OutcomeDeferred: ReasonDeferred,
	OutcomeShadowed: ReasonShadowed, OutcomeFailed: ReasonFailed,
}

// outcome folds what the worker says: it moves the write on, and what the ATS showed is a snapshot.
func (t *turn) outcome(e *Event) {
	o, s := e.Outcome, t.s
	t.d.Reason = ReasonObsolete
	if o == nil || int(o.Outcome) >= len(outcomeReasons) {
		return
	}
	switch {
	case o.Kind == CommandRefresh:
		t.d.Reason = ReasonRefreshed
		s.RefreshOpen = false
		if o.Outcome == OutcomeDeferred {
			s.RefreshDue = t.notBefore(o.Until)
		}
	case o.Revision == s.DesiredRevision:
		t.d.Reason = outcomeReasons[o.Outcome]
		t.advance(o)
	}
	reason := t.d.Reason
	if o.Outcome == OutcomeConfirmed {
		t.echo(o)
	}
	if o.Observed != nil && o.Observed.Version != 0 && s.System != "" {
		t.observed(e, o)
	}
	t.d.Reason = reason
	t.d.EffectiveAt = o.FinishedAt
}

// advance moves the write state of the newest revision.
func (t *turn) advance(o *Outcome) {
	s := t.s
	w := &s.Write
	if w.State == WriteDone && o.Outcome == OutcomeAttempt {
		return
	}
	w.Since, w.Due = t.now, 0
	switch o.Outcome {
	case OutcomeAttempt:
		w.State = WriteAttempted
	case OutcomeDeferred:
		w.State, w.Due, w.Detail = WriteDeferred, t.notBefore(o.Until), o.Detail
	case OutcomeConfirmed, OutcomeAlready:
		w.State, w.Outcome, w.Detail = WriteDone, o.Outcome, ""
		if s.Target.Cause == "" || s.Desired.Stage != "" || s.Desired.Status != StatusUnspecified {
			w.Emissions = 0 // while a target still waits to settle, its elements alone end nothing
		}
		s.ConfirmedRevision, s.Confirmed = o.Revision, o.Written
		s.Confirmed.Version = o.VersionAfter
	case OutcomeSuperseded:
		w.State, w.Outcome, w.Detail = WriteDone, o.Outcome, o.Detail
		t.again()
	case OutcomeBlocked, OutcomeRefused, OutcomeNotApplicable, OutcomeShadowed, OutcomeFailed:
		w.State, w.Outcome, w.Detail = WriteDone, o.Outcome, o.Detail
	}
}

// notBefore is when something deferred goes again: never at once, or worker and reconciler would spin.
func (t *turn) notBefore(until Micros) Micros {
	return max(until, t.now.Add(max(t.rules.Bounds.RefreshCoalesce, time.Millisecond)))
}

// again asks for the same once more after the ATS had moved on, a bounded number of times (rule C3): a target goes
// through "any" and waits to settle; elements alone go again, as a new revision, after the same wait. Past the bound
// the write is blocked, with an incident.
func (t *turn) again() {
	s := t.s
	if int(s.Write.Emissions) >= t.rules.Bounds.Retries {
		s.Write.Outcome, s.Write.Detail = OutcomeBlocked, "superseded_too_often"
		return
	}
	s.Write.Emissions++
	if s.Target.Cause != "" {
		s.Target.Since = t.now
		if s.Desired.Stage != "" || s.Desired.Status != StatusUnspecified {
			return
		}
	}
	s.Write.Due = t.notBefore(t.now.Add(t.rules.Bounds.Settle))
}

// observed inserts what the ATS showed as a snapshot of that version.
func (t *turn) observed(e *Event, o *Outcome) {
	snap := Event{
		Source: e.Source, ID: e.ID, Type: EventSnapshot, System: t.s.System, ObservedAt: o.FinishedAt, Basis: BasisRecord,
		Stage: o.Observed.Stage, Status: o.Observed.Status, RejectReason: o.Observed.Reason, Elements: o.Observed.Elements,
	}
	if t.rules.system(snap.System).ByRevision {
		snap.Revision, snap.OccurredAt = o.Observed.Version, o.FinishedAt
	} else {
		snap.OccurredAt = Micros(o.Observed.Version)
	}
	entry := newEntry(&snap)
	if _, ok := t.rules.identify(&entry, snap.Basis); !ok {
		return
	}
	for i := range t.s.Tail {
		if t.s.Tail[i].same(&entry) {
			t.earlier(&entry)
			return
		}
	}
	t.d.Reason = ReasonUnspecified
	t.insert(&entry)
}
