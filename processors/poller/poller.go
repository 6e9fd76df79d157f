package poller

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// Group is the default consumer group.
const Group = "concord.poller"

// System is one ATS that is polled.
type System struct {
	Client ats.Client
	// Allow waits until one more request may be sent. Its error is the context's, or one to try again after.
	Allow func(context.Context) error
	// Pause keeps every caller of this ATS away from it for a time it has asked for.
	Pause func(context.Context, time.Duration) error
}

// Config is what a Poller needs.
type Config struct {
	Opts    []kgo.Opt // brokers, TLS, SASL
	Group   string    // consumer group ("concord.poller")
	Schemas *wire.Schemas
	Systems map[string]System // by ATS instance
	// Every is the time between two walks (5 min); Settle how long a webhook may take (30 s). What was lost is found within
	// the two and the time of a walk.
	Every, Settle time.Duration
	Registry      prometheus.Registerer // may be nil
	Logger        *zap.Logger           // may be nil
	Clock         func() time.Time      // time.Now when nil
}

func (c *Config) setDefaults() {
	c.Group = cmp.Or(c.Group, Group)
	c.Every, c.Settle = cmp.Or(c.Every, 5*time.Minute), cmp.Or(c.Settle, 30*time.Second)
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
}

func (c *Config) validate() error {
	var errs []error
	if c.Schemas == nil {
		errs = append(errs, errors.New("schemas: missing"))
	}
	if len(c.Systems) == 0 {
		errs = append(errs, errors.New("systems: give at least one ATS"))
	}
	for name, s := range c.Systems {
		if s.Client == nil || s.Allow == nil || s.Pause == nil {
			errs = append(errs, fmt.Errorf("system %q: give its client, its rate and its pause", name))
		}
	}
	if c.Every < 0 || c.Settle < 0 {
		errs = append(errs, fmt.Errorf("every %s, settle %s: must not be negative", c.Every, c.Settle))
	}
	return errors.Join(errs...)
}

// Poller walks the ATSs whose cursors it owns. Build one with New, run it once.
type Poller struct {
	cfg Config
	m   *metrics

	mu    sync.Mutex
	parts map[int32]*owned
	doubt map[string]string // by system: why it is not polled now
}

// owned is a partition of ats.cursors.
type owned struct {
	cancel context.CancelFunc
	ctx    context.Context
	end    int64 // what is before has to be read first
	ready  bool
	places map[string]place
	work   sync.WaitGroup
}

// New checks the configuration and returns a poller that has not started.
func New(cfg Config) (*Poller, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("poller: %w", err)
	}
	p := &Poller{cfg: cfg, m: newMetrics(cfg.Registry), parts: map[int32]*owned{}, doubt: map[string]string{}}
	for system := range cfg.Systems {
		p.m.walked.WithLabelValues(system).Set(seconds(cfg.Clock()))
	}
	return p, nil
}

// Ready returns, in words, what keeps the poller from working; empty means ready.
func (p *Poller) Ready() []string { return nil }

// Degraded returns, in words, which ATSs are not polled now, and why.
func (p *Poller) Degraded() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for system, why := range p.doubt {
		out = append(out, system+" is not polled: "+why)
	}
	slices.Sort(out)
	return out
}

