// Package stream is an exactly-once runtime for keyed state on Kafka: it
// consumes co-partitioned inputs, folds them into one state per key, and writes
// outputs, state (the changelog) and input offsets in one Kafka transaction.
// The package knows nothing of what the bytes mean.
//
// # Shape
//
// A [Runner] runs several sessions. A session is one group member with one
// transactional id and one goroutine that runs every handler of its partitions,
// so a [Processor] needs no lock. A session is one failure domain: when it has
// to start again, the others go on.
//
// Each session repeats, per transaction:
//
//	Prepare   sees the records that are handled next, before any is
//	Handle    once for each record, in offset order within a topic partition,
//	          across the inputs of a partition the oldest first
//	Fire      once for each timer that is due
//	Submit'd  functions, in the order they were submitted
//	Flush     once for each partition the transaction touched
//
// # The order of persisting and sending
//
// This order is a contract. The local store never runs ahead of the log, and
// nothing leaves the process before it is known committed.
//
//  1. Writes of a transaction ([Tx.Put], [Tx.Delete]) stay in an overlay in
//     memory. Outputs are produced inside the transaction.
//  2. At the end of the transaction each dirty key becomes one record of the
//     changelog, in the same transaction, with the input offsets. Partitions
//     that consumed nothing commit their current offset as well, so the group
//     coordinator refuses the whole transaction of a member that lost them.
//  3. The broker commits, or not. Three results are kept apart:
//     committed: go to 4. Known abort: the overlay and every decoded state the
//     transaction touched are dropped, the consumer is back at the committed
//     offsets, and the session goes on. Unknown (the end of the transaction
//     returned an error, or an abort nobody asked for cannot be confirmed): the
//     session is closed and built again under the same transactional id, which
//     fences and ends the old transaction, and its partitions are restored from
//     the changelog before anything is handled.
//  4. The overlay reaches the local store, with the changelog offset, in one
//     atomic batch. A crash before this point loses nothing: the changelog is
//     the store's write-ahead log.
//  5. Functions given to [Tx.OnCommit] run. On an abort or an unknown outcome
//     they never run.
//
// So an effect outside Kafka may start in OnCommit at the earliest, and its
// result comes back through [Partition.Submit].
//
// # Restore
//
// A partition is restored after the group's committed offsets have been read
// and before its inputs are: from the changelog offset in the store to the end
// of the changelog as it was then, by the position of a read-committed
// consumer. A store that is too old (a tombstone could have been compacted
// away), ahead of the log, or corrupt is wiped and rebuilt in full.
//
// # Timers
//
// A timer is not an object: it is what [Codec].Due says of the state. The store
// indexes it by due time, so a restore rebuilds it. Timers of a partition fire
// once it has consumed its inputs to the end seen at its assignment, so
// that a deadline is not declared missed while the answer waits in the backlog.
//
// # A backlog
//
// What is polled waits in a lane for each input of a partition. The oldest
// record goes first, and an input known to have a backlog is waited for when it
// has no record there, for a bounded time; live traffic waits for nothing. A
// transaction commits the offsets of what it handled. After an abort everything
// that is not committed is polled again.
//
// # Errors
//
// A handler's error is one of three: [Poison] (this record can never be
// handled: dead letter, the partition goes on), [Fatal] (stop the process), or
// anything else (the transaction is aborted and tried again, with a growing
// delay and a visible reason).
package stream
