package store

import (
	"crypto/sha256"
	"encoding/binary"
)

// slot says where the newest entry of a key stands. The zero slot is free.
//
// A key is known by 79 bits of its SHA-256: of 10^7 keys two share them with a
// probability of 10^-10, and reading one of those two is noticed.
type slot struct {
	hash uint64
	ref  ref
}

// ref is, from the highest bit: 15 bits of the key's hash, the place of the
// segment in DB.segments (16), the entry's offset there in units of 8 bytes (24),
// and its size class (9), which is never 0.
type ref uint64

const (
	classBits = 9
	classUnit = 64
	maxClass  = 1<<classBits - 1 // and anything larger
	placeBits = 16
	moreBits  = 15

	classMask = ref(maxClass)
	atShift   = classBits
	atMask    = ref(1<<24-1) << atShift
	segShift  = atShift + 24
	segMask   = ref(1<<placeBits-1) << segShift
	moreShift = segShift + placeBits
	locMask   = ref(1)<<moreShift - 1 // all but the hash
)

func (r ref) place() int   { return int(r & segMask >> segShift) }
func (r ref) at() int64    { return int64(r&atMask>>atShift) * align }
func (r ref) class() int   { return int(r & classMask) }
func (r ref) bytes() int64 { return int64(r.class()) * classUnit }

// identify returns the slot of a key that stands nowhere.
func identify(key string) slot {
	var buf [128]byte
	sum := sha256.Sum256(append(buf[:0], key...))
	return slot{binary.LittleEndian.Uint64(sum[:]), ref(binary.LittleEndian.Uint16(sum[8:])>>1) << moreShift}
}

// located is the slot with a place.
func (s slot) located(place int, at int64, size int) slot {
	class := min((size+classUnit-1)/classUnit, maxClass)
	return slot{s.hash, s.ref&^locMask | ref(place)<<segShift | ref(at/align)<<atShift | ref(class)}
}

// same says whether two slots are of one key.
func (s slot) same(t slot) bool { return s.hash == t.hash && (s.ref^t.ref)&^locMask == 0 }

// table is an open-addressing hash table of slots, without a pointer in it.
type table struct {
	slots []slot
	used  int
}

const minTable = 64

// find returns the index of a key's slot, or of the free one where it belongs.
func (t *table) find(s slot) (i int, ok bool) {
	mask := len(t.slots) - 1
	for i = int(s.hash) & mask; ; i = (i + 1) & mask {
		switch c := &t.slots[i]; {
		case c.ref == 0:
			return i, false
		case s.same(*c):
			return i, true
		}
	}
}

func (t *table) get(s slot) (slot, bool) {
	if t.used == 0 {
		return slot{}, false
	}
	i, ok := t.find(s)
	if !ok {
		return slot{}, false
	}
	return t.slots[i], true
}

// put sets a slot and returns what it replaced.
func (t *table) put(s slot) (old slot, ok bool) {
	if (t.used+1)*8 > len(t.slots)*7 {
		t.grow()
	}
	i, ok := t.find(s)
	old = t.slots[i]
	t.slots[i] = s
	if !ok {
		t.used++
	}
	return old, ok
}

func (t *table) grow() {
	old := t.slots
	t.slots = make([]slot, max(2*len(old), minTable))
	for _, s := range old {
		if s.ref != 0 {
			i, _ := t.find(s)
			t.slots[i] = s
		}
	}
}

// remove removes a key and returns its slot.
func (t *table) remove(s slot) (old slot, ok bool) {
	if t.used == 0 {
		return slot{}, false
	}
	i, ok := t.find(s)
	if !ok {
		return slot{}, false
	}
	old = t.slots[i]
	t.used--
	// What was pushed past the hole moves back into it.
	mask := len(t.slots) - 1
	for j := (i + 1) & mask; t.slots[j].ref != 0; j = (j + 1) & mask {
		if home := int(t.slots[j].hash) & mask; (j-home)&mask >= (j-i)&mask {
			t.slots[i] = t.slots[j]
			i = j
		}
	}
	t.slots[i] = slot{}
	return old, true
}

// alike returns the slots whose hash begins alike.
func (t *table) alike(hash uint64) (out []slot) {
	if t.used == 0 {
		return nil
	}
	mask := len(t.slots) - 1
	for i := int(hash) & mask; t.slots[i].ref != 0; i = (i + 1) & mask {
		if t.slots[i].hash == hash {
			out = append(out, t.slots[i])
		}
	}
	return out
}
