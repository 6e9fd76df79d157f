package stream

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The world of these tests: a processor that counts the records of each key and
// copies every record, with the running count, to an output.
const (
	topicA   = "in.a"
	topicB   = "in.b"
	topicOut = "out"
	topicLog = "log"
	group    = "counting"
)

type count struct {
	N   int64
	Due int64 // µs
}

func countCodec() Codec[count] {
	return Codec[count]{
		Decode: func(_ string, b []byte) (count, error) {
			if len(b) != 16 {
				return count{}, fmt.Errorf("count has %d bytes", len(b))
			}
			return count{int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:]))}, nil
		},
		Append: func(dst []byte, c count) []byte {
			dst = binary.BigEndian.AppendUint64(dst, uint64(c.N))
			return binary.BigEndian.AppendUint64(dst, uint64(c.Due))
		},
		Due: func(c count) int64 { return c.Due },
		Nil: func(c count) bool { return c.N == 0 },
	}
}

// counter is the processor. Values of records say what else to do:
// "poison", "panic", "forget", "due:<µs>".
type counter struct {
	assigned func(*Partition[count]) error
	prepare  func([]*kgo.Record) error
	handle   func(tx *Tx[count], rec *kgo.Record) error // before the rest
	fire     func(tx *Tx[count], key string, due int64) error
	flush    func(*Tx[count]) error
}

func (c *counter) Assigned(p *Partition[count]) error {
	if c.assigned == nil {
		return nil
	}
	return c.assigned(p)
}

func (c *counter) Prepare(_ context.Context, recs []*kgo.Record) error {
	if c.prepare == nil {
		return nil
	}
	return c.prepare(recs)
}

func (c *counter) Handle(tx *Tx[count], rec *kgo.Record) error {
	if c.handle != nil {
		if err := c.handle(tx, rec); err != nil {
			return err
		}
	}
	key := string(rec.Key)
	n, _, err := tx.Get(key)
	if err != nil {
		return err
	}
	n.N++
	value := string(rec.Value)
	if due, ok := strings.CutPrefix(value, "due:"); ok {
		if n.Due, err = strconv.ParseInt(due, 10, 64); err != nil {
			return err
		}
	}
	if value == "forget" {
		return tx.Delete(key)
	}
	if err := tx.Put(key, n); err != nil {
		return err
	}
	emit(tx, key, strconv.FormatInt(n.N, 10))
	switch value { // after the writes, which have to be taken back
	case "poison":
		return Poison("bad", errors.New("poisonous"))
	case "panic":
		panic("handler broke")
	}
	return nil
}

func emit(tx *Tx[count], key, value string) {
	out := tx.Record()
	out.Topic, out.Key, out.Value = topicOut, tx.Keep([]byte(key)), tx.Keep([]byte(value))
	tx.Produce(out)
}

func (c *counter) Fire(tx *Tx[count], key string, due int64) error {
	if c.fire != nil {
		return c.fire(tx, key, due)
	}
	n, _, err := tx.Get(key)
	if err != nil {
		return err
	}
	n.Due = 0
	emit(tx, key, fmt.Sprintf("fired:%d", due))
	return tx.Put(key, n)
}

func (c *counter) Flush(tx *Tx[count]) error {
	if c.flush == nil {
		return nil
	}
	return c.flush(tx)
}

func deadLetter(rec *kgo.Record, cause string, err error, now time.Time) *kgo.Record {
	return &kgo.Record{
		Topic: rec.Topic + ".dlq", Key: rec.Key, Value: rec.Value, Timestamp: now,
		Headers: []kgo.RecordHeader{{Key: "cause", Value: []byte(cause)}, {Key: "error", Value: []byte(err.Error())}},
	}
}

// world is a cluster with the topics, and a client to look at it from outside.
type world struct {
	t     *testing.T
	kafka *kfake.Cluster
	opts  []kgo.Opt
	cl    *kgo.Client
	dir   string
}

const partitions = 4

