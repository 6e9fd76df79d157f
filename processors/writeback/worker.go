package writeback

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/deadletter"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// Worker is the write-back worker of one process. Run it once.
type Worker struct {
	cfg     Config
	runner  *stream.Runner[*State]
	log     *zap.Logger
	byName  map[string]*tenant
	tenants []*tenant // sorted by name

	draining context.Context // ends when no job may start
	drain    context.CancelFunc
	mu       sync.Mutex // orders begin against the drain
	jobs     sync.WaitGroup
	guards   sync.WaitGroup
}

// New checks the configuration, naming every fault at once, and returns a worker that is not running yet.
func New(cfg Config) (*Worker, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("write-back configuration: %w", err)
	}
	s := &cfg.Stream
	s.Inputs = []string{topics.ATSCommands}
	s.Changelog = topics.WritebackState
	s.Outputs = []string{topics.ATSOutcomes, topics.ATSChanges, topics.HiringConflicts, topics.CandidateEvents}
	s.PanicCause = string(wire.CauseFoldPanic)
	if s.DeadLetter == nil {
		group := s.Group
		s.DeadLetter = func(rec *kgo.Record, cause string, err error, now time.Time) *kgo.Record {
			return deadletter.Record(rec, cause, err, group, now)
		}
	}
	w := &Worker{cfg: cfg, log: s.Logger.Named("writeback")}
	w.draining, w.drain = context.WithCancel(context.Background())
	w.byName, w.tenants = newTenants(w)
	cfg.Metrics.mu.Lock()
	cfg.Metrics.tenants = w.tenants
	cfg.Metrics.mu.Unlock()
	runner, err := stream.New(*s, codec, func(stream.Env) (stream.Processor[*State], error) {
		return &processor{w: w, parts: make(map[int32]*part)}, nil
	})
	if err != nil {
		return nil, err
	}
	w.runner = runner
	return w, nil
}

// Run works until ctx ends or an error is fatal. When ctx ends no further call is begun, the calls under way are
// finished and their outcomes committed, for as long as DrainTimeout; then the partitions are given back.
func (w *Worker) Run(ctx context.Context) error {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		w.stopJobs(w.cfg.DrainTimeout)
		cancel()
	})
	err := w.runner.Run(run)
	if stop() { // ended by itself
		w.stopJobs(0)
	}
	cancel()
	w.jobs.Wait()
	w.guards.Wait()
	return err
}

// Ready says in words why the worker is not making progress; empty is ready. A parked system is not among the
// reasons: the worker is fine.
func (w *Worker) Ready() []string { return w.runner.Ready() }

// Parked says in words which systems are not called, which policies of commands cannot be used, and why. Safe for concurrent use.
func (w *Worker) Parked() []string {
	var out []string
	for _, t := range w.tenants {
		t.mu.Lock()
		open, code := t.breaker.open, t.breaker.code
		var waits []string
		for d, l := range t.lost {
			waits = append(waits, fmt.Sprintf("%s: commands of policy %s wait: %s", t.system, hex.EncodeToString(d[:]), l.why))
		}
		t.mu.Unlock()
		slices.Sort(waits)
		out = append(out, waits...)
		if open {
			out = append(out, fmt.Sprintf("%s is parked: %s", t.system, cmp.Or(string(code), "it does not answer")))
		}
	}
	return out
}

// begin registers a job; false means that the worker drains. Safe for concurrent use.
func (w *Worker) begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.draining.Err() != nil {
		return false
	}
	w.jobs.Add(1)
	return true
}

// stopJobs lets no job begin and waits for those under way, as long as patience.
func (w *Worker) stopJobs(patience time.Duration) {
	w.mu.Lock()
	w.drain()
	w.mu.Unlock()
	done := make(chan struct{})
	go func() {
		w.jobs.Wait()
		close(done)
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

func (w *Worker) now() time.Time { return w.cfg.Stream.Clock() }

// backoff is the pause before try n+1, n from 1: it doubles, with jitter of half of it.
func (w *Worker) backoff(n int) time.Duration {
	d := w.cfg.Backoff
	for ; n > 1 && d < w.cfg.MaxBackoff; n-- {
		d *= 2
	}
	d = min(d, w.cfg.MaxBackoff)
	return d/2 + rand.N(d/2+1)
}

// pause waits; the error is that of ctx.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// gone reports whether an error means that the partition is no longer ours.
func gone(err error) bool { return errors.Is(err, stream.ErrGone) || errors.Is(err, context.Canceled) }
