package writeback

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// job works on one application until one of its commands has come to an end. It runs in a goroutine of its own and
// changes state in transactions only, each of which looks again whether the state is still what the job works on.
type job struct {
	w      *Worker
	t      *tenant
	e      *entry
	p      *part
	key    string
	native string // id of the application in the ATS

	// What the command at hand is spoken in, see speak.
	voice Voice
	caps  ats.Capabilities
}

func newJob(t *tenant, e *entry) *job {
	_, native, _ := strings.Cut(e.key, "/")
	return &job{w: t.w, t: t, e: e, p: e.part, key: e.key, native: native}
}

func (j *job) run() {
	for again := true; again && j.p.ctx.Err() == nil; {
		again = j.step()
	}
}

// step does one thing. It returns true to go on with the state as it is then. A job that ends has settled its
// entry in its last transaction, or the partition is gone, or the worker drains.
func (j *job) step() bool {
	s := j.e.cur.Load()
	now := j.w.now().UnixMicro()
	switch {
	case s.Attempt != nil:
		a := *s.Attempt
		defer j.t.writes(j.e.final())()
		return j.speak(&a.Pending, &a) && j.readBack(&a, Evidence{Code: DetailRestarted})
	case s.Refresh != nil && s.Refresh.ready() <= now:
		return j.speak(s.Refresh, nil) && j.refresh(s.Refresh)
	case s.Apply != nil && s.Apply.ready() <= now:
		return j.speak(s.Apply, nil) && j.apply(s.Apply)
	}
	j.commit(func(*tx, *State) (*State, bool, error) { return nil, true, nil })
	return false
}

// commit runs change in a transaction and waits until that is committed. Change returns the new state, nil when
// the state is not what the job works on any more, and whether this was the job's last act. True means that the
// new state is committed.
func (j *job) commit(change func(t *tx, s *State) (next *State, last bool, err error)) bool {
	done := make(chan bool, 1)
	err := j.p.p.Submit(j.p.ctx, func(t *tx) error {
		s, _, err := t.Get(j.key)
		if err != nil {
			return err
		}
		now := t.Now()
		var next *State
		last := true
		if s != nil {
			if next, last, err = change(t, s); err != nil {
				return err
			}
		}
		if next != nil {
			next = next.with(func(s *State) { s.CheckAt = j.w.cfg.checkAt(s, now) })
			if err := j.p.put(t, j.key, next); err != nil {
				return err
			}
			s = next
		}
		t.OnCommit(func() {
			if last || next == nil {
				j.p.settle(j.e, s, now)
			}
			done <- next != nil
		})
		return nil
	})
	if err != nil {
		return false // the partition is gone
	}
	select {
	case ok := <-done:
		return ok
	case <-j.p.ctx.Done():
		return false
	}
}

// patience is until when a command may wait before it is given back.
func (j *job) patience(q *Pending) time.Time {
	return time.UnixMicro(q.ready()).Add(j.w.cfg.DeferAfter)
}

// end commits an outcome and the end of its command. An attempt of nil is a command that is not out.
func (j *job) end(q *Pending, a *Attempt, e ending) bool {
	return j.commit(func(t *tx, s *State) (*State, bool, error) {
		if !j.holds(s, q, a) {
			return nil, true, nil
		}
		j.close(t, s, q, a, e)
		return without(s, q.Command), true, nil
	})
}

// close publishes an outcome, and marks a person who is shown as anonymised and an application that is gone.
func (j *job) close(t *tx, s *State, q *Pending, a *Attempt, e ending) {
	e.arming, e.attempts, e.started = s.Armings, q.Sends, q.ready()
	if a != nil {
		e.arming, e.versionBefore = a.Arming, a.Before.Version
	} else if e.shown != nil {
		e.versionBefore = e.shown.Tuple.Version
	}
	e.finished = j.w.now().UnixMicro()
	if e.Outcome == wire.OutcomeKindDeferred {
		e.until = j.t.until(q.Command.ID, e.finished, e.until)
	}
	j.p.publish(t, outcomeOf(q.Command, &e))
	if e.gone != nil {
		change := deleted(j.w.cfg.Source, q.Command, e.gone, j.w.now())
		j.p.produce(t, topics.ATSChanges, j.key, &change)
	}
	if e.shown == nil {
		return
	}
	if mark := ats.Anonymized(j.w.cfg.Source, j.t.system, j.key, *e.shown, j.w.now()); mark != nil {
		j.p.produceKeyed(t, topics.CandidateEvents, mark.Envelope().Subject, mark)
	}
}

