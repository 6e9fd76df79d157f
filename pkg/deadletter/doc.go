// Package deadletter makes, reads and replays dead letters: records a consumer could
// not accept.
//
// # What a dead letter is
//
// The original key and value, byte for byte (nil stays nil), under the same partition
// number, on the topic named after the source with ".dlq" appended. Its timestamp is
// the moment it was dead-lettered, as retention compares that with the wall clock. Its
// headers are those of the source record, untouched and first, followed by a block of
// UTF-8 headers of our own:
//
//	concord.dlq.cause             why, from the closed set of the consumer
//	concord.dlq.error             class of the error, never its text
//	concord.dlq.fingerprint       groups alike failures: cause, topic and error class
//	concord.dlq.topic             source topic
//	concord.dlq.partition         source partition, decimal
//	concord.dlq.offset            source offset, decimal
//	concord.dlq.timestamp         source timestamp, milliseconds since the epoch
//	concord.dlq.group             consumer group that refused the record
//	concord.dlq.observed_at       when the event was first seen, microseconds since the epoch
//	concord.dlq.attempt           how often this record was dead-lettered, from 1
//	concord.dlq.original_headers  how many of the headers before this block are the source's
//
// No header holds a stack trace, a piece of the payload or personal data. A topic of
// dead letters must accept records a little larger than its source does: the block
// takes less than 1 KiB.
//
// # Replay
//
// A replay produces the original record to its source topic first, and only when the
// brokers have acknowledged it records the disposition on the compacted topic
// DispositionsTopic, keyed by the letter's coordinates. A crash between the two leaves
// the letter replayable once more; the duplicate is caught where every duplicate is. The
// other order would lose the record. Two headers are added to a replayed record:
//
//	concord.observed_at  first seen, microseconds; a replay must not make an old event new
//	concord.replay       coordinates of the dead letter, topic/partition/offset
//	concord.attempt      how often the record was dead-lettered so far
//
// # Other people's letters
//
// Browsing also understands the headers of Kafka Streams (__streams.errors.), Kafka
// Connect (__connect.errors.), share groups (__dlq.errors.) and Spring Kafka
// (kafka_dlt-).
package deadletter
