//go:build e2e && unix

package e2e

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// Every link between Concord and a service is slow, cut, half-open and slow to close, in turn and under load.
func TestNetworkFaults(t *testing.T) {
	t.Parallel()
	c := services(t)
	cfg := config{Applications: long(300, 1500)}
	n := newNetwork(t, c, 1, &cfg)
	r := newRun(t, cfg)
	r.up("gateway", 1)
	r.up("reconciler", 2)
	r.up("writeback", 2)
	r.up("kpi", 1)
	r.ready()

	type step struct {
		link, what string
		toxics     []toxic
		lasts      time.Duration
	}
	var steps []step
	// Kafka is half-open for longer than the session timeouts, so that the group gives the partitions away.
	for link, silence := range map[string]time.Duration{"kafka": 6 * time.Second, "redis": 2 * time.Second, "ats": 3 * time.Second} {
		steps = append(steps, step{link, "slow", slow, 2 * time.Second}, step{link, "cut", cut, 1500 * time.Millisecond},
			step{link, "half-open", halfOpen, silence}, step{link, "slow close", slowClose, 1500 * time.Millisecond})
	}
	slices.SortFunc(steps, func(a, b step) int { return strings.Compare(a.link+a.what, b.link+b.what) })
	rng := rand.New(rand.NewPCG(*seedFlag, 1))
	rng.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
	r.during(40*time.Second, func(ctx context.Context) error {
		for _, s := range steps {
			t.Logf("%s: %s", s.link, s.what)
			from := time.Now()
			if err := n.poison(s.link, s.toxics); err != nil {
				return err
			}
			if err := pause(ctx, s.lasts); err != nil {
				return err
			}
			n.heal(ctx)
			r.interrupt(from, time.Now().Add(15*time.Second))
			if err := pause(ctx, 500*time.Millisecond); err != nil {
				return err
			}
		}
		// The registry is asked at start, and for a schema that is not known yet.
		for _, toxics := range [][]toxic{slow, cut, halfOpen, slowClose} {
			if err := n.poison("registry", toxics); err != nil {
				return err
			}
			p := r.role("reconciler")[0]
			if _, err := p.kill(); err != nil {
				return err
			}
			if err := p.start(); err != nil {
				return err
			}
			if err := pause(ctx, time.Second); err != nil {
				return err
			}
			n.heal(ctx)
			if err := p.waitReady(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	r.finish()
}