// Run polls until ctx ends.
func (p *Poller) Run(ctx context.Context) error {
	client, err := kgo.NewClient(append(slices.Clone(p.cfg.Opts),
		kgo.ConsumerGroup(p.cfg.Group), kgo.ConsumeTopics(topics.ATSCursors), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.BlockRebalanceOnPoll(), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.OnPartitionsAssigned(func(ctx context.Context, _ *kgo.Client, m map[string][]int32) { p.assigned(ctx, m[topics.ATSCursors]) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { p.lost(m[topics.ATSCursors]) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { p.lost(m[topics.ATSCursors]) }))...)
	if err != nil {
		return fmt.Errorf("poller: kafka client: %w", err)
	}
	defer client.CloseAllowingRebalance()
	defer p.lostAll()
	for ctx.Err() == nil {
		polling, cancel := context.WithTimeout(ctx, time.Second)
		fetches := client.PollFetches(polling)
		cancel()
		fetches.EachRecord(p.read)
		fetches.EachError(func(topic string, partition int32, err error) {
			if !errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
				p.cfg.Logger.Warn("read the cursors", zap.String("topic", topic), zap.Int32("partition", partition), zap.Error(err))
			}
		})
		p.begin(client)
		client.AllowRebalance()
	}
	return nil
}

// assigned takes partitions; their cursors are read up to the end of now before anything is walked.
func (p *Poller) assigned(ctx context.Context, parts []int32) {
	for _, n := range parts {
		o := &owned{places: map[string]place{}, end: -1}
		o.ctx, o.cancel = context.WithCancel(context.WithoutCancel(ctx))
		p.mu.Lock()
		p.parts[n] = o
		p.mu.Unlock()
	}
}

func (p *Poller) lost(parts []int32) {
	for _, n := range parts {
		p.mu.Lock()
		o := p.parts[n]
		delete(p.parts, n)
		p.mu.Unlock()
		if o != nil {
			o.cancel()
			o.work.Wait()
		}
	}
}

func (p *Poller) lostAll() {
	p.mu.Lock()
	var parts []int32
	for n := range p.parts {
		parts = append(parts, n)
	}
	p.mu.Unlock()
	p.lost(parts)
}

// read takes one cursor; the newest of a key counts.
func (p *Poller) read(rec *kgo.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.parts[rec.Partition]
	if o == nil || o.ready {
		return // what follows is our own
	}
	var at place
	if err := json.Unmarshal(rec.Value, &at); err != nil {
		// An earlier place, or the very first, costs requests and loses nothing; a later one would pass over what changed.
		from, kept := o.places[string(rec.Key)]
		p.cfg.Logger.Warn("a cursor cannot be read: the walk goes on from the one before it, or from the start of all there is",
			zap.ByteString("key", rec.Key), zap.Bool("one_before", kept), zap.Error(err))
		o.places[string(rec.Key)] = from
		return
	}
	o.places[string(rec.Key)] = at
	if _, ok := p.cfg.Systems[string(rec.Key)]; ok && at.Cursor.Next == "" { // the end of a whole walk
		p.m.walked.WithLabelValues(string(rec.Key)).Set(seconds(rec.Timestamp))
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1e3 }

// begin starts the walks of partitions whose cursors have all been read.
func (p *Poller) begin(client *kgo.Client) {
	p.mu.Lock()
	waiting := map[int32]*owned{}
	for n, o := range p.parts {
		if !o.ready {
			waiting[n] = o
		}
	}
	p.mu.Unlock()
	if len(waiting) == 0 {
		return
	}
	starts, ends, err := bounds(client)
	if err != nil {
		p.cfg.Logger.Warn("where the cursors end is not known yet", zap.Error(err))
		return
	}
	positions := client.UncommittedOffsets()[topics.ATSCursors]
	keyed := kgo.StickyKeyPartitioner(nil).ForTopic(topics.ATSCursors)
	for n, o := range waiting {
		if o.end < 0 {
			o.end = ends[n]
		}
		if max(positions[n].Offset, starts[n]) < o.end {
			continue
		}
		p.mu.Lock()
		o.ready = true
		p.mu.Unlock()
		for system, s := range p.cfg.Systems {
			if keyed.Partition(&kgo.Record{Key: []byte(system)}, len(ends)) == int(n) {
				at, ok := o.places[system]
				if !ok {
					at.Cursor.Since = p.cfg.Clock().Add(-p.cfg.Every)
					p.cfg.Logger.Info("no place of an earlier walk: it begins with what is new; what is older is for `concord backfill`",
						zap.String("system", system), zap.Time("since", at.Cursor.Since))
				}
				o.work.Go(func() { p.poll(o.ctx, client, system, s, at) })
			}
		}
	}
}

// bounds are where the partitions of the cursors start and end now.
func bounds(client *kgo.Client) (starts, ends map[int32]int64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	adm := kadm.NewClient(client)
	first, err := adm.ListStartOffsets(ctx, topics.ATSCursors)
	if err == nil {
		err = first.Error()
	}
	if err != nil {
		return nil, nil, err
	}
	last, err := adm.ListEndOffsets(ctx, topics.ATSCursors)
	if err == nil {
		err = last.Error()
	}
	if err != nil {
		return nil, nil, err
	}
	of := func(in kadm.ListedOffsets) map[int32]int64 {
		out := map[int32]int64{}
		in.Each(func(o kadm.ListedOffset) { out[o.Partition] = o.Offset })
		return out
	}
	return of(first), of(last), nil
}

// poll walks one ATS again and again.
func (p *Poller) poll(ctx context.Context, client *kgo.Client, system string, s System, at place) {
	w := &walker{
		client: client, schemas: p.cfg.Schemas, system: system, ats: s, key: system, source: wire.SourcePoller, settle: p.cfg.Settle, clock: p.cfg.Clock,
		shown: func(_ *place, page *ats.Page) {
			p.m.applications.WithLabelValues(system).Add(float64(len(page.Changed)))
		},
		anew: func(err error) {
			p.m.failures.WithLabelValues(system, codePageRefused).Inc()
			p.cfg.Logger.Warn("the page a walk stands at is refused: it begins anew", zap.String("system", system), zap.Error(err))
		},
	}
	failures := 0
	for ctx.Err() == nil {
		err := w.walk(ctx, &at)
		wait := p.cfg.Every
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			failures++
			wait = p.failed(ctx, system, s, err, failures)
		default:
			failures = 0
			p.m.walked.WithLabelValues(system).Set(seconds(p.cfg.Clock()))
			p.mu.Lock()
			delete(p.doubt, system)
			p.mu.Unlock()
		}
		if sleep(ctx, wait) != nil {
			return
		}
	}
}

// failed notes a walk that was cut short, and says after how long it goes on.
func (p *Poller) failed(ctx context.Context, system string, s System, err error, failures int) time.Duration {
	wait := min(time.Second<<min(failures, 10), p.cfg.Every)
	code := "kafka"
	var failure *ats.Error
	if errors.As(err, &failure) {
		code = string(failure.Code)
		if failure.RetryAfter > 0 {
			wait = max(wait, failure.RetryAfter)
			if err := s.Pause(ctx, failure.RetryAfter); err != nil && ctx.Err() == nil {
				p.cfg.Logger.Warn("pass on what the ATS asks for", zap.String("system", system), zap.Error(err))
			}
		}
	}
	p.m.failures.WithLabelValues(system, code).Inc()
	p.cfg.Logger.Warn("walk over what changed", zap.String("system", system), zap.Duration("again_in", wait), zap.Error(err))
	p.mu.Lock()
	p.doubt[system] = err.Error()
	p.mu.Unlock()
	return wait
}
