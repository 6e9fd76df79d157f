package writeback

import (
	"context"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/wire"
)

// untilEnd answers nothing until the caller gives up, as a process that dies in the middle of a call.
func untilEnd(ctx context.Context) error {
	<-ctx.Done()
	return &ats.Error{Class: ats.Unknown, Code: ats.CodeCancelled, Op: "move"}
}

// TestCrashBetweenAttemptAndOutcome ends the worker while a write is on its way, executed or not, and starts it
// again: on the same store, and on an empty one that is restored from the changelog.
func TestCrashBetweenAttemptAndOutcome(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		desired  wire.Tuple
		executed bool
		wipe     bool
		want     wire.OutcomeKind
		detail   Detail
		attempts int
		writes   int
	}{
		{"closing, executed", toReject, true, false, wire.OutcomeKindConfirmed, DetailNone, 1, 1},
		{"closing, lost", toReject, false, false, wire.OutcomeKindBlocked, DetailRestarted, 1, 0},
		{"closing, lost, store gone", toReject, false, true, wire.OutcomeKindBlocked, DetailRestarted, 1, 0},
		{"stage, executed", toInterviews, true, true, wire.OutcomeKindConfirmed, DetailNone, 1, 1},
		{"stage, lost", toInterviews, false, false, wire.OutcomeKindConfirmed, DetailNone, 2, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			gh := w.systems["gh"]
			gh.seed(t, 1)
			sent := make(chan struct{}, 1)
			gh.client.onApply(func(ctx context.Context, _ string, _, _ wire.Tuple, real func() error) error {
				if test.executed {
					if err := real(); err != nil {
						t.Errorf("write: %v", err)
					}
				}
				sent <- struct{}{}
				return untilEnd(ctx)
			})
			first := w.run(func(c *Config) { c.DrainTimeout = time.Millisecond; c.WriteTimeout = time.Minute })
			cmd := w.command("gh", 1, 1, test.desired)
			w.send(cmd)
			<-sent
			first.stop()
			early := 0
			w.locked(func() { early = len(w.terminals(cmd.ID)) })
			if early != 0 {
				t.Fatalf("%d outcomes before the restart, want none", early)
			}
			gh.client.onApply(nil)
			if test.wipe {
				if err := os.RemoveAll(w.dir); err != nil {
					t.Fatal(err)
				}
			}
			w.run(nil)
			wantOutcome(t, w.terminal(cmd.ID), test.want, test.detail)
			if n := w.attempts(cmd.ID); n != test.attempts {
				t.Errorf("%d attempts, want %d", n, test.attempts)
			}
			if n := len(gh.mutations(1)); n != test.writes {
				t.Errorf("%d effects, want %d", n, test.writes)
			}
		})
	}
}

func TestQueuedSurvivesARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1)
	reading := make(chan struct{}, 1)
	gh.client.onRead(func(ctx context.Context, _ string, _ func() (ats.Reading, error)) (ats.Reading, error) {
		reading <- struct{}{}
		return ats.Reading{}, untilEnd(ctx)
	})
	first := w.run(nil)
	cmd := w.command("gh", 1, 1, toReject)
	w.send(cmd)
	<-reading
	first.stop()
	gh.client.onRead(nil)
	w.run(nil)
	wantOutcome(t, w.terminal(cmd.ID), wire.OutcomeKindConfirmed, DetailNone)
}

// TestStopDrains ends the worker while a write is on its way: the call is finished and its outcome committed.
func TestStopDrains(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1)
	sent, finish := make(chan struct{}), make(chan struct{})
	gh.client.onApply(func(_ context.Context, _ string, _, _ wire.Tuple, real func() error) error {
		close(sent)
		<-finish
		return real()
	})
	r := w.run(nil)
	cmd := w.command("gh", 1, 1, toReject)
	w.send(cmd)
	<-sent
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	<-r.worker.draining.Done()
	close(finish)
	<-stopped
	wantOutcome(t, w.terminal(cmd.ID), wire.OutcomeKindConfirmed, DetailNone)
}

