package writeback

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/wire"
)

const (
	active   = wire.ApplicationStatusActive
	rejected = wire.ApplicationStatusRejected
)

var able = ats.Capabilities{CASStage: true, Move: true, Reject: true, Unreject: true, Hire: true, Elements: []ats.ElementField{{Element: "score"}}}

// noted keeps the element in a note, which shows twice when it is written twice.
var noted = ats.Capabilities{NoteMarker: ats.NoteMarker, Elements: []ats.ElementField{{Element: "score", Note: true}}}

func elements(value string) []wire.Element { return []wire.Element{{Name: "score", Value: value}} }

func TestJudge(t *testing.T) {
	t.Parallel()
	at := wire.Tuple{Stage: "1", Status: active, Version: 10}
	for _, c := range []struct {
		name   string
		cmd    wire.Command
		shown  wire.Tuple
		caps   ats.Capabilities
		want   wire.OutcomeKind
		detail Detail
	}{
		{"writes a difference", wire.Command{Expected: at, Desired: wire.Tuple{Stage: "2"}}, at, able, wire.OutcomeKindAttempt, ""},
		{"shows already", wire.Command{Expected: at, Desired: wire.Tuple{Stage: "2"}}, wire.Tuple{Stage: "2", Status: active, Version: 11}, able, wire.OutcomeKindAlready, ""},
		{"already, though expired", wire.Command{ExpiresAt: 5, Desired: wire.Tuple{Stage: "1"}}, at, able, wire.OutcomeKindAlready, ""},
		{"expired", wire.Command{ExpiresAt: 5, Desired: wire.Tuple{Stage: "2"}}, at, able, wire.OutcomeKindFailed, DetailExpired},
		{"moved", wire.Command{Expected: at, Desired: wire.Tuple{Stage: "2"}}, wire.Tuple{Stage: "3", Status: active}, able, wire.OutcomeKindSuperseded, DetailMoved},
		{"no stage is shown", wire.Command{Expected: wire.Tuple{Stage: "1", Status: rejected}, Desired: wire.Tuple{Stage: "2", Status: active}}, wire.Tuple{Status: rejected}, able, wire.OutcomeKindAttempt, ""},
		{"a note moves the version only", wire.Command{Expected: at, Desired: wire.Tuple{Stage: "2"}}, wire.Tuple{Stage: "1", Status: active, Version: 99}, able, wire.OutcomeKindAttempt, ""},
		{"closing: version, values equal", wire.Command{Closing: true, Expected: at, Desired: wire.Tuple{Status: rejected}}, wire.Tuple{Stage: "1", Status: active, Version: 11}, able, wire.OutcomeKindSuperseded, DetailStaleVersion},
		{"closing: no version, a facet it does not touch", wire.Command{Closing: true, Expected: wire.Tuple{Stage: "1"}, Desired: wire.Tuple{Status: rejected}}, wire.Tuple{Stage: "2", Status: active}, able, wire.OutcomeKindSuperseded, DetailMoved},
		{"closing, as expected", wire.Command{Closing: true, Expected: at, Desired: wire.Tuple{Status: rejected}}, at, able, wire.OutcomeKindAttempt, ""},
		{"only facets it touches", wire.Command{Expected: at, Desired: wire.Tuple{Elements: elements("8")}}, wire.Tuple{Stage: "3", Status: active}, able, wire.OutcomeKindAttempt, ""},
		{"element changed by another", wire.Command{Expected: wire.Tuple{Elements: elements("1")}, Desired: wire.Tuple{Elements: elements("8")}}, wire.Tuple{Elements: elements("2")}, able, wire.OutcomeKindSuperseded, DetailMoved},
		{"element has no field", wire.Command{Desired: wire.Tuple{Elements: elements("8")}}, at, ats.Capabilities{}, wire.OutcomeKindNotApplicable, "unsupported"},
		{"stage cannot be written", wire.Command{Desired: wire.Tuple{Stage: "2"}}, at, ats.Capabilities{}, wire.OutcomeKindNotApplicable, "unsupported"},
		{"status cannot be written", wire.Command{Desired: wire.Tuple{Status: rejected}}, at, ats.Capabilities{}, wire.OutcomeKindNotApplicable, "unsupported"},
		{"shadow", wire.Command{Mode: wire.WriteModeShadow, Desired: wire.Tuple{Stage: "2"}}, at, able, wire.OutcomeKindShadowed, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Judge(&c.cmd, &c.shown, &c.caps, 10)
			if got.Outcome != c.want || got.Detail != c.detail {
				t.Errorf("got %s %q, want %s %q", got.Outcome, got.Detail, c.want, c.detail)
			}
		})
	}
}

