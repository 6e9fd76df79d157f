package reconciler

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	runtimemetrics "runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/deadletter"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// mangler makes records that can never be used.
type mangler struct {
	l     *lab
	rng   *rand.Rand
	n     int
	topic string
	app   string
	now   wire.Micros
}

func (m *mangler) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(m.rng.Uint32())
	}
	return b
}

func (m *mangler) raw(value []byte) *kgo.Record {
	return &kgo.Record{Topic: m.topic, Key: []byte(m.app), Value: value}
}

// event is a good event of the topic; bend, where not nil, breaks it before it is encoded.
func (m *mangler) event(bend func(*wire.ScreeningEvent, *wire.AtsChange, *wire.Control, *wire.Outcome)) wire.Record {
	id := fmt.Sprintf("e%d", m.n)
	s := &wire.ScreeningEvent{ID: id, Source: vendor, Type: "screening.invited", System: vendor, OccurredAt: m.now, ApplicationID: m.app, OrderID: "o", Attempt: 1}
	a := &wire.AtsChange{ID: id, Source: instance, Type: "application.updated", System: instance, OccurredAt: m.now, ApplicationID: m.app, Stage: wire.NativeStage{ID: "1001"}}
	c := &wire.Control{ID: id, Source: "concord/operators", Type: "control.hold", OccurredAt: m.now, ApplicationID: m.app}
	o := &wire.Outcome{ID: id, ApplicationID: m.app, System: instance, CommandID: "c", Revision: 1, Outcome: wire.OutcomeKindConfirmed, FinishedAt: m.now}
	if bend != nil {
		bend(s, a, c, o)
	}
	return map[string]wire.Record{TopicScreening: s, TopicChanges: a, TopicControl: c, TopicOutcomes: o}[m.topic]
}

func (m *mangler) good() []byte { return m.l.Schemas.Append(nil, m.event(nil)) }

func (m *mangler) bent(bend func(*wire.ScreeningEvent, *wire.AtsChange, *wire.Control, *wire.Outcome)) *kgo.Record {
	return m.raw(m.l.Schemas.Append(nil, m.event(bend)))
}

// bomb replaces the block of one element by a block that promises more than memory holds.
func (m *mangler) bomb(count int64, more ...byte) *kgo.Record {
	value := m.l.Schemas.Append(nil, m.event(func(s *wire.ScreeningEvent, a *wire.AtsChange, _ *wire.Control, _ *wire.Outcome) {
		s.Elements = []wire.Element{{Name: "bomb", Value: "bomb"}}
		a.Elements = s.Elements
	}))
	block := []byte("\x02\x08bomb\x08bomb\x00")
	if bytes.Count(value, block) != 1 {
		m.l.T.Fatal("the block of elements is not where it was")
	}
	return m.raw(bytes.Replace(value, block, append(binary.AppendVarint(nil, count), more...), 1))
}

type mangling struct {
	name   string
	cause  wire.Cause
	topics []string
	make   func(*mangler) *kgo.Record
}

var (
	withEnvelope = []string{TopicScreening, TopicChanges, TopicControl}
	withElements = []string{TopicScreening, TopicChanges}
	counts       = []int64{1 << 26, 1 << 31, 1 << 40, 1<<62 - 1}
)

