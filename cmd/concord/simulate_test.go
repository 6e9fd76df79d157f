package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/concord-ats/concord/pkg/local"
	"github.com/concord-ats/concord/processors/reconciler/replay"
)

// demoBounds are the bounds the demo decides by.
var demoBounds = []string{"--set", "reconciler.grace=300ms", "--set", "reconciler.settle=600ms", "--set", "reconciler.refresh_coalescing=100ms"}

// simulate replays what a cluster holds, and returns the report and the exit code.
func simulate(t *testing.T, env []string, args ...string) (r replay.Report, exit int) {
	t.Helper()
	got := concord(t, env, "", append(append([]string{"policy", "simulate", "--json"}, demoBounds...), args...)...)
	if got.stdout != "" {
		if err := json.Unmarshal([]byte(got.stdout), &r); err != nil {
			t.Fatalf("%v\n%s", err, got.stderr)
		}
	}
	t.Log(got.stderr)
	return r, got.code
}

// history is a demo's run on services that stay: its whole log, under the demo's bounds.
func history(t *testing.T) (env []string) {
	t.Helper()
	s, err := local.Start(t.Context(), local.Config{Partitions: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	env = []string{
		"CONCORD_KAFKA_BROKERS=" + strings.Join(s.Brokers, ","), "CONCORD_REGISTRY_URL=" + s.Registry, "CONCORD_REDIS_ADDR=" + s.Redis,
		"CONCORD_START_TIMEOUT=20s", "CONCORD_LOG_LEVEL=error",
	}
	if got := concord(t, env, "", "demo", "--applications", "200", "--seed", "5", "--brokers", strings.Join(s.Brokers, ","), "--registry", s.Registry, "--redis", s.Redis); got.code != exitOK && got.code != exitFailure {
		t.Fatalf("demo: exit %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	return env
}

func TestSimulateTheDemo(t *testing.T) {
	t.Parallel()
	env := history(t)
	r, exit := simulate(t, env)
	t.Logf("exit %d: %d decisions, %d applications, %d erased, %d no beginning, %d other policy, %d unreadable", exit, r.Decisions, r.Applications, r.Erased, r.NoBeginning, r.OtherPolicy, r.Unreadable)
	for _, f := range r.Faults {
		t.Error(f)
	}
	if exit != exitOK {
		t.Errorf("exit %d", exit)
	}
}
