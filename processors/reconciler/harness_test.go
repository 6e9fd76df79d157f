package reconciler

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/store"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	partitionCount = 2
	patience       = 30 * time.Second
	instance       = "gh-main"
	vendor         = "assess-one"
)

var inputs = []string{TopicScreening, TopicChanges, TopicControl, TopicOutcomes}

// lab is a broker with every topic of the product, as `topics create` makes them.
type lab struct {
	t       *testing.T
	opts    []kgo.Opt
	cl      *kgo.Client
	schemas *wire.Schemas
	rules   *hiring.Rules
}

func newLab(t *testing.T) *lab {
	t.Helper()
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	l := &lab{t: t, rules: builtIn(), opts: []kgo.Opt{
		kgo.SeedBrokers(kafka.ListenAddrs()...),
		kgo.ProducerBatchMaxBytesFn(batchBytes), kgo.FetchMaxWait(100 * time.Millisecond),
	}}
	if l.schemas, err = wire.Open(wire.Config{}); err != nil {
		t.Fatal(err)
	}
	if l.cl, err = kgo.NewClient(append(l.opts, kgo.RecordPartitioner(kgo.BasicConsistentPartitioner(partitioner)))...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.cl.Close)
	if _, err := topics.Create(t.Context(), l.cl, topics.Options{Partitions: partitionCount, Replication: 1, Embedded: true}, false); err != nil {
		t.Fatal(err)
	}
	return l
}

// batchBytes is as large as the topic takes: a dead letter is larger than the client's own bound.
func batchBytes(topic string) int32 {
	for _, t := range topics.Table() {
		if t.Name == topic {
			return int32(t.MaxRecord)
		}
	}
	return 1 << 20
}

// message is the record of a value that belongs on topic, keyed as it should be.
func (l *lab) message(topic, key string, r wire.Record) *kgo.Record {
	return &kgo.Record{Topic: topic, Key: []byte(key), Value: l.schemas.Append(nil, r)}
}

// produce writes records, each partition in the order given; they get their coordinates.
// astray, as a record's partition, asks for another one than its key's.
const astray = -1

func partitioner(topic string) func(*kgo.Record, int) int {
	keyed := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
	return func(rec *kgo.Record, n int) int {
		at := keyed.Partition(rec, n)
		if rec.Partition == astray {
			at = (at + 1) % n
		}
		return at
	}
}

func (l *lab) produce(recs ...*kgo.Record) {
	l.t.Helper()
	if err := l.cl.ProduceSync(l.t.Context(), recs...).FirstErr(); err != nil {
		l.t.Fatal(err)
	}
}

// running is a reconciler under way.
type running struct {
	l      *lab
	r      *Reconciler
	db     *store.DB
	cancel context.CancelFunc
	done   chan error
}

// start runs a reconciler on the store in dir.
func (l *lab) start(dir string, change func(*Config)) *running {
	l.t.Helper()
	db, err := store.Open(dir, store.Options{FlushInterval: time.Hour, MinFreeBytes: 1})
	if err != nil {
		l.t.Fatal(err)
	}
	cfg := Config{Rules: l.rules, Schemas: l.schemas, Stream: stream.Config{
		Opts: l.opts, TransactionalID: "reconciler-test", Sessions: 1, CommitInterval: 5 * time.Millisecond, MaxBatchRecords: 97,
		HeartbeatInterval: 100 * time.Millisecond, StartTimeout: 10 * time.Second, Store: db,
	}}
	if os.Getenv("RECONCILER_TEST_LOG") != "" {
		if cfg.Stream.Logger, err = zap.NewDevelopment(); err != nil {
			l.t.Fatal(err)
		}
	}
	if change != nil {
		change(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	run := &running{l: l, r: r, db: db, cancel: cancel, done: make(chan error, 1)}
	go func() { run.done <- r.Run(ctx) }()
	return run
}

// stop drains the reconciler and closes its store.
func (r *running) stop() {
	r.l.t.Helper()
	r.cancel()
	if err := <-r.done; err != nil {
		r.l.t.Errorf("run: %v", err)
	}
	if err := r.db.Close(); err != nil {
		r.l.t.Errorf("close store: %v", err)
	}
}

// run reconciles until the group has committed all input, then drains.
func (l *lab) run(dir string, change func(*Config)) {
	l.t.Helper()
	r := l.start(dir, change)
	l.committed()
	r.stop()
}

// until polls cond.
func (l *lab) until(what string, cond func(ctx context.Context) (bool, error)) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := cond(ctx)
		if err == nil && ok {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			l.t.Fatalf("still not after %v: %s (%v)", patience, what, err)
		}
	}
}

// committed waits until the group's offsets are at the end of every input.
func (l *lab) committed() {
	l.t.Helper()
	adm := kadm.NewClient(l.cl)
	ends, err := adm.ListEndOffsets(l.t.Context(), inputs...)
	if err != nil {
		l.t.Fatal(err)
	}
	l.until("all input is reconciled", func(ctx context.Context) (bool, error) {
		got, err := adm.FetchOffsets(ctx, Group)
		if err != nil {
			return false, err
		}
		left := int64(0)
		ends.Each(func(e kadm.ListedOffset) {
			at := int64(0)
			if o, ok := got.Lookup(e.Topic, e.Partition); ok && o.At > 0 {
				at = o.At
			}
			left += e.Offset - at
		})
		return left == 0, nil
	})
}

// read returns what is committed on topics, in the order of each partition.
func (l *lab) read(names ...string) []*kgo.Record {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	cl, err := kgo.NewClient(append(l.opts, kgo.ConsumeTopics(names...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())...)
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

// coord names one record.
type coord struct {
	topic     string
	partition int32
	offset    int64
}

func at(rec *kgo.Record) coord { return coord{rec.Topic, rec.Partition, rec.Offset} }

// decisions returns every decision, in the order of each partition.
func (l *lab) decisions() []wire.Decision {
	l.t.Helper()
	recs := l.read(TopicDecisions)
	out := make([]wire.Decision, len(recs))
	for i, rec := range recs {
		if err := l.schemas.DecodeLocal(rec.Value, &out[i]); err != nil {
			l.t.Fatal(err)
		}
	}
	return out
}

// states returns the newest state of each application, as the changelog has it.
func (l *lab) states() map[string][]byte {
	l.t.Helper()
	out := map[string][]byte{}
	for _, rec := range l.read(TopicState) {
		out[string(rec.Key)] = rec.Value
	}
	return out
}
