package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/policy/policytest"
	"github.com/concord-ats/concord/pkg/policylog"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// judgedBy publishes a bundle, and writes that the partition of gh-main/7 judges by it from a time on.
func judgedBy(t *testing.T, r *reader, p *policy.Policy, from wire.Micros) (wire.Digest, *kgo.Client) {
	t.Helper()
	archive, err := p.Pack(nil)
	if err != nil {
		t.Fatal(err)
	}
	full := p.Digest()
	digest := wire.Digest(full[:16])
	n := partitionOf(topics.HiringState, "gh-main/7", 2)
	manual, err := kgo.NewClient(append(r.opts[:len(r.opts):len(r.opts)], kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(manual.Close)
	for _, rec := range []*kgo.Record{
		{Topic: topics.Policy, Key: []byte(full.String()), Value: archive},
		{Topic: topics.HiringState, Partition: n, Key: []byte(policylog.PartitionKey(n)), Value: r.schemas.Append(nil, &wire.HiringState{
			ApplicationID: policylog.PartitionKey(n), Policy: &wire.PartitionPolicy{Bundles: []wire.ActiveBundle{{Policy: digest, EffectiveAt: from}}},
		})},
	} {
		if err := manual.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return digest, manual
}

// An application that stands in a state which the policy in force does not have is nobody's closed case: explain names the
// policy, the state, who has to see to it, and what would mend it.
func TestExplainAStateThatIsGone(t *testing.T) {
	t.Parallel()
	env := services(t)
	r := open(t, env)
	const at = wire.Micros(1_790_000_000_000_000)
	p := policytest.Edited(t, "triage", "sorting", "version: 1.0.0", "version: 2.0.0")
	digest, _ := judgedBy(t, r, p, at-1e6)
	s := state(3, "triage")
	s.Head.EnteredAt, s.Head.EnteredFrom = at-60e6, "apply"
	s.Incidents = []wire.OpenIncident{{ID: "i1", Kind: wire.IncidentKindUnknownStage, Element: "triage", FirstSeen: at, OpenedAt: at, Owner: "recruiting operations"}}
	put(t, r, topics.HiringState, "gh-main/7", s)
	put(t, r, topics.HiringDecisions, "gh-main/7", &wire.Decision{
		ApplicationID: "gh-main/7", Version: 3, Reason: wire.ReasonRejudged, EventType: "rejudge", Offset: -1, Now: at + 1e6, From: "triage", To: "triage", Policy: digest,
		StateBefore: wire.Digest{1}, StateAfter: digestOfState(only(t, r, topics.HiringState, "gh-main/7").Value), Mode: "write",
	})
	got := concord(t, env, "", "app", "explain", "gh-main/7", "--at", (at + 60e6).String())
	for _, want := range []string{
		"recruiting operations", "concord-default 2.0.0, sha256:" + digest.String() + "…, has no state triage",
		"publish a bundle that has it, or one whose migrations say where its applications go ({from: triage, to: STATE, why: …} in bundle.yaml)",
		"The policy in force has no such stage (triage)",
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("no %q in\n%s%s", want, got.stdout, got.stderr)
		}
	}
	for _, wrong := range []string{"it is closed", "not known"} {
		if strings.Contains(got.stdout, wrong) {
			t.Errorf("%q in\n%s", wrong, got.stdout)
		}
	}
	var x struct {
		Next struct{ Owner, Why string } `json:"next"`
	}
	if err := json.Unmarshal([]byte(concord(t, env, "", "app", "explain", "gh-main/7", "--json").stdout), &x); err != nil || x.Next.Owner != "recruiting operations" || !strings.Contains(x.Next.Why, "has no state triage") {
		t.Errorf("for scripts: %+v, %v", x, err)
	}
}
