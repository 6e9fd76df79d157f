package reconciler

import (
	"bytes"
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/wire"
)

// Engine decides as a session does, without Kafka: what a session has recorded it decides again, to the byte (rule D5).
// Not safe for concurrent use.
type Engine struct {
	rules  *hiring.Rules
	reader *reader
	writer *writer
}

// NewEngine returns an engine for inputs of so many partitions. schemas must know their ids.
func NewEngine(schemas *wire.Schemas, rules *hiring.Rules, partitions int32) *Engine {
	w := newWriter(schemas)
	w.core = hiring.Decide // states are kept
	return &Engine{rules: rules, reader: newReader(schemas, rules, partitions), writer: w}
}

// Rules are what the engine judges by.
func (e *Engine) Rules() *hiring.Rules { return e.rules }

// Use makes the engine judge by other rules from now on.
func (e *Engine) Use(rules *hiring.Rules) { e.rules = rules }

// Read turns the record of an input into an event of an application. The error is a stream.Poison, or worth a retry.
func (e *Engine) Read(ctx context.Context, rec *kgo.Record, into *hiring.Event) (app string, err error) {
	return e.reader.read(ctx, rec, into)
}

// Decided is what a session would have kept of a decision.
type Decided struct {
	hiring.Decision
	Digest wire.Digest // of the state after it
	Size   int         // of that state, in bytes of hiring.state; 0 where nothing changed
}

// Decide decides one event on a state whose digest is before. An event of hiring.EventTimer is the clock. The states of
// its decisions may be kept, and used again as the state before.
func (e *Engine) Decide(was *hiring.State, before wire.Digest, ev *hiring.Event, now hiring.Micros) Decided {
	d, after := e.writer.judge(e.rules.On(now), was, before, ev, now)
	out := Decided{Decision: d, Digest: after}
	if d.Changed {
		out.Size = len(e.writer.buf)
	}
	return out
}

// Try is Decide without the digest, for a run that nothing is compared with byte by byte. size is that of the last state
// known of the application.
func (e *Engine) Try(was *hiring.State, ev *hiring.Event, now hiring.Micros, size int) hiring.Decision {
	if size > maxStateBytes/4 || was.Oversize { // it may outgrow its bound: only its encoding tells
		return e.Decide(was, wire.Digest{}, ev, now).Decision
	}
	return hiring.Decide(e.rules.On(now), was, ev, now)
}

// Encode writes a state as it stands in hiring.state.
func (e *Engine) Encode(s *hiring.State) []byte {
	e.writer.encode(s)
	return bytes.Clone(e.writer.buf)
}

// Open reads a state of hiring.state, with its digest.
func (e *Engine) Open(app string, value []byte) (*hiring.State, wire.Digest, error) {
	c := &cell{value: string(value), digest: digestOf(value)}
	if c.value == "" {
		return nil, wire.Digest{}, fmt.Errorf("state of %s: it is empty", app)
	}
	s, err := new(unpacker).open(e.writer.schemas, app, c) // of its own, as its memory is part of the state
	return s, c.digest, err
}
