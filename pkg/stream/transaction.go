package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// transaction is what a session holds for its running transaction. It is owned
// by the session's goroutine, but for failure and unacked.
type transaction[S any] struct {
	members  []*Partition[S] // partitions touched, in order of first touch
	touched  []*entry[S]     // entries read or written
	onCommit []func()
	dead     []string        // causes of its dead letters
	running  []submission[S] // submitted functions it has run
	retry    []submission[S] // those of an aborted transaction

	pid      int64
	epoch    int16
	began    time.Time
	filled   time.Time     // when it last polled; it stays for the next one
	ending   time.Duration // how long the end of one that commits takes of late; it stays
	records  int
	bytes    int
	fired    int
	produced int
	notSent  bool      // its commit is known not to have been sent
	oldest   time.Time // of the records it read
	waiting  bool      // there is more to read than it has taken

	progressed bool // the last step committed something

	ordered    []*kgo.Record // taken from the lanes, in the order of handling
	recs       []*kgo.Record // of them, those that are no control records
	handled    []*kgo.Record // of the running transaction
	slab       slab
	room       room
	arena      []byte
	onProduced func(*kgo.Record, error)
	failure    atomic.Pointer[error] // first record the broker did not take
}

// join notes that the running transaction touches a partition.
func (s *session[S]) join(p *Partition[S]) {
	if !p.inTx {
		p.inTx = true
		s.members = append(s.members, p)
	}
}

// transact runs one transaction, if there is anything to do.
func (s *session[S]) transact(ctx context.Context) error {
	wait, err := s.untilTimer(time.Hour)
	if err != nil {
		return err
	}
	s.drainSubmits()
	s.take(s.cfg.MaxBatchRecords)
	if len(s.ordered) == 0 && wait > 0 && len(s.retry) == 0 {
		s.cfg.Metrics.oldest.WithLabelValues(s.name()).Set(0)
		return nil
	}
	// The transaction outlives ctx by the time it takes to drain.
	tctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(s.cfg.DrainTimeout, cancel)
	})()
	if err := s.begin(tctx); err != nil {
		return s.lost(err)
	}
	if err := s.fill(ctx, tctx); err != nil {
		return s.abort(tctx, err)
	}
	return s.end(tctx)
}

