package stream

// entry is one key of a partition in memory: its committed state, and within a
// transaction the state that transaction wrote (the overlay).
type entry[S any] struct {
	p   *Partition[S]
	key string

	val  S
	has  bool  // val is a state, not just the knowledge that there is none
	due  int64 // of val; 0 none
	size int64 // what the entry is charged

	ref     bool // used since the clock hand passed
	slot    int  // index in the cache's ring
	touched bool // read or written by the running transaction

	dirty bool // written by the running transaction
	tval  S
	thas  bool
	tdue  int64
	enc   []byte // encoded tval, once the transaction ends
}

// now returns the state as the running transaction sees it.
func (e *entry[S]) current() (S, bool) {
	if e.dirty {
		return e.tval, e.thas
	}
	return e.val, e.has
}

func (e *entry[S]) currentDue() int64 {
	if e.dirty {
		return e.tdue
	}
	return e.due
}

// entryOverhead is charged for an entry besides its key and its state.
const entryOverhead = 256

// charge is what an entry with a state of so many encoded bytes counts; has is
// false for the knowledge that there is none.
func (s *session[S]) charge(key string, val S, has bool, encoded int) int64 {
	size := 2 * encoded
	if has && s.codec.Size != nil {
		size = s.codec.Size(val)
	}
	return entryOverhead + int64(len(key)) + int64(size)
}

// cache bounds the decoded states of one session, over all its partitions,
// with the CLOCK policy. Entries of the running transaction are never evicted.
// It is owned by the session's goroutine.
type cache[S any] struct {
	max, used int64
	ring      []*entry[S]
	hand      int
}

func (c *cache[S]) add(e *entry[S], size int64) {
	e.size = size
	e.slot = len(c.ring)
	e.ref = true
	c.ring = append(c.ring, e)
	c.used += size
	e.p.entries[e.key] = e
}

func (c *cache[S]) resize(e *entry[S], size int64) {
	c.used += size - e.size
	e.size = size
}

func (c *cache[S]) remove(e *entry[S]) {
	last := len(c.ring) - 1
	c.ring[e.slot] = c.ring[last]
	c.ring[e.slot].slot = e.slot
	c.ring[last] = nil
	c.ring = c.ring[:last]
	c.used -= e.size
	delete(e.p.entries, e.key)
}

// evict removes unused entries until the cache is within its bound. The
// running transaction's own entries may keep it above.
func (c *cache[S]) evict() {
	for tries := 2 * len(c.ring); c.used > c.max && tries > 0 && len(c.ring) > 0; tries-- {
		if c.hand >= len(c.ring) {
			c.hand = 0
		}
		e := c.ring[c.hand]
		if e.touched || e.ref {
			e.ref = false
			c.hand++
			continue
		}
		c.remove(e) // the last entry moves under the hand
	}
}

// drop removes every entry of a partition.
func (c *cache[S]) drop(p *Partition[S]) {
	for i := len(c.ring) - 1; i >= 0; i-- {
		if c.ring[i].p == p {
			c.remove(c.ring[i])
		}
	}
}