func TestConclude(t *testing.T) {
	t.Parallel()
	before := wire.Tuple{Stage: "1", Status: active, Version: 10}
	lost := Evidence{Code: "timeout", Unknowns: 1, Max: 3}
	for _, c := range []struct {
		name    string
		closing bool
		desired wire.Tuple
		shown   wire.Tuple
		caps    ats.Capabilities
		e       Evidence
		want    wire.OutcomeKind
		detail  Detail
	}{
		{"executed and nothing shows", false, wire.Tuple{Stage: "2"}, before, able, Evidence{Executed: true}, wire.OutcomeKindBlocked, DetailMismatch},
		{"lost, repeatable", false, wire.Tuple{Stage: "2"}, before, able, lost, wire.OutcomeKindAttempt, ""},
		{"lost, the version moved", false, wire.Tuple{Stage: "2"}, wire.Tuple{Stage: "1", Status: active, Version: 11}, able, lost, wire.OutcomeKindSuperseded, DetailStaleVersion},
		{"lost, closing, the version moved", true, wire.Tuple{Status: rejected}, wire.Tuple{Stage: "1", Status: active, Version: 11}, able, lost, wire.OutcomeKindBlocked, "timeout"},
		{"lost, a note", false, wire.Tuple{Elements: elements("8")}, before, noted, lost, wire.OutcomeKindBlocked, "timeout"},
		{"lost too often", false, wire.Tuple{Stage: "2"}, before, able, Evidence{Code: "timeout", Unknowns: 3, Max: 3}, wire.OutcomeKindBlocked, "timeout"},
		{"lost, stage is not compared", false, wire.Tuple{Stage: "2"}, before, ats.Capabilities{}, lost, wire.OutcomeKindBlocked, "timeout"},
		{"lost, closing", true, wire.Tuple{Status: rejected}, before, able, lost, wire.OutcomeKindBlocked, "timeout"},
		{"lost, noticeable", true, wire.Tuple{Stage: "2"}, before, able, lost, wire.OutcomeKindBlocked, "timeout"},
		{"lost, a status", false, wire.Tuple{Status: rejected}, before, able, lost, wire.OutcomeKindBlocked, "timeout"},
		{"half of it shows", false, wire.Tuple{Stage: "2", Elements: elements("8")}, wire.Tuple{Stage: "1", Status: active, Elements: elements("8")}, able, lost, wire.OutcomeKindAttempt, ""},
		{"lost, a newer one waits", false, wire.Tuple{Stage: "2"}, before, able, Evidence{Code: "timeout", Newer: true, Unknowns: 1, Max: 3}, wire.OutcomeKindSuperseded, DetailNewer},
		{"somebody moved it on", false, wire.Tuple{Stage: "2"}, wire.Tuple{Stage: "3", Status: active}, able, Evidence{Executed: true}, wire.OutcomeKindSuperseded, DetailOvertaken},
		{"somebody rejected it", false, wire.Tuple{Stage: "2"}, wire.Tuple{Stage: "1", Status: rejected}, able, lost, wire.OutcomeKindSuperseded, DetailOvertaken},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Conclude(&wire.Command{Closing: c.closing, Desired: c.desired}, &before, &c.shown, &c.caps, c.e)
			if got.Outcome != c.want || got.Detail != c.detail {
				t.Errorf("got %s %q, want %s %q", got.Outcome, got.Detail, c.want, c.detail)
			}
		})
	}
}

func TestAccept(t *testing.T) {
	t.Parallel()
	apply := func(id string, revision int64, stage string) *wire.Command {
		return &wire.Command{ID: id, Revision: revision, Desired: wire.Tuple{Stage: stage}}
	}
	s, _, what := Accept(nil, apply("a", 3, "1"), 100)
	if what != AcceptedQueued || s.Apply.Command.ID != "a" || s.Apply.Since != 100 || s.Revision != 3 {
		t.Fatalf("%v %+v", what, s)
	}
	if n, _, what := Accept(s, apply("old", 2, "1"), 101); what != DroppedOlder || n != s {
		t.Errorf("older: %v", what)
	}
	if n, _, what := Accept(s, apply("a", 3, "1"), 101); what != DroppedRepeated || n != s {
		t.Errorf("repeated: %v", what)
	}
	sent := s.with(func(s *State) { p := *s.Apply; p.Sends = 1; s.Apply, s.Armings, s.Unknowns = &p, 1, 1 })
	same, replaced, _ := Accept(sent, apply("b", 3, "1"), 102)
	if replaced == nil || replaced.Command.ID != "a" || same.Armings != 1 || same.Unknowns != 1 {
		t.Errorf("same revision again: replaced %v, %+v", replaced, same)
	}
	next, _, _ := Accept(sent, apply("c", 4, "1"), 103)
	if next.Armings != 0 || next.Unknowns != 0 || next.Revision != 4 {
		t.Errorf("newer revision keeps counts: %+v", next)
	}
	nothing, replaced, what := Accept(sent, &wire.Command{ID: "d", Revision: 5}, 104)
	if what != AcceptedCancelled || nothing.Apply != nil || nothing.Revision != 5 || replaced == nil {
		t.Errorf("empty desired: %v %+v", what, nothing)
	}
	refresh, _, _ := Accept(s, &wire.Command{ID: "r", Kind: wire.CommandKindRefresh}, 105)
	if refresh.Apply == nil || refresh.Refresh == nil || refresh.Revision != 3 {
		t.Errorf("a refresh stands beside: %+v", refresh)
	}
	if s.Refresh != nil || sent.Apply == nil {
		t.Error("a state was changed in place")
	}
}

