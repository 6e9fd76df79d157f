package reconciler

import (
	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/wire"
)

// head is the inverse of appendHead.
func (u *unpacker) head(h *hiring.Head, in around) {
	d := &u.d
	*h = hiring.Head{
		Stage: hiring.Stage(d.Text()), EnteredFrom: hiring.Stage(d.Text()), Epoch: d.Int(), FirstSeen: u.micros(), EnteredAt: u.micros(), EnteredBy: u.authority(),
	}
	entered := d.Long()
	if h.EnteredEvent, h.EnteredSource = d.Text(), d.Text(); entered != 0 {
		e := refer(u, in.tail, entered)
		h.EnteredEvent, h.EnteredSource = e.ID, e.Source
	}
	h.EnteredUntil, h.MigratedAt = u.micros(), u.micros()
	own := d.Bool()
	if h.LevelSystem = d.Text(); own {
		h.LevelSystem = in.system
	}
	h.LevelStage, h.LevelStatus, h.LevelReason = d.Text(), hiring.Status(d.Enum(statuses)), d.Text()
	for n := d.Block(minObservation); n > 0; n = d.Block(minObservation) {
		h.Observations = u.observations.extend(h.Observations, n, slack)
		for i := len(h.Observations) - n; i < len(h.Observations); i++ {
			u.observation(&h.Observations[i], in)
		}
	}
	for n := d.Block(minResult); n > 0; n = d.Block(minResult) {
		h.Results = u.results.extend(h.Results, n, slack)
		for i := len(h.Results) - n; i < len(h.Results); i++ {
			u.result(&h.Results[i], in)
		}
	}
	for n := d.Block(minOrder); n > 0; n = d.Block(minOrder) {
		h.Orders = u.texts.extend(h.Orders, n, slack)
		for i := len(h.Orders) - n; i < len(h.Orders); i++ {
			at := d.Long()
			switch h.Orders[i] = d.Text(); {
			case at > 0:
				h.Orders[i] = refer(u, in.tail, at).Order
			case at < 0:
				h.Orders[i] = *refer(u, in.base.Orders, -at)
			}
		}
	}
	for n := d.Block(minRevert); n > 0; n = d.Block(minRevert) {
		h.Reverts = u.reverts.extend(h.Reverts, n, slack)
		for i := len(h.Reverts) - n; i < len(h.Reverts); i++ {
			h.Reverts[i] = hiring.Revert{Edge: d.Text(), Epoch: d.Int(), Count: d.Int(), Forbidden: d.Bool()}
		}
	}
	for n := d.Block(minSuspect); n > 0; n = d.Block(minSuspect) {
		h.Suspects = u.suspects.extend(h.Suspects, n, slack)
		for i := len(h.Suspects) - n; i < len(h.Suspects); i++ {
			h.Suspects[i] = hiring.Suspect{Kind: u.kind(), Element: d.Text(), Subject: d.Text(), Epoch: d.Int(), Eff: u.micros(), Values: u.values()}
		}
	}
	candidate := d.Long()
	h.Candidate, h.Requisition = d.Text(), u.requisition()
	switch {
	case candidate == -1:
		h.Candidate, h.Requisition = in.base.Candidate, in.base.Requisition
	case candidate != 0:
		e := refer(u, in.tail, candidate)
		h.Candidate, h.Requisition = e.Candidate, e.Requisition
	}
	for n := d.Block(minHold); n > 0; n = d.Block(minHold) {
		for range n { // rare, so not from a pool
			h.Holds = append(h.Holds, hiring.Hold{Scope: d.Text(), By: d.Text(), Until: u.micros()})
		}
	}
	h.Deleted, h.Anonymized = d.Bool(), d.Bool()
	for n := d.Block(minMark); n > 0; n = d.Block(minMark) {
		h.Marks = u.marks.extend(h.Marks, n, slack)
		for i := len(h.Marks) - n; i < len(h.Marks); i++ {
			u.mark(&h.Marks[i], in)
		}
	}
}

