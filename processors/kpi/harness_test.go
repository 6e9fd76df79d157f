package kpi

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/store"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

const (
	partitionCount = 2
	patience       = 30 * time.Second
	window         = time.Hour
	horizon        = 24 * time.Hour
)

var (
	inputs = []string{topics.HiringDecisions, topics.ATSOutcomes, topics.HiringConflicts}
	kpis   = []string{topics.KPIWriteback, topics.KPIConflicts, topics.KPIQuality}
)

// lab is a broker with the topics of the consumer.
type lab struct {
	t       *testing.T
	opts    []kgo.Opt
	cl      *kgo.Client
	schemas *wire.Schemas

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
	all := append(append([]string{topics.KPIState, topics.DeadLetter(topics.ATSOutcomes)}, inputs...), kpis...)
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitionCount, all...), kfake.GroupMinSessionTimeout(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	l := &lab{t: t, opts: []kgo.Opt{kgo.SeedBrokers(kafka.ListenAddrs()...)}}
	if l.schemas, err = wire.Open(wire.Config{}); err != nil {
		t.Fatal(err)
	}
	if l.cl, err = kgo.NewClient(append(l.opts, kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.cl.Close)
	return l
}

func (l *lab) record(topic, key string, r wire.Record) *kgo.Record {
	return &kgo.Record{Topic: topic, Key: []byte(key), Value: l.schemas.Append(nil, r)}
}

func (l *lab) produce(recs ...*kgo.Record) {
	l.t.Helper()
	if err := l.cl.ProduceSync(l.t.Context(), recs...).FirstErr(); err != nil {
		l.t.Fatal(err)
	}
}

// run measures on the store in dir until the group has committed all input, looks at what is exposed then, and drains.
func (l *lab) run(dir string, change func(*stream.Config), exposed func(prometheus.Gatherer)) {
	l.t.Helper()
	db, err := store.Open(dir, store.Options{FlushInterval: time.Hour, MinFreeBytes: 1})
	if err != nil {
		l.t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	cfg := Config{Schemas: l.schemas, Window: window, Horizon: horizon, Registry: reg, Stream: stream.Config{
		Opts: l.opts, TransactionalID: "kpi-test", Sessions: 1, CommitInterval: 5 * time.Millisecond, MaxBatchRecords: 97,
		HeartbeatInterval: 100 * time.Millisecond, StartTimeout: 10 * time.Second, Store: db,
	}}
	if change != nil {
		change(&cfg.Stream)
	}
	c, err := newConsumer(cfg, func(p *processor) stream.Processor[*entry] { return &failing{processor: p, every: l.failEvery} })
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	l.ready(c)
	l.committed()
	if exposed != nil {
		exposed(reg)
	}
	cancel()
	if err := <-done; err != nil {
		l.t.Errorf("run: %v", err)
	}
	if err := db.Close(); err != nil {
		l.t.Errorf("close store: %v", err)
	}
}

// ready waits until the consumer has restored its partitions.
func (l *lab) ready(c *Consumer) {
	l.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 4000 {
		if len(c.Ready()) == 0 {
			return
		}
		<-tick.C
	}
	l.t.Fatalf("never ready: %v", c.Ready())
}

// committed waits until the group's offsets are at the end of every input.
func (l *lab) committed() {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	adm := kadm.NewClient(l.cl)
	ends, err := adm.ListEndOffsets(ctx, inputs...)
	if err != nil {
		l.t.Fatal(err)
	}
	for {
		left := int64(0)
		got, err := adm.FetchOffsets(ctx, Group)
		ends.Each(func(e kadm.ListedOffset) {
			at := int64(0)
			if o, ok := got.Lookup(e.Topic, e.Partition); ok && o.At > 0 {
				at = o.At
			}
			left += e.Offset - at
		})
		if err == nil && left == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			l.t.Fatalf("%d records are not measured after %v: %v", left, patience, err)
		}
	}
}

// read returns what is committed on topics, in the order of each partition.
func (l *lab) read(names ...string) []*kgo.Record {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	cl, err := kgo.NewClient(append(l.opts, kgo.ConsumeTopics(names...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(50*time.Millisecond))...)
	if err != nil {
		l.t.Fatal(err)
	}
	defer cl.Close()
	ends, err := kadm.NewClient(l.cl).ListEndOffsets(ctx, names...)
	if err != nil {
		l.t.Fatal(err)
	}
	at := map[string]int64{}
	behind := func() (late bool) {
		ends.Each(func(e kadm.ListedOffset) { late = late || at[fmt.Sprint(e.Topic, e.Partition)] < e.Offset })
		return late
	}
	var out []*kgo.Record
	for behind() {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			l.t.Fatal("the topics cannot be read to their end")
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			at[fmt.Sprint(rec.Topic, rec.Partition)] = rec.Offset + 1
			if !rec.Attrs.IsControl() {
				out = append(out, rec)
			}
		})
	}
	return out
}

// published returns the latest record of each key and partition, and checks that revisions rise by one and that each
// revision that says how many applications are behind agrees with itself on whether any is.
func (l *lab) published() map[string]wire.KpiWindow {
	l.t.Helper()
	out := map[string]wire.KpiWindow{}
	for _, rec := range l.read(kpis...) {
		var w wire.KpiWindow
		if err := l.schemas.DecodeLocal(rec.Value, &w); err != nil {
			l.t.Fatal(err)
		}
		key := fmt.Sprintf("%d %s", rec.Partition, rec.Key)
		if w.Revision != out[key].Revision+1 || w.Partition != rec.Partition || topicOf(w.Metric) != rec.Topic {
			l.t.Errorf("%s on %s: revision %d follows %d", key, rec.Topic, w.Revision, out[key].Revision)
		}
		counts := map[string]int64{}
		for _, c := range w.Counts {
			counts[c.Name] += c.Value
		}
		if counts[countBehind] < 0 || (counts[countBehind] == 0) != (counts[countOldest] == 0) {
			l.t.Errorf("%s revision %d: %d applications are behind, the oldest since %d", key, w.Revision, counts[countBehind], counts[countOldest])
		}
		out[key] = w
	}
	return out
}
