package hiring_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/hiring"
)

func TestSubSaturates(t *testing.T) {
	for _, c := range []struct {
		t, u hiring.Micros
		want time.Duration
	}{
		{5_000_000, 3_000_000, 2 * time.Second},
		{3_000_000, 5_000_000, -2 * time.Second},
		{math.MaxInt64, 1, math.MaxInt64},
		{math.MaxInt64, -1, math.MaxInt64},
		{1, math.MaxInt64, math.MinInt64},
		{math.MinInt64, 1, math.MinInt64},
	} {
		if got := c.t.Sub(c.u); got != c.want {
			t.Errorf("%d - %d = %d, want %d", c.t, c.u, got, c.want)
		}
	}
}

// A time no clock can show is ahead, however far, and does not wrap to a good one.
func TestCheckRefusesTheEndOfTime(t *testing.T) {
	e := hiring.Event{Type: hiring.EventUpdated, System: "gh-main", OccurredAt: math.MaxInt64, ObservedAt: 1}
	if err := defaultRules().Check(&e); !errors.Is(err, hiring.ErrClockAhead) {
		t.Errorf("error = %v, want clock ahead", err)
	}
}

// An application held for its size goes on when a person releases it.
func TestReleaseEndsTheHoldOfAnOversizeState(t *testing.T) {
	rules, now := defaultRules(), hiring.FromTime(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC))
	created := hiring.Event{Source: "ats", ID: "1", Type: hiring.EventCreated, System: "gh-main", OccurredAt: now, ObservedAt: now, Stage: "71416", Status: hiring.StatusActive}
	d := hiring.Decide(rules, hiring.NewState("gh-main/1"), &created, now)
	held := *d.State
	held.Oversize = true

	after := now.Add(time.Minute)
	pass := hiring.Event{
		Source: "vendor", ID: "2", Type: hiring.EventScreeningCompleted, System: "vendor", OccurredAt: after, ObservedAt: after,
		Order: "o", Attempt: 1, HasResult: true, ResultRevision: 1, Verdict: hiring.VerdictAdvance, FinishedAt: after,
	}
	d = hiring.Decide(rules, &held, &pass, after)
	if !d.State.Desired.Empty() || !d.Held {
		t.Fatalf("held for its size, yet desired is %+v", d.State.Desired)
	}
	release := hiring.Event{Source: "ops", ID: "3", Type: hiring.EventRelease, System: hiring.ControlSystem, OccurredAt: after + 1, ObservedAt: after + 1}
	d = hiring.Decide(rules, d.State, &release, after+1)
	if d.State.Oversize || d.State.Desired.Stage != "1004" {
		t.Errorf("released: oversize %t, desired %+v, want a move to 1004", d.State.Oversize, d.State.Desired)
	}
}
