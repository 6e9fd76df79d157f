package hiring

import (
	"slices"
	"time"
)

// ats folds what an ATS says: facets first, then, if its own level changed, the move (rule A3).
func (f *folder) ats(b *Bundle, e *Entry, echo *shown) {
	h := f.h
	if e.Type == EventDeleted {
		h.Deleted = true
		return
	}
	h.Deleted = false
	if e.Candidate != "" {
		h.Candidate = e.Candidate
	}
	wasStage, wasStatus, wasReason := h.LevelStage, h.LevelStatus, h.LevelReason
	first := h.LevelSystem == ""
	if e.Stage != "" {
		f.observe(e, facetStage, e.Stage)
		h.LevelStage = e.Stage
	}
	if e.Status != StatusUnspecified {
		f.observe(e, facetStatus, e.Status.String())
		h.LevelStatus = e.Status
		if !e.Status.Closed() {
			h.LevelReason = ""
		}
	}
	if e.RejectReason != "" {
		f.observe(e, facetReason, e.RejectReason)
		h.LevelReason = e.RejectReason
	}
	f.elements(e, e.Elements)
	f.dispute(b, e, e.Elements)
	if e.snapshot() {
		f.clear(IncidentContradicted, e.System)
	}
	if h.LevelStage == "" && h.LevelStatus == StatusUnspecified {
		return
	}
	h.LevelSystem = e.System
	if first && h.FirstSeen == 0 {
		h.FirstSeen = e.Eff
	}
	if h.Anonymized && h.Stage != "" && !h.LevelStatus.Closed() {
		return // an ATS that anonymises puts its record back to the first stage: nobody moved (rule E2)
	}
	if e.PreviousStage != "" && e.Stage != "" {
		wasStage = e.PreviousStage
	}
	known := wasStatus
	if e.Type == EventUnrejected {
		wasStatus = StatusRejected
	}
	moved := first || e.Type == EventTransferred || h.LevelStage != wasStage || h.LevelStatus.Closed() != wasStatus.Closed() ||
		h.LevelStatus.Closed() && h.LevelStatus != wasStatus
	if !moved && !h.LevelStatus.Closed() && !h.suspected(IncidentUnmapped) {
		return
	}
	mapping := b.mapping(e.System)
	target, ok := b.canonicalBy(mapping, h.LevelStage, h.LevelStatus, h.LevelReason)
	if ok && first && !e.moves() && h.Stage != "" && f.rules.At(h.EnteredAt).Keeps(f.system) {
		return // what the ATS begins with is no move: the application was kept without it
	}
	seen, _ := b.canonicalBy(mapping, wasStage, known, wasReason)
	was := seen
	if wasStatus != known {
		was, _ = b.canonicalBy(mapping, wasStage, wasStatus, wasReason)
	}
	switch {
	case moved:
	case h.LevelStatus.Closed() && target != was: // the reason says what kind of close it is
	case ok && h.suspected(IncidentUnmapped): // the mapping has learned what the ATS shows
		seen, was = "", ""
	default:
		return
	}
	f.clear(IncidentUnmapped, "")
	if !ok {
		if e.Type == EventTransferred {
			f.newEpoch()
		}
		f.suspect(Suspect{Kind: IncidentUnmapped, Element: h.LevelStage, Subject: e.ID, Eff: e.Eff, Values: []IncidentValue{{System: e.System, Value: h.LevelStage, At: e.OccurredAt}}})
		return
	}
	by := authorityOf(e.Actor)
	source, event := e.Source, e.ID
	if echo != nil {
		by, source, event = echo.by, echo.source, echo.id
	}
	f.last.authority = by
	f.move(b, e, mover{seen: seen, from: was, fromClosed: wasStatus.Closed(), to: target, by: by, source: source, event: event})
}

// mover is a move of the ATS's own level, in canonical terms.
type mover struct {
	seen       Stage // what the fold knew the ATS to show; "" = nothing yet, or not mapped
	from       Stage // what the ATS showed before; "" = not known or not mapped
	fromClosed bool
	to         Stage
	by         Authority
	source     string
	event      string
}

