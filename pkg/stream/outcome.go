package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/store"
)

// end ends the running transaction with a commit and acts on the outcome. It
// follows the order of the package comment.
func (s *session[S]) end(ctx context.Context) error {
	filled := time.Now()
	if err := s.flushProcessor(); err != nil {
		return s.abort(ctx, err)
	}
	if err := s.cfg.Store.Check(); err != nil {
		return s.abort(ctx, err)
	}
	s.ended++
	if n := s.cfg.Faults.AbortEvery; n > 0 && s.ended%n == 0 {
		if s.cfg.Faults.UnsafeWriteStoreBeforeCommit {
			if err := s.persist(); err != nil {
				return err
			}
		}
		return s.abort(ctx, nil)
	}
	// A broker that is away must not hold the session for ever.
	ctx, cancel := context.WithTimeout(ctx, s.cfg.TransactionTimeout+s.cfg.DrainTimeout)
	defer cancel()
	started := time.Now()
	if err := s.cl.Flush(ctx); err != nil {
		return s.lost(fmt.Errorf("flush transaction: %w", err))
	}
	if err := s.failure.Load(); err != nil {
		if isFence(*err) {
			return s.lost(*err)
		}
		return s.abort(ctx, fmt.Errorf("produce: %w", *err))
	}
	if err := s.claim(ctx); err != nil {
		if isFence(err) {
			return s.lost(err)
		}
		return s.abort(ctx, err)
	}
	if s.cfg.Faults.UnsafeWriteStoreBeforeCommit {
		if err := s.persist(); err != nil {
			return err
		}
	}
	committed, err := s.commit(ctx)
	s.cfg.Metrics.endSeconds.Observe(time.Since(started).Seconds())
	switch {
	case err != nil:
		return s.lost(fmt.Errorf("end transaction: %w", err))
	case committed:
		s.noteEnding(time.Since(filled))
		return s.committed()
	}
	// An abort we did not ask for. After a revocation it is certain: nothing
	// was sent. Otherwise the client may have turned an answer it did not
	// understand into an abort, so ask the broker what became of the offsets.
	if !s.revoked.Load() && !s.notSent {
		if err := s.confirmAbort(ctx); err != nil {
			return s.lost(err)
		}
	}
	s.cfg.Metrics.transactions.WithLabelValues("aborted").Inc()
	s.rollback()
	return nil
}

// commit sends the end of the transaction. One that read nothing carries its
// offsets already, see claim: it is ended by the client itself, as the group's
// End, not knowing of them, would take the broker for an old one and hold the
// next transaction back for half a second. No revocation can be overlooked by
// that, because rebalances are held back.
func (s *session[S]) commit(ctx context.Context) (bool, error) {
	if s.revoked.Load() {
		return s.gts.End(ctx, kgo.TryCommit)
	}
	for _, p := range s.members {
		if p.consumed {
			return s.gts.End(kgo.PreTxnCommitFnContext(ctx, s.onlyHandled), kgo.TryCommit)
		}
	}
	err := s.cl.EndTransaction(ctx, kgo.TryCommit)
	if errors.Is(err, kerr.OperationNotAttempted) || errors.Is(err, kerr.TransactionAbortable) {
		s.notSent = true
		return s.gts.End(ctx, kgo.TryAbort)
	}
	return err == nil, err
}

// onlyHandled makes the offsets that the group's End commits those of what was handled: the client knows only what was polled.
func (s *session[S]) onlyHandled(req *kmsg.TxnOffsetCommitRequest) error {
	req.Topics = req.Topics[:0]
	for i, topic := range s.cfg.Inputs {
		t := kmsg.NewTxnOffsetCommitRequestTopic()
		t.Topic, t.TopicID = topic, s.env.TopicIDs[topic]
		for _, p := range s.members {
			l := &p.lanes[i]
			if l.txPos == l.pos {
				continue
			}
			part := kmsg.NewTxnOffsetCommitRequestTopicPartition()
			part.Partition, part.Offset, part.LeaderEpoch = p.num, l.txPos.offset, l.txPos.epoch
			t.Partitions = append(t.Partitions, part)
		}
		if len(t.Partitions) > 0 {
			req.Topics = append(req.Topics, t)
		}
	}
	return nil
}

