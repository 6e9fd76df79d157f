package wire

import (
	"encoding/binary"
	"errors"
)

// DecodeState is [Schemas.DecodeLocal] for a state that is held as a string, with all references resolved (see
// [HiringState.Shorten]). The strings of into are parts of value, which is not copied.
func (s *Schemas) DecodeState(value string, into *HiringState) error {
	var err error
	if d, ok := s.ownState(value); ok {
		into.decode(&d)
		err = d.finish(into.RecordName())
	} else {
		err = s.DecodeLocal([]byte(value), into)
	}
	if err != nil {
		return err
	}
	return into.Resolve()
}

// errReference says that a state refers to an entry it has not.
var errReference = errors.New("a reference leads nowhere")

// Shorten leaves out of x what stands in its tail as well, and refers to it there: most of what a state says came with an
// event of its tail, and states are written for every event. Resolve undoes it.
func (x *HiringState) Shorten() {
	for i := range x.Tail {
		e := &x.Tail[i]
		for k := i - 1; k >= max(0, i-maxLike); k-- {
			of := k - int(x.Tail[k].Like) // what gives it to entry k
			if x.Tail[of].Source == e.Source && x.Tail[of].System == e.System {
				e.Source, e.System, e.Like = "", "", int32(i-of)
				break
			}
		}
		if e.CandidateID == x.Head.CandidateID && e.Requisition == x.Head.Requisition {
			e.CandidateID, e.Requisition, e.AsHead = "", Requisition{}, true
		}
	}
	for i := range x.Head.Observations {
		o := &x.Head.Observations[i]
		for n := len(x.Tail); n > 0; n-- {
			e := &x.Tail[n-1]
			if e.OccurredAt == o.At && e.ID == o.EventID && e.EffectiveAt == o.EffectiveAt && e.Revision == o.Revision && e.snapshot() == o.Snapshot && x.Tail[n-1-int(e.Like)].System == o.System {
				*o = Observation{Facet: o.Facet, Values: o.Values, Entry: int32(n)}
				break
			}
		}
	}
	for i := range x.Head.LastKeys {
		m := &x.Head.LastKeys[i]
		for n := len(x.Tail); n > 0; n-- {
			e := &x.Tail[n-1]
			if e.OccurredAt == m.OccurredAt && e.ID == m.ID && e.EffectiveAt == m.EffectiveAt && e.Revision == m.Revision && e.snapshot() == m.Snapshot && x.Tail[n-1-int(e.Like)].System == m.System {
				*m = SystemMark{Entry: int32(n)}
				break
			}
		}
	}
}

// maxLike is at how many entries before it an entry looks for its source and system.
const maxLike = 8

func (x *TailEntry) snapshot() bool { return x.Type == EventTypeSnapshot }

// Resolve writes out what [HiringState.Shorten] left out. The error is an [*Error]: x refers to what it does not have.
func (x *HiringState) Resolve() error {
	for i := range x.Tail {
		e := &x.Tail[i]
		if back := int(e.Like); back != 0 {
			if back < 0 || back > i {
				return &Error{Cause: CauseUndecodable, Err: errReference}
			}
			e.Source, e.System, e.Like = x.Tail[i-back].Source, x.Tail[i-back].System, 0
		}
		if e.AsHead {
			e.CandidateID, e.Requisition, e.AsHead = x.Head.CandidateID, x.Head.Requisition, false
		}
	}
	for i := range x.Head.Observations {
		o := &x.Head.Observations[i]
		if o.Entry == 0 {
			continue
		}
		e, err := x.entry(o.Entry)
		if err != nil {
			return err
		}
		*o = Observation{Facet: o.Facet, Values: o.Values, System: e.System, At: e.OccurredAt, Revision: e.Revision, Snapshot: e.snapshot(), EffectiveAt: e.EffectiveAt, EventID: e.ID}
	}
	for i := range x.Head.LastKeys {
		m := &x.Head.LastKeys[i]
		if m.Entry == 0 {
			continue
		}
		e, err := x.entry(m.Entry)
		if err != nil {
			return err
		}
		*m = SystemMark{System: e.System, OccurredAt: e.OccurredAt, Revision: e.Revision, Snapshot: e.snapshot(), ID: e.ID, EffectiveAt: e.EffectiveAt}
	}
	return nil
}

// entry is the tail entry with that number.
func (x *HiringState) entry(n int32) (*TailEntry, error) {
	if n < 1 || int(n) > len(x.Tail) {
		return nil, &Error{Cause: CauseUndecodable, Err: errReference}
	}
	return &x.Tail[n-1], nil
}

// StateDue returns the NextDue of a state. Of one that this release wrote it reads no more than the beginning, so that a
// restore of many states is fast: what follows may be damaged.
func (s *Schemas) StateDue(value []byte) (Micros, error) {
	var into HiringState
	d, ok := s.ownState(string(value[:min(len(value), dueWithin)]))
	if ok {
		into.ApplicationID = d.string()
		into.NextDue = Micros(d.long())
		if d.err == nil {
			return into.NextDue, nil
		}
	}
	err := s.DecodeLocal(value, &into)
	return into.NextDue, err
}

// dueWithin is how far into a state its NextDue stands if its application id is not extraordinarily long.
const dueWithin = 256

// ownState returns a decoder of a framed state, if it was written with our own schema.
func (s *Schemas) ownState(value string) (decoder, bool) {
	table := s.ids.Load()
	if table == nil || len(value) < headerSize || len(value) > MaxValueSize || value[0] != 0 {
		return decoder{}, false
	}
	id := binary.BigEndian.Uint32([]byte(value[1:headerSize]))
	at, ok := table.record[id]
	if !ok || at != (*HiringState)(nil).index() {
		return decoder{}, false
	}
	return decoder{s: value[headerSize:]}, true
}
