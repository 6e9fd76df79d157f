package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/policylog"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// explained explains an application of a demo's run.
func explained(t *testing.T, env []string, args ...string) (x explanation) {
	t.Helper()
	got := concord(t, env, "", append(append([]string{"app", "explain", "--json"}, demoBounds...), args...)...)
	if got.code != exitOK {
		t.Fatalf("%v: exit %d\n%s", args, got.code, got.stderr)
	}
	if err := json.Unmarshal([]byte(got.stdout), &x); err != nil {
		t.Fatal(err)
	}
	return x
}

// explainDemo explains applications of a demo's run, now and as they stood, and holds that to what the log says: the stage and
// its owner by the decisions, what is open by the states.
func explainDemo(t *testing.T, env []string, e *evidence) {
	decided := map[string][]*wire.Decision{}
	for i := range e.decisions {
		d := &e.decisions[i]
		decided[d.ApplicationID] = append(decided[d.ApplicationID], d)
	}
	var troubled, others []string
	for _, app := range slices.Sorted(maps.Keys(e.states)) {
		switch s := e.states[app]; {
		case s[len(s)-1].Erased:
		case len(s[len(s)-1].Incidents) > 0:
			troubled = append(troubled, app)
		default:
			others = append(others, app)
		}
	}
	apps := slices.Concat(troubled[:min(len(troubled), 10)], others[:6])
	values, places := 0, map[string]bool{}
	for _, app := range apps {
		of, states := decided[app], e.states[app]
		mid := of[len(of)/2]
		for _, d := range of { // of several decisions of one moment the last counts
			if d.Now == mid.Now {
				mid = d
			}
		}
		if x := explained(t, env, app, "--at", mid.Now.String()); x.Stage.Stage != mid.To || len(x.Notes) != 0 || x.Next.Owner != "" && x.Next.Owner != mid.Owner {
			t.Errorf("%s at %s stands in %q, the owner is %q; the log says %q and %q; notes %v", app, mid.Now, x.Stage.Stage, x.Next.Owner, mid.To, mid.Owner, x.Notes)
		}
		now, last := explained(t, env, app), states[len(states)-1]
		var got, want []string
		for _, c := range now.Conflicts {
			got = append(got, c.ID)
			values += len(c.Values)
		}
		for _, in := range last.Incidents {
			want = append(want, in.ID)
		}
		if diff := cmp.Diff(want, got); diff != "" || now.Stage.Stage != last.Head.Stage {
			t.Errorf("%s stands in %s, the log says %s; what is open (-log +explained):\n%s", app, now.Stage.Stage, last.Head.Stage, diff)
		}
		told := now.Repeated
		for _, m := range now.Timeline {
			told++
			if m.Reason == "" || m.Who == "" || m.Said == "" {
				t.Errorf("%s: a moment says nothing: %+v", app, m)
			}
			places[strings.SplitN(m.Place, ":", 2)[0]] = true
		}
		for _, d := range of {
			if d.Reason == wire.ReasonObsolete {
				told++
			}
		}
		if told != len(of) {
			t.Errorf("%s: %d moments of %d decisions", app, told, len(of))
		}
		text := concord(t, env, "", append([]string{"app", "explain", app}, demoBounds...)...)
		for _, wrong := range []string{"https://", "\x1b[", "<nil>", "%!"} { // reports are personal; colours need a terminal
			if strings.Contains(text.stdout, wrong) {
				t.Errorf("%s: the text has %q:\n%s", app, wrong, text.stdout)
			}
		}
	}
	if len(troubled) == 0 || values == 0 || !places["machine.yaml"] {
		t.Errorf("too tame: %d applications with something open, %d values, places %v", len(troubled), values, places)
	}
	for args, says := range map[string]string{
		apps[0] + "0":                           "did you mean " + apps[0] + "?",
		apps[0] + " --at 2020-01-01":            "nothing was decided of " + apps[0],
		apps[0] + " --at tomorrow":              "give a day or a moment",
		"nobody --at 2020-01-01T00:00:00+00:00": "no such application: nobody",
	} {
		got := concord(t, env, "", append([]string{"app", "explain"}, strings.Fields(args)...)...)
		if got.code == exitOK || !strings.Contains(got.stderr, says) {
			t.Errorf("%s: exit %d, want %q:\n%s", args, got.code, says, got.stderr)
		}
	}
}

