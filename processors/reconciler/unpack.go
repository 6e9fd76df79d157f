package reconciler

import (
	"fmt"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/store"
	"github.com/concord-ats/concord/pkg/wire"
)

// unpacker decodes states into memory that it uses again. Owned by one session's goroutine.
type unpacker struct {
	in           wire.HiringState
	state        hiring.State
	base         hiring.Head
	echoes       pool[hiring.Echo]
	incidents    pool[hiring.OpenIncident]
	tail         pool[hiring.Entry]
	ring         pool[hiring.RingEntry]
	observations pool[hiring.Observation]
	results      pool[hiring.Result]
	marks        pool[hiring.Mark]
	elements     pool[hiring.Element]
}

// slack is room at the end of a list for what the next event adds to it.
const slack = 2

// pool lends parts of one array, and takes them all back at once.
type pool[T any] struct{ free []T }

// take returns n items, whatever is in them, with room for a few more; nil for none.
func (p *pool[T]) take(n, room int) []T {
	if n == 0 {
		return nil
	}
	at := len(p.free)
	if cap(p.free)-at < n+room {
		p.free, at = make([]T, 0, max(2*cap(p.free), n+room)), 0
	}
	p.free = p.free[:at+n+room]
	return p.free[at : at+n : at+n+room]
}

func (p *pool[T]) reset() { p.free = p.free[:0] }

func (u *unpacker) reset() {
	u.echoes.reset()
	u.incidents.reset()
	u.tail.reset()
	u.ring.reset()
	u.observations.reset()
	u.results.reset()
	u.marks.reset()
	u.elements.reset()
}

// open decodes the state of an application. It is valid until the next call.
func (u *unpacker) open(schemas *wire.Schemas, app string, c *cell) (*hiring.State, error) {
	if c.value == "" {
		return hiring.NewState(app), nil
	}
	if err := schemas.DecodeState(c.value, &u.in); err != nil {
		return nil, fmt.Errorf("state of %s: %w: %w", app, store.ErrCorrupt, err)
	}
	return u.unpack(&u.in), nil
}

// texts is in without the room at its end, which belongs to somebody else.
func texts(in []string) []string {
	if len(in) == 0 {
		return nil
	}
	return in[:len(in):len(in)]
}

// unpack is the inverse of pack. The state shares memory with w.
func (u *unpacker) unpack(w *wire.HiringState) *hiring.State {
	u.reset()
	s := &u.state
	*s = hiring.State{
		Application: w.ApplicationID, Version: w.Version, MovedAt: w.MovedAt, UpdatedAt: hiring.Micros(w.UpdatedAt), System: w.System,
		DesiredRevision: w.DesiredRevision, Desired: u.tuple(&w.Desired), DesiredCause: causeOf(&w.DesiredCause), DesiredClosing: w.DesiredClosing,
		Target: hiring.Target{Stage: w.Target.Stage, Status: hiring.Status(w.Target.Status), Reason: w.Target.Reason, Cause: w.Target.Cause, Since: hiring.Micros(w.Target.Since)},
		Write: hiring.Write{
			Revision: w.Write.Revision, State: hiring.WriteState(w.Write.State), CommandID: w.Write.CommandID, Detail: w.Write.Detail,
			Since: hiring.Micros(w.Write.Since), Due: hiring.Micros(w.Write.Due), Emissions: w.Write.Emissions,
		},
		ConfirmedRevision: w.ConfirmedRevision, Confirmed: u.tuple(&w.Confirmed),
		Refreshes: w.Refreshes, RefreshDue: hiring.Micros(w.RefreshDue), RefreshOpen: w.RefreshOpen, BaseUntil: hiring.Micros(w.BaseUntil),
		ResyncedAt: hiring.Micros(w.ResyncedAt), Paused: w.Paused,
		ClosedAt: hiring.Micros(w.ClosedAt), Erased: w.Erased, Oversize: w.Oversize, NextDue: hiring.Micros(w.NextDue), AbsorbedEarly: w.TailAbsorbedEarly,
	}
	if s.Write.State == hiring.WriteDone {
		var k wire.OutcomeKind
		if err := k.UnmarshalText([]byte(w.Write.Outcome)); err == nil {
			s.Write.Outcome = hiring.OutcomeKind(k)
		}
	}
	if o := w.Order; o != nil {
		s.Order = &hiring.PendingOrder{
			ID: o.OrderID, Vendor: o.Vendor, Test: o.Test, Stage: hiring.Stage(o.Stage), Epoch: o.Epoch, Since: hiring.Micros(o.Since), IssuedAt: hiring.Micros(o.IssuedAt),
		}
	}
	u.head(&w.Head, &s.Head)
	s.Echoes = u.echoes.take(len(w.Echoes), slack)
	for i := range w.Echoes {
		e := &w.Echoes[i]
		s.Echoes[i] = hiring.Echo{
			CauseSource: e.CauseSource, CauseID: e.CauseID, CauseEff: hiring.Micros(e.CauseEffectiveAt), Authority: hiring.ParseAuthority(e.Authority),
			VersionBefore: e.VersionBefore, VersionAfter: e.VersionAfter, Stage: e.Stage, Status: hiring.Status(e.Status),
		}
	}
	s.Incidents = u.incidents.take(len(w.Incidents), slack)
	for i := range w.Incidents {
		o := &w.Incidents[i]
		s.Incidents[i] = hiring.OpenIncident{
			ID: o.ID, Kind: hiring.IncidentKind(o.Kind), Element: o.Element, Subject: o.Subject, Epoch: o.Epoch,
			FirstSeen: hiring.Micros(o.FirstSeen), OpenedAt: hiring.Micros(o.OpenedAt), Owner: o.Owner,
		}
	}
	if w.Base != nil {
		s.Base = &u.base
		u.head(w.Base, s.Base)
	}
	s.Tail = u.tail.take(len(w.Tail), slack)
	for i := range w.Tail {
		u.entry(&w.Tail[i], &s.Tail[i])
	}
	s.Ring = u.ring.take(len(w.Ring), slack)
	for i := range w.Ring {
		s.Ring[i] = hiring.RingEntry{Key: hiring.Digest(w.Ring[i].Key), Digest: hiring.Digest(w.Ring[i].Digest), Contradicted: w.Ring[i].Contradicted}
	}
	return s
}

