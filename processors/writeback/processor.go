package writeback

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/wire"
)

// processor is the worker's part in one session. See [stream.Processor].
type processor struct {
	w     *Worker
	parts map[int32]*part
}

var errKey = errors.New("record key is not the application id, or not of the system")

// Assigned implements [stream.Processor]. Nothing is scanned: the timers of the restored states bring back what
// is not finished.
func (x *processor) Assigned(p *partition) error {
	soft, cancel := context.WithCancel(p.Context())
	stop := context.AfterFunc(x.w.draining, cancel)
	context.AfterFunc(p.Context(), func() { stop(); cancel() })
	pt := &part{
		w: x.w, p: p, ctx: p.Context(), soft: soft,
		openAt: p.AssignedAt().Add(x.w.cfg.OwnerWait), entries: make(map[string]*entry), count: make(map[*tenant]int), refill: make(chan struct{}, 1),
	}
	x.parts[p.Number()] = pt
	x.w.guards.Add(1)
	go pt.guard()
	return nil
}

// Prepare implements [stream.Processor].
func (x *processor) Prepare(context.Context, []*kgo.Record) error { return nil }

// Flush implements [stream.Processor].
func (x *processor) Flush(*tx) error { return nil }

// Handle implements [stream.Processor]: a command becomes state.
func (x *processor) Handle(t *tx, rec *kgo.Record) error {
	cmd, err := x.decode(rec)
	if err != nil {
		return err
	}
	p, key, now := x.parts[t.Partition().Number()], cmd.ApplicationID, t.Now()
	tenant := x.w.byName[cmd.System]
	s, _, err := t.Get(key)
	if err != nil {
		return err
	}
	next, replaced, what := Accept(s, cmd, now)
	t.OnCommit(func() { x.w.cfg.Metrics.Commands.WithLabelValues(what.String()).Inc() })
	if next == s {
		return nil
	}
	if replaced != nil {
		p.publish(t, outcomeOf(replaced.Command, &ending{
			Verdict: verdict(wire.OutcomeKindSuperseded, DetailNewer), arming: next.Armings, attempts: replaced.Sends,
			started: replaced.Since, finished: now,
		}))
	}
	if tenant == nil && what == AcceptedQueued {
		e := &ending{Verdict: verdict(wire.OutcomeKindFailed, DetailUnknownSystem), arming: next.Armings, started: now, finished: now}
		p.publish(t, outcomeOf(cmd, e))
		next = without(next, cmd)
	}
	next = next.with(func(s *State) { s.CheckAt = x.w.cfg.checkAt(s, now) })
	if err := p.put(t, key, next); err != nil {
		return err
	}
	if what == AcceptedQueued && tenant != nil && next.waiting() <= now {
		t.OnCommit(func() { p.admit(tenant, key, next) })
	}
	return nil
}

// without is the state after a command's outcome.
func without(s *State, cmd *wire.Command) *State {
	return s.with(func(s *State) {
		if s.Apply != nil && s.Apply.Command.ID == cmd.ID {
			s.Apply = nil
		}
		if s.Refresh != nil && s.Refresh.Command.ID == cmd.ID {
			s.Refresh = nil
		}
		if s.Attempt != nil && s.Attempt.Command.ID == cmd.ID {
			s.Attempt = nil
		}
	})
}

// decode reads a command; an error it returns is poison, or worth a retry.
func (x *processor) decode(rec *kgo.Record) (*wire.Command, error) {
	cmd := new(wire.Command)
	if err := x.w.cfg.Schemas.DecodeLocal(rec.Value, cmd); err != nil {
		var e *wire.Error
		if errors.As(err, &e) {
			return nil, stream.Poison(string(e.Cause), err)
		}
		return nil, fmt.Errorf("decode command: %w", err)
	}
	if cmd.ID == "" {
		return nil, stream.Poison(string(wire.CauseNoIdentity), errors.New("command has no id"))
	}
	if string(rec.Key) != cmd.ApplicationID || !strings.HasPrefix(cmd.ApplicationID, cmd.System+"/") {
		return nil, stream.Poison(string(wire.CauseKeyMismatch), errKey)
	}
	return cmd, nil
}

// Fire implements [stream.Processor]: it looks at a state that has not come to its end.
func (x *processor) Fire(t *tx, key string, _ int64) error {
	s, ok, err := t.Get(key)
	if err != nil || !ok {
		return err
	}
	p, now := x.parts[t.Partition().Number()], t.Now()
	if s.Parked != nil {
		return x.firePark(t, p, key, s)
	}
	if s.idle() {
		return t.Delete(key)
	}
	system, _, _ := strings.Cut(key, "/")
	tenant := x.w.byName[system]
	if tenant == nil {
		return x.orphaned(t, p, key, s)
	}
	e := p.entries[key]
	next := s
	if s.Attempt == nil && (e == nil || !e.started.Load()) {
		next = x.defers(t, p, tenant, s)
	}
	idle := next.idle()
	next = next.with(func(s *State) { s.CheckAt = x.w.cfg.checkAt(s, now) })
	if err := p.put(t, key, next); err != nil {
		return err
	}
	t.OnCommit(func() {
		switch e := p.entries[key]; {
		case idle && e != nil:
			p.forget(e) // or the job that just took it finds nothing to do
		case !idle && e == nil && (next.Attempt != nil || next.waiting() <= now):
			p.admit(tenant, key, next)
		}
	})
	return nil
}

// defers gives back what has waited too long for its turn.
func (x *processor) defers(t *tx, p *part, tenant *tenant, s *State) *State {
	now := t.Now()
	for _, q := range []*Pending{s.Apply, s.Refresh} {
		if q == nil || now-q.ready() < x.w.cfg.DeferAfter.Microseconds() {
			continue
		}
		detail := tenant.standing(x.w.now())
		if detail == DetailNone {
			detail = q.Detail
		}
		if detail == DetailNone {
			detail = DetailQueued
		}
		p.publish(t, outcomeOf(q.Command, &ending{
			Verdict: verdict(wire.OutcomeKindDeferred, detail), arming: s.Armings, attempts: q.Sends,
			started: q.Since, finished: now, until: tenant.until(q.Command.ID, now, 0),
		}))
		s = without(s, q.Command)
	}
	return s
}

// until is when a deferred command may come again: not before the system may be called, nor before earliest, and spread
// by its id.
func (t *tenant) until(id string, now, earliest int64) int64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // never fails
	pause := t.w.cfg.DeferFor
	spread := time.Duration(float64(pause) / 2 * float64(h.Sum32()) / (1 << 32))
	at := max(now, earliest, t.reopens(t.w.now()).UnixMicro())
	return max(at, now+pause.Microseconds()) + spread.Microseconds()
}

// orphaned ends commands of a system that is no longer configured.
func (x *processor) orphaned(t *tx, p *part, key string, s *State) error {
	now := t.Now()
	pending := []*Pending{s.Apply, s.Refresh}
	if s.Attempt != nil {
		pending = append(pending, &s.Attempt.Pending)
	}
	for _, q := range pending {
		if q != nil {
			e := &ending{Verdict: verdict(wire.OutcomeKindFailed, DetailUnknownSystem), arming: s.Armings, attempts: q.Sends, started: q.Since, finished: now}
			p.publish(t, outcomeOf(q.Command, e))
			s = without(s, q.Command)
		}
	}
	return p.put(t, key, s.with(func(s *State) { s.CheckAt = x.w.cfg.checkAt(s, now) }))
}
