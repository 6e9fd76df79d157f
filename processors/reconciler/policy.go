package reconciler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/policylog"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/wire"
)

const (
	// sweepKeys is how many applications are judged anew in one step, about, and sweepPause how long the partition then goes about its
	// other work.
	sweepKeys  = 250
	sweepPause = 20 * time.Millisecond
)

// ground is what a partition judges by: the configured bundles, and those its record in hiring.state says were activated.
// Owned by the session's goroutine.
type ground struct {
	key   string
	cell  *cell // what the rules were made of
	all   *hiring.Rules
	rules *hiring.Rules // all, as it stands now
	until hiring.Micros // when another bundle comes into force; 0 = none
	state wire.HiringState
}

// ground returns what the partition of a call judges by at its time. After an abort the record is another cell, and so are
// the rules.
func (p *processor) ground(tx *stream.Tx[*cell]) (*ground, error) {
	num := tx.Partition().Number()
	g := p.grounds[num]
	if g == nil {
		g = &ground{key: policylog.PartitionKey(num)}
		p.grounds[num] = g
	}
	c, ok, err := tx.Get(g.key)
	if err != nil {
		return nil, err
	}
	if !ok {
		c = &unset
	}
	now := hiring.Micros(tx.Now())
	switch {
	case g.cell != c:
		if err := p.load(tx.Partition().Context(), g, c); err != nil {
			return nil, err
		}
	case g.until == 0 || now < g.until:
		return g, nil
	}
	g.rules, g.until = g.all.On(now), g.all.Changes(now)
	p.m.policy.judges(num, tx.Partition().Context(), g.rules)
	return g, nil
}

// unset is the record of a partition in which nothing was activated.
var unset cell

// load makes the rules of a partition from its record. A bundle in force that cannot be read holds the partition back: no
// decision could be right without it.
func (p *processor) load(ctx context.Context, g *ground, c *cell) error {
	var s wire.HiringState
	rules := p.cfg.Rules
	if c.value != "" {
		if err := p.cfg.Schemas.DecodeLocal([]byte(c.value), &s); err != nil {
			return fmt.Errorf("policy of %s: %w", g.key, err)
		}
	}
	if s.Policy != nil {
		if p.cfg.Policies == nil {
			return stream.Fatal(errors.New("published policies are in force, and this process was not told where to read them"))
		}
		for _, in := range s.Policy.Bundles {
			b, err := p.cfg.Policies.Text(ctx, hiring.Digest(in.Policy))
			if err != nil {
				return err
			}
			rules = rules.Activate(b, hiring.Micros(in.EffectiveAt))
		}
	}
	g.cell, g.all, g.state = c, rules, s
	return nil
}

// activation is an announcement, with what came of proving its bundle.
type activation struct {
	control wire.Control
	bundle  *hiring.Bundle
	refused *policylog.Refused
}

// announced returns the activation in a record, or nil for any other record. The error is retryable.
func (p *processor) announced(ctx context.Context, rec *kgo.Record) (*activation, error) {
	if rec.Topic != TopicControl || !hiring.Ours(string(rec.Key)) {
		return nil, nil
	}
	a := new(activation)
	if err := p.cfg.Schemas.Decode(ctx, rec.Value, &a.control); err != nil {
		return nil, classify(err)
	}
	c := &a.control
	switch {
	case c.Type != policylog.Activate:
		return nil, poison(wire.CauseUnsupportedType, "only "+policylog.Activate+" concerns a partition")
	case c.ID == "" || c.Source == "":
		return nil, poison(wire.CauseNoIdentity, "id or source is empty")
	case c.ApplicationID != policylog.PartitionKey(rec.Partition) || string(rec.Key) != c.ApplicationID:
		return nil, poison(wire.CauseWrongPartition, "an activation is for the partition it names")
	case p.cfg.Policies == nil:
		a.refused = &policylog.Refused{Cause: policylog.CauseNoKeys, Err: errors.New("this process takes no published policies")}
		return a, nil
	}
	var err error
	if a.bundle, err = p.cfg.Policies.Take(ctx, c, rec.Timestamp, p.clock()); !errors.As(err, &a.refused) && err != nil {
		return nil, err
	}
	return a, nil
}

func (p *processor) clock() time.Time {
	if p.cfg.Stream.Clock != nil {
		return p.cfg.Stream.Clock()
	}
	return time.Now()
}

