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

	"github.com/twmb/franz-go/pkg/kadm"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/cmd/concord/config"
	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/policylog"
	"github.com/concord-ats/concord/pkg/topics"
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
	if len(a.cfg.Policy.Archives) == 0 {
		return a.builtInPolicies()
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
	for i, tenant := range a.cfg.ATS {
		_, err := out[len(out)-1].Translation(tenant.Instance)
		if tenant.Kind == config.KindNone {
			if err = nil; !out[len(out)-1].NoATS(tenant.Instance) {
				err = errors.New("has an ATS by the policy, or is not in its inventory: add it to the instances of a system of kind none in bundle.yaml")
			}
		}
		if err != nil {
			return nil, unfit(fmt.Sprintf("ats[%d].instance", i), tenant.Instance, err)
		}
	}
	return out, nil
}

// builtInPolicies are the built-in policy, once for each time since which some instance has an ATS.
func (a *app) builtInPolicies() ([]*policy.Policy, error) {
	times := []time.Time{{}}
	for _, tenant := range a.cfg.ATS {
		times = append(times, tenant.Since)
	}
	slices.SortFunc(times, time.Time.Compare)
	times = slices.CompactFunc(times, time.Time.Equal)
	out := make([]*policy.Policy, len(times))
	for i, from := range times {
		var err error
		if out[i], err = policy.Parse(policy.DefaultFor(a.builtIn(from), from)); err != nil {
			return nil, fmt.Errorf("the built-in policy with the configured ats: %w", err)
		}
	}
	return out, nil
}

// builtIn is where the built-in policy has the configured instances from a time on: with the ATS of their kind, or with none.
// Of a kind it does not have, only webhooks are read, whose meaning no mapping decides.
func (a *app) builtIn(from time.Time) map[string][]string {
	known, out := append(policy.DefaultATSs(), config.KindNone), map[string][]string{}
	for _, tenant := range a.cfg.ATS {
		kind := tenant.Kind
		switch {
		case tenant.Since.After(from):
			kind = config.KindNone
		case !slices.Contains(known, kind):
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

// translation is what an ATS instance calls things by the configured policy: by the newest in force that knows it, else by the
// first to come.
func (a *app) translation(instance string) (ats.Mapping, error) {
	policies, err := a.policies()
	if err != nil {
		return ats.Mapping{}, err
	}
	got := newMappings(nil, policies, zap.NewNop()).now(instance, time.Now())
	return got.Mapping, got.err
}

// pinned checks that the region an ATS is pinned to is one of the newest policy in force, and that reads tell which an application
// is of: else nothing would be written.
func (a *app) pinned(tenant config.ATS, told bool, key string) error {
	if _, ok := regionCodes(a.mappings.newest(time.Now()), tenant.Region); !ok {
		return config.Faults{{Key: key, Value: tenant.Region, Fix: "is no region of the policy: name one of bundle.yaml, regions"}}
	}
	if tenant.Region == "" || told {
		return nil
	}
	return config.Faults{{Key: key, Value: tenant.Region, Fix: "leave it out, or say in the description where a record shows its region (record.region): without it nothing would be written"}}
}

// regionCodes are the codes of a region of a policy; nil for no region.
func regionCodes(p *policy.Policy, region string) (codes []string, ok bool) {
	if region == "" {
		return nil, true
	}
	r := p.Bundle.Regions[region]
	if r == nil {
		return nil, false
	}
	return r.Codes, true
}

// unfit is a policy that cannot be used, as a fault of the configuration.
func unfit(key, value string, err error) error {
	return config.Faults{{Key: key, Value: value, Fix: err.Error()}}
}

// partitionPolicy is what hiring.state says judges a partition beside the configured policy; nil for nothing. It is what the
// reconciler goes by itself.
func (r *reader) partitionPolicy(ctx context.Context, n int32, start, end kadm.ListedOffsets) (*wire.PartitionPolicy, error) {
	found, _, err := r.newestIn(ctx, topics.HiringState, n, start, end, policylog.PartitionKey(n), 1, 0)
	if err != nil || len(found) == 0 || len(found[0].Value) == 0 {
		return nil, err
	}
	var s wire.HiringState
	if err := r.schemas.Decode(ctx, found[0].Value, &s); err != nil {
		return nil, fmt.Errorf("policy of partition %d: %w", n, err)
	}
	return s.Policy, nil
}

// judging are the rules of an application's partition: the configured ones, and what was activated there, proven by the reconciler
// that took it up. Published are the latter, and partitions is how many there are.
func (a *app) judging(ctx context.Context, r *reader, application string) (rules *hiring.Rules, published []*policy.Policy, partitions int32, err error) {
	if rules, err = a.rules(); err != nil {
		return nil, nil, 0, err
	}
	start, end, err := r.bounds(ctx, topics.HiringState)
	if err != nil {
		return nil, nil, 0, err
	}
	partitions = int32(len(end[topics.HiringState]))
	log := a.policyLog(r.opts, r.schemas, "")
	if err := log.Read(ctx); err != nil {
		return nil, nil, 0, err
	}
	if bundles, activity := log.Published(); len(bundles)+len(activity) == 0 {
		return rules, nil, partitions, nil // or the whole state would be read for a record that is not there
	}
	n := partitionOf(topics.HiringState, application, int(partitions))
	active, err := r.partitionPolicy(ctx, n, start, end)
	if err != nil || active == nil {
		return rules, nil, partitions, err
	}
	for _, in := range active.Bundles {
		b, err := log.Text(ctx, hiring.Digest(in.Policy))
		if err != nil {
			return nil, nil, 0, fmt.Errorf("policy of partition %d: %w", n, err)
		}
		rules = rules.Activate(b, hiring.Micros(in.EffectiveAt))
		published = append(published, cmp.Or(log.Source(hiring.Digest(in.Policy)), log.Find(hiring.Digest(in.Policy)).Policy))
	}
	return rules, published, partitions, nil
}
