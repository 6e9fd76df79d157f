package hiring_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/concord-ats/concord/pkg/hiring"
)

// Rapid prints the seed of a failing run; -rapid.seed repeats it.

// I12: any order and duplication of one application's events ends alike, once every timer has run.
func TestOrderOfArrivalDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t, false)
		rules := drawRules(t)
		if rapid.Bool().Draw(t, "by revision") {
			byRevision(t, &h, rules)
		}
		n := len(h.deliveries)
		want := end(deliver(rules, h.deliveries, identityOrder(n), nil))
		order := drawOrder(t, n)
		if got := end(deliver(rules, h.deliveries, order, nil)); got != want {
			t.Fatalf("arrival\n%sends\n%s\narrival\n%sends\n%s", show(h.deliveries, identityOrder(n)), want, show(h.deliveries, order), got)
		}
	})
}

// What is absorbed into the base counts as what is still in the tail: several lives, each longer ago than the horizon,
// end like the fold of everything, in whatever order each life's events came.
func TestAbsorbingChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		short := drawRules(t)
		long := &hiring.Rules{Bundles: short.Bundles, Bounds: short.Bounds}
		long.Bounds.Horizon = 10000 * time.Hour
		var all []hiring.Event
		var straight, mixed []int
		for life := range 3 {
			h := drawHistory(t, false)
			for _, i := range drawOrder(t, len(h.deliveries)) {
				mixed = append(mixed, len(all)+i)
			}
			for i := range h.deliveries {
				readBack(&h.deliveries[i])
				straight = append(straight, len(all)+i)
				h.deliveries[i] = shift(h.deliveries[i], time.Duration(life)*100*time.Hour, string('p'+rune(life)))
			}
			all = append(all, h.deliveries...)
			if life < 2 { // the clock moves on before the next life
				straight, mixed = append(straight, len(all)), append(mixed, len(all))
				all = append(all, hiring.Event{
					Type: hiring.EventUpdated, Source: "greenhouse", System: atsSystem, ID: "between" + string('0'+rune(life)),
					OccurredAt: epoch.Add(time.Duration(life+1)*100*time.Hour - time.Hour), ObservedAt: epoch.Add(time.Duration(life+1)*100*time.Hour - time.Hour),
				})
			}
		}
		want := end(deliver(long, all, straight, nil))
		if got := end(deliver(short, all, mixed, nil)); got != want {
			t.Fatalf("arrival\n%sends\n%s\narrival\n%sends\n%s", show(all, straight), want, show(all, mixed), got)
		}
	})
}

// I4, I5, purity, determinism and timers, over every decision of random histories.
func TestEveryDecision(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := drawRules(t)
		bundle := rules.Bundles[0]
		h := drawHistory(t, true)
		order := drawOrder(t, len(h.deliveries))
		deliver(rules, h.deliveries, order, func(prior *hiring.State, e *hiring.Event, now hiring.Micros, d *hiring.Decision) {
			if !d.Changed && (d.State != prior || len(d.Commands)+len(d.Incidents)+len(d.Path) > 0) {
				t.Fatalf("%s %s: unchanged, but something follows", e.Type, d.Reason)
			}
			if d.Changed && d.State.Version != prior.Version+1 {
				t.Fatalf("version %d follows %d", d.State.Version, prior.Version)
			}
			if d.Reason == hiring.ReasonUnspecified {
				t.Fatalf("%s has no reason", e.Type)
			}
			if d.State.NextDue != 0 && d.Changed && d.State.NextDue <= d.Now {
				t.Fatalf("%s at %s leaves a timer due at %s", e.Type, clock(d.Now), clock(d.State.NextDue))
			}
			checkPath(t, bundle, prior, d)
			if len(d.State.Echoes) > 8 || len(d.State.Head.Suspects) > 32 || len(d.State.Incidents) > 40 {
				t.Fatal("a bound is passed")
			}
		})
	})
}