func newWorld(t *testing.T, opts ...kfake.Opt) *world {
	t.Helper()
	all := append([]kfake.Opt{
		kfake.NumBrokers(1),
		kfake.SeedTopics(partitions, topicA, topicB, topicOut, topicLog, topicA+".dlq", topicB+".dlq"),
		kfake.GroupMinSessionTimeout(100 * time.Millisecond),
	}, opts...)
	kafka, err := kfake.NewCluster(all...)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, kafka: kafka, opts: []kgo.Opt{kgo.SeedBrokers(kafka.ListenAddrs()...)}, dir: t.TempDir()}
	w.start()
	return w
}

func (w *world) start() {
	cl, err := kgo.NewClient(append(w.opts, kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.cl = cl
	w.t.Cleanup(func() {
		w.cl.Close()
		w.kafka.Close()
	})
}

func (w *world) config(db *store.DB) Config {
	return Config{
		Opts: w.opts, Group: group, TransactionalID: "counting-0", Inputs: []string{topicA, topicB},
		Changelog: topicLog, Outputs: []string{topicOut}, Store: db, Sessions: 2,
		CommitInterval: 5 * time.Millisecond, SessionTimeout: 5 * time.Second, RebalanceTimeout: 5 * time.Second, TransactionTimeout: 3 * time.Second, HeartbeatInterval: 100 * time.Millisecond,
		StartTimeout: 10 * time.Second, DeadLetter: deadLetter, Logger: testLogger(),
	}
}

func testLogger() *zap.Logger {
	if os.Getenv("STREAM_TEST_LOG") == "" {
		return zap.NewNop()
	}
	l, err := zap.NewDevelopment()
	if err != nil {
		panic(err)
	}
	return l
}

func (w *world) store() *store.DB {
	w.t.Helper()
	db, err := store.Open(w.dir, store.Options{FlushInterval: time.Hour, MinFreeBytes: 1, SegmentBytes: 64 << 10})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { closeStore(w.t, db) }) // closing twice is fine
	return db
}

// running is a runner under way.
type running struct {
	t      *testing.T
	r      *Runner[count]
	cancel context.CancelFunc
	done   chan error
	once   sync.Once
	err    error
}

func (w *world) run(cfg Config, proc *counter) *running {
	w.t.Helper()
	r, err := New(cfg, countCodec(), func(Env) (Processor[count], error) { return proc, nil })
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	run := &running{t: w.t, r: r, cancel: cancel, done: make(chan error, 1)}
	go func() {
		err := r.Run(ctx)
		if err != nil {
			w.t.Logf("runner ended: %v", err)
		}
		run.done <- err
	}()
	w.t.Cleanup(func() { _ = run.stop() }) // how it ended is logged, and asserted where a test is about it
	return run
}

// wait waits for the runner to end by itself.
func (r *running) wait() error {
	r.once.Do(func() {
		select {
		case r.err = <-r.done:
		case <-time.After(30 * time.Second):
			r.t.Error("runner does not end")
			r.cancel()
			r.err = <-r.done
		}
		r.cancel()
	})
	return r.err
}

func (r *running) stop() error {
	r.cancel()
	return r.wait()
}

// send produces n records a key to both inputs and returns the expected counts.
func (w *world) send(rng *rand.Rand, keys, n int) map[string]int64 {
	w.t.Helper()
	want := make(map[string]int64)
	var recs []*kgo.Record
	for range n {
		key := fmt.Sprintf("key-%03d", rng.IntN(keys))
		topic := topicA
		if rng.IntN(2) == 0 {
			topic = topicB
		}
		recs = append(recs, &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte("x")})
		want[key]++
	}
	w.produce(recs...)
	return want
}

func (w *world) produce(recs ...*kgo.Record) {
	w.t.Helper()
	if err := w.cl.ProduceSync(w.t.Context(), recs...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// read returns what a read-committed consumer sees of a topic, once it sees at
// least n records.
func (w *world) read(topic string, n int) []*kgo.Record {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 60*time.Second)
	defer cancel()
	cl, err := kgo.NewClient(append(w.opts, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond))...)
	if err != nil {
		w.t.Fatal(err)
	}
	defer cl.Close()
	ends := func() kadm.ListedOffsets {
		e, err := kadm.NewClient(w.cl).ListEndOffsets(ctx, topic)
		if err != nil {
			w.t.Fatal(err)
		}
		return e
	}
	var out []*kgo.Record
	pos := make(map[int32]int64)
	behind := func() bool {
		late := false
		ends().Each(func(l kadm.ListedOffset) { late = late || pos[l.Partition] < l.Offset })
		return late
	}
	for len(out) < n || behind() {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			w.t.Fatalf("%s has %d committed records, want %d: %s", topic, len(out), n, summary(out))
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			pos[rec.Partition] = rec.Offset + 1
			if !rec.Attrs.IsControl() {
				out = append(out, rec)
			}
		})
	}
	return out
}

