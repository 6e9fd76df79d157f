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

	"github.com/concord-ats/concord/pkg/deadletter"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
)

// queue holds the webhooks of one ATS whose application is not known. A record's offset is committed once an event or a
// dead letter stands in its place, so that a crash looks it up again and loses nothing; what is found twice is recognised
// as a duplicate.
type queue struct {
	g      *Gateway
	cfg    Resolve
	system string // empty: what belongs to no ATS that can be looked up
	group  string
	owner  func(key []byte) string // the queue a record belongs to, by its system

	ending sync.Mutex    // one at a time takes lookups off
	freed  chan struct{} // room was made

	mu      sync.Mutex
	waiting []*lookup // in the order they came; those of partitions taken away are gone
	seen    map[int32]int64
	away    bool // the last walk failed
}

// lookup is one webhook whose application is not known.
type lookup struct {
	rec    *kgo.Record
	change wire.AtsChange
	broken error // it cannot be decoded
	asked  bool  // a walk looked for it; under queue.mu
}

func newQueue(g *Gateway, cfg Resolve, system string, owner func([]byte) string) *queue {
	group := cfg.Group
	if system != "" {
		group += "." + system
	}
	return &queue{g: g, cfg: cfg, system: system, group: group, owner: owner, freed: make(chan struct{}, 1), seen: map[int32]int64{}}
}

func (q *queue) name() string {
	if q.system == "" {
		return "no known ATS"
	}
	return q.system
}

func (q *queue) held() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// run reads and dead-letters until ctx ends, and looks up beside it: a walk that hangs holds neither up.
func (q *queue) run(ctx context.Context) error {
	client, err := kgo.NewClient(append(slices.Clone(q.g.cfg.Opts),
		kgo.ConsumerGroup(q.group), kgo.ConsumeTopics(topics.GatewayUnresolved), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxBytes(1<<20), kgo.FetchMaxPartitionBytes(256<<10),
		kgo.OnPartitionsRevoked(q.drop), kgo.OnPartitionsLost(q.drop), kgo.BlockRebalanceOnPoll())...)
	if err != nil {
		return fmt.Errorf("kafka client: %w", err)
	}
	defer client.CloseAllowingRebalance()
	var walking sync.WaitGroup
	defer walking.Wait()
	if q.system != "" {
		walking.Go(func() { q.walks(ctx) })
	}
	for ctx.Err() == nil {
		for until := time.Now().Add(q.cfg.Every); time.Now().Before(until) && ctx.Err() == nil; {
			q.poll(ctx, client, until)
		}
		q.trouble(ctx, "dead-letter webhooks without an application", q.expire(ctx))
		q.trouble(ctx, "commit the offsets of gateway.unresolved", q.commit(ctx, client))
	}
	return nil
}

func (q *queue) trouble(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		q.g.cfg.Logger.Warn(what, zap.String("system", q.system), zap.Error(err))
	}
}

// poll takes records until a time, or as many as there is room for.
func (q *queue) poll(ctx context.Context, client *kgo.Client, until time.Time) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	room := q.cfg.MaxHeld - q.held()
	if room <= 0 {
		select {
		case <-ctx.Done():
		case <-q.freed:
		}
		return
	}
	fetches := client.PollRecords(ctx, room)
	defer client.AllowRebalance() // what is polled is noted before its partition can go
	if err := fetches.Err(); err != nil && ctx.Err() == nil {
		q.trouble(ctx, "read gateway.unresolved", err)
		<-ctx.Done()
		return
	}
	fetches.EachRecord(func(rec *kgo.Record) {
		var l *lookup
		if q.owner(rec.Key) == q.system {
			l = &lookup{rec: rec}
			l.broken = q.g.cfg.Schemas.DecodeLocal(rec.Value, &l.change)
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		q.seen[rec.Partition] = rec.Offset + 1
		if l != nil {
			q.waiting = append(q.waiting, l)
		}
	})
	q.report()
}

// drop forgets what was read of partitions that are another's now; nothing of it was committed.
func (q *queue) drop(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range lost[topics.GatewayUnresolved] {
		delete(q.seen, p)
		q.waiting = slices.DeleteFunc(q.waiting, func(l *lookup) bool { return l.rec.Partition == p })
	}
}

// walks looks up everything that waits, again and again until ctx ends.
func (q *queue) walks(ctx context.Context) {
	tick := time.NewTicker(q.cfg.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		q.trouble(ctx, "look up webhooks without an application", q.lookUp(ctx))
	}
}

