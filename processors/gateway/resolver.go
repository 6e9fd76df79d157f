package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/deadletter"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
)

// Resolve configures the look-up of webhooks that name a candidate and no application. Zero durations and bounds take
// the default named beside the field.
type Resolve struct {
	Group   string
	Systems map[string]Directory // by ATS instance
	Every   time.Duration        // between two walks over what changed in an ATS (30 s)
	For     time.Duration        // how long one is looked up before it is dead-lettered (10 min)
	MaxHeld int                  // webhooks in memory; the rest waits on the topic (1,000)
}

// Directory is where the applications of one ATS instance are listed.
type Directory struct {
	Client ats.Client
	// Allow waits until one more call is within the rate that all callers of this ATS share.
	Allow func(context.Context) error
}

// maxPages bounds one walk: an ATS in which more changed is left to its poller.
const maxPages = 20

// lookBack is how long before a webhook the change it tells of may have been recorded.
const lookBack = 10 * time.Minute

func (c *Resolve) validate() error {
	if c.Group == "" {
		return errors.New("resolve: group: missing")
	}
	for name, d := range c.Systems {
		if d.Client == nil || d.Allow == nil {
			return fmt.Errorf("resolve: system %q: give its client and its rate", name)
		}
	}
	return nil
}

// resolver works the topic gateway.unresolved off. A record's offset is committed once an event or a dead letter stands
// in its place, so that a crash looks it up again and loses nothing; what is found twice is recognised as a duplicate.
type resolver struct {
	g   *Gateway
	cfg Resolve

	mu      sync.Mutex
	waiting []*lookup // in the order they came; those of partitions taken away are gone
	seen    map[int32]int64
}

// lookup is one webhook whose application is not known.
type lookup struct {
	rec    *kgo.Record
	change wire.AtsChange
}

func newResolver(g *Gateway, cfg Resolve) *resolver {
	if cfg.Every == 0 {
		cfg.Every = 30 * time.Second
	}
	if cfg.For == 0 {
		cfg.For = 10 * time.Minute
	}
	if cfg.MaxHeld == 0 {
		cfg.MaxHeld = 1000
	}
	return &resolver{g: g, cfg: cfg, seen: map[int32]int64{}}
}

func (r *resolver) degraded() []string {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d webhooks name a candidate whose application is being looked up", len(r.waiting))}
}

// run works until ctx ends. A nil resolver has nothing to do.
func (r *resolver) run(ctx context.Context) error {
	if r == nil {
		<-ctx.Done()
		return nil
	}
	client, err := kgo.NewClient(append(slices.Clone(r.g.cfg.Opts),
		kgo.ConsumerGroup(r.cfg.Group), kgo.ConsumeTopics(topics.GatewayUnresolved), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxBytes(4<<20),
		kgo.OnPartitionsRevoked(r.drop), kgo.OnPartitionsLost(r.drop))...)
	if err != nil {
		return fmt.Errorf("kafka client: %w", err)
	}
	defer client.CloseAllowingRebalance()
	walk := time.Now().Add(r.cfg.Every)
	for ctx.Err() == nil {
		r.poll(ctx, client, walk)
		if time.Now().Before(walk) {
			continue
		}
		if err := r.settle(ctx); err != nil && ctx.Err() == nil {
			r.g.cfg.Logger.Warn("look up webhooks without an application", zap.Error(err))
		}
		if err := r.commit(ctx, client); err != nil && ctx.Err() == nil {
			r.g.cfg.Logger.Warn("commit the offsets of gateway.unresolved", zap.Error(err))
		}
		walk = time.Now().Add(r.cfg.Every)
	}
	return nil
}

// poll takes records until the time of the next walk, or as many as there is room for.
func (r *resolver) poll(ctx context.Context, client *kgo.Client, until time.Time) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	r.mu.Lock()
	room := r.cfg.MaxHeld - len(r.waiting)
	r.mu.Unlock()
	if room <= 0 {
		<-ctx.Done()
		return
	}
	fetches := client.PollRecords(ctx, room)
	fetches.EachRecord(func(rec *kgo.Record) {
		l := &lookup{rec: rec}
		err := r.g.cfg.Schemas.DecodeLocal(rec.Value, &l.change)
		r.mu.Lock()
		r.waiting = append(r.waiting, l)
		r.seen[rec.Partition] = rec.Offset + 1
		r.mu.Unlock()
		if err != nil {
			l.change = wire.AtsChange{} // nobody's: dead-lettered by the next walk
		}
	})
	r.report()
}

// drop forgets what was read of partitions that are another's now; nothing of it was committed.
func (r *resolver) drop(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range lost[topics.GatewayUnresolved] {
		delete(r.seen, p)
		r.waiting = slices.DeleteFunc(r.waiting, func(l *lookup) bool { return l.rec.Partition == p })
	}
}

