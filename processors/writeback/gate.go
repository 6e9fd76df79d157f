package writeback

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ratelimit"
)

// waitedError says that a call was not made because its turn did not come in time. Nothing was sent.
type waitedError struct {
	detail Detail
	after  time.Duration // it would have had to wait so much longer; 0: nobody knows
}

func (e *waitedError) Error() string { return fmt.Sprintf("call not made in time: %s", e.detail) }

// grant is the permission for one call. It ends with done or abandon, once.
type grant struct {
	t     *tenant
	probe bool
	trial bool
	write bool
	ahead *ratelimit.Advance // requests taken ahead; nil where nothing bounds them
}

// rank is the place of a call in the line before the ATS: a final comes before all else where the quota is short, what a
// command has begun comes before what another begins.
type rank int

const (
	rankWrite rank = iota
	rankReadBack
	rankRead
	ranks // of a final; others come after
)

func (r rank) of(final bool) rank {
	if final {
		return r
	}
	return r + ranks
}

// enter waits until a call of n requests may be made: its turn, a slot, no penalty, a closed or probing breaker, and the
// rate limit. The error is a *waitedError when until passes first (zero waits for ever), or that of ctx.
func (t *tenant) enter(ctx context.Context, n int, r rank, until time.Time) (*grant, error) {
	began := time.Now()
	defer func() { t.w.cfg.Metrics.Throttled.WithLabelValues(t.system).Observe(time.Since(began).Seconds()) }()
	place := t.line.join(r, n)
	defer t.line.leave(place)
	why := DetailQueued
	for {
		left, err := t.patience(until, why)
		if err != nil {
			return nil, err
		}
		if _, turn := t.line.turn(place); !turn {
			if _, err := wait(ctx, left, nil, place.turn); err != nil {
				return nil, err
			}
			why = cmp.Or(t.standing(t.w.now()), DetailQueued)
			continue
		}
		if err := t.slot(ctx, left); err != nil {
			return nil, err
		}
		behind, turn := t.line.turn(place)
		if !turn {
			<-t.slots
			continue
		}
		g := &grant{t: t, write: r%ranks == rankWrite}
		pause, changed, detail := t.admit(g)
		rate, spent := false, false // what the limit or the day's quota refuses
		if detail == DetailNone {
			if g.ahead, pause, err = t.take(ctx, n, behind, t.keep(r)); err == nil && pause == 0 {
				return g, nil
			}
			spent = pause > quotaWait
			rate = !spent
			detail = Detail(ats.CodeRateLimited)
			changed = t.withdraw(g)
		}
		<-t.slots
		if err != nil {
			return nil, err
		}
		why = detail
		if left, err = t.patience(until, why); err != nil {
			return nil, err
		}
		if spent && pause > left {
			return nil, &waitedError{why, pause} // nothing comes of waiting
		}
		t.line.refused(place, rate)
		if pause <= 0 || pause > left {
			pause = left
		}
		over, err := wait(ctx, pause, changed, place.turn)
		if err != nil {
			return nil, err
		}
		if over && behind > 0 {
			t.line.stir()
		}
	}
}

// patience is how long a call may still wait; the error is a *waitedError when it may not.
func (t *tenant) patience(until time.Time, why Detail) (time.Duration, error) {
	if until.IsZero() {
		return time.Hour, nil
	}
	left := until.Sub(t.w.now())
	if left <= 0 {
		return 0, &waitedError{detail: why}
	}
	return left, nil
}

// wait waits until something has changed or a turn has come, no longer than d. It tells whether d is over; the error is that
// of ctx.
func wait(ctx context.Context, d time.Duration, changed, turn <-chan struct{}) (over bool, err error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true, nil
	case <-changed:
	case <-turn:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	return false, nil
}

// slot takes one of the calls at once, and waits for it no longer than left.
func (t *tenant) slot(ctx context.Context, left time.Duration) error {
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case t.slots <- struct{}{}:
		return nil
	case <-timer.C:
		return &waitedError{detail: DetailQueued}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// admit asks the penalty and the breaker. An empty detail admits. After a refusal for the rate one call at a time is
// tried, until one is not refused.
func (t *tenant) admit(g *grant) (wait time.Duration, changed <-chan struct{}, why Detail) {
	now := t.w.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.paused.After(now):
		return t.paused.Sub(now), t.changed, Detail(ats.CodeRateLimited)
	case t.refusals > 0 && t.trying:
		return 0, t.changed, Detail(ats.CodeRateLimited)
	}
	wait, ok := t.breaker.allow(now)
	if !ok {
		return wait, t.changed, Detail(t.breaker.code)
	}
	g.probe, g.trial = t.breaker.open, t.refusals > 0
	t.trying = t.trying || g.trial
	return 0, t.changed, DetailNone
}

