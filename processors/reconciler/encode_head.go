package reconciler

import (
	"slices"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/pkg/wire/avro"
)

// around is what a fold can refer to. A base refers to the system alone.
type around struct {
	system string
	tail   []hiring.Entry
	base   *hiring.Head // &nothing = none
}

var nothing hiring.Head

func appendHead(dst []byte, h *hiring.Head, in around) []byte {
	tail, base := in.tail, in.base
	dst = avro.AppendText(dst, string(h.Stage))
	dst = avro.AppendText(dst, string(h.EnteredFrom))
	dst = avro.AppendLong(dst, int64(h.Epoch))
	dst = avro.AppendLong(dst, int64(h.FirstSeen))
	dst = avro.AppendLong(dst, int64(h.EnteredAt))
	dst = appendAuthority(dst, h.EnteredBy)
	dst = appendEntered(dst, h, tail)
	dst = avro.AppendLong(dst, int64(h.EnteredUntil))
	dst = avro.AppendLong(dst, int64(h.MigratedAt))
	dst = appendUnless(dst, h.LevelSystem, in.system)
	dst = avro.AppendText(dst, h.LevelStage)
	dst = avro.AppendLong(dst, int64(h.LevelStatus))
	dst = avro.AppendText(dst, h.LevelReason)
	dst = appendCount(dst, len(h.Observations))
	for i := range h.Observations {
		dst = appendObservation(dst, &h.Observations[i], tail, base.Observations)
	}
	dst = append(dst, 0)
	dst = appendCount(dst, len(h.Results))
	for i := range h.Results {
		dst = appendResult(dst, &h.Results[i], tail, base.Results)
	}
	dst = append(dst, 0)
	dst = appendCount(dst, len(h.Orders))
	for _, o := range h.Orders {
		dst = appendOrder(dst, o, tail, base.Orders)
	}
	dst = append(dst, 0)
	dst = appendCount(dst, len(h.Reverts))
	for i := range h.Reverts {
		r := &h.Reverts[i]
		dst = avro.AppendText(dst, r.Edge)
		dst = avro.AppendLong(dst, int64(r.Epoch))
		dst = avro.AppendLong(dst, int64(r.Count))
		dst = avro.AppendBool(dst, r.Forbidden)
	}
	dst = append(dst, 0)
	dst = appendCount(dst, len(h.Suspects))
	for i := range h.Suspects {
		s := &h.Suspects[i]
		dst = avro.AppendLong(dst, int64(s.Kind))
		dst = avro.AppendText(dst, s.Element)
		dst = avro.AppendText(dst, s.Subject)
		dst = avro.AppendLong(dst, int64(s.Epoch))
		dst = avro.AppendLong(dst, int64(s.Eff))
		dst = appendCount(dst, len(s.Values))
		for j := range s.Values {
			dst = avro.AppendText(dst, s.Values[j].System)
			dst = avro.AppendText(dst, s.Values[j].Value)
			dst = avro.AppendLong(dst, int64(s.Values[j].At))
		}
		dst = append(dst, 0)
	}
	dst = append(dst, 0)
	dst = appendCandidate(dst, h, tail, base)
	dst = appendCount(dst, len(h.Holds))
	for i := range h.Holds {
		dst = avro.AppendText(dst, h.Holds[i].Scope)
		dst = avro.AppendText(dst, h.Holds[i].By)
		dst = avro.AppendLong(dst, int64(h.Holds[i].Until))
	}
	dst = append(dst, 0)
	dst = avro.AppendBool(dst, h.Deleted)
	dst = avro.AppendBool(dst, h.Anonymized)
	dst = appendCount(dst, len(h.Marks))
	for i := range h.Marks {
		dst = appendMark(dst, &h.Marks[i], tail, base.Marks)
	}
	return append(dst, 0)
}

func appendEntered(dst []byte, h *hiring.Head, tail []hiring.Entry) []byte {
	for n := len(tail); n > 0; n-- {
		if e := &tail[n-1]; e.ID == h.EnteredEvent && e.Source == h.EnteredSource {
			return append(avro.AppendLong(dst, int64(n)), 0, 0)
		}
	}
	dst = avro.AppendText(append(dst, 0), h.EnteredEvent)
	return avro.AppendText(dst, h.EnteredSource)
}

func appendObservation(dst []byte, o *hiring.Observation, tail []hiring.Entry, base []hiring.Observation) []byte {
	for i := range base {
		if b := &base[i]; b.Facet == o.Facet && b.System == o.System && b.At == o.At && b.Revision == o.Revision && b.Snapshot == o.Snapshot &&
			b.Eff == o.Eff && b.EventID == o.EventID && slices.Equal(b.Values, o.Values) {
			return append(avro.AppendLong(dst, -int64(i+1)), 0, 0, 0, 0)
		}
	}
	for n := len(tail); n > 0; n-- {
		e := &tail[n-1]
		if e.OccurredAt != o.At || e.Eff != o.Eff || e.ID != o.EventID || e.System != o.System || (e.Type == hiring.EventSnapshot) != o.Snapshot ||
			max(e.Revision, int64(e.ResultRev)) != o.Revision {
			continue
		}
		dst = avro.AppendLong(dst, int64(n))
		if said := saidIn(e, o); said != wire.SaidGiven {
			return append(avro.AppendLong(dst, int64(said)), 0, 0, 0)
		}
		return append(appendSaid(append(dst, 0), o), 0)
	}
	dst = append(appendSaid(append(dst, 0, 0), o), 2)
	return appendOrigin(dst, o.System, o.At, o.Revision, o.Snapshot, o.Eff, o.EventID)
}

