package world

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/wire"
)

// malformedEach is how many records of each cause a world of 2,000 has; smaller worlds have fewer.
const malformedEach = 24

// unknownSchema is an id no registry gives.
const unknownSchema = 0x7ffffff0

// malformed adds records that can never be used, each with the cause it must be dead-lettered for. They are about
// applications of their own, so that no story depends on them.
func (w *World) malformed(cfg *Config, rng *rand.Rand) {
	each := max(1, malformedEach*min(cfg.Applications, 2000)/2000)
	for n := range each {
		for _, kind := range malformations {
			m := malformer{cfg: cfg, in: &cfg.Instances[n%len(cfg.Instances)], rng: rng, n: n, start: w.Start, topic: kind.topics[n%len(kind.topics)]}
			m.key = fmt.Sprintf("%s/%d", m.in.System, 900_001+len(w.Steps))
			msg := kind.make(&m)
			w.Steps = append(w.Steps, Step{Wave: mainWave, Message: msg, Cause: kind.cause, Type: m.typ, Source: m.source, ID: m.id, pos: rng.Float64()})
		}
		// An authentic webhook whose body is no webhook never was a record of an input topic.
		i := slices.IndexFunc(cfg.Instances, func(in Instance) bool { return in.greenhouse() })
		if i < 0 {
			continue
		}
		w.Steps = append(w.Steps, Step{Wave: mainWave, Cause: wire.CauseUndecodable, pos: rng.Float64(), Webhook: &Webhook{
			System: cfg.Instances[i].System, EventID: fmt.Sprintf("broken-%d", n), Body: fmt.Appendf(nil, `{"action":"application_updated","payload":{"application":{"id":{"broken":%d}}}}`, n),
		}})
	}
}

// malformer makes one malformed record.
type malformer struct {
	cfg             *Config
	in              *Instance
	rng             *rand.Rand
	n               int
	start           time.Time
	topic, key      string
	typ, source, id string
}

type malformation struct {
	cause  wire.Cause
	topics []string
	make   func(*malformer) *Message
}

var anyInput = []string{"screening.events", "ats.changes", "hiring.control"}

var malformations = []malformation{
	{wire.CauseBadFraming, anyInput, func(m *malformer) *Message {
		if m.n%3 == 0 {
			return m.raw([]byte{0, 0, byte(m.n)}) // shorter than its frame
		}
		b := m.random(40)
		b[0] = 0x7b // JSON, perhaps
		return m.raw(b)
	}},
	{wire.CauseUnknownSchema, anyInput, func(m *malformer) *Message {
		return m.raw(binary.BigEndian.AppendUint32([]byte{0}, unknownSchema), m.random(30)...)
	}},
	{wire.CauseUndecodable, anyInput, func(m *malformer) *Message {
		whole := m.cfg.Schemas.Append(nil, m.event())
		switch m.n % 3 {
		case 0: // cut off
			return m.raw(whole[:6+m.rng.IntN(len(whole)-12)])
		case 1: // bytes that follow the record
			return m.raw(whole, m.random(8)...)
		}
		// A first string that claims to be as long as memory.
		return m.raw(whole[:5], 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, byte(m.n))
	}},
	{wire.CauseOversize, anyInput, func(m *malformer) *Message {
		e := &wire.Control{ID: m.name(), Source: "concord/operators", Type: "control.hold", ApplicationID: m.key, OccurredAt: wire.MicrosOf(m.start), Reason: strings.Repeat("x", wire.MaxValueSize)}
		return m.raw(m.cfg.Schemas.Append(nil, e))
	}},
	{wire.CauseEnvelopeMismatch, anyInput, func(m *malformer) *Message {
		e := m.event()
		env := e.Envelope()
		switch m.n % 3 {
		case 0:
			env.ID += "-other"
		case 1:
			env.Type = "screening.invented"
		case 2:
			env.Time += 1_000_000
		}
		msg := m.raw(m.cfg.Schemas.Append(nil, e))
		msg.Headers = wire.EnvelopeHeaders(nil, env)
		return msg
	}},
	{wire.CauseUnsupportedType, anyInput, func(m *malformer) *Message {
		m.typ = "unheard.of"
		return m.raw(m.cfg.Schemas.Append(nil, m.event()))
	}},
	{wire.CauseInvalidField, anyInput, func(m *malformer) *Message {
		m.key = "no-slash-" + strings.ReplaceAll(m.name(), "/", "-")
		return m.raw(m.cfg.Schemas.Append(nil, m.event()))
	}},
	{wire.CauseKeyMismatch, anyInput, func(m *malformer) *Message {
		msg := m.raw(m.cfg.Schemas.Append(nil, m.event()))
		msg.Key += "0"
		return msg
	}},
	{wire.CauseClockAhead, anyInput, func(m *malformer) *Message {
		m.start = m.start.Add(48 * time.Hour)
		return m.raw(m.cfg.Schemas.Append(nil, m.event()))
	}},
	{wire.CauseNoIdentity, anyInput, func(m *malformer) *Message {
		m.id = "none"
		return m.raw(m.cfg.Schemas.Append(nil, m.event()))
	}},
}

func (m *malformer) name() string { return fmt.Sprintf("malformed-%s-%d-%s", m.topic, m.n, m.key) }

func (m *malformer) raw(b []byte, more ...byte) *Message {
	value := append(append([]byte(nil), b...), more...)
	if len(value) >= 3 && len(value) < 5 { // tell short ones apart by their key
		m.key += "9"
	}
	return &Message{Topic: m.topic, Key: m.key, Value: value}
}

func (m *malformer) random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(m.rng.Uint32())
	}
	return b
}

// event is a good event of the topic, save for what the malformer has set.
func (m *malformer) event() wire.Event {
	id, typ := m.name(), m.typ
	if m.id == "none" {
		id = ""
	}
	or := func(fallback string) string {
		if typ != "" {
			return typ
		}
		return fallback
	}
	at := wire.MicrosOf(m.start)
	switch m.topic {
	case "ats.changes":
		return &wire.AtsChange{ID: id, Source: "connector/" + m.in.System, Type: or("application.updated"), System: m.in.System, OccurredAt: at, ApplicationID: m.key}
	case "hiring.control":
		return &wire.Control{ID: id, Source: "concord/operators", Type: or("control.hold"), OccurredAt: at, ApplicationID: m.key, Reason: "ticket"}
	}
	return &wire.ScreeningEvent{ID: id, Source: "https://assess-one.example/events", Type: or("screening.invited"), System: "assess-one", OccurredAt: at, ApplicationID: m.key, OrderID: "order-" + m.key, Attempt: 1}
}
