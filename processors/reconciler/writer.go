package reconciler

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/wire"
)

// writer turns decisions into records. Owned by one session's goroutine; its scratch records are used again.
type writer struct {
	schemas  *wire.Schemas
	core     func(*hiring.Rules, *hiring.State, *hiring.Event, hiring.Micros) hiring.Decision
	unpacker unpacker
	buf      []byte
	outgoing wire.Decision
	dev      bool
}

func newWriter(s *wire.Schemas) *writer { return &writer{schemas: s, core: new(hiring.Scratch).Decide} }

// open decodes the state of an application. It is valid until the next call, as is the state of a decision on it.
func (w *writer) open(app string, c *cell) (*hiring.State, error) {
	return w.unpacker.open(w.schemas, app, c)
}

// encode writes a state into buf, and returns its digest.
func (w *writer) encode(s *hiring.State) wire.Digest {
	w.buf = appendState(w.schemas.AppendFraming(w.buf[:0], (*wire.HiringState)(nil)), s)
	return digestOf(w.buf)
}

// cell encodes a state.
func (w *writer) cell(s *hiring.State) *cell {
	digest := w.encode(s)
	return &cell{value: string(w.buf), digest: digest, due: s.NextDue}
}

// decide runs the core and encodes what it decided; where nothing changed the cell is prior. was is the state in prior.
func (w *writer) decide(rules *hiring.Rules, was *hiring.State, prior *cell, e *hiring.Event, now hiring.Micros) (hiring.Decision, *cell) {
	d, digest := w.judge(rules, was, prior.digest, e, now)
	if !d.Changed {
		return d, prior
	}
	return d, &cell{value: string(w.buf), digest: digest, due: d.State.NextDue}
}

// judge runs the core and encodes what it decided into buf; where nothing changed, the digest is before. A state that would
// outgrow its bound is not kept: the changelog would refuse it, and its partition would stand still. Such an application stays
// what it was and is held; the record is named by the decision and stands in its topic.
// before is the digest of was.
func (w *writer) judge(rules *hiring.Rules, was *hiring.State, before wire.Digest, e *hiring.Event, now hiring.Micros) (hiring.Decision, wire.Digest) {
	d := w.core(rules, was, e, now)
	if !d.Changed {
		return d, before
	}
	if e.Type == hiring.EventRejudge {
		same := *d.State
		same.Version, same.UpdatedAt = was.Version, was.UpdatedAt
		if w.encode(&same) == before { // the same deadlines, waves and writes: nothing to tell
			d.State, d.Changed = was, false
			return d, before
		}
	}
	after, bound := w.encode(d.State), maxStateBytes
	if was.Oversize {
		bound += heldRoom
	}
	if len(w.buf) <= bound {
		return d, after
	}
	d = hiring.Decision{
		State: was, Reason: hiring.ReasonOversize, Timer: d.Timer, Now: d.Now, EffectiveAt: d.EffectiveAt,
		From: was.Canonical(), To: was.Canonical(), Policy: d.Policy, Wave: d.Wave, Mode: d.Mode, Held: true,
	}
	if was.Oversize && !d.Timer {
		return d, before
	}
	held := *was
	held.Oversize, held.Version, held.UpdatedAt = true, was.Version+1, d.Now
	held.NextDue = d.Now // the incident opens at once
	if d.Timer {
		held.NextDue = d.Now.Add(heldRetry)
	}
	d.State, d.Changed = &held, true
	return d, w.encode(&held)
}

// outputs is where decisions go: the running transaction.
type outputs interface {
	Record() *kgo.Record
	Keep(b []byte) []byte
	Produce(rec *kgo.Record)
}

func (w *writer) produce(tx outputs, topic, key string, rec wire.Record) {
	tx.Produce(w.record(tx, topic, key, rec))
}

// record is an output that lives as long as the transaction.
func (w *writer) record(tx outputs, topic, key string, rec wire.Record) *kgo.Record {
	w.buf = append(w.buf[:0], key...)
	w.buf = w.schemas.Append(w.buf, rec)
	kept := tx.Keep(w.buf)
	out := tx.Record()
	out.Topic, out.Key, out.Value = topic, kept[:len(key):len(key)], kept[len(key):]
	return out
}

