package policy

import "github.com/concord-ats/concord/pkg/strict"

// Fault is one thing that is wrong, or will be, at one place.
type Fault = strict.Fault

// Faults is everything that is wrong with a bundle, in the order of the files.
type Faults = strict.Faults
