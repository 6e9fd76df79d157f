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
	meter := gh.metered(t, ratelimit.Limit{Rate: 40, Window: time.Second, Burst: 4})
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
