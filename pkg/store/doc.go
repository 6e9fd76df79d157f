// Package store keeps keyed bytes of Kafka partitions in a local log with an
// index in memory, as a cache of a changelog topic.
//
// # Shape
//
// Every batch is appended to the log as one frame (frame.go), together with the
// changelog offset up to which its partition is current. The index (index.go)
// says where the newest entry of each key stands: 16 bytes a key, so a state is
// read with one read of the file and written with its share of one write, how
// many there are. Segments of the log (segment.go) of which little is live any
// more are rewritten (compact.go).
//
// # What survives
//
// There is no write-ahead log: the changelog is it. Whatever prefix of frames
// survives is consistent, and only the changelog's tail from the offset in it
// has to be read again. A frame is in the operating system's hands when
// [Batch.Apply] returns, so a killed process loses none; the log is synced every
// few seconds, so a crash of the machine loses those (recover.go).
//
// Nothing here is the authority. A partition that is too old, ahead of its
// changelog, or corrupt is wiped and rebuilt by the owner.
package store
