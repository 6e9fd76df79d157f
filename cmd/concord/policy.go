package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/cmd/concord/config"
	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/wire"
)

// rules are the policy under the configured bounds: the signed bundles of the configuration, each from its own time on,
// or the built-in one. Every process proves them by itself, and starts with none that does not hold.
func (a *app) rules() (*hiring.Rules, error) {
	bundles, err := a.bundles()
	if err != nil {
		return nil, err
	}
	r, c := &hiring.Rules{Bundles: bundles, Bounds: hiring.DefaultBounds()}, a.cfg.Reconciler
	r.Bounds.Horizon, r.Bounds.TailCap, r.Bounds.RingSize = c.Horizon, c.TailCap, c.RingSize
	r.Bounds.Grace, r.Bounds.Settle, r.Bounds.RefreshCoalesce = c.Grace, c.Settle, c.RefreshCoalescing
	return r, nil
}

func (a *app) bundles() ([]*hiring.Bundle, error) {
	policies, err := a.policies()
	if err != nil {
		return nil, err
	}
	out := make([]*hiring.Bundle, len(policies))
	for i, p := range policies {
		if out[i], err = p.Compile(); err != nil {
			return nil, fmt.Errorf("policy %s: %w", p.Digest(), err)
		}
	}
	return out, nil
}

// policies are the bundles by the time from which they hold. The newest knows every configured ATS.
func (a *app) policies() ([]*policy.Policy, error) {
	var instances []string
	for i := range a.cfg.ATS {
		instances = append(instances, a.cfg.ATS[i].Instance)
	}
	if len(a.cfg.Policy.Archives) == 0 {
		p, err := policy.Parse(policy.DefaultFor(a.builtIn()))
		if err != nil {
			return nil, fmt.Errorf("the built-in policy with the configured ats: %w", err)
		}
		return []*policy.Policy{p}, nil
	}
	signers, err := readSigners(a.cfg.Policy.Signers, a.cfg.Policy.Revoked)
	if err != nil {
		return nil, unfit("policy.signers", a.cfg.Policy.Signers, err)
	}
	var out []*policy.Policy
	for _, file := range a.cfg.Policy.Archives {
		p, err := openPolicy(file, signers)
		if err != nil {
			return nil, unfit("policy.archives", file, err)
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *policy.Policy) int {
		return a.Bundle.EffectiveFrom.Compare(b.Bundle.EffectiveFrom.Time)
	})
	for i := 1; i < len(out); i++ {
		if out[i].Bundle.EffectiveFrom.Equal(out[i-1].Bundle.EffectiveFrom.Time) {
			return nil, unfit("policy.archives", strings.Join(a.cfg.Policy.Archives, ","), errors.New("two bundles have one effective_from: give the later one a later time"))
		}
	}
	for i, name := range instances {
		if _, err := out[len(out)-1].Translation(name); err != nil {
			return nil, unfit(fmt.Sprintf("ats[%d].instance", i), name, err)
		}
	}
	return out, nil
}

// builtIn is where the built-in policy has the configured instances: with the ATS of their kind. Of a kind it does not
// have, only webhooks are read, whose meaning no mapping decides.
func (a *app) builtIn() map[string][]string {
	known, out := policy.DefaultATSs(), map[string][]string{}
	for _, tenant := range a.cfg.ATS {
		kind := tenant.Kind
		if !slices.Contains(known, kind) {
			kind = known[0]
		}
		out[kind] = append(out[kind], tenant.Instance)
	}
	return out
}

// openPolicy reads, checks and verifies an archive.
func openPolicy(file string, signers *policy.Signers) (*policy.Policy, error) {
	archive, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	p, signatures, err := policy.Unpack(archive)
	if err != nil {
		return nil, err
	}
	if err := p.Verify(signatures, signers, time.Now()); err != nil {
		return nil, err
	}
	if faults, _ := p.Check(time.Time{}); len(faults) > 0 {
		return nil, faults
	}
	return p, nil
}

