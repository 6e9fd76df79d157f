package reconciler

import (
	"fmt"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/wire"
)

// cell is an encoded state with its digest. Immutable; the zero cell is a state nothing is known of. States are kept
// encoded: a decoded one is several times as large, and all pointers that the garbage collector would follow.
type cell struct {
	value  string // framed, as it stands in hiring.state
	digest wire.Digest
	due    hiring.Micros
}

// cellSize is what a cell takes besides its value.
const cellSize = 48

// stateCodec keeps states in hiring.state in their wire form, so that analysts read what the reconciler holds.
func stateCodec(schemas *wire.Schemas) stream.Codec[*cell] {
	due := func(key string, value []byte) (wire.Micros, error) {
		at, err := schemas.StateDue(value)
		if err != nil {
			return 0, fmt.Errorf("state of %s: %w", key, err)
		}
		return at, nil
	}
	return stream.Codec[*cell]{
		Decode: func(key string, value []byte) (*cell, error) {
			at, err := due(key, value)
			if err != nil {
				return nil, err
			}
			return &cell{value: string(value), digest: digestOf(value), due: hiring.Micros(at)}, nil
		},
		Append: func(dst []byte, c *cell) []byte { return append(dst, c.value...) },
		Size:   func(c *cell) int { return cellSize + len(c.value) },
		Due:    func(c *cell) int64 { return int64(c.due) },
		DueOf: func(value []byte) (int64, error) {
			at, err := schemas.StateDue(value)
			return int64(at), err
		},
	}
}

// packer turns states into their wire form, in memory that it uses again: the result is valid until the next call.
type packer struct {
	out      wire.HiringState
	base     wire.Fold
	elements pool[wire.Element]
}

func (p *packer) pack(s *hiring.State) *wire.HiringState {
	p.elements.reset()
	w := &p.out
	w.ApplicationID, w.Version, w.MovedAt, w.UpdatedAt, w.System = s.Application, s.Version, s.MovedAt, wire.Micros(s.UpdatedAt), s.System
	headToWire(&s.Head, &w.Head)
	w.DesiredRevision, w.DesiredClosing = s.DesiredRevision, s.DesiredClosing
	w.Desired = p.tuple(&s.Desired)
	causeToWire(&s.DesiredCause, &w.DesiredCause)
	w.Target = wire.Target{Stage: s.Target.Stage, Status: wire.ApplicationStatus(s.Target.Status), Reason: s.Target.Reason, Cause: s.Target.Cause, Since: wire.Micros(s.Target.Since)}
	w.Write = wire.Write{
		Revision: s.Write.Revision, State: wire.WriteState(s.Write.State), CommandID: s.Write.CommandID, Detail: s.Write.Detail,
		Since: wire.Micros(s.Write.Since), Due: wire.Micros(s.Write.Due), Emissions: s.Write.Emissions,
	}
	if s.Write.State == hiring.WriteDone {
		w.Write.Outcome = wire.OutcomeKind(s.Write.Outcome).String()
	}
	w.ConfirmedRevision = s.ConfirmedRevision
	w.Confirmed = p.tuple(&s.Confirmed)
	w.Echoes = w.Echoes[:0]
	for i := range s.Echoes {
		e := &s.Echoes[i]
		w.Echoes = append(w.Echoes, wire.Echo{
			CauseSource: e.CauseSource, CauseID: e.CauseID, CauseEffectiveAt: wire.Micros(e.CauseEff), Authority: e.Authority.String(),
			VersionBefore: e.VersionBefore, VersionAfter: e.VersionAfter, Stage: e.Stage, Status: wire.ApplicationStatus(e.Status),
		})
	}
	w.Incidents = w.Incidents[:0]
	for i := range s.Incidents {
		o := &s.Incidents[i]
		w.Incidents = append(w.Incidents, wire.OpenIncident{
			ID: o.ID, Kind: wire.IncidentKind(o.Kind), Element: o.Element, Subject: o.Subject, Epoch: o.Epoch,
			FirstSeen: wire.Micros(o.FirstSeen), OpenedAt: wire.Micros(o.OpenedAt), Owner: o.Owner,
		})
	}
	w.Refreshes, w.RefreshDue, w.RefreshOpen = s.Refreshes, wire.Micros(s.RefreshDue), s.RefreshOpen
	w.ResyncedAt, w.Paused = wire.Micros(s.ResyncedAt), s.Paused
	w.Order = nil
	if o := s.Order; o != nil {
		w.Order = &wire.PendingOrder{
			OrderID: o.ID, Vendor: o.Vendor, Test: o.Test, Stage: string(o.Stage), Epoch: o.Epoch, Since: wire.Micros(o.Since), IssuedAt: wire.Micros(o.IssuedAt),
		}
	}
	w.Base = nil
	if s.Base != nil {
		w.Base = &p.base
		headToWire(s.Base, w.Base)
	}
	w.BaseUntil = wire.Micros(s.BaseUntil)
	w.Tail = w.Tail[:0]
	for i := range s.Tail {
		w.Tail = append(w.Tail, p.entry(&s.Tail[i]))
	}
	w.Ring = w.Ring[:0]
	for i := range s.Ring {
		w.Ring = append(w.Ring, wire.RingEntry{Key: wire.Digest(s.Ring[i].Key), Digest: wire.Digest(s.Ring[i].Digest), Contradicted: s.Ring[i].Contradicted})
	}
	w.ClosedAt, w.Erased, w.Oversize = wire.Micros(s.ClosedAt), s.Erased, s.Oversize
	w.NextDue, w.TailAbsorbedEarly = wire.Micros(s.NextDue), s.AbsorbedEarly
	return w
}

