package writeback

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/ratelimit"
	"github.com/concord-ats/concord/pkg/wire"
)

const (
	// backlog is how many commands wait: more than the limits let through in the time there is.
	backlog = 300
	// capability is how long the worker has to show what it can do. A machine that is busy with other things holds it up now and
	// then, so one good span is enough; a worker that leaves a part of the limit unused has none.
	capability = 40 * time.Second
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
			for allowed.Window > 3*time.Second {
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
			for id := int64(1); id <= backlog; id++ {
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
			const least = 0.9
			span := max(2, 6*time.Second/window) * window
			rate := float64(allowed.Requests) / allowed.Window.Seconds()
			var made, most int
			capable := false
			tick := time.NewTicker(200 * time.Millisecond)
			defer tick.Stop()
			for began := time.Now(); !capable && time.Since(began) < capability; <-tick.C {
				times := requests()
				made, most = len(times), mostWithin(span, window, times)
				capable = float64(most) >= least*rate*span.Seconds()
			}
			t.Logf("at most %d requests in %v, %.0f %% of %d in %v; %d in all", most, span, 100*float64(most)/(rate*span.Seconds()), allowed.Requests, allowed.Window, made)
			if !capable {
				t.Fatalf("no %v in %v has used %.0f %% of the limit", span, capability, 100*least)
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
			if over := sim.FaultState().OverLimit; over > 0 {
				t.Errorf("%d requests above the limit", over)
			}
		})
	}
}

// mostWithin counts the requests of the fullest span that begins with a request and is over. What was made in the first window
// is left out: it was saved up.
func mostWithin(span, window time.Duration, times []time.Time) (most int) {
	now, end := time.Now(), 0
	for i, from := range times {
		if now.Sub(from) < span {
			break
		}
		for end < len(times) && times[end].Before(from.Add(span)) {
			end++
		}
		if from.Sub(times[0]) >= window {
			most = max(most, end-i)
		}
	}
	return most
}
