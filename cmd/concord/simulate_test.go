package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/local"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/reconciler/replay"
)

// demoBounds are the bounds the demo decides by.
var demoBounds = strings.Fields(reconcilerSets())

// simulate replays what a cluster holds, and returns the report and the exit code.
func simulate(t *testing.T, env []string, args ...string) (r replay.Report, exit int) {
	t.Helper()
	got := concord(t, env, "", append(append([]string{"policy", "simulate", "--json"}, demoBounds...), args...)...)
	if got.stdout != "" {
		if err := json.Unmarshal([]byte(got.stdout), &r); err != nil {
			t.Fatalf("%v\n%s", err, got.stderr)
		}
	}
	if got.code != exitOK && got.code != exitDiffers && got.code != exitFailure {
		t.Fatalf("exit %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	return r, got.code
}

// demoHistory is a demo's run on services that stay: its whole log.
func demoHistory(t *testing.T) (env []string) {
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
	got := concord(t, env, "", "demo", "--applications", "200", "--seed", "5", "--brokers", strings.Join(s.Brokers, ","), "--registry", s.Registry, "--redis", s.Redis)
	if got.code != exitOK && got.code != exitFailure { // so few applications may be too tame for its audit
		t.Fatalf("demo: exit %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	return env
}

// evidence is what a run left, read without any code of the engine.
type evidence struct {
	decisions []wire.Decision
	commands  []wire.Command
	states    map[string][]wire.HiringState // by application, in order
	end       map[int32]wire.Micros         // newest clock by partition
}

func gathered(t *testing.T, env []string) *evidence {
	t.Helper()
	r := open(t, env)
	e := &evidence{states: map[string][]wire.HiringState{}, end: map[int32]wire.Micros{}}
	each := func(topic string, fn func(*kgo.Record) error) {
		start, end, err := r.bounds(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		for p := range int32(len(end[topic])) {
			if err := r.scan(t.Context(), topic, p, start[topic][p].Offset, end[topic][p].Offset, fn); err != nil {
				t.Fatal(err)
			}
		}
	}
	each(topics.HiringDecisions, func(rec *kgo.Record) error {
		var d wire.Decision
		err := r.schemas.Decode(t.Context(), rec.Value, &d)
		e.decisions = append(e.decisions, d)
		e.end[rec.Partition] = max(e.end[rec.Partition], d.Now)
		return err
	})
	each(topics.ATSCommands, func(rec *kgo.Record) error {
		var c wire.Command
		err := r.schemas.Decode(t.Context(), rec.Value, &c)
		e.commands = append(e.commands, c)
		return err
	})
	each(topics.HiringState, func(rec *kgo.Record) error {
		var s wire.HiringState
		err := r.schemas.Decode(t.Context(), rec.Value, &s)
		if err == nil {
			err = s.Resolve()
		}
		e.states[s.ApplicationID] = append(e.states[s.ApplicationID], s)
		return err
	})
	return e
}

// written are the applications that something was asked of the ATS for, by what a command says.
func (e *evidence) written(of func(*wire.Command) bool) map[string]bool {
	out := map[string]bool{}
	for i := range e.commands {
		c := &e.commands[i]
		d := &c.Desired
		if c.Kind == wire.CommandKindApply && (d.Stage != "" || d.Status != wire.ApplicationStatusUnspecified || len(d.Elements) > 0) && of(c) {
			out[c.ApplicationID] = true
		}
	}
	return out
}

// overdue are the applications whose warnings of a stage differ under two limits. A warning is due so long after the stage
// was entered; from the limit on the second kind takes the place of the first.
func (e *evidence) overdue(stage string, old, now stint) map[string]bool {
	type stay struct {
		event      string
		epoch      int32
		at         wire.Micros // when the event that entered it happened
		from, till wire.Micros // by the clock of the decisions
	}
	stays, happened := map[string][]stay{}, map[[2]string]wire.Micros{}
	current := map[string]*stay{}
	for i := range e.decisions {
		d := &e.decisions[i]
		app := d.ApplicationID
		if d.EventID != "" && happened[[2]string{app, d.EventID}] == 0 {
			happened[[2]string{app, d.EventID}] = d.EffectiveAt
		}
		if d.StateBefore == d.StateAfter {
			continue
		}
		if c := current[app]; c != nil {
			c.till = d.Now
			stays[app] = append(stays[app], *c)
		}
		c := current[app]
		if n := len(d.Path); n > 0 && d.Path[n-1].To == d.To {
			c = &stay{event: d.Path[n-1].EventID, at: happened[[2]string{app, d.Path[n-1].EventID}]}
		}
		current[app] = nil
		if d.To == stage && c != nil && d.Reason != wire.ReasonErased {
			current[app] = &stay{event: c.event, at: c.at, epoch: d.Epoch, from: d.Now}
		}
	}
	for app, c := range current {
		if c != nil {
			c.till = e.end[partitionOf(topics.HiringState, app, len(e.end))]
			stays[app] = append(stays[app], *c)
		}
	}
	out := map[string]bool{}
	for app := range stays {
		told := func(l stint) []string {
			set := map[string]bool{}
			for _, s := range stays[app] {
				breach, warned := s.at+wire.Micros(l.sla.Microseconds()), s.at+wire.Micros((l.sla-l.warn).Microseconds())
				if s.from < breach && s.till >= warned {
					set[fmt.Sprint("due_soon ", s.epoch, s.event)] = true
				}
				if s.till >= breach {
					set[fmt.Sprint("stuck ", s.epoch, s.event)] = true
				}
			}
			return slices.Sorted(maps.Keys(set))
		}
		if !slices.Equal(told(old), told(now)) {
			out[app] = true
		}
	}
	return out
}

// stint is how long a stage may take, and how long before that its owner is told.
type stint struct{ sla, warn time.Duration }

// A bundle with one thing changed, as the person who owns it changes it.
func changed(t *testing.T, changes ...[3]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "policy")
	if got := concord(t, nil, "", "policy", "init", dir); got.code != exitOK {
		t.Fatal(got.stderr)
	}
	for _, c := range changes {
		rewrite(t, filepath.Join(dir, c[0]), c[1], c[2])
	}
	if got := concord(t, nil, "", "policy", "check", dir); got.code != exitOK {
		t.Fatalf("%v: %s%s", changes, got.stdout, got.stderr)
	}
	return dir
}

// stepped are the applications that took an edge of the machine, by whose authority.
func (e *evidence) stepped(edge, authority string) map[string]bool {
	out := map[string]bool{}
	for i := range e.decisions {
		for _, s := range e.decisions[i].Path {
			if s.Edge == edge && s.Authority == authority {
				out[e.decisions[i].ApplicationID] = true
			}
		}
	}
	return out
}

// The same bundle over a demo's history changes nothing, to the byte. Another one changes exactly the applications that the
// log itself names, and nothing is written to the cluster meanwhile.
func TestSimulateTheDemo(t *testing.T) {
	t.Parallel()
	env := demoHistory(t)
	before := ends(t, env)
	record, exit := simulate(t, env)
	if exit != exitOK || record.FaultCount != 0 || record.Decisions < 1000 || record.Applications < 200 || record.NoBeginning+record.OtherPolicy+record.Unreadable != 0 || record.Erased == 0 {
		t.Fatalf("exit %d: %d decisions of %d applications, faults %v, %v", exit, record.Decisions, record.Applications, record.Faults, record.Notes())
	}
	wave := [3]string{"waves.yaml", "default: write", "default: write\nwaves:\n  - {name: quiet, for: {type: full_time}, percent: 100, mode: observe}"}
	sla := [3]string{"machine.yaml", "owner: vendor, sla: 5d, warn_before: 1d}", "owner: vendor, sla: 2h, warn_before: 1h}"}
	edge := [3]string{"machine.yaml", "sla: 7d, authority: [human, override]}", "sla: 7d, authority: [override]}"}
	golden := [][3]string{
		{"dictionary.yaml", "values: [advance, review, reject]\n    golden: screening-vendor", "values: [advance, review, reject]\n    golden: second-vendor"},
		{"bundle.yaml", "      - screening_recommendation\n", ""},
		{"bundle.yaml", `instances: ["*"]`, `instances: ["assess-*"]`},
		{"bundle.yaml", "  media-store:\n", "  second-vendor: {kind: vendor, meaning: Another, owner: it, region: us, instances: [second-vendor], masters: [screening_recommendation], clock_margin: 60s}\n  media-store:\n"},
	}
	e := gathered(t, env)
	quiet := e.written(func(c *wire.Command) bool { return c.Requisition.Type == "full_time" })
	late := e.overdue("screening", stint{120 * time.Hour, 24 * time.Hour}, stint{2 * time.Hour, time.Hour})
	offered := e.stepped("offer", "human")
	recommended := e.written(func(c *wire.Command) bool {
		return slices.ContainsFunc(c.Desired.Elements, func(e wire.Element) bool { return e.Name == "screening_recommendation" })
	})
	all := map[string]bool{}
	for _, set := range []map[string]bool{quiet, late, offered, recommended} {
		maps.Copy(all, set)
	}
	for _, c := range []struct {
		name    string
		changes [][3]string
		want    map[string]bool
	}{
		{"the same", nil, nil},
		{"a wave", [][3]string{wave}, quiet},
		{"an SLA", [][3]string{sla}, late},
		{"an edge", [][3]string{edge}, offered},
		{"a golden source", golden, recommended},
		{"all four", append([][3]string{wave, sla, edge}, golden...), all},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, exit := simulate(t, env, "--bundle", changed(t, c.changes...))
			got := map[string]bool{}
			for _, d := range r.Differences {
				got[d.Application] = true
			}
			if diff := cmp.Diff(slices.Sorted(maps.Keys(c.want)), slices.Sorted(maps.Keys(got))); diff != "" {
				t.Errorf("applications that differ (-want +got):\n%s", diff)
			}
			if code := exitDiffers; c.want == nil && exit != exitOK || c.want != nil && (exit != code || len(c.want) < 5 || len(r.Examples) == 0 || len(r.Examples[0].Timeline) == 0) {
				t.Errorf("exit %d with %d expected to differ and %d examples", exit, len(c.want), len(r.Examples))
			}
			if r.FaultCount != 0 || r.Decisions != record.Decisions {
				t.Errorf("%d faults, %d decisions", r.FaultCount, r.Decisions)
			}
			for _, d := range r.Differences {
				if d.Since == 0 || d.System != demoSystems["greenhouse"].system {
					t.Errorf("since when and where is not said: %+v", d)
				}
				if !c.want[d.Application] {
					t.Logf("%s: %s", d.Application, d.Words())
				}
			}
		})
	}
	t.Run("explain", func(t *testing.T) { explainDemo(t, env, e) })
	if diff := cmp.Diff(before, ends(t, env)); diff != "" {
		t.Errorf("the cluster was written to (-before +after):\n%s", diff)
	}
}

// A shell completes what the new flags take, and offers no files where none are taken.
func TestSimulateCompletesItsFlags(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"policy simulate --out": "html\njson\n:8", "policy simulate --since": ":4", "app explain --at": ":4",
	} {
		got := concord(t, nil, "", append(append([]string{"__complete"}, strings.Fields(args)...), "")...)
		if !strings.HasPrefix(got.stdout, want) {
			t.Errorf("%s completes as %q, want %q", args, got.stdout, want)
		}
	}
	for _, args := range [][]string{{"--out", "report.pdf"}, {"--since", "yesterday", "--bundle", "x"}, {"--since", "2026-01-01"}, {"--bundle", "nowhere"}} {
		if got := concord(t, nil, "", append([]string{"policy", "simulate"}, args...)...); got.code != exitUsage {
			t.Errorf("%v: exit %d\n%s", args, got.code, got.stderr)
		}
	}
}

// ends is where every topic of the product ends.
func ends(t *testing.T, env []string) map[string]int64 {
	t.Helper()
	r := open(t, env)
	out := map[string]int64{}
	for _, topic := range topics.Table() {
		_, end, err := r.bounds(t.Context(), topic.Name)
		if err != nil {
			t.Fatal(err)
		}
		for p, o := range end[topic.Name] {
			out[fmt.Sprint(topic.Name, "/", p)] = o.Offset
		}
	}
	return out
}
