package hiring_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/hiring"
)

// Scenario 66: A clock a year ahead
// Happens: A vendor's server comes up with the wrong year, and its verdicts are dated next spring.
// Concord: Refuses what claims to be more than a day ahead of when it came in: a dead letter with that cause, which can be
// replayed when it is repaired. Nothing waits for a time that never comes.
func TestCheck(t *testing.T) {
	r := defaultRules()
	now := epoch
	for _, c := range []struct {
		name  string
		event hiring.Event
		ok    bool
		ahead bool
	}{
		{name: "in time", event: hiring.Event{Type: hiring.EventUpdated, OccurredAt: now, ObservedAt: now}, ok: true},
		{name: "a day ahead", event: hiring.Event{Type: hiring.EventUpdated, OccurredAt: now.Add(24 * time.Hour), ObservedAt: now}, ok: true},
		{name: "more than a day ahead", event: hiring.Event{Type: hiring.EventUpdated, OccurredAt: now.Add(24*time.Hour + 1000), ObservedAt: now}, ahead: true},
		{name: "not stamped at the door", event: hiring.Event{Type: hiring.EventUpdated, OccurredAt: now.Add(48 * time.Hour)}, ok: true},
		{name: "no time", event: hiring.Event{Type: hiring.EventUpdated}},
		{name: "a hint needs no time", event: hiring.Event{Type: hiring.EventUpdated, Basis: hiring.BasisReceipt}, ok: true},
		{name: "a timer needs no time", event: hiring.Event{Type: hiring.EventTimer}, ok: true},
		{name: "no type", event: hiring.Event{OccurredAt: now}},
		{name: "type out of range", event: hiring.Event{Type: 250, OccurredAt: now}},
		{name: "outcome without content", event: hiring.Event{Type: hiring.EventOutcome, OccurredAt: now}},
		{name: "unknown outcome", event: hiring.Event{Type: hiring.EventOutcome, OccurredAt: now, Outcome: &hiring.Outcome{Outcome: 99}}},
		{name: "override to a stage of the policy", event: hiring.Event{Type: hiring.EventOverride, OccurredAt: now, Stage: "offer"}, ok: true},
		{name: "override to no stage", event: hiring.Event{Type: hiring.EventOverride, OccurredAt: now, Stage: "limbo"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := r.Check(&c.event)
			if (err == nil) != c.ok {
				t.Errorf("Check: %v, want ok = %t", err, c.ok)
			}
			if errors.Is(err, hiring.ErrClockAhead) != c.ahead {
				t.Errorf("Check: %v, is ErrClockAhead = %t, want %t", err, !c.ahead, c.ahead)
			}
			if err != nil { // unchecked it must still not panic
				hiring.Decide(r, hiring.NewState("gh-main/1"), &c.event, now)
			}
		})
	}
}

// Rule B10: a panic inside the fold leaves the state untouched, wherever it strikes.
func TestPanicLeavesTheStateUntouched(t *testing.T) {
	w := newWorld()
	for _, line := range []string{
		"100 ats enters apply", "200 ats moves to offer from=apply", "260 vendor passes stamped=250 el.note=x", "261 worker confirms version=255",
	} {
		if err := w.line(line); err != nil {
			t.Fatal(err)
		}
	}
	b := defaultBundle()
	system, calls, strike := b.System, 0, 0
	b.System = func(name string) (hiring.System, bool) {
		if calls++; calls == strike {
			panic("a broken mapping")
		}
		return system(name)
	}
	broken := &hiring.Rules{Bundles: []*hiring.Bundle{b}, Bounds: hiring.DefaultBounds()}
	before := deepCopy(w.state)
	struck := 0
	for strike = 1; strike < 200; strike++ {
		calls = 0
		e, now, err := w.parse("300 ats moves to screening stamped=150 from=triage")
		if err != nil {
			t.Fatal(err)
		}
		panicked := func() (panicked bool) {
			defer func() { panicked = recover() != nil }()
			hiring.Decide(broken, w.state, e, now)
			return false
		}()
		if !reflect.DeepEqual(before, w.state) {
			t.Fatalf("a panic at call %d changed the state", strike)
		}
		if !panicked {
			break
		}
		struck++
	}
	if struck < 5 {
		t.Fatalf("the panic struck %d times only", struck)
	}
	e, now, err := w.parse("300 ats moves to screening stamped=150 from=triage")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := hiring.Decide(w.rules, w.state, e, now), hiring.Decide(w.rules, before, e, now); !reflect.DeepEqual(got, want) {
		t.Error("after the panics the same event is decided otherwise")
	}
}