// lookUp walks once for all that waits. What is found becomes events, also when the walk fails after it.
func (q *queue) lookUp(ctx context.Context) error {
	q.mu.Lock()
	list := slices.DeleteFunc(slices.Clone(q.waiting), func(l *lookup) bool { return l.broken != nil })
	q.mu.Unlock()
	if len(list) == 0 {
		return nil
	}
	since := list[0].change.ObservedAt
	for _, l := range list {
		since = min(since, l.change.ObservedAt)
	}
	walk, cancel := context.WithTimeout(ctx, q.cfg.Walk)
	defer cancel()
	found, failed := q.cfg.Systems[q.system].applications(walk, since)
	var errs []error
	for _, l := range list {
		var recs []*kgo.Record
		for _, native := range found[l.change.CandidateID] {
			c := l.change
			c.ID += "." + native
			c.ApplicationID = c.System + "/" + native
			recs = append(recs, q.g.record(topics.ATSChanges, &c))
		}
		if len(recs) == 0 {
			continue
		}
		if err := q.end(ctx, l, "found", recs...); err != nil {
			errs = append(errs, err) // Kafka is away: the next walk finds it again
			break
		}
	}
	q.mu.Lock()
	q.away = failed != nil
	for _, l := range list {
		l.asked = l.asked || failed == nil
	}
	q.mu.Unlock()
	q.report()
	return errors.Join(append(errs, failed)...)
}

// expire dead-letters what was looked up for long enough, whatever its ATS answers. What came too late for its time, such as
// from the dead letters, is looked up once unless the ATS is away.
func (q *queue) expire(ctx context.Context) error {
	now := q.g.cfg.Clock()
	q.mu.Lock()
	away := q.away
	over := slices.DeleteFunc(slices.Clone(q.waiting), func(l *lookup) bool {
		asked := l.asked || away || q.system == ""
		return l.broken == nil && (!asked || now.Sub(l.change.ObservedAt.Time()) < q.cfg.For)
	})
	q.mu.Unlock()
	for _, l := range over {
		var why error = errNotFound
		cause := wire.CauseUnresolved
		var undecodable *wire.Error
		switch {
		case errors.As(l.broken, &undecodable):
			cause, why = undecodable.Cause, l.broken
		case l.broken != nil:
			cause, why = wire.CauseUndecodable, l.broken
		case away:
			why = errAway{}
		}
		letter := deadletter.Record(l.rec, string(cause), why, q.group, now)
		letter.Timestamp = time.Time{} // the client's own: its delivery timeout counts from there
		if err := q.end(ctx, l, "dead_lettered", letter); err != nil {
			return err
		}
		q.g.cfg.Logger.Warn("webhook dead-lettered", zap.String("system", q.system), zap.String("cause", string(cause)), zap.Error(why))
	}
	q.report()
	return nil
}

var errNotFound = &webhook.Error{Sender: "any", Problem: webhook.ProblemUnresolved, Err: errors.New("no application of this candidate changed")}

// errAway is the cause of a look-up that got no answer to its end. It implements deadletter.Classed.
type errAway struct{}

func (errAway) Error() string { return "the ATS did not answer the look-up" }

// ErrorClass implements deadletter.Classed.
func (errAway) ErrorClass() string { return "ats_unanswered" }

// end publishes what stands in the place of a webhook and takes it off the queue, unless that has happened meanwhile.
func (q *queue) end(ctx context.Context, l *lookup, result string, recs ...*kgo.Record) error {
	q.ending.Lock()
	defer q.ending.Unlock()
	q.mu.Lock()
	waits := slices.Contains(q.waiting, l)
	q.mu.Unlock()
	if !waits {
		return nil
	}
	if err := q.g.publish(ctx, recs); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	q.g.metrics.resolved.WithLabelValues(q.system, result).Inc()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = slices.DeleteFunc(q.waiting, func(w *lookup) bool { return w == l })
	select {
	case q.freed <- struct{}{}:
	default:
	}
	return nil
}

// commit commits up to the oldest record of each partition that still waits.
func (q *queue) commit(ctx context.Context, client *kgo.Client) error {
	q.mu.Lock()
	done := make(map[int32]kgo.EpochOffset, len(q.seen))
	for p, next := range q.seen {
		done[p] = kgo.EpochOffset{Epoch: -1, Offset: next}
	}
	for _, l := range q.waiting {
		if o := done[l.rec.Partition]; l.rec.Offset < o.Offset {
			done[l.rec.Partition] = kgo.EpochOffset{Epoch: -1, Offset: l.rec.Offset}
		}
	}
	q.mu.Unlock()
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
func (q *queue) report() {
	q.mu.Lock()
	defer q.mu.Unlock()
	oldest := 0.0
	for _, l := range q.waiting {
		if l.broken == nil {
			oldest = max(oldest, q.g.cfg.Clock().Sub(l.change.ObservedAt.Time()).Seconds())
		}
	}
	q.g.metrics.unresolved.WithLabelValues(q.system).Set(float64(len(q.waiting)))
	q.g.metrics.oldest.WithLabelValues(q.system).Set(oldest)
}
