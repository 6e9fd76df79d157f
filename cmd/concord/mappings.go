package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/cmd/concord/config"
	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/policylog"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/writeback"
)

const (
	// followEvery is how often the topic policy is read on: many times in the minute between publishing and effect.
	followEvery = 5 * time.Second
	// rereadAfter is how long after a reading the topic is not read again for one more command of an unknown policy.
	rereadAfter = time.Second
)

// mappings are what the ATSs are called, by policy: each configured one, and each published one that this process's own keys
// prove. Who reads an ATS goes by the one in force at that moment, and waits where that is one it cannot prove; who writes to it by
// the one that made the command. A part of its own reads the topic on. Safe for concurrent use.
type mappings struct {
	log        *policylog.Log
	logger     *zap.Logger
	configured []*policy.Policy

	mu       sync.Mutex
	all      []policylog.Scheduled // configured and published, by when they come into force
	refused  []string              // in words, what is published and not taken
	trouble  string                // why the topic cannot be read
	readAt   time.Time
	meanings map[meaningKey]meaning
}

type meaningKey struct {
	policy   hiring.Digest
	instance string
}

// meaning is what one instance is called under one policy.
type meaning struct {
	ats.Mapping
	digest wire.Digest
	err    error
}

// heldError says that the policy in force cannot be proved here: what it calls things is not guessed.
type heldError struct{ policylog.Scheduled }

func (e *heldError) Error() string {
	return fmt.Sprintf("the policy in force, %x, cannot be proved: %v", e.Digest, e.Refused)
}

// takeUp reads what has been published until now, waiting for Kafka like every start, and makes a.mappings. Dir is where bundles are kept, empty for nowhere.
func (a *app) takeUp(ctx context.Context, schemas *wire.Schemas, dir string) error {
	opts, err := a.cfg.Kafka.Options()
	if err != nil {
		return err
	}
	configured, err := a.policies()
	if err != nil {
		return err
	}
	m := newMappings(a.policyLog(opts, schemas, dir), configured, a.log)
	read := func(ctx context.Context) error {
		err := m.log.Read(ctx) // what an earlier try has read is not read again
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			return fmt.Errorf("%w: %w", stream.ErrTopicsMissing, err)
		}
		return err
	}
	if err := a.retry(ctx, "kafka", read); err != nil {
		return refused(err)
	}
	m.update(nil)
	a.mappings = m
	a.health.doubt(m.doubts)
	return nil
}

func newMappings(log *policylog.Log, configured []*policy.Policy, logger *zap.Logger) *mappings {
	m := &mappings{log: log, logger: logger.Named("policy"), configured: configured, meanings: map[meaningKey]meaning{}}
	m.schedule(nil)
	return m
}

// Run implements processor: it reads the topic on.
func (m *mappings) Run(ctx context.Context) error { return m.log.Follow(ctx, followEvery, m.update) }

// Ready implements processor. What is in force goes on while the topic cannot be read; one in force that cannot be proved is waited for.
func (m *mappings) Ready() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.latest(time.Now()); s.Refused != nil {
		return []string{(&heldError{s}).Error()}
	}
	return nil
}

// latest is what is in force at a time, whether it can be proved or not. The caller holds mu.
func (m *mappings) latest(at time.Time) policylog.Scheduled {
	for _, s := range slices.Backward(m.all) {
		if !s.From.After(at) {
			return s
		}
	}
	return m.all[0]
}

// gauges tell, by system, whether the policy in force cannot be proved, so that the system is not read.
func (m *mappings) gauges(systems []config.ATS) (out []prometheus.Collector) {
	for _, system := range systems {
		out = append(out, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "concord_policy_unknown", Help: "1 while the system is not read, as the policy in force cannot be proved here.", ConstLabels: prometheus.Labels{"system": system.Instance},
		}, func() float64 {
			if held := (*heldError)(nil); errors.As(m.now(system.Instance, time.Now()).err, &held) {
				return 1
			}
			return 0
		}))
	}
	return out
}

