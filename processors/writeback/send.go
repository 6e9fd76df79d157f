package writeback

import (
	"context"
	"errors"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/wire"
)

// apply takes a command from its first read to its end, or to another try.
func (j *job) apply(q *Pending) bool {
	r, err := j.read(j.p.soft, "read", j.patience(q))
	if err != nil {
		return j.unread(q, nil, err)
	}
	v := j.judge(q.Command, r)
	if !v.sends() {
		j.end(q, nil, ending{Verdict: v, shown: r})
		return false
	}
	if j.p.soft.Err() != nil {
		return false // draining: nothing is out, the command waits in its state
	}
	a, ok := j.arm(q, r)
	return ok && j.send(a, r)
}

// judge is Judge for what was read now: nothing is written to a person who was anonymised, nor past a region pin.
func (j *job) judge(cmd *wire.Command, r *ats.Reading) Verdict {
	if r.Anonymized {
		return verdict(wire.OutcomeKindNotApplicable, DetailAnonymized)
	}
	v := Judge(cmd, &r.Tuple, &j.caps, j.w.now().UnixMicro())
	if v.sends() {
		v = j.voice.covers(cmd, r)
	}
	return v
}

// arm commits the attempt: only after it may the first byte leave.
func (j *job) arm(q *Pending, r *ats.Reading) (*Attempt, bool) {
	var a Attempt
	ok := j.commit(func(t *tx, s *State) (*State, bool, error) {
		if !j.holds(s, q, nil) {
			return nil, true, nil
		}
		a = Attempt{Pending: *q, Arming: s.Armings + 1, Before: r.Tuple, Mapping: j.voice.Mapping}
		a.Sends++
		j.p.publish(t, outcomeOf(q.Command, &ending{
			arming: a.Arming, attempts: a.Sends, started: q.ready(), finished: t.Now(), versionBefore: r.Tuple.Version, shown: r,
		}))
		attempt := a
		return s.with(func(s *State) { s.Apply, s.Attempt, s.Armings = nil, &attempt, attempt.Arming }), false, nil
	})
	return &a, ok
}

// send makes the write of an attempt, at most once, and acts on its answer.
func (j *job) send(a *Attempt, r *ats.Reading) bool {
	cmd := a.Command
	d := ats.Diff(r.Tuple, cmd.Desired)
	// What the ATS cannot compare and set is read once more right before the write: the commit took its time.
	again := !j.caps.CASVersion && (cmd.Closing || d.Status != wire.ApplicationStatusUnspecified || d.Stage != "" && !j.caps.CASStage)
	n := j.caps.Writes(d)
	if again {
		n += j.caps.Reads()
	}
	g, err := j.permit(a, n)
	if err != nil {
		var waited *waitedError
		if !errors.As(err, &waited) {
			return false
		}
		return j.unsent(a, waited.detail, waited.after)
	}
	defer j.t.writes(j.e.final())()
	if j.newer(a) {
		g.abandon(j.p.ctx)
		j.end(&a.Pending, a, ending{Verdict: verdict(wire.OutcomeKindSuperseded, DetailNewer), shown: r})
		return false
	}
	if again {
		fresh, err := j.readOnce(j.p.ctx, "reread", time.Time{})
		if err != nil {
			j.parked(g.done(j.p.ctx, err), err)
			if ats.ClassOf(err) == ats.Refused {
				return j.unread(&a.Pending, a, err)
			}
			return j.unsent(a, Detail(ats.CodeOf(err)), retryAfter(err))
		}
		if v := j.judge(cmd, fresh); !v.sends() {
			g.done(j.p.ctx, nil)
			if v.Outcome == wire.OutcomeKindSuperseded {
				j.w.cfg.Metrics.Overtaken.Inc()
			}
			j.end(&a.Pending, a, ending{Verdict: v, shown: fresh})
			return false
		}
		r = fresh
		a.Before = fresh.Tuple
	}
	return j.answer(a, g, r)
}

// permit waits for the permission to write n requests while the partition is held for long enough.
func (j *job) permit(a *Attempt, n int) (*grant, error) {
	const look = 100 * time.Millisecond
	until := j.patience(&a.Pending)
	if a.Sends > 1 {
		if err := j.t.repeats(j.p.ctx, until, a.Detail); err != nil {
			return nil, err
		}
	}
	for {
		g, err := j.t.enter(j.p.ctx, n, rankWrite.of(a.Command.Closing), until)
		if err != nil {
			return nil, err
		}
		if time.Until(j.p.writeBy()) >= min(j.w.cfg.WriteTimeout, j.w.cfg.Margin) {
			return g, nil
		}
		g.abandon(j.p.ctx)
		if err := pause(j.p.ctx, look); err != nil {
			return nil, err
		}
		if j.w.now().After(until) { // enter would not know what it waited for
			return nil, &waitedError{detail: DetailOwnership}
		}
	}
}

