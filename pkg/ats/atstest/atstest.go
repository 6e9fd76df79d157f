// Package atstest is the one conformance suite of the ATS adapters: what every client has to keep, tried against
// the simulator's dialect of its vendor with faults. An adapter passes it from a test of its own package:
//
//	func TestConformance(t *testing.T) { atstest.Run(t, atstest.Adapter{…}) }
//
// so that `go test ./pkg/ats/... -run Conformance` names adapter and case. Each case is also run with clients that
// break its promise, and has to notice every one: a case that cannot fail proves nothing.
package atstest

import (
	"context"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
)

// Adapter is what the suite has to know of an adapter.
type Adapter struct {
	Dialect atssim.Dialect
	// New makes a client of the tenant that a simulator serves.
	New func(Tenant) (ats.Client, error)
	// Named is what an application's id says of the candidate and the job, each empty where it says nothing. Nil: it says
	// neither, as most ids.
	Named func(applicationID string) (candidate, job string)
}

// Tenant is the simulated tenant a client is for.
type Tenant struct {
	URL string
	// ClientID and Secret are its credential; the secret alone is the API key of a dialect without a client id.
	ClientID, Secret string
	// Mapping is what the tenant calls things, in the dialect's ids. A field has the simulator's key and number; an
	// adapter that knows fields by something else changes the keys.
	Mapping ats.Mapping
	// Now is the simulator's clock.
	Now func() time.Time
	// ReadLag is how long a read may lag here.
	ReadLag time.Duration
}

// T is what a case needs of a test.
type T interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
	Context() context.Context
}

// Run runs every case, and each again with every client that breaks its promise.
func Run(t *testing.T, a Adapter) {
	t.Run(a.Dialect.Name(), func(t *testing.T) {
		for _, c := range cases() {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, a, c, nil)
				c.run(r)
				r.met()
				for name, broken := range c.broken {
					if notices(t, a, c, broken) {
						continue
					}
					t.Errorf("the case does not notice a client that %s", name)
				}
			})
		}
	})
}

// testCase is one promise. Broken are clients that do not keep it, by what they do.
type testCase struct {
	name   string
	run    func(r *rig)
	sim    func(*atssim.Config)
	places map[string]string // regions of the policy, by the ATS's places
	broken map[string]broken
}

// broken bends a client. When says for which adapters it breaks the promise at all; nil for every one.
type broken struct {
	wrap func(ats.Client) ats.Client
	when func(*ats.Capabilities) bool
	// panics: it falls over, which is what the case has to notice. A panic of any other notices nothing.
	panics bool
}
