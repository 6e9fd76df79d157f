package reconciler

import (
	"cmp"
	"math/bits"
	"strings"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/pkg/wire/avro"
)

// appendState appends the Avro bytes of a state, straight from the core's types: it is written for every event. What the
// state says of an event in its tail, or says in its base already, is a reference, as wire.HiringState documents; decoder
// is the inverse. Equal states have equal bytes.
//
// The text of a state was checked to be UTF-8 when its events were read, and is not checked again.
func appendState(dst []byte, s *hiring.State) []byte {
	dst = avro.AppendText(dst, s.Application)
	dst = avro.AppendLong(dst, int64(s.NextDue))
	dst = avro.AppendLong(dst, s.Version)
	dst = avro.AppendLong(dst, s.MovedAt)
	dst = avro.AppendLong(dst, int64(s.UpdatedAt))
	dst = appendUnless(dst, s.System, instanceOf(s.Application))
	if s.Base == nil {
		dst = append(dst, 0)
	} else {
		dst = appendHead(append(dst, 2), s.Base, around{system: s.System, base: &nothing})
	}
	dst = avro.AppendLong(dst, int64(s.BaseUntil))
	dst = appendCount(dst, len(s.Tail))
	for i := range s.Tail {
		dst = appendEntry(dst, s.Tail, i)
	}
	dst = append(dst, 0)
	dst = appendCount(dst, len(s.Ring))
	for i := range s.Ring {
		dst = appendShort(dst, s.Ring[i].Key)
		dst = appendShort(dst, s.Ring[i].Digest)
	}
	dst = append(dst, 0)
	dst = appendHead(dst, &s.Head, around{system: s.System, tail: s.Tail, base: cmp.Or(s.Base, &nothing)})
	dst = avro.AppendLong(dst, s.DesiredRevision)
	dst = appendTuple(dst, &s.Desired, s.Head.Observations)
	dst = appendCause(dst, &s.DesiredCause, s.Tail)
	dst = avro.AppendBool(dst, s.DesiredClosing)
	dst = avro.AppendText(dst, s.Target.Stage)
	dst = avro.AppendLong(dst, int64(s.Target.Status))
	dst = avro.AppendText(dst, s.Target.Reason)
	dst = avro.AppendText(dst, s.Target.Cause)
	dst = avro.AppendLong(dst, int64(s.Target.Since))
	dst = avro.AppendLong(dst, s.Write.Revision)
	dst = avro.AppendLong(dst, int64(s.Write.State))
	dst = avro.AppendText(dst, s.Write.CommandID)
	if s.Write.State == hiring.WriteDone {
		dst = avro.AppendText(dst, wire.OutcomeKind(s.Write.Outcome).String())
	} else {
		dst = append(dst, 0)
	}
	dst = avro.AppendText(dst, s.Write.Detail)
	dst = avro.AppendLong(dst, int64(s.Write.Since))
	dst = avro.AppendLong(dst, int64(s.Write.Due))
	dst = avro.AppendLong(dst, int64(s.Write.Emissions))
	dst = avro.AppendLong(dst, s.ConfirmedRevision)
	dst = appendTuple(dst, &s.Confirmed, s.Head.Observations)
	dst = appendCount(dst, len(s.Echoes))
	for i := range s.Echoes {
		e := &s.Echoes[i]
		dst = avro.AppendText(dst, e.CauseSource)
		dst = avro.AppendText(dst, e.CauseID)
		dst = avro.AppendLong(dst, int64(e.CauseEff))
		dst = appendAuthority(dst, e.Authority)
		dst = avro.AppendLong(dst, e.VersionBefore)
		dst = avro.AppendLong(dst, e.VersionAfter)
		dst = avro.AppendText(dst, e.Stage)
		dst = avro.AppendLong(dst, int64(e.Status))
	}
	dst = append(dst, 0)
	dst = appendCount(dst, len(s.Incidents))
	for i := range s.Incidents {
		o := &s.Incidents[i]
		dst = avro.AppendText(dst, o.ID)
		dst = avro.AppendLong(dst, int64(o.Kind))
		dst = avro.AppendText(dst, o.Element)
		dst = avro.AppendText(dst, o.Subject)
		dst = avro.AppendLong(dst, int64(o.Epoch))
		dst = avro.AppendLong(dst, int64(o.FirstSeen))
		dst = avro.AppendLong(dst, int64(o.OpenedAt))
		dst = avro.AppendText(dst, o.Owner)
	}
	dst = append(dst, 0)
	dst = avro.AppendLong(dst, int64(s.Refreshes))
	dst = avro.AppendLong(dst, int64(s.RefreshDue))
	dst = avro.AppendBool(dst, s.RefreshOpen)
	dst = avro.AppendLong(dst, int64(s.ResyncedAt))
	dst = avro.AppendBool(dst, s.Paused)
	if o := s.Order; o == nil {
		dst = append(dst, 0)
	} else {
		dst = avro.AppendText(append(dst, 2), o.ID)
		dst = avro.AppendText(dst, o.Vendor)
		dst = avro.AppendText(dst, o.Test)
		dst = avro.AppendText(dst, string(o.Stage))
		dst = avro.AppendLong(dst, int64(o.Epoch))
		dst = avro.AppendLong(dst, int64(o.Since))
		dst = avro.AppendLong(dst, int64(o.IssuedAt))
	}
	dst = avro.AppendLong(dst, int64(s.ClosedAt))
	dst = avro.AppendBool(dst, s.Erased)
	dst = avro.AppendBool(dst, s.Oversize)
	dst = avro.AppendLong(dst, int64(s.AbsorbedEarly))
	return append(dst, 0) // no policy: that is a partition's
}

