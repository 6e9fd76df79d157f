package identity

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/concord-ats/concord/pkg/deadletter"
	"github.com/concord-ats/concord/pkg/store"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/processortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lab is a broker that people are told of.
type lab struct{ *processortest.Broker }

func newLab(t *testing.T) *lab {
	t.Helper()
	return &lab{processortest.New(t, 3)}
}

func (l *lab) event(e *wire.CandidateEvent) *kgo.Record {
	return &kgo.Record{Topic: topics.CandidateEvents, Key: []byte(e.Envelope().Subject), Value: l.Schemas.Append(nil, e)}
}

// run works in dir until everything on candidate.events is committed, what it says itself included.
func (l *lab) run(dir string, faults stream.Faults) *prometheus.Registry {
	l.T.Helper()
	db, err := store.Open(dir, store.Options{FlushInterval: time.Hour, MinFreeBytes: 1})
	if err != nil {
		l.T.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	p, err := New(Config{Schemas: l.Schemas, Registry: reg, Stream: stream.Config{
		Opts: l.Opts, TransactionalID: "identity-test", Sessions: 2, CommitInterval: 5 * time.Millisecond,
		HeartbeatInterval: 100 * time.Millisecond, StartTimeout: 10 * time.Second, Store: db, Faults: faults,
	}})
	if err != nil {
		l.T.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	l.Until("the partitions are restored", func(context.Context) (bool, error) { return len(p.Ready()) == 0, nil })
	l.Handled(Group, topics.CandidateEvents)
	cancel()
	if err := <-done; err != nil {
		l.T.Errorf("run: %v", err)
	}
	if err := db.Close(); err != nil {
		l.T.Errorf("close store: %v", err)
	}
	return reg
}

// TestWhatStandsOfACandidateReachesItsApplications runs over Kafka with aborts, stops in the middle and goes on with
// another store: each application hears each thing exactly once, on its own partition.
//
// Also proves scenario 23: over Kafka, with aborts and restarts, each exactly once.
func TestWhatStandsOfACandidateReachesItsApplications(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var first, second []*kgo.Record
	n := 0
	say := func(to *[]*kgo.Record, e wire.CandidateEvent) {
		n++
		e.ID, e.Source, e.System, e.OccurredAt = fmt.Sprint(n), "/ats/"+system, system, wire.MicrosOf(time.Now())
		*to = append(*to, l.event(&e))
	}
	want := map[string]int{}
	for i := range 30 {
		a, b := fmt.Sprint("A", i), fmt.Sprint("B", i)
		apps := []string{fmt.Sprintf("gh-main/%d", 2*i), fmt.Sprintf("gh-main/%d", 2*i+1)}
		contacts := []string{fmt.Sprintf("email:%064x", i), fmt.Sprintf("phone:%064x", i)}
		say(&first, wire.CandidateEvent{Type: typeLinked, CandidateID: a, ApplicationIDs: apps[:1]})
		say(&first, wire.CandidateEvent{Type: typeLinked, CandidateID: b, ApplicationIDs: apps[1:]})
		say(&first, wire.CandidateEvent{Type: typeSeen, CandidateID: a, Contacts: contacts})
		say(&second, wire.CandidateEvent{Type: typeSeen, CandidateID: b, Contacts: contacts})
		want["control.duplicate "+apps[0]+" "+b]++
		want["control.duplicate "+apps[1]+" "+a]++
		if i%3 == 0 {
			say(&second, wire.CandidateEvent{Type: typeAnonymized, CandidateID: fmt.Sprint("C", i)})
			say(&second, wire.CandidateEvent{Type: typeLinked, CandidateID: fmt.Sprint("C", i), ApplicationIDs: []string{fmt.Sprintf("gh-main/c%d", i)}})
			want[fmt.Sprintf("control.anonymize gh-main/c%d ", i)]++
		}
	}
	l.Produce(first...)
	l.run(t.TempDir(), stream.Faults{AbortEvery: 3})
	l.Produce(second...)
	reg := l.run(t.TempDir(), stream.Faults{AbortEvery: 2}) // a new store: everything is restored

	got := map[string]int{}
	keyed := kgo.StickyKeyPartitioner(nil).ForTopic("")
	for _, rec := range l.Read(topics.HiringControl) {
		var c wire.Control
		if err := l.Schemas.DecodeLocal(rec.Value, &c); err != nil {
			t.Fatal(err)
		}
		if string(rec.Key) != c.ApplicationID || keyed.Partition(rec, 3) != int(rec.Partition) {
			t.Errorf("keyed %q on partition %d: %+v", rec.Key, rec.Partition, c)
		}
		got[c.Type+" "+c.ApplicationID+" "+c.Subject]++
	}
	if !maps.Equal(got, want) {
		t.Errorf("told %v\nwant %v", got, want)
	}
	if letters := l.Read(topics.DeadLetter(topics.CandidateEvents)); len(letters) > 0 {
		t.Errorf("%d dead letters", len(letters))
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if n := f.GetMetric()[0].GetCounter().GetValue(); f.GetName() == "concord_identity_probable_duplicates_total" && n != 60 {
			t.Errorf("%v duplicates counted, want 60", n)
		}
	}
}

// TestBadEventsAreDeadLetters: each with its cause, and the good one behind them is handled.
func TestBadEventsAreDeadLetters(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	good := func() *wire.CandidateEvent {
		return &wire.CandidateEvent{ID: "1", Source: "s", Type: typeMerged, System: system, CandidateID: "A", NewCandidateID: "B", OccurredAt: 1, ApplicationIDs: []string{"gh-main/1"}}
	}
	bad := map[string]*kgo.Record{}
	add := func(cause wire.Cause, name string, change func(*wire.CandidateEvent)) {
		e := good()
		change(e)
		bad[string(cause)+" "+name] = l.event(e)
	}
	add(wire.CauseNoIdentity, "no id", func(e *wire.CandidateEvent) { e.ID = "" })
	add(wire.CauseUnsupportedType, "type", func(e *wire.CandidateEvent) { e.Type = "candidate.promoted" })
	add(wire.CauseInvalidField, "no candidate", func(e *wire.CandidateEvent) { e.CandidateID = "" })
	add(wire.CauseInvalidField, "into itself", func(e *wire.CandidateEvent) { e.NewCandidateID = "A" })
	add(wire.CauseInvalidField, "another system's application", func(e *wire.CandidateEvent) { e.ApplicationIDs = []string{"lever/1"} })
	add(wire.CauseInvalidField, "no applications", func(e *wire.CandidateEvent) { e.Type, e.ApplicationIDs = typeLinked, nil })
	add(wire.CauseInvalidField, "an address in place of its hash", func(e *wire.CandidateEvent) { e.Type, e.Contacts = typeSeen, []string{"email:a@example.org"} })
	add(wire.CauseInvalidField, "system", func(e *wire.CandidateEvent) { e.System = "a/b" })
	add(wire.CauseInvalidField, "contact of a person's event", func(e *wire.CandidateEvent) { e.Contact = mail })
	bad[string(wire.CauseKeyMismatch)+" key"] = &kgo.Record{Topic: topics.CandidateEvents, Key: []byte("gh-main/Z"), Value: l.Schemas.Append(nil, good())}
	bad[string(wire.CauseUndecodable)+" bytes"] = &kgo.Record{Topic: topics.CandidateEvents, Key: []byte("gh-main/A"), Value: l.Schemas.Append(nil, good())[:9]}
	mismatch := l.event(good())
	mismatch.Headers = []kgo.RecordHeader{{Key: wire.HeaderID, Value: []byte("2")}}
	bad[string(wire.CauseEnvelopeMismatch)+" header"] = mismatch
	for _, name := range slices.Sorted(maps.Keys(bad)) {
		l.Produce(bad[name])
	}
	l.Produce(l.event(good()))
	l.run(t.TempDir(), stream.Faults{})

	got := map[string]int{}
	for _, rec := range l.Read(topics.DeadLetter(topics.CandidateEvents)) {
		for _, h := range rec.Headers {
			if h.Key == deadletter.HeaderCause {
				got[string(h.Value)]++
			}
		}
	}
	want := map[string]int{}
	for name := range bad {
		cause, _, _ := strings.Cut(name, " ")
		want[cause]++
	}
	if !maps.Equal(got, want) {
		t.Errorf("causes %v, want %v", got, want)
	}
	if n := len(l.Read(topics.HiringControl)); n != 1 {
		t.Errorf("%d controls, want the one of the good event", n)
	}
}
