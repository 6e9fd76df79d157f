package reconciler

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/policy/policytest"
	"github.com/concord-ats/concord/pkg/policylog"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// proving makes a reconciler take what a company has signed.
func (l *lab) proving(c *policytest.Company, revoked string) func(*Config) {
	signers := c.Signers(l.T, revoked)
	return func(cfg *Config) {
		cfg.Policies = policylog.New(policylog.Config{Kafka: l.Opts, Schemas: l.Schemas, Signers: func() (*policy.Signers, error) { return signers, nil }})
	}
}

// publish puts an archive under the digest of p, and announces it everywhere for so long from now on.
func (l *lab) publish(p *policy.Policy, archive []byte, id string, in time.Duration) {
	l.T.Helper()
	for _, rec := range policylog.Records(l.Schemas, p, archive, &wire.Control{
		ID: id, Source: "/test", OccurredAt: wire.MicrosOf(time.Now()), EffectiveAt: wire.MicrosOf(time.Now().Add(in)), Actor: wire.Actor{Kind: wire.ActorKindHuman, ID: "u1"},
	}, partitionCount) {
		if rec.Topic == topics.HiringControl { // the lab's client partitions by key
			l.produceTo(rec)
			continue
		}
		l.Produce(rec)
	}
}

func (l *lab) produceTo(rec *kgo.Record) {
	l.T.Helper()
	cl, err := kgo.NewClient(append(slices.Clone(l.Opts), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		l.T.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(l.T.Context(), rec).FirstErr(); err != nil {
		l.T.Fatal(err)
	}
}

func pack(t *testing.T, p *policy.Policy, signatures ...policy.Signature) []byte {
	t.Helper()
	archive, err := p.Pack(signatures)
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

func short(p *policy.Policy) (d wire.Digest) {
	full := p.Digest()
	copy(d[:], full[:])
	return d
}

// stands says that an application stands in a native stage.
func (l *lab) stands(app int, id, stage string, at time.Time) *kgo.Record {
	name := fmt.Sprintf("%s/%d", instance, app)
	return l.Message(TopicChanges, name, &wire.AtsChange{
		ID: id, Source: instance, Type: "application.stage_changed", System: instance, OccurredAt: wire.MicrosOf(at), ApplicationID: name, Status: wire.ApplicationStatusActive,
		Stage: wire.NativeStage{ID: stage}, Requisition: wire.Requisition{ID: "r", Type: "engineering"},
	})
}

// decided are the decisions that a condition picks.
func (l *lab) decided(n int, what string, pick func(*wire.Decision) bool) (out []wire.Decision) {
	l.T.Helper()
	l.Until(what, func(context.Context) (bool, error) {
		out = nil
		for _, d := range l.decisions() {
			if pick(&d) {
				out = append(out, d)
			}
		}
		return len(out) >= n, nil
	})
	return out
}

func policyOf(reason wire.Reason, id string) func(*wire.Decision) bool {
	return func(d *wire.Decision) bool { return d.Reason == reason && (id == "" || d.EventID == id) }
}

const many = 2*sweepKeys + 40 // applications: the sweep of each partition takes more than one step

// TestPublished: a bundle with another SLA, owner, mapping and wave is put in force under a running reconciler. From its time on
// every decision names it, idle applications included; a restart with nothing but the log goes on with it; publishing the older
// one again rolls back; and every decision can be computed again from the log.
func TestPublished(t *testing.T) {
	l := newLab(t)
	co := policytest.NewCompany(t)
	old := policytest.Edited(t, "version: 1.0.0", "version: 1.0.1")
	p := policytest.Edited(t, "version: 1.0.0", "version: 2.0.0", "owner: recruiter, sla: 3d, warn_before: 1d", "owner: coordinator, sla: 1d", "default: write", "default: observe", `"2944102": triage`, `"2944102": screening`)
	entered := time.Now().Add(-time.Hour)
	var recs []*kgo.Record
	for i := range many {
		recs = append(recs, l.stands(i, fmt.Sprint("e", i), "1002", entered))
	}
	l.Produce(recs...)
	r := l.start(t.TempDir(), l.proving(co, ""))
	l.Handled(Group, inputs...)

	l.publish(old, pack(t, old, co.All(t, old)...), "first", time.Millisecond)
	l.decided(partitionCount, "the first is taken up", policyOf(wire.ReasonPolicyActivated, "first"))
	l.publish(p, pack(t, p, co.All(t, p)...), "second", 700*time.Millisecond)
	took := l.decided(partitionCount, "the second is taken up", policyOf(wire.ReasonPolicyActivated, "second"))
	l.Produce(l.stands(0, "before", "1002", entered.Add(time.Second)))
	before := l.decided(1, "an event before its time", func(d *wire.Decision) bool { return d.EventID == "before" })[0]
	r.stop() // between the announcement and its time

	dir := t.TempDir() // and nothing is left but the log
	r = l.start(dir, l.proving(co, ""))
	rejudged := l.decided(many, "idle applications are judged anew", func(d *wire.Decision) bool {
		return d.Reason == wire.ReasonRejudged && d.Policy == short(p) && !hiring.Ours(d.ApplicationID)
	})
	l.Produce(l.stands(1, "after", "2944102", time.Now()))
	after := l.decided(1, "an event after its time", func(d *wire.Decision) bool { return d.EventID == "after" })[0]
	if before.Policy == short(p) || before.Mode != "write" || before.Owner != "recruiter" {
		t.Errorf("before its time: policy %s, mode %s, owner %s", before.Policy, before.Mode, before.Owner)
	}
	if after.Policy != short(p) || after.Mode != "observe" || after.To != "screening" {
		t.Errorf("after its time: policy %s, mode %s, to %s", after.Policy, after.Mode, after.To)
	}
	for _, d := range rejudged {
		if d.Owner != "coordinator" || d.Mode != "observe" || d.Offset != -1 || d.Disposition != wire.DispositionTimer {
			t.Fatalf("judged anew: %+v", d)
		}
	}
	for _, d := range took {
		if d.EffectiveAt <= d.Now {
			t.Errorf("taken up for %d at %d", d.EffectiveAt, d.Now)
		}
	}

	l.publish(old, pack(t, old, co.All(t, old)...), "back", time.Millisecond)
	l.decided(partitionCount, "rolled back", policyOf(wire.ReasonPolicyActivated, "back"))
	l.Produce(l.stands(2, "rolled back", "1002", time.Now()))
	if d := l.decided(1, "an event under the older one again", func(d *wire.Decision) bool { return d.EventID == "rolled back" })[0]; d.Policy != short(old) || d.Mode != "write" {
		t.Errorf("rolled back: policy %s, mode %s", d.Policy, d.Mode)
	}
	r.stop()
	l.replayed(old, p)
}

// replayed computes every decision again from the log alone: which bundles judged it, its decisions say.
func (l *lab) replayed(known ...*policy.Policy) {
	l.T.Helper()
	bundles := map[wire.Digest]*hiring.Bundle{}
	for _, p := range known {
		b, err := p.Compile()
		if err != nil {
			l.T.Fatal(err)
		}
		bundles[short(p)] = b
	}
	inputs := l.inputs()
	engines := map[string]*hiring.Rules{}
	states := map[string]*cell{}
	w, rd := newWriter(l.Schemas), newReader(l.Schemas, l.rules, partitionCount)
	count := 0
	for _, rec := range l.Read(TopicDecisions) {
		var d wire.Decision
		if err := l.Schemas.DecodeLocal(rec.Value, &d); err != nil {
			l.T.Fatal(err)
		}
		part := policylog.PartitionKey(rec.Partition)
		if engines[part] == nil {
			engines[part] = l.rules
		}
		if hiring.Ours(d.ApplicationID) {
			if d.Reason == wire.ReasonPolicyActivated {
				engines[part] = engines[part].Activate(bundles[d.Policy], hiring.Micros(d.EffectiveAt))
			}
			continue
		}
		e := hiring.Event{Type: hiring.ParseEventType(d.EventType)}
		if d.Offset >= 0 {
			if _, err := rd.read(l.T.Context(), inputs[coord{d.Topic, d.Partition, d.Offset}], &e); err != nil {
				l.T.Fatal(err)
			}
		}
		prior := states[d.ApplicationID]
		if prior == nil {
			prior = new(cell)
		}
		was, err := w.open(d.ApplicationID, prior)
		if err != nil {
			l.T.Fatal(err)
		}
		again, next := w.decide(engines[part].On(hiring.Micros(d.Now)), was, prior, &e, hiring.Micros(d.Now))
		states[d.ApplicationID] = next
		if next.digest != d.StateAfter || wire.Digest(again.Policy) != d.Policy || again.Reason.String() != d.Reason.String() {
			l.T.Fatalf("%s version %d, %s %s: decided %s by %s, now %s by %s", d.ApplicationID, d.Version, d.EventType, d.EventID, d.Reason, d.Policy, again.Reason, again.Policy)
		}
		count++
	}
	l.T.Logf("%d decisions computed again", count)
}

// TestMigrated: a bundle renames a state in which applications stand and says so. They go there, idle or not, with a reason
// and an edge of their own; late events are judged by the bundle of their time and end there too.
func TestMigrated(t *testing.T) {
	l := newLab(t)
	co := policytest.NewCompany(t)
	p := policytest.Edited(t, "triage", "sorting", "version: 1.0.0", "version: 2.0.0\nmigrations: [{from: triage, to: sorting, why: A clearer name}]")
	entered := time.Now().Add(-time.Hour)
	l.Produce(l.stands(1, "e1", "1002", entered), l.stands(2, "e2", "1001", entered))
	r := l.start(t.TempDir(), l.proving(co, ""))
	l.Handled(Group, inputs...)
	l.publish(p, pack(t, p, co.All(t, p)...), "m", time.Millisecond)
	d := l.decided(1, "the idle application is moved", func(d *wire.Decision) bool { return d.Reason == wire.ReasonMigrated })[0]
	if d.From != "triage" || d.To != "sorting" || len(d.Path) != 1 || d.Path[0].Edge != hiring.EdgeMigrate || d.Policy != short(p) || d.Version != 2 {
		t.Errorf("moved: %+v", d)
	}
	l.decided(partitionCount, "both partitions are through", func(d *wire.Decision) bool { return d.Reason == wire.ReasonRejudged && hiring.Ours(d.ApplicationID) })
	// Late word of before: it moved to triage then, so it stands in sorting now.
	l.Produce(l.stands(2, "late", "1002", entered.Add(time.Minute)), l.stands(1, "note", "1002", entered.Add(time.Minute)))
	late := l.decided(1, "a late move", func(d *wire.Decision) bool { return d.EventID == "late" })[0]
	if late.To != "sorting" || late.Path[len(late.Path)-1].Edge != hiring.EdgeMigrate {
		t.Errorf("late: %+v", late)
	}
	note := l.decided(1, "a late repetition", func(d *wire.Decision) bool { return d.EventID == "note" })[0]
	if note.From != "sorting" || note.To != "sorting" {
		t.Errorf("late repetition: %+v", note)
	}
	r.stop()
	l.replayed(p)
}

// TestRefused: what is not whole, not signed by all who must, or by a key that may not, changes nothing, whoever put it there.
func TestRefused(t *testing.T) {
	l := newLab(t)
	co := policytest.NewCompany(t)
	co.Roster = append(co.Roster, `dan/hiring,dan/process `+policytest.NewKey(t, "dan").Public, `eve/hiring valid-before="20200101Z" `+policytest.NewKey(t, "eve").Public, `fay/hiring `+policytest.NewKey(t, "fay").Public)
	for _, person := range []string{"dan", "eve", "fay", "mallory"} {
		co.Keys[person] = policytest.NewKey(t, person)
	}
	// as signs as everybody, but in the role of hiring as one person.
	as := func(p *policy.Policy, person string) []policy.Signature {
		all := co.All(t, p)
		all[0] = co.Sign(t, p, person, "hiring")
		return all
	}
	cases := []struct {
		name, cause string
		archive     func(p *policy.Policy) []byte
	}{
		{"nobody signed", "unproven", func(p *policy.Policy) []byte { return pack(t, p) }},
		{"one role only", "unproven", func(p *policy.Policy) []byte { return pack(t, p, co.All(t, p)[:1]...) }},
		{"one person in two roles", "unproven", func(p *policy.Policy) []byte {
			return pack(t, p, append(co.All(t, p)[2:], co.Sign(t, p, "dan", "hiring"), co.Sign(t, p, "dan", "process"))...)
		}},
		{"an expired key", "unproven", func(p *policy.Policy) []byte { return pack(t, p, as(p, "eve")...) }},
		{"a revoked key", "unproven", func(p *policy.Policy) []byte { return pack(t, p, as(p, "fay")...) }},
		{"an unknown key", "unproven", func(p *policy.Policy) []byte { return pack(t, p, as(p, "mallory")...) }},
		{"a byte of the text", "altered", func(p *policy.Policy) []byte {
			return bytes.Replace(pack(t, p, co.All(t, p)...), []byte("14d"), []byte("15d"), 1)
		}},
		{"a byte of a signature", "altered", func(p *policy.Policy) []byte {
			archive := pack(t, p, co.All(t, p)...)
			at := bytes.LastIndexByte(archive, '"') - 3
			archive[at] = map[bool]byte{true: 'B', false: 'A'}[archive[at] == 'A']
			return archive
		}},
		{"another bundle", "altered", func(*policy.Policy) []byte {
			other := policytest.Edited(t, "version: 1.0.0", "version: 0.0.1")
			return pack(t, other, co.All(t, other)...)
		}},
		{"nothing", "altered", func(*policy.Policy) []byte { return nil }},
		{"a bundle that does not hold", "faulty", func(p *policy.Policy) []byte { return nil }},
	}
	good := policytest.Edited(t, "version: 1.0.0", "version: 1.0.1")
	r := l.start(t.TempDir(), l.proving(co, co.Keys["fay"].Public+"\n"))
	l.publish(good, pack(t, good, co.All(t, good)...), "good", time.Millisecond)
	l.decided(partitionCount, "the good one is taken up", policyOf(wire.ReasonPolicyActivated, "good"))
	for i, c := range cases {
		p := policytest.Edited(t, "version: 1.0.0", fmt.Sprintf("version: 3.0.%d", i))
		archive := []byte(nil)
		if c.cause == "faulty" {
			p = policytest.Edited(t, "version: 1.0.0", "version: 4.0.0", "to: offer, owner: recruiter", "to: offer, owner: nobody")
			archive = pack(t, p, co.All(t, p)...)
		} else {
			archive = c.archive(p)
		}
		l.publish(p, archive, c.name, time.Millisecond)
		for _, d := range l.decided(partitionCount, c.name, policyOf(wire.ReasonPolicyRefused, c.name)) {
			if cause := d.Detail; cause != c.cause && (c.cause != "altered" || cause != "unproven") {
				t.Errorf("%s: refused as %s, want %s", c.name, cause, c.cause)
			}
		}
	}
	// The good archive is overwritten by a hostile one: what was taken up stays.
	l.Produce(&kgo.Record{Topic: topics.Policy, Key: []byte(good.Digest().String()), Value: []byte("{}\n")})
	l.Produce(l.stands(1, "e", "1002", time.Now()))
	if d := l.decided(1, "an event", func(d *wire.Decision) bool { return d.EventID == "e" })[0]; d.Policy != short(good) || d.Dev {
		t.Errorf("decided by %s, want the good one", d.Policy)
	}
	if len(l.Read(topics.HiringControl+".dlq")) != 0 {
		t.Error("a refused activation is decided, and no dead letter")
	}
	r.stop()
}

// TestDev: with --dev nobody has to sign, and every decision says so. Without keys nothing is taken.
func TestDev(t *testing.T) {
	p := policytest.Edited(t, "version: 1.0.0", "version: 2.0.0")
	for _, dev := range []bool{true, false} {
		l := newLab(t)
		r := l.start(t.TempDir(), func(cfg *Config) {
			cfg.Policies = policylog.New(policylog.Config{Kafka: l.Opts, Schemas: l.Schemas, Dev: dev})
		})
		l.publish(p, pack(t, p), "x", time.Millisecond)
		want := wire.ReasonPolicyRefused
		if dev {
			want = wire.ReasonPolicyActivated
		}
		l.decided(partitionCount, "it is judged", policyOf(want, "x"))
		l.Produce(l.stands(1, "e", "1002", time.Now()))
		if d := l.decided(1, "an event", func(d *wire.Decision) bool { return d.EventID == "e" })[0]; d.Dev != dev || (d.Policy == short(p)) != dev {
			t.Errorf("dev %v: decided with dev %v by %s", dev, d.Dev, d.Policy)
		}
		r.stop()
	}
}

// The bundle in force, its warnings and signatures that hold no longer are metrics.
func TestPolicyMetrics(t *testing.T) {
	co := policytest.NewCompany(t)
	p := policytest.Edited(t, "version: 1.0.0", "version: 2.0.0", "review_by: 2027-12-31", "review_by: 2020-12-31")
	log := policylog.New(policylog.Config{Signers: func() (*policy.Signers, error) { return co.Signers(t, ""), nil }})
	log.Configured(p)
	m := newPolicyMetrics(log)
	b, err := p.Compile()
	if err != nil {
		t.Fatal(err)
	}
	m.judges(1, t.Context(), (&hiring.Rules{Bundles: []*hiring.Bundle{b}}).Activate(b, 5_000_000))
	reg := prometheus.NewRegistry()
	reg.MustRegister(m)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		for _, s := range f.GetMetric() {
			line := f.GetName()
			for _, label := range s.GetLabel() {
				line += " " + label.GetValue()
			}
			got = append(got, fmt.Sprintf("%s = %g", line, s.GetGauge().GetValue()))
		}
	}
	want := []string{
		fmt.Sprintf("concord_policy_in_force_timestamp_seconds 1 %s = 5", short(p)),
		fmt.Sprintf("concord_policy_unproven %s = 0", short(p)),
		fmt.Sprintf("concord_policy_warnings bundle.yaml review_by %s = 1", short(p)),
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
