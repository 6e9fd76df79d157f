package hiring_test

import (
	"fmt"
	"time"

	"github.com/concord-ats/concord/pkg/hiring"
)

// Bounds of the worker.
const (
	simDeclaredLag = 5 * time.Second
	simArmings     = 3 // of an idempotent effect that is not established
	simAgain       = 4 // sends that were not executed
)

// simWorker writes one application's commands as rules C1 to C3 say.
type simWorker struct {
	a        *simApp
	queued   *hiring.Command // the newest that has not begun
	busy     bool
	newest   int64
	outcomes int
	unknowns map[int64]int // by revision: sends of no known effect
	refused  map[int64]int // by revision: sends not executed
	sent     map[string]int
}

// accept takes a command from its topic.
func (w *simWorker) accept(c hiring.Command) {
	a := w.a
	if c.Kind == hiring.CommandRefresh {
		a.after(a.between(50*time.Millisecond, time.Second), func() {
			o := hiring.Outcome{CommandID: c.ID, Kind: c.Kind, Revision: c.Revision, Outcome: hiring.OutcomeConfirmed}
			if a.chance(10) {
				o.Outcome, o.Until = hiring.OutcomeDeferred, a.now.Add(20*time.Second)
				w.tell(&o)
				return
			}
			t := a.ats.tuple(a.ats.read())
			o.Observed = &t
			w.tell(&o)
		})
		return
	}
	w.newest = max(w.newest, c.Revision)
	if w.queued != nil {
		w.end(w.queued, hiring.OutcomeSuperseded, "newer_revision", nil)
		w.queued = nil
	}
	if c.Desired.Empty() {
		return
	}
	w.queued = &c
	w.begin()
}

// begin takes the queued command up.
func (w *simWorker) begin() {
	if w.busy || w.queued == nil {
		return
	}
	c := w.queued
	w.busy, w.queued = true, nil
	if w.a.chance(4) {
		w.a.after(30*time.Second, func() {
			o := w.outcome(c, hiring.OutcomeDeferred, "queued")
			o.Until = w.a.now.Add(w.a.between(0, time.Minute))
			w.tell(&o)
			w.free()
		})
		return
	}
	w.a.after(w.a.between(20*time.Millisecond, time.Second), func() { w.look(c) })
}

func (w *simWorker) free() {
	w.busy = false
	w.begin()
}

func (w *simWorker) outcome(c *hiring.Command, k hiring.OutcomeKind, detail string) hiring.Outcome {
	return hiring.Outcome{CommandID: c.ID, Kind: c.Kind, Revision: c.Revision, Outcome: k, Detail: detail, Cause: c.Cause, Closing: c.Closing, Written: c.Desired}
}

// tell publishes an outcome; the reconciler sees it later.
func (w *simWorker) tell(o *hiring.Outcome) {
	a := w.a
	w.outcomes++
	o.FinishedAt = a.now
	e := hiring.Event{
		Source: "writeback", ID: fmt.Sprintf("outcome-%d", w.outcomes), Type: hiring.EventOutcome, System: hiring.ControlSystem,
		OccurredAt: a.now, ObservedAt: a.now, Outcome: o,
	}
	e.Digest = hiring.IdentityKey(e.ID, "")
	a.outcomeAt = max(a.outcomeAt+1, a.now.Add(a.between(5*time.Millisecond, 2*time.Second)))
	a.at(a.outcomeAt, func() { a.deliver(&e) })
	if a.chance(5) {
		a.at(a.outcomeAt.Add(time.Second), func() { a.deliver(&e) })
	}
}

// end says what became of a command.
func (w *simWorker) end(c *hiring.Command, k hiring.OutcomeKind, detail string, shown *simRecord) {
	o := w.outcome(c, k, detail)
	if shown != nil {
		t := w.a.ats.tuple(shown)
		o.Observed, o.VersionAfter = &t, t.Version
	}
	w.a.stats.outcomes[k]++
	w.tell(&o)
}

// simDiffers is what a tuple asks for that a record does not show.
func simDiffers(t *hiring.Tuple, r *simRecord) (stage, status, reason, element bool) {
	stage = t.Stage != "" && t.Stage != r.stage
	status = t.Status != hiring.StatusUnspecified && t.Status != r.status
	reason = t.Reason != "" && t.Reason != r.reason
	for _, e := range t.Elements {
		element = element || simValue(r, e.Name) != e.Value
	}
	return stage, status, reason, element
}

func simShows(t *hiring.Tuple, r *simRecord) bool {
	stage, status, reason, element := simDiffers(t, r)
	return !stage && !status && !reason && !element
}

