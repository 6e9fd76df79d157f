//go:build e2e && unix

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// memoryBound is what a process may hold: the configured cache and 256 MiB.
const memoryBound = (64 + 256) << 20

// Kafka, Redis and the ATS go away one after the other, under load, for longer than the session timeouts. Meanwhile /readyz
// says which, no process spins or swells, and when they are back all go on without a restart.
func TestOutages(t *testing.T) {
	t.Parallel()
	cfg := config{Applications: long(250, 1000), Sets: []string{"writeback.defer_after=3s"}} // commands are deferred, too
	n := newNetwork(t, services(t), 1, &cfg)
	r := newRun(t, cfg)
	r.up("gateway", 1)
	r.up("reconciler", 1)
	r.up("writeback", 1)
	r.up("kpi", 1)
	r.ready()
	r.during(40*time.Second, func(ctx context.Context) error {
		for _, o := range []outage{
			{link: "kafka", lasts: long(14*time.Second, 40*time.Second), says: "kafka", roles: []string{"gateway", "reconciler", "writeback", "kpi"}, stops: true, cpu: 0.25},
			{link: "redis", lasts: long(5*time.Second, 20*time.Second), says: "redis", roles: []string{"reconciler", "writeback"}, cpu: 0.8},
			{link: "ats", lasts: long(8*time.Second, 40*time.Second), says: system + " is parked", roles: []string{"writeback"}, cpu: 0.8},
		} {
			if err := pause(ctx, 3*time.Second); err != nil {
				return err
			}
			if err := r.outage(ctx, n, o); err != nil {
				return fmt.Errorf("without %s: %w", o.link, err)
			}
		}
		return nil
	})
	r.finish()
}

// outage is a service that is away for a while, and what must be seen of it.
type outage struct {
	link  string
	lasts time.Duration
	says  string   // in /readyz, of
	roles []string // these
	stops bool     // they are not ready meanwhile
	cpu   float64  // cores a process may use
}

func (r *run) outage(ctx context.Context, n *network, o outage) error {
	from := time.Now()
	before := make(map[*process]time.Duration)
	for _, p := range r.procs {
		_, cpu, err := p.usage()
		if err != nil {
			return err
		}
		before[p] = cpu
	}
	n.away(o.link)
	for _, p := range r.procs {
		if !slices.Contains(o.roles, p.role) {
			continue
		}
		var last string
		if err := eventually(ctx, o.lasts+30*time.Second, func() bool {
			ready, err := p.readyz(ctx)
			last = fmt.Sprint(ready, " ", err)
			return err == nil && ready.Ready != o.stops && strings.Contains(strings.ToLower(ready.String()), o.says)
		}); err != nil {
			return fmt.Errorf("/readyz of %s does not say so: %s: %w", p.name, last, err)
		}
		r.t.Logf("without %s, %s says after %s: %s", o.link, p.name, time.Since(from).Round(100*time.Millisecond), last)
	}
	if err := pause(ctx, time.Until(from.Add(o.lasts))); err != nil {
		return err
	}
	away := time.Since(from)
	for _, p := range r.procs {
		rss, cpu, err := p.usage()
		if err != nil {
			return err
		}
		used := float64(cpu-before[p]) / float64(away)
		r.t.Logf("without %s for %s, %s used %.2f cores and holds %d MiB", o.link, away.Round(100*time.Millisecond), p.name, used, rss>>20)
		if used > o.cpu || rss > memoryBound {
			r.t.Errorf("without %s, %s used %.2f cores and holds %d MiB: want at most %.2f and %d", o.link, p.name, used, rss>>20, o.cpu, memoryBound>>20)
		}
	}
	if err := n.back(o.link); err != nil {
		return err
	}
	r.interrupt(from, time.Now().Add(20*time.Second))
	for _, p := range r.procs {
		if err := p.waitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}
