// Package ratelimit bounds how often processes call a tenant's API, together.
//
// It is a generic cell rate algorithm (GCRA): per key it keeps one point in time, the
// theoretical arrival time (TAT) of the next request if all came evenly. A request of n
// units conforms if TAT, moved on by n intervals, is no further ahead of now than a burst;
// then it is stored, else nothing changes and the caller is told how long to wait. Beside
// it stands the end of a penalty that a server asked for (Retry-After).
//
// A limit without a burst is one that a server counts by windows. Then the times of the units
// taken within the last window are kept instead: no window, wherever it begins, has more than
// its rate, all of which may be taken at once.
//
// A quota of a calendar day stands beside either: a [Meter] takes from both, and leaves of the day's last what it is told to.
//
// The state is shared through Redis. Its clock is Redis' own (TIME), so that processes with
// different clocks agree; penalties are therefore given as durations, never as times. While
// Redis is away each process keeps to its share of the limit by its own clock: the sum of the
// shares is the limit; it begins once what others took through Redis is out of the window. It
// counts what it took itself, through Redis or without, so that neither the loss of Redis nor
// its return, full or empty, lets it take more than the limit.
package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/concord-ats/concord/pkg/redislink"
)

// Limit is how often something may be done. Rate and Window are positive.
type Limit struct {
	// Rate units in each Window.
	Rate   int
	Window time.Duration
	// Burst is how many units may be taken at once after a pause; 1 spreads them evenly. 0: units are counted, and no
	// window has more than Rate of them.
	Burst int
}

// ErrNeverFits reports a request for more units than a burst has: no wait helps.
var ErrNeverFits = errors.New("request exceeds the burst")

// ErrLimit reports a limit that is none.
var ErrLimit = errors.New("rate and window must be positive, and burst and daily not negative")

func (l Limit) check(n int) error {
	if l.Rate <= 0 || l.Window < time.Microsecond || l.Burst < 0 || l.interval() <= 0 {
		return fmt.Errorf("rate limit %d per %s, burst %d: %w", l.Rate, l.Window, l.Burst, ErrLimit)
	}
	if most := l.most(); n > most {
		return fmt.Errorf("take %d where %d go at once: %w", n, most, ErrNeverFits)
	}
	return nil
}

// counted reports whether units are counted by windows.
func (l Limit) counted() bool { return l.Burst == 0 }

// most is how many units can ever be taken at once.
func (l Limit) most() int {
	if l.counted() {
		return l.Rate
	}
	return l.Burst
}

// interval is the time of one unit in microseconds, rounded up: never faster than told.
func (l Limit) interval() int64 {
	window := l.Window.Microseconds()
	return (window + int64(l.Rate) - 1) / int64(l.Rate)
}

// whole is after how long without a request all of the limit is there again.
func (l Limit) whole() time.Duration {
	if l.counted() {
		return l.Window
	}
	return time.Duration(int64(l.Burst)*l.interval()) * time.Microsecond
}

// share returns a process's part of the limit: at least one unit at a time.
func (l Limit) share(processes int) Limit {
	if l.counted() && l.Rate < processes {
		return Limit{Rate: 1, Window: l.Window * time.Duration((processes+l.Rate-1)/l.Rate)}
	}
	if l.counted() {
		return Limit{Rate: l.Rate / processes, Window: l.Window}
	}
	return Limit{Rate: l.Rate, Window: l.Window * time.Duration(processes), Burst: max(1, l.Burst/processes)}
}

// Config of a Limiter. Limit is required.
type Config struct {
	// Limit of each key.
	Limit Limit
	// Daily bounds what a [Meter] takes on a calendar day, UTC, besides; 0: nothing does. [Limiter.Take] does not know of it.
	Daily int
	// Prefix of the keys in Redis; empty means "concord:r:".
	Prefix string
	// Processes is how many processes share the limit; zero means 1. It counts only while
	// Redis is away.
	Processes int
	// MaxBlock bounds a penalty, as a server may ask for anything; zero means 1 hour.
	MaxBlock time.Duration
	// Timeout bounds one call to Redis; zero means redislink.DefaultTimeout.
	Timeout time.Duration
	// Now is the clock of this process; nil means time.Now. Redis is asked for its own.
	Now func() time.Time
}

// Limiter limits any number of keys, all alike. Safe for concurrent use.
type Limiter struct {
	cfg     Config
	shared  *shared // nil: this process is alone
	local   *memory
	circuit redislink.Circuit
	heard   atomic.Int64 // when Redis last answered, in microseconds
	began   time.Time
}

