package stream

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/store"
)

// Partition is one owned partition number of all inputs, with its state. It
// lives from assignment to revocation. Methods not said to be safe for
// concurrent use belong to the session's goroutine.
type Partition[S any] struct {
	s          *session[S]
	num        int32
	ctx        context.Context
	assignedAt time.Time

	// Set before the restore starts, then read only.
	target   int64 // changelog offset the restore has to reach
	logStart int64 // first offset of the changelog
	unread   bool  // no input had a committed offset

	store    *store.Partition
	batch    *store.Batch
	caughtUp atomic.Bool

	lanes     []lane    // one an input
	waits     time.Time // since when records of one input wait for another; zero: none does
	consumed  bool      // the running transaction read inputs
	inTx      bool      // the running transaction touched the partition
	now       int64     // highest time a handler has seen, µs
	entries   map[string]*entry[S]
	dirty     []*entry[S]  // in the order of first write
	changelog atomic.Int64 // next offset after the last acknowledged changelog record
	acked     func(*kgo.Record, error)

	timers timers
}

// Number is the partition number. Safe for concurrent use.
func (p *Partition[S]) Number() int32 { return p.num }

// Context ends as soon as the partition is revoked, lost or fenced, or the
// session is closed, before anything else is done about it. Safe for
// concurrent use.
func (p *Partition[S]) Context() context.Context { return p.ctx }

// AssignedAt is when the group assigned the partition, by Config.Clock. Safe
// for concurrent use.
func (p *Partition[S]) AssignedAt() time.Time { return p.assignedAt }

// OwnedUntil is the moment, by time.Now, up to which the group cannot have given
// the partition to another member: the last answered heartbeat plus the session
// timeout. Safe for concurrent use.
func (p *Partition[S]) OwnedUntil() time.Time {
	if p.ctx.Err() != nil {
		return time.Time{}
	}
	return time.Unix(0, p.s.heartbeat.Load()).Add(p.s.cfg.SessionTimeout)
}

// CaughtUp reports whether every input has been consumed, and committed, to the
// end seen at the assignment. Safe for concurrent use.
func (p *Partition[S]) CaughtUp() bool { return p.caughtUp.Load() }

// Submit queues fn to run inside a transaction of the owning session. It
// returns [ErrGone] when the partition is not owned any more, or the error of
// ctx when that ends while the queue is full. fn runs in the session's
// goroutine; it runs again when its transaction is aborted, and never once the
// partition is gone. Its errors are handled like those of Handle, except that a
// poison error or a panic drops fn, as there is no record to dead-letter. Safe
// for concurrent use; in the session's own goroutine it must not be called
// from many places at once, or a full queue would wait for itself.
func (p *Partition[S]) Submit(ctx context.Context, fn func(tx *Tx[S]) error) error {
	if p.ctx.Err() != nil {
		return ErrGone
	}
	select {
	case p.s.submits <- submission[S]{p, fn}:
		p.s.wake()
		return nil
	case <-p.ctx.Done():
		return ErrGone
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Len is how many committed states there are.
func (p *Partition[S]) Len() int { return p.store.Len() }

// Scan calls fn for every committed state in key order until it returns false.
func (p *Partition[S]) Scan(fn func(key string, s S) bool) error {
	var derr error
	err := p.store.Scan(func(key string, value []byte) bool {
		s, err := p.s.codec.Decode(key, value)
		if err != nil {
			derr = fmt.Errorf("decode stored state in partition %d: %w", p.num, err)
			return false
		}
		return fn(key, s)
	})
	if err != nil {
		return err
	}
	return derr
}

// load returns the entry of a key, reading the store when it is not in memory.
func (p *Partition[S]) load(key string) (*entry[S], error) {
	s := p.s
	e := p.entries[key]
	if e != nil {
		s.cfg.Metrics.cacheHits.Inc()
		e.ref = true
	} else {
		s.cfg.Metrics.cacheMisses.Inc()
		var err error
		if e, err = p.read(key); err != nil {
			return nil, err
		}
	}
	if !e.touched {
		e.touched = true
		s.touched = append(s.touched, e)
	}
	return e, nil
}

func (p *Partition[S]) read(key string) (*entry[S], error) {
	s := p.s
	value, ok, err := p.store.Get(s.readBuf[:0], key)
	s.readBuf = value[:0]
	if err != nil {
		return nil, fmt.Errorf("read state in partition %d: %w", p.num, err)
	}
	e := &entry[S]{p: p, key: strings.Clone(key)}
	if ok {
		if e.val, err = s.codec.Decode(key, value); err != nil {
			return nil, fmt.Errorf("decode stored state in partition %d: %w: %w", p.num, store.ErrCorrupt, err)
		}
		e.has = true
		e.due = s.due(e.val)
	}
	s.cache.add(e, s.charge(e.key, e.val, e.has, len(value)))
	return e, nil
}

// advance notes that the running transaction read a record.
func (p *Partition[S]) advance(rec *kgo.Record) {
	p.lane(rec.Topic).txPos = place{rec.Offset + 1, rec.LeaderEpoch}
	p.consumed = true
}

// placing reports whether the running transaction commits a place in every input, see claim: one that has neither read nor written has
// nothing that the group would commit with it.
func (p *Partition[S]) placing() bool { return p.consumed || p.s.produced > 0 }

// settle makes the positions of the running transaction the committed ones.
func (p *Partition[S]) settle() {
	placed := p.placing()
	for i := range p.lanes {
		l := &p.lanes[i]
		l.pos, l.unplaced = l.txPos, l.unplaced && !placed
	}
	if !p.caughtUp.Load() {
		p.checkCaughtUp()
	}
}

func (p *Partition[S]) checkCaughtUp() {
	for i := range p.lanes {
		if p.lanes[i].pos.offset < p.lanes[i].join {
			return
		}
	}
	p.caughtUp.Store(true)
}

func partitionLabel(num int32) string { return strconv.Itoa(int(num)) }