func (s *session[S]) begin(ctx context.Context) error {
	s.began = time.Now()
	s.begun.Store(s.began.UnixNano())
	s.records, s.bytes, s.fired, s.produced = 0, 0, 0, 0
	s.oldest, s.notSent = time.Time{}, false
	s.failure.Store(nil)
	for _, p := range s.active {
		p.timers.begin()
	}
	if err := s.gts.Begin(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	pid, epoch, err := s.cl.ProducerID(ctx)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	s.pid, s.epoch = pid, epoch
	return nil
}

// fill runs handlers until the transaction is due, large enough, or in the way
// of a rebalance or a shutdown.
func (s *session[S]) fill(ctx, tctx context.Context) error {
	since := s.filled
	s.filled = s.began
	for {
		if err := s.handleTaken(tctx); err != nil {
			return err
		}
		if err := s.runSubmits(); err != nil {
			return err
		}
		if _, err := s.fireTimers(); err != nil {
			return err
		}
		left := s.cfg.MaxBatchRecords - s.records
		if left <= 0 || s.bytes >= s.cfg.MaxBatchBytes || ctx.Err() != nil || s.hurry.Load() {
			return nil
		}
		wait := time.Until(s.commitDue(since))
		if wait <= 0 {
			return nil
		}
		if s.fired < s.cfg.MaxTimers {
			var err error
			if wait, err = s.untilTimer(wait); err != nil {
				return err
			}
			// A due timer of an entry the transaction has changed shows only
			// after the commit, so never spin on it.
			wait = max(wait, time.Millisecond)
		}
		fetches, _ := s.pollRecords(ctx, s.untilTake(wait))
		s.filled = time.Now()
		if err := errors.Join(s.fetchErrors(fetches), s.receive(fetches)); err != nil {
			return err
		}
		s.take(left)
	}
}

// commitDue is when the running transaction has to end, where the one before last polled at since. What came while that
// one was being ended has waited already, so the interval counts from there, and the end, which is waited for as well, counts
// as it took of late, for a quarter of the interval at most. A quarter is kept in any case, to take more than what had been
// fetched by then. In a backlog the whole interval is used: larger transactions cost less.
func (s *session[S]) commitDue(since time.Time) time.Time {
	interval := s.cfg.CommitInterval
	if s.waiting {
		return s.began.Add(interval)
	}
	due, least := since.Add(interval-min(s.ending, interval/4)), s.began.Add(interval/4)
	if due.Before(least) {
		return least
	}
	return due
}

// noteEnding takes into account how long the end of a transaction took.
func (s *session[S]) noteEnding(took time.Duration) {
	if s.ending == 0 {
		s.ending = took
	}
	s.ending += (took - s.ending) / 8
}

// handleTaken runs Prepare and Handle for what was taken from the lanes.
func (s *session[S]) handleTaken(ctx context.Context) error {
	if len(s.recs) > 0 {
		if err := s.proc.Prepare(ctx, s.recs); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
		s.prepares++
		if crash := s.cfg.Faults.CrashAfterPrepare; crash != nil && crash(s.prepares) {
			return errCrash
		}
	}
	var p *Partition[S]
	for _, rec := range s.ordered {
		if p == nil || p.num != rec.Partition {
			if p = s.find(rec.Partition); p == nil {
				return errNotRestored(rec.Partition)
			}
			s.join(p)
		}
		if err := s.handle(p, rec); err != nil {
			return err
		}
	}
	s.handled = append(s.handled, s.ordered...)
	return nil
}

func errNotRestored(num int32) error {
	return fmt.Errorf("%w: got records of partition %d before it was restored", errRebuild, num)
}

func (s *session[S]) find(num int32) *Partition[S] {
	i, ok := slices.BinarySearchFunc(s.active, num, func(p *Partition[S], num int32) int { return cmp.Compare(p.num, num) })
	if !ok {
		return nil
	}
	return s.active[i]
}

func (s *session[S]) handle(p *Partition[S], rec *kgo.Record) error {
	p.advance(rec)
	if rec.Attrs.IsControl() {
		return nil // a transaction marker: only its offset counts
	}
	s.records++
	s.bytes += len(rec.Key) + len(rec.Value)
	if s.oldest.IsZero() || rec.Timestamp.Before(s.oldest) {
		s.oldest = rec.Timestamp
	}
	s.tx.start(p)
	err := s.guard(func() error { return s.proc.Handle(&s.tx, rec) })
	if err == nil {
		s.tx.accept()
		return nil
	}
	s.tx.reject()
	var poison *PoisonError
	if !errors.As(err, &poison) {
		return fmt.Errorf("handle %s/%d@%d: %w", rec.Topic, rec.Partition, rec.Offset, err)
	}
	s.tx.DeadLetter(rec, poison.Cause, poison.Err)
	s.tx.accept()
	return nil
}

// drainSubmits moves what was submitted behind what has to run again.
func (s *session[S]) drainSubmits() {
	for len(s.retry) < s.cfg.MaxBatchRecords {
		select {
		case sub := <-s.submits:
			s.retry = append(s.retry, sub)
		default:
			return
		}
	}
}

func (s *session[S]) runSubmits() error {
	s.drainSubmits()
	for len(s.retry) > 0 {
		sub := s.retry[0]
		s.retry = s.retry[1:]
		if sub.p.ctx.Err() != nil {
			continue
		}
		s.running = append(s.running, sub)
		s.tx.start(sub.p)
		err := s.guard(func() error { return sub.fn(&s.tx) })
		switch {
		case err == nil:
			s.tx.accept()
		case isPoison(err):
			s.tx.reject()
			s.running = s.running[:len(s.running)-1]
			s.logDropped(sub.p, err)
		default:
			s.tx.reject()
			return fmt.Errorf("submitted function of partition %d: %w", sub.p.num, err)
		}
	}
	return nil
}

// produce adds a record to the running transaction.
func (s *session[S]) produce(rec *kgo.Record, promise func(*kgo.Record, error)) {
	s.produced++
	s.bytes += len(rec.Value)
	s.cl.Produce(context.Background(), rec, promise)
}

func (s *session[S]) noteProduced(err error) {
	if err != nil {
		s.failure.CompareAndSwap(nil, &err)
	}
}

// flushProcessor gives the processor its last word, and produces each dirty key
// to the changelog.
func (s *session[S]) flushProcessor() error {
	slices.SortFunc(s.members, func(a, b *Partition[S]) int { return cmp.Compare(a.num, b.num) })
	for _, p := range s.members {
		s.tx.start(p)
		if err := s.guard(func() error { return s.proc.Flush(&s.tx) }); err != nil {
			s.tx.reject()
			return fmt.Errorf("flush partition %d: %w", p.num, err)
		}
		s.tx.accept()
	}
	s.arena = s.arena[:0]
	for _, p := range s.members {
		for _, e := range p.dirty {
			rec := s.slab.next()
			rec.Topic = s.cfg.Changelog
			rec.Partition = p.num
			start := len(s.arena)
			s.arena = append(s.arena, e.key...)
			rec.Key = s.arena[start:len(s.arena):len(s.arena)]
			rec.Timestamp = time.UnixMicro(p.now)
			e.enc = nil
			if e.thas {
				e.enc = s.encode(e.tval)
				rec.Value = e.enc
			} else if !e.has {
				continue // it never was in the log
			}
			s.produce(rec, p.onChangelog())
		}
	}
	return nil
}

// encode returns the bytes of a state, which are valid until the transaction has ended.
func (s *session[S]) encode(v S) []byte {
	if s.codec.Bytes != nil {
		return s.codec.Bytes(v)
	}
	start := len(s.arena)
	s.arena = s.codec.Append(s.arena, v)
	return s.arena[start:len(s.arena):len(s.arena)]
}

// onChangelog follows the offsets of the partition's changelog records.
func (p *Partition[S]) onChangelog() func(*kgo.Record, error) {
	if p.acked == nil {
		p.acked = func(rec *kgo.Record, err error) {
			if err != nil {
				p.s.noteProduced(err)
				return
			}
			p.changelog.Store(rec.Offset + 1) // promises of one partition run in order
		}
	}
	return p.acked
}
