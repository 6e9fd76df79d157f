package wire

import "encoding/binary"

// DecodeState is [Schemas.DecodeLocal] for a state that is held as a string: the strings of into are parts of value, which
// is not copied.
func (s *Schemas) DecodeState(value string, into *HiringState) error {
	d, ok := s.ownState(value)
	if !ok {
		return s.DecodeLocal([]byte(value), into)
	}
	into.decode(&d)
	return d.finish(into.RecordName())
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
