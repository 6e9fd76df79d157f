package writeback

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/stream"
)

type (
	tx        = stream.Tx[*State]
	partition = stream.Partition[*State]
)

// part is the memory of one owned partition. It belongs to the session's goroutine, except where a field says
// otherwise; jobs reach it through transactions only.
type part struct {
	w       *Worker
	p       *partition
	ctx     context.Context // ends when the partition is lost
	soft    context.Context // ends then, and when the worker drains
	openAt  time.Time       // no call before
	open    bool
	entries map[string]*entry
	count   map[*tenant]int // of entries
	held    []*entry        // wait for open, in order
	// spilled are applications whose command had no room, oldest first; when there are too many of them, their
	// timers bring them back later. Refill asks the guard to take them up.
	spilled []string
	refill  chan struct{}
}

// entry is one application in memory.
type entry struct {
	part    *part
	key     string
	tenant  *tenant
	since   int64       // waits since, in microseconds
	started atomic.Bool // a job has it
	// cur is the newest committed state; jobs read it.
	cur atomic.Pointer[State]
}

// final reports whether what is worked on or waits is a closing command.
func (e *entry) final() bool {
	switch s := e.cur.Load(); {
	case s == nil:
		return false
	case s.Attempt != nil:
		return s.Attempt.Command.Closing
	default:
		return s.Apply != nil && s.Apply.Command.Closing
	}
}

// put writes the state of an application and, once committed, shows it to whoever works on it.
func (p *part) put(t *tx, key string, s *State) error {
	if err := t.Put(key, s); err != nil {
		return err
	}
	t.OnCommit(func() {
		if e := p.entries[key]; e != nil {
			e.cur.Store(s)
		}
	})
	return nil
}

// admit takes an application with work into memory, when there is room. The bound is one for the partition; a
// system that has none of its own queue left over takes the place of the youngest of the longest queue.
func (p *part) admit(t *tenant, key string, s *State) {
	if e := p.entries[key]; e != nil || p.ctx.Err() != nil {
		return
	}
	if len(p.entries) >= p.w.cfg.MaxQueued && !p.makeRoom(t) {
		p.spill(key)
		return
	}
	e := &entry{part: p, key: key, tenant: t}
	p.entries[key] = e
	p.count[t]++
	p.enqueue(e, s)
}

func (p *part) enqueue(e *entry, s *State) {
	e.cur.Store(s)
	e.since = s.waiting()
	if e.since == 0 && s.Attempt != nil {
		e.since = s.Attempt.Since
	}
	if !p.open {
		p.held = append(p.held, e)
		return
	}
	e.started.Store(false)
	e.tenant.enqueue(e)
}

// remove takes an entry out of memory.
func (p *part) remove(e *entry) {
	delete(p.entries, e.key)
	p.count[e.tenant]--
	if len(p.spilled) > 0 && 2*len(p.entries) <= p.w.cfg.MaxQueued {
		select {
		case p.refill <- struct{}{}:
		default: // asked already
		}
	}
}

// spill notes an application whose command stays in the state store only.
func (p *part) spill(key string) {
	p.w.cfg.Metrics.Spilled.Inc()
	if len(p.spilled) < spillFactor*p.w.cfg.MaxQueued {
		p.spilled = append(p.spilled, key)
	}
}

// spillFactor bounds the keys kept of spilled commands, as a multiple of the commands in memory.
const spillFactor = 10

// unspill takes spilled commands up while there is room.
func (p *part) unspill(t *tx) error {
	for len(p.spilled) > 0 && len(p.entries) < p.w.cfg.MaxQueued {
		key := p.spilled[0]
		p.spilled = p.spilled[1:]
		s, _, err := t.Get(key)
		if err != nil {
			return err
		}
		system, _, _ := strings.Cut(key, "/")
		if tenant := p.w.byName[system]; tenant != nil && s != nil && !s.idle() && (s.Attempt != nil || s.waiting() <= t.Now()) {
			p.admit(tenant, key, s)
		}
	}
	return nil
}

// makeRoom spills the youngest waiting entry of the system with the most of them, if that is not t itself.
func (p *part) makeRoom(t *tenant) bool {
	var longest *tenant
	for _, other := range p.w.tenants {
		if longest == nil || p.count[other] > p.count[longest] {
			longest = other
		}
	}
	if longest == t || p.count[longest] <= p.count[t]+1 {
		return false
	}
	victim := longest.youngest(p)
	for i := len(p.held) - 1; victim == nil && i >= 0; i-- {
		if p.held[i].tenant == longest {
			victim = p.held[i]
		}
	}
	if victim == nil || !p.forget(victim) {
		return false
	}
	p.spill(victim.key)
	return true
}

// forget takes an entry that no job has out of memory; false means that one has it.
func (p *part) forget(e *entry) bool {
	for i, h := range p.held {
		if h == e {
			p.held = append(p.held[:i], p.held[i+1:]...)
			p.remove(e)
			return true
		}
	}
	if !e.tenant.remove(e) {
		return false
	}
	p.remove(e)
	return true
}

// settle is called when a job has ended its work on an entry: it goes to the end of the queue when there is more
// to do, and out of memory otherwise.
func (p *part) settle(e *entry, s *State, now int64) {
	if p.entries[e.key] != e {
		return
	}
	if s == nil || s.idle() || s.Attempt == nil && s.waiting() > now {
		p.remove(e)
		return
	}
	p.enqueue(e, s)
}

// letIn starts the partition's work: it has read its commands to the end seen at its assignment, and the
// previous owner's last call has ended.
func (p *part) letIn() {
	if p.open {
		return
	}
	p.open = true
	held := p.held
	p.held = nil
	for _, e := range held {
		e.tenant.enqueue(e)
	}
}

// guard waits until the partition may work, lets it in, and cleans up after it. It runs in a goroutine of its own.
func (p *part) guard() {
	defer p.w.guards.Done()
	const look = 20 * time.Millisecond
	timer := time.NewTimer(max(0, p.openAt.Sub(p.w.now())))
	defer timer.Stop()
	for waiting := true; waiting; {
		select {
		case <-p.ctx.Done():
			p.cleanUp()
			return
		case <-timer.C:
			waiting = !p.p.CaughtUp() || p.w.now().Before(p.openAt)
			timer.Reset(look)
		}
	}
	p.submit(func(*tx) error { p.letIn(); return nil })
	for {
		select {
		case <-p.ctx.Done():
			p.cleanUp()
			return
		case <-p.refill:
			p.submit(p.unspill)
		}
	}
}

// submit hands fn to the session; what it is for is moot once the partition is gone.
func (p *part) submit(fn func(*tx) error) {
	if err := p.p.Submit(p.ctx, fn); err != nil && p.ctx.Err() == nil {
		p.w.log.Error("partition is stuck", zap.Int32("partition", p.p.Number()), zap.Error(err))
	}
}

func (p *part) cleanUp() {
	for _, t := range p.w.tenants {
		t.drop(p)
	}
}

// writeBy is until when a write must have ended: before the group can have given the partition away.
func (p *part) writeBy() time.Time { return p.p.OwnedUntil().Add(-p.w.cfg.Margin) }
