package hiring

import (
	"cmp"
	"slices"
	"strings"
)

// Facets every ATS has. An element's facet is facetElement + its name.
const (
	facetStage     = "stage"
	facetStatus    = "status"
	facetReason    = "reason"
	facetElement   = "element:"
	facetScreening = "screening"
)

// Caps that keep a head small whatever a publisher sends. The oldest entries go first.
const (
	maxResults      = 16
	maxOrders       = 16
	maxSuspects     = 32
	maxReverts      = 16
	maxMarks        = 32
	maxHolds        = 16
	maxObservations = 256
	maxTied         = 8
)

// part is a set of a head's slices.
type part uint8

const (
	partObservations part = 1 << iota
	partResults
	partOrders
	partReverts
	partSuspects
	partMarks
	partHolds
)

// folder folds entries into a head. The head's slices may be shared with older heads: own copies one before its
// first change.
type folder struct {
	rules  *Rules
	h      *Head
	system string // the ATS instance of the application
	owned  part
	mem    *Scratch
	trail  []Step
	raised []Suspect // every suspicion raised on the way, for retracted versus resolved
	last   signal    // what the newest step did
	before Micros    // where the entry's system stood before the step
}

// own makes s, which is part p of the head, safe to change in place.
func own[T any](f *folder, p part, s *[]T) { ownIn(f, p, s, &arena[T]{}, 1) }

// ownIn is own for what changes often: the copy is made in an arena, with room for more.
func ownIn[T any](f *folder, p part, s *[]T, in *arena[T], more int) {
	if f.owned&p == 0 {
		f.owned |= p
		*s = in.copied(*s, more)
	}
}

// signal is what one step did, for the reason of an event in order.
type signal struct {
	moved, held, unauthorised, tie, pending, overridden, recorded bool
	authority                                                     Authority
}

// folder returns what folds into h.
func (t *turn) folder(h *Head) folder {
	return folder{rules: t.rules, mem: t.mem, h: h, system: t.s.System}
}

// begin returns what folds on from a base, which stays as it is; nil is nothing. It has room for more observations.
func (t *turn) begin(base *Head, more int) folder {
	f := t.folder(t.mem.heads.one())
	if base != nil {
		*f.h = *base
		f.raised = slices.Clip(base.Suspects)
	}
	ownIn(&f, partObservations, &f.h.Observations, &f.mem.observations, more)
	return f
}

// step folds one entry: observe, move by the bundle in force at its time (rule B6), consume pending results.
func (f *folder) step(e *Entry, echo *shown) {
	f.migrate(e.Eff)
	f.last = signal{}
	f.mark(e)
	if echo != nil {
		f.executed(echo)
	}
	if e.Type.ATS() && e.Type != EventDeleted && !e.Contradicted {
		f.requisition(&e.Requisition)
	}
	b := f.bundle(e)
	switch {
	case e.Contradicted:
		f.suspect(Suspect{Kind: IncidentContradicted, Element: e.System, Subject: e.ID, Eff: e.Eff})
	case e.published():
		f.publisher(b, e)
	case e.Type.ATS():
		f.ats(b, e, echo)
	case e.Type.Screening():
		f.screening(b, e)
	case e.Type.Control():
		f.control(b, e)
	}
	f.consume(b, e)
}

// bundle returns the bundle in force at the time of e, as it reads for the application. What an ATS shows of a time before
// the policy knew of it is read by the first that does.
func (f *folder) bundle(e *Entry) *Bundle {
	b, system := f.rules.At(e.Eff), f.h.LevelSystem
	ats := e.Type.ATS() && !e.published()
	switch {
	case b.Keeps(f.system):
		system = f.system
		if !ats {
			break
		}
		if joined := f.rules.joined(e.Eff, f.system); joined != nil {
			b = joined
		}
	case system == "" && ats:
		system = e.System
	}
	return f.mem.reads(b, system, &f.h.Requisition)
}

// requisition takes what an ATS says of the requisition; what it leaves out stays.
func (f *folder) requisition(r *Requisition) {
	h := f.h
	if r.ID != "" {
		h.Requisition.ID = r.ID
	}
	if r.Type != "" {
		h.Requisition.Type = r.Type
	}
	if r.Region != "" {
		h.Requisition.Region = r.Region
	}
}