// abort aborts the running transaction. cause nil is an abort without an error;
// otherwise the error says what comes next: stop, start the session again, or
// try the transaction again.
func (s *session[S]) abort(ctx context.Context, cause error) error {
	if errors.Is(cause, errCrash) {
		return errCrash // the transaction stays open, as after a crash
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.TransactionTimeout+s.cfg.DrainTimeout)
	defer cancel()
	if _, err := s.gts.End(ctx, kgo.TryAbort); err != nil {
		return errors.Join(s.lost(fmt.Errorf("abort transaction: %w", err)), cause)
	}
	s.cfg.Metrics.transactions.WithLabelValues("aborted").Inc()
	s.rollback()
	switch {
	case cause == nil, isFatal(cause):
		return cause
	case errors.Is(cause, errRebuild), errors.Is(cause, store.ErrCorrupt), errors.Is(cause, store.ErrWrite),
		errors.Is(cause, store.ErrClosed), errors.Is(cause, store.ErrStale):
		return cause
	}
	return &retryError{cause}
}

// lost is the end of a transaction whose outcome is not known: the session has
// to start again, or to stop when another process has taken its transactional
// id.
func (s *session[S]) lost(cause error) error {
	s.cfg.Metrics.transactions.WithLabelValues("unknown").Inc()
	s.begun.Store(0)
	if isFence(cause) && s.takenOver() {
		s.dropAll()
		return Fatal(fmt.Errorf("%w: %s (%w)", ErrFenced, s.txnID, cause))
	}
	return fmt.Errorf("%w: %w", errRebuild, cause)
}

func isFence(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) || errors.Is(err, kerr.FencedInstanceID)
}

// takenOver tells the two reasons for a fence apart: another process started
// with our transactional id, or the coordinator gave up on a transaction
// that was open for too long (we were frozen, or the broker was away). The
// coordinator raises the epoch by two at most for the latter, a process at work
// by one for each of its transactions.
func (s *session[S]) takenOver() bool {
	if time.Since(s.began) < s.cfg.TransactionTimeout {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.DrainTimeout)
	defer cancel()
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = []string{s.txnID}
	resp, err := req.RequestWith(ctx, s.cl)
	if err != nil || len(resp.TransactionStates) != 1 || resp.TransactionStates[0].ErrorCode != 0 {
		return false // starting again fences whoever it is, and they will know
	}
	st := resp.TransactionStates[0]
	return st.ProducerID != s.pid || st.ProducerEpoch > s.epoch+2
}

// claim commits unchanged offsets, for two reasons. A partition that the
// transaction wrote for without reading, for a timer or a submitted function,
// commits one, so that the group coordinator refuses the transaction of a member
// that has lost the partition: without offsets nothing would connect the two. And
// a partition's first transaction commits a place in every input, so that a place
// that is missing later says that it was lost.
func (s *session[S]) claim(ctx context.Context) error {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	for i, topic := range s.cfg.Inputs {
		t := kmsg.NewTxnOffsetCommitRequestTopic()
		t.Topic, t.TopicID = topic, s.env.TopicIDs[topic]
		for _, p := range s.members {
			l := &p.lanes[i]
			unread := !p.consumed && s.produced > 0 && i == 0
			unplaced := p.placing() && l.unplaced && l.txPos == l.pos // where it moved, the group's End commits it
			if !unread && !unplaced {
				continue
			}
			part := kmsg.NewTxnOffsetCommitRequestTopicPartition()
			part.Partition, part.Offset = p.num, l.pos.offset
			t.Partitions = append(t.Partitions, part)
		}
		if len(t.Partitions) > 0 {
			req.Topics = append(req.Topics, t)
		}
	}
	if len(req.Topics) == 0 {
		return nil
	}
	pid, epoch, err := s.cl.ProducerID(ctx)
	if err != nil {
		return fmt.Errorf("claim partitions: %w", err)
	}
	req.TransactionalID, req.Group = s.txnID, s.cfg.Group
	req.ProducerID, req.ProducerEpoch = pid, epoch
	req.MemberID, req.Generation = s.cl.GroupMetadata()
	var delay backoff
	for {
		err := s.commitClaim(ctx, req)
		// Where nothing was produced, this is the request that begins the
		// transaction, and the coordinator may still be ending the one before.
		if errors.Is(err, kerr.ConcurrentTransactions) && delay.wait(ctx) {
			continue
		}
		return err
	}
}