// Two systems that disagree are told with both values, unless the dictionary calls the element personal; the due time is that
// of the stage; and the line of the policy is named.
func TestExplainTellsBothSidesOfAConflict(t *testing.T) {
	t.Parallel()
	env := services(t)
	r := open(t, env)
	const at = wire.Micros(1_790_000_000_000_000)
	s := state(3, "interviews")
	s.Head.EnteredAt, s.Head.EnteredFrom, s.Head.EnteredEvent, s.Head.Requisition.Region = at, "screening", "e2", "de"
	s.Head.LevelSystem, s.Head.LevelStage, s.Head.LevelStatus = "gh-main", "1004", wire.ApplicationStatusActive
	s.Incidents = []wire.OpenIncident{
		{ID: "i1", Kind: wire.IncidentKindFieldDivergence, Element: "screening_status", FirstSeen: at, OpenedAt: at, Owner: "recruiting operations"},
		{ID: "i2", Kind: wire.IncidentKindFieldDivergence, Element: "salary_expectation", FirstSeen: at, OpenedAt: at, Owner: "recruiting operations"},
		{ID: "i3", Kind: wire.IncidentKindVerdictOverridden, Element: "rejected>interviews", FirstSeen: at, OpenedAt: at, Owner: "hiring manager"},
	}
	put(t, r, topics.HiringState, "gh-main/7", s)
	stored := only(t, r, topics.HiringState, "gh-main/7").Value
	digest := digestOfState(stored)
	rules := concord(t, env, "", "policy", "digest")
	var digestOfPolicy wire.Digest
	if err := digestOfPolicy.UnmarshalText([]byte(strings.TrimSpace(rules.stdout)[:32])); err != nil {
		t.Fatal(err)
	}
	put(t, r, topics.HiringDecisions, "gh-main/7", &wire.Decision{
		ApplicationID: "gh-main/7", Version: 3, Reason: wire.ReasonAdvanced, EventID: "e2", EventType: "screening.completed", Topic: topics.ScreeningEvents, Offset: 99,
		Now: at + 1e6, EffectiveAt: at, From: "screening", To: "interviews", Owner: "hiring manager", Policy: digestOfPolicy, StateBefore: wire.Digest{1}, StateAfter: digest, Mode: "write",
		Path: []wire.Step{{From: "screening", To: "interviews", Edge: "pass", Authority: "vendor", EventID: "e2"}}, Incidents: []string{"i1"},
	})
	both := func(id, element, ours, theirs string, kind wire.IncidentKind) {
		put(t, r, topics.HiringConflicts, "gh-main/7", &wire.Incident{
			ID: id, ApplicationID: "gh-main/7", Kind: kind, Element: element, OpenedAt: at, StateVersion: 3, Leader: "assess-one",
			Values: []wire.IncidentValue{{System: "assess-one", Value: ours, At: at}, {System: "gh-main", Value: theirs, At: at - 1e6}},
		})
	}
	both("i1", "screening_status", "complete", "partial", wire.IncidentKindFieldDivergence)
	both("i2", "salary_expectation", "65001", "72002", wire.IncidentKindFieldDivergence)
	both("i3", "rejected>interviews", "reject", "interviews", wire.IncidentKindVerdictOverridden)

	got := concord(t, env, "", "app", "explain", "gh-main/7", "--at", (at + 60e6).String())
	if got.code != exitOK {
		t.Fatalf("exit %d\n%s", got.code, got.stderr)
	}
	for _, want := range []string{
		"interviews: Interviews with the hiring team", "by a person in the ATS, machine.yaml:19 (transition pass)",
		"the hiring manager's, due " + instant(at+21*24*3600*1e6), "mappings/greenhouse-eu.yaml:", "gh-main shows Interviews (1004), active",
		"Systems disagree (screening_status)", "assess-one says complete", "gh-main says partial", "← stands", "dictionary.yaml:", "owner: recruiting operations",
		"gh-main says interviews", "The application moved on", "stage screening → interviews", "what it said is no longer kept",
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("no %q in\n%s", want, got.stdout)
		}
	}
	for _, personal := range []string{"65001", "72002", "says reject\n", "says reject "} {
		if strings.Contains(got.stdout, personal) {
			t.Errorf("%q is shown in\n%s", personal, got.stdout)
		}
	}
}

