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

// Latency is the time from the moment an event was due to be produced to the moment its decision was read committed, and
// beside it that of a copy under the same load: what client and cluster take alone.
type Latency struct {
	Interval time.Duration `json:"commit_interval_ns"`
	Rate     int           `json:"events_per_second"`
	Timing
	Copy Timing `json:"copy"`
}

// Timing is how long events took.
type Timing struct {
	Events int     `json:"events"`
	P50    float64 `json:"p50_ms"`
	P99    float64 `json:"p99_ms"`
	Max    float64 `json:"max_ms"`
}

// A rate is kept for warmUp before its events count, and longer while the start has left more than half a second's events
// waiting, as that of a broker just started does. A rate that is too high never gets there: it counts after warmUpLimit.
const (
	warmUp      = 3 * time.Second
	warmUpLimit = 30 * time.Second
)

// Latency measures every rate at every commit interval: the reconciler at all rates of an interval, then the copy of what
// it wrote there. A broker that is not warm, just started, is slow for its first minute: then what comes first is run twice.
func (b *Bench) Latency(ctx context.Context, warm bool) ([]Latency, error) {
	if !warm && len(b.Plan.Intervals) > 0 {
		b.Say("not counted, to warm the broker up:")
		if _, _, err := b.reconcilerLatency(ctx, b.Plan.Intervals[0]); err != nil {
			return nil, fmt.Errorf("warm the broker up: %w", err)
		}
	}
	var out []Latency
	for _, interval := range b.Plan.Intervals {
		mine, shape, err := b.reconcilerLatency(ctx, interval)
		if err != nil {
			return nil, fmt.Errorf("commit interval %s: %w", interval, err)
		}
		theirs, err := b.copyLatency(ctx, interval, shape)
		if err != nil {
			return nil, fmt.Errorf("commit interval %s: copy: %w", interval, err)
		}
		for i, rate := range b.Plan.Rates {
			out = append(out, Latency{Interval: interval, Rate: rate, Timing: mine[i], Copy: theirs[i]})
		}
	}
	return out, nil
}

func (b *Bench) reconcilerLatency(ctx context.Context, interval time.Duration) ([]Timing, Shape, error) {
	d, err := b.newDeployment(ctx, append(append([]string{}, inputs...), outputs...)...)
	if err != nil {
		return nil, Shape{}, err
	}
	var decision wire.Decision
	out, err := b.timings(ctx, d, Role{Name: "reconciler"}, interval, probe{
		topic: topics.HiringDecisions,
		asked: func(_ *kgo.Record, id string) string { return id },
		answered: func(rec *kgo.Record) (string, error) {
			err := b.Schemas.DecodeLocal(rec.Value, &decision)
			return decision.EventID, err
		},
	})
	if err != nil {
		return nil, Shape{}, err
	}
	n, err := b.ends(ctx, inputs...)
	if err != nil {
		return nil, Shape{}, err
	}
	shape, _, err := b.shape(ctx, n)
	if err != nil {
		return nil, Shape{}, err
	}
	return out, shape, d.end(ctx)
}

func (b *Bench) copyLatency(ctx context.Context, interval time.Duration, shape Shape) ([]Timing, error) {
	d, err := b.newCopy(ctx, shape, inputs...)
	if err != nil {
		return nil, err
	}
	for i := range shape.Outputs {
		if o := &shape.Outputs[i]; o.Topic == copyOf(topics.HiringDecisions) {
			o.PerInput = 1 // those that no event asked for left out, each event has its answer
		}
	}
	role, err := b.copyRole(shape)
	if err != nil {
		return nil, err
	}
	return b.timings(ctx, d, role, interval, probe{
		topic:    copyOf(topics.HiringDecisions),
		asked:    func(rec *kgo.Record, _ string) string { return string(rec.Key) },
		answered: func(rec *kgo.Record) (string, error) { return string(rec.Key), nil },
	})
}

