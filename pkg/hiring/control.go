package hiring

// control folds what a person asks.
func (f *folder) control(b *Bundle, e *Entry) {
	h := f.h
	f.last.authority = AuthorityOverride
	switch e.Type {
	default: // the other controls act on the state, not on the fold
	case EventOverride:
		f.override(b, e)
	case EventHold:
		h.HeldBy, h.HeldUntil = e.ID, e.ExpiresAt
	case EventRelease: // a person has seen what is open; where the ATS stands elsewhere, that stays open
		h.HeldBy, h.HeldUntil = "", 0
		f.personActed()
		f.clear(IncidentContradicted, "")
		f.clear(IncidentVerdictOverridden, "")
		f.clear(IncidentUnconsumedResult, "")
		f.clear(IncidentMissingField, "")
		f.clear(IncidentUnknownStage, "")
		if i := h.newest(); i >= 0 && !h.Results[i].Consumed {
			own(f, partResults, &h.Results)
			h.Results[i].Consumed = true
		}
	case EventMerge:
		if e.Candidate != "" {
			h.Candidate = e.Candidate
		}
	case EventAnonymize:
		h.Anonymized = true
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
	if to == h.Stage {
		h.EnteredBy, h.EnteredEvent, h.EnteredSource = AuthorityOverride, e.ID, e.Source
		return
	}
	if b.closed(h.Stage) && !b.closed(to) {
		f.newEpoch()
	}
	f.transition(b, e, to, EdgeOverride, f.owner(b, to), AuthorityOverride, e.Source, e.ID)
}