func (u *unpacker) head(w *wire.Fold, h *hiring.Head) {
	*h = hiring.Head{
		Stage: hiring.Stage(w.Stage), EnteredFrom: hiring.Stage(w.EnteredFrom), FirstSeen: hiring.Micros(w.FirstSeen), Epoch: w.Epoch, EnteredAt: hiring.Micros(w.EnteredAt), EnteredBy: hiring.ParseAuthority(w.EnteredBy),
		EnteredEvent: w.EnteredEvent, EnteredSource: w.EnteredSource, LevelSystem: w.LevelSystem, LevelStage: w.LevelStage,
		LevelStatus: hiring.Status(w.LevelStatus), LevelReason: w.LevelReason, Candidate: w.CandidateID, Requisition: requisitionFrom(w.Requisition),
		EnteredUntil: hiring.Micros(w.EnteredUntil), MigratedAt: hiring.Micros(w.MigratedAt), HeldScope: w.HeldScope, HeldBy: w.HeldBy, HeldUntil: hiring.Micros(w.HeldUntil), Deleted: w.Deleted, Anonymized: w.Anonymized,
	}
	h.Orders = texts(w.Orders)
	h.Observations = u.observations.take(len(w.Observations), slack)
	for i := range w.Observations {
		o := &w.Observations[i]
		h.Observations[i] = hiring.Observation{
			Facet: o.Facet, System: o.System, Values: texts(o.Values), At: hiring.Micros(o.At), Revision: o.Revision,
			Snapshot: o.Snapshot, Eff: hiring.Micros(o.EffectiveAt), EventID: o.EventID,
		}
	}
	h.Results = u.results.take(len(w.Results), slack)
	for i := range w.Results {
		r := &w.Results[i]
		h.Results[i] = hiring.Result{
			Order: r.OrderID, Attempt: r.Attempt, Revision: r.Revision, Verdict: hiring.Verdict(r.Verdict), Source: r.Source, EventID: r.EventID,
			Eff: hiring.Micros(r.EffectiveAt), FinishedAt: hiring.Micros(r.FinishedAt), Epoch: r.Epoch, Consumed: r.Consumed,
		}
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
	h.Marks = u.marks.take(len(w.LastKeys), slack)
	for i := range w.LastKeys {
		m := &w.LastKeys[i]
		h.Marks[i] = hiring.Mark{System: m.System, OccurredAt: hiring.Micros(m.OccurredAt), Revision: m.Revision, Snapshot: m.Snapshot, ID: m.ID, Eff: hiring.Micros(m.EffectiveAt)}
	}
}

func (u *unpacker) entry(w *wire.TailEntry, e *hiring.Entry) {
	*e = hiring.Entry{
		Source: w.Source, ID: w.ID, Key: hiring.Digest(w.Key), Type: hiring.EventType(w.Type), System: w.System,
		OccurredAt: hiring.Micros(w.OccurredAt), ObservedAt: hiring.Micros(w.ObservedAt), Eff: hiring.Micros(w.EffectiveAt), Revision: w.Revision,
		Stage: w.Stage, PreviousStage: w.PreviousStage, Status: hiring.Status(w.Status), RejectReason: w.Reason, Actor: hiring.ActorKind(w.Actor),
		Order: w.OrderID, Attempt: w.Attempt, ResultRev: w.ResultRevision, HasResult: w.HasResult, Verdict: hiring.Verdict(w.Verdict), FinishedAt: hiring.Micros(w.FinishedAt), Score: (*hiring.Score)(w.Score),
		Elements: u.list(w.Elements), Candidate: w.CandidateID, Requisition: requisitionFrom(w.Requisition), ExpiresAt: hiring.Micros(w.ExpiresAt), Scope: w.Scope, Contradicted: w.Contradicted,
	}
}

func (u *unpacker) list(in []wire.Element) []hiring.Element {
	out := u.elements.take(len(in), 0)
	for i := range in {
		out[i] = hiring.Element{Name: in[i].Name, Value: in[i].Value}
	}
	return out
}

func requisitionFrom(r wire.Requisition) hiring.Requisition {
	return hiring.Requisition{ID: r.ID, Type: r.Type, Region: r.Region}
}

func (u *unpacker) tuple(w *wire.Tuple) hiring.Tuple {
	return hiring.Tuple{Stage: w.Stage, Status: hiring.Status(w.Status), Reason: w.Reason, Elements: u.list(w.Elements), Version: w.Version}
}
