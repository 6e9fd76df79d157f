package store

import (
	"errors"
	"sync"
)

// Batch collects changes of one partition to be applied at once. It is used
// again after Apply; it is not safe for concurrent use.
type Batch struct {
	p        *Partition
	closed   bool
	*changes // nil while it is empty
}

// changes are what a batch collects. They are lent to the batch that needs them: of many partitions only a few are
// written at once, and memory that was used just now is warm.
type changes struct {
	buf []byte // the frame: room for its header, then entries
	ops []op
}

var spare = sync.Pool{New: func() any { return &changes{buf: make([]byte, frameHeader)} }}

// op is what an entry, or a change of the due index alone, does to the index.
type op struct {
	slot    slot
	at      int // of the entry in the frame; 0 where there is none
	size    int
	deleted bool
	oldDue  int64 // to be dropped from the due index
	due     int64 // of the entry
}

// NewBatch returns an empty batch. Close it when it is not used again.
func (p *Partition) NewBatch() (*Batch, error) {
	if err := p.acquire(); err != nil {
		return nil, err
	}
	defer p.db.release()
	return &Batch{p: p}, nil
}

func (b *Batch) begin() {
	if b.changes == nil {
		b.changes = spare.Get().(*changes)
	}
}

// Put sets the bytes of a key and moves its entry in the due index from oldDue
// to due; 0 is no entry. Where oldDue is not known, 0 leaves the old entry
// behind until it is found to be stale.
func (b *Batch) Put(key string, value []byte, oldDue, due int64) error {
	b.begin()
	at := len(b.buf)
	b.buf = appendEntry(b.buf, key, value, false, due)
	b.ops = append(b.ops, op{slot: identify(key), at: at, size: len(b.buf) - at, oldDue: oldDue, due: due})
	return nil
}

// Delete removes a key and its entry in the due index.
func (b *Batch) Delete(key string, oldDue int64) error {
	b.begin()
	at := len(b.buf)
	b.buf = appendEntry(b.buf, key, nil, true, 0)
	b.ops = append(b.ops, op{slot: identify(key), at: at, size: len(b.buf) - at, deleted: true, oldDue: oldDue})
	return nil
}

// DropDue removes one entry of the due index; due 0 does nothing.
func (b *Batch) DropDue(due int64, key string) error {
	if due != 0 {
		b.begin()
		b.ops = append(b.ops, op{slot: identify(key), oldDue: due})
	}
	return nil
}

// Bytes is the size of the batch in memory.
func (b *Batch) Bytes() int {
	if b.changes == nil {
		return 0
	}
	return len(b.buf)
}

// keptBatch is how large a buffer is kept for the next use.
const keptBatch = 16 << 20

// Apply writes the batch together with the mark, atomically, and empties it.
// It returns [ErrStale], and writes nothing, when a newer handle of the
// partition was taken. The data is readable at once, outlives this process, and
// is on disk at the database's next flush.
func (b *Batch) Apply(m Mark) error {
	p := b.p
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
	b.begin()
	if err := s.write(b.buf, b.ops, m); err != nil {
		return err
	}
	b.Discard()
	return nil
}

// write appends a frame and brings it to the index. The caller holds s.apply.
func (s *shard) write(buf []byte, ops []op, m Mark) error {
	db := s.db
	entries := 0
	for i := range ops {
		if ops[i].at > 0 {
			entries++
		}
	}
	f := frame{id: s.id, gen: s.gen, mark: m, body: len(buf) - frameHeader, entries: entries}
	f.put(buf)
	in, err := db.append(buf, f, ops)
	if err != nil {
		err = db.classify(err)
		db.fail(err)
		return err
	}
	s.mu.Lock()
	next := 0
	for i := range ops {
		o := &ops[i]
		if o.oldDue != o.due {
			s.due.drop(o.oldDue, o.slot.hash)
			s.due.add(o.due, o.slot.hash)
		}
		if o.at > 0 {
			s.index(&in.slots[next])
			next++
		}
	}
	s.mu.Unlock()
	s.mark.Store(&m)
	return nil
}

// Discard empties the batch.
func (b *Batch) Discard() {
	if b.changes == nil {
		return
	}
	if cap(b.buf) <= keptBatch {
		b.buf, b.ops = b.buf[:frameHeader], b.ops[:0]
		spare.Put(b.changes)
	}
	b.changes = nil
}

// Close releases the batch.
func (b *Batch) Close() error {
	if b.closed {
		return errors.New("batch is closed")
	}
	b.closed = true
	b.Discard()
	return nil
}
