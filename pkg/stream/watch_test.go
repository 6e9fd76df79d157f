package stream

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// hang begins a transaction on a partition and lets its program die: the
// records stay undecided until somebody ends them.
func (w *world) hang(topic string, num int32) {
	w.t.Helper()
	cl, err := kgo.NewClient(append(w.opts, kgo.TransactionalID("gone"), kgo.TransactionTimeout(10*time.Minute),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		w.t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		w.t.Fatal(err)
	}
	rec := &kgo.Record{Topic: topic, Partition: num, Key: []byte("key-000"), Value: []byte("x")}
	if err := cl.ProduceSync(w.t.Context(), rec).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// until polls cond.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 20_000 {
		if cond() {
			return
		}
		<-tick.C
	}
	t.Fatalf("never: %s", what)
}

// TestHangingTransactionIsShown leaves a transaction open on an input, and then
// on the changelog before a start: Ready and the metric name the partition until
// the transaction has been ended.
func TestHangingTransactionIsShown(t *testing.T) {
	t.Parallel()
	for _, topic := range []string{topicA, topicLog} {
		t.Run(topic, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			cfg := w.config(w.store())
			cfg.TransactionTimeout, cfg.watch = 200*time.Millisecond, 20*time.Millisecond
			cfg.Metrics = NewMetrics(group)
			w.firstRun(cfg)
			w.hang(topic, 2)
			run := w.run(cfg, &counter{})
			place := topic + "/2:"
			until(t, "Ready names "+place, func() bool {
				said := strings.Join(run.r.Ready(), "; ")
				return strings.Contains(said, place) && strings.Contains(said, `transactional id "gone"`) && strings.Contains(said, "--start-offset")
			})
			stuck := cfg.Metrics.stuck.WithLabelValues(topic, "2").(prometheus.Metric)
			if got := metricValue(t, stuck); got <= cfg.TransactionTimeout.Seconds() {
				t.Errorf("metric says %v s", got)
			}

			if topic == topicA { // the other partitions go on
				w.produce(&kgo.Record{Topic: topicB, Key: []byte("elsewhere"), Value: []byte("x")})
				w.read(topicOut, 101)
			}
			cl, err := kgo.NewClient(append(w.opts, kgo.TransactionalID("gone"))...)
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			if _, _, err := cl.ProducerID(t.Context()); err != nil { // fences and ends it
				t.Fatal(err)
			}
			run.ready()
			until(t, "the metric is back at 0", func() bool { return metricValue(t, stuck) == 0 })
		})
	}
}

// TestLoadIsNoHangingTransaction has transactions open all the time.
func TestLoadIsNoHangingTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := w.config(w.store())
	cfg.watch = time.Millisecond
	cfg.Metrics = NewMetrics(group)
	run := w.run(cfg, &counter{})
	rng, want := seeded(t), 0
	for range 20 {
		w.send(rng, 50, 200)
		want += 200
		w.read(topicOut, want)
		for _, reason := range run.r.watch.reasons() {
			t.Error(reason)
		}
	}
}

// TestTopicsChangeUnderWay changes the topics of a running process.
func TestTopicsChangeUnderWay(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(w *world) error
		want   error
		words  string
	}{
		"one input grown": {
			change: func(w *world) error {
				_, err := kadm.NewClient(w.cl).UpdatePartitions(w.t.Context(), partitions+1, topicB)
				return err
			},
			want: ErrPartitionCount, words: "in.b has 5 partitions by now, the others 4",
		},
		"an output grown": {
			change: func(w *world) error {
				_, err := kadm.NewClient(w.cl).UpdatePartitions(w.t.Context(), partitions+1, topicOut)
				return err
			},
			want: ErrPartitionCount, words: "out has 5",
		},
		"an input recreated": {
			change: func(w *world) error {
				return errors.Join(w.kafka.DeleteTopic(topicA), w.kafka.CreateTopic(topicA, partitions, nil))
			},
			want: ErrDataLoss, words: "in.a was deleted, or deleted and created again",
		},
		"the changelog recreated": {
			change: func(w *world) error {
				return errors.Join(w.kafka.DeleteTopic(topicLog), w.kafka.CreateTopic(topicLog, partitions, nil))
			},
			want: ErrDataLoss, words: "log was deleted, or deleted and created again",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			cfg := w.config(w.store())
			cfg.watch = 20 * time.Millisecond
			run := w.run(cfg, &counter{})
			run.ready()
			if err := tc.change(w); err != nil {
				t.Fatal(err)
			}
			if err := run.wait(); !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.words) {
				t.Errorf("Run returned %v, want %v with %q", err, tc.want, tc.words)
			}
		})
	}
}
