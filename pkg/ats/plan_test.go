package ats

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/concord-ats/concord/pkg/wire"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	m := &Mapping{
		System: "x", RejectReason: "no", WithdrawReasons: []string{"left"}, HireReason: "hired",
		Fields: []Field{{Element: "score", Key: "s", Type: FieldNumber}, {Element: "summary", Type: FieldNote}, {Element: "salary", Key: "p", ReadOnly: true}},
	}
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	all := Capabilities{CASStage: true, Move: true, Reject: true, Unreject: true, Hire: true, Elements: m.Writable(), NoteMarker: NoteMarker}
	const active, rejected, withdrawn, hired = wire.ApplicationStatusActive, wire.ApplicationStatusRejected, wire.ApplicationStatusWithdrawn, wire.ApplicationStatusHired
	element := func(name, value string) wire.Element { return wire.Element{Name: name, Value: value} }
	at := wire.Tuple{Stage: "1", Status: active}
	for _, c := range []struct {
		name              string
		caps              Capabilities
		expected, desired wire.Tuple
		want              string // the operations, or the code of the refusal
	}{
		{"nothing", all, at, at, ""},
		{"all of it, the closing effect last", all, at, wire.Tuple{Stage: "2", Status: rejected, Elements: []wire.Element{element("score", "1"), element("summary", "good")}}, "elements note move reject:no"},
		{"unreject first", all, wire.Tuple{Stage: "1", Status: withdrawn}, wire.Tuple{Stage: "2", Status: active}, "unreject move"},
		{"withdraw", all, at, wire.Tuple{Status: withdrawn}, "reject:left"},
		{"hire", all, at, wire.Tuple{Status: hired}, "hire:hired"},
		{"reason of another status", all, at, wire.Tuple{Status: rejected, Reason: "left"}, "invalid"},
		{"hire with a reason to reject", all, at, wire.Tuple{Status: hired, Reason: "no"}, "invalid"},
		{"move what is closed", all, wire.Tuple{Stage: "1", Status: rejected}, wire.Tuple{Stage: "2"}, "not_applicable"},
		{"close what is closed", all, wire.Tuple{Stage: "1", Status: hired}, wire.Tuple{Status: rejected}, "not_applicable"},
		{"unreject what is hired", all, wire.Tuple{Stage: "1", Status: hired}, wire.Tuple{Status: active}, "not_applicable"},
		{"from nowhere, compared", all, wire.Tuple{Status: active}, wire.Tuple{Stage: "2"}, "invalid"},
		{"from nowhere", Capabilities{Move: true}, wire.Tuple{Status: active}, wire.Tuple{Stage: "2"}, "move"},
		{"read-only element", all, at, wire.Tuple{Elements: []wire.Element{element("salary", "1")}}, "unsupported"},
		{"note without notes", Capabilities{Elements: m.Writable()}, at, wire.Tuple{Elements: []wire.Element{element("summary", "x")}}, "unsupported"},
		{"a note taken back", all, wire.Tuple{Elements: []wire.Element{element("summary", "x")}}, wire.Tuple{Elements: []wire.Element{element("summary", "")}}, "unsupported"},
		{"nothing can be written", Capabilities{}, at, wire.Tuple{Stage: "2"}, "unsupported"},
		{"no rejection", Capabilities{}, at, wire.Tuple{Status: rejected}, "unsupported"},
		{"other reason alone", all, wire.Tuple{Status: rejected, Reason: "no"}, wire.Tuple{Reason: "x"}, "unsupported"},
	} {
		steps, err := m.Plan(&c.caps, c.expected, c.desired)
		var ops []string
		for _, s := range steps {
			op := s.Op
			if s.Reason != "" {
				op += ":" + s.Reason
			}
			ops = append(ops, op)
		}
		got := strings.Join(ops, " ")
		if err != nil {
			got = string(CodeOf(err))
			if ClassOf(err) != Refused {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestRunStopsAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	var done []string
	err := Run([]Step{{Op: "elements"}, {Op: "move"}, {Op: "reject"}}, func(s Step) error {
		if s.Op == "move" {
			return &Error{Class: Unknown, Code: CodeTimeout, Op: s.Op}
		}
		done = append(done, s.Op)
		return nil
	})
	var e *Error
	if !errors.As(err, &e) || e.Done != 1 || strings.Join(done, " ") != "elements" {
		t.Errorf("%v after %v", err, done)
	}
}

func TestNotesAreFoundByTheirMarker(t *testing.T) {
	t.Parallel()
	m := &Mapping{Fields: []Field{{Element: "summary", Type: FieldNote}, {Element: "summary_long", Type: FieldNote}}}
	old, newer := NoteText(NoteMarker, wire.Element{Name: "summary", Value: "fair"}), NoteText(NoteMarker, wire.Element{Name: "summary", Value: "good\nand more"})
	shown := wire.Tuple{Elements: []wire.Element{{Name: "a"}, {Name: "z"}}}
	m.AddNotes(&shown, NoteMarker, []Note{{newer, 20}, {old, 10}, {"[concord summary] edited", 30}, {"hello", 40}})
	if diff := cmp.Diff([]wire.Element{{Name: "a"}, {Name: "summary", Value: "good\nand more"}, {Name: "summary_long"}, {Name: "z"}}, shown.Elements); diff != "" {
		t.Error(diff)
	}
}

func TestCapabilityCountsRequests(t *testing.T) {
	t.Parallel()
	c := Capabilities{ElementRequests: 2, MoveRequests: 3, Elements: []ElementField{{Element: "a"}, {Element: "b"}, {Element: "n", Note: true}}}
	d := Difference{Stage: "2", Status: wire.ApplicationStatusRejected, Elements: []wire.Element{{Name: "a"}, {Name: "b"}, {Name: "n"}}}
	if n := c.Writes(d); n != 7 {
		t.Errorf("%d requests, want 2 for elements, 1 for the note, 3 for the move, 1 reject", n)
	}
	if n := c.Writes(Difference{}); n != 1 || c.Reads() != 1 {
		t.Errorf("nothing: %d, %d", n, c.Reads())
	}
}
