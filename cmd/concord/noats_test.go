package main

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// A team without an ATS: what a form publishes, what people ask by control and what the vendor finds is the record; nothing
// waits for an ATS and nothing is asked of one. Then it gets one, and what the two say of each application is told; what is
// owed is written when a person asks for it, once.
func TestATeamWithoutATSGetsOne(t *testing.T) {
	t.Parallel()
	const team, verdict, agreed, rejected, onlyThere = "team", 7, 8, 9, 10
	at := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	m := newMachine(t, "")
	m.env = append(m.env, "CONCORD_ATS=[{instance: team, kind: none}]")
	cmd := m.up(t, &buffer{})
	var form strings.Builder
	for id, stage := range map[int]string{verdict: "screening", agreed: "triage", rejected: "triage"} {
		fmt.Fprintf(&form, `{"id":"row-%d","source":"/forms/careers","type":"application.created","system":"team","occurred_at":%q,`+
			`"application_id":"team/%d","candidate_id":"p%d","stage":{"id":%q},"status":"active"}`+"\n", id, at.Format(time.RFC3339), id, id, stage)
	}
	m.publish(t, topics.ATSChanges, form.String())
	m.publish(t, topics.ScreeningEvents, fmt.Sprintf(`{"id":"s1","source":"/vendor","type":"screening.completed","system":"vendor","occurred_at":%[1]q,`+
		`"application_id":"team/%[2]d","order_id":"o1","attempt":1,"result":{"status":"complete","recommendation":"advance",`+
		`"score":{"value":4,"min":1,"max":5,"scale":"raw"},"finished_at":%[1]q}}`, at.Add(10*time.Minute).Format(time.RFC3339), verdict))
	state := func(id int) *wire.HiringState {
		t.Helper()
		got := concord(t, m.tools, "", "app", "show", fmt.Sprint(team, "/", id), "--json")
		if got.code != exitOK {
			return &wire.HiringState{} // not folded yet
		}
		var view applicationView
		if err := json.Unmarshal([]byte(got.stdout), &view); err != nil {
			t.Fatal(err)
		}
		return view.State
	}
	ask := func(verb string, id int, more ...string) {
		t.Helper()
		args := append([]string{"control", verb, fmt.Sprint(team, "/", id), "--actor", "u17", "--reason", "HR-1", "--yes"}, more...)
		if got := concord(t, m.tools, "", args...); got.code != exitOK {
			t.Fatalf("%v: exit %d\n%s", args, got.code, got.stderr)
		}
	}
	await(t, func() bool {
		return state(verdict).Head.Stage == "interviews" && state(rejected).Head.Stage == "triage"
	})
	ask("reject", rejected)
	await(t, func() bool { return state(rejected).Head.Stage == "rejected" })
	if got := concord(t, m.tools, "", "app", "explain", "team/9"); got.code != exitOK || !strings.Contains(got.stdout, "there is no ATS") {
		t.Errorf("explain: exit %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	// The verdict counts as a success by its decision.
	await(t, func() bool {
		got := concord(t, m.tools, "", "kpi", "--metric", "writeback", "--json")
		var windows []wire.KpiWindow
		if err := json.Unmarshal([]byte(got.stdout), &windows); err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(windows, func(w wire.KpiWindow) bool {
			return w.System == team && w.Samples == 1 && slices.Contains(w.Counts, wire.Count{Name: "confirmed", Value: 1})
		})
	})
	for _, id := range []int{verdict, agreed, rejected} {
		if s := state(id); len(s.Incidents) != 0 || s.Head.LevelSystem != "" {
			t.Errorf("%d has the incidents %+v and is shown by %q, want none", id, s.Incidents, s.Head.LevelSystem)
		}
	}
	r := open(t, m.tools)
	if n := recordsOf(t, r, topics.ATSCommands); n != 0 {
		t.Errorf("%d commands went out, and there is no ATS", n)
	}
	if code := end(t, cmd, syscall.SIGTERM); code != exitOK {
		t.Fatalf("SIGTERM: exit %d", code)
	}

	// Its ATS has stood elsewhere since before Concord knew of it.
	sim, err := atssim.New(atssim.Config{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	ats := httptest.NewServer(sim)
	t.Cleanup(ats.Close)
	for id, stage := range map[int64]int64{verdict: 71416, agreed: 1002, rejected: 1002, onlyThere: 1001} {
		if err := sim.Seed(atssim.Application{ID: id, CandidateID: id + 1000, JobID: 1, StageID: stage, AppliedAt: at, LastActivityAt: at}); err != nil {
			t.Fatal(err)
		}
	}
	since := time.Now().Truncate(time.Second).Add(time.Second).UTC()
	tenant := fmt.Sprintf("CONCORD_ATS=[{instance: team, kind: greenhouse, since: %s, url: '%s', client_id: concord, client_secret: secret, read_lag: 100ms}]", since.Format(time.RFC3339), ats.URL)
	m.env = append(m.env, tenant)
	await(t, func() bool { return time.Now().After(since) })
	cmd = m.up(t, &buffer{})
	if got := concord(t, append(m.tools, "CONCORD_REDIS_ADDR=127.0.0.1:1", tenant), "", "backfill", "--ats", team); got.code != exitOK {
		t.Fatalf("backfill: exit %d\n%s", got.code, got.stderr)
	}
	told := func(id int) bool {
		return slices.ContainsFunc(state(id).Incidents, func(i wire.OpenIncident) bool {
			return i.Kind == wire.IncidentKindFieldDivergence && i.Element == "stage" && i.OpenedAt != 0
		})
	}
	await(t, func() bool { return told(verdict) && told(rejected) && state(onlyThere).Head.Stage == "apply" })
	for id, want := range map[int]string{verdict: "interviews", agreed: "triage", rejected: "rejected"} {
		if s := state(id); s.Head.Stage != want || s.Head.LevelSystem != team || told(id) != (id != agreed) {
			t.Errorf("%d stands in %s, is shown by %q and has %+v, want %s", id, s.Head.Stage, s.Head.LevelSystem, s.Incidents, want)
		}
	}
	written := func() (kinds []string) {
		for _, e := range sim.Journal(0) {
			if e.Type == atssim.EntryMutation && e.Actor != nil && e.Actor.Kind == "api" {
				kinds = append(kinds, fmt.Sprint(e.Application, " ", e.Kind))
			}
		}
		slices.Sort(kinds)
		return kinds
	}
	if w := written(); len(w) != 0 {
		t.Errorf("by itself %v was written", w)
	}

	for range 2 { // the second time the ATS shows it all
		was := map[int]int64{verdict: state(verdict).DesiredRevision, rejected: state(rejected).DesiredRevision}
		for id := range was {
			ask("resync", id)
		}
		await(t, func() bool {
			for id, revision := range was {
				s := state(id)
				if s.DesiredRevision == revision || s.Write.State != wire.WriteStateDone || id == rejected && s.Desired.Status != wire.ApplicationStatusRejected {
					return false
				}
			}
			return true
		})
	}
	if d := []string{"7 edit", "7 move", "9 reject"}; !slices.Equal(written(), d) {
		t.Errorf("written: %v, want %v once", written(), d)
	}
	for _, id := range []int{verdict, agreed, rejected, onlyThere} {
		if s := state(id); len(s.Incidents) != 0 {
			t.Errorf("%d still has %+v", id, s.Incidents)
		}
	}
	if app, _ := sim.Application(rejected); app.Status != "rejected" {
		t.Errorf("the ATS shows %s, want rejected", app.Status)
	}
	if code := end(t, cmd, syscall.SIGTERM); code != exitOK {
		t.Errorf("SIGTERM: exit %d", code)
	}
}

// A bundle that knows neither an ATS of a team nor that it has none has no place for its applications.
func TestABundleHasAPlaceForATeamWithoutATS(t *testing.T) {
	t.Parallel()
	places := map[place]int{{"triage", "team"}: 2, {"triage", "gh-main"}: 3}
	for _, c := range []struct {
		instances map[string][]string
		want      []strandedRow
	}{
		{nil, []strandedRow{{Kind: "ats", Name: "team", Applications: 2}}},
		{map[string][]string{"none": {"team"}}, nil},
		{map[string][]string{"lever": {"team"}}, nil},
	} {
		b, err := policy.Compile(policy.DefaultFor(c.instances, time.Time{}))
		if err != nil {
			t.Fatal(err)
		}
		if got := unplaced(b, places); !slices.Equal(got, c.want) {
			t.Errorf("%v: %+v, want %+v", c.instances, got, c.want)
		}
	}
}

// recordsOf is how many records a topic has.
func recordsOf(t *testing.T, r *reader, topic string) (n int) {
	t.Helper()
	start, ends, err := r.bounds(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	for p, o := range ends[topic] {
		if err := r.scan(t.Context(), topic, p, start[topic][p].Offset, o.Offset, func(*kgo.Record) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return n
}
