package store

import "github.com/cockroachdb/pebble/v2"

// Batch collects changes of one partition to be applied at once. It is used
// again after Apply; it is not safe for concurrent use.
type Batch struct {
	p   *Partition
	b   *pebble.Batch
	key []byte
}

// NewBatch returns an empty batch. Close it when it is not used again.
func (p *Partition) NewBatch() (*Batch, error) {
	pdb, err := p.acquire()
	if err != nil {
		return nil, err
	}
	defer p.db.refs.Done()
	return &Batch{p: p, b: pdb.NewBatch()}, nil
}

// Put sets the bytes of a key and moves its entry in the due index from oldDue
// to due; 0 is no entry. Where oldDue is not known, 0 leaves the old entry
// behind as a stale hint.
func (b *Batch) Put(key string, value []byte, oldDue, due int64) error {
	b.key = appendKey(b.key[:0], b.p.prefix, kindState, key)
	if err := b.b.Set(b.key, value, nil); err != nil {
		return err
	}
	if oldDue == due {
		return nil
	}
	if err := b.DropDue(oldDue, key); err != nil || due == 0 {
		return err
	}
	b.key = appendDue(b.key[:0], b.p.prefix, due, key)
	return b.b.Set(b.key, nil, nil)
}

// Delete removes a key and its entry in the due index.
func (b *Batch) Delete(key string, oldDue int64) error {
	b.key = appendKey(b.key[:0], b.p.prefix, kindState, key)
	if err := b.b.Delete(b.key, nil); err != nil {
		return err
	}
	return b.DropDue(oldDue, key)
}

// DropDue removes one entry of the due index; due 0 does nothing.
func (b *Batch) DropDue(due int64, key string) error {
	if due == 0 {
		return nil
	}
	b.key = appendDue(b.key[:0], b.p.prefix, due, key)
	return b.b.Delete(b.key, nil)
}

// Bytes is the size of the batch in memory.
func (b *Batch) Bytes() int { return b.b.Len() }

// Apply writes the batch together with the mark, atomically, and empties it.
// It returns [ErrStale], and writes nothing, when a newer handle of the
// partition was taken. The data is readable at once and on disk at the
// database's next flush.
func (b *Batch) Apply(m Mark) error {
	pdb, err := b.p.acquire()
	if err != nil {
		return err
	}
	defer b.p.db.refs.Done()
	b.p.apply.Lock()
	defer b.p.apply.Unlock()
	if b.p.stale.Load() {
		return ErrStale
	}
	b.key = appendKey(b.key[:0], b.p.prefix, kindMark, "")
	var buf [markLen]byte
	if err := b.b.Set(b.key, m.append(buf[:0]), nil); err != nil {
		return err
	}
	if err := pdb.Apply(b.b, pebble.NoSync); err != nil {
		return b.p.db.classify(err)
	}
	b.b.Reset()
	b.p.mark.Store(&m)
	b.p.db.dirty.Store(true)
	return nil
}

// Discard empties the batch.
func (b *Batch) Discard() { b.b.Reset() }

// Close releases the batch.
func (b *Batch) Close() error { return b.b.Close() }
