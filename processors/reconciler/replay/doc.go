// Package replay decides a recorded history again (rule D5): hiring.decisions gives the order and the clock, the inputs give
// the content. It only reads.
//
// Every state is computed anew, from nothing or from a checkpoint, and its digest is compared with the one on record: the
// first that differs is a [Fault], with its application and coordinates. Under other rules the same history is lived a second
// time beside it, and what comes out otherwise is a [Difference].
//
// # What the second life assumes, and what it does not
//
// What people and systems said is taken as recorded. Answers of the ATS to a write are taken over where both lives ask for
// the same; the clock of the second life fires its own timers. From the first write that only one of the two sends, what the
// ATS would have shown and what people would have done is not known: the second life ends there, and what the first goes on
// to do is counted as not compared. Nothing is guessed.
//
// # Where it begins and ends
//
// An application whose first decision is retained begins at nothing; another at the oldest state that hiring.state still
// holds and whose later inputs are all retained. One that has neither is counted, not judged. An erased application ends at
// its erasure.
//
// # Memory
//
// The log is read partition by partition. Only the states of one partition are held, at most [Config.Memory] bytes of them by
// estimate: where they do not fit, the applications are split by hash and the partition is read again for each part. Beside
// them there are 16,384 events at most that wait to be lived, application by application, and what the Kafka clients fetch
// ahead (4 MiB a topic). Nothing is kept on disk, as states hold personal data.
package replay
