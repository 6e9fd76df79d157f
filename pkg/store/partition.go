package store

import (
	"cmp"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
)

// Partition is the stored state of one changelog partition. One handle is
// current at a time: taking a new one makes the older stale, so that a former
// owner in the same process can no longer write. Reads and writes of one handle
// may run in different goroutines.
type Partition struct {
	db    *DB
	shard *shard
	stale atomic.Bool
}

// shard is what the handles of one partition share.
type shard struct {
	db *DB
	id partitionID

	apply sync.Mutex // held while a frame of the partition is written and indexed
	gen   uint64     // guarded by apply
	mark  atomic.Pointer[Mark]

	mu    sync.RWMutex // of the index; held while an entry it points to is read
	table table
	due   dueIndex
}

func newShard(db *DB, id partitionID) *shard {
	s := &shard{db: db, id: id, due: newDueIndex()}
	s.mark.Store(&Mark{})
	return s
}

// index points the index to an entry, or away from a deleted key. The caller
// holds mu.
func (s *shard) index(e *indexedEntry) {
	var (
		old slot
		ok  bool
	)
	if e.deleted {
		old, ok = s.table.remove(e.slot)
	} else {
		old, ok = s.table.put(e.slot)
		s.db.count(e.slot, 1)
	}
	if ok {
		s.db.count(old, -1)
	}
}

// clear empties the index. The caller holds mu.
func (s *shard) clear() {
	for _, old := range s.table.slots {
		if old.ref != 0 {
			s.db.count(old, -1)
		}
	}
	s.table, s.due = table{}, newDueIndex()
}

// count adds an entry to what is live in its segment, or takes it away.
func (db *DB) count(s slot, n int64) {
	if g := db.segments[s.ref.place()].Load(); g != nil {
		g.live.Add(n * s.ref.bytes())
	}
}

// Partition returns the current handle of a partition of the changelog with the
// given topic id, and makes any older handle stale.
func (db *DB) Partition(topic [16]byte, n int32) (*Partition, error) {
	if err := db.acquire(); err != nil {
		return nil, err
	}
	defer db.release()
	id := partitionID{topic, n}
	db.mu.Lock()
	p := &Partition{db: db, shard: db.shard(id)}
	old := db.handles[id]
	db.handles[id] = p
	db.mu.Unlock()
	if old != nil {
		old.stale.Store(true)
		p.shard.apply.Lock() // wait for a batch under way
		defer p.shard.apply.Unlock()
	}
	return p, nil
}

// shard returns what is known of a partition. The caller holds db.mu.
func (db *DB) shard(id partitionID) *shard {
	s := db.shards[id]
	if s == nil {
		s = newShard(db, id)
		db.shards[id] = s
	}
	return s
}

func (p *Partition) acquire() error {
	if err := p.db.acquire(); err != nil {
		return err
	}
	if p.stale.Load() {
		p.db.release()
		return ErrStale
	}
	return nil
}

// Mark says how current the partition is.
func (p *Partition) Mark() Mark { return *p.shard.mark.Load() }

// Get appends the bytes of a key to dst, and reports whether there are any.
func (p *Partition) Get(dst []byte, key string) ([]byte, bool, error) {
	if err := p.acquire(); err != nil {
		return dst, false, err
	}
	defer p.db.release()
	n := len(dst)
	e, room, ok, err := p.shard.get(identify(key), dst[n:])
	if !ok || err != nil {
		return dst, false, err
	}
	if string(e.key) != key {
		return dst, false, p.db.damaged("an entry is of another key")
	}
	if n == 0 { // the entry stands where its value shall
		return append(room[:0], e.value...), true, nil
	}
	return append(dst, e.value...), true, nil
}

// get reads the entry of a key into room.
func (s *shard) get(key slot, room []byte) (entry, []byte, bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	at, ok := s.table.get(key)
	if !ok {
		return entry{}, room, false, nil
	}
	e, room, err := s.db.read(at, room)
	return e, room, err == nil, err
}

// Scan calls fn with every key and its bytes, in the order in which they were
// written, until fn returns false. The bytes are only valid during the call.
// What is written meanwhile may be left out.
func (p *Partition) Scan(fn func(key string, value []byte) bool) error {
	if err := p.acquire(); err != nil {
		return err
	}
	s := p.shard
	s.mu.RLock()
	keys := make([]slot, 0, s.table.used)
	for _, at := range s.table.slots {
		if at.ref != 0 {
			keys = append(keys, at)
		}
	}
	seq := make(map[int]uint64)
	for _, at := range keys {
		if place := at.ref.place(); seq[place] == 0 {
			seq[place] = p.db.segments[place].Load().seq
		}
	}
	s.mu.RUnlock()
	p.db.release()
	slices.SortFunc(keys, func(a, b slot) int {
		return cmp.Or(cmp.Compare(seq[a.ref.place()], seq[b.ref.place()]), cmp.Compare(a.ref.at(), b.ref.at()))
	})
	var room []byte
	for _, key := range keys {
		if err := p.acquire(); err != nil {
			return err
		}
		var (
			e   entry
			ok  bool
			err error
		)
		e, room, ok, err = s.get(key, room)
		p.db.release()
		switch {
		case err != nil:
			return err
		case ok && !fn(string(e.key), e.value):
			return nil
		}
	}
	return nil
}

