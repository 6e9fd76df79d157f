package reconciler

import (
	"fmt"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/wire"
)

// cell is a state with its encoded bytes and their digest. Immutable.
type cell struct {
	state  *hiring.State
	bytes  []byte // framed, as it stands in hiring.state; nil for a state nothing is known of
	digest wire.Digest
}

// stateCodec keeps states in hiring.state in their wire form, so that analysts read what the reconciler holds.
func stateCodec(schemas *wire.Schemas) stream.Codec[*cell] {
	return stream.Codec[*cell]{
		Decode: func(key string, value []byte) (*cell, error) {
			var w wire.HiringState
			if err := schemas.DecodeLocal(value, &w); err != nil {
				return nil, fmt.Errorf("state of %s: %w", key, err)
			}
			own := append([]byte(nil), value...)
			return &cell{state: fromWire(&w), bytes: own, digest: digestOf(own)}, nil
		},
		Append: func(dst []byte, c *cell) []byte { return append(dst, c.bytes...) },
		Due:    func(c *cell) int64 { return int64(c.state.NextDue) },
	}
}

func toWire(s *hiring.State, w *wire.HiringState) {
	w.ApplicationID, w.Version, w.MovedAt, w.UpdatedAt, w.System = s.Application, s.Version, s.MovedAt, wire.Micros(s.UpdatedAt), s.System
	headToWire(&s.Head, &w.Head)
	w.DesiredRevision, w.DesiredClosing = s.DesiredRevision, s.DesiredClosing
	tupleToWire(&s.Desired, &w.Desired)
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
	tupleToWire(&s.Confirmed, &w.Confirmed)
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
	w.Base = nil
	if s.Base != nil {
		w.Base = new(wire.Fold)
		headToWire(s.Base, w.Base)
	}
	w.BaseUntil = wire.Micros(s.BaseUntil)
	w.Tail = w.Tail[:0]
	for i := range s.Tail {
		w.Tail = append(w.Tail, entryToWire(&s.Tail[i]))
	}
	w.Ring = w.Ring[:0]
	for i := range s.Ring {
		w.Ring = append(w.Ring, wire.RingEntry{Key: wire.Digest(s.Ring[i].Key), Digest: wire.Digest(s.Ring[i].Digest), Contradicted: s.Ring[i].Contradicted})
	}
	w.ClosedAt, w.Erased, w.Oversize = wire.Micros(s.ClosedAt), s.Erased, s.Oversize
	w.NextDue, w.TailAbsorbedEarly = wire.Micros(s.NextDue), s.AbsorbedEarly
}

func headToWire(h *hiring.Head, w *wire.Fold) {
	w.Stage, w.Epoch, w.EnteredAt, w.EnteredBy = string(h.Stage), h.Epoch, wire.Micros(h.EnteredAt), h.EnteredBy.String()
	w.EnteredFrom, w.EnteredEvent, w.EnteredSource = string(h.EnteredFrom), h.EnteredEvent, h.EnteredSource
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
	w.HeldBy, w.HeldUntil, w.Deleted, w.Anonymized = h.HeldBy, wire.Micros(h.HeldUntil), h.Deleted, h.Anonymized
	w.LastKeys = w.LastKeys[:0]
	for i := range h.Marks {
		m := &h.Marks[i]
		w.LastKeys = append(w.LastKeys, wire.SystemMark{System: m.System, OccurredAt: wire.Micros(m.OccurredAt), Revision: m.Revision, Snapshot: m.Snapshot, ID: m.ID, EffectiveAt: wire.Micros(m.Eff)})
	}
}

func entryToWire(e *hiring.Entry) wire.TailEntry {
	return wire.TailEntry{
		Source: e.Source, ID: e.ID, Type: e.Type.String(), System: e.System, Key: wire.Digest(e.Key),
		OccurredAt: wire.Micros(e.OccurredAt), ObservedAt: wire.Micros(e.ObservedAt), EffectiveAt: wire.Micros(e.Eff), Revision: e.Revision,
		Stage: e.Stage, PreviousStage: e.PreviousStage, Status: wire.ApplicationStatus(e.Status), Reason: e.RejectReason, Actor: wire.ActorKind(e.Actor),
		OrderID: e.Order, Attempt: e.Attempt, ResultRevision: e.ResultRev, HasResult: e.HasResult, Verdict: wire.Verdict(e.Verdict), FinishedAt: wire.Micros(e.FinishedAt),
		Elements: elementsToWire(e.Elements), CandidateID: e.Candidate, Requisition: requisitionToWire(e.Requisition), ExpiresAt: wire.Micros(e.ExpiresAt), Contradicted: e.Contradicted,
	}
}

