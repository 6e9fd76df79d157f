package writeback

import (
	"context"
	"time"
)

// budget keeps the calls that repeat a failed one below a fifth of all, so that they do not make a bad time worse: each call
// earns a part of one. Where no other call is made for a while one may go all the same, on credit, which the calls to come
// pay back, and a run of calls that work ends the bad time. Its tenant locks it.
type budget struct {
	left  float64   // below 0: owed
	run   int       // of calls that worked
	next  time.Time // when one may go on credit
	every time.Duration
}

const (
	budgetMost = 10 // what is kept for a bad moment
	budgetEarn = 0.15
	budgetRun  = 20
)

// called takes the result of a call.
func (b *budget) called(now time.Time, failed bool) {
	b.next = now.Add(b.every)
	b.left = min(b.left+budgetEarn, budgetMost)
	if b.run++; failed {
		b.run = 0
	} else if b.run >= budgetRun {
		b.left = budgetMost
	}
}

// allow reports whether a call that repeats another may go now, and else when one may.
func (b *budget) allow(now time.Time) (wait time.Duration, ok bool) {
	if b.left < 1 && now.Before(b.next) {
		return b.next.Sub(now), false
	}
	b.left--
	b.next = now.Add(b.every)
	return 0, true
}

// repeats waits until a call that repeats a failed one may go. The error is a *waitedError when until passes first (zero
// waits for ever), or that of ctx.
func (t *tenant) repeats(ctx context.Context, until time.Time, why Detail) error {
	for {
		left, err := t.patience(until, why)
		if err != nil {
			return err
		}
		t.mu.Lock()
		pause, ok := t.retries.allow(t.w.now())
		changed := t.changed
		t.mu.Unlock()
		if ok {
			t.w.cfg.Metrics.Repeated.WithLabelValues(t.system).Inc()
			return nil
		}
		if _, err := wait(ctx, min(pause, left), changed, nil); err != nil {
			return err
		}
	}
}