// TestNewerRevisionReplacesAndCancels: a command that is replaced or cancelled while it waits is never sent (rule C1).
func TestNewerRevisionReplacesAndCancels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1, 2, 3)
	hold := make(chan struct{})
	gh.client.onRead(func(_ context.Context, _ string, real func() (ats.Reading, error)) (ats.Reading, error) {
		<-hold
		return real()
	})
	r := w.run(nil)
	reject, move := w.command("gh", 1, 1, toReject), w.command("gh", 1, 2, toInterviews)
	reject2, nothing := w.command("gh", 2, 1, toReject), w.command("gh", 2, 2, wire.Tuple{})
	newest, older := w.command("gh", 3, 5, toInterviews), w.command("gh", 3, 4, toReject)
	w.send(reject, move, reject2, nothing, newest, older)
	w.until("all taken up", func() bool {
		m := r.worker.cfg.Metrics
		return counted(t, m.Commands.WithLabelValues("queued"))+counted(t, m.Commands.WithLabelValues("cancelled"))+counted(t, m.Commands.WithLabelValues("older")) == 6
	})
	close(hold)
	wantOutcome(t, w.terminal(move.ID), wire.OutcomeKindConfirmed, DetailNone)
	wantOutcome(t, w.terminal(newest.ID), wire.OutcomeKindConfirmed, DetailNone)
	if n := len(gh.mutations(1, "reject")) + len(gh.mutations(2)) + len(gh.mutations(3, "reject")); n != 0 {
		t.Errorf("%d effects of replaced, cancelled or older commands", n)
	}
	// Replayed long after: still older.
	again := *reject
	w.send(&again)
	refresh := w.command("gh", 1, 0, wire.Tuple{})
	refresh.Kind = wire.CommandKindRefresh
	w.send(refresh)
	w.terminal(refresh.ID)
	w.locked(func() {
		if ended := w.terminals(reject.ID); len(ended) != 0 {
			t.Errorf("a replayed old command ended: %v", ended[0].Outcome)
		}
	})
}

// TestNewerRevisionWhileSending: the result of an attempt that a newer revision has overtaken is still told.
func TestNewerRevisionWhileSending(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1, 2)
	var once, once2 sync.Once
	sent, finish := make(chan struct{}, 2), make(chan struct{})
	gh.client.onApply(func(ctx context.Context, id string, a, b wire.Tuple, real func() error) error {
		var err error
		first := false
		which := &once
		if id == "2" {
			which = &once2
		}
		which.Do(func() { first = true })
		if !first {
			return real()
		}
		sent <- struct{}{}
		<-finish
		if id == "1" {
			return lose(ctx, id, a, b, real)
		}
		err = real()
		return err
	})
	r := w.run(nil)
	lost, next := w.command("gh", 1, 1, toInterviews), w.command("gh", 1, 2, wire.Tuple{Stage: "1005"})
	done, next2 := w.command("gh", 2, 1, toInterviews), w.command("gh", 2, 2, wire.Tuple{Stage: "1005"})
	next2.Expected = wire.Tuple{Stage: "1004"}
	w.send(lost, done)
	<-sent
	<-sent
	w.send(next, next2)
	w.until("newer ones taken up", func() bool {
		return counted(t, r.worker.cfg.Metrics.Commands.WithLabelValues("queued")) == 4
	})
	close(finish)
	wantOutcome(t, w.terminal(lost.ID), wire.OutcomeKindSuperseded, DetailNewer)
	wantOutcome(t, w.terminal(next.ID), wire.OutcomeKindConfirmed, DetailNone)
	wantOutcome(t, w.terminal(done.ID), wire.OutcomeKindConfirmed, DetailNone)
	wantOutcome(t, w.terminal(next2.ID), wire.OutcomeKindConfirmed, DetailNone)
}

// Scenario 10: The ATS asks for patience
// Happens: A write is answered with 429, with a Retry-After or without.
// Concord: Waits as long as it is asked to, else with a growing pause, and sends again under a new arming. It is
// bounded and visible: after five attempts the command is deferred. The latency goes on counting from the end of the
// screening.
func TestRateLimited(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		after time.Duration
	}{{"with Retry-After", 700 * time.Millisecond}, {"without", 0}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			gh := w.systems["gh"]
			gh.seed(t, 1)
			var calls []time.Time
			gh.client.onApply(func(_ context.Context, _ string, _, _ wire.Tuple, real func() error) error {
				calls = append(calls, time.Now()) // one call at a time: one command in flight
				if len(calls) == 1 {
					return &ats.Error{Class: ats.NotExecuted, Code: ats.CodeRateLimited, Op: "reject", Status: 429, RetryAfter: test.after}
				}
				return real()
			})
			w.run(nil)
			cmd := w.command("gh", 1, 1, toReject)
			w.send(cmd)
			o := w.terminal(cmd.ID)
			wantOutcome(t, o, wire.OutcomeKindConfirmed, DetailNone)
			if o.Arming != 2 || o.Attempts != 2 || w.attempts(cmd.ID) != 2 {
				t.Errorf("arming %d, attempts %d, committed %d: each send is an arming of its own", o.Arming, o.Attempts, w.attempts(cmd.ID))
			}
			if len(calls) != 2 {
				t.Fatalf("%d calls, want 2", len(calls))
			}
			if got := calls[1].Sub(calls[0]); got < test.after {
				t.Errorf("sent again after %v, asked for %v", got, test.after)
			}
		})
	}
}