// New returns a limiter whose keys are shared through the Redis that client speaks to.
// Open client with redislink.Bounded options. With a nil client the limiter is alone and
// keeps the whole limit in this process.
func New(client redis.UniversalClient, cfg Config) (*Limiter, error) {
	if err := cfg.Limit.check(1); err != nil {
		return nil, err
	}
	if cfg.Daily < 0 {
		return nil, fmt.Errorf("rate limit of %d a day: %w", cfg.Daily, ErrLimit)
	}
	if cfg.Prefix == "" {
		cfg.Prefix = "concord:r:"
	}
	if cfg.Processes <= 0 || client == nil {
		cfg.Processes = 1
	}
	if cfg.MaxBlock <= 0 {
		cfg.MaxBlock = time.Hour
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = redislink.DefaultTimeout
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	l := &Limiter{cfg: cfg, local: newMemory(), began: cfg.Now()}
	if client != nil {
		l.shared = &shared{client: client, prefix: cfg.Prefix}
	}
	return l, nil
}

// Take takes n units of key, all or none. A wait of zero means they are taken; else nothing
// is and the caller should ask again after the wait, not before. The error is ErrNeverFits
// where n exceeds what goes at once, or that of ctx; an unreachable Redis is none. n of zero or less
// takes nothing and tells the wait of a penalty.
func (l *Limiter) Take(ctx context.Context, key string, n int) (time.Duration, error) {
	wait, _, err := l.take(ctx, key, want{n: max(n, 0)})
	return wait, err
}

// receipt says where and when units were taken.
type receipt struct {
	at     int64 // in microseconds of our clock
	shared int64 // in those of Redis; 0 where it did not answer
	day    int64 // of the quota; 0 without
}

// want is what is asked for: n units, which count for hold and a window more, or until they are settled. With behind, more than
// n, they are taken only if whoever waits for that many does not wait longer then.
type want struct {
	n, behind int
	hold      time.Duration
}

func (l *Limiter) take(ctx context.Context, key string, ask want) (wait time.Duration, r receipt, err error) {
	if err := l.cfg.Limit.check(max(ask.n, ask.behind)); err != nil {
		return 0, r, err
	}
	// What this process took itself counts in any case: Redis may know nothing of it.
	now := l.now()
	if wait, r.at = l.local.take(key, l.cfg.Limit, ask, now); wait > 0 || l.shared == nil {
		return wait, r, nil
	}
	wait, ok, err := l.ask(ctx, func(ctx context.Context) (wait time.Duration, err error) {
		wait, r.shared, err = l.shared.take(ctx, key, l.cfg.Limit, ask)
		return wait, err
	})
	if ok && wait == 0 {
		return 0, r, nil
	}
	l.local.settle(key, l.cfg.Limit, ask.n, 0, r.at, now)
	if ok || err != nil {
		return wait, receipt{}, err
	}
	return l.alone(key, ask)
}

// alone takes units without Redis.
func (l *Limiter) alone(key string, ask want) (wait time.Duration, r receipt, err error) {
	now, limit := l.now(), l.cfg.Limit.share(l.cfg.Processes)
	if l.cfg.Processes > 1 {
		// Up to then another may have taken the whole limit.
		if left := time.Duration(l.heard.Load()-now.UnixMicro())*time.Microsecond + l.cfg.Limit.whole(); left > 0 {
			return min(left, lookAgain), r, nil
		}
	}
	// A burst larger than this process's share is granted at the price of its whole time.
	if most := max(ask.n, ask.behind); limit.counted() && most > limit.Rate {
		limit.Window *= time.Duration((most + limit.Rate - 1) / limit.Rate)
		limit.Rate = most
	} else if !limit.counted() {
		limit.Burst = max(limit.Burst, ask.n)
	}
	wait, r.at = l.local.take(key, limit, ask, now)
	return wait, r, nil
}

// lookAgain is after how long Redis is worth another question.
const lookAgain = 500 * time.Millisecond

// now is the process's clock, which goes on evenly however it is set.
func (l *Limiter) now() time.Time { return l.began.Add(l.cfg.Now().Sub(l.began)) }

// settle ends units that were taken: unused ones go back, used ones count from now on, as the server may have counted them
// as late as that. Where Redis does not answer they count as they were taken.
func (l *Limiter) settle(ctx context.Context, key string, unused, used int, r receipt) {
	limit := l.cfg.Limit
	if r.shared == 0 {
		limit = limit.share(l.cfg.Processes)
	}
	if unused == 0 && (used == 0 || !limit.counted()) {
		return
	}
	l.local.settle(key, limit, unused, used, r.at, l.now())
	if r.shared != 0 {
		l.share(ctx, key, unused, used, r.shared)
	}
}

func (l *Limiter) share(ctx context.Context, key string, unused, used int, at int64) {
	_, _, _ = l.ask(ctx, func(ctx context.Context) (time.Duration, error) {
		return 0, l.shared.settle(ctx, key, l.cfg.Limit, unused, used, at)
	})
}

// Wait takes n units of key as soon as there are as many. The error is that of Take.
func (l *Limiter) Wait(ctx context.Context, key string, n int) error {
	for {
		wait, err := l.Take(ctx, key, n)
		if err != nil || wait == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// Block keeps everyone from taking units of key for d, as its server asked. A shorter
// penalty never cuts a longer one, and none exceeds MaxBlock. The error is that of ctx.
func (l *Limiter) Block(ctx context.Context, key string, d time.Duration) error {
	d = min(d, l.cfg.MaxBlock)
	if d <= 0 {
		return nil
	}
	// Kept here too: Redis may be gone when it counts.
	l.local.block(key, d, l.now())
	if l.shared == nil {
		return nil
	}
	_, _, err := l.ask(ctx, func(ctx context.Context) (time.Duration, error) {
		return 0, l.shared.block(ctx, key, d)
	})
	return err
}

// Degraded reports whether Redis is held to be away and the process keeps to its share.
func (l *Limiter) Degraded() bool { return l.shared != nil && l.circuit.Open() }

// ask calls Redis unless it is held to be away. ok tells whether it answered; err is only
// that of the caller's ctx.
func (l *Limiter) ask(ctx context.Context, call func(context.Context) (time.Duration, error)) (_ time.Duration, ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return 0, false, err
	}
	if !l.circuit.Allow(l.cfg.Now()) {
		return 0, false, nil
	}
	bounded, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	wait, err := call(bounded)
	switch {
	case err == nil:
		l.circuit.Succeeded()
		l.heard.Store(l.now().UnixMicro())
		return wait, true, nil
	case ctx.Err() != nil:
		l.circuit.Abandoned()
		return 0, false, ctx.Err()
	case passed(ctx): // the connection noticed before the context
		l.circuit.Abandoned()
		return 0, false, context.DeadlineExceeded
	default:
		// An error that the server answered is no better: it keeps no state either.
		l.circuit.Failed(l.cfg.Now())
		return 0, false, nil
	}
}

func passed(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}