// Len is how many keys there are.
func (p *Partition) Len() int {
	p.shard.mu.RLock()
	defer p.shard.mu.RUnlock()
	return p.shard.table.used
}

// Share is which of so many shares of all keys a key belongs to, from 0 on. It depends on the key alone, and the shares are
// of one size.
func Share(key string, of int) int { return identify(key).share(of) }

func (s slot) share(of int) int {
	n, _ := bits.Mul64(s.hash, uint64(of))
	return int(n)
}

// Keys returns the keys of a share, see Share, in no order.
func (p *Partition) Keys(share, of int) ([]string, error) {
	if err := p.acquire(); err != nil {
		return nil, err
	}
	defer p.db.release()
	s := p.shard
	s.mu.RLock()
	defer s.mu.RUnlock()
	var (
		keys []string
		room []byte
	)
	for _, at := range s.table.slots {
		if at.ref == 0 || at.share(of) != share {
			continue
		}
		var (
			e   entry
			err error
		)
		if e, room, err = s.db.read(at, room); err != nil {
			return nil, err
		}
		keys = append(keys, string(e.key))
	}
	return keys, nil
}

// Due calls fn with every entry of the due index at or after from, earliest
// first, until fn returns false.
func (p *Partition) Due(from int64, fn func(due int64, key string) bool) error {
	s := p.shard
	var room []byte
	after := beforeDue(from)
	for few := 1; ; few = 64 { // most callers want the first
		if err := p.acquire(); err != nil {
			return err
		}
		s.mu.RLock()
		items := s.due.next(make([]dueItem, 0, few), after)
		s.mu.RUnlock()
		p.db.release()
		if len(items) == 0 {
			return nil
		}
		for _, it := range items {
			after = it
			more, err := s.hinted(p, it, &room, fn)
			if err != nil || !more {
				return err
			}
		}
	}
}

// hinted calls fn for each key an item of the due index may be of. Where there is
// none the item is dropped.
func (s *shard) hinted(p *Partition, it dueItem, room *[]byte, fn func(due int64, key string) bool) (bool, error) {
	if err := p.acquire(); err != nil {
		return false, err
	}
	s.mu.RLock()
	keys, err := s.dueAt(it, room)
	s.mu.RUnlock()
	if err == nil && len(keys) == 0 {
		s.mu.Lock()
		if keys, err = s.dueAt(it, room); err == nil && len(keys) == 0 {
			s.due.drop(it.due, it.hash)
		}
		s.mu.Unlock()
	}
	p.db.release()
	if err != nil {
		return false, err
	}
	for _, key := range keys {
		if !fn(it.due, key) {
			return false, nil
		}
	}
	return true, nil
}

// dueAt returns the keys that an item of the due index is of. The caller holds mu.
func (s *shard) dueAt(it dueItem, room *[]byte) (keys []string, err error) {
	for _, at := range s.table.alike(it.hash) {
		e, b, err := s.db.read(at, *room)
		*room = b
		if err != nil {
			return nil, err
		}
		if e.due == it.due {
			keys = append(keys, string(e.key))
		}
	}
	return keys, nil
}

// Wipe removes everything of the partition, its mark included.
func (p *Partition) Wipe() error {
	if err := p.acquire(); err != nil {
		return err
	}
	defer p.db.release()
	s := p.shard
	s.apply.Lock()
	defer s.apply.Unlock()
	if p.stale.Load() {
		return ErrStale
	}
	s.gen++
	s.mu.Lock()
	s.clear()
	s.mu.Unlock()
	return s.write(make([]byte, frameHeader), nil, Mark{})
}

// Offsets returns the changelog offset of every stored partition of a topic.
func (db *DB) Offsets(topic [16]byte) (map[int32]int64, error) {
	if err := db.acquire(); err != nil {
		return nil, err
	}
	defer db.release()
	db.mu.Lock()
	defer db.mu.Unlock()
	out := make(map[int32]int64)
	for id, s := range db.shards {
		if m := s.mark.Load(); id.topic == topic && *m != (Mark{}) {
			out[id.n] = m.Offset
		}
	}
	return out, nil
}
