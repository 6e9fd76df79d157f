package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy/policytest"
	"github.com/concord-ats/concord/pkg/policylog"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// Whether a bundle strands somebody is asked of where everybody will stand when it takes effect: bundles that are announced for a time
// before that have moved them by then, whether the partition has heard of them yet or not.
func TestStrandedIsAskedOfTheTimeItTakesEffect(t *testing.T) {
	t.Parallel()
	home, co := t.TempDir(), policytest.NewCompany(t)
	keys := filepath.Join(home, "allowed_signers")
	if err := os.WriteFile(keys, []byte(co.KeysFile()), 0o600); err != nil {
		t.Fatal(err)
	}
	env := append(services(t), "CONCORD_POLICY_SIGNERS="+keys)
	r := open(t, env)
	s := state(3, "apply")
	s.Head.LevelOwn, s.Head.EnteredAt = true, 1
	put(t, r, topics.HiringState, s.ApplicationID, s)

	now := time.Now()
	publish := func(version string, in time.Duration, replacements ...string) result {
		t.Helper()
		p := policytest.Edited(t, append([]string{"version: 1.0.0", "version: " + version}, replacements...)...)
		archive, err := p.Pack(co.All(t, p))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(home, version)
		if err := os.WriteFile(file, archive, 0o600); err != nil {
			t.Fatal(err)
		}
		return concord(t, env, "", "policy", "publish", file, "--effective-at", now.Add(in).Format(time.RFC3339), "--actor", "u1", "--reason", "HR-1", "--yes", "--json")
	}
	renamed := func(version string) []string {
		return []string{
			"version: " + version, "version: " + version + "\nmigrations: [{from: apply, to: arrival, why: A clearer name}]", "apply", "arrival",
			"from: arrival, to: arrival, why", "from: apply, to: arrival, why",
		}
	}
	const hour = time.Hour
	if got := publish("2.0.0", 2*hour, renamed("2.0.0")...); got.code != exitOK {
		t.Fatalf("a migration: exit %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	moved := policytest.Edited(t, append([]string{"version: 1.0.0", "version: 2.0.0"}, renamed("2.0.0")...)...)
	full := moved.Digest()
	manual, err := kgo.NewClient(append(r.opts[:len(r.opts):len(r.opts)], kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer manual.Close()
	heard := func(bundles ...wire.ActiveBundle) {
		t.Helper()
		n := partitionOf(topics.HiringState, s.ApplicationID, 2)
		key := policylog.PartitionKey(n)
		if err := manual.ProduceSync(t.Context(), &kgo.Record{Topic: topics.HiringState, Partition: n, Key: []byte(key), Value: r.schemas.Append(nil, &wire.HiringState{
			ApplicationID: key, Policy: &wire.PartitionPolicy{Bundles: bundles},
		})}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for _, of := range []bool{false, true} {
		if of {
			heard(wire.ActiveBundle{Policy: wire.Digest(full[:16]), EffectiveAt: wire.MicrosOf(now.Add(2 * hour).Truncate(time.Second))})
		}
		if got := publish(map[bool]string{false: "3.0.0", true: "3.0.1"}[of], 3*hour); got.code != exitFailure || !strings.Contains(got.stdout, `"name": "arrival"`) || !strings.Contains(got.stdout, `"applications": 1`) {
			t.Errorf("heard %v, back after it without a migration: exit %d\n%s%s", of, got.code, got.stdout, got.stderr)
		}
	}
	if got := publish("4.0.0", hour); got.code != exitOK {
		t.Errorf("back before it: exit %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	if got := publish("5.0.0", 3*hour, "version: 5.0.0", "version: 5.0.0\nmigrations: [{from: arrival, to: apply, why: Back}]"); got.code != exitOK {
		t.Errorf("back after it with one: exit %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	many := make([]wire.ActiveBundle, hiring.MaxScheduled)
	for i := range many {
		many[i] = wire.ActiveBundle{Policy: wire.Digest(full[:16]), EffectiveAt: wire.MicrosOf(now.Add(4 * hour))}
	}
	heard(many...)
	if got := publish("6.0.0", hour); got.code != exitRefused || !strings.Contains(got.stderr, "too_many") || !strings.Contains(got.stderr, "takes effect at "+now.Add(hour).UTC().Format(time.RFC3339)) {
		t.Errorf("as many as are kept: exit %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	heard()
	other := state(1, "apply")
	other.ApplicationID, other.System, other.Head.LevelOwn = "elsewhere/7", "elsewhere", true
	put(t, r, topics.HiringState, other.ApplicationID, other)
	if got := publish("6.0.0", hour); got.code != exitFailure || !strings.Contains(got.stdout, `"kind": "ats"`) || !strings.Contains(got.stdout, `"name": "elsewhere"`) {
		t.Errorf("an ATS the bundle does not know: exit %d\n%s%s", got.code, got.stdout, got.stderr)
	}
}
