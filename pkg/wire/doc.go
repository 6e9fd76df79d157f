// Package wire turns Avro bytes into Go types and back: the records of schemas/*.avsc, Confluent framing with schema
// ids, resolution of records written with an older or newer schema, and CloudEvents headers. It has no Kafka client.
//
// For every record T of the contract the generated code has
//
//	func (t *T) AppendAvro(dst []byte) []byte
//	func (t *T) DecodeAvro(src []byte) error
//	func (t *T) Reset()
//
// DecodeAvro overwrites t whole. It keeps no reference to src, reuses the slices and pointers t already has, and makes
// one string of src of which the decoded strings are parts: whoever keeps one string of a record keeps the record's
// bytes. Decoding into the same value twice therefore overwrites the elements of slices and pointers that were copied
// out of it: use a new value, or copy deeply, where a part outlives the next decode. An error is an [*Error] with
// [CauseUndecodable]; t is then in an unspecified but valid state. No input makes it panic or allocate more than a
// small multiple of its length.
//
// A value is owned by one goroutine at a time. [Schemas] is safe for concurrent use.
package wire

//go:generate go run ./avrogen
