package reconciler

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/policy/policytest"
	"github.com/concord-ats/concord/pkg/policylog"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// announced are the records of publishing a bundle that asks to be in force from at on.
func (l *lab) announced(p *policy.Policy, archive []byte, id string, at time.Time) []*kgo.Record {
	return policylog.Records(l.Schemas, p, archive, &wire.Control{
		ID: id, Source: "/test", OccurredAt: wire.MicrosOf(time.Now()), EffectiveAt: wire.MicrosOf(at), Actor: wire.Actor{Kind: wire.ActorKindHuman, ID: "u1"},
	}, partitionCount)
}

// place writes records to the partition each names; those of topic policy go by their keys.
func (l *lab) place(recs ...*kgo.Record) {
	l.T.Helper()
	cl, err := kgo.NewClient(append(slices.Clone(l.Opts), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		l.T.Fatal(err)
	}
	defer cl.Close()
	for _, rec := range recs {
		if rec.Partition < 0 {
			rec.Partition = int32(kgo.StickyKeyPartitioner(nil).ForTopic(rec.Topic).Partition(rec, l.partitions(rec.Topic)))
		}
	}
	if err := cl.ProduceSync(l.T.Context(), recs...).FirstErr(); err != nil {
		l.T.Fatal(err)
	}
}

func (l *lab) partitions(topic string) int {
	l.T.Helper()
	all, err := kadm.NewClient(l.Client).ListTopics(l.T.Context(), topic)
	if err != nil {
		l.T.Fatal(err)
	}
	return len(all[topic].Partitions)
}

// active is what the record of a partition says is in force.
func (l *lab) active(partition int32) []wire.ActiveBundle {
	l.T.Helper()
	var s wire.HiringState
	value := l.states()[policylog.PartitionKey(partition)]
	if value == nil {
		return nil
	}
	if err := l.Schemas.DecodeLocal(value, &s); err != nil {
		l.T.Fatal(err)
	}
	return s.Policy.Bundles
}

// Who may write hiring.control cannot put in force, and cannot bring back, what was signed: an activation counts when topic policy
// holds it too, and was written before its time. One told twice changes nothing, and one in another's partition is a dead letter.
func TestActivationsThatAreNotMeant(t *testing.T) {
	l := newLab(t)
	co := policytest.NewCompany(t)
	first, second := policytest.Edited(t, "version: 1.0.0", "version: 1.0.1"), policytest.Edited(t, "version: 1.0.0", "version: 1.0.2")
	r := l.start(t.TempDir(), l.proving(co, ""))
	was := l.announced(first, pack(t, first, co.All(t, first)...), "first", time.Now().Add(time.Millisecond))
	l.place(was...)
	took := l.decided(partitionCount, "the first is taken up", policyOf(wire.ReasonPolicyActivated, "first"))

	// In the past by less than clocks differ: it begins after whatever was judged.
	l.publish(second, pack(t, second, co.All(t, second)...), "second", -5*time.Second)
	for _, d := range l.decided(partitionCount, "the second is taken up", policyOf(wire.ReasonPolicyActivated, "second")) {
		if d.EffectiveAt <= d.Now {
			t.Errorf("in force from %d on, and judged until %d", d.EffectiveAt, d.Now)
		}
	}

	var forged []*kgo.Record // archive and signatures are there, and nobody published it
	for _, rec := range l.announced(first, nil, "forged", time.Now().Add(time.Millisecond)) {
		if rec.Topic == topics.HiringControl {
			forged = append(forged, rec)
		}
	}
	l.place(forged...)
	var retold []*kgo.Record // the announcement as it was, at another time
	moved := wire.Control{
		ID: "first", Source: "/test", OccurredAt: wire.MicrosOf(time.Now()), Actor: wire.Actor{Kind: wire.ActorKindHuman, ID: "u1"},
		EffectiveAt: wire.MicrosOf(time.Now().Add(time.Minute)),
	}
	for _, rec := range policylog.Records(l.Schemas, first, nil, &moved, partitionCount) {
		if rec.Topic == topics.HiringControl {
			retold = append(retold, rec)
		}
	}
	l.place(retold...)
	l.publish(first, pack(t, first, co.All(t, first)...), "late", -2*policylog.MaxLate)
	for id, cause := range map[string]policylog.Cause{"forged": policylog.CauseUnannounced, "first": policylog.CauseUnannounced, "late": policylog.CauseLate} {
		for _, d := range l.decided(partitionCount, id+" is refused", policyOf(wire.ReasonPolicyRefused, id)) {
			if d.Detail != string(cause) {
				t.Errorf("%s: refused as %s, want %s", id, d.Detail, cause)
			}
		}
	}

	var again []*kgo.Record // the very same, in time
	now := l.announced(first, pack(t, first, co.All(t, first)...), "again", time.Now().Add(2*time.Second))
	l.place(now...)
	l.decided(partitionCount, "it is taken up again", policyOf(wire.ReasonPolicyActivated, "again"))
	for _, rec := range now {
		if rec.Topic == topics.HiringControl {
			again = append(again, &kgo.Record{Topic: rec.Topic, Key: rec.Key, Value: rec.Value, Partition: rec.Partition})
		}
	}
	l.place(again...)
	l.decided(partitionCount, "the same once more", policyOf(wire.ReasonDuplicate, "again"))
	for n := range int32(partitionCount) {
		var got []wire.Digest
		for _, b := range l.active(n) {
			got = append(got, b.Policy)
		}
		if want := []wire.Digest{short(first), short(second), short(first)}; !slices.Equal(got, want) {
			t.Errorf("partition %d: in force %v, want %v", n, got, want)
		}
	}

	// Each says which partition it is for.
	astray := &kgo.Record{Topic: topics.HiringControl, Key: again[0].Key, Value: again[0].Value, Partition: 1 - again[0].Partition}
	l.place(astray)
	l.Until("it is a dead letter", func(context.Context) (bool, error) { return len(l.Read(topics.HiringControl+".dlq")) == 1, nil })
	if cause := header(l.Read(topics.HiringControl + ".dlq")[0], "cause"); cause != string(wire.CauseWrongPartition) {
		t.Errorf("dead-lettered as %q", cause)
	}
	if len(took) != partitionCount {
		t.Errorf("%d partitions took the first up", len(took))
	}
	r.stop()
}

// Of several published for one moment the last is in force, for the reconciler and for who reads the topic; one of them told again
// changes nothing.
func TestTheLastPublishedForOneMomentCounts(t *testing.T) {
	l := newLab(t)
	co := policytest.NewCompany(t)
	a, b := policytest.Edited(t, "version: 1.0.0", "version: 1.0.1"), policytest.Edited(t, "version: 1.0.0", "version: 1.0.2")
	var log *policylog.Log
	r := l.start(t.TempDir(), func(cfg *Config) { l.proving(co, "")(cfg); log = cfg.Policies })
	at := time.Now().Add(3 * time.Second)
	var again []*kgo.Record
	for _, step := range []struct {
		id string
		p  *policy.Policy
	}{{"first", a}, {"second", b}, {"third", a}} {
		recs := l.announced(step.p, pack(t, step.p, co.All(t, step.p)...), step.id, at)
		for _, rec := range recs {
			if step.id == "second" && rec.Topic == topics.HiringControl {
				again = append(again, &kgo.Record{Topic: rec.Topic, Key: rec.Key, Value: rec.Value, Partition: rec.Partition})
			}
		}
		l.place(recs...)
		l.decided(partitionCount, step.id+" is taken up", policyOf(wire.ReasonPolicyActivated, step.id))
	}
	l.place(again...)
	l.decided(partitionCount, "one comes again", policyOf(wire.ReasonDuplicate, "second"))
	l.Until("its time", func(context.Context) (bool, error) { return time.Now().After(at), nil })
	l.Produce(l.stands(1, "e", "1002", time.Now()))
	if d := l.decided(1, "an event", func(d *wire.Decision) bool { return d.EventID == "e" })[0]; d.Policy != short(a) {
		t.Errorf("decided by %s, want %s, the last published", d.Policy, short(a))
	}
	if err := log.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	taken, refused := log.Schedule(time.Now())
	if n := len(taken); n != 3 || len(refused) != 0 || taken[n-1].Policy.Digest() != a.Digest() {
		t.Errorf("readers go by %d, refused %v", n, refused)
	}
	r.stop()
	l.replayed(a, b)
}

func header(rec *kgo.Record, key string) string {
	for _, h := range rec.Headers {
		if strings.HasSuffix(h.Key, key) {
			return string(h.Value)
		}
	}
	return ""
}

// A bundle's own effective_from is waited for, whatever the announcement asks.
func TestABundlesOwnTimeIsWaitedFor(t *testing.T) {
	l := newLab(t)
	co := policytest.NewCompany(t)
	from := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	p := policytest.Edited(t, "version: 1.0.0", "version: 2.0.0", "effective_from: 1970-01-01T00:00:00Z", "effective_from: "+from.Format(time.RFC3339))
	r := l.start(t.TempDir(), l.proving(co, ""))
	l.publish(p, pack(t, p, co.All(t, p)...), "x", time.Millisecond)
	for _, d := range l.decided(partitionCount, "it is taken up", policyOf(wire.ReasonPolicyActivated, "x")) {
		if !d.EffectiveAt.Time().Equal(from) {
			t.Errorf("in force from %s on, want %s", d.EffectiveAt.Time(), from)
		}
	}
	l.Produce(l.stands(1, "e", "1002", time.Now()))
	if d := l.decided(1, "an event", func(d *wire.Decision) bool { return d.EventID == "e" })[0]; d.Policy == short(p) {
		t.Error("it judges before its time")
	}
	r.stop()
}

// An archive of a transaction that was aborted was never published.
func TestAnAbortedArchiveIsNotRead(t *testing.T) {
	l := newLab(t)
	co := policytest.NewCompany(t)
	p := policytest.Edited(t, "version: 1.0.0", "version: 2.0.0")
	recs := l.announced(p, pack(t, p, co.All(t, p)...), "x", time.Now().Add(time.Millisecond))
	cl, err := kgo.NewClient(append(slices.Clone(l.Opts), kgo.TransactionalID("aborts"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: recs[0].Topic, Key: recs[0].Key, Value: recs[0].Value}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := cl.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	r := l.start(t.TempDir(), l.proving(co, ""))
	l.place(recs[1:]...)
	for _, d := range l.decided(partitionCount, "it is refused", policyOf(wire.ReasonPolicyRefused, "x")) {
		if d.Detail != string(policylog.CauseUnknown) {
			t.Errorf("refused as %s, want unknown", d.Detail)
		}
	}
	r.stop()
}

// However many bundles are published, a partition keeps the one in force and the next to come: of more for times to come the last published
// are refused, for the reconciler and for who reads the topic, and of those gone by the oldest goes.
func TestActiveBundlesAreBounded(t *testing.T) {
	l := newLab(t)
	p := policytest.Edited(t, "version: 1.0.0", "version: 2.0.0")
	var log *policylog.Log
	r := l.start(t.TempDir(), func(cfg *Config) {
		cfg.Policies = policylog.New(policylog.Config{Kafka: l.Opts, Schemas: l.Schemas, Dev: true})
		log = cfg.Policies
	})
	for _, id := range []string{"past", "present"} {
		l.publish(p, pack(t, p), id, time.Millisecond)
		for _, d := range l.decided(partitionCount, id+" is taken up", policyOf(wire.ReasonPolicyActivated, id)) {
			l.Until("its time", func(context.Context) (bool, error) { return time.Now().After(d.EffectiveAt.Time()), nil })
		}
	}
	const more = 3
	var recs []*kgo.Record
	at := time.Now().Add(time.Hour)
	for i := range hiring.MaxScheduled + more {
		recs = append(recs, l.announced(p, pack(t, p), fmt.Sprint("n", i), at.Add(time.Duration(more-i)*time.Second))...)
	}
	l.place(recs...)
	for i := range more {
		id := fmt.Sprint("n", hiring.MaxScheduled+i)
		for _, d := range l.decided(partitionCount, id+" is refused", policyOf(wire.ReasonPolicyRefused, id)) {
			if d.Detail != string(policylog.CauseTooMany) {
				t.Errorf("%s: refused as %s", id, d.Detail)
			}
		}
	}
	present := policylog.Activation(&wire.Control{ID: "present", Source: "/test"})
	for n := range int32(partitionCount) {
		if got := l.active(n); len(got) != hiring.MaxBundles || got[0].Activation != present {
			t.Errorf("partition %d keeps %d, from %s on", n, len(got), got[0].EffectiveAt.Time())
		}
	}
	l.Produce(l.stands(1, "e", "1002", time.Now()))
	if d := l.decided(1, "an event", func(d *wire.Decision) bool { return d.EventID == "e" })[0]; d.Policy != short(p) {
		t.Errorf("decided by %s", d.Policy)
	}
	if err := log.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	if taken, refused := log.Schedule(time.Now()); len(taken) != hiring.MaxScheduled+2 || len(refused) != 0 {
		t.Errorf("readers go by %d, refused %q", len(taken), refused)
	}
	r.stop()
	l.replayed(p)
}

// What is in force in a partition, and whether its signatures still hold, is told from the assignment on, before any record comes.
func TestWhatIsInForceIsToldAtOnce(t *testing.T) {
	l := newLab(t)
	co := policytest.NewCompany(t)
	p := policytest.Edited(t, "version: 1.0.0", "version: 2.0.0")
	r := l.start(t.TempDir(), l.proving(co, ""))
	l.publish(p, pack(t, p, co.All(t, p)...), "x", time.Millisecond)
	for _, d := range l.decided(partitionCount, "it is taken up", policyOf(wire.ReasonPolicyActivated, "x")) {
		l.Until("its time", func(context.Context) (bool, error) { return time.Now().After(d.EffectiveAt.Time()), nil })
	}
	l.Until("idle applications were judged anew", func(context.Context) (bool, error) {
		return len(l.decided(partitionCount, "a sweep", func(d *wire.Decision) bool { return d.Reason == wire.ReasonRejudged })) == partitionCount, nil
	})
	r.stop()
	reg := prometheus.NewRegistry()
	r = l.start(t.TempDir(), func(cfg *Config) {
		l.proving(co, co.Keys["ada"].Public+"\n")(cfg)
		cfg.Registry = reg
	})
	var got map[string]float64
	l.Until("both are told", func(context.Context) (bool, error) {
		families, err := reg.Gather()
		if err != nil {
			return false, err
		}
		got = map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				for _, label := range m.GetLabel() {
					if label.GetName() == "policy" && label.GetValue() == short(p).String() {
						got[f.GetName()] += m.GetGauge().GetValue() / max(1, m.GetGauge().GetValue())
					}
				}
			}
		}
		return got["concord_policy_in_force_timestamp_seconds"] == partitionCount && got["concord_policy_unproven"] == 1, nil
	})
	r.stop()
}

// The archive of the bundle in force is gone from the topic: who has kept it goes on, a new machine waits and says what to
// do, and publishing it again is that.
func TestALostArchive(t *testing.T) {
	l := newLab(t)
	co := policytest.NewCompany(t)
	p := policytest.Edited(t, "version: 1.0.0", "version: 2.0.0")
	archive, kept := pack(t, p, co.All(t, p)...), t.TempDir()
	keeping := func(cfg *Config) {
		signers := co.Signers(t, "")
		cfg.Policies = policylog.New(policylog.Config{Kafka: l.Opts, Schemas: l.Schemas, Dir: kept, Signers: func() (*policy.Signers, error) { return signers, nil }})
	}
	r := l.start(t.TempDir(), keeping)
	l.publish(p, archive, "x", time.Millisecond)
	l.decided(partitionCount, "it is taken up", policyOf(wire.ReasonPolicyActivated, "x"))
	r.stop()

	// What compaction leaves once somebody has written a tombstone.
	l.Produce(&kgo.Record{Topic: topics.Policy, Key: []byte(p.Digest().String())})
	adm := kadm.NewClient(l.Client)
	ends, err := adm.ListEndOffsets(t.Context(), topics.Policy)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := adm.DeleteRecords(t.Context(), ends.Offsets()); err != nil {
		t.Fatal(err)
	}
	r = l.start(t.TempDir(), keeping)
	l.Produce(l.stands(1, "kept", "1002", time.Now()))
	if d := l.decided(1, "an event", func(d *wire.Decision) bool { return d.EventID == "kept" })[0]; d.Policy != short(p) {
		t.Errorf("decided by %s", d.Policy)
	}
	r.stop()

	r = l.start(t.TempDir(), l.proving(co, ""))
	l.Produce(l.stands(1, "held", "1002", time.Now()))
	l.Until("it is told", func(context.Context) (bool, error) {
		words := strings.Join(r.r.Ready(), "\n")
		return strings.Contains(words, p.Digest().String()[:32]) && strings.Contains(words, "publish it again"), nil
	})
	if n := len(l.decided(0, "", func(d *wire.Decision) bool { return d.EventID == "held" })); n != 0 {
		t.Error("decided without the policy in force")
	}
	l.publish(p, archive, "y", time.Millisecond)
	if d := l.decided(1, "it goes on", func(d *wire.Decision) bool { return d.EventID == "held" })[0]; d.Policy != short(p) {
		t.Errorf("decided by %s", d.Policy)
	}
	r.stop()
}
