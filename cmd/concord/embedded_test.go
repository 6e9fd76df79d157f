package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

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

// machine is `run all --embedded` in a process of its own, and the environment with which the tools reach it.
type machine struct {
	env, tools []string
	operations string
}

func newMachine(t *testing.T, ats string) *machine {
	t.Helper()
	port := func() string { return strings.TrimPrefix(freeAddress(t), "127.0.0.1:") }
	kafka, registry, operations := port(), port(), freeAddress(t)
	return &machine{
		operations: operations,
		env: []string{
			"CONCORD_DATA_DIR=" + t.TempDir(), "CONCORD_INSTANCE=one", "CONCORD_HTTP_LISTEN=" + operations, "CONCORD_GATEWAY_LISTEN=127.0.0.1:0",
			"CONCORD_LOCAL_KAFKA_PORT=" + kafka, "CONCORD_LOCAL_REDIS_PORT=0", "CONCORD_LOCAL_REGISTRY_PORT=" + registry, "CONCORD_KAFKA_PARTITIONS=2",
			"CONCORD_STREAM_SESSIONS=1", "CONCORD_STREAM_SESSION_TIMEOUT=6s", "CONCORD_STREAM_TRANSACTION_TIMEOUT=2s",
			"CONCORD_WRITEBACK_SESSION_TIMEOUT=6s", "CONCORD_RECONCILER_GRACE=100ms", "CONCORD_RECONCILER_SETTLE=100ms",
			"CONCORD_ATS=[{instance: gh-main, url: '" + ats + "', client_id: concord, client_secret: secret, webhook_secrets: [w], read_lag: 100ms}]",
		},
		tools: []string{
			"CONCORD_KAFKA_BROKERS=127.0.0.1:" + kafka, "CONCORD_REGISTRY_URL=http://127.0.0.1:" + registry, "CONCORD_HTTP_LISTEN=" + operations,
			"CONCORD_START_TIMEOUT=20s", "CONCORD_LOG_LEVEL=error",
		},
	}
}

// up starts it and waits until every part makes progress.
func (m *machine) up(t *testing.T, log *buffer) *exec.Cmd {
	t.Helper()
	cmd := start(t, m.env, log, "run", "all", "--embedded")
	await(t, func() bool { return concord(t, m.tools, "", "health").code == exitOK })
	return cmd
}

func (m *machine) publish(t *testing.T, topic, lines string) {
	t.Helper()
	if got := concord(t, m.tools, lines, "publish", topic); got.code != exitOK {
		t.Fatalf("publish: exit %d\n%s", got.code, got.stderr)
	}
}

