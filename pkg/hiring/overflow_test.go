package hiring_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/concord-ats/concord/pkg/hiring"
)

// Past the cap of the tail and the ring only bounded memory, no panic and exact counting are promised (rule B1).
func TestOverflow(t *testing.T) {
	rules := defaultRules()
	rules.Bounds.TailCap, rules.Bounds.RingSize = 8, 8
	rapid.Check(t, func(t *rapid.T) {
		s := hiring.NewState("gh-main/1")
		now := epoch + 100e6
		counted := map[hiring.Disposition]int{}
		delivered := 0
		for life := range rapid.IntRange(1, 8).Draw(t, "lives") {
			h := drawHistory(t, true)
			for i := range h.deliveries {
				h.deliveries[i] = shift(h.deliveries[i], time.Duration(life)*time.Duration(rapid.IntRange(-50, 50).Draw(t, "away"))*time.Second, fmt.Sprint(life))
			}
			for _, i := range drawOrder(t, len(h.deliveries)) {
				now += hiring.Micros(rapid.IntRange(0, 90).Draw(t, "wait")) * 1e6
				for s.NextDue != 0 && s.NextDue <= now {
					d := hiring.Decide(rules, s, &hiring.Event{Type: hiring.EventTimer}, s.NextDue)
					if d.Disposition() != hiring.DispositionTimer {
						t.Fatal("a timer is counted as a delivery")
					}
					s = d.State
				}
				e := h.deliveries[i]
				d := hiring.Decide(rules, s, &e, now)
				delivered++
				counted[d.Disposition()]++
				s = d.State
				if n := len(s.Tail); n > 8 {
					t.Fatalf("the tail has %d entries", n)
				}
				if n := len(s.Ring); n > 8 {
					t.Fatalf("the ring has %d entries", n)
				}
				checkBounds(t, s)
			}
		}
		total := 0
		for _, n := range counted {
			total += n
		}
		if total != delivered || counted[hiring.DispositionTimer]+counted[hiring.DispositionDeadLettered] > 0 {
			t.Fatalf("%d deliveries are counted as %v", delivered, counted)
		}
	})
}

func checkBounds(t *rapid.T, s *hiring.State) {
	t.Helper()
	heads := []*hiring.Head{&s.Head}
	if s.Base != nil {
		heads = append(heads, s.Base)
	}
	for _, h := range heads {
		for _, b := range []struct {
			name     string
			is, most int
		}{
			{"results", len(h.Results), 16},
			{"orders", len(h.Orders), 16},
			{"reverts", len(h.Reverts), 16},
			{"suspects", len(h.Suspects), 32},
			{"marks", len(h.Marks), 32},
			{"observations", len(h.Observations), 256},
			{"incidents", len(s.Incidents), 40},
			{"echoes", len(s.Echoes), 8},
		} {
			if b.is > b.most {
				t.Fatalf("%d %s, at most %d", b.is, b.name, b.most)
			}
		}
		for i := range h.Observations {
			if n := len(h.Observations[i].Values); n > 8 {
				t.Fatalf("%d tied values", n)
			}
		}
	}
}

// Every slice of a state stops growing, whatever one publisher sends.
func TestEverySliceIsBounded(t *testing.T) {
	rules := defaultRules()
	s := hiring.NewState("gh-main/1")
	now := epoch
	send := func(e hiring.Event) {
		now += 1e6
		e.OccurredAt, e.ObservedAt, e.ID = now, now, fmt.Sprint("e", now)
		if e.Digest == (hiring.Digest{}) {
			e.Digest = contentDigest(&e)
		}
		s = hiring.Decide(rules, s, &e, now).State
	}
	stages := []string{"1001", "1002", "71416", "1004", "1005"}
	for i := range 3000 {
		switch i % 5 {
		case 0: // systems, orders, results, elements without end
			send(hiring.Event{
				Type: hiring.EventScreeningCompleted, Source: "v", System: fmt.Sprint("vendor-", i), Order: fmt.Sprint("o", i), Attempt: 1, HasResult: true, Verdict: hiring.VerdictReview,
				Elements: []hiring.Element{{Name: fmt.Sprint("element-", i), Value: "x"}},
			})
		case 1: // jumps and moves without authority
			send(hiring.Event{Type: hiring.EventStageChanged, Source: "gh", System: atsSystem, Stage: stages[i%7%5], Status: hiring.StatusActive, Actor: hiring.ActorIntegration})
		case 2: // one moment, many values
			e := hiring.Event{Type: hiring.EventUpdated, Source: "gh", System: atsSystem, OccurredAt: epoch + 1, ID: fmt.Sprint("tie", i), Elements: []hiring.Element{{Name: "note", Value: fmt.Sprint(i)}}}
			e.ObservedAt = now
			s = hiring.Decide(rules, s, &e, now).State
		case 3: // contradictions
			e := hiring.Event{Type: hiring.EventUpdated, Source: "gh", System: atsSystem, OccurredAt: now, ObservedAt: now, ID: fmt.Sprint("c", i), Digest: hiring.Digest{1}}
			s = hiring.Decide(rules, s, &e, now).State
			e.Digest, e.Candidate = hiring.Digest{2}, "other"
			s = hiring.Decide(rules, s, &e, now).State
		case 4: // echoes
			send(hiring.Event{Type: hiring.EventOutcome, Source: "w", Outcome: &hiring.Outcome{Outcome: hiring.OutcomeConfirmed, Revision: -1, VersionAfter: int64(now) + 1e12, Written: hiring.Tuple{Stage: "1004"}}})
		}
		for n := 0; s.NextDue != 0 && s.NextDue <= now && n < 10; n++ {
			s = hiring.Decide(rules, s, &hiring.Event{Type: hiring.EventTimer}, s.NextDue).State
		}
	}
	if len(s.Tail) > 256 || len(s.Ring) > 256 {
		t.Errorf("tail %d, ring %d", len(s.Tail), len(s.Ring))
	}
	rapid.Check(t, func(t *rapid.T) { checkBounds(t, s) })
	if len(s.Head.Observations) != 256 || len(s.Head.Marks) != 32 || s.AbsorbedEarly == 0 {
		t.Errorf("the bounds were not reached: %d observations, %d marks, %d absorbed early", len(s.Head.Observations), len(s.Head.Marks), s.AbsorbedEarly)
	}
}