// What a published bundle decided is explained by that bundle: its owners and limits, and its places, with the lines of the
// files it was published from. An archive has none, and files of another meaning are not believed.
func TestExplainUnderAPublishedPolicy(t *testing.T) {
	t.Parallel()
	env := services(t)
	r := open(t, env)
	files := policy.Default()
	files[policy.MachineFile] = bytes.Replace(files[policy.MachineFile], []byte("owner: hiring manager, sla: 14d, warn_before: 3d}"), []byte("owner: coordinator, sla: 2d, warn_before: 1d}"), 1)
	p, err := policy.Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	const at = wire.Micros(1_790_000_000_000_000)
	digest, manual := judgedBy(t, r, p, at-1e6)
	s := state(3, "interviews")
	s.Incidents, s.Head.EnteredAt, s.Head.EnteredFrom = nil, at, "screening"
	put(t, r, topics.HiringState, "gh-main/7", s)
	put(t, r, topics.HiringDecisions, "gh-main/7", &wire.Decision{
		ApplicationID: "gh-main/7", Version: 3, Reason: wire.ReasonAdvanced, EventType: "timer", Offset: -1, Now: at + 1e6, From: "screening", To: "interviews", Policy: digest,
		StateBefore: wire.Digest{1}, StateAfter: digestOfState(only(t, r, topics.HiringState, "gh-main/7").Value), Mode: "write", Path: []wire.Step{{From: "screening", To: "interviews", Edge: "pass"}},
	})
	explains := func(says ...string) {
		t.Helper()
		got := concord(t, env, "", "app", "explain", "gh-main/7", "--at", (at + 60e6).String())
		for _, want := range append(says, "the coordinator's, due "+instant(at+2*24*3600*1e6), digest.String()) {
			if !strings.Contains(got.stdout, want) {
				t.Errorf("no %q in\n%s%s", want, got.stdout, got.stderr)
			}
		}
	}
	written := func(files policy.Files) {
		t.Helper()
		source, err := policylog.SourceRecord(p, files)
		if err != nil {
			t.Fatal(err)
		}
		source.Partition = 0
		if err := manual.ProduceSync(t.Context(), source).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	noLines := []string{"machine.yaml (state interviews)", "by machine.yaml (transition pass)"}
	explains(noLines...)
	files[policy.MachineFile] = append([]byte("# A note\n"), files[policy.MachineFile]...)
	written(files)
	explains("machine.yaml:10 (state interviews)", "by machine.yaml:20 (transition pass)")
	written(policy.Default())
	explains(noLines...)
}

// What is personal, or written freely by people, is not shown wherever it comes from; what names a ticket is.
func TestExplainMasksReasons(t *testing.T) {
	t.Parallel()
	p, err := policy.Parse(policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	const secret = "Ada has a cold"
	x := &explainer{policies: []*policy.Policy{p}, past: &past{application: "gh-main/7", decisions: []*wire.Decision{{}}}}
	tuple := &wire.Tuple{Status: wire.ApplicationStatusRejected, Reason: secret}
	for what, said := range map[string]string{
		"a facet": x.facet("reason", "gh-main", secret), "a personal element": x.facet("element:salary_expectation", "gh-main", secret), "an unknown facet": x.facet("mood", "gh-main", secret),
		"a rejection":  x.change(&wire.AtsChange{Type: "application.rejected", System: "gh-main", Reason: secret}),
		"a withdrawal": x.change(&wire.AtsChange{Type: "application.withdrawn", System: "gh-main", Reason: secret}),
		"a snapshot":   x.change(&wire.AtsChange{Type: "snapshot", System: "gh-main", Status: wire.ApplicationStatusRejected, Reason: secret}),
		"a write":      x.asked(tuple), "a control": control(&wire.Control{Type: "control.hold", Reason: secret}),
	} {
		if strings.Contains(said, secret) || !strings.Contains(said, hidden) {
			t.Errorf("%s: %s", what, said)
		}
	}
	for _, shown := range []string{"HR-112", "#7"} {
		if said := control(&wire.Control{Type: "control.hold", Reason: shown}); !strings.Contains(said, shown) {
			t.Errorf("%s: %s", shown, said)
		}
	}
}

// digestOfState is the digest of a state on record (rule D5).
func digestOfState(value []byte) wire.Digest {
	sum := sha256.Sum256(value)
	return wire.Digest(sum[:16])
}
