package wire

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"github.com/concord-ats/concord/pkg/wire/avro"
)

// What an observation can be of a tail entry, besides one of its elements, which are counted from 1.
const (
	SaidGiven  int32 = -iota // facet and values are given
	SaidStage                // its stage
	SaidStatus               // its status
	SaidReason               // its rejection reason
	SaidType                 // its type
)

// Facets of what is said. An element's is FacetElement and its name.
const (
	FacetStage     = "stage"
	FacetStatus    = "status"
	FacetReason    = "reason"
	FacetScreening = "screening"
	FacetElement   = "element:"
)

// errReference says that a state refers to what it does not have.
var errReference = errors.New("a reference leads nowhere")

// Resolve writes out everything in a state that is a reference to another part of it: most of what a state says came
// with an event of its tail, and is not said twice (see docs/analysts.md). The error is an [*Error]: x refers to what it
// does not have.
func (x *HiringState) Resolve() error {
	if x.SystemOwn {
		x.System, _, _ = strings.Cut(x.ApplicationID, "/")
		x.SystemOwn = false
	}
	ok := x.resolveTail()
	if x.Base != nil {
		ok = ok && x.resolveFold(x.Base, &Fold{})
	}
	base := x.Base
	if base == nil {
		base = &Fold{}
	}
	ok = ok && x.resolveFold(&x.Head, base)
	if n := x.DesiredCauseEntry; ok && n != 0 {
		if e := at(x.Tail, n); e != nil {
			x.DesiredCause = CommandCause{Source: e.Source, ID: e.ID, EffectiveAt: e.effective(), ScreeningFinishedAt: e.finished()}
			x.DesiredCauseEntry = 0
		} else {
			ok = false
		}
	}
	ok = ok && x.resolveElements(&x.Desired, &x.DesiredObserved) && x.resolveElements(&x.Confirmed, &x.ConfirmedObserved)
	if !ok {
		return &Error{Cause: CauseUndecodable, Err: errReference}
	}
	return nil
}

// at is the item with that number, counted from 1; nil = there is none.
func at[T any](items []T, n int32) *T {
	if n < 1 || int64(n) > int64(len(items)) {
		return nil
	}
	return &items[n-1]
}

func (x *HiringState) resolveTail() bool {
	for i := range x.Tail {
		e := &x.Tail[i]
		like := at(x.Tail[:i], int32(i)-e.Like+1)
		if e.Like != 0 {
			if like == nil {
				return false
			}
			e.Source, e.System, e.Like = like.Source, like.System, 0
		}
		if w := e.ATS; w != nil && w.AsLike {
			if like == nil || like.ATS == nil {
				return false
			}
			w.CandidateID, w.Requisition, w.AsLike = like.ATS.CandidateID, like.ATS.Requisition, false
		}
		if w := e.Screening; w != nil && w.AsLike {
			if like == nil || like.Screening == nil {
				return false
			}
			w.OrderID, w.AsLike = like.Screening.OrderID, false
		}
	}
	return true
}

func (x *TailEntry) effective() Micros { return x.OccurredAt + Micros(x.EffectiveAfter) }

func (x *TailEntry) finished() Micros {
	if x.Screening == nil {
		return 0
	}
	return x.Screening.FinishedAt
}

// origin is where the words of an entry come from. revision is what an observation has, plain what a mark has.
func (x *TailEntry) origin() (revision, plain *Origin) {
	o := Origin{System: x.System, At: x.OccurredAt, Snapshot: x.Type == EventTypeSnapshot, EffectiveAt: x.effective(), EventID: x.ID}
	if x.ATS != nil {
		o.Revision = x.ATS.Revision
	}
	p := o
	if x.Screening != nil {
		o.Revision = max(o.Revision, int64(x.Screening.ResultRevision))
	}
	return &o, &p
}