// decision writes a decision with its incidents and commands. rec is nil for a timer.
func (w *writer) decision(tx outputs, prior, next *cell, e *hiring.Event, d *hiring.Decision, rec *kgo.Record) error {
	s := d.State
	app := s.Application
	h := &s.Head
	req := requisitionToWire(h.Requisition)
	o := &w.outgoing
	*o = wire.Decision{
		ApplicationID: app, Version: s.Version, Reason: wire.Reason(d.Reason), Disposition: wire.Disposition(d.Disposition()),
		EventSource: e.Source, EventID: e.ID, EventType: e.Type.String(), Offset: -1, Now: wire.Micros(d.Now), EffectiveAt: wire.Micros(d.EffectiveAt),
		From: string(d.From), To: string(d.To), Ancestor: string(d.Ancestor), Owner: d.Owner, Authority: d.Authority.String(), Held: d.Held, Epoch: h.Epoch,
		Policy: wire.Digest(d.Policy), Wave: d.Wave, Mode: d.Mode.String(), StateBefore: prior.digest, StateAfter: next.digest, System: s.System, Requisition: req,
		ScreeningFinishedAt: wire.Micros(d.FinishedAt), ATSBehind: d.ATSBehind, Path: o.Path[:0], Incidents: o.Incidents[:0], Commands: o.Commands[:0],
		Orders: o.Orders[:0], Dev: w.dev,
	}
	if rec != nil {
		o.Topic, o.Partition, o.Offset = rec.Topic, rec.Partition, rec.Offset
	}
	for i := range d.Path {
		p := &d.Path[i]
		o.Path = append(o.Path, wire.Step{From: string(p.From), To: string(p.To), Edge: p.Edge, Owner: p.Owner, Authority: p.Authority.String(), EventID: p.EventID})
	}
	for i := range d.Incidents {
		o.Incidents = append(o.Incidents, d.Incidents[i].ID)
	}
	for i := range d.Commands {
		o.Commands = append(o.Commands, d.Commands[i].ID)
	}
	for i := range d.Orders {
		o.Orders = append(o.Orders, d.Orders[i].ID)
	}
	w.produce(tx, TopicDecisions, app, o)
	for i := range d.Incidents {
		w.produce(tx, TopicConflicts, app, incidentToWire(s, &d.Incidents[i], d, req))
	}
	for i := range d.Commands {
		w.produce(tx, TopicCommands, app, w.command(s, &d.Commands[i], d, req))
	}
	for i := range d.Orders {
		w.produce(tx, TopicOrders, app, orderToWire(s, &d.Orders[i], d, req))
	}
	return nil
}

func orderToWire(s *hiring.State, in *hiring.Order, d *hiring.Decision, req wire.Requisition) *wire.ScreeningOrder {
	out := &wire.ScreeningOrder{
		ID: in.ID, ApplicationID: s.Application, System: in.Vendor, Test: in.Test, OrderID: in.ID, Requisition: req, IssuedAt: wire.Micros(d.Now), Policy: wire.Digest(d.Policy),
	}
	if in.Cancel {
		out.ID, out.Action = in.ID+"/cancel", wire.OrderActionCancel
	}
	return out
}

func incidentToWire(s *hiring.State, in *hiring.Incident, d *hiring.Decision, req wire.Requisition) *wire.Incident {
	return &wire.Incident{
		ID: in.ID, ApplicationID: s.Application, Kind: wire.IncidentKind(in.Kind), Change: wire.IncidentChange(in.Change), Element: in.Element, Subject: in.Subject,
		Epoch: in.Epoch, Values: valuesToWire(in.Values), Leader: in.Leader, Rule: in.Rule, Owner: in.Owner, OpenedAt: wire.Micros(in.OpenedAt), ClosedAt: wire.Micros(in.ClosedAt),
		Policy: wire.Digest(d.Policy), System: s.System, Requisition: req, StateVersion: s.Version,
	}
}

// commandLife is how long a command may wait for its write.
const commandLife = 7 * 24 * time.Hour

func (w *writer) command(s *hiring.State, c *hiring.Command, d *hiring.Decision, req wire.Requisition) *wire.Command {
	out := &wire.Command{
		ID: c.ID, ApplicationID: s.Application, System: s.System, Kind: wire.CommandKind(c.Kind), Revision: c.Revision, Closing: c.Closing,
		ExpiresAt: wire.Micros(d.Now.Add(commandLife)), IssuedAt: wire.Micros(d.Now), Policy: wire.Digest(d.Policy), Requisition: req, StateVersion: s.Version,
	}
	if c.Mode == hiring.ModeShadow {
		out.Mode = wire.WriteModeShadow
	}
	out.Expected, out.Desired = tupleToWire(&c.Expected), tupleToWire(&c.Desired)
	causeToWire(&c.Cause, &out.Cause)
	asked := wire.Command{Kind: out.Kind, Revision: out.Revision, Desired: out.Desired}
	out.Digest = digestOf(asked.AppendAvro(nil))
	return out
}

func tupleToWire(t *hiring.Tuple) wire.Tuple {
	out := wire.Tuple{Stage: t.Stage, Status: wire.ApplicationStatus(t.Status), Reason: t.Reason, Version: t.Version}
	if len(t.Elements) > 0 {
		out.Elements = make([]wire.Element, len(t.Elements))
		for i := range t.Elements {
			out.Elements[i] = wire.Element(t.Elements[i])
		}
	}
	return out
}

func valuesToWire(in []hiring.IncidentValue) []wire.IncidentValue {
	if len(in) == 0 {
		return nil
	}
	out := make([]wire.IncidentValue, len(in))
	for i := range in {
		out[i] = wire.IncidentValue{System: in[i].System, Value: in[i].Value, At: wire.Micros(in[i].At)}
	}
	return out
}

func requisitionToWire(r hiring.Requisition) wire.Requisition { return wire.Requisition(r) }

func causeToWire(c *hiring.Cause, w *wire.CommandCause) {
	*w = wire.CommandCause{Source: c.Source, ID: c.ID, EffectiveAt: wire.Micros(c.EffectiveAt), ScreeningFinishedAt: wire.Micros(c.FinishedAt)}
}
