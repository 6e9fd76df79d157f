package writeback

import (
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/ratelimit"
	"github.com/concord-ats/concord/pkg/wire"
)

// Where the quota is short, rejections that came last are through while most of the moves before them still wait.
func TestFinalsComeFirstWhereTheQuotaIsShort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	const moves, finals = 40, 4
	for id := int64(1); id <= moves+finals; id++ {
		gh.seed(t, id)
	}
	meter := gh.metered(t, ratelimit.Config{Limit: ratelimit.Limit{Rate: 40, Window: time.Second, Burst: 4}})
	var cmds []*wire.Command
	for id := int64(1); id <= moves+finals; id++ {
		desired := toInterviews
		if id > moves {
			desired = toReject
		}
		cmds = append(cmds, w.command("gh", id, 1, desired))
	}
	w.send(cmds...)
	w.run(func(c *Config) {
		s := c.Systems["gh"]
		s.Meter = meter
		c.Systems["gh"] = s
		c.DeferAfter = time.Minute
	})
	confirmed := func(cmds []*wire.Command) (n int) {
		for _, c := range cmds {
			if found := w.terminals(c.ID); len(found) == 1 && found[0].Outcome == wire.OutcomeKindConfirmed {
				n++
			}
		}
		return n
	}
	w.until("every rejection is confirmed", func() bool { return confirmed(cmds[moves:]) == finals })
	w.locked(func() {
		if n := confirmed(cmds[:moves]); n > moves/2 {
			t.Errorf("%d of %d moves went before the last of %d rejections", n, moves, finals)
		}
	})
	w.until("every move is confirmed", func() bool { return confirmed(cmds[:moves]) == moves })
}

// The last of a day's quota is for finals: moves that do not fit before it come again another day, and a rejection that comes
// then is through at once.
func TestTheLastOfADayIsForFinals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	const moves, daily = 80, 150
	for id := int64(1); id <= moves+1; id++ {
		gh.seed(t, id)
	}
	began, noon := time.Now(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	meter := gh.metered(t, ratelimit.Config{
		Limit: ratelimit.Limit{Rate: 1000, Window: time.Second, Burst: 100}, Daily: daily, Now: func() time.Time { return noon.Add(time.Since(began)) },
	})
	var cmds []*wire.Command
	for id := int64(1); id <= moves; id++ {
		cmds = append(cmds, w.command("gh", id, 1, toInterviews))
	}
	w.send(cmds...)
	w.run(func(c *Config) {
		s := c.Systems["gh"]
		s.Meter, c.MaxActive = meter, 2 // what is read back is of the last, too
		c.Systems["gh"] = s
	})
	confirmed := 0
	w.until("every move is confirmed or deferred", func() bool {
		confirmed = 0
		for _, c := range cmds {
			found := w.terminals(c.ID)
			if len(found) == 0 {
				return false
			}
			if found[0].Outcome == wire.OutcomeKindConfirmed {
				confirmed++
			} else if o := found[0]; o.Outcome != wire.OutcomeKindDeferred || time.Duration(o.Until-o.FinishedAt)*time.Microsecond < 11*time.Hour {
				t.Fatalf("%s %s until %v, want the rest of the day", o.Outcome, o.Detail, o.Until)
			}
		}
		return true
	})
	if confirmed == 0 || confirmed == moves {
		t.Errorf("%d of %d moves are confirmed, want some", confirmed, moves)
	}
	final := w.command("gh", moves+1, 1, toReject)
	w.send(final)
	wantOutcome(t, w.terminal(final.ID), wire.OutcomeKindConfirmed, DetailNone)
}
