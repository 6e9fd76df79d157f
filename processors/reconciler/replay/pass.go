package replay

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/reconciler"
)

// pass reads one partition for the applications whose hash lies in [low, high].
type pass struct {
	r         *run
	partition int
	low, high uint64
	only      map[string]*[]Moment // when set, these applications alone, with their timelines

	lives       map[string]*life
	waiting     map[string]int64 // applications without a beginning: the least version of a state to begin at
	checkpoints map[string]checkpoint
	bytes       int64
	until       hiring.Micros // newest clock of the partition
}

type checkpoint struct {
	state  *hiring.State
	digest wire.Digest
	size   int
}

// expansion is how many bytes a state takes in memory for each byte of its encoding, by estimate; two lives have two.
const expansion = 4

func hashOf(app string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(app)) // never fails
	return h.Sum64() * 0x9e3779b97f4a7c15
}

func (p *pass) keeps(app string) bool {
	if p.only != nil {
		_, ok := p.only[app]
		return ok
	}
	h := hashOf(app)
	return p.low <= h && h <= p.high
}

// grow accounts for memory; past the bound the upper half of the applications is left for another pass.
func (p *pass) grow(bytes int) {
	p.bytes += int64(bytes) * expansion
	for p.bytes > p.r.cfg.Memory && len(p.lives)+len(p.checkpoints) > 1 && p.high > p.low && p.only == nil {
		p.high = p.low + (p.high-p.low)/2
		outside := func(app string) bool { return !p.keeps(app) }
		maps.DeleteFunc(p.lives, func(app string, _ *life) bool { return outside(app) })
		maps.DeleteFunc(p.waiting, func(app string, _ int64) bool { return outside(app) })
		maps.DeleteFunc(p.checkpoints, func(app string, _ checkpoint) bool { return outside(app) })
		p.bytes = 0
		for _, l := range p.lives {
			p.bytes += int64(l.held()) * expansion
		}
		for _, c := range p.checkpoints {
			p.bytes += int64(c.size) * expansion
		}
	}
}

// held is the encoded size of the states of a life.
func (l *life) held() int {
	n := l.size + lifeBytes
	if l.is != nil {
		n += l.size
	}
	return n
}

// lifeBytes is what a life takes besides its states, in bytes before expansion.
const lifeBytes = 128

// run reads the partition, then again for the applications that begin at a checkpoint.
func (p *pass) run(ctx context.Context) error {
	p.lives, p.waiting, p.checkpoints = map[string]*life{}, map[string]int64{}, map[string]checkpoint{}
	if err := p.decisions(ctx, func(string) bool { return true }); err != nil {
		return err
	}
	if len(p.waiting) == 0 {
		return nil
	}
	if err := p.states(ctx); err != nil {
		return err
	}
	if len(p.checkpoints) == 0 {
		return nil
	}
	return p.decisions(ctx, func(app string) bool { _, ok := p.checkpoints[app]; return ok })
}

// decisions lives every recorded decision of the partition, in its order.
func (p *pass) decisions(ctx context.Context, want func(app string) bool) error {
	log := p.r.history.cursor(reconciler.TopicDecisions, p.partition)
	defer log.close()
	judged := p.r.ground()
	inputs := map[string]*cursor{}
	defer func() {
		for _, c := range inputs {
			c.close()
		}
	}()
	steps := &p.r.batch
	for {
		rec, err := log.next(ctx)
		if err != nil {
			return err
		}
		if rec == nil {
			p.live(steps)
			return nil
		}
		if rec.Offset%1024 == 0 {
			p.r.progress(p, rec.Offset)
		}
		app := string(rec.Key)
		if !hiring.Ours(app) && (!p.keeps(app) || !want(app)) {
			continue
		}
		s := steps.room()
		d := s.decision
		if err := p.r.cfg.Schemas.Decode(ctx, rec.Value, d); err != nil {
			return fmt.Errorf("replay: decision at %s/%d/%d: %w", rec.Topic, rec.Partition, rec.Offset, err)
		}
		p.until = max(p.until, hiring.Micros(d.Now))
		if hiring.Ours(app) {
			p.live(steps)
			if err := judged.take(ctx, d); err != nil {
				return err
			}
			continue
		}
		l := p.life(app, d)
		if l == nil || l.end != endNone {
			continue
		}
		s.event, s.offset = hiring.Event{Type: hiring.ParseEventType(d.EventType)}, rec.Offset
		if d.Topic != "" {
			c := inputs[d.Topic]
			if c == nil {
				c = p.r.history.cursor(d.Topic, int(d.Partition))
				inputs[d.Topic] = c
			}
			in, err := c.record(ctx, d.Offset)
			switch {
			case err != nil:
				return err
			case in == nil && len(p.checkpoints) == 0: // gone: begin again behind it
				p.bytes -= int64(l.held()) * expansion
				delete(p.lives, app)
				p.waiting[app] = d.Version
				continue
			case in == nil:
				s.unreadable = true
			default:
				_, err := p.r.judge.engine.Read(ctx, in, &s.event)
				s.unreadable = err != nil
			}
		}
		if now := hiring.Micros(d.Now); judged.turns(now) {
			p.live(steps)
			steps.again(s)
			judged.on(now)
		}
		if steps.add(l); steps.full() {
			p.live(steps)
		}
	}
}

