package writeback

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ratelimit"
)

// waitedError says that a call was not made because its turn did not come in time. Nothing was sent.
type waitedError struct{ detail Detail }

func (e *waitedError) Error() string { return fmt.Sprintf("call not made in time: %s", e.detail) }

// grant is the permission for one call. It ends with done or abandon, once.
type grant struct {
	t     *tenant
	probe bool
	write bool
}

// enter waits until a call of n requests may be made: a slot, no penalty, a closed or probing breaker, and the
// rate limit. While a call for a closing command waits for the limit, those for others wait too: a final comes first
// where the quota is short. The error is a *waitedError when until passes first (zero waits for ever), or that of ctx.
func (t *tenant) enter(ctx context.Context, n int, write, final bool, until time.Time) (*grant, error) {
	began := time.Now()
	short := false
	defer func() {
		if short {
			t.finals.Add(-1)
		}
	}()
	defer func() { t.w.cfg.Metrics.Throttled.WithLabelValues(t.system).Observe(time.Since(began).Seconds()) }()
	patience := func(detail Detail) (time.Duration, error) {
		if until.IsZero() {
			return time.Hour, nil
		}
		left := until.Sub(t.w.now())
		if left <= 0 {
			return 0, &waitedError{detail}
		}
		return left, nil
	}
	for {
		left, err := patience(DetailQueued)
		if err != nil {
			return nil, err
		}
		if err := t.slot(ctx, left); err != nil {
			return nil, err
		}
		wait, changed, detail, probe := t.admit()
		if detail == DetailNone {
			if !final && t.finals.Load() > 0 {
				wait = yield
			} else if wait, err = t.take(ctx, n); err == nil && wait == 0 {
				return &grant{t: t, probe: probe, write: write}, nil
			}
			if final && !short {
				short = true
				t.finals.Add(1)
			}
			detail = Detail(ats.CodeRateLimited)
			t.abandon(probe)
		}
		<-t.slots
		if err != nil {
			return nil, err
		}
		if left, err = patience(detail); err != nil {
			return nil, err
		}
		if wait <= 0 || wait > left {
			wait = left
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		timer.Stop()
	}
}

// yield is how long others leave the limit to a final that waits, before they look again.
const yield = 20 * time.Millisecond

// slot takes one of the calls at once, and waits for it no longer than left.
func (t *tenant) slot(ctx context.Context, left time.Duration) error {
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case t.slots <- struct{}{}:
		return nil
	case <-timer.C:
		return &waitedError{DetailQueued}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// admit asks the penalty and the breaker. An empty detail admits.
func (t *tenant) admit() (wait time.Duration, changed <-chan struct{}, why Detail, probe bool) {
	now := t.w.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.paused.After(now) {
		return t.paused.Sub(now), t.changed, Detail(ats.CodeRateLimited), false
	}
	wait, ok := t.breaker.allow(now)
	if !ok {
		return wait, t.changed, Detail(t.breaker.code), false
	}
	return 0, t.changed, DetailNone, t.breaker.open
}

// take asks the shared rate limit for n requests.
func (t *tenant) take(ctx context.Context, n int) (time.Duration, error) {
	l := t.w.cfg.Systems[t.system].Limiter
	if l == nil {
		return 0, nil
	}
	wait, err := l.Take(ctx, t.system, n)
	for n > 1 && errors.Is(err, ratelimit.ErrNeverFits) {
		n-- // as many as ever go at once
		wait, err = l.Take(ctx, t.system, n)
	}
	if err != nil {
		return 0, fmt.Errorf("take from the rate limit: %w", err)
	}
	return wait, nil
}

func (t *tenant) abandon(probe bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.breaker.abandon(probe)
	if probe {
		t.signal()
	}
}

// abandon gives the permission back unused.
func (g *grant) abandon() {
	g.t.abandon(g.probe)
	<-g.t.slots
}

// done takes the call's result. It tells whether this call parked the system.
func (g *grant) done(ctx context.Context, err error) transition {
	t := g.t
	defer func() { <-t.slots }()
	now := t.w.now()
	var penalty time.Duration
	var e *ats.Error
	if errors.As(err, &e) && e.Code == ats.CodeRateLimited {
		penalty = e.RetryAfter
		if penalty <= 0 {
			penalty = t.w.backoff(1)
		}
	}
	t.mu.Lock()
	if ctx.Err() != nil && err != nil {
		// Our own end says nothing about the system.
		t.breaker.abandon(g.probe)
		t.signal()
		t.mu.Unlock()
		return unchanged
	}
	change := t.breaker.record(now, g.probe, g.write, err, rand.Float64())
	if broken, _ := fault(err); !broken {
		t.lastOK = now
	}
	if until := now.Add(penalty); penalty > 0 && until.After(t.paused) {
		t.paused = until
	}
	if change != unchanged || g.probe || penalty > 0 {
		t.signal()
	}
	t.mu.Unlock()
	if l := t.w.cfg.Systems[t.system].Limiter; l != nil && penalty > 0 {
		// The other processes share the penalty. An error is that of ctx, and the job sees that itself.
		if err := l.Block(ctx, t.system, penalty); err != nil && ctx.Err() == nil {
			t.w.log.Warn("penalty is not shared")
		}
	}
	return change
}