var manglings = []mangling{
	{"noise", wire.CauseBadFraming, inputs, func(m *mangler) *kgo.Record {
		b := m.bytes(1 + m.rng.IntN(3000))
		b[0] |= 1
		return m.raw(b)
	}},
	{"shorter than its frame", wire.CauseBadFraming, inputs, func(m *mangler) *kgo.Record {
		if m.n%5 == 0 {
			return m.raw(nil) // a tombstone
		}
		return m.raw(make([]byte, m.rng.IntN(5)))
	}},
	{"JSON", wire.CauseBadFraming, inputs, func(m *mangler) *kgo.Record { return m.raw([]byte(`{"id":"1","type":"screening.completed"}`)) }},
	{"an id nobody gave", wire.CauseUnknownSchema, inputs, func(m *mangler) *kgo.Record {
		return m.raw(append(binary.BigEndian.AppendUint32([]byte{0}, 1000+m.rng.Uint32N(1<<30)), m.bytes(m.rng.IntN(200))...))
	}},
	{"the id of another record", wire.CauseUnknownSchema, inputs, func(m *mangler) *kgo.Record {
		id, _ := m.l.Schemas.ID(TopicState)
		value := m.good()
		binary.BigEndian.PutUint32(value[1:], id)
		return m.raw(value)
	}},
	{"cut off", wire.CauseUndecodable, inputs, func(m *mangler) *kgo.Record {
		value := m.good()
		return m.raw(value[:5+m.rng.IntN(len(value)-5)])
	}},
	{"bytes behind", wire.CauseUndecodable, inputs, func(m *mangler) *kgo.Record { return m.raw(append(m.good(), m.bytes(1+m.rng.IntN(9))...)) }},
	{"a string as long as memory", wire.CauseUndecodable, inputs, func(m *mangler) *kgo.Record {
		return m.raw(append(binary.AppendVarint(m.good()[:5], counts[m.rng.IntN(len(counts))]), "abc"...))
	}},
	{"a string of negative length", wire.CauseUndecodable, inputs, func(m *mangler) *kgo.Record {
		return m.raw(append(binary.AppendVarint(m.good()[:5], -1-m.rng.Int64N(1<<40)), "abc"...))
	}},
	{"a number without end", wire.CauseUndecodable, inputs, func(m *mangler) *kgo.Record {
		return m.raw(append(m.good()[:5], bytes.Repeat([]byte{0xff}, 10+m.rng.IntN(90))...))
	}},
	{"a block as long as memory", wire.CauseUndecodable, withElements, func(m *mangler) *kgo.Record { return m.bomb(counts[m.rng.IntN(len(counts))]) }},
	{"a sized block as long as memory", wire.CauseUndecodable, withElements, func(m *mangler) *kgo.Record {
		return m.bomb(-counts[m.rng.IntN(len(counts))], binary.AppendVarint(nil, m.rng.Int64N(1<<40))...)
	}},
	{"the least of all counts", wire.CauseUndecodable, withElements, func(m *mangler) *kgo.Record { return m.bomb(-1<<63, 2, 0) }},
	{"text that is not UTF-8", wire.CauseUndecodable, inputs, func(m *mangler) *kgo.Record {
		value := m.good()
		value[6] = 0xff // the first byte of the id
		return m.raw(value)
	}},
	{"noise behind a right frame", wire.CauseUndecodable, inputs, func(m *mangler) *kgo.Record {
		return m.raw(append(append(m.good()[:5], 0xff, 0xff, 0xff, 0xff), m.bytes(m.rng.IntN(3000))...))
	}},
	{"2 MiB of noise", wire.CauseOversize, inputs, func(m *mangler) *kgo.Record {
		if m.n%4 > 0 {
			return m.raw(bytes.Repeat(m.bytes(64), 2<<20/64)) // noise that compresses
		}
		return m.raw(m.bytes(2 << 20))
	}},
	{"a record past the bound", wire.CauseOversize, inputs, func(m *mangler) *kgo.Record {
		return m.bent(func(s *wire.ScreeningEvent, a *wire.AtsChange, c *wire.Control, o *wire.Outcome) {
			long := strings.Repeat("x", wire.MaxValueSize)
			s.OrderID, a.Reason, c.Reason, o.Detail = long, long, long, long
		})
	}},
	{"an envelope of its own", wire.CauseEnvelopeMismatch, withEnvelope, func(m *mangler) *kgo.Record {
		e := m.event(nil)
		rec := m.raw(m.l.Schemas.Append(nil, e))
		env := e.(wire.Event).Envelope()
		switch m.rng.IntN(5) {
		case 0:
			env.ID += "x"
		case 1:
			env.Source += "x"
		case 2:
			env.Type = "screening.expired"
		case 3:
			env.Time++
		case 4:
			env.Subject += "0"
		}
		for _, h := range wire.EnvelopeHeaders(nil, env) {
			rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		return rec
	}},
	{"a time that is none", wire.CauseEnvelopeMismatch, withEnvelope, func(m *mangler) *kgo.Record {
		rec := m.raw(m.good())
		rec.Headers = []kgo.RecordHeader{{Key: wire.HeaderTime, Value: []byte("yesterday")}}
		return rec
	}},
	{"a type nobody knows", wire.CauseUnsupportedType, withEnvelope, func(m *mangler) *kgo.Record {
		return m.bent(func(s *wire.ScreeningEvent, a *wire.AtsChange, c *wire.Control, _ *wire.Outcome) {
			s.Type, a.Type, c.Type = "screening.invented", "application.invented", ""
		})
	}},
	{"a type of another topic", wire.CauseUnsupportedType, withEnvelope, func(m *mangler) *kgo.Record {
		return m.bent(func(s *wire.ScreeningEvent, a *wire.AtsChange, c *wire.Control, _ *wire.Outcome) {
			s.Type, a.Type, c.Type = "control.override", "timer", "application.hired"
		})
	}},
	{"no id", wire.CauseNoIdentity, inputs, func(m *mangler) *kgo.Record {
		return m.bent(func(s *wire.ScreeningEvent, a *wire.AtsChange, c *wire.Control, o *wire.Outcome) {
			s.ID, a.ID, c.ID, o.ID = "", "", "", ""
		})
	}},
	{"no source", wire.CauseNoIdentity, withEnvelope, func(m *mangler) *kgo.Record {
		return m.bent(func(s *wire.ScreeningEvent, a *wire.AtsChange, c *wire.Control, _ *wire.Outcome) {
			s.Source, a.Source, c.Source = "", "", ""
		})
	}},
	{"no application", wire.CauseInvalidField, inputs, func(m *mangler) *kgo.Record {
		m.app = []string{"", "/", "no-slash", instance + "/", "/7"}[m.rng.IntN(5)]
		return m.raw(m.good())
	}},
	{"no time", wire.CauseInvalidField, inputs, func(m *mangler) *kgo.Record {
		m.now = -wire.Micros(m.rng.Int64N(2))
		return m.raw(m.good())
	}},
	{"seen before the epoch", wire.CauseInvalidField, withEnvelope, func(m *mangler) *kgo.Record {
		return m.bent(func(s *wire.ScreeningEvent, a *wire.AtsChange, c *wire.Control, _ *wire.Outcome) {
			s.ObservedAt, a.ObservedAt, c.ObservedAt = -1, -1, math.MinInt64
		})
	}},
	{"another system's word", wire.CauseInvalidField, []string{TopicChanges}, func(m *mangler) *kgo.Record {
		return m.bent(func(_ *wire.ScreeningEvent, a *wire.AtsChange, _ *wire.Control, _ *wire.Outcome) {
			a.System = "gh-other"
		})
	}},
	{"a stage the policy has not", wire.CauseInvalidField, []string{TopicControl}, func(m *mangler) *kgo.Record {
		return m.bent(func(_ *wire.ScreeningEvent, _ *wire.AtsChange, c *wire.Control, _ *wire.Outcome) {
			c.Type, c.Stage = "control.override", "limbo"
		})
	}},
	{"the key of another", wire.CauseKeyMismatch, inputs, func(m *mangler) *kgo.Record {
		rec := m.raw(m.good())
		if m.n%3 == 0 {
			rec.Key = nil
		} else {
			rec.Key = append(rec.Key, '0')
		}
		return rec
	}},
	{"where another client's partitioner put it", wire.CauseWrongPartition, inputs, func(m *mangler) *kgo.Record {
		rec := m.raw(m.good())
		rec.Partition = astray
		return rec
	}},
	{"from the day after tomorrow", wire.CauseClockAhead, inputs, func(m *mangler) *kgo.Record {
		m.now += 49 * 3600e6
		if m.n%3 == 0 {
			m.now = math.MaxInt64
		}
		return m.raw(m.good())
	}},
	{"observed the day after tomorrow", wire.CauseClockAhead, withEnvelope, func(m *mangler) *kgo.Record {
		m.now += 49 * 3600e6
		return m.bent(func(s *wire.ScreeningEvent, a *wire.AtsChange, c *wire.Control, _ *wire.Outcome) {
			s.ObservedAt, a.ObservedAt, c.ObservedAt = m.now, m.now, m.now
		})
	}},
}

// mapped is the most memory the process ever held, in bytes: no allocation can hide between two looks.
func mapped() uint64 {
	sample := []runtimemetrics.Sample{{Name: "/memory/classes/total:bytes"}}
	runtimemetrics.Read(sample)
	return sample[0].Value.Uint64()
}

// TestMalformed sends 2,000 records that can never be used between 500 good ones. Each of the former has to become one
// dead letter that carries it unchanged and tells the right cause, each of the latter one decision.
func TestMalformed(t *testing.T) {
	const seed, bad, fine, room = 20_260_201, 2000, 500, 768 << 20
	t.Logf("seed %d", seed)
	l := newLab(t)
	rng := rand.New(rand.NewPCG(seed, 0))
	kind := make([]*mangling, 0, bad+fine)
	for i := range bad {
		kind = append(kind, &manglings[i%len(manglings)])
	}
	kind = append(kind, make([]*mangling, fine)...)
	rng.Shuffle(len(kind), func(i, j int) { kind[i], kind[j] = kind[j], kind[i] })
	recs := make([]*kgo.Record, len(kind))
	for i, k := range kind {
		of := inputs
		if k != nil {
			of = k.topics
		}
		m := &mangler{l: l, rng: rng, n: i, topic: of[rng.IntN(len(of))], app: fmt.Sprintf("%s/%d", instance, rng.IntN(100)), now: wire.MicrosOf(time.Now().Add(-time.Hour))}
		if k == nil {
			recs[i] = m.raw(m.good())
			continue
		}
		recs[i] = k.make(m)
	}
	l.Produce(recs...)

	before := mapped()
	l.run(t.TempDir(), nil)
	grown := mapped() - before
	t.Logf("memory grew by %d MiB, the broker's copies of the dead letters included", grown>>20)
	if grown > room {
		t.Errorf("memory grew by %d MiB, at most %d are all right", grown>>20, room>>20)
	}

	letters := map[coord][]deadletter.Letter{}
	var names []string
	for _, topic := range inputs {
		names = append(names, topics.DeadLetter(topic))
	}
	for _, rec := range l.Read(names...) {
		letter := deadletter.Read(rec)
		if rec.Topic != letter.Source.Topic+topics.DeadLetterSuffix || rec.Partition != letter.Source.Partition {
			t.Errorf("the letter of %v stands on %s/%d", letter.Source, rec.Topic, rec.Partition)
		}
		from := coord{letter.Source.Topic, letter.Source.Partition, letter.Source.Offset}
		letters[from] = append(letters[from], letter)
	}
	decided := map[coord]int{}
	for _, d := range l.decisions() {
		if d.Offset >= 0 {
			decided[coord{d.Topic, d.Partition, d.Offset}]++
		}
	}
	causes := map[string]int{}
	for i, rec := range recs {
		k, got := kind[i], letters[at(rec)]
		if k == nil {
			if len(got) != 0 || decided[at(rec)] != 1 {
				t.Errorf("good record %v: %d decisions, %d dead letters", at(rec), decided[at(rec)], len(got))
			}
			continue
		}
		if len(got) != 1 || decided[at(rec)] != 0 {
			t.Errorf("%s %v: %d decisions, %d dead letters", k.name, at(rec), decided[at(rec)], len(got))
			continue
		}
		causes[got[0].Cause]++
		if got[0].Cause != string(k.cause) {
			t.Errorf("%s on %s: cause %s, want %s", k.name, rec.Topic, got[0].Cause, k.cause)
		}
		was := got[0].Original()
		same := bytes.Equal(was.Key, rec.Key) && bytes.Equal(was.Value, rec.Value) && (was.Value == nil) == (rec.Value == nil) && (was.Key == nil) == (rec.Key == nil)
		if !same || !slices.EqualFunc(was.Headers, rec.Headers, func(a, b kgo.RecordHeader) bool { return a.Key == b.Key && bytes.Equal(a.Value, b.Value) }) {
			t.Errorf("%s on %s: the dead letter is not the record it was", k.name, rec.Topic)
		}
	}
	t.Logf("dead letters by cause: %v", causes)
	if len(letters) != bad || len(decided) != fine {
		t.Errorf("%d dead letters and %d decisions, want %d and %d", len(letters), len(decided), bad, fine)
	}
}
