package history

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Run reads the log of a run that has come to rest and checks it. kafka reach the brokers. The error says that the log could
// not be read.
func Run(ctx context.Context, kafka []kgo.Opt, groups Groups) (*Report, error) {
	client, err := kgo.NewClient(kafka...)
	if err != nil {
		return nil, fmt.Errorf("history: kafka client: %w", err)
	}
	defer client.Close()
	s := &source{kafka: kafka, admin: kadm.NewClient(client)}
	return Check(&Log{
		Uncommitted: func(topic string, visit func(*Record) error) error {
			return s.read(ctx, topic, kgo.ReadUncommitted(), func(r *kgo.Record) error { return visit(record(r)) })
		},
		Committed: func(topic string, visit func(int32, int64)) error {
			return s.read(ctx, topic, kgo.ReadCommitted(), func(r *kgo.Record) error {
				if !r.Attrs.IsControl() {
					visit(r.Partition, r.Offset)
				}
				return nil
			})
		},
	}, groups)
}

type source struct {
	kafka []kgo.Opt
	admin *kadm.Client
}

func record(r *kgo.Record) *Record {
	out := &Record{
		Partition: r.Partition, Offset: r.Offset, Producer: r.ProducerID, Epoch: r.ProducerEpoch, Transactional: r.Attrs.IsTransactional(),
		Key: r.Key, Value: r.Value, Headers: make(map[string]string, len(r.Headers)),
	}
	for _, h := range r.Headers {
		out.Headers[h.Key] = string(h.Value)
	}
	if r.Attrs.IsControl() {
		key := kmsg.NewControlRecordKey()
		if err := key.ReadFrom(r.Key); err == nil && key.Type == kmsg.ControlRecordKeyTypeCommit {
			out.Marker = Commit
		} else {
			out.Marker = Abort
		}
	}
	return out
}

// read reads a topic from its first offset to its end as it is now: of committed records that is the last stable offset. It
// ends by position, as the last record may be a marker. A topic that does not exist has no records.
func (s *source) read(ctx context.Context, topic string, level kgo.IsolationLevel, visit func(*kgo.Record) error) error {
	starts, err := s.admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return fmt.Errorf("start offsets: %w", err)
	}
	ends, err := s.admin.ListEndOffsets(ctx, topic)
	if level == kgo.ReadCommitted() {
		ends, err = s.admin.ListCommittedOffsets(ctx, topic)
	}
	if err != nil {
		return fmt.Errorf("end offsets: %w", err)
	}
	left, from := make(map[int32]int64), make(map[int32]kgo.Offset)
	var bad error
	ends.Each(func(o kadm.ListedOffset) {
		switch start, ok := starts.Lookup(topic, o.Partition); {
		case errors.Is(o.Err, kerr.UnknownTopicOrPartition):
		case o.Err != nil:
			bad = o.Err
		case ok && o.Offset > start.Offset:
			left[o.Partition] = o.Offset
			from[o.Partition] = kgo.NewOffset().At(start.Offset)
		}
	})
	if bad != nil {
		return fmt.Errorf("end offsets: %w", bad)
	}
	if len(left) == 0 {
		return nil
	}
	client, err := kgo.NewClient(append(
		s.kafka[:len(s.kafka):len(s.kafka)], kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}), kgo.FetchIsolationLevel(level),
		kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
	)...)
	if err != nil {
		return fmt.Errorf("kafka client: %w", err)
	}
	defer client.Close()
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		var failed error
		fetches.EachRecord(func(r *kgo.Record) {
			end, open := left[r.Partition]
			if !open || failed != nil {
				return
			}
			if r.Offset < end {
				failed = visit(r)
			}
			if r.Offset+1 >= end {
				delete(left, r.Partition)
			}
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}
