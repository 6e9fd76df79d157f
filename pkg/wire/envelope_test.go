package wire_test

import (
	"slices"
	"testing"

	"github.com/concord-ats/concord/pkg/wire"
)

func TestEnvelope(t *testing.T) {
	t.Parallel()
	for _, e := range []wire.Event{
		sampleScreening(), sampleChange(), &wire.Control{ID: "1", Source: "/c", Type: "control.hold", OccurredAt: 5, ApplicationID: "gh/1"},
		&wire.CandidateEvent{ID: "1", Source: "/c", Type: "candidate.merged", OccurredAt: -5, System: "gh", CandidateID: "9"},
	} {
		headers := wire.EnvelopeHeaders(nil, e.Envelope())
		if len(headers) != 6 {
			t.Fatalf("%s has %d headers, want 6", e.RecordName(), len(headers))
		}
		if err := wire.CheckEnvelope(headers, e.Envelope()); err != nil {
			t.Errorf("%s: %v", e.RecordName(), err)
		}
		for i := range headers {
			other := append([]wire.Header(nil), headers...)
			other[i].Value = append([]byte("x"), other[i].Value...)
			want := wire.CauseEnvelopeMismatch
			if headers[i].Key == wire.HeaderSpecVersion {
				want = ""
			}
			if err := wire.CheckEnvelope(other, e.Envelope()); cause(err) != want {
				t.Errorf("%s with another %s: %v, want %q", e.RecordName(), headers[i].Key, err, want)
			}
			// One that comes twice must be right twice.
			if err := wire.CheckEnvelope(append(headers[:len(headers):len(headers)], other[i]), e.Envelope()); cause(err) != want {
				t.Errorf("%s with a second %s: %v, want %q", e.RecordName(), headers[i].Key, err, want)
			}
			// Every one may be left out.
			if err := wire.CheckEnvelope(headers[i:i+1], e.Envelope()); err != nil {
				t.Errorf("%s with %s alone: %v", e.RecordName(), headers[i].Key, err)
			}
		}
	}
}

func TestEnvelopeTime(t *testing.T) {
	t.Parallel()
	e := wire.Envelope{Time: 1767319445000006}
	for text, ok := range map[string]bool{
		"2026-01-02T02:04:05.000006Z":         true,
		"2026-01-02T03:04:05.000006+01:00":    true,
		"2026-01-02T02:04:05.000006999Z":      true, // finer than a microsecond
		"2026-01-02T02:04:05.000007Z":         false,
		"2026-01-02T02:04:05Z":                false,
		"2026-01-02 02:04:05.000006":          false,
		"1767319445000006":                    false,
		"":                                    false,
		"2026-01-02T02:04:05.000006Z trailer": false,
	} {
		err := wire.CheckEnvelope([]wire.Header{{Key: wire.HeaderTime, Value: []byte(text)}}, e)
		if (err == nil) != ok || err != nil && cause(err) != wire.CauseEnvelopeMismatch {
			t.Errorf("%q: %v, want ok = %v", text, err, ok)
		}
	}
	for _, at := range []wire.Micros{0, 1 << 62} {
		for _, h := range wire.EnvelopeHeaders(nil, wire.Envelope{Time: at}) {
			if h.Key == wire.HeaderTime {
				t.Errorf("a time of %d has a header %q", int64(at), h.Value)
			}
		}
	}
	if err := wire.CheckEnvelope([]wire.Header{{Key: "trace", Value: []byte("x")}, {Key: "content-type"}}, e); err != nil {
		t.Errorf("other headers: %v", err)
	}
}

// The headers of the published example of the Kafka binding (cloudevents/spec, Apache-2.0) are those of this package, and others
// beside them are passed over.
func TestPublishedHeaders(t *testing.T) {
	t.Parallel()
	e := &wire.ScreeningEvent{ID: "1234-1234-1234", Source: "/mycontext/subcontext", Type: "com.example.someevent", ApplicationID: "mykey"}
	if err := e.OccurredAt.UnmarshalJSON([]byte(`"2018-04-05T03:56:24Z"`)); err != nil {
		t.Fatal(err)
	}
	published := []wire.Header{
		{Key: "ce_specversion", Value: []byte("1.0")},
		{Key: "ce_type", Value: []byte("com.example.someevent")},
		{Key: "ce_source", Value: []byte("/mycontext/subcontext")},
		{Key: "ce_id", Value: []byte("1234-1234-1234")},
		{Key: "ce_time", Value: []byte("2018-04-05T03:56:24Z")},
		{Key: "content-type", Value: []byte("application/avro")},
	}
	if err := wire.CheckEnvelope(published, e.Envelope()); err != nil {
		t.Error(err)
	}
	for _, h := range wire.EnvelopeHeaders(nil, e.Envelope()) {
		same := func(p wire.Header) bool { return p.Key == h.Key && string(p.Value) == string(h.Value) }
		if h.Key != wire.HeaderSubject && !slices.ContainsFunc(published, same) {
			t.Errorf("%s: %s is not as published", h.Key, h.Value)
		}
	}
}
