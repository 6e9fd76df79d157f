package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/store"
)

// restoreBatch is how many bytes a restore collects before it writes them.
const restoreBatch = 2 << 20

// restore brings the stores of newly assigned partitions to the end of the
// changelog and hands the partitions to the loop. It runs beside the loop until
// it is done or ctx, the assignment's, ends.
func (s *session[S]) restore(ctx context.Context, parts []*Partition[S]) {
	m := s.cfg.Metrics
	m.restoring.Add(float64(len(parts)))
	defer m.restoring.Sub(float64(len(parts)))
	started := time.Now()
	var (
		records int64
		delay   backoff
	)
	for {
		n, err := s.replay(ctx, parts)
		if err == nil {
			err = s.checkUnread(parts)
		}
		records += n
		m.restored.Add(float64(n))
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return
		}
		if isFatal(err) || errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrWrite) ||
			errors.Is(err, store.ErrStale) || errors.Is(err, store.ErrClosed) {
			s.fail(err)
			return
		}
		s.setTrouble(fmt.Errorf("restore: %w", err))
		s.log.Warn("restore, trying again", zap.Error(err))
		if !delay.wait(ctx) {
			return
		}
	}
	took := time.Since(started)
	m.restoreSecs.Observe(took.Seconds())
	if records > 0 && took > 0 {
		m.restoreRate.Set(float64(records) / took.Seconds())
	}
	s.log.Info("partitions restored", zap.Int("partitions", len(parts)), zap.Int64("records", records), zap.Duration("took", took))
	s.mu.Lock()
	if ctx.Err() == nil {
		s.restored = append(s.restored, parts...)
	}
	s.mu.Unlock()
	s.wake()
}

// replay reads the changelog of partitions from where their stores are to their
// targets, and returns the number of records it applied.
func (s *session[S]) replay(ctx context.Context, parts []*Partition[S]) (int64, error) {
	from := make(map[int32]kgo.Offset)
	byNum := make(map[int32]*replayed[S])
	defer func() {
		for _, r := range byNum {
			if err := r.batch.Close(); err != nil {
				s.log.Debug("close of a batch", zap.Error(err))
			}
		}
	}()
	for _, p := range parts {
		if err := s.prepareStore(p); err != nil {
			return 0, err
		}
		mark := p.store.Mark()
		p.now = max(p.now, mark.Now)
		at := max(mark.Offset, p.logStart)
		if at >= p.target {
			continue
		}
		batch, err := p.store.NewBatch()
		if err != nil {
			return 0, err
		}
		byNum[p.num] = &replayed[S]{p: p, batch: batch, next: at}
		from[p.num] = kgo.NewOffset().At(at)
	}
	if len(from) == 0 {
		return 0, s.stamp(parts)
	}
	opts := append(slices.Clone(s.cfg.Opts),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.cfg.Changelog: from}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // the end is reached by position, and markers take offsets
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.MaxDecompressBatchBytes(maxDecompressedBatch),
	)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return 0, Fatal(fmt.Errorf("build restore client: %w", err))
	}
	defer cl.Close()
	var records int64
	for left := len(byNum); left > 0; {
		fetches := cl.PollRecords(ctx, maxPoll)
		if err := ctx.Err(); err != nil {
			return records, err
		}
		for _, fe := range fetches.Errors() {
			return records, fmt.Errorf("fetch %s/%d: %w", fe.Topic, fe.Partition, fe.Err)
		}
		var failed error
		fetches.EachPartition(func(ftp kgo.FetchTopicPartition) {
			r := byNum[ftp.Partition]
			if failed != nil || r == nil || r.done {
				return
			}
			for _, rec := range ftp.Records {
				applied, err := s.replayRecord(r, rec)
				if err != nil {
					failed = err
					return
				}
				if applied {
					records++
				}
			}
			if r.done = r.next >= r.p.target; r.done {
				left--
			}
			if r.done || r.batch.Bytes() >= restoreBatch {
				failed = s.applyReplay(r)
			}
		})
		if failed != nil {
			return records, failed
		}
	}
	return records, s.stamp(parts)
}

