package stream

import (
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/store"
)

// Tx is the view a handler has of the running transaction, for one partition.
// It is valid only during the call it is handed to, in that goroutine.
//
// Writes, outputs and OnCommit functions of a call take effect together when
// the call returns nil, and not at all when it returns an error or panics.
type Tx[S any] struct {
	s   *session[S]
	p   *Partition[S]
	now int64

	// What the call did so far.
	undo     []undo[S]
	produced []*kgo.Record
	onCommit []func()
	dead     []string // causes
}

// undo is what a Put or Delete replaced.
type undo[S any] struct {
	e     *entry[S]
	dirty bool
	val   S
	has   bool
	due   int64
}

// Partition is the partition the call belongs to.
func (tx *Tx[S]) Partition() *Partition[S] { return tx.p }

// Now is the time of this call in microseconds since the epoch. It is the same
// throughout the call and never falls within a partition, over restarts and
// changes of owner included.
func (tx *Tx[S]) Now() int64 { return tx.now }

// Get returns the state of a key as this transaction sees it, and whether there
// is one. The value must not be changed in place.
func (tx *Tx[S]) Get(key string) (S, bool, error) {
	e, err := tx.p.load(key)
	if err != nil {
		var zero S
		return zero, false, err
	}
	s, ok := e.current()
	return s, ok, nil
}

// Keys returns the keys of one of so many shares, from 0 on, in order: all that [store.Share] puts there, those that this
// transaction has written included. A key it has deleted may be among them: Get tells.
func (tx *Tx[S]) Keys(share, of int) ([]string, error) {
	keys, err := tx.p.store.Keys(share, of)
	if err != nil {
		return nil, fmt.Errorf("list keys in partition %d: %w", tx.p.num, err)
	}
	for _, e := range tx.p.dirty {
		if e.thas && store.Share(e.key, of) == share {
			keys = append(keys, e.key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

// Put sets the state of a key; a state for which [Codec].Nil is true removes
// it. The value must not be changed afterwards.
func (tx *Tx[S]) Put(key string, s S) error {
	if nilFn := tx.s.codec.Nil; nilFn != nil && nilFn(s) {
		return tx.Delete(key)
	}
	return tx.write(key, s, true, tx.s.due(s))
}

// Delete removes the state of a key; the changelog gets a tombstone.
func (tx *Tx[S]) Delete(key string) error {
	var zero S
	return tx.write(key, zero, false, 0)
}

func (tx *Tx[S]) write(key string, s S, has bool, due int64) error {
	e, err := tx.p.load(key)
	if err != nil {
		return err
	}
	tx.undo = append(tx.undo, undo[S]{e, e.dirty, e.tval, e.thas, e.tdue})
	if !e.dirty {
		e.dirty = true
		tx.p.dirty = append(tx.p.dirty, e)
	}
	e.tval, e.thas, e.tdue = s, has, due
	return nil
}

// Record returns an empty output record that is used again after the
// transaction; fill it in and pass it to Produce or ProduceKeyed. Using it is
// optional.
func (tx *Tx[S]) Record() *kgo.Record { return tx.s.slab.next() }

// Keep returns a copy of b in memory that is used again after the transaction, for keys and values of outputs. Using it is
// optional.
func (tx *Tx[S]) Keep(b []byte) []byte { return tx.s.room.keep(b) }

// Produce adds an output to the transaction, on the partition number of the
// call. The topic must have as many partitions as the inputs. The record, its
// key and its value belong to the runtime from now on.
func (tx *Tx[S]) Produce(rec *kgo.Record) {
	rec.Partition = tx.p.num
	tx.produced = append(tx.produced, rec)
}

// ProduceKeyed adds an output whose partition follows from its key with
// Kafka's default partitioner (murmur2), for topics keyed by something else
// than the inputs.
func (tx *Tx[S]) ProduceKeyed(rec *kgo.Record) {
	rec.Partition = -1
	tx.produced = append(tx.produced, rec)
}

// DeadLetter adds a dead letter of a record to the transaction and counts it.
// Handlers usually return [Poison] instead.
func (tx *Tx[S]) DeadLetter(rec *kgo.Record, cause string, err error) {
	dl := tx.s.cfg.DeadLetter(rec, cause, err, time.UnixMicro(tx.now))
	dl.Partition = rec.Partition
	tx.produced = append(tx.produced, dl)
	tx.dead = append(tx.dead, cause)
}

// OnCommit runs fn in the session's goroutine once the transaction is known to
// be committed. On an abort or an unknown outcome fn never runs. Functions run
// in the order they were given.
func (tx *Tx[S]) OnCommit(fn func()) { tx.onCommit = append(tx.onCommit, fn) }

// start prepares tx for one call on a partition.
func (tx *Tx[S]) start(p *Partition[S]) {
	tx.p = p
	p.now = max(p.now, tx.s.cfg.Clock().UnixMicro())
	tx.now = p.now
	tx.s.join(p)
}

// accept makes what the call did part of the transaction.
func (tx *Tx[S]) accept() {
	for _, rec := range tx.produced {
		tx.s.produce(rec, tx.s.onProduced)
	}
	tx.s.onCommit = append(tx.s.onCommit, tx.onCommit...)
	tx.s.dead = append(tx.s.dead, tx.dead...)
	tx.clear()
}

// reject undoes what the call did.
func (tx *Tx[S]) reject() {
	for i := len(tx.undo) - 1; i >= 0; i-- {
		u := tx.undo[i]
		u.e.dirty, u.e.tval, u.e.thas, u.e.tdue = u.dirty, u.val, u.has, u.due
		if !u.dirty {
			// The first write of this call made it dirty, so it is the last of
			// the list that this call has not taken back yet.
			tx.p.dirty = tx.p.dirty[:len(tx.p.dirty)-1]
		}
	}
	tx.clear()
}

func (tx *Tx[S]) clear() {
	clear(tx.undo)
	clear(tx.produced)
	clear(tx.onCommit)
	tx.undo, tx.produced, tx.onCommit, tx.dead = tx.undo[:0], tx.produced[:0], tx.onCommit[:0], tx.dead[:0]
}

// slab hands out records that are used again after each transaction.
type slab struct {
	chunks [][]kgo.Record
	used   int
}

const slabChunk = 256

func (s *slab) next() *kgo.Record {
	i := s.used / slabChunk
	if i == len(s.chunks) {
		s.chunks = append(s.chunks, make([]kgo.Record, slabChunk))
	}
	rec := &s.chunks[i][s.used%slabChunk]
	s.used++
	*rec = kgo.Record{}
	return rec
}

func (s *slab) reset() { s.used = 0 }

// room hands out bytes that are used again after each transaction.
type room struct {
	chunks [][]byte
	n      int // of the chunk that is being filled
}

const roomChunk = 256 << 10

func (r *room) keep(b []byte) []byte {
	if len(b) > roomChunk/4 {
		return slices.Clone(b)
	}
	if r.n < len(r.chunks) && roomChunk-len(r.chunks[r.n]) < len(b) {
		r.n++
	}
	if r.n == len(r.chunks) {
		r.chunks = append(r.chunks, make([]byte, 0, roomChunk))
	}
	c := r.chunks[r.n]
	at := len(c)
	c = append(c, b...)
	r.chunks[r.n] = c
	return c[at:len(c):len(c)]
}

func (r *room) reset() {
	for i := range r.chunks {
		r.chunks[i] = r.chunks[i][:0]
	}
	r.n = 0
}
