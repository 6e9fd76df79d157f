package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/deadletter"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// The types of candidate.events.
const (
	typeLinked      = "candidate.linked"
	typeUnlinked    = "candidate.unlinked"
	typeMerged      = "candidate.merged"
	typeAbsorbed    = "candidate.absorbed"
	typeAnonymized  = "candidate.anonymized"
	typeDuplicate   = "candidate.duplicate"
	typeDeleted     = "candidate.deleted"
	typeSeen        = "candidate.seen"
	typeMatched     = "candidate.matched"
	typeUnmatched   = "candidate.unmatched"
	typeContactSeen = "contact.seen"
	typeContactGone = "contact.gone"
)

// codec keeps states as JSON: there are few of them, and an operator can read them.
func codec() stream.Codec[*person] {
	return stream.Codec[*person]{
		Decode: func(key string, value []byte) (*person, error) {
			p := new(person)
			if err := json.Unmarshal(value, p); err != nil {
				return nil, fmt.Errorf("identity state of a key of %d bytes: %w", len(key), err)
			}
			return p, nil
		},
		Append: func(dst []byte, p *person) []byte {
			b, err := json.Marshal(p)
			if err != nil { // a person is texts, numbers and lists of them
				panic(err)
			}
			return append(dst, b...)
		},
		Nil: func(p *person) bool {
			return len(p.Applications) == 0 && p.Merged == nil && p.Anonymized == nil && len(p.Others) == 0 && len(p.Contacts) == 0 && p.SeenAt == 0 && len(p.Sharing) == 0 && len(p.Waiting) == 0
		},
	}
}

// processor is the logic of one session. Owned by the session's goroutine.
type processor struct {
	schemas *wire.Schemas
	m       *metrics
	keyed   kgo.TopicPartitioner
	count   int // partitions of every input
}

// Assigned implements stream.Processor.
func (p *processor) Assigned(*stream.Partition[*person]) error { return nil }

// Prepare implements stream.Processor.
func (p *processor) Prepare(context.Context, []*kgo.Record) error { return nil }

// Fire implements stream.Processor: no state has timers.
func (p *processor) Fire(*stream.Tx[*person], string, int64) error { return nil }

// Flush implements stream.Processor.
func (p *processor) Flush(*stream.Tx[*person]) error { return nil }

// Handle folds one event and sends what follows from it.
func (p *processor) Handle(tx *stream.Tx[*person], rec *kgo.Record) error {
	e, err := p.read(rec)
	if err != nil {
		return err
	}
	was, _, err := tx.Get(string(rec.Key))
	if err != nil {
		return err
	}
	t := apply(was, e)
	if err := tx.Put(string(rec.Key), &t.p); err != nil {
		return err
	}
	for i := range t.effects {
		switch f := &t.effects[i]; {
		case f.control != nil:
			p.produce(tx, topics.HiringControl, f.control)
		case f.candidate != nil:
			p.produce(tx, topics.CandidateEvents, f.candidate)
		case f.hint != nil:
			p.produce(tx, topics.ATSChanges, f.hint)
		}
	}
	tx.OnCommit(func() { p.m.count(e.Type, t) })
	return nil
}

func (p *processor) produce(tx *stream.Tx[*person], topic string, e wire.Event) {
	out := tx.Record()
	env := e.Envelope()
	out.Topic, out.Key, out.Value = topic, []byte(env.Subject), p.schemas.Append(nil, e)
	tx.ProduceKeyed(out)
}

// read decodes and checks one record. An error is a stream.Poison, or retryable.
func (p *processor) read(rec *kgo.Record) (*wire.CandidateEvent, error) {
	e := new(wire.CandidateEvent)
	err := p.schemas.Decode(context.Background(), rec.Value, e)
	if err == nil {
		headers := make([]wire.Header, len(rec.Headers))
		for i, h := range rec.Headers {
			headers[i] = wire.Header{Key: h.Key, Value: h.Value}
		}
		if err = wire.CheckEnvelope(headers, e.Envelope()); err == nil {
			err = e.Check()
		}
	}
	var w *wire.Error
	if errors.As(err, &w) {
		return nil, stream.Poison(string(w.Cause), err)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case string(rec.Key) != e.Envelope().Subject:
		return nil, poison(wire.CauseKeyMismatch, "record key is not <system>/<candidate_id>, or <system>/<contact>")
	case p.keyed.Partition(rec, p.count) != int(rec.Partition):
		return nil, poison(wire.CauseWrongPartition, "record is not on its key's partition: the client must partition by murmur2, as Java does")
	}
	if e.ObservedAt == 0 {
		e.ObservedAt = wire.Micros(deadletter.ObservedAt(rec))
	}
	return e, nil
}

func poison(cause wire.Cause, what string) error {
	return stream.Poison(string(cause), errors.New(what))
}
