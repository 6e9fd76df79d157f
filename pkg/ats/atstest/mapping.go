package atstest

import (
	"fmt"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/policy"
)

// GreenhouseMapping is what a Greenhouse instance calls things by the built-in policy, which is what the simulator has.
func GreenhouseMapping(instance string) ats.Mapping { return Mapping("greenhouse", instance) }

// Mapping is what an instance of an ATS calls things by the built-in policy, which is what the simulator of its dialect
// has.
func Mapping(kind, instance string) ats.Mapping {
	p, err := policy.Parse(policy.DefaultFor(map[string][]string{kind: {instance}}, time.Time{}))
	if err == nil {
		var m ats.Mapping
		if m, err = p.Translation(instance); err == nil {
			return m
		}
	}
	panic(fmt.Sprintf("atstest: the built-in policy: %v", err))
}