// live lives the steps of a batch.
func (p *pass) live(steps *batch) {
	grown := 0
	steps.live(func(l *life, s *queued) {
		before := l.held()
		p.r.judge.step(l, &s.step)
		if l.fault != nil && l.fault.Decision == 0 {
			l.fault.Decision = s.offset
		}
		grown += l.held() - before
	})
	p.grow(grown)
}

// life returns the life that a decision continues; nil where it has not begun.
func (p *pass) life(app string, d *wire.Decision) *life {
	if l := p.lives[app]; l != nil {
		return l
	}
	l := newLife(app)
	c, found := p.checkpoints[app]
	least, waits := p.waiting[app]
	switch {
	case found && d.StateBefore != c.digest:
		return nil
	case found:
		l.was, l.digest, l.size = c.state, c.digest, c.size
		delete(p.waiting, app)
	case p.gone(d):
		p.waiting[app] = d.Version
		return nil
	case waits:
		return nil
	case !d.StateBefore.IsZero():
		p.waiting[app] = max(least, d.Version-1)
		return nil
	}
	if p.only != nil {
		l.trace = p.only[app]
	}
	l.begun = found
	p.lives[app] = l
	p.grow(l.held())
	return l
}

// gone reports whether the input of a decision is retained no more.
func (p *pass) gone(d *wire.Decision) bool {
	spans := p.r.history.spans[d.Topic]
	return d.Topic != "" && (int(d.Partition) >= len(spans) || d.Offset < spans[d.Partition].from)
}

// states finds, for each application that waits, the oldest state there is to begin at.
func (p *pass) states(ctx context.Context) error {
	log := p.r.history.cursor(reconciler.TopicState, p.partition)
	defer log.close()
	for {
		rec, err := log.next(ctx)
		if err != nil || rec == nil {
			return err
		}
		app := string(rec.Key)
		if hiring.Ours(app) {
			continue
		}
		least, waits := p.waiting[app]
		if _, found := p.checkpoints[app]; found || !waits || len(rec.Value) == 0 {
			continue
		}
		s, digest, err := p.r.judge.engine.Open(app, rec.Value)
		if err != nil {
			return fmt.Errorf("replay: state at %s/%d/%d: %w", rec.Topic, rec.Partition, rec.Offset, err)
		}
		if s.Version < least || s.Erased {
			continue
		}
		p.checkpoints[app] = checkpoint{s, digest, len(rec.Value)}
		p.grow(len(rec.Value))
	}
}

// apps are the applications of the pass in order.
func (p *pass) apps() []string { return slices.Sorted(maps.Keys(p.lives)) }

// next returns the range behind this one; ok is false when it was the last.
func (p *pass) next() (low, high uint64, ok bool) {
	if p.high == math.MaxUint64 {
		return 0, 0, false
	}
	width := p.high - p.low
	low = p.high + 1
	if high = low + width; high < low {
		high = math.MaxUint64
	}
	return low, high, true
}
