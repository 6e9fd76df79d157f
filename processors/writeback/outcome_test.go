package writeback

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

func TestConfirmedOnlyByReadBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1)
	before := gh.version(1)
	w.run(nil)
	desired := toInterviews
	desired.Elements = toScore.Elements
	cmd := w.command("gh", 1, 3, desired)
	w.send(cmd)
	o := w.terminal(cmd.ID)
	wantOutcome(t, o, wire.OutcomeKindConfirmed, DetailNone)
	if o.Arming != 1 || o.Attempts != 1 || o.Revision != 3 || o.VersionBefore != before || o.VersionAfter != gh.version(1) || o.VersionAfter <= before {
		t.Errorf("arming %d attempts %d revision %d versions %d → %d", o.Arming, o.Attempts, o.Revision, o.VersionBefore, o.VersionAfter)
	}
	if o.Observed == nil || o.Observed.Stage != "1004" || o.Cause != cmd.Cause || o.Requisition != cmd.Requisition || o.Policy != cmd.Policy {
		t.Errorf("outcome lacks what its command carried: %+v", o)
	}
	if o.ID != cmd.ID+":confirmed:1" {
		t.Errorf("id %q", o.ID)
	}
	if o.StartedAt == 0 || o.FinishedAt < o.StartedAt {
		t.Errorf("times %v, %v", o.StartedAt, o.FinishedAt)
	}
	if n := w.attempts(cmd.ID); n != 1 {
		t.Errorf("%d attempts committed, want 1", n)
	}
	if n := len(gh.mutations(1)); n != 2 { // elements, move
		t.Errorf("%d mutations, want 2", n)
	}
}

func TestAlreadyShownIsNotWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1)
	w.run(nil)
	cmd := w.command("gh", 1, 1, wire.Tuple{Stage: "71416"})
	w.send(cmd)
	wantOutcome(t, w.terminal(cmd.ID), wire.OutcomeKindAlready, DetailNone)
	if n := w.attempts(cmd.ID) + len(gh.mutations(1)); n != 0 {
		t.Errorf("%d attempts and mutations, want none", n)
	}
}

// Also proves scenario 16: in the worker.
func TestNothingIsOverwritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1, 2, 3)
	w.run(nil)
	moved := w.command("gh", 1, 1, toInterviews)
	gh.sim.Act(atssim.Action{Kind: "move", Application: 1, Stage: 1005})
	// A note changes no value, but a closing effect is compared by version; another is not.
	closing, other := w.command("gh", 2, 1, toReject), w.command("gh", 3, 1, toInterviews)
	gh.sim.Act(atssim.Action{Kind: "touch", Application: 2})
	gh.sim.Act(atssim.Action{Kind: "touch", Application: 3})
	w.send(moved, closing, other)
	o := w.terminal(moved.ID)
	wantOutcome(t, o, wire.OutcomeKindSuperseded, DetailMoved)
	if o.Observed == nil || o.Observed.Stage != "1005" {
		t.Errorf("observed %+v, want what the human did", o.Observed)
	}
	wantOutcome(t, w.terminal(closing.ID), wire.OutcomeKindSuperseded, DetailStaleVersion)
	wantOutcome(t, w.terminal(other.ID), wire.OutcomeKindConfirmed, DetailNone)
}

// Also proves scenario 16: in the worker.
func TestHumanBetweenAttemptAndClosingWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1)
	reads := 0
	gh.client.onRead(func(_ context.Context, _ string, real func() (ats.Reading, error)) (ats.Reading, error) {
		if reads++; reads == 2 { // the one right before the write
			gh.sim.Act(atssim.Action{Kind: "move", Application: 1, Stage: 1005})
		}
		return real()
	})
	w.run(nil)
	cmd := w.command("gh", 1, 1, toReject)
	w.send(cmd)
	wantOutcome(t, w.terminal(cmd.ID), wire.OutcomeKindSuperseded, DetailStaleVersion)
	if n := len(gh.mutations(1)); n != 0 {
		t.Errorf("%d mutations, want none: a human was overwritten", n)
	}
}

// An ATS that does not compare the stage a move leaves is read once more right before it.
func TestHumanBetweenAttemptAndMoveThatIsNotCompared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1)
	caps := gh.client.Client.Capabilities()
	caps.CASStage = false
	gh.client.caps = &caps
	reads := 0
	gh.client.onRead(func(_ context.Context, _ string, real func() (ats.Reading, error)) (ats.Reading, error) {
		if reads++; reads == 2 { // the one right before the write
			gh.sim.Act(atssim.Action{Kind: "move", Application: 1, Stage: 1005})
		}
		return real()
	})
	w.run(nil)
	cmd := w.command("gh", 1, 1, toInterviews)
	w.send(cmd)
	wantOutcome(t, w.terminal(cmd.ID), wire.OutcomeKindSuperseded, DetailMoved)
	if sent := slices.DeleteFunc(gh.sim.Journal(0), func(e atssim.Entry) bool {
		return e.Kind == "token" || e.Kind == "lookup" || e.Type != atssim.EntryRequest
	}); len(sent) != 2 {
		t.Errorf("%d requests, want two reads and no write", len(sent))
	}
}

