package reconciler

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/deadletter"
	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/wire"
)

// reader turns records into events. Owned by one session's goroutine; its scratch records are used again.
type reader struct {
	schemas   *wire.Schemas
	rules     *hiring.Rules
	keyed     kgo.TopicPartitioner // where Kafka's default partitioner puts a key
	count     int                  // partitions of every input
	screening wire.ScreeningEvent
	change    wire.AtsChange
	control   wire.Control
	outcome   wire.Outcome
	headers   []wire.Header
}

func newReader(s *wire.Schemas, r *hiring.Rules, partitions int32) *reader {
	return &reader{schemas: s, rules: r, keyed: kgo.StickyKeyPartitioner(nil).ForTopic(""), count: int(partitions)}
}

// read decodes rec into e and returns the application it is about. An error is a stream.Poison with a cause of
// wire.Cause, or retryable (the registry cannot be asked now).
func (r *reader) read(ctx context.Context, rec *kgo.Record, e *hiring.Event) (app string, err error) {
	*e = hiring.Event{}
	switch rec.Topic {
	case TopicScreening:
		w := &r.screening
		if err = r.decode(ctx, rec, w); err == nil {
			app = w.ApplicationID
			if err = r.envelope(rec, w); err == nil {
				err = screeningEvent(w, e)
			}
		}
	case TopicChanges:
		w := &r.change
		if err = r.decode(ctx, rec, w); err == nil {
			app = w.ApplicationID
			err = r.envelope(rec, w)
			changeEvent(w, e)
		}
	case TopicControl:
		w := &r.control
		if err = r.decode(ctx, rec, w); err == nil {
			app = w.ApplicationID
			err = r.envelope(rec, w)
			controlEvent(w, e)
		}
	case TopicOutcomes:
		w := &r.outcome
		if err = r.decode(ctx, rec, w); err == nil {
			app = w.ApplicationID
			outcomeEvent(w, e)
		}
	default:
		return "", stream.Fatal(fmt.Errorf("topic %q is no input of the reconciler", rec.Topic))
	}
	if err != nil {
		return app, classify(err)
	}
	seen := hiring.Micros(deadletter.ObservedAt(rec))
	if e.ObservedAt == 0 {
		e.ObservedAt = seen
	}
	return app, r.check(rec, app, e, seen)
}

func (r *reader) decode(ctx context.Context, rec *kgo.Record, into wire.Record) error {
	return r.schemas.Decode(ctx, rec.Value, into)
}

// envelope compares the CloudEvents headers, where there are any, with the record.
func (r *reader) envelope(rec *kgo.Record, e wire.Event) error {
	if len(rec.Headers) == 0 {
		return nil
	}
	r.headers = r.headers[:0]
	for _, h := range rec.Headers {
		r.headers = append(r.headers, wire.Header(h))
	}
	return wire.CheckEnvelope(r.headers, e.Envelope())
}

// classify makes a decoding error poison where it is the record's fault.
func classify(err error) error {
	var w *wire.Error
	if errors.As(err, &w) {
		return stream.Poison(string(w.Cause), err)
	}
	return err
}

// check refuses what no fold may see. seen is when the record came through our door: an observed_at that its sender
// put into the future does not excuse the future.
func (r *reader) check(rec *kgo.Record, app string, e *hiring.Event, seen hiring.Micros) error {
	instance, native, ok := strings.Cut(app, "/")
	switch {
	case e.ID == "" || e.Source == "":
		return poison(wire.CauseNoIdentity, "id or source is empty")
	case !ok || instance == "" || native == "":
		return poison(wire.CauseInvalidField, "application_id is not <ats instance>/<native id>")
	case hiring.Ours(app):
		return poison(wire.CauseInvalidField, "application_id is that of a partition's policy")
	case string(rec.Key) != app:
		return poison(wire.CauseKeyMismatch, "record key is not the application_id")
	case r.keyed.Partition(rec, r.count) != int(rec.Partition):
		// Two partitions would each fold half of the application.
		return poison(wire.CauseWrongPartition, "record is not on its key's partition: the client must partition by murmur2, as Java does")
	case e.Type == hiring.EventUnknown:
		return poison(wire.CauseUnsupportedType, "type is not known on "+rec.Topic)
	case e.Type.ATS() && e.System != instance:
		return poison(wire.CauseInvalidField, "system is not the ats instance of the application_id")
	case e.ObservedAt < 0:
		return poison(wire.CauseInvalidField, "observed_at is before the epoch")
	case e.Basis != hiring.BasisReceipt && seen > 0 && e.OccurredAt > seen.Add(r.rules.Bounds.ClockAhead):
		return poison(wire.CauseClockAhead, "occurred_at is too far ahead of the record's arrival")
	}
	e.Key = hiring.IdentityKey(e.Source, e.ID)
	return nil
}

// fits refuses what the rules in force let no fold see.
func fits(rules *hiring.Rules, e *hiring.Event) error {
	switch err := rules.Check(e); {
	case errors.Is(err, hiring.ErrClockAhead):
		return stream.Poison(string(wire.CauseClockAhead), err)
	case err != nil:
		return stream.Poison(string(wire.CauseInvalidField), err)
	}
	return nil
}

func poison(cause wire.Cause, what string) error {
	return stream.Poison(string(cause), errors.New(what))
}