func TestStateRoundTrip(t *testing.T) {
	t.Parallel()
	cmd := &wire.Command{ID: "c", ApplicationID: "gh/1", System: "gh", Revision: 7, Desired: wire.Tuple{Stage: "2", Elements: elements("8")}}
	p := &Pending{Command: cmd, Since: 5, Sends: 2, Detail: "timeout"}
	for _, s := range []*State{
		{CheckAt: 1},
		{CheckAt: 9, Revision: 7, LastID: "c", Armings: 2, Unknowns: 1, Apply: p, Refresh: p},
		{CheckAt: -1, Attempt: &Attempt{Pending: *p, Arming: 3, Before: wire.Tuple{Stage: "1", Elements: elements("7"), Version: 4}}},
		{Attempt: &Attempt{Pending: *p, Arming: 3, Mapping: wire.Digest{3, 15: 4}}},
		{Parked: &Parked{ID: "i", System: "gh", Subject: "c", Code: "unauthorised", OpenedAt: 4}},
	} {
		b := appendState(nil, s)
		got, err := decodeState("", b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, s) {
			t.Errorf("got %+v, want %+v", got, s)
		}
		due, err := codec.DueOf(b)
		if err != nil || due != s.CheckAt {
			t.Errorf("due %d, %v, want %d", due, err, s.CheckAt)
		}
		for n := range b {
			if _, err := decodeState("", b[:n]); err == nil {
				t.Errorf("%d of %d bytes decode", n, len(b))
			}
		}
	}
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	refused := &ats.Error{Class: ats.NotExecuted, Code: ats.CodeUnauthorised}
	broken := &ats.Error{Class: ats.Unknown, Code: ats.CodeTimeout}
	b := breaker{first: time.Second, max: 3 * time.Second, limit: 2}
	if got := b.record(now, false, false, broken, 0); got != unchanged {
		t.Errorf("one timeout: %v", got)
	}
	if got := b.record(now, false, false, &ats.Error{Class: ats.Refused, Code: ats.CodeInvalid}, 0); got != unchanged || b.failures != 0 {
		t.Errorf("an answer ends a row of failures: %v, %d", got, b.failures)
	}
	if got := b.record(now, false, true, refused, 0); got != opened {
		t.Errorf("refused credentials: %v, want opened at once", got)
	}
	if wait, ok := b.allow(now); ok || wait != time.Second {
		t.Errorf("open: %v %v", wait, ok)
	}
	now = now.Add(time.Second)
	if _, ok := b.allow(now); !ok {
		t.Error("no probe after the hold")
	}
	if _, ok := b.allow(now); ok {
		t.Error("two probes at once")
	}
	if got := b.record(now, true, true, refused, 0); got != unchanged {
		t.Errorf("failed probe: %v", got)
	}
	if wait, ok := b.allow(now); ok || wait != 2*time.Second {
		t.Errorf("hold does not double: %v", wait)
	}
	now = now.Add(2 * time.Second)
	b.allow(now)
	b.abandon(true)
	if _, ok := b.allow(now); !ok {
		t.Error("an abandoned probe blocks the next")
	}
	if got := b.record(now, false, false, nil, 0); got != unchanged {
		t.Errorf("a call begun before it opened: %v", got)
	}
	if got := b.record(now, true, true, nil, 0); got != closed {
		t.Errorf("probe that works: %v", got)
	}
	if _, ok := b.allow(now); !ok {
		t.Error("closed lets nobody in")
	}
}

func TestConfigNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := New(Config{Systems: map[string]System{"gh": {Concurrency: -1}}, MaxQueued: -1})
	if err == nil {
		t.Fatal("no error")
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) || len(joined.Unwrap()) != 4 {
		t.Errorf("got %v, want four faults", err)
	}
}
