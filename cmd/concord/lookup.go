package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/nearest"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// reader reads committed records of the log directly, without a consumer group.
type reader struct {
	client  *kgo.Client
	opts    []kgo.Opt
	schemas *wire.Schemas
}

// reader waits for Kafka and the registry. The caller closes it.
func (a *app) reader(ctx context.Context) (*reader, error) {
	opts, err := a.cfg.Kafka.Options()
	if err != nil {
		return nil, err
	}
	cl, err := a.kafka(ctx)
	if err != nil {
		return nil, err
	}
	s, err := a.schemas(ctx, false)
	if err != nil {
		cl.Close()
		return nil, err
	}
	return &reader{client: cl, opts: opts, schemas: s}, nil
}

func (r *reader) close() { r.client.Close() }

// stalled is how long a scan waits for a record that must be there.
const stalled = 30 * time.Second

// bounds are the first and the read-committed end offset of each partition of a topic.
func (r *reader) bounds(ctx context.Context, topic string) (start, end kadm.ListedOffsets, err error) {
	adm := kadm.NewClient(r.client)
	if start, err = adm.ListStartOffsets(ctx, topic); err == nil {
		err = start.Error()
	}
	if err == nil {
		if end, err = adm.ListCommittedOffsets(ctx, topic); err == nil {
			err = end.Error()
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("offsets of %s: %w", topic, err)
	}
	if len(end[topic]) == 0 {
		return nil, nil, fmt.Errorf("%w: topic %s is missing; run `concord topics create`", errRefused, topic)
	}
	return start, end, nil
}

// scan calls fn with every committed record of a partition in [from, to), in order.
func (r *reader) scan(ctx context.Context, topic string, partition int32, from, to int64, fn func(*kgo.Record) error) error {
	if from >= to {
		return nil
	}
	// Control records are kept, as the last offset before the end may be one.
	cl, err := kgo.NewClient(append(
		r.opts[:len(r.opts):len(r.opts)],
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(from)}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
	)...)
	if err != nil {
		return fmt.Errorf("read %s: %w", topic, err)
	}
	defer cl.Close()
	for {
		limit, cancel := context.WithTimeout(ctx, stalled)
		fetches := cl.PollFetches(limit)
		cancel()
		if err := fetches.Err0(); err != nil {
			if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("read %s/%d: no records although the end is not reached", topic, partition)
			}
			return fmt.Errorf("read %s/%d: %w", topic, partition, err)
		}
		for _, e := range fetches.Errors() {
			return fmt.Errorf("read %s/%d: %w", topic, partition, e.Err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			rec := it.Next()
			if rec.Offset < to && !rec.Attrs.IsControl() {
				if err := fn(rec); err != nil {
					return err
				}
			}
			if rec.Offset >= to-1 {
				return nil
			}
		}
	}
}

// newest returns up to n of the newest records of one key, newest first. It reads the key's partition backwards in growing
// steps, so that what happened lately is found at once, and at most budget offsets (0: all); done says whether everything
// was read that had to be.
func (r *reader) newest(ctx context.Context, topic, key string, n int, budget int64) (found []*kgo.Record, done bool, err error) {
	start, end, err := r.bounds(ctx, topic)
	if err != nil {
		return nil, false, err
	}
	return r.newestIn(ctx, topic, partitionOf(topic, key, len(end[topic])), start, end, key, n, budget)
}

// newestIn is newest in a partition, within bounds.
func (r *reader) newestIn(ctx context.Context, topic string, partition int32, start, end kadm.ListedOffsets, key string, n int, budget int64) (found []*kgo.Record, done bool, err error) {
	first, to := start[topic][partition].Offset, end[topic][partition].Offset
	for step, read := int64(4096), int64(0); to > first && len(found) < n; step *= 4 {
		if budget > 0 && read >= budget {
			return found, false, nil
		}
		from := max(first, to-step)
		var here []*kgo.Record
		if err := r.scan(ctx, topic, partition, from, to, func(rec *kgo.Record) error {
			if string(rec.Key) != key {
				return nil
			}
			if here = append(here, rec); len(here) > n {
				here = here[1:]
			}
			return nil
		}); err != nil {
			return nil, false, err
		}
		for i := len(here) - 1; i >= 0 && len(found) < n; i-- {
			found = append(found, here[i])
		}
		read += to - from
		to = from
	}
	return found, true, nil
}

// partitionOf is where every client's default partitioner puts a key.
func partitionOf(topic, key string, partitions int) int32 {
	p := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
	return int32(p.Partition(&kgo.Record{Key: []byte(key)}, partitions))
}

// errNoApplication says that nothing is known of an application.
var errNoApplication = errors.New("no such application")

// state returns the newest state of an application.
func (r *reader) state(ctx context.Context, application string) (*wire.HiringState, error) {
	found, _, err := r.newest(ctx, topics.HiringState, application, 1, 0)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 || found[0].Value == nil {
		known, err := r.recent(ctx)
		if err != nil {
			return nil, err
		}
		form := ""
		if !strings.Contains(application, "/") {
			form = "; its id is ATS INSTANCE/ID, such as gh-main/265277"
		}
		return nil, fmt.Errorf("%w: %s%s%s", errNoApplication, application, nearest.Suggest(application, known), form)
	}
	s := new(wire.HiringState)
	if err := r.schemas.Decode(ctx, found[0].Value, s); err != nil {
		return nil, fmt.Errorf("state of %s: %w", application, err)
	}
	if err := s.Resolve(); err != nil {
		return nil, fmt.Errorf("state of %s: %w", application, err)
	}
	return s, nil
}

// recentStates is how many states of each partition are looked at for the ids of applications.
const recentStates = 5000

// recent returns the ids of the applications that changed last, in order.
func (r *reader) recent(ctx context.Context) ([]string, error) {
	start, end, err := r.bounds(ctx, topics.HiringState)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for p := range int32(len(end[topics.HiringState])) {
		to := end[topics.HiringState][p].Offset
		from := max(start[topics.HiringState][p].Offset, to-recentStates)
		if err := r.scan(ctx, topics.HiringState, p, from, to, func(rec *kgo.Record) error {
			if !hiring.Ours(string(rec.Key)) {
				known[string(rec.Key)] = true
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return slices.Sorted(maps.Keys(known)), nil
}