// checkUnread refuses a state whose inputs have no committed offset: the offsets
// have expired, and reading everything again would count it twice.
func (s *session[S]) checkUnread(parts []*Partition[S]) error {
	for _, p := range parts {
		if !p.unread {
			continue
		}
		empty := true
		if err := p.store.Scan(func(string, []byte) bool {
			empty = false
			return false
		}); err != nil {
			return err
		}
		if empty {
			continue
		}
		err := fmt.Errorf("%w: partition %d has state, but no input of it has a committed offset", ErrDataLoss, p.num)
		if !s.cfg.AllowDataLoss {
			return Fatal(err)
		}
		s.log.Warn("reading all inputs again", zap.Error(err))
	}
	return nil
}

// replayed is a partition under restore.
type replayed[S any] struct {
	p     *Partition[S]
	batch *store.Batch
	next  int64
	done  bool
}

func (s *session[S]) replayRecord(r *replayed[S], rec *kgo.Record) (bool, error) {
	r.next = rec.Offset + 1
	if rec.Attrs.IsControl() {
		return false, nil
	}
	// Times were cut to milliseconds: round up, so that they never fall.
	r.p.now = max(r.p.now, rec.Timestamp.UnixMicro()+999)
	if rec.Value == nil {
		return true, r.batch.Delete(string(rec.Key), 0)
	}
	due, err := s.dueOf(rec)
	if err != nil {
		return false, Fatal(fmt.Errorf("decode changelog %s/%d@%d: %w", rec.Topic, rec.Partition, rec.Offset, err))
	}
	return true, r.batch.Put(string(rec.Key), rec.Value, 0, due)
}

func (s *session[S]) dueOf(rec *kgo.Record) (int64, error) {
	switch {
	case s.codec.Due == nil:
		return 0, nil
	case s.codec.DueOf != nil:
		return s.codec.DueOf(rec.Value)
	}
	v, err := s.codec.Decode(string(rec.Key), rec.Value)
	if err != nil {
		return 0, err
	}
	return s.codec.Due(v), nil
}

func (s *session[S]) applyReplay(r *replayed[S]) error {
	mark := store.Mark{Offset: r.next, Stamp: r.p.store.Mark().Stamp, Now: r.p.now}
	if mark.Stamp == 0 {
		mark.Stamp = s.cfg.Clock().UnixMicro() // read from the start, so as fresh as the log
	}
	return r.batch.Apply(mark)
}

// stamp notes that the stores are current.
func (s *session[S]) stamp(parts []*Partition[S]) error {
	for _, p := range parts {
		mark := p.store.Mark()
		if mark.Offset == 0 {
			continue
		}
		batch, err := p.store.NewBatch()
		if err != nil {
			return err
		}
		mark.Stamp = s.cfg.Clock().UnixMicro()
		if err := errors.Join(batch.Apply(mark), batch.Close()); err != nil {
			return err
		}
		s.cfg.Metrics.storeOffset.WithLabelValues(partitionLabel(p.num)).Set(float64(mark.Offset))
	}
	return nil
}

// prepareStore wipes a store that the changelog's tail cannot bring up to date.
func (s *session[S]) prepareStore(p *Partition[S]) error {
	mark := p.store.Mark()
	if mark.Offset == 0 {
		return nil
	}
	age := s.cfg.Clock().Sub(time.UnixMicro(mark.Stamp))
	why := ""
	switch {
	case mark.Offset > p.target:
		why = "store_ahead"
	case mark.Offset < p.logStart:
		why = "store_truncated"
	case age > s.plan.deleteRetention/2:
		why = "store_old" // tombstones it has not seen may have been compacted away
	default:
		return nil
	}
	s.cfg.Metrics.heals.WithLabelValues(why).Inc()
	s.log.Warn("store is rebuilt in full", zap.Int32("partition", p.num), zap.String("why", why),
		zap.Int64("store_offset", mark.Offset), zap.Int64("log_start", p.logStart), zap.Int64("log_end", p.target), zap.Duration("age", age))
	return p.store.Wipe()
}
