package hiring_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/concord-ats/concord/pkg/hiring"
)

// sorting is a bundle in which the state triage has another name, and which says so.
func sorting(b *hiring.Bundle) *hiring.Bundle {
	const old, name = hiring.StageTriage, hiring.Stage("sorting")
	to := func(s hiring.Stage) hiring.Stage {
		if s == old {
			return name
		}
		return s
	}
	out := *b
	everywhere(&out, func(b *hiring.Bundle) {
		b.Digest[0] ^= 1
		b.Migrations = []hiring.Migration{{From: old, To: name}}
		b.Stages, b.Edges, b.Jumps = slices.Clone(b.Stages), slices.Clone(b.Edges), slices.Clone(b.Jumps)
		for i := range b.Stages {
			b.Stages[i].Stage = to(b.Stages[i].Stage)
		}
		for i := range b.Edges {
			b.Edges[i].From, b.Edges[i].To = to(b.Edges[i].From), to(b.Edges[i].To)
		}
		for i := range b.Jumps {
			b.Jumps[i].From, b.Jumps[i].To = to(b.Jumps[i].From), to(b.Jumps[i].To)
		}
		system := b.System
		b.System = func(name string) (hiring.System, bool) {
			s, ok := system(name)
			if s.Mapping != nil {
				m := hiring.Mapping{Stages: map[string]hiring.Stage{}, Native: map[hiring.Stage]string{}, RejectWith: s.Mapping.RejectWith, Withdrawn: s.Mapping.Withdrawn}
				for native, stage := range s.Mapping.Stages {
					m.Stages[native] = to(stage)
				}
				for stage, native := range s.Mapping.Native {
					m.Native[to(stage)] = native
				}
				s.Mapping = &m
			}
			return s, ok
		}
	})
	return &out
}

// I12 and I4 across a bundle that renames a state: whatever the order of arrival, on whichever side of it, the end is one and
// no application stands in the state that is gone.
func TestAMigrationInAnyOrder(t *testing.T) {
	moved := 0
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t, false)
		rules := drawRules(t)
		newest := rules.Bundles[len(rules.Bundles)-1]
		rules = rules.Activate(sorting(newest), max(drawTime(t), newest.EffectiveAt+1))
		last := func(order []int) *hiring.State {
			s := deliver(rules, h.deliveries, order, func(_ *hiring.State, _ *hiring.Event, _ hiring.Micros, d *hiring.Decision) {
				for _, step := range d.Path {
					if step.Edge == hiring.EdgeMigrate {
						moved++
					}
				}
			})
			d := hiring.Decide(rules, s, &hiring.Event{Type: hiring.EventRejudge}, epoch+hiring.FromTime(time.Unix(41*86400, 0)))
			return d.State
		}
		n := len(h.deliveries)
		want, order := last(identityOrder(n)), drawOrder(t, n)
		got := last(order)
		if end(got) != end(want) {
			t.Fatalf("arrival\n%sends\n%s\narrival\n%sends\n%s", show(h.deliveries, identityOrder(n)), end(want), show(h.deliveries, order), end(got))
		}
		if got.Canonical() == hiring.StageTriage {
			t.Fatalf("it stands in %s, which is gone", got.Canonical())
		}
	})
	if moved == 0 {
		t.Error("nothing was migrated: this run is too tame")
	}
}

// A state that is gone, and that nobody has named another for, is told and stays until a person acts.
func TestAStateThatIsGoneIsTold(t *testing.T) {
	rules := defaultRules()
	b := sorting(rules.Bundles[0])
	b.Migrations = nil
	rules = rules.Activate(b, epoch+500e6)
	s := hiring.NewState("gh-main/1")
	for _, e := range []hiring.Event{
		{Type: hiring.EventStageChanged, Source: "g", ID: "1", System: atsSystem, OccurredAt: epoch + 100e6, Stage: "1002", Status: hiring.StatusActive},
		{Type: hiring.EventRejudge},
		{Type: hiring.EventTimer},
	} {
		now := max(e.OccurredAt, epoch+600e6)
		if e.Type == hiring.EventTimer {
			now = s.NextDue
		}
		if e.Type == hiring.EventStageChanged {
			now = e.OccurredAt
		}
		s = hiring.Decide(rules, s, &e, now).State
	}
	if s.Canonical() != hiring.StageTriage || len(s.Incidents) != 1 || s.Incidents[0].Kind != hiring.IncidentUnknownStage || s.Incidents[0].OpenedAt == 0 {
		t.Errorf("stands in %s with %+v", s.Canonical(), s.Incidents)
	}
}