// activate takes a bundle up, or refuses it, and writes which.
func (p *processor) activate(tx *stream.Tx[*cell], a *activation, rec *kgo.Record) error {
	g, err := p.ground(tx)
	if err != nil {
		return err
	}
	c, now := &a.control, hiring.Micros(tx.Now())
	next := wire.PartitionPolicy{}
	if g.state.Policy != nil {
		next = *g.state.Policy
	}
	again := slices.ContainsFunc(next.Bundles, func(in wire.ActiveBundle) bool { return policylog.Activated(in, c) })
	if a.refused == nil && !again {
		a.refused = policylog.Crowded(scheduled(p.cfg.Rules, &next, now))
	}
	d := wire.Decision{
		Version: g.state.Version, EventSource: c.Source, EventID: c.ID, EventType: c.Type, Topic: rec.Topic, Partition: rec.Partition, Offset: rec.Offset,
		Reason: wire.ReasonPolicyRefused, EffectiveAt: c.EffectiveAt, StateBefore: g.cell.digest, StateAfter: g.cell.digest,
	}
	if a.refused != nil {
		d.Policy, d.Detail = shortDigest(c.Policy), string(a.refused.Cause)
		p.m.policy.refused.WithLabelValues(d.Detail).Inc()
		p.cfg.Logger.Error("a published policy is refused; what was in force stays", zap.Int32("partition", rec.Partition), zap.String("policy", c.Policy),
			zap.String("cause", d.Detail), zap.Error(a.refused.Err))
		return p.note(tx, g, &d)
	}
	d.Policy = wire.Digest(a.bundle.Digest)
	at := max(hiring.Micros(c.EffectiveAt), a.bundle.EffectiveAt, now+1)
	if again {
		d.Reason, d.Disposition = wire.ReasonDuplicate, wire.DispositionDuplicate
		return p.note(tx, g, &d)
	}
	i := len(next.Bundles)
	for i > 0 && hiring.Micros(next.Bundles[i-1].EffectiveAt) > at {
		i--
	}
	next.Bundles = slices.Insert(slices.Clone(next.Bundles), i, wire.ActiveBundle{Policy: d.Policy, EffectiveAt: wire.Micros(at), Activation: policylog.Activation(c)})
	next.Bundles = next.Bundles[max(0, len(next.Bundles)-hiring.MaxBundles):]
	d.Reason, d.EffectiveAt = wire.ReasonPolicyActivated, wire.Micros(at)
	p.cfg.Logger.Info("a published policy is taken up", zap.Int32("partition", rec.Partition), zap.String("policy", c.Policy), zap.Time("effective_at", at.Time()))
	return p.keep(tx, g, &next, &d)
}

// scheduled is how many bundles come into force after a time, of those configured and those in the record of a partition.
func scheduled(configured *hiring.Rules, record *wire.PartitionPolicy, now hiring.Micros) (n int) {
	for _, b := range configured.Bundles {
		if b.EffectiveAt > now {
			n++
		}
	}
	for _, b := range record.Bundles {
		if hiring.Micros(b.EffectiveAt) > now {
			n++
		}
	}
	return n
}

// keep writes the record of a partition, and the decision that changed it.
func (p *processor) keep(tx *stream.Tx[*cell], g *ground, next *wire.PartitionPolicy, d *wire.Decision) error {
	now := wire.Micros(tx.Now())
	s := wire.HiringState{ApplicationID: g.key, System: hiring.ControlSystem, Version: g.state.Version + 1, UpdatedAt: now, Policy: next, NextDue: due(next, now)}
	value := p.cfg.Schemas.Append(nil, &s)
	c := &cell{value: string(value), digest: digestOf(value), due: hiring.Micros(s.NextDue)}
	if err := tx.Put(g.key, c); err != nil {
		return err
	}
	d.Version, d.StateAfter = s.Version, c.digest
	return p.note(tx, g, d)
}

// due is when a partition judges its applications anew: at the next bundle they have not been judged by, or soon, while it is
// at it.
func due(s *wire.PartitionPolicy, now wire.Micros) wire.Micros {
	if s.SweepTo != 0 {
		return now + wire.Micros(sweepPause.Microseconds())
	}
	for _, b := range s.Bundles {
		if b.EffectiveAt > s.SweptUntil {
			return max(b.EffectiveAt, now+1)
		}
	}
	return 0
}

// note writes a decision about the policy of a partition.
func (p *processor) note(tx *stream.Tx[*cell], g *ground, d *wire.Decision) error {
	d.ApplicationID, d.System, d.Now, d.Dev = g.key, hiring.ControlSystem, wire.Micros(tx.Now()), p.dev()
	p.m.byReason[d.Reason].Inc()
	p.writer.produce(tx, TopicDecisions, g.key, d)
	return nil
}

func (p *processor) dev() bool { return p.cfg.Policies != nil && p.cfg.Policies.Dev() }

// sweep judges the next share of the applications of the partition anew, as a bundle has come into force. What changes nothing is not
// written.
func (p *processor) sweep(tx *stream.Tx[*cell]) error {
	g, err := p.ground(tx)
	if err != nil {
		return err
	}
	if g.state.Policy == nil {
		return fmt.Errorf("%s has a timer and no policy", g.key)
	}
	next, now := *g.state.Policy, wire.Micros(tx.Now())
	if next.SweepTo == 0 {
		next.SweepPart, next.SweepParts = 0, int32(1+tx.Partition().Len()/sweepKeys)
		for _, b := range next.Bundles {
			if b.EffectiveAt <= now {
				next.SweepTo = b.EffectiveAt
			}
		}
	}
	keys, err := tx.Keys(int(next.SweepPart), int(next.SweepParts))
	if err != nil {
		return err
	}
	for _, app := range keys {
		if hiring.Ours(app) {
			continue
		}
		prior, err := p.state(tx, app)
		if err != nil {
			return err
		}
		if err := p.decide(tx, g.rules, app, prior, &hiring.Event{Type: hiring.EventRejudge}, nil); err != nil {
			return err
		}
	}
	d := wire.Decision{
		Reason: wire.ReasonRejudged, Disposition: wire.DispositionTimer, EventType: hiring.EventRejudge.String(), Offset: -1,
		Policy: wire.Digest(g.rules.At(hiring.Micros(next.SweepTo)).Digest), EffectiveAt: next.SweepTo, StateBefore: g.cell.digest,
	}
	if next.SweepPart++; next.SweepPart >= next.SweepParts {
		next.SweptUntil, next.SweepTo, next.SweepPart, next.SweepParts = next.SweepTo, 0, 0, 0
	}
	return p.keep(tx, g, &next, &d)
}

// shortDigest is the digest of decisions, of one in hex; zero for a text that is none.
func shortDigest(text string) (out wire.Digest) {
	var full policy.Digest
	if full.UnmarshalText([]byte(text)) == nil {
		copy(out[:], full[:])
	}
	return out
}
