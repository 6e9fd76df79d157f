package wire_test

import (
	"testing"

	"github.com/concord-ats/concord/pkg/wire"
)

// TestBrokenReferences refuses states that refer to what they do not have. That the references of a state lead where they
// should is shown where states are written, in processors/reconciler.
func TestBrokenReferences(t *testing.T) {
	t.Parallel()
	one := []wire.TailEntry{{}}
	for name, s := range map[string]wire.HiringState{
		"before the tail":           {Tail: []wire.TailEntry{{Like: 1}}},
		"after the entry":           {Tail: []wire.TailEntry{{}, {Like: -1}}},
		"far before the tail":       {Tail: []wire.TailEntry{{}, {Like: -1 << 31}}},
		"like an entry without":     {Tail: []wire.TailEntry{{}, {Like: 1, ATS: &wire.AtsWord{AsLike: true}}}},
		"like no entry":             {Tail: []wire.TailEntry{{Screening: &wire.ScreeningWord{AsLike: true}}}},
		"no such entry":             {Head: wire.Fold{Observations: []wire.Observation{{Entry: 1}}}},
		"no such observation":       {Head: wire.Fold{Observations: []wire.Observation{{Entry: -1}}}},
		"farthest observation":      {Head: wire.Fold{Observations: []wire.Observation{{Entry: -1 << 31}}}},
		"said by nobody":            {Head: wire.Fold{Observations: []wire.Observation{{Said: 1}}}},
		"no such element":           {Tail: one, Head: wire.Fold{Observations: []wire.Observation{{Entry: 1, Said: 1}}}},
		"said in no such way":       {Tail: one, Head: wire.Fold{Observations: []wire.Observation{{Entry: 1, Said: -5}}}},
		"a mark past the tail":      {Tail: one, Head: wire.Fold{LastKeys: []wire.SystemMark{{Entry: 2}}}},
		"a mark of no base":         {Tail: one, Head: wire.Fold{LastKeys: []wire.SystemMark{{Entry: -1}}}},
		"a result of no screening":  {Tail: one, Head: wire.Fold{Results: []wire.Result{{Entry: 1}}}},
		"an order of no screening":  {Tail: one, Head: wire.Fold{Orders: []wire.KnownOrder{{Entry: 1}}}},
		"a candidate of nobody":     {Tail: one, Head: wire.Fold{CandidateEntry: 1}},
		"a base's base":             {Base: &wire.Fold{CandidateEntry: -1}},
		"entered by nothing":        {Head: wire.Fold{EnteredEntry: 1}},
		"caused by nothing":         {DesiredCauseEntry: 1},
		"desired by nobody":         {DesiredObserved: []int32{1}},
		"confirmed what is no word": {Head: wire.Fold{Observations: []wire.Observation{{Facet: "stage", Values: []string{"1"}}}}, ConfirmedObserved: []int32{1}},
	} {
		if err := s.Resolve(); cause(err) != wire.CauseUndecodable {
			t.Errorf("%s: error = %v, want undecodable", name, err)
		}
	}
}

// TestStateDue reads when a state is due without the rest of it.
func TestStateDue(t *testing.T) {
	t.Parallel()
	schemas, err := wire.Open(wire.Config{})
	if err != nil {
		t.Fatal(err)
	}
	value := schemas.Append(nil, &wire.HiringState{ApplicationID: "gh/1", NextDue: 7})
	due, err := schemas.StateDue(value)
	if err != nil || due != 7 {
		t.Errorf("due %d, %v, want 7", due, err)
	}
	if due, err = schemas.StateDue(append(value[:12:12], 0xff)); err != nil || due != 7 {
		t.Errorf("due %d, %v, where the rest is damaged, want 7", due, err)
	}
	if _, err = schemas.StateDue(value[:8]); err == nil {
		t.Error("a state that ends before it says so is due")
	}
}
