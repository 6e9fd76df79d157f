package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// Partition is the stored state of one changelog partition. One handle is
// current at a time: taking a new one makes the older stale, so that a former
// owner in the same process can no longer write. Reads and writes of one handle
// may run in different goroutines.
type Partition struct {
	db     *DB
	id     partitionID
	prefix []byte

	stale atomic.Bool
	apply sync.Mutex // held while a batch is written
	mark  atomic.Pointer[Mark]
}

// Partition returns the current handle of a partition of the changelog with the
// given topic id, and makes any older handle stale.
func (db *DB) Partition(topic [16]byte, n int32) (*Partition, error) {
	pdb, err := db.acquire()
	if err != nil {
		return nil, err
	}
	defer db.refs.Done()
	p := &Partition{db: db, id: partitionID{topic, n}}
	p.prefix = p.id.prefix()

	db.mu.Lock()
	old := db.handles[p.id]
	db.handles[p.id] = p
	db.mu.Unlock()
	if old != nil {
		old.stale.Store(true)
		old.apply.Lock() // wait for a batch under way
		defer old.apply.Unlock()
	}
	m, err := p.readMark(pdb)
	if err != nil {
		return nil, err
	}
	p.mark.Store(&m)
	return p, nil
}

func (p *Partition) readMark(pdb *pebble.DB) (Mark, error) {
	b, ok, err := get(pdb, nil, appendKey(nil, p.prefix, kindMark, ""))
	if err != nil || !ok {
		return Mark{}, err
	}
	m, ok := parseMark(b)
	if !ok {
		return Mark{}, fmt.Errorf("%w: mark of partition %d has %d bytes", ErrCorrupt, p.id.n, len(b))
	}
	return m, nil
}

func (p *Partition) acquire() (*pebble.DB, error) {
	pdb, err := p.db.acquire()
	if err != nil {
		return nil, err
	}
	if p.stale.Load() {
		p.db.refs.Done()
		return nil, ErrStale
	}
	return pdb, nil
}

// Mark says how current the partition is.
func (p *Partition) Mark() Mark { return *p.mark.Load() }

// Get appends the bytes of a key to dst, and reports whether there are any.
func (p *Partition) Get(dst []byte, key string) ([]byte, bool, error) {
	pdb, err := p.acquire()
	if err != nil {
		return dst, false, err
	}
	defer p.db.refs.Done()
	var buf [256]byte
	return get(pdb, dst, appendKey(buf[:0], p.prefix, kindState, key))
}

// Scan calls fn with every key and its bytes, in key order, until fn returns
// false. The bytes are only valid during the call.
func (p *Partition) Scan(fn func(key string, value []byte) bool) error {
	lower := appendKey(nil, p.prefix, kindState, "")
	upper := appendKey(nil, p.prefix, kindEnd, "")
	return p.iterate(lower, upper, func(key, value []byte) bool {
		return fn(string(key[prefixLen+1:]), value)
	})
}

// Due calls fn with every entry of the due index at or after from, earliest
// first, until fn returns false. An entry is a hint: after a restore it may
// name a due time the state no longer has. Drop such an entry with
// [Batch.DropDue].
func (p *Partition) Due(from int64, fn func(due int64, key string) bool) error {
	lower := appendDue(nil, p.prefix, from, "")
	upper := appendKey(nil, p.prefix, kindState, "")
	return p.iterate(lower, upper, func(key, _ []byte) bool {
		key = key[prefixLen+1:]
		return fn(int64(binary.BigEndian.Uint64(key)), string(key[8:]))
	})
}

func (p *Partition) iterate(lower, upper []byte, fn func(key, value []byte) bool) error {
	pdb, err := p.acquire()
	if err != nil {
		return err
	}
	defer p.db.refs.Done()
	it, err := pdb.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return p.db.classify(err)
	}
	var verr error
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			verr = err
			break
		}
		if !fn(it.Key(), value) {
			break
		}
	}
	return p.db.classify(errors.Join(verr, it.Error(), it.Close()))
}

// Wipe removes everything of the partition, its mark included.
func (p *Partition) Wipe() error {
	pdb, err := p.acquire()
	if err != nil {
		return err
	}
	defer p.db.refs.Done()
	p.apply.Lock()
	defer p.apply.Unlock()
	if p.stale.Load() {
		return ErrStale
	}
	lower := appendKey(nil, p.prefix, kindMark, "")
	upper := appendKey(nil, p.prefix, kindEnd, "")
	if err := pdb.DeleteRange(lower, upper, pebble.NoSync); err != nil {
		return p.db.classify(err)
	}
	p.db.dirty.Store(true)
	p.mark.Store(&Mark{})
	return nil
}

// Offsets returns the changelog offset of every stored partition of a topic.
func (db *DB) Offsets(topic [16]byte) (map[int32]int64, error) {
	pdb, err := db.acquire()
	if err != nil {
		return nil, err
	}
	defer db.refs.Done()
	first := partitionID{topic, 0}.prefix()
	it, err := pdb.NewIter(&pebble.IterOptions{LowerBound: first, UpperBound: partitionID{topic, -1}.prefix()})
	if err != nil {
		return nil, db.classify(err)
	}
	out := make(map[int32]int64)
	// Each step lands on a partition's mark, its first key, and skips the rest.
	for ok := it.First(); ok; {
		key := it.Key()
		n := int32(binary.BigEndian.Uint32(key[17:]))
		if key[prefixLen] == kindMark {
			if m, ok := parseMark(it.Value()); ok {
				out[n] = m.Offset
			}
		}
		ok = it.SeekGE(partitionID{topic, n + 1}.prefix())
	}
	return out, db.classify(errors.Join(it.Error(), it.Close()))
}
