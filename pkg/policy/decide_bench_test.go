package policy_test

import (
	"fmt"
	"runtime/debug"
	"testing"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
)

// BenchmarkDecide measures one event in order under the full default bundle, on an application with a tail of 100. It is of
// a region with an addendum, so that a variant is looked up and read.
func BenchmarkDecide(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(1500)) // as a replay has it, which alone keeps the states it makes
	bundle, err := policy.Compile(policy.Default())
	if err != nil {
		b.Fatal(err)
	}
	if bundle.For("gh-main", &hiring.Requisition{Region: "de"}) == bundle {
		b.Fatal("no addendum holds in this region: the benchmark would measure the base alone")
	}
	rules := &hiring.Rules{Bundles: []*hiring.Bundle{bundle}, Bounds: hiring.DefaultBounds()}
	const start = hiring.Micros(1_790_000_000_000_000)
	event := func(i int) hiring.Event {
		at := start + hiring.Micros(i)*120e6
		e := hiring.Event{
			Source: "greenhouse", ID: fmt.Sprint(i), System: "gh-main", Type: hiring.EventUpdated, OccurredAt: at, ObservedAt: at + 1e6,
			Stage: "71416", Status: hiring.StatusActive, Requisition: hiring.Requisition{ID: "r", Type: "engineering", Region: "de"},
		}
		switch i % 4 {
		case 1:
			e.Type, e.Stage, e.PreviousStage = hiring.EventStageChanged, "1002", "71416"
		case 2:
			e.Type, e.Stage, e.PreviousStage = hiring.EventStageChanged, "71416", "1002"
		}
		e.Key, e.Digest = hiring.IdentityKey(e.Source, e.ID), hiring.IdentityKey("content", e.ID)
		return e
	}
	s := hiring.NewState("gh-main/1")
	for i := range 100 {
		e := event(i)
		s = hiring.Decide(rules, s, &e, e.ObservedAt).State
	}
	for _, next := range []int{100, 101, 102} {
		e := event(next)
		measureDecide(b, rules, s, &e, "")
	}
	// The same of an application that has stood in its stage for too long, which is told.
	for len(s.Incidents) == 0 {
		if s.NextDue == 0 {
			b.Fatal("nothing is ever told")
		}
		s = hiring.Decide(rules, s, &hiring.Event{Type: hiring.EventTimer}, s.NextDue).State
	}
	e := event(100)
	measureDecide(b, rules, s, &e, "under an incident/")
}

// measureDecide measures one decision in new memory, and in memory that is used again.
func measureDecide(b *testing.B, rules *hiring.Rules, s *hiring.State, e *hiring.Event, when string) {
	d := hiring.Decide(rules, s, e, e.ObservedAt)
	for _, in := range []struct {
		name   string
		decide func(*hiring.Rules, *hiring.State, *hiring.Event, hiring.Micros) hiring.Decision
	}{{"new memory", hiring.Decide}, {"a session's memory", new(hiring.Scratch).Decide}} {
		b.Run(fmt.Sprintf("%s-%s/%s%s", e.Type, d.Reason, when, in.name), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				in.decide(rules, s, e, e.ObservedAt)
			}
		})
	}
}
