package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
)

// fetchWait is how long a broker may hold a fetch back that it has no records
// for, and so how long a partition may wait for its first fetch.
const fetchWait = 250 * time.Millisecond

// metadataWait is how soon the client may ask for the metadata again. It asks before it sends records again that a broker
// refused, and one that still writes the end of a transaction refuses the records of the next: by default they would wait
// for up to 5 s, and with them everyone who reads what the transaction before has written.
const metadataWait = 100 * time.Millisecond

// options are the session client's: the caller's, then ours.
func (s *session[S]) options() []kgo.Opt {
	reset := kgo.NoResetOffset()
	if s.cfg.AllowDataLoss {
		reset = kgo.NewOffset().AtStart()
	}
	opts := []kgo.Opt{
		kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()),
		kgo.ProducerLinger(max(5*time.Millisecond, s.cfg.CommitInterval/4)), // End flushes, so this only makes larger batches
		// A fetch of a backlog shall have something of every input and partition, see lane. A broker leaves out a
		// partition whose next batch is larger than this, unless it is the first of the fetch.
		kgo.FetchMaxPartitionBytes(512 << 10),
		kgo.FetchMaxBytes(8 << 20),
		// A fetch that waits for records does not know of partitions resumed since.
		kgo.FetchMaxWait(fetchWait),
		kgo.MetadataMinAge(metadataWait),
	}
	opts = append(opts, s.cfg.Opts...)
	return append(opts,
		kgo.ConsumerGroup(s.cfg.Group),
		kgo.ConsumeTopics(s.cfg.Inputs...),
		kgo.TransactionalID(s.txnID),
		kgo.TransactionTimeout(s.cfg.TransactionTimeout),
		kgo.SessionTimeout(s.cfg.SessionTimeout),
		kgo.RebalanceTimeout(s.cfg.RebalanceTimeout),
		kgo.HeartbeatInterval(s.cfg.HeartbeatInterval),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // markers take offsets: without them lag never reaches zero
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(reset),
		kgo.MaxDecompressBatchBytes(maxDecompressedBatch),
		kgo.WithPools(s.cfg.pool),
		kgo.MaxBufferedRecords(1<<20),
		kgo.RecordPartitioner(kgo.BasicConsistentPartitioner(partitioner)),
		kgo.BlockRebalanceOnPoll(),
		kgo.Balancers(&balancer{stored: s.storedOffsets, joining: s.dropAll}),
		kgo.OnPartitionsAssigned(s.onAssigned),
		kgo.OnPartitionsRevoked(s.onRevoked),
		kgo.OnPartitionsLost(s.onRevoked),
		kgo.OnPartitionsCallbackBlocked(func(context.Context, *kgo.Client) {
			s.hurry.Store(true)
			s.wake()
		}),
		kgo.AdjustFetchOffsetsFn(s.onOffsets),
		kgo.WithHooks(heartbeatHook{func(sent time.Time) { s.heartbeat.Store(sent.UnixNano()) }}),
	)
}

// partitioner keeps an explicit partition number, and hashes the key as every
// Kafka client does where there is none.
func partitioner(topic string) func(*kgo.Record, int) int {
	keyed := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
	return func(rec *kgo.Record, n int) int {
		if rec.Partition >= 0 {
			return int(rec.Partition)
		}
		return keyed.Partition(rec, n)
	}
}

// heartbeatHook notes when the last answered heartbeat was sent.
type heartbeatHook struct{ note func(sent time.Time) }

// OnBrokerE2E implements [kgo.HookBrokerE2E].
func (h heartbeatHook) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	switch kmsg.Key(key) {
	case kmsg.Heartbeat, kmsg.SyncGroup:
		if e2e.Err() == nil {
			h.note(time.Now().Add(-e2e.DurationE2E()))
		}
	default:
	}
}

func (s *session[S]) storedOffsets() map[int32]int64 {
	stored, err := s.cfg.Store.Offsets(s.env.TopicIDs[s.cfg.Changelog])
	if err != nil {
		s.log.Warn("read stored offsets for the group", zap.Error(err))
		return nil
	}
	return stored
}

