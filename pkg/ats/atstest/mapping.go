package atstest

import (
	"fmt"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/policy"
)

// GreenhouseMapping is what the built-in policy calls the fields and reasons of a Greenhouse instance, which are those of
// the simulator.
func GreenhouseMapping(instance string) ats.Mapping {
	p, err := policy.Parse(policy.DefaultFor(map[string][]string{"greenhouse": {instance}}))
	if err != nil {
		panic(fmt.Sprintf("atstest: %v", err)) // it is part of the program
	}
	m, err := p.Translation(instance)
	if err != nil {
		panic(fmt.Sprintf("atstest: %v", err))
	}
	return m
}
