package writeback

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/ratelimit"
	"github.com/concord-ats/concord/pkg/wire"
)

// In a storm, in which all requests fail, at most a fifth of them repeat a failed one, also once everything has been asked for;
// and when it is over all the commands that are asked for again go through.
func TestFewRequestsRepeatInAStorm(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]atssim.Fault{
		"429": atssim.FaultRateLimitedBare, "500": atssim.FaultServerErrorBefore,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			gh := w.systems["gh"]
			gh.faults(t, atssim.Rates{fault: 1})
			const commands = 400
			var cmds []*wire.Command
			for id := int64(1); id <= commands; id++ {
				gh.seed(t, id)
				cmds = append(cmds, w.command("gh", id, 1, toInterviews))
			}
			w.send(cmds...)
			w.run(func(c *Config) {
				c.RepeatEvery, c.DeferAfter, c.MaxActive, c.ParkAfter, c.MaxBackoff = 500*time.Millisecond, patience, 400, 10_000, 20*time.Millisecond
			})
			w.until("every command has been tried", func() bool { requests, repeats := gh.repeats(); return requests-repeats == commands })
			tried := time.Now()
			w.until("nothing but repeats is left to ask for", func() bool { return time.Since(tried) > 3*time.Second })
			requests, repeats := gh.repeats()
			t.Logf("%d requests, %d of them again", requests, repeats)
			if repeats*5 > requests || repeats == 0 {
				t.Errorf("%d of %d requests repeat a failed one", repeats, requests)
			}
			gh.faults(t, nil)
			for len(cmds) > 0 { // as the reconciler asks again for what was deferred
				var again []*wire.Command
				w.until("every command has ended", func() bool {
					again = again[:0]
					for _, c := range cmds {
						found := w.terminals(c.ID)
						if len(found) == 0 {
							return false
						}
						if next := *c; found[0].Outcome == wire.OutcomeKindDeferred {
							next.ID += "+"
							again = append(again, &next)
						}
					}
					return true
				})
				cmds = again
				w.send(cmds...)
			}
		})
	}
}

// repeats counts the requests of the journal, and those that repeat a failed one.
func (s *system) repeats() (requests, repeats int) {
	type asked struct {
		application int64
		kind        string
	}
	failed := map[asked]bool{}
	for _, e := range s.sim.Journal(0) {
		if e.Type != atssim.EntryRequest || e.Kind == "token" {
			continue
		}
		this := asked{e.Application, e.Kind}
		if requests++; failed[this] {
			repeats++
		}
		failed[this] = e.Status == 0 || e.Status == http.StatusTooManyRequests || e.Status >= http.StatusInternalServerError
	}
	return requests, repeats
}

// A tenant that is blocked for good, whether it refuses or hangs, and has more commands than there is room for, does not
// slow another one: with the other at its limit, one run with it blocked takes at most a tenth longer than one with it idle.
func TestABlockedTenantSlowsNobody(t *testing.T) {
	t.Parallel()
	for name, block := range map[string]func(*testing.T, *system){
		"revoked": func(t *testing.T, s *system) {
			revoked := true
			if err := s.sim.SetFaults(atssim.FaultState{Revoked: &revoked}); err != nil {
				t.Fatal(err)
			}
		},
		"hanging": func(_ *testing.T, s *system) {
			s.client.onRead(func(ctx context.Context, _ string, _ func() (ats.Reading, error)) (ats.Reading, error) {
				return ats.Reading{}, untilEnd(ctx)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "bad", "gh")
			bad, gh := w.systems["bad"], w.systems["gh"]
			meter := gh.metered(t, ratelimit.Config{Limit: ratelimit.Limit{Rate: 60, Window: time.Second, Burst: 4}})
			r := w.run(func(c *Config) {
				s := c.Systems["gh"]
				s.Meter = meter
				c.Systems["gh"] = s
				c.MaxQueued, c.DeferAfter, c.ReadTimeout = 100, 3*time.Minute, 2*time.Minute
			})
			next := int64(0)
			load := func() time.Duration {
				const commands = 50
				var cmds []*wire.Command
				for range commands {
					next++
					gh.seed(t, next)
					cmds = append(cmds, w.command("gh", next, 1, toInterviews))
				}
				began := time.Now()
				w.send(cmds...)
				for _, c := range cmds {
					wantOutcome(t, w.terminal(c.ID), wire.OutcomeKindConfirmed, DetailNone)
				}
				return time.Since(began)
			}
			load() // the first call of all takes longer
			free := load()
			block(t, bad)
			var stuck []*wire.Command
			for id := int64(1); id <= 400; id++ {
				bad.seed(t, id)
				stuck = append(stuck, w.command("bad", id, 1, toInterviews))
			}
			w.send(stuck...)
			w.until("there is no room for the blocked one's commands", func() bool { return counted(t, r.worker.cfg.Metrics.Spilled) > 0 })
			// A busy machine slows one run or another; a blocked tenant would slow them all.
			blocked := load()
			for began := time.Now(); blocked > free*11/10 && time.Since(began) < capability; {
				blocked = min(blocked, load())
			}
			t.Logf("%v free, %v with the other blocked", free, blocked)
			if blocked > free*11/10 {
				t.Errorf("%v with the other blocked, %v without: %.0f %% longer", blocked, free, 100*(blocked.Seconds()/free.Seconds()-1))
			}
		})
	}
}
