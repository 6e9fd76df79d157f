package wire_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/concord-ats/concord/pkg/wire"
)

// drawRelated draws a state in which much is said twice, as in those the fold makes, and some nearly so.
func drawRelated(t *rapid.T) *wire.HiringState {
	text := func(of ...string) string { return rapid.SampledFrom(of).Draw(t, "text") }
	number := func() int64 { return rapid.Int64Range(0, 2).Draw(t, "number") }
	candidate := func() (string, wire.Requisition) {
		return text("", "c"), wire.Requisition{ID: text("", "r"), Region: text("", "emea")}
	}
	s := &wire.HiringState{ApplicationID: "gh/1", NextDue: 7}
	s.Head.CandidateID, s.Head.Requisition = candidate()
	for range rapid.IntRange(0, 20).Draw(t, "tail") {
		e := wire.TailEntry{
			Source: text("a", "b"), System: text("", "x", "y"), ID: text("1", "2"), OccurredAt: wire.Micros(number()), EffectiveAt: wire.Micros(number()), Revision: number(),
			Type: rapid.SampledFrom([]wire.EventType{wire.EventTypeSnapshot, wire.EventTypeScreeningOrdered}).Draw(t, "type"),
		}
		e.CandidateID, e.Requisition = candidate()
		s.Tail = append(s.Tail, e)
		if rapid.Bool().Draw(t, "observed") {
			at := wire.Micros(number())
			s.Head.Observations = append(s.Head.Observations, wire.Observation{
				Facet: text("stage", "status"), System: e.System, Values: []string{"v"}, At: e.OccurredAt, Revision: e.Revision, Snapshot: number() == 0, EffectiveAt: at, EventID: e.ID,
			})
			s.Head.LastKeys = append(s.Head.LastKeys, wire.SystemMark{System: text("", "x"), OccurredAt: e.OccurredAt, Revision: e.Revision, Snapshot: number() == 0, ID: e.ID, EffectiveAt: at})
		}
	}
	return s
}

// TestShortStates leaves out of states what their tails have, takes them to the log and back, and expects the same.
func TestShortStates(t *testing.T) {
	schemas, err := wire.Open(wire.Config{})
	if err != nil {
		t.Fatal(err)
	}
	shorter := 0
	rapid.Check(t, func(t *rapid.T) {
		s := drawRelated(t)
		long := schemas.Append(nil, s)
		var whole wire.HiringState
		if err := schemas.DecodeState(string(long), &whole); err != nil {
			t.Fatal(err)
		}
		s.Shorten()
		short := schemas.Append(nil, s)
		shorter += len(long) - len(short)
		var back wire.HiringState
		if err := schemas.DecodeState(string(short), &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(whole, back); diff != "" {
			t.Fatalf("a short state says something else (-was +is):\n%s", diff)
		}
		if back.Shorten(); !bytes.Equal(schemas.Append(nil, &back), short) {
			t.Fatal("equal states are shortened in different ways")
		}
		due, err := schemas.StateDue(short)
		if err != nil || due != s.NextDue {
			t.Fatalf("due %d, want %d: %v", due, s.NextDue, err)
		}
	})
	if shorter <= 0 {
		t.Error("no state became shorter")
	}
}

// TestBrokenReferences refuses states that refer to what they do not have.
func TestBrokenReferences(t *testing.T) {
	for name, s := range map[string]wire.HiringState{
		"before the tail":      {Tail: []wire.TailEntry{{Like: 1}}},
		"after the entry":      {Tail: []wire.TailEntry{{}, {Like: -1}}},
		"no such observation":  {Head: wire.Fold{Observations: []wire.Observation{{Entry: 1}}}},
		"a negative entry":     {Tail: []wire.TailEntry{{}}, Head: wire.Fold{LastKeys: []wire.SystemMark{{Entry: -1}}}},
		"a mark past the tail": {Tail: []wire.TailEntry{{}}, Head: wire.Fold{LastKeys: []wire.SystemMark{{Entry: 2}}}},
	} {
		if err := s.Resolve(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
