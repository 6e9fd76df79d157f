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

	mu    sync.Mutex
	held  int // taken ahead by those who have not given it back
	ahead int // of it, what no request has used
}

// Meter returns the meter of a key. A process has one for each key: what is taken ahead is not shared between two.
func (l *Limiter) Meter(key string) *Meter { return &Meter{limiter: l, key: key} }

// Ahead takes n requests, or as many as ever go at once; GiveBack has to follow. A wait of zero means that they are taken,
// and how many; else nothing is, and the caller should ask again after the wait. The error is that of ctx.
func (m *Meter) Ahead(ctx context.Context, n int) (taken int, wait time.Duration, err error) {
	n = min(n, m.limiter.cfg.Limit.most())
	if wait, err = m.limiter.Take(ctx, m.key, n); err != nil || wait > 0 {
		return 0, wait, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held += n
	m.ahead += n
	return n, 0, nil
}

// GiveBack ends what Ahead began. What no request has used is lost, unless others have taken ahead and use it.
func (m *Meter) GiveBack(taken int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held -= taken
	m.ahead = min(m.ahead, m.held)
}

// Pay pays for one request, and waits where nothing is left of what was taken ahead. The error is that of ctx.
func (m *Meter) Pay(ctx context.Context) error {
	m.mu.Lock()
	if m.ahead > 0 {
		m.ahead--
		m.mu.Unlock()
		return nil
	}
	m.mu.Unlock()
	return m.limiter.Wait(ctx, m.key, 1)
}

// Block keeps everyone away for d, as the server asked: see [Limiter.Block].
func (m *Meter) Block(ctx context.Context, d time.Duration) error {
	return m.limiter.Block(ctx, m.key, d)
}

// Degraded reports whether the process keeps to its share: see [Limiter.Degraded].
func (m *Meter) Degraded() bool { return m.limiter.Degraded() }