// update takes in what has been read.
func (m *mappings) update(err error) {
	if err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.trouble == "" {
			m.logger.Warn("what is published is not known now; what an ATS calls its fields stays as it is", zap.Error(err))
		}
		m.trouble = err.Error()
		return
	}
	published, refused := m.log.Schedule(time.Now())
	for i, s := range published {
		if s.Refused != nil && i == len(published)-1 {
			refused = append(refused, fmt.Sprintf("policy %x cannot be proved here, and no ATS is read while it is in force, from %s on: %v", s.Digest, s.From.UTC().Format(time.RFC3339), s.Refused))
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Equal(refused, m.refused) {
		for _, why := range refused {
			m.logger.Error("a published policy is not taken up", zap.String("reason", why))
		}
	}
	m.refused, m.trouble, m.readAt = refused, "", time.Now()
	m.schedule(published)
}

// schedule puts the configured and the published policies in order. The first holds from ever on.
func (m *mappings) schedule(published []policylog.Scheduled) {
	m.all = nil
	for i, p := range m.configured {
		from := p.Bundle.EffectiveFrom.Time
		if i == 0 {
			from = time.Time{}
		}
		m.all = append(m.all, policylog.Scheduled{From: from, Digest: shortOf(p), Policy: p})
	}
	m.all = append(m.all, published...)
	slices.SortStableFunc(m.all, func(a, b policylog.Scheduled) int { return a.From.Compare(b.From) })
}

// doubts say in words which published policies are not taken up.
func (m *mappings) doubts() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := slices.Clone(m.refused)
	if m.trouble != "" {
		out = append(out, "what is published is not known: "+m.trouble)
	}
	return out
}

// now is what an instance is called at a moment: by the newest policy in force that knows it, else by the first to come. Where that one
// cannot be proved the error is a *heldError.
func (m *mappings) now(instance string, at time.Time) meaning {
	return m.called(instance, at, func(s policylog.Scheduled) (bool, error) {
		if s.Refused != nil && !s.From.After(at) {
			return false, &heldError{s}
		}
		return s.Refused == nil, nil
	})
}

// proved is now by what can be proved, whatever is in force: enough to make what speaks to an instance, and says how that wants to be
// spoken to. Nothing is read by it.
func (m *mappings) proved(instance string, at time.Time) meaning {
	return m.called(instance, at, func(s policylog.Scheduled) (bool, error) { return s.Refused == nil, nil })
}

// then is what an instance was called at a time gone by. A policy need not be proved for that: its digest says what it said.
func (m *mappings) then(instance string, at time.Time) meaning {
	return m.called(instance, at, func(s policylog.Scheduled) (bool, error) {
		if s.Policy == nil && !s.From.After(at) {
			return false, &heldError{s}
		}
		return s.Policy != nil, nil
	})
}

// called is what an instance is called at a moment by the policies that count; the first error ends the search.
func (m *mappings) called(instance string, at time.Time, counts func(policylog.Scheduled) (bool, error)) meaning {
	m.mu.Lock()
	defer m.mu.Unlock()
	var first meaning
	for _, s := range slices.Backward(m.all) {
		ok, err := counts(s)
		if err != nil {
			return meaning{err: err}
		}
		if !ok {
			continue
		}
		got := m.of(s.Policy, instance)
		if got.err != nil {
			if first.System == "" {
				first.err = got.err
			}
			continue
		}
		if first = got; !s.From.After(at) {
			break
		}
	}
	return first
}

// dated leaves out of a reading the elements that were kept in another field when the ATS last changed the record: what the field of
// now showed then is another fact than what the old one did, and both would be said of one moment. Once the record changes,
// they are read.
func (m *mappings) dated(instance string, r ats.Reading, now ats.Mapping) ats.Reading {
	if r.UpdatedAt.IsZero() {
		return r
	}
	then := m.then(instance, r.UpdatedAt)
	if then.err != nil || !slices.ContainsFunc(r.Tuple.Elements, func(e wire.Element) bool { return !sameField(then.Mapping, now, e.Name) }) {
		return r
	}
	r.Tuple.Elements = slices.DeleteFunc(slices.Clone(r.Tuple.Elements), func(e wire.Element) bool { return !sameField(then.Mapping, now, e.Name) })
	return r
}