// move judges a move of the ATS and takes it, holds it or leaves it.
func (f *folder) move(b *Bundle, e *Entry, m mover) {
	h := f.h
	if h.Stage == "" {
		if m.from == "" || m.from == m.to || m.fromClosed {
			f.transition(b, e, m.to, EdgeEnter, f.owner(b, m.to), m.by, m.source, m.event)
			return
		}
		f.transition(b, e, m.from, EdgeEnter, f.owner(b, m.from), m.by, m.source, m.event)
	}
	if e.Type == EventTransferred { // a fact about the requisition, whoever did it: nothing of the old one acts in the new
		f.newEpoch()
		f.transition(b, e, m.to, EdgeTransfer, f.owner(b, m.to), m.by, m.source, m.event)
		return
	}
	if e.Type == EventUnrejected && m.fromClosed && !b.closed(h.Stage) && (m.to != h.Stage || !b.closed(m.seen)) { // the reject itself was never seen, or did not count
		if edge := b.Edge(h.Stage, m.from); edge != nil && edge.Authority&m.by != 0 {
			if h.EnteredBy&(AuthorityVendor|AuthorityOverride) != 0 && m.seen != h.Stage {
				f.yielded(e, mover{to: m.from})
			}
			f.transition(b, e, m.from, edge.Name, edge.Owner, m.by, m.source, m.event)
		}
	}
	if m.to == h.Stage {
		f.cameBack()
		if m.by == AuthorityHuman && e.Actor == ActorHuman { // an unknown actor may be ourselves, not recognised
			f.personActed()
			f.clear(IncidentForbiddenJump, "")
		}
		return
	}
	if m.from == m.to && !m.fromClosed {
		return // between two native stages of one canonical stage
	}
	person := m.by == AuthorityHuman || m.by == AuthorityOverride
	// A verdict or override of ours that the ATS has not shown: the mover acted on what the ATS did show.
	ours := h.EnteredBy == AuthorityVendor || h.EnteredBy == AuthorityOverride
	unshown := ours && m.from != "" && m.from != h.Stage

	if b.closed(h.Stage) && m.fromClosed && !b.closed(m.to) {
		if !person {
			f.refuse(b, e, m, IncidentUnauthorised)
			return
		}
		if ours && m.seen != h.Stage { // an unreject alone does not prove that it was ours
			f.yielded(e, m)
		}
		f.doubt(b, e, m.to, m.by)
		f.newEpoch()
		f.transition(b, e, m.to, EdgeReopen, f.owner(b, m.to), m.by, m.source, m.event)
		return
	}
	edge := b.Edge(h.Stage, m.to)
	if unshown && person {
		if against(b, h.Stage, m.to) {
			f.yielded(e, m)
		}
		if edge == nil || edge.Authority&m.by == 0 {
			if second := b.Edge(m.from, m.to); second != nil && second.Authority&m.by != 0 {
				f.yielded(e, m)
				f.transition(b, e, m.from, EdgeYield, f.owner(b, m.from), m.by, m.source, m.event)
				f.transition(b, e, m.to, second.Name, second.Owner, m.by, m.source, m.event)
				return
			}
		}
	}
	switch {
	case edge == nil:
		f.refuse(b, e, m, IncidentForbiddenJump)
	case edge.Authority&m.by == 0, !person && e.Eff < h.EnteredUntil: // a person has set the stage until then
		f.refuse(b, e, m, IncidentUnauthorised)
	default:
		f.transition(b, e, m.to, edge.Name, edge.Owner, m.by, m.source, m.event)
	}
}

// against reports whether going on to a stage contradicts having stood in another: back, or to a close.
func against(b *Bundle, stood, to Stage) bool {
	if b.closed(stood) {
		return true
	}
	r := b.Stage(to)
	return r == nil || r.Rank < b.rank(stood)
}

// yielded records that a verdict gave way to a person; it never vanishes (rule A1).
func (f *folder) yielded(e *Entry, m mover) {
	f.suspect(Suspect{
		Kind: IncidentVerdictOverridden, Element: string(f.h.Stage) + ">" + string(m.to), Subject: f.h.EnteredEvent, Eff: e.Eff,
		Values: []IncidentValue{{System: ControlSystem, Value: string(f.h.Stage), At: f.h.EnteredAt}, {System: e.System, Value: string(m.to), At: e.OccurredAt}},
	})
}

// doubt tells of a verdict that only counted as satisfied by a stage which someone in the ATS now leaves, when no clock
// can say that the verdict came first: had it come after, it would have acted (rule A1: it never vanishes).
func (f *folder) doubt(b *Bundle, e *Entry, to Stage, by Authority) {
	h := f.h
	i := h.newest()
	if i < 0 || by&(AuthorityHuman|AuthorityIntegration|AuthoritySystem) == 0 {
		return
	}
	r := &h.Results[i]
	if !r.Consumed || !r.Verdict.moves() || r.EventID == h.EnteredEvent || !satisfies(b, h.Stage, r.Verdict) || satisfies(b, to, r.Verdict) {
		return
	}
	if f.stood(b, e) > r.Eff.Add(2*f.margin()) {
		return
	}
	f.suspect(Suspect{
		Kind: IncidentVerdictOverridden, Element: string(h.Stage) + ">" + string(to), Subject: r.EventID, Eff: e.Eff,
		Values: []IncidentValue{{System: ControlSystem, Value: r.Verdict.String(), At: r.Eff}, {System: e.System, Value: string(to), At: e.OccurredAt}},
	})
}

// stood is the last time at which the ATS surely showed the stage that e shows left: the move's own time where e is the
// move, else that of the record before, as a read or a note may tell of a move much later.
func (f *folder) stood(b *Bundle, e *Entry) Micros {
	switch e.Type {
	default: // no other type is a move by itself
	case EventStageChanged, EventRejected, EventUnrejected, EventHired, EventWithdrawn:
		if was, ok := b.canonical(e.System, e.PreviousStage, StatusActive, ""); e.PreviousStage == "" || ok && was == f.h.Stage {
			return e.Eff
		}
	}
	return f.before
}

