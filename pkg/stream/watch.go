package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// watchInterval is how often a watch looks.
const watchInterval = 5 * time.Second

// watch looks at what no session sees from inside: whether a transaction that
// nobody ends holds the readers of committed data back, and whether the topics
// are still those the start has checked.
type watch struct {
	cfg  *Config
	plan *plan
	cl   *kgo.Client
	adm  *kadm.Client

	mu   sync.Mutex
	held map[partitionOf]hold
	lost string // topics that are not there, in words
}

type partitionOf struct {
	topic string
	num   int32
}

// hold is a partition with records that readers of committed data cannot see.
type hold struct {
	offset int64     // the last stable offset: where the oldest open transaction begins
	since  time.Time // when it was first seen to stand there
	seen   time.Time // when it was last seen to
	by     string    // whose transaction it is, in words; "" is not known
}

func (h hold) age() time.Duration { return h.seen.Sub(h.since) }

// run looks until ctx ends. It returns an error only for what has to stop the
// process.
func (w *watch) run(ctx context.Context) error {
	cl, err := kgo.NewClient(w.cfg.Opts...)
	if err != nil {
		return fmt.Errorf("build client: %w", err)
	}
	defer cl.Close()
	w.cl, w.adm = cl, kadm.NewClient(cl)
	tick := time.NewTicker(w.cfg.watch)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := w.look(ctx); isFatal(err) {
			return err
		} else if err != nil && ctx.Err() == nil {
			w.cfg.Logger.Debug("watch", zap.Error(err)) // the sessions say that Kafka is away
		}
	}
}

func (w *watch) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, max(w.cfg.watch, time.Second))
	defer cancel()
	if err := w.checkTopics(ctx); err != nil {
		return err
	}
	return w.checkTransactions(ctx)
}

// checkTopics compares the topics with what the start saw. A missing topic is
// only told: brokers that have just started may not know of it yet.
func (w *watch) checkTopics(ctx context.Context) error {
	meta, err := w.adm.Metadata(ctx, w.plan.topics...)
	if err != nil {
		return fmt.Errorf("read metadata: %w", err)
	}
	var lost []string
	for _, name := range w.plan.topics {
		t, ok := meta.Topics[name]
		switch {
		case !ok, errors.Is(t.Err, kerr.UnknownTopicOrPartition):
			lost = append(lost, name)
		case t.Err != nil:
			return fmt.Errorf("read metadata of %s: %w", name, t.Err)
		case t.ID != w.plan.env.TopicIDs[name]:
			return Fatal(fmt.Errorf("%w: topic %s was deleted, or deleted and created again, while this process ran", ErrDataLoss, name))
		case int32(len(t.Partitions)) != w.plan.env.Partitions:
			return Fatal(fmt.Errorf("%w: topic %s has %d partitions by now, the others %d; growing is a migration",
				ErrPartitionCount, name, len(t.Partitions), w.plan.env.Partitions))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost = strings.Join(lost, ", ")
	return nil
}

// checkTransactions notes where the last stable offset stands still below the
// end of the log.
func (w *watch) checkTransactions(ctx context.Context) error {
	names := append(slices.Clone(w.cfg.Inputs), w.cfg.Changelog)
	stable, err := w.adm.ListCommittedOffsets(ctx, names...)
	if err != nil {
		return fmt.Errorf("list stable offsets: %w", err)
	}
	ends, err := w.adm.ListEndOffsets(ctx, names...)
	if err != nil {
		return fmt.Errorf("list offsets: %w", err)
	}
	now := time.Now()
	ends.Each(func(end kadm.ListedOffset) {
		at, ok := stable.Lookup(end.Topic, end.Partition)
		if !ok || at.Err != nil || end.Err != nil {
			return
		}
		w.note(ctx, partitionOf{end.Topic, end.Partition}, at.Offset, end.Offset, now)
	})
	return nil
}

func (w *watch) note(ctx context.Context, at partitionOf, stable, end int64, now time.Time) {
	w.mu.Lock()
	h, was := w.held[at]
	w.mu.Unlock()
	gauge := func() prometheus.Gauge { return w.cfg.Metrics.stuck.WithLabelValues(at.topic, partitionLabel(at.num)) }
	if stable >= end {
		w.mu.Lock()
		delete(w.held, at)
		w.mu.Unlock()
		if h.age() > 0 {
			gauge().Set(0)
		}
		return
	}
	if !was || h.offset != stable {
		if h.age() > 0 {
			gauge().Set(0)
		}
		h = hold{offset: stable, since: now}
	}
	before := h.age()
	h.seen = now
	if h.age() > 0 {
		gauge().Set(h.age().Seconds())
	}
	if h.age() > w.cfg.TransactionTimeout {
		if h.by == "" {
			h.by = w.owner(ctx, at, stable)
		}
		if before <= w.cfg.TransactionTimeout {
			w.cfg.Logger.Warn("an open transaction holds readers of committed data back", zap.String("topic", at.topic),
				zap.Int32("partition", at.num), zap.Int64("offset", stable), zap.String("of", h.by))
		}
	}
	w.mu.Lock()
	w.held[at] = h
	w.mu.Unlock()
}

// owner names the producer whose transaction begins at an offset, as far as the
// cluster tells us.
func (w *watch) owner(ctx context.Context, at partitionOf, offset int64) string {
	var set kadm.TopicsSet
	set.Add(at.topic, at.num)
	described, err := w.adm.DescribeProducers(ctx, set)
	if err != nil {
		return ""
	}
	out := ""
	described.EachProducer(func(p kadm.DescribedProducer) {
		if out != "" || p.CurrentTxnStartOffset != offset {
			return
		}
		out = fmt.Sprintf("producer %d", p.ProducerID)
		listed, err := w.adm.ListTransactions(ctx, []int64{p.ProducerID}, nil)
		if err != nil {
			return
		}
		for _, t := range listed.Sorted() {
			if t.ProducerID == p.ProducerID {
				out += fmt.Sprintf(", transactional id %q", t.TxnID)
			}
		}
	})
	return out
}

// reasons says in words what stands still.
func (w *watch) reasons() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	if w.lost != "" {
		out = append(out, "topics are not there: "+w.lost)
	}
	for at, h := range w.held {
		if h.age() <= w.cfg.TransactionTimeout {
			continue
		}
		by := "a producer unknown"
		if h.by != "" {
			by = h.by
		}
		out = append(out, fmt.Sprintf("%s/%d: readers of committed data have been held at offset %d for %v by an open transaction of %s; "+
			"if that program is gone, end its transaction: kafka-transactions.sh abort --topic %s --partition %d --start-offset %d",
			at.topic, at.num, h.offset, h.age().Round(time.Second), by, at.topic, at.num, h.offset))
	}
	slices.Sort(out)
	return out
}
