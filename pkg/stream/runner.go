package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Runner runs the sessions of one consumer group in this process.
type Runner[S any] struct {
	cfg          Config
	codec        Codec[S]
	newProcessor func(Env) (Processor[S], error)
	sessions     []*session[S]
	waiting      atomic.Pointer[string] // what the start waits for
	watch        watch
}

// New checks the configuration, naming every fault at once, and returns a
// runner that is not running yet. newProcessor is called once for each session
// whenever it starts; an error of it is fatal.
func New[S any](cfg Config, codec Codec[S], newProcessor func(Env) (Processor[S], error)) (*Runner[S], error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("stream configuration: %w", err)
	}
	if codec.Decode == nil || codec.Append == nil {
		return nil, fmt.Errorf("stream configuration: codec needs Decode and Append")
	}
	r := &Runner[S]{cfg: cfg, codec: codec, newProcessor: newProcessor}
	for id := range cfg.Sessions {
		r.sessions = append(r.sessions, r.newSession(id))
	}
	r.watch = watch{cfg: &r.cfg, held: make(map[partitionOf]hold)}
	r.wait("not started")
	return r, nil
}

func (r *Runner[S]) wait(what string) { r.waiting.Store(&what) }

// Run consumes until ctx ends or an error is fatal. When ctx ends it stops
// polling, commits what is in hand, leaves the group and returns nil. The
// errors of this package say what a fatal error was.
func (r *Runner[S]) Run(ctx context.Context) error {
	pl, err := r.preflight(ctx)
	if err != nil {
		r.wait(err.Error())
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	r.waiting.Store(nil)
	defer r.wait("stopped")
	r.watch.plan = pl
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.watch.run(ctx) })
	for _, s := range r.sessions {
		g.Go(func() error { return s.run(ctx, pl, r.newProcessor) })
	}
	return g.Wait()
}

// Ready says in words why the runner is not making progress; empty is ready.
// Safe for concurrent use.
func (r *Runner[S]) Ready() []string {
	if what := r.waiting.Load(); what != nil {
		return []string{*what}
	}
	reasons := r.watch.reasons()
	for _, s := range r.sessions {
		for _, reason := range s.reasons() {
			reasons = append(reasons, fmt.Sprintf("session %d: %s", s.id, reason))
		}
	}
	return reasons
}

// silence is after how long without a sign a session counts as stuck.
const silence = 10 * time.Second

func (s *session[S]) reasons() []string {
	s.mu.Lock()
	status, trouble := s.status, s.trouble
	if time.Since(s.troubled) > silence {
		trouble = "" // whatever it was, it has not come again
	}
	s.mu.Unlock()
	var out []string
	if status != "" {
		out = append(out, status)
	}
	if trouble != "" {
		out = append(out, trouble)
	}
	now := time.Now()
	since := func(ns int64) time.Duration { return now.Sub(time.Unix(0, ns)).Round(time.Millisecond) }
	if ns := s.begun.Load(); ns != 0 {
		if d := since(ns); d > s.cfg.TransactionTimeout {
			out = append(out, fmt.Sprintf("transaction has been open for %v", d))
		}
	} else if ns := s.polled.Load(); ns != 0 && since(ns) > silence {
		out = append(out, fmt.Sprintf("has not polled for %v", since(ns)))
	}
	if ns := s.heartbeat.Load(); ns != 0 && since(ns) > silence+3*s.cfg.HeartbeatInterval {
		out = append(out, fmt.Sprintf("Kafka has answered no heartbeat for %v", since(ns)))
	}
	return out
}

func (s *session[S]) setStatus(status string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

func (s *session[S]) setTrouble(err error) {
	trouble := ""
	var link *net.OpError
	switch {
	case errors.As(err, &link): // all that a session speaks to over the network
		trouble = "Kafka does not answer: " + err.Error()
	case err != nil:
		trouble = "trying again: " + err.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble, s.troubled = trouble, time.Now()
}

// describe sets the status from what is owned and what is active.
func (s *session[S]) describe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = ""
	if n := len(s.owned) - len(s.active); n > 0 {
		s.status = fmt.Sprintf("restoring %d of %d partitions", n, len(s.owned))
	}
}
