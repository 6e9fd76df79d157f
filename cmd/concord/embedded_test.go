package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// asProcess makes this test binary behave as the program itself, so that a test can kill a whole process.
const asProcess = "CONCORD_TEST_AS_PROCESS"

func TestMain(m *testing.M) {
	if os.Getenv(asProcess) != "" {
		main()
	}
	os.Exit(m.Run())
}

// start runs the program in a process of its own; the test ends it at the latest.
func start(t *testing.T, env []string, log *buffer, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append([]string{asProcess + "=1"}, env...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			end(t, cmd, syscall.SIGKILL)
		}
		if t.Failed() {
			t.Logf("process %d said:\n%s", cmd.Process.Pid, log)
		}
	})
	return cmd
}

// end sends one signal and returns the exit code, -1 for a process that was killed.
func end(t *testing.T, cmd *exec.Cmd, signal os.Signal) int {
	t.Helper()
	if err := cmd.Process.Signal(signal); err != nil {
		t.Error(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Error(err)
	}
	return cmd.ProcessState.ExitCode()
}

// changes are n lines of ats.changes, one new application each.
func changes(from, n int) string {
	var b strings.Builder
	for i := from; i < from+n; i++ {
		fmt.Fprintf(&b, `{"id":"c%d","source":"/ats/gh-main","type":"application.created","system":"gh-main","occurred_at":"2026-11-20T10:00:00Z",`+
			`"application_id":"gh-main/%d","candidate_id":"%d","stage":{"id":"1001"},"status":"active"}`+"\n", i, i, i)
	}
	return b.String()
}

// One machine, no services: everything acknowledged survives kill -9, a restart goes on where it was, a second process on the
// same folder is refused, and SIGTERM ends cleanly.
func TestRunAllEmbeddedSurvivesKill(t *testing.T) {
	t.Parallel()
	sim, err := atssim.New(atssim.Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	ats := httptest.NewServer(sim)
	t.Cleanup(ats.Close)

	dir := t.TempDir()
	port := func() string { return strings.TrimPrefix(freeAddress(t), "127.0.0.1:") }
	kafka, registry, operations := port(), port(), freeAddress(t)
	env := []string{
		"CONCORD_DATA_DIR=" + dir, "CONCORD_INSTANCE=one", "CONCORD_HTTP_LISTEN=" + operations, "CONCORD_GATEWAY_LISTEN=127.0.0.1:0",
		"CONCORD_LOCAL_KAFKA_PORT=" + kafka, "CONCORD_LOCAL_REDIS_PORT=0", "CONCORD_LOCAL_REGISTRY_PORT=" + registry, "CONCORD_KAFKA_PARTITIONS=2",
		"CONCORD_STREAM_SESSIONS=1", "CONCORD_STREAM_SESSION_TIMEOUT=6s", "CONCORD_STREAM_TRANSACTION_TIMEOUT=2s", "CONCORD_WRITEBACK_SESSION_TIMEOUT=6s",
		"CONCORD_ATS=[{instance: gh-main, url: '" + ats.URL + "', client_id: concord, client_secret: secret, webhook_secret: w}]",
	}
	tools := []string{
		"CONCORD_KAFKA_BROKERS=127.0.0.1:" + kafka, "CONCORD_REGISTRY_URL=http://127.0.0.1:" + registry, "CONCORD_HTTP_LISTEN=" + operations,
		"CONCORD_START_TIMEOUT=20s", "CONCORD_LOG_LEVEL=error",
	}
	up := func(log *buffer) *exec.Cmd {
		cmd := start(t, env, log, "run", "all", "--embedded")
		await(t, func() bool { return concord(t, tools, "", "health").code == exitOK })
		return cmd
	}
	publish := func(from, n int) {
		t.Helper()
		if got := concord(t, tools, changes(from, n), "publish", topics.ATSChanges); got.code != exitOK {
			t.Fatalf("publish: exit %d\n%s", got.code, got.stderr)
		}
	}

	const half = 300
	first := &buffer{}
	cmd := up(first)
	publish(0, half)
	// At a moment of its own choosing: some are folded, some are not.
	if c := end(t, cmd, syscall.SIGKILL); c != -1 {
		t.Fatalf("killed process ended with %d", c)
	}

	second := &buffer{}
	cmd = up(second)
	third := &buffer{}
	intruder := start(t, append(env, "CONCORD_HTTP_LISTEN="), third, "run", "all", "--embedded")
	if err := intruder.Wait(); intruder.ProcessState.ExitCode() != exitFenced {
		t.Errorf("a second process on the folder: %v, want exit code %d\n%s", err, exitFenced, third)
	}
	publish(half, half)

	r := open(t, tools)
	versions := map[string][]int64{}
	await(t, func() bool {
		_, ends, err := r.bounds(t.Context(), topics.HiringDecisions)
		if err != nil {
			t.Fatal(err)
		}
		clear(versions)
		for p, o := range ends[topics.HiringDecisions] {
			if err := r.scan(t.Context(), topics.HiringDecisions, p, 0, o.Offset, func(rec *kgo.Record) error {
				var d wire.Decision
				if err := r.schemas.Decode(t.Context(), rec.Value, &d); err != nil {
					return err
				}
				if d.Topic == topics.ATSChanges && d.EventSource == "/ats/gh-main" && strings.HasPrefix(d.EventID, "c") {
					versions[d.ApplicationID] = append(versions[d.ApplicationID], d.Version)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		return len(versions) >= 2*half
	})
	for id, v := range versions {
		if len(v) != 1 || v[0] != 1 {
			t.Errorf("%s was decided with versions %v, want 1 once", id, v)
		}
	}
	if len(versions) != 2*half {
		t.Errorf("%d applications, want %d", len(versions), 2*half)
	}
	show := concord(t, tools, "", "app", "show", "gh-main/5", "--json")
	var view applicationView
	if err := json.Unmarshal([]byte(show.stdout), &view); err != nil || view.State.Head.Stage != "apply" {
		t.Errorf("app show: %v\n%s%s", err, show.stdout, show.stderr)
	}
	if c := end(t, cmd, syscall.SIGTERM); c != exitOK {
		t.Errorf("SIGTERM: exit %d", c)
	}
	if response, err := http.Get("http://" + operations + "/healthz"); err == nil {
		t.Errorf("something still answers: %s", response.Status)
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}