// quotaWait is longer than any wait for the rate.
const quotaWait = time.Minute

// keep is how many of the day's requests a call leaves to those that come before it when they run short. The last tenth is for
// finals, whose writes leave what it takes to read back those that are out; the other writes leave besides what it takes to
// read themselves back.
func (t *tenant) keep(r rank) int {
	m := t.w.cfg.Systems[t.system].Meter
	if m == nil || m.Daily() == 0 {
		return 0
	}
	t.mu.Lock()
	finals, others := t.reads*t.unread[true], t.reads*t.unread[false]
	t.mu.Unlock()
	last := max((m.Daily()+9)/10, finals)
	switch {
	case r == rankReadBack:
		return 0
	case r < ranks:
		return finals + t.reads
	case r%ranks == rankReadBack:
		return last
	}
	return last + others + t.reads
}

// writes notes that a write goes out, which has to be read back, and returns what ends that.
func (t *tenant) writes(final bool) (done func()) {
	count := func(n int) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.unread[final] += n
	}
	count(1)
	return func() { count(-1) }
}

// take takes n requests from the shared rate limit, or as many as ever go at once, if the day has keep more, behind whoever
// waits for more requests.
func (t *tenant) take(ctx context.Context, n, behind, keep int) (*ratelimit.Advance, time.Duration, error) {
	m := t.w.cfg.Systems[t.system].Meter
	if m == nil {
		return nil, 0, nil
	}
	a, wait, err := m.Ahead(ctx, n, behind, keep)
	if err != nil {
		return nil, 0, fmt.Errorf("take from the rate limit: %w", err)
	}
	return a, wait, nil
}

// withdraw takes back what admit gave to a call that is not made. What it returns is closed at the next change.
func (t *tenant) withdraw(g *grant) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.breaker.abandon(g.probe)
	if g.trial {
		t.trying = false
	}
	if g.probe || g.trial {
		t.signal()
	}
	return t.changed
}

// leave gives back the slot, and the requests that were taken ahead and not made.
func (g *grant) leave(ctx context.Context) {
	if g.ahead != nil {
		g.ahead.GiveBack(context.WithoutCancel(ctx))
	}
	<-g.t.slots
	g.t.line.stir()
}

// abandon gives the permission back unused.
func (g *grant) abandon(ctx context.Context) {
	g.t.withdraw(g)
	g.leave(ctx)
}

// done takes the call's result. It tells whether this call parked the system.
func (g *grant) done(ctx context.Context, err error) transition {
	t := g.t
	defer g.leave(ctx)
	now := t.w.now()
	if ctx.Err() != nil && err != nil {
		t.withdraw(g) // our own end says nothing about the system
		return unchanged
	}
	var refused *ats.Error
	// Without a status it was not made, as its time was over before its turn with the rate: the ATS refused nothing.
	limited := errors.As(err, &refused) && refused.Code == ats.CodeRateLimited && refused.Status != 0
	var penalty time.Duration
	t.mu.Lock()
	if g.trial {
		t.trying = false
	}
	if limited {
		if g.trial || t.refusals == 0 { // one of many that were under way at once counts once
			t.refusals++
		}
		penalty = cmp.Or(refused.RetryAfter, t.w.backoff(t.refusals))
	} else if g.trial {
		t.refusals = 0
	}
	change := t.breaker.record(now, g.probe, g.write, err, rand.Float64())
	broken, _ := fault(err)
	if !broken {
		t.lastOK = now
	}
	t.retries.called(now, broken || limited)
	if until := now.Add(penalty); penalty > 0 && until.After(t.paused) {
		t.paused = until
	}
	if change != unchanged || g.probe || g.trial || penalty > 0 {
		t.signal()
	}
	t.mu.Unlock()
	if m := t.w.cfg.Systems[t.system].Meter; m != nil && penalty > 0 {
		// The other processes share the penalty. An error is that of ctx, and the job sees that itself.
		if err := m.Block(ctx, penalty); err != nil && ctx.Err() == nil {
			t.w.log.Warn("penalty is not shared")
		}
	}
	return change
}