func elementsToWire(in []hiring.Element) []wire.Element {
	if len(in) == 0 {
		return nil
	}
	out := make([]wire.Element, len(in))
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

func tupleToWire(t *hiring.Tuple, w *wire.Tuple) {
	*w = wire.Tuple{Stage: t.Stage, Status: wire.ApplicationStatus(t.Status), Reason: t.Reason, Elements: elementsToWire(t.Elements), Version: t.Version}
}

func causeToWire(c *hiring.Cause, w *wire.CommandCause) {
	*w = wire.CommandCause{Source: c.Source, ID: c.ID, EffectiveAt: wire.Micros(c.EffectiveAt), ScreeningFinishedAt: wire.Micros(c.FinishedAt)}
}

// fromWire is the inverse of toWire; w's slices are not kept.
func fromWire(w *wire.HiringState) *hiring.State {
	s := &hiring.State{
		Application: w.ApplicationID, Version: w.Version, MovedAt: w.MovedAt, UpdatedAt: hiring.Micros(w.UpdatedAt), System: w.System,
		DesiredRevision: w.DesiredRevision, Desired: tupleFrom(&w.Desired), DesiredCause: causeOf(&w.DesiredCause), DesiredClosing: w.DesiredClosing,
		Target: hiring.Target{Stage: w.Target.Stage, Status: hiring.Status(w.Target.Status), Reason: w.Target.Reason, Cause: w.Target.Cause, Since: hiring.Micros(w.Target.Since)},
		Write: hiring.Write{
			Revision: w.Write.Revision, State: hiring.WriteState(w.Write.State), CommandID: w.Write.CommandID, Detail: w.Write.Detail,
			Since: hiring.Micros(w.Write.Since), Due: hiring.Micros(w.Write.Due), Emissions: w.Write.Emissions,
		},
		ConfirmedRevision: w.ConfirmedRevision, Confirmed: tupleFrom(&w.Confirmed),
		Refreshes: w.Refreshes, RefreshDue: hiring.Micros(w.RefreshDue), RefreshOpen: w.RefreshOpen, BaseUntil: hiring.Micros(w.BaseUntil),
		ClosedAt: hiring.Micros(w.ClosedAt), Erased: w.Erased, Oversize: w.Oversize, NextDue: hiring.Micros(w.NextDue), AbsorbedEarly: w.TailAbsorbedEarly,
	}
	if s.Write.State == hiring.WriteDone {
		var k wire.OutcomeKind
		if err := k.UnmarshalText([]byte(w.Write.Outcome)); err == nil {
			s.Write.Outcome = hiring.OutcomeKind(k)
		}
	}
	headFrom(&w.Head, &s.Head)
	for i := range w.Echoes {
		e := &w.Echoes[i]
		s.Echoes = append(s.Echoes, hiring.Echo{
			CauseSource: e.CauseSource, CauseID: e.CauseID, CauseEff: hiring.Micros(e.CauseEffectiveAt), Authority: hiring.ParseAuthority(e.Authority),
			VersionBefore: e.VersionBefore, VersionAfter: e.VersionAfter, Stage: e.Stage, Status: hiring.Status(e.Status),
		})
	}
	for i := range w.Incidents {
		o := &w.Incidents[i]
		s.Incidents = append(s.Incidents, hiring.OpenIncident{
			ID: o.ID, Kind: hiring.IncidentKind(o.Kind), Element: o.Element, Subject: o.Subject, Epoch: o.Epoch,
			FirstSeen: hiring.Micros(o.FirstSeen), OpenedAt: hiring.Micros(o.OpenedAt), Owner: o.Owner,
		})
	}
	if w.Base != nil {
		s.Base = new(hiring.Head)
		headFrom(w.Base, s.Base)
	}
	if len(w.Tail) > 0 {
		s.Tail = make([]hiring.Entry, len(w.Tail))
		for i := range w.Tail {
			entryFrom(&w.Tail[i], &s.Tail[i])
		}
	}
	if len(w.Ring) > 0 {
		s.Ring = make([]hiring.RingEntry, len(w.Ring))
		for i := range w.Ring {
			s.Ring[i] = hiring.RingEntry{Key: hiring.Digest(w.Ring[i].Key), Digest: hiring.Digest(w.Ring[i].Digest), Contradicted: w.Ring[i].Contradicted}
		}
	}
	return s
}

func headFrom(w *wire.Fold, h *hiring.Head) {
	*h = hiring.Head{
		Stage: hiring.Stage(w.Stage), EnteredFrom: hiring.Stage(w.EnteredFrom), Epoch: w.Epoch, EnteredAt: hiring.Micros(w.EnteredAt), EnteredBy: hiring.ParseAuthority(w.EnteredBy),
		EnteredEvent: w.EnteredEvent, EnteredSource: w.EnteredSource, LevelSystem: w.LevelSystem, LevelStage: w.LevelStage,
		LevelStatus: hiring.Status(w.LevelStatus), LevelReason: w.LevelReason, Candidate: w.CandidateID, Requisition: requisitionFrom(w.Requisition),
		HeldBy: w.HeldBy, HeldUntil: hiring.Micros(w.HeldUntil), Deleted: w.Deleted, Anonymized: w.Anonymized,
	}
	if len(w.Orders) > 0 {
		h.Orders = append([]string(nil), w.Orders...)
	}
	for i := range w.Observations {
		o := &w.Observations[i]
		h.Observations = append(h.Observations, hiring.Observation{
			Facet: o.Facet, System: o.System, Values: append([]string(nil), o.Values...), At: hiring.Micros(o.At), Revision: o.Revision,
			Snapshot: o.Snapshot, Eff: hiring.Micros(o.EffectiveAt), EventID: o.EventID,
		})
	}
	for i := range w.Results {
		r := &w.Results[i]
		h.Results = append(h.Results, hiring.Result{
			Order: r.OrderID, Attempt: r.Attempt, Revision: r.Revision, Verdict: hiring.Verdict(r.Verdict), Source: r.Source, EventID: r.EventID,
			Eff: hiring.Micros(r.EffectiveAt), FinishedAt: hiring.Micros(r.FinishedAt), Epoch: r.Epoch, Consumed: r.Consumed,
		})
	}
	for i := range w.Reverts {
		r := &w.Reverts[i]
		h.Reverts = append(h.Reverts, hiring.Revert{Edge: r.Edge, Epoch: r.Epoch, Forbidden: r.Forbidden, Count: r.Count})
	}
	for i := range w.Suspects {
		s := &w.Suspects[i]
		var values []hiring.IncidentValue
		for j := range s.Values {
			values = append(values, hiring.IncidentValue{System: s.Values[j].System, Value: s.Values[j].Value, At: hiring.Micros(s.Values[j].At)})
		}
		h.Suspects = append(h.Suspects, hiring.Suspect{Kind: hiring.IncidentKind(s.Kind), Element: s.Element, Subject: s.Subject, Epoch: s.Epoch, Eff: hiring.Micros(s.EffectiveAt), Values: values})
	}
	for i := range w.LastKeys {
		m := &w.LastKeys[i]
		h.Marks = append(h.Marks, hiring.Mark{System: m.System, OccurredAt: hiring.Micros(m.OccurredAt), Revision: m.Revision, Snapshot: m.Snapshot, ID: m.ID, Eff: hiring.Micros(m.EffectiveAt)})
	}
}

func entryFrom(w *wire.TailEntry, e *hiring.Entry) {
	*e = hiring.Entry{
		Source: w.Source, ID: w.ID, Key: hiring.Digest(w.Key), Type: hiring.ParseEventType(w.Type), System: w.System,
		OccurredAt: hiring.Micros(w.OccurredAt), ObservedAt: hiring.Micros(w.ObservedAt), Eff: hiring.Micros(w.EffectiveAt), Revision: w.Revision,
		Stage: w.Stage, PreviousStage: w.PreviousStage, Status: hiring.Status(w.Status), RejectReason: w.Reason, Actor: hiring.ActorKind(w.Actor),
		Order: w.OrderID, Attempt: w.Attempt, ResultRev: w.ResultRevision, HasResult: w.HasResult, Verdict: hiring.Verdict(w.Verdict), FinishedAt: hiring.Micros(w.FinishedAt),
		Elements: elementsFrom(w.Elements), Candidate: w.CandidateID, Requisition: requisitionFrom(w.Requisition), ExpiresAt: hiring.Micros(w.ExpiresAt), Contradicted: w.Contradicted,
	}
}

func elementsFrom(in []wire.Element) []hiring.Element {
	if len(in) == 0 {
		return nil
	}
	out := make([]hiring.Element, len(in))
	for i := range in {
		out[i] = hiring.Element{Name: in[i].Name, Value: in[i].Value}
	}
	return out
}

func requisitionFrom(r wire.Requisition) hiring.Requisition {
	return hiring.Requisition{ID: r.ID, Type: r.Type, Region: r.Region}
}

func tupleFrom(w *wire.Tuple) hiring.Tuple {
	return hiring.Tuple{Stage: w.Stage, Status: hiring.Status(w.Status), Reason: w.Reason, Elements: elementsFrom(w.Elements), Version: w.Version}
}
