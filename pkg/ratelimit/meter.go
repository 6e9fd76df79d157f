package ratelimit

import (
	"context"
	"sync"
	"time"
)

// Meter pays for the requests of one key, each once: out of what was taken ahead for those who are about to make several,
// else one by one. Whoever sends the requests pays, so that none goes uncounted; whoever means to make several takes them
// ahead, so that they are not held up half way. Safe for concurrent use.
type Meter struct {
	limiter *Limiter
	key     string
	quota   *quota // of a day; nil where nothing bounds it

	mu    sync.Mutex
	held  int // taken ahead by those who have not given it back
	ahead int // of it, what no request has used
	lost  int // of what requests have used, that of those nobody answered
}

// Meter returns the meter of a key. A process has one for each key: what is taken ahead is not shared between two.
func (l *Limiter) Meter(key string) *Meter {
	m := &Meter{limiter: l, key: key}
	if l.cfg.Daily > 0 {
		m.quota = &quota{limiter: l, key: key}
	}
	return m
}

// Daily is how many requests a day has; 0: any number.
func (m *Meter) Daily() int { return m.limiter.cfg.Daily }

// Left is how many requests the day has left, as this process last heard; 0 where nothing bounds it.
func (m *Meter) Left() int {
	if m.quota == nil {
		return 0
	}
	return m.quota.left()
}

// take takes n requests from the rate, behind who waits for more, and from what the day has beyond keep.
func (m *Meter) take(ctx context.Context, n, behind, keep int) (time.Duration, receipt, error) {
	wait, r, err := m.limiter.take(ctx, m.key, want{n, behind, inUse})
	if err != nil || wait > 0 || m.quota == nil {
		return wait, r, err
	}
	keep = min(keep, m.Daily()-n) // a day that has just begun has room for anybody
	if wait, r.day, err = m.quota.take(ctx, n, keep); err != nil || wait > 0 {
		m.limiter.settle(context.WithoutCancel(ctx), m.key, n, 0, r)
		return wait, receipt{}, err
	}
	return 0, r, nil
}

// settle ends requests that were taken. Those that were lost, sent and not answered, the server may count at any time to come:
// they stay in use for as long as they were thought to last at most.
func (m *Meter) settle(ctx context.Context, unused, used, lost int, r receipt) {
	m.limiter.settle(ctx, m.key, unused, used, r)
	if m.quota != nil {
		m.quota.settle(ctx, unused, used+lost, r.day)
	}
}

// Advance is what was taken ahead for one who makes several requests. Its GiveBack has to be called.
type Advance struct {
	m       *Meter
	n       int
	receipt receipt
}

// Ahead takes n requests, or as many as ever go at once, if the day has keep more for others; behind somebody who waits for
// more than n, only if that one does not wait longer then. A wait of zero means that they are taken; else nothing is, and the
// caller should ask again after the wait. The error is that of ctx.
func (m *Meter) Ahead(ctx context.Context, n, behind, keep int) (*Advance, time.Duration, error) {
	most := m.limiter.cfg.Limit.most()
	n, behind = min(n, most), min(behind, most)
	if m.quota != nil {
		n = min(n, m.Daily())
	}
	wait, r, err := m.take(ctx, n, behind, keep)
	if err != nil || wait > 0 {
		return nil, wait, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held += n
	m.ahead += n
	return &Advance{m, n, r}, 0, nil
}

// GiveBack ends an advance. What no request has used goes back.
func (a *Advance) GiveBack(ctx context.Context) {
	m := a.m
	m.mu.Lock()
	m.held -= a.n
	unused := min(max(m.ahead-m.held, 0), a.n)
	m.ahead -= unused
	lost := min(m.lost, a.n-unused)
	m.lost -= lost
	m.mu.Unlock()
	m.settle(ctx, unused, a.n-unused-lost, lost, a.receipt)
}

// ended notes the end of a request that was taken ahead.
func (m *Meter) ended(answered bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !answered && m.held > 0 {
		m.lost++
	}
}

// Pay pays for one request, and waits where nothing is left of what was taken ahead. Done has to be called when the request
// has ended: answered is false where it was sent and no answer came, so that the server may count it yet. The error is that
// of ctx.
func (m *Meter) Pay(ctx context.Context) (done func(answered bool), err error) {
	m.mu.Lock()
	if m.ahead > 0 {
		m.ahead--
		m.mu.Unlock()
		return m.ended, nil
	}
	m.mu.Unlock()
	return m.PayKeeping(ctx, 0)
}

// PayKeeping is Pay for those who come last: nothing goes out of what others took ahead, and it waits until the day has keep
// more for them.
func (m *Meter) PayKeeping(ctx context.Context, keep int) (done func(answered bool), err error) {
	for {
		wait, r, err := m.take(ctx, 1, 0, keep)
		if err != nil {
			return nil, err
		}
		if wait == 0 {
			return func(answered bool) {
				used := 0
				if answered {
					used = 1
				}
				m.settle(context.WithoutCancel(ctx), 0, used, 1-used, r)
			}, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// inUse is how long a request or several are thought to last at most: until they have ended they count, as nobody knows when
// the server counts them.
const inUse = 20 * time.Second

// Block keeps everyone away for d, as the server asked: see [Limiter.Block].
func (m *Meter) Block(ctx context.Context, d time.Duration) error {
	return m.limiter.Block(ctx, m.key, d)
}

// Degraded reports whether the process keeps to its share: see [Limiter.Degraded].
func (m *Meter) Degraded() bool { return m.limiter.Degraded() }