// Also proves scenario 10: it is bounded.
func TestNotExecutedIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1)
	gh.client.onApply(func(context.Context, string, wire.Tuple, wire.Tuple, func() error) error {
		return &ats.Error{Class: ats.NotExecuted, Code: ats.CodeRateLimited, Op: "move", Status: 429}
	})
	w.run(nil)
	cmd := w.command("gh", 1, 1, toInterviews)
	w.send(cmd)
	o := w.terminal(cmd.ID)
	wantOutcome(t, o, wire.OutcomeKindDeferred, Detail(ats.CodeRateLimited))
	if o.Attempts != 5 || o.Until <= o.FinishedAt {
		t.Errorf("attempts %d, until %v after finished %v", o.Attempts, o.Until, o.FinishedAt)
	}
	// The reconciler emits it again: same revision, new command, armings go on counting.
	gh.client.onApply(nil)
	again := *cmd
	again.ID = "again"
	w.send(&again)
	o = w.terminal("again")
	wantOutcome(t, o, wire.OutcomeKindConfirmed, DetailNone)
	if o.Arming != 6 || o.Attempts != 1 {
		t.Errorf("arming %d attempts %d, want 6 and 1", o.Arming, o.Attempts)
	}
}

// Scenario 13: The credential no longer works
// Happens: A token has expired; a permission is missing; an application is not found, which some ATSs answer instead
// of a denial.
// Concord: Fetches a new token and tries once more. Where that does not help the tenant is parked, with one incident
// and without hammering, and goes on when it is let in. What is not found is never taken as deleted.
func TestRevokedCredentialParksAndResumes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1, 2)
	revoked, valid := true, false
	if err := gh.sim.SetFaults(atssim.FaultState{Revoked: &revoked}); err != nil {
		t.Fatal(err)
	}
	r := w.run(func(c *Config) { c.DeferAfter = 4 * time.Second })
	cmd := w.command("gh", 1, 1, toInterviews)
	w.send(cmd)
	o := w.terminal(cmd.ID)
	wantOutcome(t, o, wire.OutcomeKindDeferred, Detail(ats.CodeUnauthorised))
	if got := r.worker.Parked(); len(got) != 1 || got[0] != "gh is parked: unauthorised" {
		t.Errorf("parked: %q", got)
	}
	if o.Until <= o.FinishedAt {
		t.Errorf("until %v is not after %v", o.Until, o.FinishedAt)
	}
	w.until("incident", func() bool { return len(w.opened) == 1 })
	var incidents []wire.Incident
	w.locked(func() { incidents = slices.Clone(w.opened) })
	if i := incidents[0]; i.Kind != wire.IncidentKindTenantParked || i.Change != wire.IncidentChangeOpened || i.System != "gh" || i.Element != "unauthorised" {
		t.Errorf("incident %+v", i)
	}
	if n := len(gh.sim.Journal(0)); n > 60 {
		t.Errorf("%d requests to a system that refuses them all", n)
	}
	if err := gh.sim.SetFaults(atssim.FaultState{Revoked: &valid}); err != nil {
		t.Fatal(err)
	}
	again := *cmd
	again.ID = "again"
	w.send(&again)
	wantOutcome(t, w.terminal("again"), wire.OutcomeKindConfirmed, DetailNone)
	if got := r.worker.Parked(); len(got) != 0 {
		t.Errorf("parked afterwards: %q", got)
	}
	w.until("resolved", func() bool { return len(w.opened) == 2 })
	w.locked(func() { incidents = slices.Clone(w.opened) })
	if i := incidents[1]; i.ID != incidents[0].ID || i.Change != wire.IncidentChangeResolved || i.ClosedAt == 0 {
		t.Errorf("incident %+v", i)
	}
}

