package stream

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// lane is one input of a partition: how far it is committed, and the records that are polled and wait to be handled.
//
// Inputs are independent logs, and a backlog comes as so many bytes of each, which are not equal times. Handled as they
// come, the records of one input meet a state that lacks what another has said hours before. So the oldest record of
// all waits for nobody and goes first, and where an input that is known to have more has no record yet, the others wait
// for it a while. Live traffic never waits: each fetch brings all there is.
type lane struct {
	topic    string
	waiting  []*kgo.Record
	polled   int64 // next offset to be polled
	end      int64 // end of what can be read, as last seen
	join     int64 // the same at the assignment
	unplaced bool  // the group has no committed offset here
	paused   bool

	pos, txPos place // committed, and in the running transaction
}

// place is where an input is read next.
type place struct {
	offset int64
	epoch  int32 // of the leader that wrote the record before; -1 not known
}

const (
	// maxLane is how many waiting records pause a lane, resumeLane how few resume it.
	maxLane, resumeLane = 8_192, 4_096
	// backlog is how many records to come are worth waiting for.
	backlog = 512
	// laneWait is how long the records of one input wait for those of another.
	laneWait = 2 * time.Second
)

// behind says that the lane has a backlog and no record of it.
func (l *lane) behind() bool { return len(l.waiting) == 0 && l.end-l.polled > backlog }

// take removes the record that is next.
func (l *lane) take() *kgo.Record {
	rec := l.waiting[0]
	l.waiting[0] = nil
	l.waiting = l.waiting[1:]
	return rec
}

// rewind forgets what is polled and not committed.
func (l *lane) rewind() {
	clear(l.waiting)
	l.waiting = l.waiting[:0]
	l.polled, l.txPos = l.pos.offset, l.pos
}

func (p *Partition[S]) lane(topic string) *lane {
	for i := range p.lanes {
		if p.lanes[i].topic == topic {
			return &p.lanes[i]
		}
	}
	return nil
}

// oldest is the lane with the oldest record that waits, nil where there is none or an older one may still come.
func (p *Partition[S]) oldest(now time.Time) *lane {
	var next *lane
	behind := false
	for i := range p.lanes {
		switch l := &p.lanes[i]; {
		case len(l.waiting) == 0:
			behind = behind || l.behind()
		case next == nil || l.waiting[0].Timestamp.Before(next.waiting[0].Timestamp):
			next = l
		}
	}
	switch {
	case next == nil || !behind:
		p.waits = time.Time{}
	case p.waits.IsZero():
		p.waits = now
		return nil
	case now.Sub(p.waits) < laneWait:
		return nil
	default:
		for i := range p.lanes {
			if l := &p.lanes[i]; l.behind() {
				l.end = l.polled // until a fetch says otherwise
			}
		}
		p.waits = time.Time{}
	}
	return next
}

// receive puts what was polled into the lanes.
func (s *session[S]) receive(fetches kgo.Fetches) error {
	var err error
	fetches.EachPartition(func(ftp kgo.FetchTopicPartition) {
		n := len(ftp.Records)
		if n == 0 || err != nil {
			return
		}
		p := s.find(ftp.Partition)
		if p == nil {
			err = errNotRestored(ftp.Partition)
			return
		}
		l := p.lane(ftp.Topic)
		l.waiting = append(l.waiting, ftp.Records...)
		l.polled = ftp.Records[n-1].Offset + 1
		l.end = max(l.end, ftp.LastStableOffset)
	})
	return err
}

// take moves up to n records from the lanes to what is handled next. It goes partition by partition, so that the
// records of a key meet in one transaction, and begins with another one each time.
func (s *session[S]) take(n int) {
	s.ordered, s.recs = s.ordered[:0], s.recs[:0]
	now := time.Now()
	for range s.active {
		s.turn = (s.turn + 1) % len(s.active)
		p := s.active[s.turn]
		for len(s.ordered) < n {
			l := p.oldest(now)
			if l == nil {
				break
			}
			rec := l.take()
			s.ordered = append(s.ordered, rec)
			if !rec.Attrs.IsControl() {
				s.recs = append(s.recs, rec)
			}
		}
		if len(s.ordered) >= n {
			break
		}
	}
	s.pace()
}

// pace pauses the lanes that are far ahead and resumes those that are not any more, which bounds what waits in memory.
func (s *session[S]) pace() {
	pause, resume := map[string][]int32{}, map[string][]int32{}
	s.waiting = false
	for _, p := range s.active {
		for i := range p.lanes {
			l := &p.lanes[i]
			s.waiting = s.waiting || len(l.waiting) > 0 || l.polled < l.end
			switch {
			case !l.paused && len(l.waiting) > maxLane:
				l.paused = true
				pause[l.topic] = append(pause[l.topic], p.num)
			case l.paused && len(l.waiting) < resumeLane:
				l.paused = false
				resume[l.topic] = append(resume[l.topic], p.num)
			}
		}
	}
	if len(pause) > 0 {
		s.cl.PauseFetchPartitions(pause)
	}
	if len(resume) > 0 {
		s.cl.ResumeFetchPartitions(resume)
	}
}

// untilTake is how long a poll may wait, at most limit, until there is something to take: not at all where something is.
func (s *session[S]) untilTake(limit time.Duration) time.Duration {
	for _, p := range s.active {
		for i := range p.lanes {
			switch {
			case len(p.lanes[i].waiting) == 0:
			case p.waits.IsZero():
				return 0
			default:
				limit = min(limit, max(0, time.Until(p.waits.Add(laneWait))))
			}
		}
	}
	return limit
}

// rewind has what is polled and not committed polled again.
func (s *session[S]) rewind() {
	to := make(map[string]map[int32]kgo.EpochOffset, len(s.cfg.Inputs))
	for _, p := range s.active {
		p.waits = time.Time{}
		for i := range p.lanes {
			l := &p.lanes[i]
			l.rewind()
			if to[l.topic] == nil {
				to[l.topic] = make(map[int32]kgo.EpochOffset, len(s.active))
			}
			to[l.topic][p.num] = kgo.EpochOffset{Epoch: l.pos.epoch, Offset: l.pos.offset}
		}
	}
	if s.revoked.Load() {
		return // the client reads again what the group has assigned
	}
	// The client takes all that was polled before the last commit for committed.
	s.cl.SetOffsets(to)
	s.pace()
}
