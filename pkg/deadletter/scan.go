package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// stallAfter is how long a scan waits for records that must be there.
const stallAfter = 15 * time.Second

// ErrStalled reports a scan to which the brokers stopped answering with records.
var ErrStalled = errors.New("no records although the end is not reached")

// span is a stretch of offsets of one partition: from is included, to is not.
type span struct{ from, to int64 }

type spans map[string]map[int32]span

func (s spans) set(topic string, partition int32, sp span) {
	if sp.from >= sp.to {
		return
	}
	if s[topic] == nil {
		s[topic] = make(map[int32]span)
	}
	s[topic][partition] = sp
}

// topicsOfLetters returns the existing topics of dead letters among names, or all of
// them if names is empty, in order.
func topicsOfLetters(ctx context.Context, adm *kadm.Client, names []string) ([]string, error) {
	details, err := adm.ListTopics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	var topics []string
	for _, d := range details.Sorted() {
		switch {
		case d.Err != nil && len(names) > 0:
			return nil, fmt.Errorf("list topic %s: %w", d.Topic, d.Err)
		case d.Err != nil:
			continue
		case len(names) > 0 || strings.HasSuffix(d.Topic, Suffix):
			topics = append(topics, d.Topic)
		}
	}
	return topics, nil
}

// extent returns what committed records the topics hold at or after since.
func extent(ctx context.Context, adm *kadm.Client, topics []string, since time.Time) (spans, error) {
	if len(topics) == 0 {
		return nil, nil
	}
	var starts kadm.ListedOffsets
	var err error
	if since.IsZero() {
		starts, err = adm.ListStartOffsets(ctx, topics...)
	} else {
		starts, err = adm.ListOffsetsAfterMilli(ctx, since.UnixMilli(), topics...)
	}
	if err != nil {
		return nil, fmt.Errorf("list first offsets: %w", err)
	}
	ends, err := adm.ListCommittedOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("list last offsets: %w", err)
	}
	if err := errors.Join(starts.Error(), ends.Error()); err != nil {
		return nil, fmt.Errorf("list offsets: %w", err)
	}
	s := make(spans)
	ends.Each(func(end kadm.ListedOffset) {
		if start, ok := starts.Lookup(end.Topic, end.Partition); ok && start.Offset >= 0 {
			s.set(end.Topic, end.Partition, span{start.Offset, end.Offset})
		}
	})
	return s, nil
}

// scan calls fn with every committed record of the spans and returns when all are read.
// Order holds within a partition only. Its memory is bounded by the client's buffers.
func scan(ctx context.Context, opts []kgo.Opt, s spans, fn func(*kgo.Record) error) error {
	if len(s) == 0 {
		return nil
	}
	starts := make(map[string]map[int32]kgo.Offset, len(s))
	left := 0
	for topic, partitions := range s {
		starts[topic] = make(map[int32]kgo.Offset, len(partitions))
		for p, sp := range partitions {
			starts[topic][p] = kgo.NewOffset().At(sp.from)
			left++
		}
	}
	// Control records are kept as they are what stands last after an aborted
	// transaction: without them its partition would never be seen to be at its end.
	cl, err := kgo.NewClient(append(slices.Clone(opts),
		kgo.ConsumePartitions(starts),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(16<<20),
		kgo.MaxConcurrentFetches(1),
	)...)
	if err != nil {
		return fmt.Errorf("open reader: %w", err)
	}
	defer cl.Close()
	for left > 0 {
		pollCtx, cancel := context.WithTimeout(ctx, stallAfter)
		fetches := cl.PollRecords(pollCtx, 1000)
		cancel()
		if err := ctx.Err(); err != nil {
			return err
		}
		if fetches.NumRecords() == 0 && errors.Is(fetches.Err0(), context.DeadlineExceeded) {
			return fmt.Errorf("read dead letters: %w", ErrStalled)
		}
		var pollErr error
		fetches.EachError(func(topic string, partition int32, err error) {
			pollErr = errors.Join(pollErr, fmt.Errorf("read %s/%d: %w", topic, partition, err))
		})
		if pollErr != nil {
			return pollErr
		}
		var fnErr error
		fetches.EachRecord(func(rec *kgo.Record) {
			sp, wanted := s[rec.Topic][rec.Partition]
			if !wanted || fnErr != nil {
				return
			}
			if rec.Offset < sp.to && !rec.Attrs.IsControl() {
				fnErr = fn(rec)
			}
			if rec.Offset+1 >= sp.to {
				delete(s[rec.Topic], rec.Partition)
				cl.PauseFetchPartitions(map[string][]int32{rec.Topic: {rec.Partition}})
				left--
			}
		})
		if fnErr != nil {
			return fnErr
		}
	}
	return nil
}
