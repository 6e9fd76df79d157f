package replay

import (
	"context"
	"errors"
	"math"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/reconciler"
)

// Config is what a replay needs.
type Config struct {
	Kafka   []kgo.Opt
	Schemas *wire.Schemas // whose ids are known
	// Rules are those the history was decided by: the configured bundles, and the bounds of the reconciler.
	Rules *hiring.Rules
	// Published returns a bundle that was activated, by the digest of decisions; needed where any was.
	Published func(context.Context, hiring.Digest) (*hiring.Bundle, error)
	// Other is judged instead of the newest of Rules from Since on; nil checks the record alone.
	Other *hiring.Bundle
	// Since is when Other takes effect; zero is with the oldest of Rules, in place of all of them.
	Since hiring.Micros
	// Memory bounds the states held, in bytes by estimate; 0 = 512 MiB.
	Memory int64
	// Examples is how many applications are shown with their timelines; 0 = none.
	Examples int
	// Progress, when set, is told how much of the log is read, from 0 to 1.
	Progress func(part float64)
}

// defaultMemory is the default of Config.Memory.
const defaultMemory = 512 << 20

// GCPercent is how much garbage a process that only replays should let gather, below its memory limit: nearly all a replay
// allocates is a state that the next event replaces.
const GCPercent = 1500

// listed is how many differences and faults a report lists; all are counted.
const listed = 10_000

// run is one replay.
type run struct {
	cfg     Config
	history *history
	judge   judge
	batch   batch
	report  *Report
}

// Run replays the whole history that is retained. It writes nothing.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if cfg.Rules == nil || len(cfg.Rules.Bundles) == 0 || cfg.Schemas == nil {
		return nil, errors.New("replay: rules and schemas are missing")
	}
	if cfg.Memory == 0 {
		cfg.Memory = defaultMemory
	}
	h, err := newHistory(ctx, cfg.Kafka)
	if err != nil {
		return nil, err
	}
	r := &run{cfg: cfg, history: h}
	if r.report, err = newReport(&cfg); err != nil {
		return nil, err
	}
	inputs := int32(len(h.spans[reconciler.TopicChanges]))
	r.judge = judge{engine: reconciler.NewEngine(cfg.Schemas, cfg.Rules, inputs), since: cfg.Since}
	if cfg.Other != nil {
		r.judge.other = reconciler.NewEngine(cfg.Schemas, Rules(cfg.Rules, cfg.Other, cfg.Since), inputs)
	}
	for partition := range h.partitions() {
		low, high, more := uint64(0), uint64(math.MaxUint64), true
		for more {
			p := &pass{r: r, partition: partition, low: low, high: high}
			if err := p.run(ctx); err != nil {
				return nil, err
			}
			if err := r.fold(p); err != nil {
				return nil, err
			}
			low, high, more = p.next()
		}
	}
	if err := r.report.close(); err != nil {
		return nil, err
	}
	return r.report, r.examples(ctx)
}

// Rules are the rules of a simulation: of what is on record what was in force before since, then other. With since zero
// other stands in the place of all, from the time of the oldest.
func Rules(recorded *hiring.Rules, other *hiring.Bundle, since hiring.Micros) *hiring.Rules {
	out := &hiring.Rules{Bounds: recorded.Bounds}
	if since == 0 {
		since = recorded.Bundles[0].EffectiveAt
	}
	for _, b := range recorded.Bundles {
		if b.EffectiveAt < since {
			out.Bundles = append(out.Bundles, b)
		}
	}
	at := *other
	at.EffectiveAt = since
	at.Variants = make([]hiring.Variant, len(other.Variants))
	for i, v := range other.Variants {
		b := *v.Bundle
		b.EffectiveAt = since
		at.Variants[i] = hiring.Variant{Selector: v.Selector, Bundle: &b}
	}
	out.Bundles = append(out.Bundles, &at)
	return out
}

func (r *run) progress(p *pass, offset int64) {
	if r.cfg.Progress == nil || p.only != nil {
		return
	}
	s := r.history.spans[reconciler.TopicDecisions][p.partition]
	read := float64(offset-s.from) / float64(max(1, s.to-s.from))
	done := float64(p.low) / math.MaxUint64
	width := float64(p.high-p.low) / math.MaxUint64
	r.cfg.Progress((float64(p.partition) + done + width*read) / float64(r.history.partitions()))
}

// fold adds what a pass found to the report.
func (r *run) fold(p *pass) error {
	for _, app := range p.apps() {
		l := p.lives[app]
		if err := r.report.add(l, r.judge.finish(l, p.until)); err != nil {
			return err
		}
	}
	r.report.Reads++
	r.report.NoBeginning += int64(len(p.waiting))
	r.report.until(p.until)
	return nil
}

// examples lives the most telling applications again, with their timelines.
func (r *run) examples(ctx context.Context) error {
	chosen := r.report.telling(r.cfg.Examples)
	byPartition := map[int]map[string]*[]Moment{}
	topic := kgo.StickyKeyPartitioner(nil).ForTopic("")
	for i := range chosen {
		e := &chosen[i]
		n := topic.Partition(&kgo.Record{Key: []byte(e.Application)}, r.history.partitions())
		if byPartition[n] == nil {
			byPartition[n] = map[string]*[]Moment{}
		}
		byPartition[n][e.Application] = &e.Timeline
	}
	for n, only := range byPartition {
		p := &pass{r: r, partition: n, high: math.MaxUint64, only: only}
		if err := p.run(ctx); err != nil {
			return err
		}
		for _, app := range p.apps() {
			r.judge.finish(p.lives[app], p.until)
		}
	}
	r.report.Examples = chosen
	return nil
}