func appendSaid(dst []byte, o *hiring.Observation) []byte {
	dst = avro.AppendText(dst, o.Facet)
	dst = appendCount(dst, len(o.Values))
	for _, v := range o.Values {
		dst = avro.AppendText(dst, v)
	}
	return append(dst, 0)
}

func appendOrigin(dst []byte, system string, at hiring.Micros, revision int64, snapshot bool, eff hiring.Micros, event string) []byte {
	dst = avro.AppendText(dst, system)
	dst = avro.AppendLong(dst, int64(at))
	dst = avro.AppendLong(dst, revision)
	dst = avro.AppendBool(dst, snapshot)
	dst = avro.AppendLong(dst, int64(eff))
	return avro.AppendText(dst, event)
}

// saidIn says what of an entry an observation is; wire.SaidGiven = nothing.
func saidIn(e *hiring.Entry, o *hiring.Observation) int32 {
	if len(o.Values) != 1 {
		return wire.SaidGiven
	}
	value, said, by := o.Values[0], "", wire.SaidGiven
	switch o.Facet {
	case wire.FacetStage:
		said, by = e.Stage, wire.SaidStage
	case wire.FacetStatus:
		said, by = e.Status.String(), wire.SaidStatus
	case wire.FacetReason:
		said, by = e.RejectReason, wire.SaidReason
	case wire.FacetScreening:
		said, by = e.Type.String(), wire.SaidType
	default:
		for i := range e.Elements {
			if e.Elements[i].Value == value && isElement(o.Facet, e.Elements[i].Name) {
				return int32(i + 1)
			}
		}
		return wire.SaidGiven
	}
	if said != value {
		return wire.SaidGiven
	}
	return by
}

func appendResult(dst []byte, r *hiring.Result, tail []hiring.Entry, base []hiring.Result) []byte {
	for i := range base {
		if base[i] == *r {
			return append(avro.AppendLong(dst, -int64(i+1)), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
		}
	}
	at := 0
	for n := len(tail); n > 0; n-- {
		if e := &tail[n-1]; saysScreening(e) && e.Eff == r.Eff && e.FinishedAt == r.FinishedAt && e.ResultRev == r.Revision && e.Attempt == r.Attempt &&
			e.ID == r.EventID && e.Source == r.Source && e.Order == r.Order {
			at = n
			break
		}
	}
	if at > 0 {
		dst = append(avro.AppendLong(dst, int64(at)), 0, 0, 0)
		dst = append(avro.AppendLong(dst, int64(r.Verdict)), 0, 0, 0, 0)
	} else {
		dst = avro.AppendText(append(dst, 0), r.Order)
		dst = avro.AppendLong(dst, int64(r.Attempt))
		dst = avro.AppendLong(dst, int64(r.Revision))
		dst = avro.AppendLong(dst, int64(r.Verdict))
		dst = avro.AppendText(dst, r.Source)
		dst = avro.AppendText(dst, r.EventID)
		dst = avro.AppendLong(dst, int64(r.Eff))
		dst = avro.AppendLong(dst, int64(r.FinishedAt))
	}
	dst = avro.AppendLong(dst, int64(r.Epoch))
	return avro.AppendBool(dst, r.Consumed)
}

func appendOrder(dst []byte, order string, tail []hiring.Entry, base []string) []byte {
	for i := range base {
		if base[i] == order {
			return append(avro.AppendLong(dst, -int64(i+1)), 0)
		}
	}
	for n := len(tail); n > 0; n-- {
		if e := &tail[n-1]; e.Order == order && saysScreening(e) {
			return append(avro.AppendLong(dst, int64(n)), 0)
		}
	}
	return avro.AppendText(append(dst, 0), order)
}

func appendCandidate(dst []byte, h *hiring.Head, tail []hiring.Entry, base *hiring.Head) []byte {
	if base != &nothing && base.Candidate == h.Candidate && base.Requisition == h.Requisition {
		return append(dst, 1, 0, 0, 0, 0) // -1
	}
	for n := len(tail); n > 0; n-- {
		if e := &tail[n-1]; saysATS(e) && e.Candidate == h.Candidate && e.Requisition == h.Requisition {
			return append(avro.AppendLong(dst, int64(n)), 0, 0, 0, 0)
		}
	}
	dst = avro.AppendText(append(dst, 0), h.Candidate)
	return appendRequisition(dst, &h.Requisition)
}

func appendMark(dst []byte, m *hiring.Mark, tail []hiring.Entry, base []hiring.Mark) []byte {
	for i := range base {
		if base[i] == *m {
			return append(avro.AppendLong(dst, -int64(i+1)), 0)
		}
	}
	for n := len(tail); n > 0; n-- {
		if e := &tail[n-1]; e.OccurredAt == m.OccurredAt && e.Eff == m.Eff && e.ID == m.ID && e.System == m.System &&
			(e.Type == hiring.EventSnapshot) == m.Snapshot && e.Revision == m.Revision {
			return append(avro.AppendLong(dst, int64(n)), 0)
		}
	}
	return appendOrigin(append(dst, 0, 2), m.System, m.OccurredAt, m.Revision, m.Snapshot, m.Eff, m.ID)
}