// margin is the largest clock skew declared for a system heard so far.
func (f *folder) margin() (most time.Duration) {
	for i := range f.h.Marks {
		most = max(most, f.rules.system(f.h.Marks[i].System).Margin)
	}
	return most
}

// refuse handles a move without an edge or without authority, as the policy says.
func (f *folder) refuse(b *Bundle, e *Entry, m mover, kind IncidentKind) {
	h := f.h
	rule := b.jump(h.Stage, m.to, kind)
	edge := string(h.Stage) + ">" + string(m.to)
	told := Suspect{
		Kind: kind, Element: edge, Subject: m.event, Eff: e.Eff,
		Values: []IncidentValue{{System: ControlSystem, Value: string(h.Stage), At: h.EnteredAt}, {System: e.System, Value: string(m.to), At: e.OccurredAt}},
	}
	f.last.unauthorised, f.last.held = kind == IncidentUnauthorised, kind == IncidentForbiddenJump && rule != JumpRecord
	if rule == JumpRecord {
		if b.closed(h.Stage) && !b.closed(m.to) {
			f.newEpoch()
		}
		f.transition(b, e, m.to, EdgeOverride, f.owner(b, m.to), m.by, m.source, m.event)
		f.last.recorded = true
		if kind == IncidentUnauthorised { // obeyed, but not in silence: a person has to look at it
			f.suspect(told)
		}
		return
	}
	switch {
	case rule == JumpRevert:
		f.revert(Revert{Edge: edge, Epoch: h.Epoch, Forbidden: kind == IncidentForbiddenJump, Count: 1})
	case kind == IncidentUnauthorised:
		f.revert(Revert{Edge: edge, Epoch: h.Epoch})
	}
	for i := range h.Suspects {
		if s := &h.Suspects[i]; s.Kind == kind && s.Element == edge && s.Epoch == h.Epoch {
			return // the same disagreement goes on; one incident
		}
	}
	f.suspect(told)
}

// cameBack ends the moves that the ATS has undone by itself. One that we undid stays until a person acts, as its next
// time is the last (rule C4).
func (f *folder) cameBack() {
	h := f.h
	for i := 0; i < len(h.Suspects); i++ {
		if h.stands(&h.Suspects[i]) {
			own(f, partSuspects, &h.Suspects)
			h.Suspects = slices.Delete(h.Suspects, i, i+1)
			i--
		}
	}
	if slices.ContainsFunc(h.Reverts, heldMove) {
		own(f, partReverts, &h.Reverts)
		h.Reverts = slices.DeleteFunc(h.Reverts, heldMove)
	}
}

// heldMove reports whether r is a move without authority that is not undone.
func heldMove(r Revert) bool { return r.Count == 0 }

// revertOf returns what is kept of the move a suspicion tells of, or nil.
func (h *Head) revertOf(s *Suspect) *Revert {
	for i := range h.Reverts {
		if r := &h.Reverts[i]; r.Edge == s.Element && r.Epoch == s.Epoch && r.Forbidden == (s.Kind == IncidentForbiddenJump) {
			return r
		}
	}
	return nil
}

// stands reports whether s tells of a move that is neither obeyed nor undone.
func (h *Head) stands(s *Suspect) bool {
	switch s.Kind {
	default: // no other kind is about a move
		return false
	case IncidentForbiddenJump:
		return h.revertOf(s) == nil
	case IncidentUnauthorised:
		r := h.revertOf(s)
		return r != nil && heldMove(*r)
	}
}

// jumped reports whether a move stands that is neither obeyed nor undone: the ATS shows another stage, and stays there.
// Asking for the canonical one would be a silent revert (rule C4).
func (h *Head) jumped() bool {
	for i := range h.Suspects {
		if h.stands(&h.Suspects[i]) {
			return true
		}
	}
	return false
}

// revert counts an edge that is to be undone (rule C4). Past the cap every further edge is contested at once.
func (f *folder) revert(r Revert) {
	h := f.h
	own(f, partReverts, &h.Reverts)
	for i := range h.Reverts {
		if k := &h.Reverts[i]; k.Edge == r.Edge && k.Epoch == r.Epoch && k.Forbidden == r.Forbidden {
			k.Count += r.Count
			return
		}
	}
	if len(h.Reverts) < maxReverts {
		h.Reverts = append(h.Reverts, r)
		return
	}
	h.Reverts[0].Count += 2
}

// reverting returns how often the most disputed edge of the present epoch was asked for without authority: 1 is undone,
// more is contested (rule C4).
func (h *Head) reverting() (most int32) {
	for i := range h.Reverts {
		if h.Reverts[i].Epoch == h.Epoch {
			most = max(most, h.Reverts[i].Count)
		}
	}
	return most
}