func (s *session[S]) commitClaim(ctx context.Context, req *kmsg.TxnOffsetCommitRequest) error {
	resp, err := req.RequestWith(ctx, s.cl)
	if err != nil {
		return fmt.Errorf("claim partitions: %w", err)
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("claim partition %d: %w", p.Partition, err)
			}
		}
	}
	return nil
}

// confirmAbort returns nil when the broker's offsets show that the transaction
// did not commit.
func (s *session[S]) confirmAbort(ctx context.Context) error {
	for _, p := range s.members {
		for i := range p.lanes {
			l := &p.lanes[i]
			if l.txPos == l.pos {
				continue
			}
			at, err := s.committedOffset(ctx, l.topic, p.num)
			switch {
			case err != nil:
				return fmt.Errorf("confirm abort: %w", err)
			case at >= 0 && at != l.pos.offset:
				return fmt.Errorf("abort is none: committed offset of %s/%d is %d, not %d", l.topic, p.num, at, l.pos.offset)
			}
			return nil // offsets move together or not at all
		}
	}
	return errors.New("abort cannot be confirmed: the transaction moved no offsets")
}

// committedOffset asks for a stable committed offset; -1 is none.
func (s *session[S]) committedOffset(ctx context.Context, topic string, num int32) (int64, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.RequireStable = true
	req.Group = s.cfg.Group
	t := kmsg.NewOffsetFetchRequestTopic()
	t.Topic, t.Partitions = topic, []int32{num}
	req.Topics = append(req.Topics, t)
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = s.cfg.Group
	gt := kmsg.NewOffsetFetchRequestGroupTopic()
	gt.Topic, gt.TopicID, gt.Partitions = topic, s.env.TopicIDs[topic], []int32{num}
	g.Topics = append(g.Topics, gt)
	req.Groups = append(req.Groups, g)
	resp, err := req.RequestWith(ctx, s.cl)
	if err != nil {
		return 0, err
	}
	for _, g := range resp.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
			return 0, err
		}
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				return p.Offset, kerr.ErrorForCode(p.ErrorCode)
			}
		}
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			return p.Offset, kerr.ErrorForCode(p.ErrorCode)
		}
	}
	return 0, errors.New("empty answer")
}

// committed brings the store and the cache up to the committed transaction, and
// runs what waited for it.
func (s *session[S]) committed() error {
	s.progressed = true
	m := s.cfg.Metrics
	m.transactions.WithLabelValues("committed").Inc()
	m.txSeconds.Observe(time.Since(s.began).Seconds())
	m.records.Add(float64(s.records))
	for _, cause := range s.dead {
		m.deadletters.WithLabelValues(cause).Inc()
	}
	age := 0.0
	if s.waiting && !s.oldest.IsZero() {
		age = max(0, s.cfg.Clock().Sub(s.oldest).Seconds())
	}
	m.oldest.WithLabelValues(s.name()).Set(age)
	if !s.cfg.Faults.UnsafeWriteStoreBeforeCommit {
		if err := s.persist(); err != nil {
			return err
		}
	}
	for _, p := range s.members {
		p.settle()
	}
	after := s.onCommit
	s.onCommit = nil
	s.reset()
	s.cache.evict()
	m.cacheBytes.WithLabelValues(s.name()).Set(float64(s.cache.used))
	for i, fn := range after {
		if err := s.guard(func() error { fn(); return nil }); err != nil {
			s.log.Error("function after a commit failed", zap.Error(err))
		}
		after[i] = nil
	}
	if s.onCommit == nil {
		s.onCommit = after[:0]
	}
	for _, rec := range s.handled {
		rec.Recycle()
	}
	s.forgetHandled()
	return nil
}

