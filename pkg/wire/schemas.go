package wire

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/concord-ats/concord/schemas"
)

// MaxValueSize is the most bytes of a framed value that are decoded; a longer one is [CauseOversize].
const MaxValueSize = 1 << 20

// headerSize is the Confluent framing: a zero byte and the schema id, 4 bytes big-endian.
const headerSize = 5

// Config says where schema ids come from: a registry, or fixed numbers for brokers without one.
type Config struct {
	// URLs of a registry that speaks the Confluent API. They are tried in order. Empty = static ids.
	URLs []string
	// Username and Password for basic authentication; both empty = none.
	Username, Password string
	// TLS for https URLs; nil = the system's roots.
	TLS *tls.Config
	// Timeout of one request; 0 = 5 s.
	Timeout time.Duration
	// UnknownFor is how long an id that the registry does not know is not asked for again; 0 = 10 s.
	UnknownFor time.Duration
	// Static ids by topic, used without URLs. Empty = 1..n along [schemas.Records]. If not empty, it names every topic.
	Static map[string]uint32
	// Now is the clock of UnknownFor; nil = time.Now.
	Now func() time.Time
}

// Schemas frames and decodes values. It is safe for concurrent use; [Schemas.Register] and [Schemas.Lookup] may run
// beside decoding.
type Schemas struct {
	registry *registry // nil = static
	ids      atomic.Pointer[idTable]
	writers  writerCache
	timeout  time.Duration
}

// idTable holds the ids of our own schemas. It is never changed after it is published.
type idTable struct {
	byTopic  map[string]uint32
	byRecord [recordCount]uint32
	record   map[uint32]int // index of the record an id is of
}

// errNotReady is what a decode gives before the ids are known; it is worth a retry.
var errNotReady = errors.New("schema ids are not known yet: the registry was not asked")

// Open checks the configuration; it does not connect. With static ids the result is ready; with a registry call
// [Schemas.Register] or [Schemas.Lookup] first. The error joins every fault.
func Open(cfg Config) (*Schemas, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.UnknownFor == 0 {
		cfg.UnknownFor = 10 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Schemas{timeout: cfg.Timeout}
	s.writers.init(cfg.UnknownFor, cfg.Now)
	if len(cfg.URLs) > 0 {
		r, err := newRegistry(cfg)
		if err != nil {
			return nil, err
		}
		s.registry = r
		return s, nil
	}
	ids := cfg.Static
	if len(ids) == 0 {
		ids = map[string]uint32{}
		for i, record := range schemas.Records() {
			for _, t := range schemas.Topics() {
				if t.Record == record {
					ids[t.Name] = uint32(i + 1)
				}
			}
		}
	}
	return s, s.publish(ids)
}

// publish makes ids the ids of our own schemas.
func (s *Schemas) publish(ids map[string]uint32) error {
	table := &idTable{byTopic: map[string]uint32{}, record: map[uint32]int{}}
	var faults []error
	for _, t := range schemas.Topics() {
		id, ok := ids[t.Name]
		at := NewRecord(t.Record).index()
		if !ok || id == 0 {
			faults = append(faults, fmt.Errorf("schema id of topic %s: none given, want 1 or more", t.Name))
			continue
		}
		if other, taken := table.record[id]; taken && other != at {
			faults = append(faults, fmt.Errorf("schema id of topic %s: %d is already that of another record", t.Name, id))
			continue
		}
		table.byTopic[t.Name], table.record[id] = id, at
		if table.byRecord[at] == 0 {
			table.byRecord[at] = id
		}
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	s.ids.Store(table)
	return nil
}

// Ready reports whether the ids of our own schemas are known.
func (s *Schemas) Ready() bool { return s.ids.Load() != nil }

// Static reports whether the ids are fixed numbers, without a registry.
func (s *Schemas) Static() bool { return s.registry == nil }

// ID returns the schema id of a topic's values; ok is false for a topic without one, and before the ids are known.
func (s *Schemas) ID(topic string) (id uint32, ok bool) {
	table := s.ids.Load()
	if table == nil {
		return 0, false
	}
	id, ok = table.byTopic[topic]
	return id, ok
}

// Append appends rec with its framing. It panics before the ids are known: see [Schemas.Ready].
func (s *Schemas) Append(dst []byte, rec Record) []byte {
	return rec.AppendAvro(s.AppendFraming(dst, rec))
}

// Split returns the schema id and the Avro bytes of a framed value. The error is an [*Error] with [CauseOversize] or
// [CauseBadFraming].
func Split(value []byte) (id uint32, avro []byte, err error) {
	switch {
	case len(value) > MaxValueSize:
		return 0, nil, &Error{Cause: CauseOversize, Err: fmt.Errorf("%d bytes, at most %d are decoded", len(value), MaxValueSize)}
	case len(value) < headerSize:
		return 0, nil, &Error{Cause: CauseBadFraming, Err: fmt.Errorf("%d bytes, the framing alone takes %d", len(value), headerSize)}
	case value[0] != 0:
		return 0, nil, &Error{Cause: CauseBadFraming, Err: errors.New("the first byte is not 0")}
	}
	return binary.BigEndian.Uint32(value[1:]), value[headerSize:], nil
}

// Decode replaces into by the record in a framed value. A value with our own schema id is decoded by generated code; one
// with another id by the writer's schema, which is fetched from the registry once, field by field: fields we do not
// know are passed over, fields the writer does not know have their default, and an enum symbol we do not know is the
// enum's default.
//
// An [*Error] says that the value can never be used. Any other error is worth a retry: the registry could not be asked,
// or ctx ended. Concurrent calls for one unknown id ask the registry once.
func (s *Schemas) Decode(ctx context.Context, value []byte, into Record) error {
	id, avro, err := Split(value)
	if err != nil {
		return err
	}
	table := s.ids.Load()
	if table == nil {
		return errNotReady
	}
	at := into.index()
	if id == table.byRecord[at] {
		return into.DecodeAvro(avro)
	}
	if other, ok := table.record[id]; ok {
		if other != at {
			return &Error{Cause: CauseUnknownSchema, Err: fmt.Errorf("schema id %d is of another record than %s", id, into.RecordName())}
		}
		return into.DecodeAvro(avro)
	}
	w, err := s.writer(ctx, id)
	if err != nil {
		return err
	}
	return w.decode(avro, into)
}

// DecodeLocal is [Schemas.Decode] for values that an earlier release of this program may have written, where no context
// is at hand: a schema id that is not known yet is asked for within the timeout of the configuration.
func (s *Schemas) DecodeLocal(value []byte, into Record) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	return s.Decode(ctx, value, into)
}
