package stream

import (
	"github.com/twmb/franz-go/pkg/kgo"
)

// Tx is the view a handler has of the running transaction, for one partition.
// It is valid only during the call it is handed to, in that goroutine.
//
// Writes, outputs and OnCommit functions of a call take effect together when
// the call returns nil, and not at all when it returns an error or panics.
type Tx[S any] struct {
	s *session[S]
	p *Partition[S]
}

// Partition is the partition the call belongs to.
func (tx *Tx[S]) Partition() *Partition[S] { return tx.p }

// Now is the time of this call in microseconds since the epoch. It is the same
// throughout the call and never falls within a partition, over restarts and
// changes of owner included (to the millisecond).
func (tx *Tx[S]) Now() int64 { return 0 }

// Get returns the state of a key as this transaction sees it, and whether there
// is one. The value must not be changed in place.
func (tx *Tx[S]) Get(key string) (S, bool, error) { var s S; return s, false, nil }

// Put sets the state of a key. The value must not be changed afterwards.
func (tx *Tx[S]) Put(key string, s S) error { return nil }

// Delete removes the state of a key; the changelog gets a tombstone.
func (tx *Tx[S]) Delete(key string) error { return nil }

// Record returns an empty output record that is used again after the
// transaction; fill it in and pass it to Produce or ProduceKeyed. Using it is
// optional.
func (tx *Tx[S]) Record() *kgo.Record { return nil }

// Produce adds an output to the transaction, on the partition number of the
// call. The topic must have as many partitions as the inputs. The record
// belongs to the runtime from now on.
func (tx *Tx[S]) Produce(rec *kgo.Record) {}

// ProduceKeyed adds an output whose partition follows from its key with
// Kafka's default partitioner (murmur2), for topics keyed by something else
// than the inputs.
func (tx *Tx[S]) ProduceKeyed(rec *kgo.Record) {}

// DeadLetter adds a dead letter of a record to the transaction and counts it.
// Handlers usually return [Poison] instead.
func (tx *Tx[S]) DeadLetter(rec *kgo.Record, cause string, err error) {}

// OnCommit runs fn in the session's goroutine once the transaction is known to
// be committed. On an abort or an unknown outcome fn never runs.
func (tx *Tx[S]) OnCommit(fn func()) {}
