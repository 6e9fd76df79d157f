package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/processors/reconciler"
)

// ErrTopicMissing says that a topic of the history is not there.
var ErrTopicMissing = errors.New("topic is missing")

// stalled is how long a read waits for a record that must be there.
const stalled = 30 * time.Second

// span is what of a partition is read: the committed records there were when the replay began.
type span struct{ from, to int64 }

// history is where everything stands in the log.
type history struct {
	opts  []kgo.Opt
	spans map[string][]span // by topic and partition
}

// sources are the topics a replay reads.
var sources = []string{
	reconciler.TopicDecisions, reconciler.TopicState,
	reconciler.TopicScreening, reconciler.TopicChanges, reconciler.TopicControl, reconciler.TopicOutcomes,
}

func newHistory(ctx context.Context, opts []kgo.Opt) (*history, error) {
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("replay: kafka client: %w", err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	// The ends of the inputs are asked for last: whatever a decision names lies before them.
	h := &history{opts: opts, spans: map[string][]span{}}
	for _, topic := range sources {
		ends, err := adm.ListCommittedOffsets(ctx, topic)
		if err == nil {
			err = ends.Error()
		}
		var starts kadm.ListedOffsets
		if err == nil {
			if starts, err = adm.ListStartOffsets(ctx, topic); err == nil {
				err = starts.Error()
			}
		}
		if err != nil {
			return nil, fmt.Errorf("replay: offsets of %s: %w", topic, err)
		}
		if len(ends[topic]) == 0 {
			return nil, fmt.Errorf("replay: %w: %s", ErrTopicMissing, topic)
		}
		spans := make([]span, len(ends[topic]))
		for p, o := range ends[topic] {
			if int(p) < len(spans) {
				spans[p] = span{starts[topic][p].Offset, o.Offset}
			}
		}
		h.spans[topic] = spans
	}
	return h, nil
}

func (h *history) partitions() int { return len(h.spans[reconciler.TopicDecisions]) }

// cursor reads one partition forwards. A record is valid until the next call. What the client fetches ahead bounds its memory.
type cursor struct {
	h         *history
	topic     string
	partition int32
	span      span
	client    *kgo.Client
	fetched   []*kgo.Record
	at        int64 // the offset after the last record seen
}

func (h *history) cursor(topic string, partition int) *cursor {
	c := &cursor{h: h, topic: topic, partition: int32(partition)}
	if spans := h.spans[topic]; partition < len(spans) {
		c.span = spans[partition]
	}
	c.at = c.span.from
	return c
}

func (c *cursor) close() {
	if c.client != nil {
		c.client.Close()
		c.client, c.fetched = nil, nil
	}
}

// next returns the next committed record, nil at the end.
func (c *cursor) next(ctx context.Context) (*kgo.Record, error) {
	for c.at < c.span.to {
		if len(c.fetched) == 0 {
			if err := c.fetch(ctx); err != nil {
				return nil, err
			}
			continue
		}
		rec := c.fetched[0]
		c.fetched = c.fetched[1:]
		c.at = rec.Offset + 1
		if rec.Offset < c.span.to && !rec.Attrs.IsControl() {
			return rec, nil
		}
	}
	return nil, nil
}

func (c *cursor) fetch(ctx context.Context) error {
	if c.client == nil {
		client, err := kgo.NewClient(append(
			c.h.opts[:len(c.h.opts):len(c.h.opts)],
			kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.topic: {c.partition: kgo.NewOffset().At(c.at)}}),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), // the last offset before the end may be one
			kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchMaxPartitionBytes(fetchBytes), kgo.FetchMaxBytes(fetchBytes),
		)...)
		if err != nil {
			return fmt.Errorf("read %s: %w", c.topic, err)
		}
		c.client = client
	}
	limit, cancel := context.WithTimeout(ctx, stalled)
	defer cancel()
	fetches := c.client.PollFetches(limit)
	if err := fetches.Err0(); err != nil {
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("read %s/%d: no records although the end is not reached", c.topic, c.partition)
		}
		return fmt.Errorf("read %s/%d: %w", c.topic, c.partition, err)
	}
	for _, e := range fetches.Errors() {
		return fmt.Errorf("read %s/%d: %w", c.topic, c.partition, e.Err)
	}
	c.fetched = fetches.Records()
	return nil
}

// fetchBytes is how much is fetched ahead of each topic.
const fetchBytes = 4 << 20

// record returns the record at an offset, nil where there is none. Offsets rise nearly always; one that does not costs a new
// read.
func (c *cursor) record(ctx context.Context, offset int64) (*kgo.Record, error) {
	if offset < c.span.from || offset >= c.span.to {
		return nil, nil
	}
	if offset < c.at || offset > c.at+farAhead && c.client == nil {
		c.close()
		c.at = offset
	}
	for c.at <= offset {
		rec, err := c.next(ctx)
		if err != nil || rec == nil {
			return nil, err
		}
		if rec.Offset == offset {
			return rec, nil
		}
	}
	return nil, nil
}

// farAhead is how many records a first read passes over rather than begin behind them.
const farAhead = 1000
