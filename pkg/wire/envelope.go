package wire

import (
	"errors"
	"fmt"
	"time"
)

// Header is a record header.
type Header struct {
	Key   string
	Value []byte
}

// CloudEvents headers in binary mode, as the Kafka protocol binding names them.
const (
	HeaderSpecVersion = "ce_specversion"
	HeaderID          = "ce_id"
	HeaderSource      = "ce_source"
	HeaderType        = "ce_type"
	HeaderTime        = "ce_time"
	HeaderSubject     = "ce_subject"
)

// SourcePoller is the source of the snapshots that the poller publishes. What one of them changes, no webhook has told.
const SourcePoller = "concord://poller"

// Envelope is what the CloudEvents headers repeat of a record.
type Envelope struct {
	ID, Source, Type string
	Time             Micros // occurred_at
	Subject          string // the record key: application id, for candidate events <ats instance>/<candidate id or contact>
}

// Event is a record with an envelope.
type Event interface {
	Identified
	Envelope() Envelope
}

// Envelope returns what the headers repeat.
func (x *ScreeningEvent) Envelope() Envelope {
	return Envelope{ID: x.ID, Source: x.Source, Type: x.Type, Time: x.OccurredAt, Subject: x.ApplicationID}
}

// Envelope returns what the headers repeat.
func (x *AtsChange) Envelope() Envelope {
	return Envelope{ID: x.ID, Source: x.Source, Type: x.Type, Time: x.OccurredAt, Subject: x.ApplicationID}
}

// Envelope returns what the headers repeat.
func (x *Control) Envelope() Envelope {
	return Envelope{ID: x.ID, Source: x.Source, Type: x.Type, Time: x.OccurredAt, Subject: x.ApplicationID}
}

// Envelope returns what the headers repeat.
func (x *CandidateEvent) Envelope() Envelope {
	subject := x.CandidateID
	if x.Contact != "" {
		subject = x.Contact
	}
	return Envelope{ID: x.ID, Source: x.Source, Type: x.Type, Time: x.OccurredAt, Subject: x.System + "/" + subject}
}

var errTime = errors.New("ce_time is not an RFC 3339 time")

// CheckEnvelope compares the CloudEvents headers that are there with the record's envelope: texts exactly, times to the
// microsecond. Headers of other names are passed over; one that comes twice must be right twice. The error is an
// [*Error] with [CauseEnvelopeMismatch] that names the header and neither value.
func CheckEnvelope(headers []Header, e Envelope) error {
	for i := range headers {
		h := &headers[i]
		var same bool
		switch h.Key {
		case HeaderID:
			same = string(h.Value) == e.ID
		case HeaderSource:
			same = string(h.Value) == e.Source
		case HeaderType:
			same = string(h.Value) == e.Type
		case HeaderSubject:
			same = string(h.Value) == e.Subject
		case HeaderTime:
			t, err := time.Parse(time.RFC3339Nano, string(h.Value))
			if err != nil {
				return &Error{Cause: CauseEnvelopeMismatch, Err: errTime}
			}
			same = t.UnixMicro() == int64(e.Time)
		default:
			continue
		}
		if !same {
			return &Error{Cause: CauseEnvelopeMismatch, Err: fmt.Errorf("header %s differs from the record", h.Key)}
		}
	}
	return nil
}

// EnvelopeHeaders appends the CloudEvents headers of an envelope to dst. A time that is not known, or that RFC 3339
// cannot write, has no header.
func EnvelopeHeaders(dst []Header, e Envelope) []Header {
	dst = append(
		dst,
		Header{Key: HeaderSpecVersion, Value: []byte("1.0")},
		Header{Key: HeaderID, Value: []byte(e.ID)},
		Header{Key: HeaderSource, Value: []byte(e.Source)},
		Header{Key: HeaderType, Value: []byte(e.Type)},
	)
	if t := e.Time.Time(); e.Time != 0 && t.Year() >= 0 && t.Year() <= 9999 {
		dst = append(dst, Header{Key: HeaderTime, Value: t.AppendFormat(nil, time.RFC3339Nano)})
	}
	return append(dst, Header{Key: HeaderSubject, Value: []byte(e.Subject)})
}
