package hiring_test

import (
	"fmt"
	"testing"

	"github.com/concord-ats/concord/pkg/hiring"
)

// benchEvent is the i-th event in order of one application: an ATS update, a move now and then, a vendor's word.
func benchEvent(i int) hiring.Event {
	at := epoch + hiring.Micros(i)*120e6
	e := hiring.Event{
		Source: "greenhouse", ID: fmt.Sprintf("event-%08d", i), System: atsSystem, Type: hiring.EventUpdated, OccurredAt: at, ObservedAt: at + 1e6,
		Stage: "71416", Status: hiring.StatusActive,
	}
	switch i % 4 {
	case 1:
		e.Type, e.Stage, e.PreviousStage = hiring.EventStageChanged, "1002", "71416"
	case 2:
		e.Type, e.Stage, e.PreviousStage = hiring.EventStageChanged, "71416", "1002"
	case 3:
		e = hiring.Event{Source: "vetting.example", ID: e.ID, System: vendorSystem, Type: hiring.EventScreeningStarted, OccurredAt: at, ObservedAt: at + 1e6, Order: "o1"}
	}
	e.Key, e.Digest = hiring.IdentityKey(e.Source, e.ID), contentDigest(&e)
	return e
}

// BenchmarkDecide measures one event in order on an application with a tail of so many events.
func BenchmarkDecide(b *testing.B) {
	rules := defaultRules()
	for _, tail := range []int{1, 10, 100, 250} {
		start := hiring.NewState("gh-main/1")
		for i := range tail {
			e := benchEvent(i)
			start = hiring.Decide(rules, start, &e, e.ObservedAt).State
		}
		for kind := range 4 {
			next := tail
			for next%4 != kind {
				next++
			}
			e := benchEvent(next)
			name := fmt.Sprintf("tail=%d/%s-%s", tail, e.Type, hiring.Decide(rules, start, &e, e.ObservedAt).Reason)
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					hiring.Decide(rules, start, &e, e.ObservedAt)
				}
			})
		}
	}
}

// BenchmarkDecideStream measures a life of 64 events, each in order, on the state the one before left.
func BenchmarkDecideStream(b *testing.B) {
	rules := defaultRules()
	events := make([]hiring.Event, 64)
	for i := range events {
		events[i] = benchEvent(i)
	}
	b.ReportAllocs()
	for b.Loop() {
		s := hiring.NewState("gh-main/1")
		for i := range events {
			s = hiring.Decide(rules, s, &events[i], events[i].ObservedAt).State
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(events)), "ns/event")
}

// BenchmarkDecideLate measures an event that sorts before the last few of a tail: those are folded again, in both orders.
func BenchmarkDecideLate(b *testing.B) {
	rules := defaultRules()
	for _, in := range []struct{ tail, behind int }{{5, 2}, {10, 2}, {10, 9}, {20, 10}, {100, 10}, {250, 10}} {
		s := hiring.NewState("gh-main/1")
		for i := range in.tail {
			e := benchEvent(i)
			s = hiring.Decide(rules, s, &e, e.ObservedAt).State
		}
		late := benchEvent(in.tail - in.behind)
		late.ID, late.OccurredAt = "late", late.OccurredAt-1e6
		late.Key, late.Digest = hiring.IdentityKey(late.Source, late.ID), contentDigest(&late)
		now := benchEvent(in.tail).ObservedAt
		if d := hiring.Decide(rules, s, &late, now); d.Reason != hiring.ReasonLate && d.Reason != hiring.ReasonRevised {
			b.Fatalf("it is %s", d.Reason)
		}
		b.Run(fmt.Sprintf("tail=%d/behind=%d", in.tail, in.behind), func(b *testing.B) {
			m := new(hiring.Scratch)
			b.ReportAllocs()
			for b.Loop() {
				m.Decide(rules, s, &late, now)
			}
		})
	}
}

// BenchmarkDecideDuplicate measures a redelivery.
func BenchmarkDecideDuplicate(b *testing.B) {
	rules := defaultRules()
	s := hiring.NewState("gh-main/1")
	for i := range 100 {
		e := benchEvent(i)
		s = hiring.Decide(rules, s, &e, e.ObservedAt).State
	}
	e := benchEvent(50)
	b.ReportAllocs()
	for b.Loop() {
		hiring.Decide(rules, s, &e, e.ObservedAt+hiring.Micros(1e12))
	}
}