// check is the oracle: the final state equals the input counts, every count was
// put out exactly once and in order, and the store holds what the changelog
// says up to the store's own mark, byte for byte.
func (w *world) check(want map[string]int64) {
	w.t.Helper()
	total := 0
	for _, n := range want {
		total += int(n)
	}
	seen := make(map[string]int64)
	for _, rec := range w.read(topicOut, total) {
		key := string(rec.Key)
		if strings.HasPrefix(string(rec.Value), "fired:") {
			continue
		}
		if got := string(rec.Value); got != strconv.FormatInt(seen[key]+1, 10) {
			w.t.Errorf("output of %s: %s follows %d", key, got, seen[key])
		}
		seen[key]++
	}
	compareCounts(w.t, "outputs", seen, want)

	versions := make(map[string]int64)
	log := w.read(topicLog, 0)
	for _, rec := range log {
		key := string(rec.Key)
		if rec.Value == nil {
			continue
		}
		n := int64(binary.BigEndian.Uint64(rec.Value))
		if n < versions[key] {
			w.t.Errorf("changelog of %s falls from %d to %d", key, versions[key], n)
		}
		versions[key] = n
	}
	compareCounts(w.t, "changelog", versions, want)
	w.checkStore(log)
}

// checkStore compares the store of each partition with the committed changelog
// up to the store's own mark. The mark may trail, when a run ended between an
// unknown outcome and the restore that follows it; what is below it is exact.
func (w *world) checkStore(log []*kgo.Record) {
	w.t.Helper()
	db := w.store()
	defer closeStore(w.t, db)
	for num := range int32(partitions) {
		p, err := db.Partition(w.topicID(topicLog), num)
		if err != nil {
			w.t.Fatal(err)
		}
		at := p.Mark().Offset
		want := make(map[string][]byte)
		for _, rec := range log { // in offset order within a partition
			switch {
			case rec.Partition != num || rec.Offset >= at:
			case rec.Value == nil:
				delete(want, string(rec.Key))
			default:
				want[string(rec.Key)] = rec.Value
			}
		}
		stored := 0
		if err := p.Scan(func(key string, value []byte) bool {
			stored++
			if v, ok := want[key]; !ok || !bytes.Equal(v, value) {
				w.t.Errorf("store of %s at %d/%d holds %x, the changelog %x", key, num, at, value, v)
			}
			return true
		}); err != nil {
			w.t.Fatal(err)
		}
		if stored != len(want) {
			w.t.Errorf("store of partition %d at %d holds %d keys, the changelog %d", num, at, stored, len(want))
		}
	}
}

func (w *world) topicID(topic string) [16]byte {
	w.t.Helper()
	info := w.kafka.TopicInfo(topic)
	if info == nil {
		w.t.Fatalf("no topic %s", topic)
	}
	return info.TopicID
}

func summary(recs []*kgo.Record) string {
	var b strings.Builder
	for _, rec := range recs[max(0, len(recs)-20):] {
		fmt.Fprintf(&b, " %s=%.40s", rec.Key, rec.Value)
	}
	return b.String()
}

func compareCounts(t *testing.T, what string, got, want map[string]int64) {
	t.Helper()
	for key, n := range want {
		if got[key] != n {
			t.Errorf("%s of %s: %d, want %d", what, key, got[key], n)
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			t.Errorf("%s of %s, which nobody sent", what, key)
		}
	}
}

// ready waits until the runner says that it is.
func (r *running) ready() {
	r.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 20_000 {
		if len(r.r.Ready()) == 0 {
			return
		}
		<-tick.C
	}
	r.t.Fatalf("never ready: %v", r.r.Ready())
}

func closeStore(t *testing.T, db *store.DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func metricValue(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	if out.Counter != nil {
		return out.Counter.GetValue()
	}
	return out.Gauge.GetValue()
}
