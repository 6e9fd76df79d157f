package writeback

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ratelimit"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/wire"
)

// System is one ATS instance, a tenant.
type System struct {
	// Client speaks to it, and says what it is like whatever the policy. Required.
	Client ats.Client
	// Under returns how the system is spoken to under the policy of a command. A *[PolicyError] says that it cannot be known
	// now. Nil: with Client and Regions, under every policy. Safe for concurrent use.
	Under func(ctx context.Context, policy wire.Digest) (Voice, error)
	// Again returns the voice whose mapping an attempt was sent with, when its policy is not known any more; false for none.
	// Nil without Under.
	Again func(mapping wire.Digest) (Voice, bool)
	// Meter is of the rate limit shared between processes, and the client pays each of its requests from it; nil for none.
	Meter *ratelimit.Meter
	// Concurrency bounds the calls at once; 8 when 0, and never more than the client's capabilities publish.
	Concurrency int
	// Regions are the region codes whose applications alone are written here; nil for all. An application whose region
	// is not known is refused where it is not nil.
	Regions []string
}

// Voice is how a system is spoken to under one policy.
type Voice struct {
	Client ats.Client
	// Mapping is the digest of what the client calls things. Where it is the same, two policies call everything the same.
	Mapping wire.Digest
	// Regions are those of [System].
	Regions []string
	// Dated leaves out of a reading what cannot be said of the time it is stamped with, as the policy called it otherwise then.
	// It is for snapshots; nil leaves out nothing.
	Dated func(ats.Reading) ats.Reading
}

// PolicyError says that a command's policy cannot be used: it is not known, or not proven. Absent means that the topic
// policy has been read to its end and does not hold it: reading it again brings nothing until somebody publishes.
type PolicyError struct {
	Absent bool
	Err    error // says what to do
}

// Error implements error.
func (e *PolicyError) Error() string { return e.Err.Error() }

// Unwrap implements errors.Unwrap.
func (e *PolicyError) Unwrap() error { return e.Err }

// Config is what a [Worker] needs. Zero durations and counts take the default named beside the field.
type Config struct {
	// Stream is the runtime: brokers, transactional id, store, sessions, clock, logger. Group defaults to
	// "concord-writeback", SessionTimeout to 10 s. Topics and the dead-letter function are set here.
	Stream stream.Config
	// Schemas reads and writes record values. Required.
	Schemas *wire.Schemas
	// Systems are the ATS instances by name, the part of an application id before the slash. Required.
	Systems map[string]System
	// Source is the CloudEvents source of what the worker publishes ("concord://writeback").
	Source string
	// Metrics may be nil; see [NewMetrics].
	Metrics *Metrics

	// MaxQueued bounds the commands in memory a partition, the newest of each application (1,000). The
	// others stay in the state store.
	MaxQueued int
	// MaxActive bounds the applications worked on at once for one system (256), which never take more than its part of
	// MaxQueued. Most of them wait for a commit or for the read lag; System.Concurrency bounds the calls.
	MaxActive int
	// DeferAfter is how long a command waits before it is given back as deferred (30 s), DeferFor how long
	// it then stays away, at least (10 s).
	DeferAfter, DeferFor time.Duration
	// Recheck is the pause after which a command that has not ended is looked at, doubled after the first time (2 s).
	Recheck time.Duration
	// MaxSends bounds the sends of one command (5).
	MaxSends int
	// MaxArmings bounds the sends of one revision whose effect could not be established (3).
	MaxArmings int
	// Backoff and MaxBackoff bound the pause between tries (250 ms, 30 s). It doubles, with jitter.
	Backoff, MaxBackoff time.Duration
	// RepeatEvery is after how long without any call one may repeat a failed one although too many do (1 s).
	RepeatEvery time.Duration
	// ReadLag is how long a read may show the state before a write, for a client that declares none (5 s).
	ReadLag time.Duration
	// ReadTimeout and WriteTimeout bound one call (10 s, 5 s). A write ends before the partition can have
	// been given to another worker, less Margin (1 s), in any case.
	ReadTimeout, WriteTimeout, Margin time.Duration
	// OwnerWait is how long a new owner of a partition waits before its first call (the session timeout).
	OwnerWait time.Duration
	// ParkAfter is after how many failures in a row a system is parked (5); refused credentials park it at
	// once. It is probed again after ProbeFirst (1 s), doubling to ProbeMax (60 s).
	ParkAfter            int
	ProbeFirst, ProbeMax time.Duration
	// Remember is how long the newest revision of an application is known after its command has ended, so
	// that an old command replayed from the dead letters is dropped (30 days).
	Remember time.Duration
	// DrainTimeout bounds the wait for calls in flight when Run's context ends (8 s).
	DrainTimeout time.Duration

	// UnsafeTrustResponse takes a 2xx answer to a write for its confirmation. It breaks the worker on
	// purpose, to prove that an audit notices.
	UnsafeTrustResponse bool
}