func sameField(a, b ats.Mapping, element string) bool {
	of := func(m ats.Mapping) (out []ats.Field) {
		for _, f := range m.Fields {
			if f.Element == element {
				out = append(out, f)
			}
		}
		return out
	}
	return slices.Equal(of(a), of(b))
}

// newest is the policy in force, or the newest before it that can be proved.
func (m *mappings) newest(at time.Time) *policy.Policy {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range slices.Backward(m.all) {
		if s.Refused == nil && !s.From.After(at) {
			return s.Policy
		}
	}
	return m.all[0].Policy
}

// of is what an instance is called under a policy. The caller holds mu.
func (m *mappings) of(p *policy.Policy, instance string) meaning {
	key := meaningKey{shortOf(p), instance}
	got, ok := m.meanings[key]
	if !ok {
		got.Mapping, got.err = p.Translation(instance)
		text, err := json.Marshal(got.Mapping)
		if err != nil {
			got.err = errors.Join(got.err, err)
		}
		sum := sha256.Sum256(text)
		copy(got.digest[:], sum[:])
		m.meanings[key] = got
	}
	return got
}

func shortOf(p *policy.Policy) hiring.Digest {
	full := p.Digest()
	return hiring.Digest(full[:16])
}

// under returns the policy of a digest: a configured one, or one that is published and proven. One that is not known makes the
// topic be read on. The error is a *writeback.PolicyError.
func (m *mappings) under(ctx context.Context, d hiring.Digest) (*policy.Policy, error) {
	for _, p := range m.configured {
		if shortOf(p) == d {
			return p, nil
		}
	}
	p, err := m.log.Taken(d, time.Now())
	if err == nil {
		return p, nil
	}
	m.mu.Lock()
	fresh := time.Since(m.readAt) < rereadAfter
	m.mu.Unlock()
	if !fresh {
		if err := m.log.Read(ctx); err != nil {
			return nil, &writeback.PolicyError{Err: err}
		}
		m.update(nil)
		if p, err = m.log.Taken(d, time.Now()); err == nil {
			return p, nil
		}
	}
	var refused *policylog.Refused
	if absent := errors.As(err, &refused) && refused.Cause == policylog.CauseUnknown; absent {
		return nil, &writeback.PolicyError{Absent: true, Err: fmt.Errorf("%w, and it is not configured here (%x): publish it again, or give this process the ats and policy.archives of the reconcilers", err, shortOf(m.configured[len(m.configured)-1]))}
	}
	return nil, &writeback.PolicyError{Err: err}
}

// known returns an instance's policy whose mapping has a digest; nil for none.
func (m *mappings) known(instance string, mapping wire.Digest) *policy.Policy {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range slices.Backward(m.all) {
		if s.Refused != nil {
			continue
		}
		if got := m.of(s.Policy, instance); got.err == nil && got.digest == mapping {
			return s.Policy
		}
	}
	return nil
}

// tongues are what speaks to one instance, one for each mapping: clients, readers of webhooks. Safe for concurrent use.
type tongues[T any] struct {
	make func(ats.Mapping) (T, error)

	mu  sync.Mutex
	all map[wire.Digest]T
}

func newTongues[T any](make func(ats.Mapping) (T, error)) *tongues[T] {
	return &tongues[T]{make: make, all: map[wire.Digest]T{}}
}

// as returns what speaks as a mapping says.
func (t *tongues[T]) as(m meaning) (T, error) {
	if m.err != nil {
		var none T
		return none, m.err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	got, ok := t.all[m.digest]
	if !ok {
		var err error
		if got, err = t.make(m.Mapping); err != nil {
			return got, err
		}
		t.all[m.digest] = got
	}
	return got, nil
}