// timings runs a role and measures each rate.
func (b *Bench) timings(ctx context.Context, d *deployment, role Role, interval time.Duration, pr probe) ([]Timing, error) {
	role.Set = map[string]string{"stream.commit_interval": interval.String()}
	p, err := d.start(role)
	if err != nil {
		return nil, err
	}
	defer p.kill()
	w, err := b.newWatch(ctx, pr)
	if err != nil {
		return nil, err
	}
	defer w.stop()
	if err := b.until(ctx, stall, "the sessions meet", func() (bool, error) {
		if err := p.alive(); err != nil {
			return false, err
		}
		return b.settled(ctx, d.group)
	}); err != nil {
		return nil, err
	}
	traffic := &traffic{w: writer{seed: b.Plan.Seed, schemas: b.Schemas}, rng: rand.New(rand.NewPCG(b.Plan.Seed, 2)), had: make([]uint32, b.Plan.LatencyApplications)}
	var out []Timing
	for _, rate := range b.Plan.Rates {
		t, err := b.timing(ctx, p, w, traffic, rate)
		if err != nil {
			return nil, fmt.Errorf("%d events/s: %w", rate, err)
		}
		b.Say("commit interval %s, %d events/s, %s: p50 %.1f ms, p99 %.1f ms, max %.1f ms", interval, rate, role.Name, t.P50, t.P99, t.Max)
		out = append(out, t)
	}
	return out, p.stop(ctx)
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

func (b *Bench) timing(ctx context.Context, p *process, w *watch, t *traffic, rate int) (Timing, error) {
	// Kafka's own clients wait 5 ms by default for more to send.
	cl, err := b.client(kgo.ProducerLinger(5*time.Millisecond), kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.MaxBufferedRecords(1<<20))
	if err != nil {
		return Timing{}, err
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
			return Timing{}, err
		}
		now := time.Now()
		if !counts && (now.Sub(started) > warmUpLimit || now.Sub(started) > warmUp && w.waiting() < rate/2) {
			counts, total = true, i+want
			w.begin(due(i), want)
		}
		// Whatever is due goes at once, and counts from when it was due: a slow generator must not hide a slow answer.
		for ; i < total && !due(i).After(now); i++ {
			rec, id := t.next(now)
			w.expect(w.asked(rec, id), due(i))
			cl.Produce(ctx, rec, func(_ *kgo.Record, err error) {
				if err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			})
		}
		if err := failed.Load(); err != nil {
			return Timing{}, fmt.Errorf("produce: %w", *err)
		}
	}
	if err := b.until(ctx, stall, "every event is decided", func() (bool, error) {
		if err := p.alive(); err != nil {
			return false, err
		}
		return w.complete(), w.failed()
	}); err != nil {
		return Timing{}, err
	}
	took := w.took()
	slices.Sort(took)
	at := func(q float64) float64 { return took[min(int(q*float64(len(took))), len(took)-1)].Seconds() * 1000 }
	return Timing{Events: len(took), P50: at(0.5), P99: at(0.99), Max: at(1)}, nil
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

// probe tells which committed record of a topic answers which event. Answers that share a name come in the order of their events.
type probe struct {
	topic    string
	asked    func(event *kgo.Record, id string) string
	answered func(*kgo.Record) (string, error)
}

// watch reads the committed answers as they appear and knows when each awaited one came. Safe for concurrent use.
type watch struct {
	probe
	client *kgo.Client
	ended  chan struct{}

	mu    sync.Mutex
	open  map[string][]time.Time // when the events of a name were due that have no answer yet
	left  int                    // how many those are
	from  time.Time              // events due earlier do not count
	times []time.Duration
	want  int
	err   error
}

func (b *Bench) newWatch(ctx context.Context, pr probe) (*watch, error) {
	cl, err := b.client(kgo.ConsumeTopics(pr.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return nil, err
	}
	w := &watch{probe: pr, client: cl, ended: make(chan struct{}), open: map[string][]time.Time{}}
	go func() {
		defer close(w.ended)
		for {
			fetches := cl.PollFetches(ctx)
			now := time.Now()
			if fetches.IsClientClosed() || ctx.Err() != nil {
				return
			}
			w.mu.Lock()
			if err := fetches.Err(); err != nil {
				w.err = fmt.Errorf("read %s: %w", pr.topic, err)
			}
			fetches.EachRecord(func(rec *kgo.Record) {
				name, err := w.answered(rec)
				if err != nil {
					w.err = fmt.Errorf("%s/%d@%d: %w", rec.Topic, rec.Partition, rec.Offset, err)
					return
				}
				w.close(name, now)
			})
			w.mu.Unlock()
		}
	}()
	return w, nil
}

// close takes the answer to the first event of a name; mu is held.
func (w *watch) close(name string, now time.Time) {
	dues := w.open[name]
	switch len(dues) {
	case 0:
		return
	case 1:
		delete(w.open, name)
	default:
		w.open[name] = dues[1:]
	}
	w.left--
	if !dues[0].Before(w.from) {
		w.times = append(w.times, now.Sub(dues[0]))
	}
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

// waiting is how many events have no answer yet.
func (w *watch) waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.left
}

func (w *watch) expect(name string, due time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open[name] = append(w.open[name], due)
	w.left++
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