func (u *unpacker) values() (list []hiring.IncidentValue) {
	for n := u.d.Block(minEvidence); n > 0; n = u.d.Block(minEvidence) {
		list = u.evidence.extend(list, n, 0)
		for i := len(list) - n; i < len(list); i++ {
			list[i] = hiring.IncidentValue{System: u.d.Text(), Value: u.d.Text(), At: u.micros()}
		}
	}
	return list
}

func (u *unpacker) observation(o *hiring.Observation, in around) {
	d := &u.d
	at, said := d.Long(), d.Int()
	*o = hiring.Observation{Facet: d.Text()}
	for n := d.Block(minText); n > 0; n = d.Block(minText) {
		o.Values = u.texts.extend(o.Values, n, 0)
		for i := len(o.Values) - n; i < len(o.Values); i++ {
			o.Values[i] = d.Text()
		}
	}
	if d.Present() {
		o.System, o.At, o.Revision, o.Snapshot, o.Eff, o.EventID = d.Text(), u.micros(), d.Long(), d.Bool(), u.micros(), d.Text()
	}
	if at < 0 {
		*o = *refer(u, in.base.Observations, -at)
		return
	}
	if at == 0 {
		return
	}
	e := refer(u, in.tail, at)
	o.System, o.At, o.Revision, o.Snapshot, o.Eff, o.EventID = e.System, e.OccurredAt, max(e.Revision, int64(e.ResultRev)), e.Type == hiring.EventSnapshot, e.Eff, e.ID
	if said == wire.SaidGiven {
		return
	}
	o.Values = u.texts.extend(nil, 1, 0)
	switch said {
	case wire.SaidStage:
		o.Facet, o.Values[0] = wire.FacetStage, e.Stage
	case wire.SaidStatus:
		o.Facet, o.Values[0] = wire.FacetStatus, e.Status.String()
	case wire.SaidReason:
		o.Facet, o.Values[0] = wire.FacetReason, e.RejectReason
	case wire.SaidType:
		o.Facet, o.Values[0] = wire.FacetScreening, e.Type.String()
	default:
		element := refer(u, e.Elements, int64(said))
		o.Facet, o.Values[0] = u.facet(element.Name), element.Value
	}
}

// maxFacets bounds the facets of elements that are remembered.
const maxFacets = 1024

// facet returns the facet of an element. It remembers them: a dictionary has few.
func (u *unpacker) facet(name string) string {
	f, ok := u.facets[name]
	if !ok {
		if u.facets == nil || len(u.facets) >= maxFacets {
			u.facets = map[string]string{}
		}
		f = wire.FacetElement + name
		u.facets[f[len(wire.FacetElement):]] = f
	}
	return f
}

func (u *unpacker) result(r *hiring.Result, in around) {
	d := &u.d
	at := d.Long()
	*r = hiring.Result{
		Order: d.Text(), Attempt: d.Int(), Revision: d.Int(), Verdict: hiring.Verdict(d.Enum(verdicts)), Source: d.Text(), EventID: d.Text(),
		Eff: u.micros(), FinishedAt: u.micros(), Epoch: d.Int(), Consumed: d.Bool(),
	}
	switch {
	case at < 0:
		*r = *refer(u, in.base.Results, -at)
	case at > 0:
		e := refer(u, in.tail, at)
		r.Order, r.Attempt, r.Revision, r.Source, r.EventID, r.Eff, r.FinishedAt = e.Order, e.Attempt, e.ResultRev, e.Source, e.ID, e.Eff, e.FinishedAt
	}
}

func (u *unpacker) mark(m *hiring.Mark, in around) {
	d := &u.d
	at := d.Long()
	*m = hiring.Mark{}
	if d.Present() {
		m.System, m.OccurredAt, m.Revision, m.Snapshot, m.Eff, m.ID = d.Text(), u.micros(), d.Long(), d.Bool(), u.micros(), d.Text()
	}
	switch {
	case at < 0:
		*m = *refer(u, in.base.Marks, -at)
	case at > 0:
		e := refer(u, in.tail, at)
		*m = hiring.Mark{System: e.System, OccurredAt: e.OccurredAt, Revision: e.Revision, Snapshot: e.Type == hiring.EventSnapshot, ID: e.ID, Eff: e.Eff}
	}
}
