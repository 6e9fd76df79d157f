package wire

import (
	"fmt"

	"github.com/concord-ats/concord/pkg/wire/avro"
)

// Cause is the closed set of causes for which a record is dead-lettered. It is the dead letter's header, the metric
// label and the log field at once.
type Cause string

// Causes. Those this package returns itself say when; the others belong to the processors.
const (
	CauseBadFraming       Cause = "bad_framing"       // no 0x00 and 4-byte schema id in front
	CauseUnknownSchema    Cause = "unknown_schema"    // the registry has no such id, or it is no version of the record's schema
	CauseUndecodable      Cause = "undecodable"       // the bytes are not what the schema says
	CauseOversize         Cause = "oversize"          // more than [MaxValueSize] bytes
	CauseEnvelopeMismatch Cause = "envelope_mismatch" // a CloudEvents header contradicts the record
	CauseUnsupportedType  Cause = "unsupported_type"  // an event type nobody here understands
	CauseInvalidField     Cause = "invalid_field"     // a field holds what it may not
	CauseKeyMismatch      Cause = "key_mismatch"      // the record key is not the application id
	CauseWrongPartition   Cause = "wrong_partition"   // the record lies on another partition than its key's
	CauseClockAhead       Cause = "clock_ahead"       // occurred_at is too far in the future
	CauseFoldPanic        Cause = "fold_panic"        // the program failed on it
	CauseNoIdentity       Cause = "no_identity"       // id or source is empty
	CauseUnresolved       Cause = "unresolved"        // a webhook whose application nothing tells
)

// Causes returns every cause, in a fixed order.
func Causes() []Cause {
	return []Cause{
		CauseBadFraming, CauseUnknownSchema, CauseUndecodable, CauseOversize, CauseEnvelopeMismatch, CauseUnsupportedType,
		CauseInvalidField, CauseKeyMismatch, CauseWrongPartition, CauseClockAhead, CauseFoldPanic, CauseNoIdentity,
		CauseUnresolved,
	}
}

// Error says that a record can never be used, and why. It carries no value of the record. Any other error of this
// package is worth a retry.
type Error struct {
	Cause Cause
	Err   error
}

// Error returns the cause and what was found.
func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Cause, e.Err) }

// Unwrap returns what was found.
func (e *Error) Unwrap() error { return e.Err }

// decodeError says where in which record decoding stopped.
type decodeError struct {
	record string
	at     int
	err    error
}

func (e *decodeError) Error() string {
	return fmt.Sprintf("decode %s at byte %d: %v", e.record, e.at, e.err)
}

func (e *decodeError) Unwrap() error { return e.err }

// finish returns what was wrong with the record, if anything.
func finish(d *avro.Decoder, record string) error {
	at, err := d.Finish()
	if err == nil {
		return nil
	}
	return &Error{Cause: CauseUndecodable, Err: &decodeError{record: record, at: at, err: err}}
}
