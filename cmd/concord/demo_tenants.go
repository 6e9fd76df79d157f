package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/concord-ats/concord/cmd/concord/config"
	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/world"
)

// demoTenant is one simulated ATS of the demo.
type demoTenant struct {
	demoSystem
	dialect  atssim.Dialect
	limit    atssim.RateLimit // none for one that stands alone
	listener net.Listener
	url      string // of its API
	hook     string // where its webhooks go
	sim      *atssim.Server
	walks    walks
}

// demoHaste is how many times the documented rate a tenant among several allows, as the demo puts days into seconds.
const demoHaste = 40

// demoSystem is how the built-in policy knows an instance, and what its webhooks tell.
type demoSystem struct {
	system string
	kind   string // of the adapter, where it is not the dialect's name
	hints  bool   // see [world.Instance]
	silent bool   // of some changes they tell nothing: the poller finds those
}

// demoSystems are the instances of the demo, by dialect.
var demoSystems = map[string]demoSystem{
	"greenhouse": {system: "gh-main"}, "lever": {system: "lever-main", hints: true}, "ashby": {system: "ashby-main"},
	"workable": {system: "workable-main", hints: true, silent: true}, "smartrecruiters": {system: "sr-main", hints: true},
	"inhouse": {system: "inhouse-main", kind: "generic"},
}

// demoDialects names the dialects that are simulated and mapped, in the simulator's order.
func demoDialects() []string {
	var names []string
	for _, d := range atssim.Dialects() {
		if _, ok := demoSystems[d.Name()]; ok {
			names = append(names, d.Name())
		}
	}
	return names
}

func newDemoTenants(names []string) ([]*demoTenant, error) {
	var out []*demoTenant
	for i, name := range names {
		dialect, err := atssim.DialectNamed(name)
		as, ok := demoSystems[name]
		if err != nil || !ok || slices.Contains(names[:i], name) {
			return nil, usage("--dialects %s: give some of %s, each once", strings.Join(names, ","), strings.Join(demoDialects(), ","))
		}
		t := &demoTenant{demoSystem: as, dialect: dialect}
		t.kind = cmp.Or(t.kind, name)
		if len(names) > 1 {
			t.limit = dialect.Limits()
			t.limit.Requests *= demoHaste
			t.limit.Burst *= demoHaste
		}
		out = append(out, t)
	}
	if len(out) == 0 {
		return nil, usage("--dialects: give some of %s", strings.Join(demoDialects(), ","))
	}
	return out, nil
}

// config is how the processors are told of it.
func (t *demoTenant) config() config.ATS {
	c := config.ATS{
		Instance: t.system, Kind: t.kind, ClientID: "concord", ClientSecret: config.Secret(demoSecret), UserID: "1f395d", WebhookSecrets: config.Secrets{demoSecret},
		ReadLag: 120 * time.Millisecond,
	}
	if t.limit.Requests == 0 {
		c.Rate, c.Burst = 5000, 5000
	}
	return c
}

// rate is what a tenant allows instead of what its vendor publishes.
func (d *demo) rate(system string, published ats.Rate) ats.Rate {
	for _, t := range d.tenants {
		if l := t.limit; t.system == system && l.Requests > 0 {
			published.Requests, published.Window, published.Burst = l.Requests, l.Window, l.Burst
		}
	}
	return published
}

// instance is how the world is told of it.
func (t *demoTenant) instance() world.Instance {
	return world.Instance{
		System: t.system, Dialect: t.dialect.Name(), Hints: t.hints,
		Spell: func(k world.IDKind, n int64) string { return t.dialect.Spell(atssim.Kind(k), n) },
	}
}

// listen gives every tenant its address.
func (d *demo) listen() error {
	for i, t := range d.tenants {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return errors.Join(fmt.Errorf("demo: %w", err), d.unlisten())
		}
		t.listener, t.url = listener, "http://"+listener.Addr().String()
		d.a.cfg.ATS[i].URL = t.url
	}
	return nil
}

func (d *demo) unlisten() (err error) {
	for _, t := range d.tenants {
		if t.listener != nil {
			err = errors.Join(err, t.listener.Close())
		}
	}
	return err
}

// simulate serves every tenant until the returned function is called.
func (d *demo) simulate(ctx context.Context) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, len(d.tenants))
	for _, t := range d.tenants {
		go func() { ended <- t.sim.Serve(ctx, t.listener) }()
	}
	return func() (err error) {
		cancel()
		for range d.tenants {
			err = errors.Join(err, <-ended)
		}
		return err
	}
}

// limited counts the requests that were refused for the rate, as a fault.
func (d *demo) limited() (n uint64) {
	for _, t := range d.tenants {
		n += t.sim.FaultState().Fired[atssim.FaultRateLimited]
	}
	return n
}

// undelivered counts the webhooks on their way, and the ATSs with a change that only the poller will tell of.
func (d *demo) undelivered() (n int) {
	for _, t := range d.tenants {
		s := t.sim.Stats()
		if n += s.Webhooks.Pending; t.silent && !t.walks.told(s.Changed) {
			n++
		}
	}
	return n
}