// judge reports whether a command may be sent at what the ATS shows; else it has ended.
func (w *simWorker) judge(c *hiring.Command, r *simRecord) bool {
	e := &c.Expected
	stage, status, reason, _ := simDiffers(&c.Desired, r)
	stageMoved := e.Stage != "" && e.Stage != r.stage
	statusMoved := e.Status != hiring.StatusUnspecified && e.Status != r.status
	switch {
	case w.newest > c.Revision:
		w.end(c, hiring.OutcomeSuperseded, "newer_revision", nil)
	case simShows(&c.Desired, r):
		w.end(c, hiring.OutcomeAlready, "", r)
	case c.Closing && e.Version != 0 && w.a.ats.version(r) > e.Version:
		w.end(c, hiring.OutcomeSuperseded, "stale_version", r)
	case c.Closing && (stageMoved || statusMoved), stage && stageMoved, status && statusMoved, reason && e.Reason != "" && e.Reason != r.reason:
		w.end(c, hiring.OutcomeSuperseded, "moved", r)
	default:
		return true
	}
	return false
}

// look reads before it writes.
func (w *simWorker) look(c *hiring.Command) {
	a := w.a
	before := a.ats.read()
	if !w.judge(c, before) {
		w.free()
		return
	}
	if a.chance(20) { // the worst moment
		a.after(a.between(0, 700*time.Millisecond), a.ats.human)
	}
	attempt := w.outcome(c, hiring.OutcomeAttempt, "")
	t := a.ats.tuple(before)
	attempt.VersionBefore, attempt.Observed = t.Version, &t
	w.tell(&attempt) // committed: only now may it go
	a.after(a.between(10*time.Millisecond, 300*time.Millisecond), func() {
		if a.chance(2) { // a crash: the attempt has no outcome
			a.after(10*time.Second, func() { w.unsure(c, before) })
			return
		}
		w.send(c, before)
	})
}

// send makes the request of an attempt, once.
func (w *simWorker) send(c *hiring.Command, before *simRecord) {
	a := w.a
	_, status, _, _ := simDiffers(&c.Desired, before)
	if a.ats.compare != simCompareVersion && (c.Closing || status) { // what cannot be compared is read once more
		before = a.ats.read()
	}
	if !w.judge(c, before) {
		w.free()
		return
	}
	a.leaves(c)
	key := fmt.Sprintf("%d/%d/%d", c.Revision, w.unknowns[c.Revision], w.refused[c.Revision])
	if w.sent[key]++; w.sent[key] > 1 && c.Closing {
		a.fault("revision %d is sent twice in one arming", c.Revision)
	}
	a.after(a.between(20*time.Millisecond, 800*time.Millisecond), func() {
		answer := a.ats.write(c, before)
		a.stats.sends++
		if a.chance(2) {
			answer = simUnknown // a crash before the answer is noted, or a reset
		}
		switch answer {
		case simBusy, simMoved:
			if w.refused[c.Revision]++; w.refused[c.Revision] >= simAgain {
				w.end(c, hiring.OutcomeFailed, "not_executed", nil)
				w.free()
				return
			}
			a.after(2*time.Second, func() { w.look(c) })
		case simRefused:
			w.end(c, hiring.OutcomeRefused, "invalid", nil)
			w.free()
		case simUnknown:
			w.unsure(c, before)
		case simDone:
			w.check(c, before, true, a.now.Add(simDeclaredLag))
		}
	})
}

// unsure counts a send of unknown effect and reads back.
func (w *simWorker) unsure(c *hiring.Command, before *simRecord) {
	w.unknowns[c.Revision]++
	w.check(c, before, false, w.a.now.Add(simDeclaredLag))
}

// check reads back until the whole tuple shows or the lag is over.
func (w *simWorker) check(c *hiring.Command, before *simRecord, executed bool, until hiring.Micros) {
	a := w.a
	a.after(time.Second, func() {
		shown := a.ats.read()
		switch {
		case simShows(&c.Desired, shown):
			o := w.outcome(c, hiring.OutcomeConfirmed, "")
			t := a.ats.tuple(shown)
			o.Observed = &t
			o.VersionBefore, o.VersionAfter = a.ats.version(before), t.Version
			a.stats.outcomes[hiring.OutcomeConfirmed]++
			w.tell(&o)
			w.free()
		case a.now <= until:
			w.check(c, before, executed, until)
		default:
			w.conclude(c, before, shown, executed)
		}
	})
}

// conclude decides about an attempt whose tuple does not show in the end.
func (w *simWorker) conclude(c *hiring.Command, before, shown *simRecord, executed bool) {
	stage, status, _, _ := simDiffers(&c.Desired, shown)
	repeatable := !c.Closing && !status && (!stage || w.a.ats.compare != simCompareNothing)
	switch {
	case stage && shown.stage != before.stage || status && shown.status != before.status || c.Desired.Status == hiring.StatusUnspecified && shown.status != before.status:
		w.end(c, hiring.OutcomeSuperseded, "overtaken", shown)
	case executed:
		w.end(c, hiring.OutcomeBlocked, "mismatch", shown)
	case w.newest > c.Revision:
		w.end(c, hiring.OutcomeSuperseded, "newer_revision", shown)
	case !repeatable || w.unknowns[c.Revision] >= simArmings:
		w.end(c, hiring.OutcomeBlocked, "unknown", shown)
	case w.a.ats.version(shown) > w.a.ats.version(before): // it may have landed, and been undone
		w.end(c, hiring.OutcomeSuperseded, "stale_version", shown)
	default:
		w.look(c)
		return
	}
	w.free()
}
