package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/ats/generic"
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

// Of each vendor one webhook in ten is lost at random: a walk later every application stands where the ATS shows it, and as
// many are counted as nobody had told of. A backfill then finds nothing new, and when it is asked for again it says that it
// was complete.
//
// Also proves scenario 6: The poller finds what lost webhooks did not tell, and the count is exact.
func TestLostWebhooksAreFound(t *testing.T) {
	t.Parallel()
	const apps = 30
	m := newMachine(t, "")
	gateway := freeAddress(t)
	delivering, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	at := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	var configured []string
	var known strings.Builder
	sims := map[string]*atssim.Server{}
	stages := map[string]string{} // where each application ends, as its ATS calls it
	for _, name := range demoDialects() {
		d, err := atssim.DialectNamed(name)
		if err != nil {
			t.Fatal(err)
		}
		as := demoSystems[name]
		kind := cmp.Or(as.kind, name)
		sim, err := atssim.New(atssim.Config{Dialect: d, Seed: 7, Webhooks: atssim.WebhookConfig{
			URL: "http://" + gateway + "/webhooks/" + kind + "/" + as.system, Secret: "w", Drop: 0.1, Workers: 4,
		}})
		if err != nil {
			t.Fatal(err)
		}
		ats := httptest.NewServer(sim)
		t.Cleanup(ats.Close)
		go func() { _ = sim.Run(delivering) }() // ends with the test
		sims[as.system] = sim
		more := ""
		if kind == "generic" {
			file := filepath.Join(t.TempDir(), "description.yaml")
			if err := os.WriteFile(file, generic.Example, 0o600); err != nil {
				t.Fatal(err)
			}
			more = ", description: '" + file + "'"
		}
		rate := 200
		if kind == "workable" {
			rate = 2 // most webhooks wait for their read for longer than a walk waits for webhooks
		}
		configured = append(configured, fmt.Sprintf("{instance: %s, kind: %s, url: '%s', client_id: concord, client_secret: secret, webhook_secrets: [w], user_id: m1, read_lag: 100ms, rate: %d, burst: %d%s}",
			as.system, kind, ats.URL, rate, max(rate/4, 4), more))
		for n := int64(1); n <= apps; n++ {
			if err := sim.Seed(atssim.Application{ID: n, CandidateID: n + 1000, JobID: 1, StageID: 1001, AppliedAt: at, LastActivityAt: at}); err != nil {
				t.Fatal(err)
			}
			id := as.system + "/" + d.Spell(atssim.KindApplication, n)
			stages[id] = d.Spell(atssim.KindStage, 1002)
			fmt.Fprintf(&known, `{"id":"seed-%d","source":"/ats/%s","type":"snapshot","system":%[2]q,"occurred_at":%[3]q,"time_basis":"record",`+
				`"application_id":%[4]q,"candidate_id":"%[1]d","stage":{"id":%[5]q},"status":"active"}`+"\n", n, as.system, at.Format(time.RFC3339), id, d.Spell(atssim.KindStage, 1001))
		}
	}
	m.env = append(m.env, "CONCORD_ATS=["+strings.Join(configured, ", ")+"]", "CONCORD_GATEWAY_LISTEN="+gateway,
		"CONCORD_POLLER_EVERY=1s", "CONCORD_POLLER_SETTLE=6s", "CONCORD_POLLER_SHARE=1")
	cmd := m.up(t, &buffer{})
	m.publish(t, topics.ATSChanges, known.String())
	r := open(t, m.tools)
	each := func(topic string, visit func(*kgo.Record)) {
		_, ends, err := r.bounds(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		for p, o := range ends[topic] {
			if err := r.scan(t.Context(), topic, p, 0, o.Offset, func(rec *kgo.Record) error { visit(rec); return nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
	shown := func() map[string]string {
		out := map[string]string{}
		each(topics.HiringState, func(rec *kgo.Record) {
			var s wire.HiringState
			if err := errors.Join(r.schemas.Decode(t.Context(), rec.Value, &s), s.Resolve()); err != nil {
				t.Fatal(err)
			}
			out[string(rec.Key)] = s.Head.LevelStage
		})
		return out
	}
	wait := func(what string, holds func() bool) {
		t.Helper()
		tick := time.NewTicker(200 * time.Millisecond) // each look reads a topic
		defer tick.Stop()
		for end := time.Now().Add(40 * time.Second); !holds(); <-tick.C {
			if time.Now().After(end) {
				t.Fatalf("not within 40 s: %s", what)
			}
		}
	}
	wait("every application is known", func() bool { return len(shown()) == len(stages) })
	for _, sim := range sims {
		for n := int64(1); n <= apps; n++ {
			if r := sim.Act(atssim.Action{Kind: "move", Application: n, Stage: 1002, Actor: atssim.Actor{Kind: "human", ID: "1"}}); !r.OK {
				t.Fatal(r.Error)
			}
		}
	}
	wait("every application is known where its ATS shows it", func() bool { return maps.Equal(shown(), stages) })
	heard := map[string]map[string]bool{}
	each(topics.ATSChanges, func(rec *kgo.Record) {
		var c wire.AtsChange
		if err := r.schemas.Decode(t.Context(), rec.Value, &c); err != nil {
			t.Fatal(err)
		}
		if c.Source == "/ats/"+c.System && !strings.HasPrefix(c.ID, "seed-") {
			if heard[c.System] == nil {
				heard[c.System] = map[string]bool{}
			}
			heard[c.System][c.ApplicationID] = true
		}
	})
	tools := append(m.tools, "CONCORD_REDIS_ADDR=127.0.0.1:1", "CONCORD_ATS=["+strings.Join(configured, ", ")+"]")
	got := concord(t, tools, "", "backfill", "--ats", "gh-main", "--json")
	if got.code != exitOK || !strings.Contains(got.stdout, fmt.Sprintf(`"applications": %d`, apps)) {
		t.Errorf("backfill: exit %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	if got := concord(t, tools, "", "backfill", "--ats", "gh-main"); got.code != exitOK || !strings.Contains(got.stderr, "was complete before") {
		t.Errorf("the same backfill again: exit %d\n%s", got.code, got.stderr)
	}
	_, text := get(t, "http://"+m.operations+"/metrics")
	all := uint64(0)
	for system, sim := range sims {
		counted, lost, unheard := uint64(0), sim.Stats().Webhooks.Dropped, uint64(apps-len(heard[system]))
		if match := regexp.MustCompile(`concord_reconciler_drift_total\{system="` + system + `"\} (\d+)`).FindStringSubmatch(text); match != nil {
			counted, _ = strconv.ParseUint(match[1], 10, 64)
		}
		// Ashby sends two for a move, of which one tells enough.
		if counted != unheard || system != "ashby-main" && (lost != unheard || lost == 0) {
			t.Errorf("%s: %d lost webhooks are counted, where %d were lost and %d applications not told of", system, counted, lost, unheard)
		}
		all += counted
	}
	if want := uint64(len(stages)) / 20; all < want {
		t.Errorf("only %d of %d were lost: little is proved", all, len(stages))
	}
	if code := end(t, cmd, syscall.SIGTERM); code != exitOK {
		t.Errorf("SIGTERM: exit %d", code)
	}
}
