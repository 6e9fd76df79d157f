package writeback

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ratelimit"
	"github.com/concord-ats/concord/pkg/wire"
)

// TestReplacedWhileArmedIsNotSent: a command that is replaced after its attempt was committed, while it waits for its
// turn, is not sent either (rule C1).
func TestReplacedWhileArmedIsNotSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1)
	var tenant atomic.Pointer[tenant]
	pausing := make(chan struct{})
	gh.client.onRead(func(_ context.Context, _ string, real func() (ats.Reading, error)) (ats.Reading, error) {
		<-pausing
		if te := tenant.Swap(nil); te != nil { // after the first read the system asks for patience
			te.mu.Lock()
			te.paused = time.Now().Add(time.Hour)
			te.mu.Unlock()
		}
		return real()
	})
	r := w.run(nil)
	te := r.worker.byName["gh"]
	tenant.Store(te)
	close(pausing)
	reject, move := w.command("gh", 1, 1, toReject), w.command("gh", 1, 2, toInterviews)
	w.send(reject)
	w.until("the attempt is committed", func() bool {
		return len(w.outcomes) == 1 && w.outcomes[0].Outcome == wire.OutcomeKindAttempt
	})
	w.send(move)
	w.until("the newer one is taken up", func() bool {
		return counted(t, r.worker.cfg.Metrics.Commands.WithLabelValues("queued")) == 2
	})
	te.mu.Lock()
	te.paused = time.Time{}
	te.signal()
	te.mu.Unlock()
	wantOutcome(t, w.terminal(reject.ID), wire.OutcomeKindSuperseded, DetailNewer)
	wantOutcome(t, w.terminal(move.ID), wire.OutcomeKindConfirmed, DetailNone)
	if n := len(gh.mutations(1, "reject")); n != 0 {
		t.Errorf("%d rejections by a command that was replaced before it was sent", n)
	}
}

// TestNothingIsSentWithoutOwnership: no write begins where the partition is not held for long enough to end it (rule
// C5).
func TestNothingIsSentWithoutOwnership(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1)
	var calls atomic.Int32
	gh.client.onApply(func(_ context.Context, _ string, _, _ wire.Tuple, real func() error) error {
		calls.Add(1)
		return real()
	})
	w.run(func(c *Config) {
		// Half a second is held for certain, and a write takes a second.
		c.Stream.SessionTimeout, c.Margin, c.WriteTimeout = 10*time.Second, 9500*time.Millisecond, time.Second
		c.DeferAfter = 500 * time.Millisecond
	})
	cmd := w.command("gh", 1, 1, toInterviews)
	w.send(cmd)
	wantOutcome(t, w.terminal(cmd.ID), wire.OutcomeKindDeferred, DetailOwnership)
	if n := calls.Load(); n != 0 {
		t.Errorf("%d writes", n)
	}
}

// TestWriteEndsWithOwnership: a write may not take longer than the partition is held for certain, less the margin, nor
// than the time for one write (rule C5).
func TestWriteEndsWithOwnership(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name                             string
		session, margin, write, atLatest time.Duration
	}{
		{"ownership", 3 * time.Second, time.Second, time.Minute, 2 * time.Second},
		{"time for a write", 10 * time.Second, time.Second, 1500 * time.Millisecond, 1500 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			gh := w.systems["gh"]
			gh.seed(t, 1)
			left := make(chan time.Duration, 1)
			gh.client.onApply(func(ctx context.Context, _ string, _, _ wire.Tuple, real func() error) error {
				by, ok := ctx.Deadline()
				if !ok {
					t.Error("a write without a deadline")
				}
				left <- time.Until(by)
				return real()
			})
			w.run(func(c *Config) {
				c.Stream.SessionTimeout, c.Margin, c.WriteTimeout = test.session, test.margin, test.write
			})
			w.send(w.command("gh", 1, 1, toInterviews))
			if d := <-left; d > test.atLatest {
				t.Errorf("a write may take %v, want %v at most", d, test.atLatest)
			}
		})
	}
}

