// Package store keeps keyed bytes of Kafka partitions in a local Pebble
// database, as a cache of a changelog topic.
//
// The database has no write-ahead log: the changelog is it. Every batch
// carries the changelog offset up to which it is current, so whatever prefix of
// batches survives a crash is consistent, and only the changelog's tail from
// that offset has to be read again. The database is flushed every few seconds
// to keep that tail short.
//
// Nothing here is the authority. A partition that is too old, ahead of its
// changelog, or corrupt is wiped and rebuilt by the owner.
package store