// Scenario 14: A 200 that says it failed
// Happens: The ATS answers 200 with success: false, or 200 and changes nothing.
// Concord: Believes no answer: only a read that shows the whole of what was asked confirms. It is blocked, and told.
func TestAnswerThatChangedNothingIsBlocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1)
	gh.seed(t, 2)
	var fault atssim.Fault
	gh.client.onApply(func(_ context.Context, _ string, _, _ wire.Tuple, real func() error) error {
		gh.faults(t, atssim.Rates{fault: 1})
		defer gh.faults(t, nil)
		return real()
	})
	w.run(nil)
	for id := range int64(2) {
		id, fault = id+1, [...]atssim.Fault{atssim.FaultLostWrite, atssim.FaultFailureIn200}[id]
		cmd := w.command("gh", id, 1, toInterviews)
		w.send(cmd)
		o := w.terminal(cmd.ID)
		wantOutcome(t, o, wire.OutcomeKindBlocked, DetailMismatch)
		if o.Observed == nil || o.Observed.Stage != "71416" {
			t.Errorf("%s: observed %+v", fault, o.Observed)
		}
	}
}

// Scenario 15: A 200 on an archived application
// Happens: The application is archived, before the write or in its very moment; the ATS answers 200, changes the stage and leaves
// it archived.
// Concord: Compares the whole tuple on reading back: the stage alone is no success. What the ATS shows is told, and
// nothing more is sent.
func TestSuccessOnAnArchivedApplication(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1, 2)
	archived := func(id, stage int64) error {
		return gh.sim.Seed(atssim.Application{ID: id, CandidateID: id + 5000, JobID: 1, StageID: stage, Status: "rejected", LastActivityAt: time.Now()})
	}
	if err := archived(2, 71416); err != nil {
		t.Fatal(err)
	}
	gh.client.onApply(func(_ context.Context, id string, _, _ wire.Tuple, _ func() error) error {
		return archived(map[string]int64{"1": 1, "2": 2}[id], 1004)
	})
	w.run(nil)
	overtaken, before := w.command("gh", 1, 1, toInterviews), w.command("gh", 2, 1, toInterviews)
	before.Expected.Status = wire.ApplicationStatusRejected
	w.send(overtaken, before)
	wantOutcome(t, w.terminal(overtaken.ID), wire.OutcomeKindSuperseded, DetailOvertaken)
	wantOutcome(t, w.terminal(before.ID), wire.OutcomeKindBlocked, DetailMismatch)
	for _, cmd := range []*wire.Command{overtaken, before} {
		if o := w.terminal(cmd.ID); o.Observed == nil || o.Observed.Stage != "1004" || o.Observed.Status != wire.ApplicationStatusRejected {
			t.Errorf("observed %+v", o.Observed)
		}
		if n := w.attempts(cmd.ID); n != 1 {
			t.Errorf("%s is armed %d times, want once", cmd.ID, n)
		}
	}
}

func TestUnsafeTrustResponseConfirmsWhatNeverHappened(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1)
	gh.faults(t, atssim.Rates{atssim.FaultLostWrite: 1})
	w.run(func(c *Config) { c.UnsafeTrustResponse = true })
	cmd := w.command("gh", 1, 1, toInterviews)
	w.send(cmd)
	wantOutcome(t, w.terminal(cmd.ID), wire.OutcomeKindConfirmed, DetailNone)
	if n := len(gh.mutations(1)); n != 0 {
		t.Errorf("%d mutations, want none: the fault did not fire", n)
	}
}

// Scenario 8: A write times out, and had landed
// Happens: The connection falls silent after the ATS has done what was asked.
// Concord: Reads back and finds it: confirmed, with one rejection in the ATS.
func TestTimeoutAfterApplyingIsConfirmedByReadBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1)
	gh.faults(t, atssim.Rates{atssim.FaultTimeoutAfter: 1})
	w.run(func(c *Config) { c.WriteTimeout = 300 * time.Millisecond })
	cmd := w.command("gh", 1, 1, toReject)
	w.send(cmd)
	wantOutcome(t, w.terminal(cmd.ID), wire.OutcomeKindConfirmed, DetailNone)
	if n := len(gh.mutations(1, "reject")); n != 1 {
		t.Errorf("%d rejections, want 1", n)
	}
}