func headToWire(h *hiring.Head, w *wire.Fold) {
	w.Stage, w.Epoch, w.EnteredAt, w.EnteredBy = string(h.Stage), h.Epoch, wire.Micros(h.EnteredAt), h.EnteredBy.String()
	w.EnteredFrom, w.FirstSeen, w.EnteredEvent, w.EnteredSource = string(h.EnteredFrom), wire.Micros(h.FirstSeen), h.EnteredEvent, h.EnteredSource
	w.LevelSystem, w.LevelStage, w.LevelStatus, w.LevelReason = h.LevelSystem, h.LevelStage, wire.ApplicationStatus(h.LevelStatus), h.LevelReason
	w.Observations = w.Observations[:0]
	for i := range h.Observations {
		o := &h.Observations[i]
		w.Observations = append(w.Observations, wire.Observation{
			Facet: o.Facet, System: o.System, Values: o.Values, At: wire.Micros(o.At), Revision: o.Revision, Snapshot: o.Snapshot,
			EffectiveAt: wire.Micros(o.Eff), EventID: o.EventID,
		})
	}
	w.Results = w.Results[:0]
	for i := range h.Results {
		r := &h.Results[i]
		w.Results = append(w.Results, wire.Result{
			OrderID: r.Order, Attempt: r.Attempt, Revision: r.Revision, Verdict: wire.Verdict(r.Verdict), Source: r.Source, EventID: r.EventID,
			EffectiveAt: wire.Micros(r.Eff), FinishedAt: wire.Micros(r.FinishedAt), Epoch: r.Epoch, Consumed: r.Consumed,
		})
	}
	w.Orders = h.Orders
	w.Reverts = w.Reverts[:0]
	for i := range h.Reverts {
		r := &h.Reverts[i]
		w.Reverts = append(w.Reverts, wire.Revert{Edge: r.Edge, Epoch: r.Epoch, Count: r.Count, Forbidden: r.Forbidden})
	}
	w.Suspects = w.Suspects[:0]
	for i := range h.Suspects {
		s := &h.Suspects[i]
		w.Suspects = append(w.Suspects, wire.Suspect{
			Kind: wire.IncidentKind(s.Kind), Element: s.Element, Subject: s.Subject, Epoch: s.Epoch, EffectiveAt: wire.Micros(s.Eff), Values: valuesToWire(s.Values),
		})
	}
	w.CandidateID, w.Requisition = h.Candidate, requisitionToWire(h.Requisition)
	w.EnteredUntil, w.MigratedAt, w.HeldScope = wire.Micros(h.EnteredUntil), wire.Micros(h.MigratedAt), h.HeldScope
	w.HeldBy, w.HeldUntil, w.Deleted, w.Anonymized = h.HeldBy, wire.Micros(h.HeldUntil), h.Deleted, h.Anonymized
	w.LastKeys = w.LastKeys[:0]
	for i := range h.Marks {
		m := &h.Marks[i]
		w.LastKeys = append(w.LastKeys, wire.SystemMark{System: m.System, OccurredAt: wire.Micros(m.OccurredAt), Revision: m.Revision, Snapshot: m.Snapshot, ID: m.ID, EffectiveAt: wire.Micros(m.Eff)})
	}
}

func (p *packer) entry(e *hiring.Entry) wire.TailEntry {
	return wire.TailEntry{
		Source: e.Source, ID: e.ID, Type: wire.EventType(e.Type), System: e.System, Key: wire.Digest(e.Key),
		OccurredAt: wire.Micros(e.OccurredAt), ObservedAt: wire.Micros(e.ObservedAt), EffectiveAt: wire.Micros(e.Eff), Revision: e.Revision,
		Stage: e.Stage, PreviousStage: e.PreviousStage, Status: wire.ApplicationStatus(e.Status), Reason: e.RejectReason, Actor: wire.ActorKind(e.Actor),
		OrderID: e.Order, Attempt: e.Attempt, ResultRevision: e.ResultRev, HasResult: e.HasResult, Verdict: wire.Verdict(e.Verdict), FinishedAt: wire.Micros(e.FinishedAt), Score: (*wire.Score)(e.Score),
		Elements: p.list(e.Elements), CandidateID: e.Candidate, Requisition: requisitionToWire(e.Requisition), ExpiresAt: wire.Micros(e.ExpiresAt), Scope: e.Scope, Contradicted: e.Contradicted,
	}
}

func (p *packer) list(in []hiring.Element) []wire.Element {
	out := p.elements.take(len(in), 0)
	for i := range in {
		out[i] = wire.Element{Name: in[i].Name, Value: in[i].Value}
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

func requisitionToWire(r hiring.Requisition) wire.Requisition {
	return wire.Requisition{ID: r.ID, Type: r.Type, Region: r.Region}
}

func (p *packer) tuple(t *hiring.Tuple) wire.Tuple {
	return wire.Tuple{Stage: t.Stage, Status: wire.ApplicationStatus(t.Status), Reason: t.Reason, Elements: p.list(t.Elements), Version: t.Version}
}

func causeToWire(c *hiring.Cause, w *wire.CommandCause) {
	*w = wire.CommandCause{Source: c.Source, ID: c.ID, EffectiveAt: wire.Micros(c.EffectiveAt), ScreeningFinishedAt: wire.Micros(c.FinishedAt)}
}
