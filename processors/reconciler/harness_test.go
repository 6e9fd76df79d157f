package reconciler

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/store"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/processortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	partitionCount = 2
	instance       = "gh-main"
	vendor         = "assess-one"
)

var inputs = []string{TopicScreening, TopicChanges, TopicControl, TopicOutcomes}

// lab is a broker and the policy that runs on it.
type lab struct {
	*processortest.Broker
	rules *hiring.Rules
}

func newLab(t *testing.T) *lab {
	t.Helper()
	own := kgo.RecordPartitioner(kgo.BasicConsistentPartitioner(partitioner))
	return &lab{Broker: processortest.New(t, partitionCount, own), rules: builtIn()}
}

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
	l.T.Helper()
	db, err := store.Open(dir, store.Options{FlushInterval: time.Hour, MinFreeBytes: 1})
	if err != nil {
		l.T.Fatal(err)
	}
	cfg := Config{Rules: l.rules, Schemas: l.Schemas, Stream: stream.Config{
		Opts: l.Opts, TransactionalID: "reconciler-test", Sessions: 1, CommitInterval: 5 * time.Millisecond, MaxBatchRecords: 97,
		HeartbeatInterval: 100 * time.Millisecond, StartTimeout: 10 * time.Second, Store: db,
	}}
	if os.Getenv("RECONCILER_TEST_LOG") != "" {
		if cfg.Stream.Logger, err = zap.NewDevelopment(); err != nil {
			l.T.Fatal(err)
		}
	}
	if change != nil {
		change(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		l.T.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	run := &running{l: l, r: r, db: db, cancel: cancel, done: make(chan error, 1)}
	go func() { run.done <- r.Run(ctx) }()
	return run
}

// stop drains the reconciler and closes its store.
func (r *running) stop() {
	r.l.T.Helper()
	r.cancel()
	if err := <-r.done; err != nil {
		r.l.T.Errorf("run: %v", err)
	}
	if err := r.db.Close(); err != nil {
		r.l.T.Errorf("close store: %v", err)
	}
}

// run reconciles until the group has committed all input, then drains.
func (l *lab) run(dir string, change func(*Config)) {
	l.T.Helper()
	r := l.start(dir, change)
	l.Handled(Group, inputs...)
	r.stop()
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
	l.T.Helper()
	recs := l.Read(TopicDecisions)
	out := make([]wire.Decision, len(recs))
	for i, rec := range recs {
		if err := l.Schemas.DecodeLocal(rec.Value, &out[i]); err != nil {
			l.T.Fatal(err)
		}
	}
	return out
}

// states returns the newest state of each application, as the changelog has it.
func (l *lab) states() map[string][]byte {
	l.T.Helper()
	out := map[string][]byte{}
	for _, rec := range l.Read(TopicState) {
		out[string(rec.Key)] = rec.Value
	}
	return out
}
