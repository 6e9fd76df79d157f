package hiring

import (
	"slices"
	"strings"
)

// control folds what a person asks.
func (f *folder) control(b *Bundle, e *Entry) {
	h := f.h
	f.last.authority = AuthorityOverride
	switch e.Type {
	default: // the other controls act on the state, not on the fold
	case EventOverride:
		f.override(b, e)
	case EventHold:
		f.hold(e)
	case EventRelease: // a person has seen what is open; where the ATS stands elsewhere, that stays open
		if e.Scope != "" {
			f.settle(e.Scope)
			return
		}
		h.Holds = nil
		f.owned &^= partHolds
		f.personActed()
		f.clear(IncidentContradicted, "")
		f.clear(IncidentVerdictOverridden, "")
		f.clear(IncidentUnconsumedResult, "")
		f.clear(IncidentMissingField, "")
		f.clear(IncidentUnknownStage, "")
		f.clear(IncidentDuplicateProfile, "")
		if i := h.newest(); i >= 0 && !h.Results[i].Consumed {
			ownIn(f, partResults, &h.Results, &f.mem.results, 1)
			h.Results[i].Consumed = true
		}
	case EventMerge:
		if e.Candidate != "" {
			h.Candidate = e.Candidate
		}
		f.clear(IncidentDuplicateProfile, "") // the two are one now
	case EventMarkDuplicate:
		f.suspect(Suspect{Kind: IncidentDuplicateProfile, Element: e.Candidate, Subject: e.ID, Eff: e.Eff, Values: []IncidentValue{
			{System: h.LevelSystem, Value: h.Candidate, At: e.OccurredAt}, {System: ControlSystem, Value: e.Candidate, At: e.OccurredAt},
		}})
	case EventAnonymize:
		f.anonymise()
	}
}

// anonymise marks the person as anonymised. Nothing is written any more: what waits for a person about the stage waits for
// nothing.
func (f *folder) anonymise() {
	f.h.Anonymized = true
	f.personActed()
	f.clear(IncidentForbiddenJump, "")
	f.clear(IncidentUnmapped, "")
}

// hold stops the writes of a scope. It stands beside holds of other scopes: a narrow one does not end a wide one. One that
// has ended by the time of this one is forgotten; where there are too many still, this one stops all writes.
func (f *folder) hold(e *Entry) {
	h := f.h
	own(f, partHolds, &h.Holds)
	h.Holds = slices.DeleteFunc(h.Holds, func(o Hold) bool { return o.Until != 0 && o.Until <= e.Eff })
	scope := e.Scope
	if len(h.Holds) >= maxHolds {
		scope = ""
	}
	i, ok := h.hold(scope)
	if !ok {
		h.Holds = slices.Insert(h.Holds, i, Hold{Scope: scope})
	}
	h.Holds[i].By, h.Holds[i].Until = e.ID, e.ExpiresAt
}

// hold finds the hold of a scope, or where it belongs.
func (h *Head) hold(scope string) (int, bool) {
	return slices.BinarySearchFunc(h.Holds, scope, func(o Hold, scope string) int { return strings.Compare(o.Scope, scope) })
}

// settle ends what is open of one kind, or about one element, and a hold of that scope. What the ATS shows elsewhere
// stays open.
func (f *folder) settle(scope string) {
	h := f.h
	if i, ok := h.hold(scope); ok {
		own(f, partHolds, &h.Holds)
		h.Holds = slices.Delete(h.Holds, i, i+1)
	}
	if scope == IncidentUnauthorised.String() {
		f.personActed()
	}
	for i := 0; i < len(h.Suspects); i++ {
		s := &h.Suspects[i]
		if s.Kind == IncidentForbiddenJump || s.Kind == IncidentUnauthorised || s.Kind == IncidentUnmapped || s.Kind.String() != scope && s.Element != scope {
			continue
		}
		own(f, partSuspects, &h.Suspects)
		h.Suspects = slices.Delete(h.Suspects, i, i+1)
		i--
	}
	if r := h.newest(); scope == IncidentUnconsumedResult.String() && r >= 0 && !h.Results[r].Consumed {
		ownIn(f, partResults, &h.Results, &f.mem.results, 1)
		h.Results[r].Consumed = true
	}
}

// override sets the canonical stage by a person's word. A stage the policy does not have is not set, but told.
func (f *folder) override(b *Bundle, e *Entry) {
	h, to := f.h, Stage(e.Stage)
	if b.Stage(to) == nil {
		f.suspect(Suspect{Kind: IncidentUnknownStage, Element: e.Stage, Subject: e.ID, Eff: e.Eff})
		return
	}
	f.last.overridden = true
	f.personActed()
	f.clear(IncidentForbiddenJump, "")
	f.clear(IncidentUnmapped, "")
	f.clear(IncidentVerdictOverridden, "")
	f.clear(IncidentUnknownStage, "")
	defer func() { h.EnteredUntil = e.ExpiresAt }()
	if to == h.Stage {
		h.EnteredBy, h.EnteredEvent, h.EnteredSource = AuthorityOverride, e.ID, e.Source
		return
	}
	if b.closed(h.Stage) && !b.closed(to) {
		f.newEpoch()
	}
	f.transition(b, e, to, EdgeOverride, f.owner(b, to), AuthorityOverride, e.Source, e.ID)
}