// Also proves scenario 11: a tenant that hangs delays no other.
//
// TestHangingTenantDelaysNobody: a system that answers nothing has more commands than fit in memory.
func TestHangingTenantDelaysNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "bad", "gh")
	bad, gh := w.systems["bad"], w.systems["gh"]
	bad.client.onRead(func(ctx context.Context, _ string, _ func() (ats.Reading, error)) (ats.Reading, error) {
		return ats.Reading{}, untilEnd(ctx)
	})
	r := w.run(func(c *Config) {
		c.MaxQueued, c.MaxActive, c.ReadTimeout, c.DeferAfter = 20, 10, time.Minute, 10*time.Second
	})
	var stuck []*wire.Command
	for i := range int64(100) {
		bad.seed(t, i+1)
		stuck = append(stuck, w.command("bad", i+1, 1, toInterviews))
	}
	w.send(stuck...)
	w.until("memory is full", func() bool { return counted(t, r.worker.cfg.Metrics.Spilled) > 0 })
	for i := range int64(10) {
		gh.seed(t, i+1)
		cmd := w.command("gh", i+1, 1, toInterviews)
		w.send(cmd)
		o := w.terminal(cmd.ID)
		wantOutcome(t, o, wire.OutcomeKindConfirmed, DetailNone)
		if took := o.FinishedAt - o.StartedAt; took > wire.Micros(4*time.Second/time.Microsecond) {
			t.Errorf("took %v beside a hanging system", time.Duration(took)*time.Microsecond)
		}
	}
	for _, cmd := range stuck {
		if o := w.terminal(cmd.ID); o.Outcome != wire.OutcomeKindDeferred {
			t.Errorf("%s: %s, want deferred", cmd.ID, o.Outcome)
		}
	}
}

// Scenario 11: An ATS takes eight calls at once
// Happens: The ATS has a cap on calls under way, and a bulk of commands comes in.
// Concord: Keeps to the cap per tenant, and every command ends: none is starved.
func TestConcurrencyCap(t *testing.T) {
	t.Parallel()
	const limit, commands = 3, 40
	w := newWorld(t)
	gh := w.systems["gh"]
	var inside, most atomic.Int32
	enter := func() func() {
		n := inside.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		return func() { inside.Add(-1) }
	}
	gh.client.onApply(func(_ context.Context, _ string, _, _ wire.Tuple, real func() error) error {
		defer enter()()
		return real()
	})
	gh.client.onRead(func(_ context.Context, _ string, real func() (ats.Reading, error)) (ats.Reading, error) {
		defer enter()()
		return real()
	})
	w.run(func(c *Config) {
		s := c.Systems["gh"]
		s.Concurrency = limit
		c.Systems["gh"], c.DeferAfter = s, time.Minute
	})
	var all []*wire.Command
	for i := range int64(commands) {
		gh.seed(t, i+1)
		all = append(all, w.command("gh", i+1, 1, toInterviews))
	}
	w.send(all...)
	for _, cmd := range all {
		wantOutcome(t, w.terminal(cmd.ID), wire.OutcomeKindConfirmed, DetailNone)
	}
	if n := most.Load(); n != limit {
		t.Errorf("%d calls at once, want %d", n, limit)
	}
}

// TestSpilledCommandsComeBack: more commands than fit in memory all end.
func TestSpilledCommandsComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	r := w.run(func(c *Config) { c.MaxQueued, c.MaxActive = 5, 3; c.DeferAfter = time.Minute })
	var all []*wire.Command
	for i := range int64(60) {
		gh.seed(t, i+1)
		all = append(all, w.command("gh", i+1, 1, wire.Tuple{Stage: "71416"}))
	}
	w.send(all...)
	for _, cmd := range all {
		wantOutcome(t, w.terminal(cmd.ID), wire.OutcomeKindAlready, DetailNone)
	}
	if counted(t, r.worker.cfg.Metrics.Spilled) == 0 {
		t.Error("nothing was spilled: the bound was not reached")
	}
}

// TestOneInFlightPerApplication: commands to one application never overlap at the ATS.
func TestOneInFlightPerApplication(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1)
	var inside, most atomic.Int32
	gh.client.onApply(func(_ context.Context, _ string, _, _ wire.Tuple, real func() error) error {
		if n := inside.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer inside.Add(-1)
		return real()
	})
	w.run(nil)
	stages := []string{"1004", "1005", "1002"}
	var last *wire.Command
	for i := range int64(9) {
		last = w.command("gh", 1, i+1, wire.Tuple{Stage: stages[i%3]})
		last.Expected = wire.Tuple{}
		w.send(last)
	}
	wantOutcome(t, w.terminal(last.ID), wire.OutcomeKindConfirmed, DetailNone)
	if most.Load() != 1 {
		t.Errorf("%d writes at once", most.Load())
	}
	a, _ := gh.sim.Application(1)
	if got := strconv.FormatInt(a.StageID, 10); got != last.Desired.Stage {
		t.Errorf("stage %s, want %s", got, last.Desired.Stage)
	}
	w.locked(func() {
		if !slices.IsSortedFunc(w.outcomes, func(a, b wire.Outcome) int { return int(a.Revision - b.Revision) }) {
			t.Error("outcomes are not in the order of revisions")
		}
	})
}
