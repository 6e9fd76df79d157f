package writeback

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/ratelimit"
	"github.com/concord-ats/concord/pkg/wire"
)

// With a backlog at least nine tenths of what the vendor documents are used, and never more than that. A vendor that counts
// by windows of many seconds does so by shorter ones here. One is too small for that.
func TestABacklogUsesTheLimit(t *testing.T) {
	t.Parallel()
	for _, d := range dialects {
		allowed := d.Limits()
		if allowed.Requests == 0 {
			continue // not published
		}
		t.Run(d.Name(), func(t *testing.T) {
			t.Parallel()
			for allowed.Window > 5*time.Second {
				allowed.Window /= 2
			}
			w := newWorld(t)
			sim, err := atssim.New(atssim.Config{Dialect: d, Seed: 1, RateLimit: allowed})
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(sim)
			t.Cleanup(server.Close)
			gh := &system{sim: sim, client: new(wrecker), dialect: d, url: server.URL}
			limit := ratelimit.Limit{Rate: allowed.Requests, Window: allowed.Window + max(allowed.Window/50, 50*time.Millisecond)}
			window := limit.Window
			if allowed.Burst > 0 {
				limit = ratelimit.Limit{Rate: 95 * allowed.Requests, Window: 100 * allowed.Window, Burst: allowed.Burst / 2}
			}
			meter := gh.metered(t, ratelimit.Config{Limit: limit})
			w.systems["gh"] = gh
			var cmds []*wire.Command
			for id := int64(1); id <= 150; id++ {
				gh.seed(t, id)
				desired := toInterviews
				desired.Elements = toScore.Elements
				cmds = append(cmds, w.command("gh", id, 1, desired))
			}
			w.send(cmds...)
			w.run(func(c *Config) {
				c.DeferAfter = time.Minute
				c.MaxActive = max(6, allowed.Requests/3) // so that commands come to their end one after the other
				s := c.Systems["gh"]
				s.Meter = meter
				c.Systems["gh"] = s
			})
			requests := func() (times []time.Time) {
				for _, e := range sim.Journal(0) {
					if e.Type == atssim.EntryRequest && e.Kind != "token" {
						times = append(times, e.Time)
					}
				}
				return times
			}
			var first time.Time
			w.until("requests are made", func() bool {
				if times := requests(); len(times) > 0 {
					first = times[0]
				}
				return !first.IsZero()
			})
			// Whole windows, from the second on: the first begins with what was saved up.
			from := first.Add(window)
			span := 6 * time.Second / window * window
			w.until("the windows are over", func() bool { return time.Since(from) > span })
			n := 0
			for _, at := range requests() {
				if !at.Before(from) && at.Before(from.Add(span)) {
					n++
				}
			}
			used := float64(n) / (float64(allowed.Requests) * span.Seconds() / allowed.Window.Seconds())
			t.Logf("%d requests in %v, %.0f %% of %d in %v", n, span, 100*used, allowed.Requests, allowed.Window)
			least := 0.9
			if d.Name() == "workable" {
				least = 0.7 // of ten in a window a write takes up to five at once: what is left over waits for the next
			}
			if over := sim.FaultState().OverLimit; used < least || over > 0 {
				t.Errorf("%.0f %% of the limit, and %d requests above it", 100*used, over)
			}
			w.until("commands come to their end, and not only to their first read", func() bool {
				confirmed := 0
				for _, c := range cmds {
					if found := w.terminals(c.ID); len(found) == 1 && found[0].Outcome == wire.OutcomeKindConfirmed {
						confirmed++
					}
				}
				return confirmed >= 3
			})
		})
	}
}