// dropAll ends every partition, before anything else is done about it.
func (s *session[S]) dropAll() {
	s.mu.Lock()
	if s.release != nil {
		s.release()
		s.release = nil
	}
	clear(s.owned)
	s.restored, s.partial = nil, time.Time{}
	s.mu.Unlock()
	s.cfg.Metrics.owned.WithLabelValues(s.name()).Set(0)
}

func (s *session[S]) onRevoked(context.Context, *kgo.Client, map[string][]int32) {
	s.dropAll()
	s.revoked.Store(true)
	s.setStatus("rebalancing")
}

// onAssigned takes an assignment over. The balancer is eager, so it is all we
// have. Nothing is read before the restore, for which onOffsets has to come.
func (s *session[S]) onAssigned(_ context.Context, cl *kgo.Client, added map[string][]int32) {
	s.dropAll()
	topics := make(map[int32]int)
	var nums []int32
	for _, topic := range s.cfg.Inputs {
		for _, num := range added[topic] {
			if topics[num]++; topics[num] == 1 {
				nums = append(nums, num)
			}
		}
	}
	slices.Sort(nums)
	cl.PauseFetchPartitions(added)

	ctx, release := context.WithCancel(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release = release
	for _, num := range nums {
		switch {
		case num >= s.env.Partitions:
			s.failed = Fatal(fmt.Errorf("%w: an input has grown to more than %d partitions; growing is a migration", ErrPartitionCount, s.env.Partitions))
			continue
		case topics[num] < len(s.cfg.Inputs):
			s.partial = time.Now()
			s.log.Warn("assignment is incomplete, partition stays paused", zap.Int32("partition", num))
			continue
		}
		s.owned[num] = &Partition[S]{
			s: s, num: num, ctx: ctx, assignedAt: s.cfg.Clock(),
			entries: make(map[string]*entry[S]),
		}
	}
	s.status = ""
	if len(s.owned) > 0 {
		s.status = "reading offsets"
	}
	s.cfg.Metrics.owned.WithLabelValues(s.name()).Set(float64(len(s.owned)))
	s.log.Info("partitions assigned", zap.Int("partitions", len(s.owned)))
}

// onOffsets sees the committed offsets, which are stable: no transaction of an
// earlier owner is undecided any more. So the end of the changelog as of now
// covers everything committed before us.
func (s *session[S]) onOffsets(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	select {
	case <-s.fenced:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ends, err := s.readEnds(ctx)
	if err != nil {
		s.setTrouble(err)
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var parts []*Partition[S]
	for num := range s.env.Partitions {
		p := s.owned[num]
		if p == nil {
			continue
		}
		if err := s.position(p, offsets, ends); err != nil {
			s.failed = err
			return nil, err
		}
		if p.store, err = s.cfg.Store.Partition(s.env.TopicIDs[s.cfg.Changelog], num); err != nil {
			s.failed = err
			return nil, err
		}
		parts = append(parts, p)
	}
	if len(parts) > 0 {
		s.status = "restoring"
		s.restores.Add(1)
		go func(ctx context.Context) {
			defer s.restores.Done()
			s.restore(ctx, parts)
		}(parts[0].ctx)
	}
	return offsets, nil
}

// ends are the ends of the logs at an assignment.
type ends struct {
	inputStart, inputHigh, inputStable kadm.ListedOffsets
	logStart, logHigh                  kadm.ListedOffsets
}

func (s *session[S]) readEnds(ctx context.Context) (ends, error) {
	adm := kadm.NewClient(s.cl)
	var (
		e    ends
		errs [5]error
	)
	e.inputStart, errs[0] = adm.ListStartOffsets(ctx, s.cfg.Inputs...)
	e.inputHigh, errs[1] = adm.ListEndOffsets(ctx, s.cfg.Inputs...)
	e.inputStable, errs[2] = adm.ListCommittedOffsets(ctx, s.cfg.Inputs...)
	e.logStart, errs[3] = adm.ListStartOffsets(ctx, s.cfg.Changelog)
	// The high watermark, not the last stable offset: the markers of a
	// transaction reach the offsets topic and the changelog at different times.
	e.logHigh, errs[4] = adm.ListEndOffsets(ctx, s.cfg.Changelog)
	if err := errors.Join(errs[:]...); err != nil {
		return e, fmt.Errorf("list offsets: %w", err)
	}
	for _, l := range []kadm.ListedOffsets{e.inputStart, e.inputHigh, e.inputStable, e.logStart, e.logHigh} {
		if err := l.Error(); err != nil {
			return e, fmt.Errorf("list offsets: %w", err)
		}
	}
	return e, nil
}

// position sets where a partition starts, and refuses to go on where records
// are missing.
func (s *session[S]) position(p *Partition[S], offsets map[string]map[int32]kgo.Offset, e ends) error {
	high, _ := e.logHigh.Lookup(s.cfg.Changelog, p.num)
	start, _ := e.logStart.Lookup(s.cfg.Changelog, p.num)
	p.target, p.logStart = high.Offset, start.Offset
	p.lanes = make([]lane, 0, len(s.cfg.Inputs))
	var unplaced []string
	for _, topic := range s.cfg.Inputs {
		off, ok := offsets[topic][p.num]
		if !ok {
			return fmt.Errorf("%w: no offset for %s/%d", errRebuild, topic, p.num)
		}
		first, _ := e.inputStart.Lookup(topic, p.num)
		last, _ := e.inputHigh.Lookup(topic, p.num)
		stable, _ := e.inputStable.Lookup(topic, p.num)
		at, epoch := off.EpochOffset().Offset, off.EpochOffset().Epoch
		switch {
		case at < 0:
			at, epoch = first.Offset, -1
			offsets[topic][p.num] = kgo.NewOffset().At(at)
			unplaced = append(unplaced, topic)
		case at < first.Offset || at > last.Offset:
			err := fmt.Errorf("%w: %s/%d holds %d to %d, the group stopped at %d", ErrDataLoss, topic, p.num, first.Offset, last.Offset, at)
			if !s.cfg.AllowDataLoss {
				return Fatal(err)
			}
			s.log.Warn("going on from the earliest record", zap.Error(err))
			at, epoch = first.Offset, -1
			offsets[topic][p.num] = kgo.NewOffset().At(at)
		}
		p.lanes = append(p.lanes, lane{
			topic: topic, polled: at, end: stable.Offset, join: stable.Offset, unplaced: off.EpochOffset().Offset < 0,
			pos: place{at, epoch}, txPos: place{at, epoch},
		})
	}
	p.unread = len(unplaced) == len(s.cfg.Inputs)
	if len(unplaced) == 0 || p.unread {
		return nil
	}
	// The first transaction of a partition commits a place in every input, see
	// claim: a place that is missing was there, and reading from the start would
	// count everything twice.
	err := fmt.Errorf("%w: %s has no committed offset in partition %d, the other inputs have: it was deleted and created again, "+
		"its offsets were deleted, or it is new to group %q", ErrDataLoss, strings.Join(unplaced, ", "), p.num, s.cfg.Group)
	if !s.cfg.AllowDataLoss {
		return Fatal(err)
	}
	s.log.Warn("reading it from the earliest record", zap.Error(err))
	return nil
}

// fetchErrors acts on the errors among what was polled.
func (s *session[S]) fetchErrors(fetches kgo.Fetches) error {
	var out error
	fetches.EachError(func(topic string, num int32, err error) {
		var loss *kgo.ErrDataLoss
		switch {
		case out != nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		case errors.Is(err, kgo.ErrClientClosed):
			out = fmt.Errorf("%w: %w", errRebuild, err)
		case errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.InconsistentTopicID):
			out = Fatal(fmt.Errorf("%w: topic %s was deleted, or deleted and created again, while this process ran: %w", ErrDataLoss, topic, err))
		case errors.As(err, &loss), errors.Is(err, kerr.OffsetOutOfRange):
			if s.cfg.AllowDataLoss && errors.As(err, &loss) {
				s.log.Warn("going on after data loss", zap.Error(err))
				return
			}
			out = Fatal(fmt.Errorf("%w: %s/%d: %w", ErrDataLoss, topic, num, err))
		case isFence(err):
			out = s.lost(err)
		default:
			s.setTrouble(fmt.Errorf("fetch: %w", err))
			s.log.Warn("fetch", zap.String("topic", topic), zap.Int32("partition", num), zap.Error(err))
		}
	})
	return out
}