// Of several bundles of one time the last alone judges: nobody is moved by one that another took the place of before it began.
func TestWhatIsReplacedBeforeItBeginsMovesNobody(t *testing.T) {
	rules := defaultRules()
	rules = rules.Activate(sorting(rules.Bundles[0]), epoch+500e6).Activate(rules.Bundles[0], epoch+500e6)
	s := hiring.NewState("gh-main/1")
	for _, e := range []hiring.Event{
		{Type: hiring.EventStageChanged, Source: "g", ID: "1", System: atsSystem, OccurredAt: epoch + 100e6, Stage: "1002", Status: hiring.StatusActive},
		{Type: hiring.EventRejudge},
	} {
		s = hiring.Decide(rules, s, &e, max(e.OccurredAt, epoch+600e6)).State
	}
	if s.Canonical() != hiring.StageTriage || len(s.Incidents) != 0 {
		t.Errorf("stands in %s with %+v", s.Canonical(), s.Incidents)
	}
}

// Of more bundles than are kept the oldest goes, and the newest in force is what has no time of its own goes by.
func TestActivate(t *testing.T) {
	rules := defaultRules()
	for i := range hiring.MaxBundles + 10 {
		rules = rules.Activate(rules.Bundles[0], hiring.Micros(1000+i))
	}
	if len(rules.Bundles) != hiring.MaxBundles || rules.Bundles[0].EffectiveAt != 1010 {
		t.Errorf("%d bundles from %d on", len(rules.Bundles), rules.Bundles[0].EffectiveAt)
	}
	if on := rules.On(1020); on.At(1020).EffectiveAt != 1020 || on.Scheduled != hiring.MaxBundles-11 || on.At(5000).EffectiveAt != 1073 {
		t.Errorf("at 1020: %d are scheduled", on.Scheduled)
	}
	if next := rules.Changes(1020); next != 1021 {
		t.Errorf("after 1020 another comes at %d", next)
	}
	if again := rules.Activate(rules.Bundles[3], 1030); again.At(1030).Digest != rules.Bundles[3].Digest || again.Changes(1073) != 0 {
		t.Error("of one time the last counts")
	}
}

// What is told of a state that is gone ends with the bundle that has it again, or that names another for it.
func TestAStateThatIsGoneIsMended(t *testing.T) {
	rules := defaultRules()
	moves, gone := sorting(rules.Bundles[0]), sorting(rules.Bundles[0])
	gone.Migrations = nil
	for name, with := range map[string]struct {
		mends *hiring.Bundle
		stage hiring.Stage
	}{"has it again": {rules.Bundles[0], hiring.StageTriage}, "names another": {moves, "sorting"}} {
		rules := rules.Activate(gone, epoch+500e6).Activate(with.mends, epoch+700e6)
		s := hiring.NewState("gh-main/1")
		var changes []hiring.IncidentChange
		decide := func(e hiring.Event, now hiring.Micros) {
			d := hiring.Decide(rules, s, &e, now)
			s = d.State
			for _, in := range d.Incidents {
				changes = append(changes, in.Change)
			}
		}
		decide(hiring.Event{Type: hiring.EventStageChanged, Source: "g", ID: "1", System: atsSystem, OccurredAt: epoch + 100e6, Stage: "1002", Status: hiring.StatusActive}, epoch+100e6)
		decide(hiring.Event{Type: hiring.EventRejudge}, epoch+600e6)
		decide(hiring.Event{Type: hiring.EventTimer}, s.NextDue)
		decide(hiring.Event{Type: hiring.EventRejudge}, epoch+800e6)
		if s.Canonical() != with.stage || len(s.Incidents) != 0 || !slices.Equal(changes, []hiring.IncidentChange{hiring.IncidentOpened, hiring.IncidentResolved}) {
			t.Errorf("%s: stands in %s with %+v after %v", name, s.Canonical(), s.Incidents, changes)
		}
	}
}
