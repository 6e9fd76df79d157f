package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/policy/policytest"
	"github.com/concord-ats/concord/pkg/policylog"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// What is in force is what the record of each partition says, not what was published: a partition that has not heard, or judges by
// something else, shows.
func TestHistoryTellsWhatEachPartitionJudgesBy(t *testing.T) {
	t.Parallel()
	env := services(t)
	r := open(t, env)
	manual, err := kgo.NewClient(append(r.opts[:len(r.opts):len(r.opts)], kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer manual.Close()
	place := func(rec *kgo.Record) {
		t.Helper()
		rec.Partition = max(0, rec.Partition)
		if err := manual.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now().Truncate(time.Second).UTC()
	bundles := map[string]*policy.Policy{}
	announce := func(version, id string, at time.Time) {
		t.Helper()
		p := policytest.Edited(t, "version: 1.0.0", "version: "+version)
		bundles[version] = p
		archive, err := p.Pack(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range policylog.Records(r.schemas, p, archive, &wire.Control{ID: id, Source: "/test", OccurredAt: wire.MicrosOf(at.Add(-time.Minute)), EffectiveAt: wire.MicrosOf(at)}, 2) {
			if rec.Topic == topics.Policy {
				place(rec)
			}
		}
	}
	short := func(version string) (d wire.Digest) {
		full := bundles[version].Digest()
		copy(d[:], full[:])
		return d
	}
	judges := func(partition int32, until time.Time, in ...wire.ActiveBundle) {
		key := policylog.PartitionKey(partition)
		place(&kgo.Record{Topic: topics.HiringState, Partition: partition, Key: []byte(key), Value: r.schemas.Append(nil, &wire.HiringState{
			ApplicationID: key, Policy: &wire.PartitionPolicy{Bundles: in, SweptUntil: wire.MicrosOf(until)},
		})})
	}
	first, second, third := now.Add(-time.Hour), now.Add(-time.Minute), now.Add(time.Hour)
	announce("2.0.0", "first", first)
	announce("2.0.1", "second", second)
	announce("2.0.2", "third", third)
	judges(0, first, wire.ActiveBundle{Policy: short("2.0.0"), EffectiveAt: wire.MicrosOf(first)}, wire.ActiveBundle{Policy: short("2.0.1"), EffectiveAt: wire.MicrosOf(second)},
		wire.ActiveBundle{Policy: short("2.0.2"), EffectiveAt: wire.MicrosOf(third)})
	judges(1, first, wire.ActiveBundle{Policy: short("2.0.0"), EffectiveAt: wire.MicrosOf(first)})
	place(&kgo.Record{Topic: topics.HiringDecisions, Partition: 1, Key: []byte(policylog.PartitionKey(1)), Timestamp: now, Value: r.schemas.Append(nil, &wire.Decision{
		ApplicationID: policylog.PartitionKey(1), EventID: "second", Topic: topics.HiringControl, Reason: wire.ReasonPolicyRefused, Detail: "unproven", Policy: short("2.0.1"),
	})})

	got := concord(t, env, "", "policy", "history", "--json")
	var h historyView
	if err := json.Unmarshal([]byte(got.stdout), &h); got.code != exitOK || err != nil || len(h.Partitions) != 2 {
		t.Fatalf("exit %d, %v\n%s%s", got.code, err, got.stdout, got.stderr)
	}
	a, b := h.Partitions[0], h.Partitions[1]
	if h.Agree || a.Digest != short("2.0.1").String() || !a.Since.Equal(second) || !a.Sweeping || len(a.Unheard)+len(a.Refused) != 0 ||
		!slices.Equal(a.Scheduled, []scheduled{{short("2.0.2").String(), third}}) {
		t.Errorf("agree %v, partition 0: %+v", h.Agree, a)
	}
	if b.Digest != short("2.0.0").String() || !b.Since.Equal(first) || b.Sweeping || len(b.Scheduled) != 0 || b.Refused["second"] != "unproven" || !slices.Equal(b.Unheard, []string{"third"}) {
		t.Errorf("partition 1: %+v", b)
	}
	text := concord(t, env, "", "policy", "history")
	for _, want := range []string{"from " + third.Format(time.RFC3339) + " on", "not read yet third", "refused second: unproven", "judged anew"} {
		if !strings.Contains(text.stdout, want) {
			t.Errorf("no %q in\n%s", want, text.stdout)
		}
	}
	if !strings.Contains(text.stderr, "the partitions do not agree") {
		t.Errorf("stderr: %s", text.stderr)
	}
}

// A stage is one of the policy that judges the application's partition, not of one that somebody has put on the topic and no
// reconciler has taken up.
func TestControlGoesByWhatWasTakenUp(t *testing.T) {
	t.Parallel()
	env := services(t)
	r := open(t, env)
	manual, err := kgo.NewClient(append(r.opts[:len(r.opts):len(r.opts)], kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer manual.Close()
	put(t, r, topics.HiringState, "gh-main/7", state(3, "triage"))
	p := policytest.Edited(t, "version: 1.0.0", "version: 2.0.0", "triage", "sorting")
	archive, err := p.Pack(nil) // nobody has signed
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range policylog.Records(r.schemas, p, archive, &wire.Control{ID: "x", Source: "/test", EffectiveAt: wire.MicrosOf(time.Now().Add(-time.Minute))}, 2) {
		rec.Partition = max(0, rec.Partition)
		if err := manual.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	override := func(code int, stage string) {
		t.Helper()
		if got := concord(t, env, "", "control", "override", "gh-main/7", "--stage", stage, "--actor", "u1", "--reason", "HR-1", "--yes"); got.code != code {
			t.Errorf("%s: exit %d, want %d\n%s", stage, got.code, code, got.stderr)
		}
	}
	override(exitUsage, "sorting")
	override(exitOK, "triage")
	n := partitionOf(topics.HiringState, "gh-main/7", 2)
	key, full := policylog.PartitionKey(n), p.Digest()
	if err := manual.ProduceSync(t.Context(), &kgo.Record{Topic: topics.HiringState, Partition: n, Key: []byte(key), Value: r.schemas.Append(nil, &wire.HiringState{
		ApplicationID: key, Policy: &wire.PartitionPolicy{Bundles: []wire.ActiveBundle{{Policy: wire.Digest(full[:16]), EffectiveAt: wire.MicrosOf(time.Now().Add(-time.Minute))}}},
	})}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	override(exitUsage, "triage")
	override(exitOK, "sorting")
}
