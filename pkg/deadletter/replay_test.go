package deadletter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const partitions = 4

type broker struct {
	*kfake.Cluster
	opts []kgo.Opt
	cl   *kgo.Client
}

func start(t *testing.T) *broker {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"message.max.bytes": "8388608"}),
		kfake.SeedTopics(partitions, "in", "in.dlq"), kfake.SeedTopics(1, DispositionsTopic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	opts := []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...)}
	cl, err := kgo.NewClient(append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(4<<20))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return &broker{c, opts, cl}
}

// bury produces dead letters and returns where they stand.
func (b *broker) bury(t *testing.T, records ...*kgo.Record) []Coord {
	t.Helper()
	var at []Coord
	for _, r := range records {
		if err := b.cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		at = append(at, Coord{r.Topic, r.Partition, r.Offset})
	}
	return at
}

// keyOn returns a key that belongs on a partition.
func keyOn(partition int) []byte {
	keyed := kgo.StickyKeyPartitioner(nil).ForTopic("in")
	for i := 0; ; i++ {
		if key := []byte("key-" + strconv.Itoa(i)); keyed.Partition(&kgo.Record{Key: key}, partitions) == partition {
			return key
		}
	}
}

func refusedRecord(n int, cause string, err error) *kgo.Record {
	src := &kgo.Record{
		Topic: "in", Partition: int32(n % partitions), Offset: int64(n), Timestamp: arrived,
		Key: keyOn(n % partitions), Value: []byte{0, byte(n), 0xff}, Headers: []kgo.RecordHeader{{Key: "own", Value: []byte{0xfe}}},
	}
	return Record(src, cause, err, "reconciler", refused.Add(time.Duration(n)*time.Second))
}