// takeUp reads which published bundles are in force now, the newest last, each proved by this process's own keys file. Those of a
// time to come, and those published later, count at the next start.
func (a *app) takeUp(ctx context.Context, schemas *wire.Schemas) error {
	opts, err := a.cfg.Kafka.Options()
	if err != nil {
		return err
	}
	log := a.policyLog(opts, schemas)
	if err := log.Read(ctx); errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("%w: %w", stream.ErrTopicsMissing, err)
	} else if err != nil {
		return err
	}
	now := time.Now()
	_, activity := log.Published()
	slices.SortStableFunc(activity, func(a, b wire.Control) int { return cmp.Compare(a.EffectiveAt, b.EffectiveAt) })
	a.published = nil
	for i := range activity {
		c := &activity[i]
		var d policy.Digest
		if d.UnmarshalText([]byte(c.Policy)) != nil || c.EffectiveAt.Time().After(now) {
			continue
		}
		b := log.Find(hiring.Digest(d[:16]))
		if b == nil {
			continue
		}
		if err := log.Proven(hiring.Digest(d[:16]), now); err != nil {
			a.log.Error("a published policy is not taken up; what an ATS calls its fields stays as it was", zap.String("policy", c.Policy), zap.Error(err))
			continue
		}
		a.published = append(a.published, b.Policy)
	}
	return nil
}

// translation is what an ATS instance calls things: by the newest published policy that knows it, else by the configured one in
// force now that does, else by the first to come.
func (a *app) translation(instance string) (ats.Mapping, error) {
	for _, p := range slices.Backward(a.published) {
		if m, err := p.Translation(instance); err == nil {
			return m, nil
		}
	}
	policies, err := a.policies()
	if err != nil {
		return ats.Mapping{}, err
	}
	at := len(policies) - 1 // which knows every configured instance
	for i, now := at, time.Now(); i >= 0; i-- {
		if _, err := policies[i].Translation(instance); err == nil {
			if at = i; !policies[i].Bundle.EffectiveFrom.After(now) {
				break
			}
		}
	}
	return policies[at].Translation(instance)
}

// regionCodes are the codes of a region by the newest policy; nil for no region.
func (a *app) regionCodes(region, key string) ([]string, error) {
	if region == "" {
		return nil, nil
	}
	policies, err := a.policies()
	if err != nil {
		return nil, err
	}
	policies = append(policies, a.published...)
	r := policies[len(policies)-1].Bundle.Regions[region]
	if r == nil {
		return nil, config.Faults{{Key: key, Value: region, Fix: "is no region of the policy: name one of bundle.yaml, regions"}}
	}
	return r.Codes, nil
}

// unfit is a policy that cannot be used, as a fault of the configuration.
func unfit(key, value string, err error) error {
	return config.Faults{{Key: key, Value: value, Fix: err.Error()}}
}

// inForce is the newest policy in force: the one published last whose time has come, else the configured one.
func (a *app) inForce(ctx context.Context, r *reader) (*hiring.Bundle, error) {
	bundles, err := a.bundles()
	if err != nil {
		return nil, err
	}
	rules := &hiring.Rules{Bundles: bundles}
	log := a.policyLog(r.opts, r.schemas)
	if err := log.Read(ctx); err != nil {
		return nil, err
	}
	_, activity := log.Published()
	for i := range activity {
		var d policy.Digest
		if err := d.UnmarshalText([]byte(activity[i].Policy)); err != nil {
			continue
		}
		short := hiring.Digest(d[:16])
		if a.cfg.Policy.Signers != "" && log.Proven(short, time.Now()) != nil {
			continue // no reconciler with these keys has taken it up
		}
		if b := log.Find(short); b != nil {
			rules = rules.Activate(b.Compiled, hiring.Micros(activity[i].EffectiveAt))
		}
	}
	return rules.At(hiring.FromTime(time.Now())), nil
}