// A screening result that is published ends as a stage the ATS shows and Concord has confirmed, whatever dialect it
// speaks.
func TestAPublishedResultIsConfirmedInTheATS(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	type tenant struct {
		instance string
		dialect  atssim.Dialect
		sim      *atssim.Server
	}
	tenants := []*tenant{{"gh-main", atssim.Greenhouse{}, nil}, {"lever-main", atssim.Lever{}, nil}, {"ashby-main", atssim.Ashby{}, nil}, {"sr-main", atssim.SmartRecruiters{}, nil}}
	var configured []string
	for _, x := range tenants {
		var err error
		if x.sim, err = atssim.New(atssim.Config{Seed: 1, Dialect: x.dialect, RateLimit: x.dialect.Limits()}); err != nil {
			t.Fatal(err)
		}
		ats := httptest.NewServer(x.sim)
		t.Cleanup(ats.Close)
		if err := x.sim.Seed(atssim.Application{ID: 7, CandidateID: 70, JobID: 1, StageID: 71416, AppliedAt: at, LastActivityAt: at}); err != nil {
			t.Fatal(err)
		}
		configured = append(configured, fmt.Sprintf("{instance: %s, kind: %s, url: '%s', client_id: concord, client_secret: secret, read_lag: 100ms}", x.instance, x.dialect.Name(), ats.URL))
	}
	m := newMachine(t, "")
	m.env = append(m.env, "CONCORD_ATS=["+strings.Join(configured, ", ")+"]") // the later one wins
	cmd := m.up(t, &buffer{})
	for _, x := range tenants {
		id, stage := x.instance+"/"+x.dialect.Spell(atssim.KindApplication, 7), x.dialect.Spell(atssim.KindStage, 71416)
		m.publish(t, topics.ATSChanges, fmt.Sprintf(`{"id":"c1","source":"/ats/%s","type":"snapshot","system":%[1]q,"occurred_at":%[2]q,"time_basis":"record",`+
			`"application_id":%[3]q,"candidate_id":"70","stage":{"id":%[4]q},"status":"active"}`, x.instance, at.Format(time.RFC3339), id, stage))
		m.publish(t, topics.ScreeningEvents, fmt.Sprintf(`{"id":"s-%s","source":"/vendor","type":"screening.completed","system":"vendor","occurred_at":%[2]q,`+
			`"application_id":%[3]q,"order_id":"o1","attempt":1,"result":{"status":"complete","recommendation":"advance",`+
			`"score":{"value":4,"min":1,"max":5,"scale":"raw"},"finished_at":%[2]q}}`, x.instance, at.Add(time.Minute).Format(time.RFC3339), id))
	}
	for _, x := range tenants {
		id, want := x.instance+"/"+x.dialect.Spell(atssim.KindApplication, 7), x.dialect.Spell(atssim.KindStage, 1004)
		var view applicationView
		await(t, func() bool {
			got := concord(t, m.tools, "", "app", "show", id, "--json")
			if got.code != exitOK {
				return false // not folded yet
			}
			view = applicationView{}
			if err := json.Unmarshal([]byte(got.stdout), &view); err != nil {
				t.Fatal(err)
			}
			return view.State.ConfirmedRevision > 0 && view.State.Confirmed.Stage == want
		})
		app, _ := x.sim.Application(7)
		if score, _ := strconv.ParseFloat(strings.Trim(string(app.Fields["screening_score"]), `"`), 64); app.StageID != 1004 || score != 75 {
			t.Errorf("%s: confirmed, and the ATS shows stage %d and score %s", x.instance, app.StageID, app.Fields["screening_score"])
		}
		if view.State.Head.Stage != "interviews" || len(view.State.Incidents) != 0 {
			t.Errorf("%s: canonical %s with %d incidents, want interviews with none", x.instance, view.State.Head.Stage, len(view.State.Incidents))
		}
		if n := x.sim.FaultState().OverLimit; n != 0 {
			t.Errorf("%s: %d requests above its limit", x.instance, n)
		}
	}
	if c := end(t, cmd, syscall.SIGTERM); c != exitOK {
		t.Errorf("SIGTERM: exit %d", c)
	}
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

	m := newMachine(t, ats.URL)
	const half = 300
	first := &buffer{}
	cmd := m.up(t, first)
	m.publish(t, topics.ATSChanges, changes(0, half))
	// At a moment of its own choosing: some are folded, some are not.
	if c := end(t, cmd, syscall.SIGKILL); c != -1 {
		t.Fatalf("killed process ended with %d", c)
	}

	second := &buffer{}
	cmd = m.up(t, second)
	third := &buffer{}
	intruder := start(t, append(m.env, "CONCORD_HTTP_LISTEN="), third, "run", "all", "--embedded")
	if err := intruder.Wait(); intruder.ProcessState.ExitCode() != exitFenced {
		t.Errorf("a second process on the folder: %v, want exit code %d\n%s", err, exitFenced, third)
	}
	m.publish(t, topics.ATSChanges, changes(half, half))

	r := open(t, m.tools)
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
	show := concord(t, m.tools, "", "app", "show", "gh-main/5", "--json")
	var view applicationView
	if err := json.Unmarshal([]byte(show.stdout), &view); err != nil || view.State.Head.Stage != "apply" {
		t.Errorf("app show: %v\n%s%s", err, show.stdout, show.stderr)
	}
	if c := end(t, cmd, syscall.SIGTERM); c != exitOK {
		t.Errorf("SIGTERM: exit %d", c)
	}
	if response, err := http.Get("http://" + m.operations + "/healthz"); err == nil {
		t.Errorf("something still answers: %s", response.Status)
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Without an ATS there is nothing to write back to; the rest is of use, and says so.
func TestRunAllWithoutATSDecides(t *testing.T) {
	t.Parallel()
	m, log := newMachine(t, ""), new(buffer)
	m.env = m.env[:len(m.env)-1] // no CONCORD_ATS
	cmd := m.up(t, log)
	m.publish(t, topics.ATSChanges, changes(1, 1))
	await(t, func() bool { return concord(t, m.tools, "", "app", "show", "gh-main/1").code == exitOK })
	if code := end(t, cmd, syscall.SIGTERM); code != exitOK || !strings.Contains(log.String(), "nothing is written back") {
		t.Errorf("exit %d, and the log says:\n%s", code, log)
	}
}

// Webhooks are lost at random: a walk later every application stands where the ATS shows it, and as many are counted as were
// lost. A backfill then finds nothing new, and when it is asked for again it says that it was complete.
//
// Also proves scenario 6: The poller finds what lost webhooks did not tell, and the count is exact.
func TestLostWebhooksAreFound(t *testing.T) {
	t.Parallel()
	const apps = 24
	m := newMachine(t, "ATS")
	gateway := freeAddress(t)
	sim, err := atssim.New(atssim.Config{Seed: 7, Webhooks: atssim.WebhookConfig{
		URL: "http://" + gateway + "/webhooks/greenhouse/gh-main", Secret: "w", Drop: 0.4, Workers: 4,
	}})
	if err != nil {
		t.Fatal(err)
	}
	ats := httptest.NewServer(sim)
	t.Cleanup(ats.Close)
	delivering, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	go func() { _ = sim.Run(delivering) }() // ends with the test
	for i := range m.env {
		m.env[i] = strings.Replace(m.env[i], "'ATS'", "'"+ats.URL+"'", 1)
	}
	m.env = append(m.env, "CONCORD_GATEWAY_LISTEN="+gateway, "CONCORD_POLLER_EVERY=1s", "CONCORD_POLLER_SETTLE=6s", "CONCORD_POLLER_SHARE=1")
	at := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	var known strings.Builder
	for id := int64(1); id <= apps; id++ {
		if err := sim.Seed(atssim.Application{ID: id, CandidateID: id + 1000, JobID: 1, StageID: 1001, AppliedAt: at, LastActivityAt: at}); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&known, `{"id":"c%d","source":"/ats/gh-main","type":"snapshot","system":"gh-main","occurred_at":%q,"time_basis":"record",`+
			`"application_id":"gh-main/%d","candidate_id":"%d","stage":{"id":"1001"},"status":"active"}`+"\n", id, at.Format(time.RFC3339), id, id+1000)
	}
	cmd := m.up(t, &buffer{})
	m.publish(t, topics.ATSChanges, known.String())
	stage := func(id int64) string {
		var view applicationView
		if got := concord(t, m.tools, "", "app", "show", fmt.Sprint("gh-main/", id), "--json"); got.code == exitOK {
			if err := json.Unmarshal([]byte(got.stdout), &view); err != nil {
				t.Fatal(err)
			}
			return view.State.Head.LevelStage
		}
		return ""
	}
	await(t, func() bool { return stage(apps) == "1001" })
	for id := int64(1); id <= apps; id++ {
		if r := sim.Act(atssim.Action{Kind: "move", Application: id, Stage: 1002, Actor: atssim.Actor{Kind: "human", ID: "1"}}); !r.OK {
			t.Fatal(r.Error)
		}
	}
	lost := sim.Stats().Webhooks.Dropped
	if lost < apps/10 {
		t.Fatalf("only %d webhooks were lost: nothing is proved", lost)
	}
	drift := regexp.MustCompile(`concord_reconciler_drift_total\{system="gh-main"\} (\d+)`)
	found := func() uint64 {
		_, text := get(t, "http://"+m.operations+"/metrics")
		var n uint64
		if match := drift.FindStringSubmatch(text); match != nil {
			n, _ = strconv.ParseUint(match[1], 10, 64)
		}
		return n
	}
	await(t, func() bool { return found() >= lost })
	for id := int64(1); id <= apps; id++ {
		if got := stage(id); got != "1002" {
			t.Errorf("application %d is known in stage %q, and the ATS shows 1002", id, got)
		}
	}
	tools := append(m.tools, "CONCORD_REDIS_ADDR=127.0.0.1:1", m.env[slices.IndexFunc(m.env, func(v string) bool { return strings.HasPrefix(v, "CONCORD_ATS=") })])
	got := concord(t, tools, "", "backfill", "--ats", "gh-main", "--json")
	if got.code != exitOK || !strings.Contains(got.stdout, fmt.Sprintf(`"applications": %d`, apps)) {
		t.Errorf("backfill: exit %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	if got := concord(t, tools, "", "backfill", "--ats", "gh-main"); got.code != exitOK || !strings.Contains(got.stderr, "was complete before") {
		t.Errorf("the same backfill again: exit %d\n%s", got.code, got.stderr)
	}
	if n := found(); n != lost {
		t.Errorf("%d lost webhooks are counted, want %d", n, lost)
	}
	if code := end(t, cmd, syscall.SIGTERM); code != exitOK {
		t.Errorf("SIGTERM: exit %d", code)
	}
}
