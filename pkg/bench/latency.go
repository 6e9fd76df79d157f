package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// Latency is the time from the moment an event was due to be produced to the moment its decision was read committed.
type Latency struct {
	Interval time.Duration `json:"commit_interval_ns"`
	Rate     int           `json:"events_per_second"`
	Events   int           `json:"events"`
	P50      float64       `json:"p50_ms"`
	P99      float64       `json:"p99_ms"`
	Max      float64       `json:"max_ms"`
}

// A rate is kept for warmUp before its events count, and longer while the start has left more than half a second's events
// waiting, as that of a broker just started does. A rate that is too high never gets there: it counts after warmUpLimit.
const (
	warmUp      = 3 * time.Second
	warmUpLimit = 30 * time.Second
)

// Latency measures every rate at every commit interval; one process serves all rates of an interval.
func (b *Bench) Latency(ctx context.Context) ([]Latency, error) {
	var out []Latency
	for _, interval := range b.Plan.Intervals {
		got, err := b.latencies(ctx, interval)
		if err != nil {
			return nil, fmt.Errorf("commit interval %s: %w", interval, err)
		}
		out = append(out, got...)
	}
	return out, nil
}

func (b *Bench) latencies(ctx context.Context, interval time.Duration) ([]Latency, error) {
	d, err := b.newDeployment(ctx, append(append([]string{}, inputs...), outputs...)...)
	if err != nil {
		return nil, err
	}
	p, err := d.start(Role{Name: "reconciler", Set: map[string]string{"stream.commit_interval": interval.String()}})
	if err != nil {
		return nil, err
	}
	defer p.kill()
	w, err := b.newWatch(ctx)
	if err != nil {
		return nil, err
	}
	defer w.stop()
	if err := b.until(ctx, stall, "the reconciler's sessions meet", func() (bool, error) {
		if err := p.alive(); err != nil {
			return false, err
		}
		return b.settled(ctx, d.group)
	}); err != nil {
		return nil, err
	}
	traffic := &traffic{w: writer{seed: b.Plan.Seed, schemas: b.Schemas}, rng: rand.New(rand.NewPCG(b.Plan.Seed, 2)), had: make([]uint32, b.Plan.LatencyApplications)}
	var out []Latency
	for _, rate := range b.Plan.Rates {
		l, err := b.latency(ctx, p, w, traffic, rate)
		if err != nil {
			return nil, fmt.Errorf("%d events/s: %w", rate, err)
		}
		l.Interval = interval
		b.Say("commit interval %s, %d events/s: p50 %.1f ms, p99 %.1f ms, max %.1f ms", interval, rate, l.P50, l.P99, l.Max)
		out = append(out, l)
	}
	if err := p.stop(ctx); err != nil {
		return nil, err
	}
	return out, d.end(ctx)
}

// traffic makes events that happen now.
type traffic struct {
	w   writer
	rng *rand.Rand
	had []uint32
}

// next returns an event and its identity.
func (t *traffic) next(now time.Time) (*kgo.Record, string) {
	app := t.rng.IntN(len(t.had))
	n := int(t.had[app])
	t.had[app]++
	return t.w.record(uint64(app), n, now), t.w.id(uint64(app), n)
}

func (b *Bench) latency(ctx context.Context, p *process, w *watch, t *traffic, rate int) (Latency, error) {
	// Kafka's own clients wait 5 ms by default for more to send.
	cl, err := b.client(kgo.ProducerLinger(5*time.Millisecond), kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.MaxBufferedRecords(1<<20))
	if err != nil {
		return Latency{}, err
	}
	defer cl.Close()
	var failed atomic.Pointer[error]
	want := int(b.Plan.LatencyTime.Seconds() * float64(rate))
	total := int(warmUpLimit.Seconds()*float64(rate)) + want // at most
	counts := false
	started := time.Now()
	due := func(i int) time.Time {
		return started.Add(time.Duration(float64(i) / float64(rate) * float64(time.Second)))
	}
	for i := 0; i < total; {
		if err := pause(ctx, time.Until(due(i))); err != nil {
			return Latency{}, err
		}
		now := time.Now()
		if !counts && (now.Sub(started) > warmUpLimit || now.Sub(started) > warmUp && w.waiting() < rate/2) {
			counts, total = true, i+want
			w.begin(due(i), want)
		}
		// Whatever is due goes at once, and counts from when it was due: a slow generator must not hide a slow answer.
		for ; i < total && !due(i).After(now); i++ {
			rec, id := t.next(now)
			w.expect(id, due(i))
			cl.Produce(ctx, rec, func(_ *kgo.Record, err error) {
				if err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			})
		}
		if err := failed.Load(); err != nil {
			return Latency{}, fmt.Errorf("produce: %w", *err)
		}
	}
	if err := b.until(ctx, stall, "every event is decided", func() (bool, error) {
		if err := p.alive(); err != nil {
			return false, err
		}
		return w.complete(), w.failed()
	}); err != nil {
		return Latency{}, err
	}
	took := w.took()
	slices.Sort(took)
	at := func(q float64) float64 { return took[min(int(q*float64(len(took))), len(took)-1)].Seconds() * 1000 }
	return Latency{Rate: rate, Events: len(took), P50: at(0.5), P99: at(0.99), Max: at(1)}, nil
}

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

// watch reads the committed decisions as they appear and knows when each awaited one came. Safe for concurrent use.
type watch struct {
	client *kgo.Client
	ended  chan struct{}

	mu    sync.Mutex
	open  map[string]time.Time // event -> when it was due
	from  time.Time            // events due earlier do not count
	times []time.Duration
	want  int
	err   error
}

func (b *Bench) newWatch(ctx context.Context) (*watch, error) {
	cl, err := b.client(kgo.ConsumeTopics(topics.HiringDecisions), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return nil, err
	}
	w := &watch{client: cl, ended: make(chan struct{}), open: map[string]time.Time{}}
	go func() {
		defer close(w.ended)
		var d wire.Decision
		for {
			fetches := cl.PollFetches(ctx)
			now := time.Now()
			if fetches.IsClientClosed() || ctx.Err() != nil {
				return
			}
			w.mu.Lock()
			if err := fetches.Err(); err != nil {
				w.err = fmt.Errorf("read %s: %w", topics.HiringDecisions, err)
			}
			fetches.EachRecord(func(rec *kgo.Record) {
				if err := b.Schemas.DecodeLocal(rec.Value, &d); err != nil {
					w.err = fmt.Errorf("decision at %d/%d: %w", rec.Partition, rec.Offset, err)
					return
				}
				if due, ok := w.open[d.EventID]; ok {
					if !due.Before(w.from) {
						w.times = append(w.times, now.Sub(due))
					}
					delete(w.open, d.EventID)
				}
			})
			w.mu.Unlock()
		}
	}()
	return w, nil
}

func (w *watch) stop() {
	w.client.Close()
	<-w.ended
}

// begin counts n events from now on, due at from or later.
func (w *watch) begin(from time.Time, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.from, w.want, w.times = from, n, make([]time.Duration, 0, n)
}

// waiting is how many events have no decision yet.
func (w *watch) waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.open)
}

func (w *watch) expect(id string, due time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open[id] = due
}

func (w *watch) complete() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.times) == w.want
}

func (w *watch) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *watch) took() []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.times
}
