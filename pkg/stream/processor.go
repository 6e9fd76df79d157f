package stream

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Codec turns a state into the bytes of the changelog and back. Its functions
// must be pure and may be called from several sessions at once.
//
// The runtime treats a state as immutable: a value from [Tx.Get], or given to
// [Tx.Put], is shared with its cache and must not be changed in place. Put a
// new one instead.
type Codec[S any] struct {
	// Decode reads the bytes Append wrote. It must not keep value.
	Decode func(key string, value []byte) (S, error)
	// Append appends the encoded state to dst and returns it. Equal states
	// must give equal bytes.
	Append func(dst []byte, s S) []byte
	// Bytes is what Append would append, for states that are kept encoded: it spares a copy. Nobody changes it. Optional.
	Bytes func(s S) []byte
	// Due is the earliest timer of the state, in microseconds since the epoch;
	// 0 is none. Nil means no state has timers.
	Due func(s S) int64
	// DueOf is Due of an encoded state. Optional: it spares a restore the
	// decoding of every state.
	DueOf func(value []byte) (int64, error)
	// Size is the memory a state takes, in bytes, for the bound of the cache. Nil means twice its encoding, as a
	// decoded state is about that much larger.
	Size func(s S) int
	// Nil says that a state is as good as none: Put of it writes a tombstone.
	// Nil means never.
	Nil func(s S) bool
}

// Env is what a session knows of its surroundings when it builds its processor.
type Env struct {
	Session    int                 // 0-based
	ClusterID  string              // as the brokers report it
	Group      string              // consumer group
	TopicIDs   map[string][16]byte // inputs and changelog, by name
	Partitions int32               // of every input
}

// Processor is the logic of one session. All methods are called from the
// session's own goroutine, never two at once. They may block only for as long
// as a transaction may stay open.
//
// See the package comment for the classes of errors.
type Processor[S any] interface {
	// Assigned is called when a partition has been restored, before its first
	// record, timer or submitted function. It may scan the partition and start
	// goroutines that end with [Partition.Context].
	Assigned(p *Partition[S]) error
	// Prepare sees the records that are handled next, in that order, before any
	// is, so that one round trip to another system can serve them all. The
	// slice is only valid during the call, the records until the transaction
	// ends: then their memory is used again.
	// It may be called again for the same records after an abort.
	Prepare(ctx context.Context, recs []*kgo.Record) error
	// Handle handles one record.
	Handle(tx *Tx[S], rec *kgo.Record) error
	// Fire handles the due timer of a key; due is what Codec.Due said. The
	// state must come out with another due time, or it fires again.
	Fire(tx *Tx[S], key string, due int64) error
	// Flush is called for each partition the transaction touched, in partition
	// order, just before the transaction ends.
	Flush(tx *Tx[S]) error
}
