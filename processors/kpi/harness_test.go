package kpi

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/store"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/processortest"
)

const (
	partitionCount = 2
	window         = time.Hour
	horizon        = 24 * time.Hour
)

var (
	inputs = []string{topics.HiringDecisions, topics.ATSOutcomes, topics.HiringConflicts}
	kpis   = []string{topics.KPIWriteback, topics.KPIConflicts, topics.KPIQuality}
)

// lab is a broker and what the consumer on it does.
type lab struct {
	*processortest.Broker

	failEvery int // every n-th record fails once it is measured; 0 = none
}

// failing measures, and then fails now and then: the transaction aborts with what it has collected.
type failing struct {
	*processor
	every, handled int
}

func (f *failing) Handle(tx *stream.Tx[*entry], rec *kgo.Record) error {
	if err := f.processor.Handle(tx, rec); err != nil {
		return err
	}
	if f.handled++; f.every > 0 && f.handled%f.every == 0 {
		return errors.New("failed as told")
	}
	return nil
}

func newLab(t *testing.T) *lab {
	t.Helper()
	return &lab{Broker: processortest.New(t, partitionCount)}
}

// run measures on the store in dir until the group has committed all input, looks at what is exposed then, and drains.
func (l *lab) run(dir string, change func(*stream.Config), exposed func(prometheus.Gatherer)) {
	l.T.Helper()
	db, err := store.Open(dir, store.Options{FlushInterval: time.Hour, MinFreeBytes: 1})
	if err != nil {
		l.T.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	cfg := Config{Schemas: l.Schemas, Window: window, Horizon: horizon, Registry: reg, Stream: stream.Config{
		Opts: l.Opts, TransactionalID: "kpi-test", Sessions: 1, CommitInterval: 5 * time.Millisecond, MaxBatchRecords: 97,
		HeartbeatInterval: 100 * time.Millisecond, StartTimeout: 10 * time.Second, Store: db,
	}}
	if change != nil {
		change(&cfg.Stream)
	}
	c, err := newConsumer(cfg, func(p *processor) stream.Processor[*entry] { return &failing{processor: p, every: l.failEvery} })
	if err != nil {
		l.T.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	l.ready(c)
	l.Handled(Group, inputs...)
	if exposed != nil {
		exposed(reg)
	}
	cancel()
	if err := <-done; err != nil {
		l.T.Errorf("run: %v", err)
	}
	if err := db.Close(); err != nil {
		l.T.Errorf("close store: %v", err)
	}
}

// ready waits until the consumer has restored its partitions.
func (l *lab) ready(c *Consumer) {
	l.T.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 4000 {
		if len(c.Ready()) == 0 {
			return
		}
		<-tick.C
	}
	l.T.Fatalf("never ready: %v", c.Ready())
}

// published returns the latest record of each key and partition, and checks that revisions rise by one and that each
// revision that says how many applications are behind agrees with itself on whether any is.
func (l *lab) published() map[string]wire.KpiWindow {
	l.T.Helper()
	out := map[string]wire.KpiWindow{}
	for _, rec := range l.Read(kpis...) {
		var w wire.KpiWindow
		if err := l.Schemas.DecodeLocal(rec.Value, &w); err != nil {
			l.T.Fatal(err)
		}
		key := fmt.Sprintf("%d %s", rec.Partition, rec.Key)
		if w.Revision != out[key].Revision+1 || w.Partition != rec.Partition || topicOf(w.Metric) != rec.Topic {
			l.T.Errorf("%s on %s: revision %d follows %d", key, rec.Topic, w.Revision, out[key].Revision)
		}
		counts := map[string]int64{}
		for _, c := range w.Counts {
			counts[c.Name] += c.Value
		}
		if counts[countBehind] < 0 || (counts[countBehind] == 0) != (counts[countOldest] == 0) {
			l.T.Errorf("%s revision %d: %d applications are behind, the oldest since %d", key, w.Revision, counts[countBehind], counts[countOldest])
		}
		out[key] = w
	}
	return out
}