// holds reports whether a state still has the command, as an attempt or waiting.
func (j *job) holds(s *State, q *Pending, a *Attempt) bool {
	switch {
	case a != nil:
		return s.Attempt != nil && s.Attempt.Command.ID == a.Command.ID && s.Attempt.Arming == a.Arming
	case q.Command.Kind == wire.CommandKindRefresh:
		return s.Refresh != nil && s.Refresh.Command.ID == q.Command.ID
	}
	return s.Attempt == nil && s.Apply != nil && s.Apply.Command.ID == q.Command.ID
}

// newer reports whether a newer command waits behind an attempt, or has cancelled it.
func (j *job) newer(a *Attempt) bool {
	s := j.e.cur.Load()
	return s.Apply != nil || s.Revision > a.Command.Revision
}

// read reads the application until it can be told what it shows: until passes, zero waits for ever. The error is a
// *waitedError, one of the ATS with class Refused, or that of ctx.
func (j *job) read(ctx context.Context, op string, until time.Time) (*ats.Reading, error) {
	why := DetailNone
	for n := 1; ; n++ {
		var g *grant
		var err error
		if n > 1 {
			err = j.t.repeats(ctx, until, why)
		}
		if err == nil {
			g, err = j.t.enter(ctx, j.caps.Reads(), rankOf(op).of(j.e.final()), until)
		}
		if err != nil {
			var waited *waitedError
			if why != DetailNone && errors.As(err, &waited) && waited.detail == DetailQueued {
				waited.detail = why
			}
			return nil, err
		}
		r, err := j.readOnce(ctx, op, until)
		j.parked(g.done(ctx, err), err)
		if err == nil {
			return r, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if ats.ClassOf(err) == ats.Refused {
			return nil, err
		}
		if why = Detail(ats.CodeOf(err)); why == DetailNone {
			why = DetailSlow
		}
		wait := j.w.backoff(n)
		if !until.IsZero() && j.w.now().Add(wait).After(until) {
			return nil, &waitedError{detail: why}
		}
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
	}
}

func rankOf(op string) rank {
	if op == "readback" {
		return rankReadBack
	}
	return rankRead
}

// readOnce is one read, timed, that ends by until at the latest; zero is no bound.
func (j *job) readOnce(ctx context.Context, op string, until time.Time) (*ats.Reading, error) {
	limit := j.w.cfg.ReadTimeout
	if !until.IsZero() {
		limit = min(limit, max(until.Sub(j.w.now()), time.Millisecond))
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := time.Now()
	r, err := j.voice.Client.Read(ctx, j.native)
	j.observe(op, began, err)
	return &r, err
}

func (j *job) observe(op string, began time.Time, err error) {
	result := "ok"
	if err != nil {
		result = ats.ClassOf(err).String()
	}
	j.w.cfg.Metrics.Calls.WithLabelValues(j.t.system, op, result).Observe(time.Since(began).Seconds())
}

// unread ends a command whose application could not be read.
func (j *job) unread(q *Pending, a *Attempt, err error) bool {
	var waited *waitedError
	switch {
	case errors.As(err, &waited):
		j.end(q, a, ending{Verdict: verdict(wire.OutcomeKindDeferred, waited.detail), until: j.w.now().Add(waited.after).UnixMicro()})
	case j.absent(err):
		return j.missing(q, a)
	case ats.ClassOf(err) == ats.Refused:
		j.end(q, a, ending{Verdict: j.refusal(q.Command.Kind, ats.CodeOf(err))})
	}
	return false // else gone, or draining
}

// refusal is what a refusal of the ATS makes of a command.
func (j *job) refusal(kind wire.CommandKind, code ats.Code) Verdict {
	denied := code == ats.CodeNotFound && j.caps.NotFoundMayMeanDenied
	switch {
	case kind == wire.CommandKindRefresh:
		return verdict(wire.OutcomeKindFailed, Detail(code))
	case !denied && (code == ats.CodeNotFound || code == ats.CodeNotApplicable || code == ats.CodeUnsupported):
		return verdict(wire.OutcomeKindNotApplicable, Detail(code))
	}
	return verdict(wire.OutcomeKindRefused, Detail(code))
}

// refresh answers a refresh with a snapshot, in the transaction of its outcome.
func (j *job) refresh(q *Pending) bool {
	r, err := j.read(j.p.soft, "refresh", j.patience(q))
	if err != nil {
		return j.unread(q, nil, err)
	}
	j.commit(func(t *tx, s *State) (*State, bool, error) {
		if !j.holds(s, q, nil) {
			return nil, true, nil
		}
		told := *r
		if j.voice.Dated != nil {
			told = j.voice.Dated(told)
		}
		change := ats.Snapshot(j.w.cfg.Source, j.t.system, j.key, told, j.w.now())
		j.p.produce(t, topics.ATSChanges, j.key, &change)
		j.close(t, s, q, nil, ending{Verdict: verdict(wire.OutcomeKindConfirmed, DetailNone), shown: r})
		return without(s, q.Command), true, nil
	})
	return false
}