// all returns what stands on the source topic.
func (b *broker) all(t *testing.T) []*kgo.Record {
	t.Helper()
	adm := kadm.NewClient(b.cl)
	s, err := extent(t.Context(), adm, []string{"in"}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var out []*kgo.Record
	if err := scan(t.Context(), b.opts, s, func(r *kgo.Record) error { out = append(out, r); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

func statuses(results []Replayed) []Status {
	var s []Status
	for _, r := range results {
		s = append(s, r.Status)
	}
	return s
}

func replay(t *testing.T, b *broker, again bool, at ...Coord) []Replayed {
	t.Helper()
	got, err := Replay(t.Context(), b.opts, at, ReplayConfig{Again: again})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestReplayRestoresTheRecord(t *testing.T) {
	b := start(t)
	nullKey, nullValue, large := refusedRecord(1, "undecodable", nil), refusedRecord(2, "undecodable", nil), refusedRecord(3, "oversize", nil)
	nullKey.Key, nullValue.Value, large.Value = nil, nil, bytes.Repeat([]byte{9}, 2<<20)
	letters := []*kgo.Record{refusedRecord(0, "undecodable", nil), nullKey, nullValue, large}
	at := b.bury(t, letters...)
	for i, r := range replay(t, b, false, at...) {
		if r.Status != StatusReplayed || r.To == nil || r.To.Partition != letters[i].Partition {
			t.Errorf("letter %d: %+v", i, r)
		}
	}
	back := b.all(t)
	if len(back) != len(letters) {
		t.Fatalf("%d records came back", len(back))
	}
	for _, r := range back {
		i := int(r.Partition) // one letter a partition
		if !bytes.Equal(r.Key, letters[i].Key) || (r.Key == nil) != (letters[i].Key == nil) ||
			!bytes.Equal(r.Value, letters[i].Value) || (r.Value == nil) != (letters[i].Value == nil) {
			t.Errorf("letter %d: bytes changed", i)
		}
		want := []kgo.RecordHeader{
			{Key: "own", Value: []byte{0xfe}},
			{Key: HeaderObservedAt, Value: strconv.AppendInt(nil, arrived.UnixMicro(), 10)},
			{Key: HeaderReplay, Value: []byte(at[i].String())},
			{Key: HeaderReplayAttempt, Value: []byte("1")},
		}
		if diff := cmp.Diff(want, r.Headers); diff != "" {
			t.Errorf("letter %d: %s", i, diff)
		}
	}
}

// A record that another client's partitioner led astray comes back where its key belongs.
func TestReplayGoesHome(t *testing.T) {
	b := start(t)
	rec := refusedRecord(0, "wrong_partition", nil)
	rec.Key = keyOn(2)
	if got := replay(t, b, false, b.bury(t, rec)...)[0]; got.To == nil || got.To.Partition != 2 {
		t.Errorf("%+v", got)
	}
}

func TestReplayTwiceSaysSo(t *testing.T) {
	b := start(t)
	at := b.bury(t, refusedRecord(0, "undecodable", nil))[0]
	first := replay(t, b, false, at)[0]
	second := replay(t, b, false, at)[0]
	if second.Status != StatusAlready || *second.To != *first.To {
		t.Errorf("second: %+v", second)
	}
	if got := replay(t, b, true, at)[0]; got.Status != StatusReplayed {
		t.Errorf("again: %+v", got)
	}
	if n := len(b.all(t)); n != 2 {
		t.Errorf("%d records, want 2", n)
	}
	d, err := Dispositions(t.Context(), b.opts, []Coord{at, {"in.dlq", 1, 7}})
	if err != nil || len(d) != 1 || d[at].Action != ActionReplayed {
		t.Errorf("dispositions %+v, %v", d, err)
	}
}

// The brokers take the record and refuse its disposition: what a crash between the two
// leaves behind. The letter stays replayable, and nothing is lost.
func TestCrashBetweenLeavesItReplayable(t *testing.T) {
	b := start(t)
	at := b.bury(t, refusedRecord(0, "undecodable", nil))[0]
	refuse := true
	b.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		p := req.(*kmsg.ProduceRequest)
		info := b.TopicInfo(DispositionsTopic)
		if !refuse || len(p.Topics) != 1 || p.Topics[0].Topic != DispositionsTopic && p.Topics[0].TopicID != info.TopicID {
			return nil, nil, false
		}
		resp := p.ResponseKind().(*kmsg.ProduceResponse)
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = p.Topics[0].Topic, p.Topics[0].TopicID
		for _, part := range p.Topics[0].Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode = part.Partition, kerr.TopicAuthorizationFailed.Code
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
		return resp, nil, true
	})
	got := replay(t, b, false, at)
	if got[0].Status != StatusUnrecorded || !errors.Is(Failed(got), kerr.TopicAuthorizationFailed) {
		t.Fatalf("with the disposition refused: %+v", got[0])
	}
	if n := len(b.all(t)); n != 1 {
		t.Fatalf("%d records on the source topic, want 1: it goes first", n)
	}
	refuse = false
	if got := replay(t, b, false, at); got[0].Status != StatusReplayed {
		t.Errorf("afterwards: %+v", got[0])
	}
	back := b.all(t)
	if len(back) != 2 || !bytes.Equal(back[0].Value, back[1].Value) {
		t.Errorf("%d records, want the same one twice", len(back))
	}
}

func TestReplayOfWhatIsNotThere(t *testing.T) {
	b := start(t)
	here := b.bury(t, refusedRecord(0, "undecodable", nil), &kgo.Record{Topic: "in.dlq", Partition: 2, Value: []byte("no headers"), Timestamp: refused})
	got := replay(t, b, false, Coord{"in.dlq", 1, 99}, Coord{"other.dlq", 0, 0}, here[1], here[0])
	want := []Status{StatusNotFound, StatusNotFound, StatusNoSource, StatusReplayed}
	if diff := cmp.Diff(want, statuses(got)); diff != "" {
		t.Error(diff)
	}
	if err := Failed(got); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), here[1].String()) || strings.Contains(err.Error(), here[0].String()) {
		t.Errorf("failed: %v", err)
	}
	if _, err := Get(t.Context(), b.opts, Coord{"in.dlq", 1, 99}); !errors.Is(err, ErrNotFound) {
		t.Errorf("get: %v", err)
	}
}

func TestReplayWithoutDispositionsTopicProducesNothing(t *testing.T) {
	b := start(t)
	at := b.bury(t, refusedRecord(0, "undecodable", nil))
	if err := b.DeleteTopic(DispositionsTopic); err != nil {
		t.Fatal(err)
	}
	if _, err := Replay(t.Context(), b.opts, at, ReplayConfig{}); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("err = %v", err)
	}
	if n := len(b.all(t)); n != 0 {
		t.Errorf("%d records produced", n)
	}
}