func (c *Config) setDefaults() {
	duration := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	count := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	duration(&c.Stream.SessionTimeout, 10*time.Second)
	count(&c.MaxQueued, 1000)
	count(&c.MaxActive, 256)
	duration(&c.DeferAfter, 30*time.Second)
	duration(&c.DeferFor, 10*time.Second)
	duration(&c.Recheck, 2*time.Second)
	count(&c.MaxSends, 5)
	count(&c.MaxArmings, 3)
	duration(&c.Backoff, 250*time.Millisecond)
	duration(&c.MaxBackoff, 30*time.Second)
	duration(&c.RepeatEvery, time.Second)
	duration(&c.ReadLag, 5*time.Second)
	duration(&c.ReadTimeout, 10*time.Second)
	duration(&c.WriteTimeout, 5*time.Second)
	duration(&c.Margin, min(time.Second, c.Stream.SessionTimeout/4))
	duration(&c.OwnerWait, c.Stream.SessionTimeout)
	count(&c.ParkAfter, 5)
	duration(&c.ProbeFirst, time.Second)
	duration(&c.ProbeMax, time.Minute)
	duration(&c.Remember, 30*24*time.Hour)
	duration(&c.DrainTimeout, 8*time.Second)
	if c.Source == "" {
		c.Source = "concord://writeback"
	}
	if c.Stream.Group == "" {
		c.Stream.Group = "concord-writeback"
	}
	if c.Stream.Clock == nil {
		c.Stream.Clock = time.Now
	}
	if c.Stream.Logger == nil {
		c.Stream.Logger = zap.NewNop()
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics()
	}
}

// validate joins every fault of the configuration, defaults being set.
func (c *Config) validate() error {
	var errs []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	fault(c.Schemas == nil, "schemas are nil")
	fault(len(c.Systems) == 0, "systems are empty")
	for _, name := range slices.Sorted(maps.Keys(c.Systems)) {
		fault(name == "", "a system has no name")
		fault(c.Systems[name].Client == nil, "system %q has no client", name)
		fault((c.Systems[name].Under == nil) != (c.Systems[name].Again == nil), "system %q has one of under and again", name)
		fault(c.Systems[name].Concurrency < 0, "system %q: concurrency is negative", name)
	}
	fault(c.MaxQueued < 0, "max queued %d is negative", c.MaxQueued)
	fault(c.MaxActive < 0, "max active %d is negative", c.MaxActive)
	fault(c.MaxSends < 0, "max sends %d is negative", c.MaxSends)
	fault(c.MaxArmings < 0, "max armings %d is negative", c.MaxArmings)
	fault(c.Margin >= c.Stream.SessionTimeout, "margin %v is not below the session timeout %v: no write would ever start", c.Margin, c.Stream.SessionTimeout)
	return errors.Join(errs...)
}