// checkPath requires a continuous path of edges that ends where the decision does (I4, rule B7).
func checkPath(t *rapid.T, b *hiring.Bundle, prior *hiring.State, d *hiring.Decision) {
	t.Helper()
	if d.From != prior.Head.Stage || d.To != d.State.Head.Stage {
		t.Fatalf("from %q to %q, but the states say %q and %q", d.From, d.To, prior.Head.Stage, d.State.Head.Stage)
	}
	at := d.Ancestor
	for _, s := range d.Path {
		if s.From != at {
			t.Fatalf("path %+v from %q is broken at %q", d.Path, d.Ancestor, at)
		}
		switch s.Edge {
		case hiring.EdgeEnter:
			if s.From != "" {
				t.Fatalf("entered from %q", s.From)
			}
		case hiring.EdgeReopen, hiring.EdgeOverride, hiring.EdgeYield, hiring.EdgeTransfer:
		default:
			if edge := b.Edge(s.From, s.To); edge == nil || edge.Name != s.Edge || edge.Authority&s.Authority == 0 {
				t.Fatalf("%+v is no edge that %s may take", s, s.Authority)
			}
		}
		at = s.To
	}
	if len(d.Path) > 0 && at != d.To {
		t.Fatalf("path %+v does not end at %q", d.Path, d.To)
	}
}

// Decide never changes the state it is given, also when a prior is used again after its successor was thrown away,
// as after an aborted transaction; and the same inputs give the same decision.
func TestDecideIsPure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := drawRules(t)
		h := drawHistory(t, true)
		s := hiring.NewState("gh-main/1")
		now := epoch + 100e6
		for _, i := range drawOrder(t, len(h.deliveries)) {
			now += 20e6
			before := deepCopy(s)
			// Attempts that are thrown away.
			for range rapid.IntRange(0, 2).Draw(t, "aborts") {
				lost := s
				for range rapid.IntRange(1, 3).Draw(t, "steps") {
					e := h.deliveries[rapid.IntRange(0, len(h.deliveries)-1).Draw(t, "lost")]
					if rapid.IntRange(0, 3).Draw(t, "timer") == 0 && lost.NextDue != 0 {
						e = hiring.Event{Type: hiring.EventTimer}
					}
					lost = hiring.Decide(rules, lost, &e, max(now, lost.NextDue)).State
				}
			}
			if !reflect.DeepEqual(s, before) {
				t.Fatalf("a thrown-away attempt changed the state\n%s\ninto\n%s", describe(before), describe(s))
			}
			e, again := h.deliveries[i], h.deliveries[i]
			want := hiring.Decide(rules, before, &again, now)
			wanted := deepCopy(want.State)
			got := hiring.Decide(rules, s, &e, now)
			if !reflect.DeepEqual(deepCopy(got.State), wanted) {
				t.Fatalf("decided otherwise after thrown-away attempts:\n%s\n%s", describe(got.State), describe(wanted))
			}
			got.State, want.State = nil, nil
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("decisions differ\n%+v\n%+v", got, want)
			}
			s = deepCopyOr(t, wanted)
		}
	})
}

// deepCopyOr sometimes hands on a state as a restore would: with nothing shared and no spare capacity.
func deepCopyOr(t *rapid.T, s *hiring.State) *hiring.State {
	if rapid.Bool().Draw(t, "restored") {
		return deepCopy(s)
	}
	return s
}

// Reads that prove no version collapse where they repeat each other. Which of several equal reads showed a move first is
// lost with them, but never what the ATS shows: level, observations, and who the candidate is end alike in any order.
func TestPollsWithoutVersionKeepTheLevel(t *testing.T) {
	rules := defaultRules()
	level := func(s *hiring.State) string {
		h := &s.Head
		var b strings.Builder
		fmt.Fprintf(&b, "%s %s candidate %q deleted %t\n", h.LevelStage, h.LevelStatus, h.Candidate, h.Deleted)
		for i := range h.Observations {
			o := &h.Observations[i]
			fmt.Fprintf(&b, "%s %s %v at %s\n", o.System, o.Facet, o.Values, clock(o.At))
		}
		return b.String()
	}
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t, true)
		n := len(h.deliveries)
		want := level(deliver(rules, h.deliveries, identityOrder(n), nil))
		order := drawOrder(t, n)
		if got := level(deliver(rules, h.deliveries, order, nil)); got != want {
			t.Fatalf("arrival\n%sends\n%s\narrival\n%sends\n%s", show(h.deliveries, identityOrder(n)), want, show(h.deliveries, order), got)
		}
	})
}