func (s *session[S]) forgetHandled() {
	clear(s.handled)
	s.handled = s.handled[:0]
}

// persist writes the overlay to the store, in one batch a partition, and makes
// it the decoded state.
func (s *session[S]) persist() error {
	stamp := s.cfg.Clock().UnixMicro()
	for _, p := range s.members {
		if len(p.dirty) == 0 && len(p.timers.drop) == 0 {
			continue
		}
		if err := p.fillBatch(); err != nil {
			return err
		}
		mark := p.store.Mark()
		mark = store.Mark{Offset: max(mark.Offset, p.changelog.Load()), Stamp: stamp, Now: p.now}
		if err := p.batch.Apply(mark); err != nil {
			if errors.Is(err, store.ErrStale) {
				// Another session of this process owns the partition by now and
				// reads the same writes from the changelog.
				return fmt.Errorf("%w: %w", errRebuild, err)
			}
			return err
		}
		s.cfg.Metrics.storeOffset.WithLabelValues(partitionLabel(p.num)).Set(float64(mark.Offset))
		for _, e := range p.dirty {
			e.val, e.has, e.due = e.tval, e.thas, e.tdue
			e.dirty = false
			s.cache.resize(e, s.charge(e.key, e.val, e.has, len(e.enc)))
		}
		clear(p.dirty)
		p.dirty = p.dirty[:0]
	}
	return nil
}

func (p *Partition[S]) fillBatch() error {
	for _, e := range p.dirty {
		var err error
		switch {
		case e.thas:
			err = p.batch.Put(e.key, e.enc, e.due, e.tdue)
		case e.has:
			err = p.batch.Delete(e.key, e.due)
		}
		if err != nil {
			return err
		}
		if e.due != 0 && e.tdue != e.due {
			p.timers.known = false
			delete(p.timers.parked, e.key)
		}
		p.timers.lower(e.tdue)
	}
	for _, h := range p.timers.drop {
		if err := p.batch.DropDue(h.due, h.key); err != nil {
			return err
		}
		p.timers.known = false
	}
	clear(p.timers.drop)
	p.timers.drop = p.timers.drop[:0]
	return nil
}

// rollback forgets everything of an aborted transaction: the overlay, and every
// decoded state it touched.
func (s *session[S]) rollback() {
	for _, p := range s.members {
		clear(p.dirty)
		p.dirty = p.dirty[:0]
		p.timers.drop = p.timers.drop[:0]
		p.timers.known = false
	}
	s.rewind()
	for _, e := range s.touched {
		if p := e.p; p.entries[e.key] == e {
			s.cache.remove(e)
		}
	}
	s.retry = append(s.running, s.retry...)
	s.running = nil
	clear(s.onCommit)
	s.onCommit = s.onCommit[:0]
	s.tx.clear()
	s.forgetHandled()
	s.reset()
}

// reset readies the books for the next transaction.
func (s *session[S]) reset() {
	for _, e := range s.touched {
		e.touched = false
	}
	for _, p := range s.members {
		p.inTx, p.consumed = false, false
	}
	clear(s.touched)
	clear(s.members)
	clear(s.running)
	s.touched, s.members, s.running, s.dead = s.touched[:0], s.members[:0], s.running[:0], s.dead[:0]
	s.slab.reset()
	s.room.reset()
	s.begun.Store(0)
}

func (s *session[S]) logDropped(p *Partition[S], err error) {
	s.log.Error("submitted function dropped", zap.Int32("partition", p.num), zap.Error(err))
}