// mark notes where the entry's system stands now, and stood before.
func (f *folder) mark(e *Entry) {
	m := Mark{System: e.System, OccurredAt: e.OccurredAt, Revision: e.Revision, Snapshot: e.snapshot(), ID: e.ID, Eff: e.Eff}
	i, ok := f.h.markAt(e.System)
	f.before = 0
	if ok {
		f.before = f.h.Marks[i].Eff
	}
	switch {
	case ok && e.Contradicted && f.h.Marks[i].compare(e, f.rules.system(e.System).ByRevision) > 0:
	case ok:
		ownIn(f, partMarks, &f.h.Marks, &f.mem.marks, 0)
		f.h.Marks[i] = m
	case len(f.h.Marks) < maxMarks:
		ownIn(f, partMarks, &f.h.Marks, &f.mem.marks, 1)
		f.h.Marks = slices.Insert(f.h.Marks, i, m)
	}
}

// markAt returns where the mark of a system stands, or belongs. There are two or three.
func (h *Head) markAt(system string) (i int, ok bool) {
	for i < len(h.Marks) && h.Marks[i].System < system {
		i++
	}
	return i, i < len(h.Marks) && h.Marks[i].System == system
}

func (h *Head) markOf(system string) *Mark {
	i, ok := h.markAt(system)
	if !ok {
		return nil
	}
	return &h.Marks[i]
}

func compareObservation(o *Observation, facet, system string) int {
	if c := strings.Compare(o.Facet, facet); c != 0 {
		return c
	}
	return strings.Compare(o.System, system)
}