// lose makes every write vanish on the way: no answer, nothing done.
func lose(context.Context, string, wire.Tuple, wire.Tuple, func() error) error {
	return &ats.Error{Class: ats.Unknown, Code: ats.CodeReset, Op: "move"}
}

// Scenario 9: A write times out, and did not land
// Happens: The connection breaks before the ATS has done anything, and nobody can tell.
// Concord: Reads back after the read lag. What is harmless to repeat is armed again, three times at most; where the ATS
// shows a newer version meanwhile, it waits for the settle period first, as a person may have undone it. A close that a
// candidate can notice is blocked and told, and never sent a second time.
func TestUnknownEffects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1, 2, 3)
	lost := map[string]int{}
	gh.client.onApply(func(_ context.Context, id string, _, _ wire.Tuple, real func() error) error {
		w.mu.Lock()
		lost[id]++
		n := lost[id]
		w.mu.Unlock()
		if id == "3" && n == 2 { // the second arming arrives
			return real()
		}
		return &ats.Error{Class: ats.Unknown, Code: ats.CodeReset, Op: "move"}
	})
	w.run(nil)
	closing, stage, second := w.command("gh", 1, 1, toReject), w.command("gh", 2, 1, toInterviews), w.command("gh", 3, 1, toInterviews)
	w.send(closing, stage, second)
	o := w.terminal(closing.ID)
	wantOutcome(t, o, wire.OutcomeKindBlocked, Detail(ats.CodeReset))
	if n := w.attempts(closing.ID); n != 1 {
		t.Errorf("closing effect armed %d times, want once", n)
	}
	o = w.terminal(stage.ID)
	wantOutcome(t, o, wire.OutcomeKindBlocked, Detail(ats.CodeReset))
	if n := w.attempts(stage.ID); n != 3 || o.Attempts != 3 {
		t.Errorf("stage armed %d times, outcome says %d, want 3", n, o.Attempts)
	}
	o = w.terminal(second.ID)
	wantOutcome(t, o, wire.OutcomeKindConfirmed, DetailNone)
	if o.Arming != 2 || o.Attempts != 2 {
		t.Errorf("arming %d attempts %d, want 2", o.Arming, o.Attempts)
	}
}

// Also proves scenario 9: a lost write that a person undid is not repeated at once.
//
// TestLostWriteThatWasUndoneIsNotRepeated: a move lands, its answer is lost, and a person moves the candidate back. The
// stage is the old one again, but the version is not: nothing is sent a second time.
func TestLostWriteThatWasUndoneIsNotRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1)
	gh.client.onApply(func(_ context.Context, _ string, _, _ wire.Tuple, real func() error) error {
		if err := real(); err != nil {
			return err
		}
		gh.sim.Act(atssim.Action{Kind: "move", Application: 1, Stage: 71416})
		return &ats.Error{Class: ats.Unknown, Code: ats.CodeReset, Op: "move"}
	})
	w.run(nil)
	cmd := w.command("gh", 1, 1, toInterviews)
	w.send(cmd)
	o := w.terminal(cmd.ID)
	wantOutcome(t, o, wire.OutcomeKindSuperseded, DetailStaleVersion)
	if n := len(gh.mutations(1, "move")); n != 1 {
		t.Errorf("%d moves by us, want the one that a person undid", n)
	}
	if o.Observed == nil || o.Observed.Stage != cmd.Expected.Stage || o.VersionAfter != gh.version(1) {
		t.Errorf("shown %+v at version %d, want what the person left", o.Observed, o.VersionAfter)
	}
}

// Also proves scenario 13: a 404 is not applicable, never taken as deleted.
// Also proves scenario 28: a value that a field has no option for is refused, and told.
func TestRefusedAndNotApplicable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1)
	w.run(nil)
	gone := w.command("gh", 99, 1, toInterviews)
	gone.Expected = wire.Tuple{}
	noStage := w.command("gh", 1, 1, wire.Tuple{Stage: "4242"})
	noField := w.command("gh", 1, 2, wire.Tuple{Elements: []wire.Element{{Name: "shoe_size", Value: "44"}}})
	w.send(gone, noStage)
	wantOutcome(t, w.terminal(gone.ID), wire.OutcomeKindNotApplicable, Detail(ats.CodeNotFound))
	wantOutcome(t, w.terminal(noStage.ID), wire.OutcomeKindRefused, Detail(ats.CodeInvalid))
	w.send(noField)
	wantOutcome(t, w.terminal(noField.ID), wire.OutcomeKindNotApplicable, Detail(ats.CodeUnsupported))
}

