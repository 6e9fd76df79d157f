package reconciler

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/dedupe"
	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/wire"
)

// processor is the logic of one session. Owned by the session's goroutine.
type processor struct {
	cfg    *Config
	m      *metrics
	env    stream.Env
	reader *reader
	writer *writer

	grounds map[int32]*ground

	events []prepared // of the present poll
	next   int        // events[next] is handled next
	claims []dedupe.Claim
	claimI []int // claims[i] belongs to events[claimI[i]]
}

// prepared is one record of the present poll, decoded once.
type prepared struct {
	rec     *kgo.Record
	event   hiring.Event
	app     string
	verdict dedupe.Verdict
	policy  *activation // instead of an event
	err     error       // a stream.Poison, or retryable
}

func newProcessor(cfg *Config, m *metrics, env stream.Env) *processor {
	w := newWriter(cfg.Schemas)
	w.dev = cfg.Policies != nil && cfg.Policies.Dev()
	return &processor{
		cfg: cfg, m: m, env: env, reader: newReader(cfg.Schemas, cfg.Rules, env.Partitions), writer: w,
		grounds: map[int32]*ground{},
	}
}

// Assigned implements stream.Processor. What judges the partition is read, and told, before anything of it comes.
func (p *processor) Assigned(part *stream.Partition[*cell]) error {
	delete(p.grounds, part.Number()) // of an earlier time as its owner
	go func() {
		_ = part.Submit(part.Context(), func(tx *stream.Tx[*cell]) error { // refused only once the partition is gone
			_, err := p.ground(tx)
			return err
		})
	}()
	return nil
}

// Prepare decodes a poll and claims all its identities in one round trip.
func (p *processor) Prepare(ctx context.Context, recs []*kgo.Record) error {
	p.next = 0
	p.events, p.claims, p.claimI = p.events[:0], p.claims[:0], p.claimI[:0]
	p.events = slices.Grow(p.events, len(recs))[:len(recs)]
	p.claims, p.claimI = slices.Grow(p.claims, len(recs)), slices.Grow(p.claimI, len(recs))
	for i, rec := range recs {
		e := &p.events[i]
		*e = prepared{rec: rec}
		if e.policy, e.err = p.announced(ctx, rec); e.policy != nil || e.err != nil {
			continue
		}
		e.app, e.err = p.reader.read(ctx, rec, &e.event)
		if e.err != nil || p.cfg.Dedupe == nil {
			continue
		}
		p.claims = append(p.claims, dedupe.Claim{
			Identity: dedupe.Identity(e.event.Key),
			Owner: dedupe.Owner{
				Cluster: p.env.ClusterID, Group: p.env.Group, Topic: p.env.TopicIDs[rec.Topic],
				Partition: rec.Partition, Offset: rec.Offset, Digest: e.event.Digest,
			},
		})
		p.claimI = append(p.claimI, i)
	}
	if len(p.claims) == 0 {
		return nil
	}
	for i, res := range p.cfg.Dedupe.Claim(ctx, p.claims) {
		p.events[p.claimI[i]].verdict = res.Verdict
		p.m.byVerdict[res.Verdict].Inc()
	}
	return nil
}

// Handle decides one record.
func (p *processor) Handle(tx *stream.Tx[*cell], rec *kgo.Record) error {
	if p.next >= len(p.events) || p.events[p.next].rec != rec {
		return stream.Fatal(fmt.Errorf("record %s/%d@%d was not prepared", rec.Topic, rec.Partition, rec.Offset))
	}
	in := &p.events[p.next]
	p.next++
	if in.err != nil {
		return in.err
	}
	if in.policy != nil {
		return p.activate(tx, in.policy, rec)
	}
	g, err := p.ground(tx)
	if err != nil {
		return err
	}
	if err := fits(g.rules, &in.event); err != nil {
		return err
	}
	in.event.Claimed = in.verdict == dedupe.Other
	prior, err := p.state(tx, in.app)
	if err != nil {
		return err
	}
	if p.cfg.UnsafeDropOnSight && (in.verdict == dedupe.Other || in.verdict == dedupe.Mine) {
		was, err := p.writer.open(in.app, prior)
		if err != nil {
			return err
		}
		d := hiring.Decision{State: was, Reason: hiring.ReasonDuplicate, Now: hiring.Micros(tx.Now()), From: was.Canonical(), To: was.Canonical()}
		return p.writer.decision(tx, prior, prior, &in.event, &d, rec)
	}
	return p.decide(tx, g.rules, in.app, prior, &in.event, rec)
}

// Fire handles the due timer of an application.
func (p *processor) Fire(tx *stream.Tx[*cell], key string, _ int64) error {
	if hiring.Ours(key) {
		return p.sweep(tx)
	}
	g, err := p.ground(tx)
	if err != nil {
		return err
	}
	prior, err := p.state(tx, key)
	if err != nil {
		return err
	}
	return p.decide(tx, g.rules, key, prior, &hiring.Event{Type: hiring.EventTimer}, nil)
}

// Flush implements stream.Processor.
func (p *processor) Flush(*stream.Tx[*cell]) error { return nil }

func (p *processor) state(tx *stream.Tx[*cell], app string) (*cell, error) {
	c, ok, err := tx.Get(app)
	if err != nil {
		return nil, err
	}
	if !ok {
		return new(cell), nil
	}
	return c, nil
}

// decide runs the core and writes what it decided. rec is nil for a timer.
func (p *processor) decide(tx *stream.Tx[*cell], rules *hiring.Rules, app string, prior *cell, e *hiring.Event, rec *kgo.Record) error {
	was, err := p.writer.open(app, prior)
	if err != nil {
		return err
	}
	candidate, level, asking := was.Head.Candidate, levelOf(&was.Head), was.RefreshDue != 0 || was.RefreshOpen
	d, next := p.writer.decide(rules, was, prior, e, hiring.Micros(tx.Now()))
	if e.Type == hiring.EventRejudge && !d.Changed {
		return nil
	}
	if d.Reason == hiring.ReasonOversize {
		p.m.oversize.Inc()
	}
	if d.Changed {
		if err := tx.Put(app, next); err != nil {
			return err
		}
		if n := d.State.AbsorbedEarly - was.AbsorbedEarly; n > 0 {
			p.m.early.Add(float64(n))
		}
	}
	// Where the ATS is about to be asked a webhook has come, and a walk that is sooner than the answer proves none lost.
	if e.Type == hiring.EventSnapshot && e.Source == wire.SourcePoller && !asking && levelOf(&d.State.Head) != level {
		system := e.System
		tx.OnCommit(func() { p.m.drift.WithLabelValues(system).Inc() })
	}
	p.count(&d)
	if ce := p.cfg.Logger.Check(zap.DebugLevel, "decided"); ce != nil {
		ce.Write(zap.String("application", app), zap.String("reason", d.Reason.String()),
			zap.String("from", string(d.From)), zap.String("to", string(d.To)), zap.Int64("version", d.State.Version))
	}
	p.writer.links(tx, candidate, &d)
	return p.writer.decision(tx, prior, next, e, &d, rec)
}

// level is what an ATS shows of where an application stands.
type level struct {
	stage, reason string
	status        hiring.Status
}

func levelOf(h *hiring.Head) level { return level{h.LevelStage, h.LevelReason, h.LevelStatus} }

func (p *processor) count(d *hiring.Decision) {
	p.m.byReason[d.Reason].Inc()
	p.m.commands.Add(float64(len(d.Commands)))
	for i := range d.Incidents {
		p.m.incidents.WithLabelValues(d.Incidents[i].Kind.String(), d.Incidents[i].Change.String()).Inc()
	}
}
