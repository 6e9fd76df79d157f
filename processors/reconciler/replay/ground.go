package replay

import (
	"context"
	"errors"
	"fmt"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/wire"
)

// ground is what a partition judged by: the configured bundles, and those its decisions say were activated, each from its own
// time on. Nothing else in the log tells.
type ground struct {
	r     *run
	all   *hiring.Rules
	until hiring.Micros // when another bundle comes into force; 0 = none
	fresh bool          // the engines do not judge by it yet
}

func (r *run) ground() *ground { return &ground{r: r, all: r.cfg.Rules, fresh: true} }

var errNowhere = errors.New("nobody said where published policies are")

// take reads a decision about the policy of the partition.
func (g *ground) take(ctx context.Context, d *wire.Decision) error {
	if d.Reason != wire.ReasonPolicyActivated {
		return nil
	}
	b, err := (*hiring.Bundle)(nil), errNowhere
	if g.r.cfg.Published != nil {
		b, err = g.r.cfg.Published(ctx, hiring.Digest(d.Policy))
	}
	if err != nil {
		return fmt.Errorf("replay: policy sha256:%s…, activated in %s: %w", d.Policy, d.ApplicationID, err)
	}
	g.all, g.fresh = g.all.Activate(b, hiring.Micros(d.EffectiveAt)), true
	g.r.report.recorded(d.Policy)
	return nil
}

// turns reports whether another bundle holds at a time than the one the lives are judged by.
func (g *ground) turns(now hiring.Micros) bool { return g.fresh || g.until != 0 && now >= g.until }

// on makes both lives be judged by what holds at a time.
func (g *ground) on(now hiring.Micros) {
	j := &g.r.judge
	j.engine.Use(g.all.On(now))
	if j.other != nil {
		j.other.Use(Rules(g.all, g.r.cfg.Other, g.r.cfg.Since))
	}
	g.until, g.fresh = g.all.Changes(now), false
}
