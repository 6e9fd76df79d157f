package writeback

import (
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ratelimit"
)

// A call whose time was over before its turn with the rate was not refused by the ATS; only what the ATS refuses has one call
// at a time tried.
func TestOnlyTheATSRefuses(t *testing.T) {
	t.Parallel()
	gh := gateOf()
	for _, c := range []struct {
		status, refusals int
	}{{0, 0}, {429, 1}} {
		g := &grant{t: gh}
		gh.slots <- struct{}{}
		g.done(t.Context(), &ats.Error{Class: ats.NotExecuted, Code: ats.CodeRateLimited, Status: c.status})
		if gh.refusals != c.refusals {
			t.Errorf("status %d: %d refusals, want %d", c.status, gh.refusals, c.refusals)
		}
	}
	gh.paused = time.Time{}
	g := &grant{t: gh}
	if _, _, why := gh.admit(g); why != DetailNone || !g.trial {
		t.Fatalf("no call is tried: %q", why)
	}
	select {
	case <-gh.withdraw(g):
		t.Error("who withdraws is told at once to ask again, and would never rest")
	default:
	}
}

// Of a day's last tenth a call that is no final takes nothing, a read-back neither; and no write goes out that could not be read
// back, nor those that are out already.
func TestWhatIsKeptOfADay(t *testing.T) {
	t.Parallel()
	l, err := ratelimit.New(nil, ratelimit.Config{Limit: ratelimit.Limit{Rate: 1, Window: time.Second}, Daily: 100})
	if err != nil {
		t.Fatal(err)
	}
	gh := gateOf()
	gh.w.cfg.Systems["gh"] = System{Meter: l.Meter("gh")}
	gh.reads = 2
	keeps := func(final bool, write, back, read int) {
		t.Helper()
		for r, want := range map[rank]int{rankWrite: write, rankReadBack: back, rankRead: read} {
			if got := gh.keep(r.of(final)); got != want {
				t.Errorf("final %v, rank %d: leaves %d, want %d", final, r, got, want)
			}
		}
	}
	keeps(true, 2, 0, 2)
	keeps(false, 12, 10, 12)
	final, other := gh.writes(true), gh.writes(false)
	keeps(true, 4, 0, 4)
	keeps(false, 14, 10, 14)
	final()
	other()
	keeps(false, 12, 10, 12)
}

// gateOf is a tenant without calls.
func gateOf() *tenant {
	cfg := Config{Systems: map[string]System{"gh": {}}}
	cfg.setDefaults()
	return &tenant{
		w: &Worker{cfg: cfg}, system: "gh", slots: make(chan struct{}, 1), changed: make(chan struct{}), unread: map[bool]int{},
		breaker: breaker{first: cfg.ProbeFirst, max: cfg.ProbeMax, limit: cfg.ParkAfter}, retries: budget{every: cfg.RepeatEvery},
	}
}

// While the first in line waits for the rate, one that needs less may ask, best rank first; not when all are held up.
func TestLine(t *testing.T) {
	t.Parallel()
	var l line
	turns := func(p *place) bool { _, ok := l.turn(p); return ok }
	write := l.join(rankWrite.of(false), 4)
	read, back, more := l.join(rankRead.of(false), 1), l.join(rankReadBack.of(false), 2), l.join(rankRead.of(false), 1)
	if !turns(write) || turns(back) || turns(read) {
		t.Error("not the write alone may ask")
	}
	l.refused(write, true)
	if !turns(write) || !turns(back) || turns(read) {
		t.Error("the read-back may not ask behind the write")
	}
	l.refused(back, true)
	if turns(back) || !turns(read) || turns(more) {
		t.Error("the read may not ask, which needs less than what was refused")
	}
	l.leave(read)
	if !turns(more) {
		t.Error("the next read may not ask when the one before has gone")
	}
	l.refused(more, false)
	if turns(more) {
		t.Error("a call may ask though all are held up")
	}
	l.refused(write, true)
	final := l.join(rankWrite.of(true), 3)
	if !turns(final) || turns(more) || turns(write) {
		t.Error("not the final alone may ask")
	}
}