// Also proves scenario 40: in the worker, which sends nothing of a shadow.
func TestShadowAndExpiredAreNotSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1, 2)
	w.run(nil)
	shadow := w.command("gh", 1, 1, toInterviews)
	shadow.Mode = wire.WriteModeShadow
	late := w.command("gh", 2, 1, toInterviews)
	late.ExpiresAt = wire.Micros(time.Now().Add(-time.Minute).UnixMicro())
	strange := w.command("gh", 1, 1, toInterviews)
	strange.ApplicationID, strange.System = "nowhere/1", "nowhere"
	w.send(shadow, late, strange)
	wantOutcome(t, w.terminal(shadow.ID), wire.OutcomeKindShadowed, DetailNone)
	wantOutcome(t, w.terminal(late.ID), wire.OutcomeKindFailed, DetailExpired)
	wantOutcome(t, w.terminal(strange.ID), wire.OutcomeKindFailed, DetailUnknownSystem)
	if n := len(gh.mutations(1)) + len(gh.mutations(2)); n != 0 {
		t.Errorf("%d mutations, want none", n)
	}
}

func TestNotBeforeIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.systems["gh"].seed(t, 1)
	w.run(nil)
	cmd := w.command("gh", 1, 1, toInterviews)
	at := time.Now().Add(400 * time.Millisecond)
	cmd.NotBefore = wire.Micros(at.UnixMicro())
	w.send(cmd)
	o := w.terminal(cmd.ID)
	wantOutcome(t, o, wire.OutcomeKindConfirmed, DetailNone)
	if o.FinishedAt < cmd.NotBefore {
		t.Errorf("sent %v before its time", at.Sub(o.FinishedAt.Time()))
	}
}

func TestRefreshIsAnsweredWithASnapshot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1)
	w.run(nil)
	cmd := w.command("gh", 1, 0, wire.Tuple{})
	cmd.Kind, cmd.Closing = wire.CommandKindRefresh, false
	missing := w.command("gh", 77, 0, wire.Tuple{})
	missing.Kind = wire.CommandKindRefresh
	w.send(cmd, missing)
	o := w.terminal(cmd.ID)
	wantOutcome(t, o, wire.OutcomeKindConfirmed, DetailNone)
	wantOutcome(t, w.terminal(missing.ID), wire.OutcomeKindFailed, Detail(ats.CodeNotFound))
	w.until("snapshot and deletion", func() bool { return len(w.changes) == 2 })
	told := map[string]wire.AtsChange{}
	w.locked(func() {
		for i := range w.changes {
			told[w.changes[i].ApplicationID] = w.changes[i]
		}
	})
	if c := told["gh/77"]; c.Type != "application.deleted" || c.System != "gh" {
		t.Errorf("what the ATS does not have is told as %+v", c)
	}
	c := told["gh/1"]
	if c.Type != "snapshot" || c.ApplicationID != "gh/1" || c.System != "gh" || c.Stage.ID != "71416" || c.TimeBasis != wire.TimeBasisRecord ||
		int64(c.OccurredAt) != gh.version(1) || c.ObservedAt == 0 || c.ID == "" {
		t.Errorf("snapshot %+v", c)
	}
}

func TestBadCommandsAreDeadLettered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.systems["gh"].seed(t, 1)
	w.run(nil)
	good := w.command("gh", 1, 1, toInterviews)
	noID := w.command("gh", 1, 1, toInterviews)
	noID.ID = ""
	for _, rec := range []*kgo.Record{
		{Key: []byte("gh/1"), Value: []byte("rubbish")},
		{Key: []byte("gh/2"), Value: w.schemas.Append(nil, good)},
		{Key: []byte("gh/1"), Value: w.schemas.Append(nil, noID)},
		{Key: []byte("gh/1"), Value: w.schemas.Append(nil, good)[:20]},
	} {
		rec.Topic = topics.ATSCommands
		if err := w.cl.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	w.send(good)
	wantOutcome(t, w.terminal(good.ID), wire.OutcomeKindConfirmed, DetailNone)
	w.until("dead letters", func() bool { return len(w.letters) == 4 })
	causes := map[string]int{}
	var letters []*kgo.Record
	w.locked(func() { letters = slices.Clone(w.letters) })
	for _, rec := range letters {
		for _, h := range rec.Headers {
			if h.Key == "concord.dlq.cause" {
				causes[string(h.Value)]++
			}
		}
	}
	for _, want := range []wire.Cause{wire.CauseBadFraming, wire.CauseKeyMismatch, wire.CauseNoIdentity, wire.CauseUndecodable} {
		if causes[string(want)] != 1 {
			t.Errorf("cause %s: %d, want 1 (all: %v)", want, causes[string(want)], causes)
		}
	}
}