// settle looks up everything that waits: one walk for all webhooks of an ATS. What was found becomes events, and what
// was looked up for long enough a dead letter.
func (r *resolver) settle(ctx context.Context) error {
	r.mu.Lock()
	waiting := slices.Clone(r.waiting)
	r.mu.Unlock()
	bySystem := map[string][]*lookup{}
	for _, l := range waiting {
		bySystem[l.change.System] = append(bySystem[l.change.System], l)
	}
	var errs []error
	for system, list := range bySystem {
		found, whole := map[string][]string{}, true
		if directory, ok := r.cfg.Systems[system]; ok {
			var err error
			if found, err = directory.applications(ctx, list); err != nil {
				errs, whole = append(errs, fmt.Errorf("%s: %w", system, err)), false // what was found before it counts
			}
		}
		for _, l := range list {
			if !whole && len(found[l.change.CandidateID]) == 0 {
				continue // an ATS that does not answer has not said no
			}
			if err := r.end(ctx, l, found[l.change.CandidateID]); err != nil {
				return errors.Join(append(errs, err)...)
			}
		}
	}
	r.report()
	return errors.Join(errs...)
}

// applications walks over what changed since the oldest of the webhooks and returns native application ids by candidate.
func (d Directory) applications(ctx context.Context, list []*lookup) (map[string][]string, error) {
	since := slices.MinFunc(list, func(a, b *lookup) int { return int(a.change.ObservedAt - b.change.ObservedAt) }).change.ObservedAt
	found := map[string][]string{}
	cursor := ats.Cursor{Since: since.Time().Add(-lookBack)}
	for range maxPages {
		if err := d.Allow(ctx); err != nil {
			return found, err
		}
		page, err := d.Client.ListChanged(ctx, cursor)
		if err != nil {
			return found, err
		}
		for _, c := range page.Changed {
			if id := c.Reading.CandidateID; id != "" && !slices.Contains(found[id], c.ApplicationID) {
				found[id] = append(found[id], c.ApplicationID)
			}
		}
		if !page.More {
			break
		}
		cursor = page.Next
	}
	return found, nil
}

// end publishes what a look-up came to, if it came to anything, and takes it off the queue.
func (r *resolver) end(ctx context.Context, l *lookup, natives []string) error {
	var recs []*kgo.Record
	result := "found"
	for _, native := range natives {
		c := l.change
		c.ID += "." + native
		c.ApplicationID = c.System + "/" + native
		recs = append(recs, r.g.record(topics.ATSChanges, &c))
	}
	if len(recs) == 0 {
		now := r.g.cfg.Clock()
		if l.change.System != "" && now.Sub(l.change.ObservedAt.Time()) < r.cfg.For {
			return nil
		}
		letter := deadletter.Record(l.rec, string(wire.CauseUnresolved), errNotFound, r.cfg.Group, now)
		letter.Timestamp = time.Time{} // the client's own: its delivery timeout counts from there
		recs, result = append(recs, letter), "dead_lettered"
	}
	if err := r.g.publish(ctx, recs); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	r.g.metrics.resolved.WithLabelValues(l.change.System, result).Inc()
	if result != "found" {
		r.g.cfg.Logger.Warn("webhook dead-lettered", zap.String("system", l.change.System), zap.String("cause", string(wire.CauseUnresolved)))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = slices.DeleteFunc(r.waiting, func(w *lookup) bool { return w == l })
	return nil
}

var errNotFound = &webhook.Error{Sender: "any", Problem: webhook.ProblemUnresolved, Err: errors.New("no application of this candidate changed")}

// commit commits up to the oldest record of each partition that still waits.
func (r *resolver) commit(ctx context.Context, client *kgo.Client) error {
	r.mu.Lock()
	done := make(map[int32]kgo.EpochOffset, len(r.seen))
	for p, next := range r.seen {
		done[p] = kgo.EpochOffset{Epoch: -1, Offset: next}
	}
	for _, l := range r.waiting {
		if o := done[l.rec.Partition]; l.rec.Offset < o.Offset {
			done[l.rec.Partition] = kgo.EpochOffset{Epoch: -1, Offset: l.rec.Offset}
		}
	}
	r.mu.Unlock()
	if len(done) == 0 {
		return nil
	}
	var failed error
	client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{topics.GatewayUnresolved: done}, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, _ *kmsg.OffsetCommitResponse, err error) {
		failed = err
	})
	return failed
}

// report sets the gauges.
func (r *resolver) report() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.g.metrics.unresolved.Set(float64(len(r.waiting)))
	oldest := 0.0
	for _, l := range r.waiting {
		if l.change.ObservedAt != 0 {
			oldest = max(oldest, r.g.cfg.Clock().Sub(l.change.ObservedAt.Time()).Seconds())
		}
	}
	r.g.metrics.oldest.Set(oldest)
}
