package stream

import (
	"cmp"
	"math"
	"slices"
	"time"

	"go.uber.org/zap"
)

// timers is where a partition stands in its due index.
type timers struct {
	known bool  // next is right
	next  int64 // earliest due time not parked; 0 none
	floor int64 // no entry of the store's index is earlier: skips deleted ones

	from   int64            // where the running transaction goes on in the index
	drop   []hint           // stale hints to delete with the next batch
	parked map[string]int64 // timers that cannot fire, until their due time changes
}

// hint is an entry of the due index.
type hint struct {
	due int64
	key string
}

func compareHints(a, b hint) int {
	return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.key, b.key))
}

func (t *timers) begin() { t.from = t.floor }

// lower notes that the transaction just committed set a due time.
func (t *timers) lower(due int64) {
	if due == 0 {
		return
	}
	t.floor = min(t.floor, due)
	if t.known && (t.next == 0 || due < t.next) {
		t.next = due
	}
}

// nextDue returns the earliest due time of the partition's committed timers,
// 0 for none.
func (p *Partition[S]) nextDue() (int64, error) {
	t := &p.timers
	if t.known {
		return t.next, nil
	}
	t.next = 0
	first := int64(math.MaxInt64)
	err := p.store.Due(t.floor, func(due int64, key string) bool {
		first = min(first, due)
		if t.parked[key] == due {
			return true
		}
		t.next = due
		return false
	})
	if err != nil {
		return 0, err
	}
	t.floor = first
	t.known = true
	return t.next, nil
}

// untilTimer is how long until a timer of the session is due: 0 when one is, at
// most limit.
func (s *session[S]) untilTimer(limit time.Duration) (time.Duration, error) {
	if s.codec.Due == nil {
		return limit, nil
	}
	now := s.cfg.Clock().UnixMicro()
	for _, p := range s.active {
		if !p.caughtUp.Load() || p.ctx.Err() != nil {
			continue
		}
		due, err := p.nextDue()
		if err != nil {
			return 0, err
		}
		if due != 0 {
			limit = min(limit, max(0, time.Duration(due-now)*time.Microsecond))
		}
	}
	return limit, nil
}

// fireTimers fires what is due in the session's partitions, up to the bound of
// one transaction, and reports how many it fired.
func (s *session[S]) fireTimers() (int, error) {
	if s.codec.Due == nil {
		return 0, nil
	}
	fired := 0
	for _, p := range s.active {
		if !p.caughtUp.Load() || p.ctx.Err() != nil {
			continue
		}
		n, err := s.firePartition(p, s.cfg.MaxTimers-s.fired)
		s.fired += n
		fired += n
		if err != nil {
			return fired, err
		}
	}
	return fired, nil
}

// firePartition fires up to limit due timers of a partition in due order: those
// of the store's index, and those the running transaction has set.
func (s *session[S]) firePartition(p *Partition[S], limit int) (int, error) {
	if limit <= 0 {
		return 0, nil
	}
	now := max(p.now, s.cfg.Clock().UnixMicro())
	due, err := p.nextDue()
	if err != nil {
		return 0, err
	}
	var hints []hint
	if due != 0 && due <= now {
		err = p.store.Due(max(p.timers.from, p.timers.floor), func(due int64, key string) bool {
			if due > now || len(hints) >= limit {
				return false
			}
			if p.timers.parked[key] != due {
				hints = append(hints, hint{due, key})
			}
			return true
		})
		if err != nil {
			return 0, err
		}
		if len(hints) > 0 {
			p.timers.from = hints[len(hints)-1].due
		}
	}
	for _, e := range p.dirty {
		if e.tdue != 0 && e.tdue <= now && p.timers.parked[e.key] != e.tdue {
			hints = append(hints, hint{e.tdue, e.key})
		}
	}
	slices.SortFunc(hints, compareHints)
	hints = slices.Compact(hints)
	fired := 0
	for _, h := range hints {
		if fired >= limit {
			break
		}
		ok, err := s.fire(p, h)
		if err != nil {
			return fired, err
		}
		if ok {
			fired++
		}
	}
	return fired, nil
}

// fire fires one timer, unless the state no longer has it.
func (s *session[S]) fire(p *Partition[S], h hint) (bool, error) {
	e, err := p.load(h.key)
	if err != nil {
		return false, err
	}
	if e.currentDue() != h.due {
		if !e.dirty {
			// Left behind by a restore, which does not know old due times.
			p.timers.drop = append(p.timers.drop, h)
			s.join(p)
		}
		return false, nil
	}
	s.tx.start(p)
	err = s.guard(func() error { return s.proc.Fire(&s.tx, h.key, h.due) })
	if err != nil && !isPoison(err) {
		s.tx.reject()
		return false, err
	}
	if err == nil {
		s.tx.accept()
		s.cfg.Metrics.timersFired.Inc()
		if e.currentDue() != h.due {
			return true, nil
		}
		err = errStuckTimer
	} else {
		s.tx.reject()
	}
	// Firing it again would give the same, for ever: leave it until the state
	// says another time.
	if p.timers.parked == nil {
		p.timers.parked = make(map[string]int64)
	}
	p.timers.parked[h.key] = h.due
	p.timers.known = false
	s.cfg.Metrics.timersParked.Inc()
	s.log.Error("timer cannot fire, parked until its state changes", zap.Int32("partition", p.num), zap.Int64("due", h.due), zap.Error(err))
	return true, nil
}