// instanceOf is the ATS instance in an application's id.
func instanceOf(application string) string {
	instance, _, _ := strings.Cut(application, "/")
	return instance
}

// appendUnless appends whether text is what it usually is, and text if not.
func appendUnless(dst []byte, text, usual string) []byte {
	if text == usual {
		return append(dst, 1, 0)
	}
	return avro.AppendText(append(dst, 0), text)
}

// appendCount begins an array of n items; a 0 ends it.
func appendCount(dst []byte, n int) []byte {
	if n == 0 {
		return dst
	}
	return avro.AppendLong(dst, int64(n))
}

func appendShort(dst []byte, v uint64) []byte {
	return append(dst, byte(v>>56), byte(v>>48), byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

// appendAuthority appends a single authority, or none.
func appendAuthority(dst []byte, a hiring.Authority) []byte {
	return avro.AppendLong(dst, int64(bits.Len8(uint8(a))))
}

var noEntry hiring.Entry

// maxLike is at how many entries before it an entry looks for its source and system.
const maxLike = 8

func appendEntry(dst []byte, tail []hiring.Entry, i int) []byte {
	e := &tail[i]
	dst = avro.AppendText(dst, e.ID)
	dst = avro.AppendLong(dst, int64(e.Type))
	dst = avro.AppendLong(dst, int64(e.OccurredAt))
	dst = avro.AppendLong(dst, int64(e.ObservedAt-e.OccurredAt))
	dst = avro.AppendLong(dst, int64(e.Eff-e.OccurredAt))
	var like *hiring.Entry
	for k := i - 1; k >= max(0, i-maxLike); k-- {
		if tail[k].System == e.System && tail[k].Source == e.Source {
			like = &tail[k]
			dst = append(avro.AppendLong(dst, int64(i-k)), 0, 0)
			break
		}
	}
	if like == nil {
		like = &noEntry
		dst = avro.AppendText(append(dst, 0), e.Source)
		dst = avro.AppendText(dst, e.System)
	}
	dst = avro.AppendBool(dst, e.Contradicted)
	if !saysATS(e) {
		dst = append(dst, 0)
	} else {
		dst = avro.AppendLong(append(dst, 2), e.Revision)
		dst = avro.AppendText(dst, e.Stage)
		dst = avro.AppendText(dst, e.PreviousStage)
		dst = avro.AppendLong(dst, int64(e.Status))
		dst = avro.AppendText(dst, e.RejectReason)
		dst = avro.AppendLong(dst, int64(e.Actor))
		if e.Candidate == like.Candidate && e.Requisition == like.Requisition && saysATS(like) {
			dst = append(dst, 1, 0, 0, 0, 0)
		} else {
			dst = avro.AppendText(append(dst, 0), e.Candidate)
			dst = appendRequisition(dst, &e.Requisition)
		}
	}
	if !saysScreening(e) {
		dst = append(dst, 0)
	} else {
		if e.Order == like.Order && saysScreening(like) {
			dst = append(dst, 2, 1, 0)
		} else {
			dst = avro.AppendText(append(dst, 2, 0), e.Order)
		}
		dst = avro.AppendLong(dst, int64(e.Attempt))
		dst = avro.AppendLong(dst, int64(e.ResultRev))
		dst = avro.AppendBool(dst, e.HasResult)
		dst = avro.AppendLong(dst, int64(e.Verdict))
		dst = avro.AppendLong(dst, int64(e.FinishedAt))
		if e.Score == nil {
			dst = append(dst, 0)
		} else {
			dst = avro.AppendDouble(append(dst, 2), e.Score.Value)
			dst = avro.AppendDouble(dst, e.Score.Min)
			dst = avro.AppendDouble(dst, e.Score.Max)
			dst = avro.AppendText(dst, e.Score.Scale)
		}
	}
	if e.ExpiresAt == 0 && e.Scope == "" {
		dst = append(dst, 0)
	} else {
		dst = avro.AppendLong(append(dst, 2), int64(e.ExpiresAt))
		dst = avro.AppendText(dst, e.Scope)
	}
	return appendElements(dst, e.Elements)
}

func saysATS(e *hiring.Entry) bool {
	return e.Stage != "" || e.Status != 0 || e.Actor != 0 || e.Revision != 0 || e.PreviousStage != "" || e.RejectReason != "" ||
		e.Candidate != "" || e.Requisition != hiring.Requisition{}
}

func saysScreening(e *hiring.Entry) bool {
	return e.Order != "" || e.Attempt != 0 || e.ResultRev != 0 || e.HasResult || e.Verdict != 0 || e.FinishedAt != 0 || e.Score != nil
}

func appendRequisition(dst []byte, r *hiring.Requisition) []byte {
	dst = avro.AppendText(dst, r.ID)
	dst = avro.AppendText(dst, r.Type)
	return avro.AppendText(dst, r.Region)
}

func appendElements(dst []byte, elements []hiring.Element) []byte {
	dst = appendCount(dst, len(elements))
	for i := range elements {
		dst = avro.AppendText(dst, elements[i].Name)
		dst = avro.AppendText(dst, elements[i].Value)
	}
	return append(dst, 0)
}

// appendTuple appends a tuple, with the elements that observations say as a list of their numbers.
func appendTuple(dst []byte, t *hiring.Tuple, said []hiring.Observation) []byte {
	dst = avro.AppendText(dst, t.Stage)
	dst = avro.AppendLong(dst, int64(t.Status))
	dst = avro.AppendText(dst, t.Reason)
	if len(t.Elements) == 0 {
		return append(avro.AppendLong(append(dst, 0), t.Version), 0)
	}
	var few [16]int
	refers := append(few[:0], make([]int, len(t.Elements))...)
	given := 0
	for i := range t.Elements {
		if i > 0 && t.Elements[i-1].Name >= t.Elements[i].Name { // their order would be lost
			clear(refers)
			given = len(t.Elements)
			break
		}
		if refers[i] = saidBy(&t.Elements[i], said); refers[i] == 0 {
			given++
		}
	}
	dst = appendCount(dst, given)
	for i := range t.Elements {
		if refers[i] == 0 {
			dst = avro.AppendText(dst, t.Elements[i].Name)
			dst = avro.AppendText(dst, t.Elements[i].Value)
		}
	}
	dst = avro.AppendLong(append(dst, 0), t.Version)
	dst = appendCount(dst, len(refers)-given)
	for _, n := range refers {
		if n != 0 {
			dst = avro.AppendLong(dst, int64(n))
		}
	}
	return append(dst, 0)
}

// saidBy returns the number of the observation that says an element, counted from 1; 0 = none.
func saidBy(e *hiring.Element, said []hiring.Observation) int {
	for i := range said {
		o := &said[i]
		if n := len(o.Values); n > 0 && o.Values[n-1] == e.Value && isElement(o.Facet, e.Name) {
			return i + 1
		}
	}
	return 0
}

// isElement reports whether a facet is that of an element.
func isElement(facet, name string) bool {
	const prefix = len(wire.FacetElement)
	return len(facet) == prefix+len(name) && facet[prefix:] == name && facet[:prefix] == wire.FacetElement
}

func appendCause(dst []byte, c *hiring.Cause, tail []hiring.Entry) []byte {
	for n := len(tail); n > 0; n-- {
		if e := &tail[n-1]; e.Eff == c.EffectiveAt && e.FinishedAt == c.FinishedAt && e.ID == c.ID && e.Source == c.Source {
			return append(avro.AppendLong(dst, int64(n)), 0, 0, 0, 0)
		}
	}
	dst = avro.AppendText(append(dst, 0), c.Source)
	dst = avro.AppendText(dst, c.ID)
	dst = avro.AppendLong(dst, int64(c.EffectiveAt))
	return avro.AppendLong(dst, int64(c.FinishedAt))
}