// A topic made anew counts from zero: the note of an old letter must not hide a new one.
func TestDispositionOfAFormerTopicDoesNotCount(t *testing.T) {
	b := start(t)
	at := b.bury(t, refusedRecord(0, "undecodable", nil))
	replay(t, b, false, at...)
	if err := b.DeleteTopic("in.dlq"); err != nil {
		t.Fatal(err)
	}
	if err := b.CreateTopic("in.dlq", partitions, nil); err != nil {
		t.Fatal(err)
	}
	fresh, err := kgo.NewClient(append(b.opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	rec := refusedRecord(0, "undecodable", nil)
	if err := fresh.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if got := (Coord{rec.Topic, rec.Partition, rec.Offset}); got != at[0] {
		t.Fatalf("new letter at %s, want the old coordinates %s", got, at[0])
	}
	if got := replay(t, b, false, at...); got[0].Status != StatusReplayed {
		t.Errorf("%+v", got[0])
	}
}

func TestBrowse(t *testing.T) {
	b := start(t)
	for n := range 30 {
		cause, err := "undecodable", error(nil)
		if n%3 == 0 {
			cause, err = "unknown_schema", schemaError{strconv.Itoa(n)}
		}
		b.bury(t, refusedRecord(n, cause, err))
	}
	// An aborted letter stands last on its partition: it was never refused.
	tx, err := kgo.NewClient(append(b.opts, kgo.TransactionalID("tx"), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	if err := tx.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := tx.ProduceSync(t.Context(), refusedRecord(40, "undecodable", nil)).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := tx.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}

	list := func(f Filter) (offsets []int64) {
		t.Helper()
		letters, err := List(t.Context(), b.opts, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range letters {
			if l.Record != nil {
				t.Error("a listed letter holds its record")
			}
			offsets = append(offsets, l.Source.Offset)
		}
		return offsets
	}
	print := Fingerprint("unknown_schema", "in", "schema_not_found")
	for name, tt := range map[string]struct {
		f    Filter
		want []int64
	}{
		"newest":      {Filter{Limit: 3}, []int64{27, 28, 29}},
		"cause":       {Filter{Cause: "unknown_schema", Limit: 2}, []int64{24, 27}},
		"fingerprint": {Filter{Fingerprint: print, Topics: []string{"in.dlq"}, Limit: 1}, []int64{27}},
		"since":       {Filter{Since: refused.Add(28 * time.Second)}, []int64{28, 29}},
	} {
		if diff := cmp.Diff(tt.want, list(tt.f)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if n := len(list(Filter{})); n != 30 {
		t.Errorf("%d letters, want 30", n)
	}
	groups, err := Summary(t.Context(), b.opts, Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if len(groups) != 2 || groups[0].Count != 20 || groups[1].Count != 10 || groups[1].Fingerprint != print ||
		groups[1].Error != "schema_not_found" || !groups[1].First.Equal(refused) || !groups[1].Last.Equal(refused.Add(27*time.Second)) {
		t.Errorf("summary %+v", groups)
	}
	l, err := Get(t.Context(), b.opts, groups[1].Example)
	if err != nil || l.Source.Offset != 27 || !bytes.Equal(l.Record.Value, []byte{0, 27, 0xff}) {
		t.Errorf("get %+v, %v", l, err)
	}
	if _, err := List(t.Context(), b.opts, Filter{Topics: []string{"nowhere.dlq"}}); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("missing topic: %v", err)
	}
}

func TestTailFollows(t *testing.T) {
	b := start(t)
	b.bury(t, refusedRecord(0, "undecodable", nil), refusedRecord(1, "oversize", nil))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	enough := fmt.Errorf("enough")
	var got []int64
	err := Tail(ctx, b.opts, Filter{Cause: "oversize", Since: refused}, func(l Letter) error {
		got = append(got, l.Source.Offset)
		if len(got) == 1 {
			b.bury(t, refusedRecord(2, "undecodable", nil), refusedRecord(3, "oversize", nil)) // while it is read
			return nil
		}
		return enough
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{1, 3}, got); diff != "" {
		t.Error(diff)
	}
	cancel()
	if err := Tail(ctx, b.opts, Filter{}, func(Letter) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