func (h *Head) observation(facet, system string) (int, bool) {
	lo, hi := 0, len(h.Observations)
	for lo < hi {
		mid := (lo + hi) / 2
		if compareObservation(&h.Observations[mid], facet, system) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < len(h.Observations) && compareObservation(&h.Observations[lo], facet, system) == 0
}

// observe records what a system says of a facet. Entries of one system come in its own order, so that the
// newest wins; another value at the very same own time is a tie (rule A5).
func (f *folder) observe(e *Entry, facet, value string) {
	o := Observation{Facet: facet, System: e.System, At: e.OccurredAt, Revision: max(e.Revision, int64(e.ResultRev)), Snapshot: e.snapshot(), Eff: e.Eff, EventID: e.ID}
	i, ok := f.h.observation(facet, e.System)
	if !ok {
		if len(f.h.Observations) >= maxObservations {
			return
		}
		o.Values = append(f.mem.values.take(1), value)
		ownIn(f, partObservations, &f.h.Observations, &f.mem.observations, 3)
		f.h.Observations = slices.Insert(f.h.Observations, i, o)
		return
	}
	ownIn(f, partObservations, &f.h.Observations, &f.mem.observations, 0)
	was := &f.h.Observations[i]
	switch same := len(was.Values) == 1 && was.Values[0] == value; {
	case same:
		o.Values = was.Values // never changed in place
	case sameOwnTime(was, e, f.rules.system(e.System).ByRevision):
		o.Values = make([]string, 0, len(was.Values)+1)
		for _, v := range was.Values {
			if v != value {
				o.Values = append(o.Values, v)
			}
		}
		o.Values = append(o.Values, value)
		o.Values = o.Values[max(0, len(o.Values)-maxTied):]
	default:
		o.Values = append(f.mem.values.take(1), value)
	}
	*was = o
	if facet == facetScreening || facet == facetReason {
		return
	}
	f.clearOf(IncidentTie, facet, e.System)
	if len(o.Values) > 1 {
		f.last.tie = true
		f.suspect(Suspect{Kind: IncidentTie, Element: facet, Subject: e.ID, Eff: e.Eff, Values: tieValues(&o)})
	}
}

func sameOwnTime(o *Observation, e *Entry, byRevision bool) bool {
	if o.Snapshot != e.snapshot() {
		return false
	}
	if byRevision {
		return o.Revision == e.Revision
	}
	return o.At == e.OccurredAt
}

func tieValues(o *Observation) []IncidentValue {
	values := make([]IncidentValue, len(o.Values))
	for i, v := range o.Values {
		values[i] = IncidentValue{System: o.System, Value: v, At: o.At}
	}
	return values
}

func compareSuspect(a, b Suspect) int {
	if c := cmp.Compare(a.Kind, b.Kind); c != 0 {
		return c
	}
	if c := strings.Compare(a.Element, b.Element); c != 0 {
		return c
	}
	if c := strings.Compare(a.Subject, b.Subject); c != 0 {
		return c
	}
	return cmp.Compare(a.Epoch, b.Epoch)
}

// suspect raises a suspicion in the present epoch.
func (f *folder) suspect(s Suspect) {
	s.Epoch = f.h.Epoch
	i, ok := slices.BinarySearchFunc(f.h.Suspects, s, compareSuspect)
	if ok {
		own(f, partSuspects, &f.h.Suspects)
		f.h.Suspects[i] = s
		return
	}
	f.raised = append(f.raised, s)
	if len(f.h.Suspects) < maxSuspects {
		own(f, partSuspects, &f.h.Suspects)
		f.h.Suspects = slices.Insert(f.h.Suspects, i, s)
	}
}

// clear ends suspicions of a kind; element "" means any element.
func (f *folder) clear(k IncidentKind, element string) { f.clearOf(k, element, "") }

// clearOf is clear for what one system is suspected of; system "" means any.
func (f *folder) clearOf(k IncidentKind, element, system string) {
	gone := func(s *Suspect) bool {
		return s.Kind == k && (element == "" || s.Element == element) && (system == "" || len(s.Values) > 0 && s.Values[0].System == system)
	}
	for i := range f.h.Suspects {
		if gone(&f.h.Suspects[i]) {
			own(f, partSuspects, &f.h.Suspects)
			f.h.Suspects = slices.DeleteFunc(f.h.Suspects, func(s Suspect) bool { return gone(&s) })
			return
		}
	}
}

func (h *Head) suspected(k IncidentKind) bool {
	for i := range h.Suspects {
		if h.Suspects[i].Kind == k {
			return true
		}
	}
	return false
}

// transition takes one step of the machine.
func (f *folder) transition(b *Bundle, e *Entry, to Stage, edge, owner string, by Authority, source, event string) {
	f.doubt(b, e, to, by)
	if f.trail == nil {
		f.trail = f.mem.steps.take(2)
	}
	f.trail = append(f.trail, Step{From: f.h.Stage, To: to, Edge: edge, Owner: owner, Authority: by, EventID: event})
	f.h.Stage, f.h.EnteredFrom = to, f.h.Stage
	f.h.EnteredUntil = 0
	f.h.EnteredAt, f.h.EnteredBy, f.h.EnteredEvent, f.h.EnteredSource = e.Eff, by, event, source
	f.last.moved = true
	f.caughtUp(to)
	person := by == AuthorityHuman || by == AuthorityOverride
	if person {
		f.personActed()
	}
	if person || f.shows(b, to) { // a verdict alone ends no held jump: the ATS still stands elsewhere
		f.clear(IncidentForbiddenJump, "")
	}
}

// shows reports whether the ATS shows a canonical stage.
func (f *folder) shows(b *Bundle, s Stage) bool {
	shown, ok := b.shown(f.h)
	return ok && shown == s
}

// personActed ends what waits for a person (rule C4).
func (f *folder) personActed() {
	f.clear(IncidentUnauthorised, "")
	f.h.Reverts = nil
}

// caughtUp ends the disagreement about moves to a stage that the canonical state has now reached by itself.
func (f *folder) caughtUp(to Stage) {
	h := f.h
	for i := 0; i < len(h.Suspects); i++ {
		if s := &h.Suspects[i]; s.Kind == IncidentUnauthorised && strings.HasSuffix(s.Element, ">"+string(to)) {
			own(f, partSuspects, &h.Suspects)
			h.Suspects = slices.Delete(h.Suspects, i, i+1)
			i--
		}
	}
	for i := 0; i < len(h.Reverts); i++ {
		if strings.HasSuffix(h.Reverts[i].Edge, ">"+string(to)) {
			own(f, partReverts, &h.Reverts)
			h.Reverts = slices.Delete(h.Reverts, i, i+1)
			i--
		}
	}
}

// newEpoch starts a new epoch: what is pending in the old one never acts again, and does not vanish (rules B4, B5).
func (f *folder) newEpoch() {
	h := f.h
	if i := h.newest(); i >= 0 && !h.Results[i].Consumed && h.Results[i].Verdict.moves() {
		f.unconsumed(&h.Results[i])
	}
	h.Reverts = nil
	h.Epoch++
}

func (f *folder) owner(b *Bundle, s Stage) string {
	if r := b.Stage(s); r != nil {
		return r.Owner
	}
	return ""
}
