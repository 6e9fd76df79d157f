package hiring

import (
	"encoding/hex"
	"slices"
)

// maxEchoes bounds the writes of ours that wait to be seen again.
const maxEchoes = 8

var outcomeReasons = [...]Reason{
	OutcomeAttempt: ReasonAttempted, OutcomeConfirmed: ReasonConfirmed, OutcomeAlready: ReasonAlready, OutcomeSuperseded: ReasonSuperseded,
	OutcomeBlocked: ReasonBlocked, OutcomeRefused: ReasonRefused, OutcomeNotApplicable: ReasonNotApplicable, OutcomeDeferred: ReasonDeferred,
	OutcomeShadowed: ReasonShadowed, OutcomeFailed: ReasonFailed,
}

// outcome folds what the worker says: it moves the write on, and what the ATS showed is a snapshot.
func (t *turn) outcome(e *Event) {
	o, s := e.Outcome, t.s
	t.d.Reason = ReasonObsolete
	switch {
	case o.Kind == CommandRefresh:
		t.d.Reason = ReasonRefreshed
		s.RefreshOpen = false
		if o.Outcome == OutcomeDeferred {
			s.RefreshDue = max(o.Until, t.now)
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
	w.Since = t.now
	switch o.Outcome {
	case OutcomeAttempt:
		w.State = WriteAttempted
	case OutcomeDeferred:
		w.State, w.Due, w.Detail = WriteDeferred, max(o.Until, t.now), o.Detail
	case OutcomeConfirmed, OutcomeAlready:
		w.State, w.Outcome, w.Detail, w.Emissions = WriteDone, o.Outcome, "", 0
		s.ConfirmedRevision, s.Confirmed = o.Revision, o.Written
		s.Confirmed.Version = o.VersionAfter
	case OutcomeSuperseded:
		w.State, w.Outcome, w.Detail = WriteDone, o.Outcome, o.Detail
		t.again(o)
	case OutcomeBlocked, OutcomeRefused, OutcomeNotApplicable, OutcomeShadowed, OutcomeFailed:
		w.State, w.Outcome, w.Detail = WriteDone, o.Outcome, o.Detail
	}
}

// again asks for the same target once more after the ATS had moved on, a bounded number of times: desired goes
// through "any" and the target waits to settle. Past the bound the write is blocked, with an incident (C3).
func (t *turn) again(o *Outcome) {
	s := t.s
	if int(s.Write.Emissions) >= t.rules.Bounds.Retries {
		s.Write.Outcome, s.Write.Detail = OutcomeBlocked, "superseded_too_often"
		return
	}
	s.Write.Emissions++
	s.Target.Since = t.now
	if s.Target.Cause == "" {
		// Only elements were asked for: publish them again.
		s.Desired.Elements = nil
	}
}

// echo remembers a write of ours that the ATS will show again (rule A4).
func (t *turn) echo(o *Outcome) {
	s := t.s
	by := AuthorityVendor
	for i := range s.Tail {
		if s.Tail[i].ID == o.Cause.ID && s.Tail[i].Source == o.Cause.Source && s.Tail[i].Type.Control() {
			by = AuthorityOverride
		}
	}
	known := slices.Clone(s.Echoes)
	if len(known) >= maxEchoes {
		known = slices.Delete(known, 0, 1)
	}
	s.Echoes = append(known, Echo{
		CauseSource: o.Cause.Source, CauseID: o.Cause.ID, CauseEff: o.Cause.EffectiveAt, Authority: by,
		VersionBefore: o.VersionBefore, VersionAfter: o.VersionAfter, Stage: o.Written.Stage, Status: o.Written.Status,
	})
	if len(s.Tail) > 0 {
		t.refold(slices.Clone(s.Tail))
	}
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
	key, ok := snapshotKey(&snap, t.rules.system(snap.System).ByRevision)
	if !ok {
		return
	}
	for i := range t.s.Tail {
		if t.s.Tail[i].Key == key {
			return
		}
	}
	snap.ID = "snapshot:" + hex.EncodeToString(key[:])
	entry := newEntry(&snap, key)
	t.d.Reason = ReasonUnspecified
	t.insert(&entry)
}