// TestBacklogIsReadBeforeTheFirstCall: after an assignment the commands are read to the end seen then before anything
// is done about the first of them, so that the newest alone of each application goes (rule C1).
func TestBacklogIsReadBeforeTheFirstCall(t *testing.T) {
	t.Parallel()
	const backlog = 60
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1)
	metrics := NewMetrics()
	gh.client.onRead(func(_ context.Context, _ string, real func() (ats.Reading, error)) (ats.Reading, error) {
		if n := counted(t, metrics.Commands.WithLabelValues("queued")); n != backlog {
			t.Errorf("a call after %v of %d commands", n, backlog)
		}
		return real()
	})
	var cmds []*wire.Command
	for revision := range int64(backlog - 1) {
		cmds = append(cmds, w.command("gh", 1, revision+1, toReject))
	}
	move := w.command("gh", 1, backlog, toInterviews)
	w.send(append(cmds, move)...)
	w.run(func(c *Config) { c.Metrics, c.Stream.MaxBatchRecords = metrics, 1 }) // a transaction for each
	wantOutcome(t, w.terminal(move.ID), wire.OutcomeKindConfirmed, DetailNone)
	if n := len(gh.mutations(1, "reject")); n != 0 {
		t.Errorf("%d rejections that were taken back", n)
	}
}

// TestPenaltyIsShared: what the ATS asked one process to wait, the others wait too.
func TestPenaltyIsShared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1)
	gh.client.onApply(func(context.Context, string, wire.Tuple, wire.Tuple, func() error) error {
		return &ats.Error{Class: ats.NotExecuted, Code: ats.CodeRateLimited, Op: "reject", Status: 429, RetryAfter: time.Minute}
	})
	server := miniredis.RunT(t)
	limiter := func() *ratelimit.Limiter {
		client := redis.NewClient(&redis.Options{Addr: net.JoinHostPort(server.Host(), server.Port())})
		t.Cleanup(func() { _ = client.Close() })
		l, err := ratelimit.New(client, ratelimit.Config{Limit: ratelimit.Limit{Rate: 1000, Window: time.Second, Burst: 1000}})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	here, elsewhere := limiter(), limiter()
	if wait, err := elsewhere.Take(t.Context(), "gh", 1); err != nil || wait != 0 {
		t.Fatalf("wait %v, %v before the penalty", wait, err)
	}
	w.run(func(c *Config) {
		s := c.Systems["gh"]
		s.Meter = here.Meter("gh")
		c.Systems["gh"] = s
	})
	cmd := w.command("gh", 1, 1, toReject)
	w.send(cmd)
	wantOutcome(t, w.terminal(cmd.ID), wire.OutcomeKindDeferred, Detail(ats.CodeRateLimited))
	wait, err := elsewhere.Take(t.Context(), "gh", 1)
	if err != nil || wait < 30*time.Second || wait > time.Minute {
		t.Errorf("another process waits %v (%v), want the rest of a minute", wait, err)
	}
	if elsewhere.Degraded() {
		t.Error("redis was not asked")
	}
}

// TestMemoryOfAPartitionIsBounded: at most W commands are in memory, and of the others at most so many keys (rule E4).
func TestMemoryOfAPartitionIsBounded(t *testing.T) {
	t.Parallel()
	const most = 4
	w := &Worker{cfg: Config{MaxQueued: most, Metrics: NewMetrics()}}
	te := &tenant{w: w, system: "gh"}
	w.tenants = []*tenant{te}
	p := &part{w: w, ctx: t.Context(), entries: make(map[string]*entry), count: make(map[*tenant]int), refill: make(chan struct{}, 1)}
	const commands = 3 * most * spillFactor
	for i := range commands {
		p.admit(te, fmt.Sprintf("gh/%d", i), &State{Apply: &Pending{Command: &wire.Command{ID: "c"}, Since: 1}})
	}
	if len(p.entries) != most || len(p.held) != most {
		t.Errorf("%d commands in memory, %d of them held, want %d", len(p.entries), len(p.held), most)
	}
	if want := most * spillFactor; len(p.spilled) != want {
		t.Errorf("%d keys of spilled commands, want %d", len(p.spilled), want)
	}
	if n := counted(t, w.cfg.Metrics.Spilled); n != commands-most {
		t.Errorf("%v spilled are counted, want %d", n, commands-most)
	}
}
