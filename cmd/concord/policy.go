package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/concord-ats/concord/cmd/concord/config"
	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
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
	var instances []string
	for i := range a.cfg.ATS {
		instances = append(instances, a.cfg.ATS[i].Instance)
	}
	if len(a.cfg.Policy.Archives) == 0 {
		b, err := policy.Compile(policy.DefaultFor("greenhouse", instances...))
		if err != nil {
			return nil, fmt.Errorf("the built-in policy with the configured ats: %w", err)
		}
		return []*hiring.Bundle{b}, nil
	}
	signers, err := readSigners(a.cfg.Policy.Signers, a.cfg.Policy.Revoked)
	if err != nil {
		return nil, unfit("policy.signers", a.cfg.Policy.Signers, err)
	}
	var out []*hiring.Bundle
	for _, file := range a.cfg.Policy.Archives {
		b, err := openBundle(file, signers)
		if err != nil {
			return nil, unfit("policy.archives", file, err)
		}
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b *hiring.Bundle) int { return cmp.Compare(a.EffectiveAt, b.EffectiveAt) })
	for i := 1; i < len(out); i++ {
		if out[i].EffectiveAt == out[i-1].EffectiveAt {
			return nil, unfit("policy.archives", strings.Join(a.cfg.Policy.Archives, ","), errors.New("two bundles have one effective_from: give the later one a later time"))
		}
	}
	newest := out[len(out)-1]
	for i, name := range instances {
		if s, ok := newest.System(name); !ok || s.Mapping == nil {
			return nil, unfit(fmt.Sprintf("ats[%d].instance", i), name, errors.New("is no ATS of the policy's inventory: add it to bundle.yaml, systems, instances"))
		}
	}
	return out, nil
}

// openBundle reads, checks and verifies an archive.
func openBundle(file string, signers *policy.Signers) (*hiring.Bundle, error) {
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
	return p.Compile()
}

// unfit is a policy that cannot be used, as a fault of the configuration.
func unfit(key, value string, err error) error {
	return config.Faults{{Key: key, Value: value, Fix: err.Error()}}
}

// knownStage refuses a stage the newest policy does not have.
func (a *app) knownStage(stage string) error {
	bundles, err := a.bundles()
	if err != nil {
		return err
	}
	var names []string
	for _, s := range bundles[len(bundles)-1].Stages {
		names = append(names, string(s.Stage))
	}
	if !slices.Contains(names, stage) {
		return usage("--stage %s: give %s", stage, strings.Join(names, ", "))
	}
	return nil
}