func (x *HiringState) resolveFold(f, base *Fold) bool {
	if f.LevelOwn {
		f.LevelSystem, f.LevelOwn = x.System, false
	}
	if n := f.EnteredEntry; n != 0 {
		e := at(x.Tail, n)
		if e == nil {
			return false
		}
		f.EnteredEvent, f.EnteredSource, f.EnteredEntry = e.ID, e.Source, 0
	}
	for i := range f.Observations {
		if !x.resolveObservation(&f.Observations[i], base) {
			return false
		}
	}
	for i := range f.Results {
		r := &f.Results[i]
		switch was, e := at(base.Results, -r.Entry), at(x.Tail, r.Entry); {
		case r.Entry == 0:
		case was != nil:
			*r = *was
		case e != nil && e.Screening != nil:
			s := e.Screening
			r.OrderID, r.Attempt, r.Revision, r.Source, r.EventID = s.OrderID, s.Attempt, s.ResultRevision, e.Source, e.ID
			r.EffectiveAt, r.FinishedAt, r.Entry = e.effective(), s.FinishedAt, 0
		default:
			return false
		}
	}
	for i := range f.Orders {
		o := &f.Orders[i]
		switch was, e := at(base.Orders, -o.Entry), at(x.Tail, o.Entry); {
		case o.Entry == 0:
		case was != nil:
			*o = *was
		case e != nil && e.Screening != nil:
			o.OrderID, o.Entry = e.Screening.OrderID, 0
		default:
			return false
		}
	}
	switch e := at(x.Tail, f.CandidateEntry); {
	case f.CandidateEntry == 0:
	case f.CandidateEntry == -1 && f != x.Base:
		f.CandidateID, f.Requisition, f.CandidateEntry = base.CandidateID, base.Requisition, 0
	case e != nil && e.ATS != nil:
		f.CandidateID, f.Requisition, f.CandidateEntry = e.ATS.CandidateID, e.ATS.Requisition, 0
	default:
		return false
	}
	for i := range f.LastKeys {
		m := &f.LastKeys[i]
		switch was, e := at(base.LastKeys, -m.Entry), at(x.Tail, m.Entry); {
		case m.Entry == 0 && m.Origin == nil:
			m.Origin = &Origin{}
		case m.Entry == 0:
		case was != nil:
			*m = *was
		case e != nil:
			_, m.Origin = e.origin()
			m.Entry = 0
		default:
			return false
		}
	}
	return true
}

func (x *HiringState) resolveObservation(o *Observation, base *Fold) bool {
	if o.Entry == 0 {
		if o.Origin == nil {
			o.Origin = &Origin{}
		}
		return o.Said == SaidGiven
	}
	if o.Entry < 0 {
		was := at(base.Observations, -o.Entry)
		if was != nil {
			*o = *was
		}
		return was != nil
	}
	e := at(x.Tail, o.Entry)
	if e == nil {
		return false
	}
	said := AtsWord{}
	if e.ATS != nil {
		said = *e.ATS
	}
	switch o.Said {
	case SaidGiven:
	case SaidStage:
		o.Facet, o.Values = FacetStage, []string{said.Stage}
	case SaidStatus:
		o.Facet, o.Values = FacetStatus, []string{said.Status.String()}
	case SaidReason:
		o.Facet, o.Values = FacetReason, []string{said.Reason}
	case SaidType:
		o.Facet, o.Values = FacetScreening, []string{strings.Replace(e.Type.String(), "_", ".", 1)}
	default:
		element := at(e.Elements, o.Said)
		if element == nil {
			return false
		}
		o.Facet, o.Values = FacetElement+element.Name, []string{element.Value}
	}
	o.Origin, _ = e.origin()
	o.Entry, o.Said = 0, SaidGiven
	return true
}

// resolveElements adds to a tuple the elements that are said by observations.
func (x *HiringState) resolveElements(t *Tuple, said *[]int32) bool {
	for _, n := range *said {
		o := at(x.Head.Observations, n)
		if o == nil || len(o.Values) == 0 {
			return false
		}
		name, ok := strings.CutPrefix(o.Facet, FacetElement)
		if !ok {
			return false
		}
		t.Elements = append(t.Elements, Element{Name: name, Value: o.Values[len(o.Values)-1]})
	}
	if len(*said) > 0 {
		slices.SortFunc(t.Elements, func(a, b Element) int { return strings.Compare(a.Name, b.Name) })
	}
	*said = nil
	return true
}

// StateDue returns the NextDue of a state. Of one that this release wrote it reads no more than the beginning, so that a
// restore of many states is fast: what follows may be damaged.
func (s *Schemas) StateDue(value []byte) (Micros, error) {
	var into HiringState
	if payload, ok := s.Own(string(value[:min(len(value), dueWithin)]), &into); ok {
		d := avro.NewDecoder(payload)
		into.ApplicationID = d.String()
		into.NextDue = Micros(d.Long())
		if d.Err() == nil {
			return into.NextDue, nil
		}
	}
	err := s.DecodeLocal(value, &into)
	return into.NextDue, err
}

// dueWithin is how far into a state its NextDue stands if its application id is not extraordinarily long.
const dueWithin = 256

// AppendFraming appends what stands before the Avro bytes of a record of our own schema. It panics before the ids are
// known: see [Schemas.Ready].
func (s *Schemas) AppendFraming(dst []byte, of Record) []byte {
	table := s.ids.Load()
	if table == nil {
		panic(errNotReady)
	}
	dst = append(dst, 0)
	return binary.BigEndian.AppendUint32(dst, table.byRecord[of.index()])
}

// Own returns the Avro bytes of a framed value, if it was written with our own schema of that record. The beginning of a
// value will do.
func (s *Schemas) Own(value string, of Record) (payload string, ok bool) {
	table := s.ids.Load()
	if table == nil || len(value) < headerSize || len(value) > MaxValueSize || value[0] != 0 {
		return "", false
	}
	id := binary.BigEndian.Uint32([]byte(value[1:headerSize]))
	at, ok := table.record[id]
	return value[headerSize:], ok && at == of.index()
}
