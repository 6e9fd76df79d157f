package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/policy/policytest"
	"github.com/concord-ats/concord/pkg/policylog"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
)

// Who reads an ATS does not guess. On a machine that never took the policy in force, where a key of its signers has been revoked since,
// nothing is read by the configured mapping: the process is not ready and says why, webhooks are to be sent again, walks and backfills
// end before the first request, and all go on once it can be proved. What nobody can have put in force holds nothing back.
func TestWhatCannotBeProvedIsNotRead(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	system := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
	}))
	t.Cleanup(system.Close)
	home, co := t.TempDir(), policytest.NewCompany(t)
	keys, revoked := filepath.Join(home, "allowed_signers"), filepath.Join(home, "revoked_keys")
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(keys, co.KeysFile())
	write(revoked, "")
	env := append(services(t), "CONCORD_POLICY_SIGNERS="+keys, "CONCORD_POLICY_REVOKED="+revoked, "CONCORD_LOG_LEVEL=error",
		"CONCORD_ATS=[{instance: gh-main, url: '"+system.URL+"', client_id: c, client_secret: s, webhook_secrets: [w]}]")

	started := func() *app {
		t.Helper()
		a := &app{env: env, stdin: strings.NewReader(""), stdout: t.Output(), stderr: t.Output()}
		if err := a.load(a.root()); err != nil {
			t.Fatal(err)
		}
		a.log, a.metrics = zap.NewNop(), prometheus.NewRegistry()
		schemas, err := a.schemas(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.takeUp(t.Context(), schemas, filepath.Join(t.TempDir(), "policies")); err != nil {
			t.Fatal(err)
		}
		a.metrics.MustRegister(a.mappings.gauges(a.systems())...)
		return a
	}
	const words = "cannot be proved: unproven"
	check := func(a *app, held bool, when string) {
		t.Helper()
		if ready := strings.Join(a.mappings.Ready(), "\n"); strings.Contains(ready, words) != held || held == (ready == "") {
			t.Errorf("%s: not ready because of %q", when, ready)
		}
		families, err := a.metrics.Gather()
		if err != nil || len(families) != 1 || families[0].GetName() != "concord_policy_unknown" || families[0].GetMetric()[0].GetGauge().GetValue() == 1 != held {
			t.Errorf("%s: %v, metrics %v", when, err, families)
		}
		client, err := a.liveClient(a.cfg.ATS[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		before := asked.Load()
		if _, err := client.ListChanged(t.Context(), ats.Cursor{}); err == nil || strings.Contains(err.Error(), words) != held {
			t.Errorf("%s: a walk says %v", when, err)
		}
		if went := asked.Load() > before; went == held {
			t.Errorf("%s: the ATS was asked: %v", when, went)
		}
		hooks, err := a.liveWebhooks(a.cfg.ATS[0])
		if err != nil {
			t.Fatal(err)
		}
		var problem *webhook.Error
		if _, err := hooks.Parse(http.Header{}, []byte(`{}`), time.Now()); !errors.As(err, &problem) || (problem.Problem == webhook.ProblemPolicy) != held {
			t.Errorf("%s: a webhook says %v", when, err)
		}
	}

	unsigned := policytest.Edited(t, "version: 1.0.0", "version: 1.0.1")
	r := open(t, env)
	archive, err := unsigned.Pack(co.All(t, unsigned)[:1])
	if err != nil {
		t.Fatal(err)
	}
	now := wire.MicrosOf(time.Now())
	if err := publishTogether(t.Context(), r.opts, records(policylog.Records(r.schemas, unsigned, archive, &wire.Control{ID: "unsigned", Source: "/test", OccurredAt: now, EffectiveAt: now}, 2))); err != nil {
		t.Fatal(err)
	}
	a := started()
	check(a, false, "one that one person has signed")
	if doubts := strings.Join(a.mappings.doubts(), "\n"); !strings.Contains(doubts, "not taken up") {
		t.Errorf("one that one person has signed is told as %q", doubts)
	}

	p := policytest.Edited(t, "version: 1.0.0", "version: 2.0.0")
	putInForce(t, env, co, p, "x", 0)
	running := started()
	check(running, false, "before a key is revoked")
	write(revoked, co.Keys["ada"].Public+"\n")
	running.mappings.update(nil)
	check(running, false, "where it was taken up")
	a = started()
	check(a, true, "on a new machine")
	if got := concord(t, env, "", "backfill", "--ats", "gh-main"); got.code != exitRefused || !strings.Contains(got.stderr, words) || !strings.Contains(got.stderr, p.Digest().String()[:32]) {
		t.Errorf("backfill: exit %d\n%s", got.code, got.stderr)
	}
	write(revoked, "")
	a.mappings.update(nil)
	check(a, false, "once it can be proved")
}
