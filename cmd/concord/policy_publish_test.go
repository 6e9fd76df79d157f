package main

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/policy/policytest"
	"github.com/concord-ats/concord/pkg/policylog"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// historyView is what `policy history --json` prints.
type historyView struct {
	Published  []published `json:"published"`
	Partitions []inForce   `json:"partitions"`
	Agree      bool        `json:"agree"`
}

// A bundle is published to a running process: it is refused unsigned, too soon, or where it strands somebody, with the list; it
// waits for its time over a kill; it judges from then on without a restart; and the history says who did what.
func TestAPolicyIsPublished(t *testing.T) {
	t.Parallel()
	sim, err := atssim.New(atssim.Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	ats := httptest.NewServer(sim)
	t.Cleanup(ats.Close)
	home, co := t.TempDir(), policytest.NewCompany(t)
	keys := filepath.Join(home, "allowed_signers")
	if err := os.WriteFile(keys, []byte(co.KeysFile()), 0o644); err != nil {
		t.Fatal(err)
	}
	m := newMachine(t, ats.URL)
	m.env, m.tools = append(m.env, "CONCORD_POLICY_SIGNERS="+keys), append(m.tools, "CONCORD_POLICY_SIGNERS="+keys)
	cmd := m.up(t, &buffer{})
	m.publish(t, topics.ATSChanges, changes(0, 4)) // in apply

	archive := func(name string, signed bool, replacements ...string) string {
		p := policytest.Edited(t, replacements...)
		signatures := co.All(t, p)
		if !signed {
			signatures = signatures[:1]
		}
		text, err := p.Pack(signatures)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(home, name)
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	who := []string{"--actor", "u1", "--reason", "HR-1", "--yes", "--json"}
	publish := func(code int, args ...string) result {
		t.Helper()
		got := concord(t, m.tools, "", append(append([]string{"policy", "publish"}, args...), who...)...)
		if got.code != code {
			t.Fatalf("%v: exit %d\n%s%s", args, got.code, got.stdout, got.stderr)
		}
		return got
	}
	seen := func() int {
		list := concord(t, m.tools, "", "app", "show", "gh-main/3", "--json")
		return list.code
	}
	await(t, func() bool { return seen() == exitOK })
	const slower = "hiring manager, sla: 14d, authority"
	good := archive("good", true, "version: 1.0.0", "version: 2.0.0", slower, "hiring manager, sla: 10d, authority")
	if got := publish(exitFailure, archive("unsigned", false, "version: 1.0.0", "version: 2.0.1")); !strings.Contains(got.stdout, "is not signed as process") {
		t.Errorf("unsigned: %s", got.stdout)
	}
	publish(exitUsage, good, "--effective-at", time.Now().Add(publishLead/2).Format(time.RFC3339))
	stranding := archive("stranding", true, "version: 1.0.0", "version: 2.0.2", "apply", "arrival")
	if got := publish(exitFailure, stranding); !strings.Contains(got.stdout, `"name": "apply"`) || !strings.Contains(got.stdout, `"applications": 4`) {
		t.Errorf("stranding: %s%s", got.stdout, got.stderr)
	}
	publish(exitUsage, "--dev", good, "--effective-at", "soon")
	publish(exitOK, good)
	history := func() (out historyView) {
		t.Helper()
		got := concord(t, m.tools, "", "policy", "history", "--json")
		if err := json.Unmarshal([]byte(got.stdout), &out); got.code != exitOK || err != nil {
			t.Fatalf("history: exit %d, %v\n%s%s", got.code, err, got.stdout, got.stderr)
		}
		return out
	}
	await(t, func() bool {
		h := history()
		return len(h.Partitions) == 2 && len(h.Partitions[0].Scheduled) == 1 && len(h.Partitions[1].Scheduled) == 1
	})
	h := history()
	if len(h.Published) != 1 || h.Published[0].By != "u1" || h.Published[0].Reason != "HR-1" || len(h.Published[0].Signatures) != 4 || h.Published[0].Proven == nil || !*h.Published[0].Proven || h.Partitions[0].Digest != "" {
		t.Errorf("history %+v", h)
	}

	// The same by hand and sooner, as nobody waits a minute for a test; then the process is killed before its time.
	r := open(t, m.tools)
	a := &app{stdout: t.Output(), stderr: t.Output()}
	p, signatures, err := a.signed(archive("moved", true, "version: 1.0.0", "version: 3.0.0\nmigrations: [{from: apply, to: arrival, why: A clearer name}]", "apply", "arrival", "from: arrival, to: arrival, why", "from: apply, to: arrival, why"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := p.Pack(signatures)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(4 * time.Second)
	if err := publishTogether(t.Context(), r.opts, records(policylog.Records(r.schemas, p, text, &wire.Control{
		ID: "moved", Source: "/test", OccurredAt: wire.MicrosOf(time.Now()), EffectiveAt: wire.MicrosOf(at), Actor: wire.Actor{Kind: wire.ActorKindHuman, ID: "u2"},
	}, 2))); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool {
		return len(history().Partitions[0].Scheduled) == 2 && len(history().Partitions[1].Scheduled) == 2
	})
	if c := end(t, cmd, syscall.SIGKILL); c != -1 {
		t.Fatalf("killed process ended with %d", c)
	}
	cmd = m.up(t, &buffer{})
	migrated := func() (n int) {
		_, ends, err := r.bounds(t.Context(), topics.HiringDecisions)
		if err != nil {
			t.Fatal(err)
		}
		for part, o := range ends[topics.HiringDecisions] {
			if err := r.scan(t.Context(), topics.HiringDecisions, part, 0, o.Offset, func(rec *kgo.Record) error {
				var d wire.Decision
				if err := r.schemas.Decode(t.Context(), rec.Value, &d); err != nil {
					return err
				}
				if d.Reason == wire.ReasonMigrated && d.To == "arrival" {
					n++
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	await(t, func() bool { return migrated() == 4 })
	for _, part := range history().Partitions {
		if digest := p.Digest().String(); part.Digest != digest[:32] || part.Since == nil || len(part.Scheduled) != 1 {
			t.Errorf("in force: %+v", part)
		}
	}
	if c := end(t, cmd, syscall.SIGTERM); c != exitOK {
		t.Errorf("SIGTERM: exit %d", c)
	}
}

// --dev is for embedded mode alone.
func TestDevIsForEmbeddedModeAlone(t *testing.T) {
	t.Parallel()
	if got := concord(t, nil, "", "run", "reconciler", "--dev"); got.code != exitUsage || !strings.Contains(got.stderr, "policy.dev") {
		t.Errorf("exit %d\n%s", got.code, got.stderr)
	}
}

// What is published without proof is in force only where somebody runs with --dev, and that is what is said.
func TestPublishingWithoutProofPromisesNothing(t *testing.T) {
	t.Parallel()
	env, dir := services(t), filepath.Join(t.TempDir(), "policy")
	if got := concord(t, env, "", "policy", "init", dir); got.code != exitOK {
		t.Fatalf("init: exit %d\n%s", got.code, got.stderr)
	}
	got := concord(t, env, "", "policy", "publish", dir, "--dev", "--actor", "u1", "--reason", "HR-1", "--yes")
	if got.code != exitOK || strings.Contains(got.stderr, "in force from") || !strings.Contains(got.stderr, "any other refuses it") || !strings.Contains(got.stderr, "--dev") {
		t.Errorf("exit %d\n%s", got.code, got.stderr)
	}
}