// answer writes and acts on what the answer proves.
func (j *job) answer(a *Attempt, g *grant, r *ats.Reading) bool {
	began := time.Now()
	by := began.Add(j.w.cfg.WriteTimeout)
	if owned := j.p.writeBy(); owned.Before(by) {
		by = owned
	}
	ctx, cancel := context.WithDeadline(j.p.ctx, by)
	err := j.voice.Client.Apply(ctx, j.native, r.Tuple, a.Command.Desired)
	cancel()
	j.observe("write", began, err)
	change := g.done(j.p.ctx, err)
	if j.p.ctx.Err() != nil {
		if err != nil {
			j.w.cfg.Metrics.Zombies.Inc()
		}
		return false // the next owner reads back
	}
	j.parked(change, err)
	if err == nil {
		if j.w.cfg.UnsafeTrustResponse {
			j.end(&a.Pending, a, ending{Verdict: verdict(wire.OutcomeKindConfirmed, DetailNone)})
			return false
		}
		return j.readBack(a, Evidence{Executed: true})
	}
	switch ats.ClassOf(err) {
	case ats.NotExecuted:
		return j.unsent(a, Detail(ats.CodeOf(err)), retryAfter(err))
	case ats.Refused:
		return j.refused(a, err)
	case ats.Unknown:
	}
	return j.readBack(a, Evidence{Code: Detail(ats.CodeOf(err))})
}

// unsent goes on after a write that was certainly not executed: again after a pause, a bounded number of times, or
// back to the reconciler.
func (j *job) unsent(a *Attempt, why Detail, after time.Duration) bool {
	wait := max(after, j.w.backoff(int(a.Sends)))
	q := a.Pending
	q.Detail = why
	deferred := int(a.Sends) >= j.w.cfg.MaxSends || j.w.now().Add(wait).After(j.patience(&q))
	again := false
	ok := j.commit(func(t *tx, s *State) (*State, bool, error) {
		again = false
		if !j.holds(s, &q, a) {
			return nil, true, nil
		}
		switch {
		case s.Apply != nil || s.Revision > q.Command.Revision: // replaced or cancelled
			j.close(t, s, &q, a, ending{Verdict: verdict(wire.OutcomeKindSuperseded, DetailNewer)})
		case deferred:
			j.close(t, s, &q, a, ending{Verdict: verdict(wire.OutcomeKindDeferred, why), until: j.w.now().Add(after).UnixMicro()})
		default:
			again = true
			return s.with(func(s *State) { s.Apply, s.Attempt = &q, nil }), false, nil
		}
		return without(s, q.Command), true, nil
	})
	return ok && again && j.rest(wait)
}

// rest pauses before another try. A job that drains meanwhile leaves its command to its state.
func (j *job) rest(d time.Duration) bool { return pause(j.p.soft, d) == nil }

// refused ends an attempt the ATS said no to, unless what it shows tells more than the refusal.
func (j *job) refused(a *Attempt, err error) bool {
	v := j.refusal(a.Command.Kind, ats.CodeOf(err))
	r, rerr := j.read(j.p.ctx, "readback", j.w.now().Add(j.w.cfg.ReadTimeout))
	if rerr != nil {
		if gone(rerr) {
			return false
		}
		if j.absent(rerr) {
			return j.missing(&a.Pending, a)
		}
		j.end(&a.Pending, a, ending{Verdict: v})
		return false
	}
	if seen := j.judge(a.Command, r); seen.Outcome == wire.OutcomeKindAlready || seen.Outcome == wire.OutcomeKindSuperseded || seen.Detail == DetailAnonymized {
		v = seen
	}
	j.end(&a.Pending, a, ending{Verdict: v, shown: r})
	return false
}

// readBack reads until the whole tuple shows, which alone confirms, or the read lag is over.
func (j *job) readBack(a *Attempt, e Evidence) bool {
	lag := j.caps.ReadLag
	over := j.w.now().Add(lag)
	for wait := lag / 16; ; wait *= 2 {
		at := j.w.now()
		r, err := j.read(j.p.ctx, "readback", time.Time{})
		if err != nil {
			return j.unread(&a.Pending, a, err)
		}
		if ats.Shows(r.Tuple, a.Command.Desired) {
			j.end(&a.Pending, a, ending{Verdict: verdict(wire.OutcomeKindConfirmed, DetailNone), shown: r})
			return false
		}
		if !at.Before(over) {
			return j.conclude(a, r, e)
		}
		if err := pause(j.p.ctx, min(max(wait, time.Millisecond), max(over.Sub(j.w.now()), time.Millisecond))); err != nil {
			return false
		}
	}
}

// conclude commits what a write amounts to whose tuple does not show.
func (j *job) conclude(a *Attempt, r *ats.Reading, e Evidence) bool {
	again := false
	ok := j.commit(func(t *tx, s *State) (*State, bool, error) {
		again = false
		if !j.holds(s, &a.Pending, a) {
			return nil, true, nil
		}
		unknowns := s.Unknowns + 1
		if s.Revision != a.Command.Revision {
			unknowns = 1 // the count of another revision
		}
		e.Newer = s.Revision > a.Command.Revision || s.Apply != nil
		e.Unknowns, e.Max = int(unknowns), j.w.cfg.MaxArmings
		v := Conclude(a.Command, &a.Before, &r.Tuple, &j.caps, e)
		if v.sends() {
			again = true
			q := a.Pending
			q.Detail = e.Code
			return s.with(func(s *State) { s.Apply, s.Attempt, s.Unknowns = &q, nil, unknowns }), false, nil
		}
		j.close(t, s, &a.Pending, a, ending{Verdict: v, shown: r})
		return without(s, a.Command), true, nil
	})
	return ok && again && j.rest(j.w.backoff(int(a.Sends)))
}

func retryAfter(err error) time.Duration {
	var e *ats.Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}
