package hiring

// reasonSentences say each reason to somebody who hires, not to somebody who programs.
var reasonSentences = [reasons]string{
	ReasonUnspecified:     "No reason is on record",
	ReasonObserved:        "Noted; the stage stays",
	ReasonAdvanced:        "The application moved on",
	ReasonRevised:         "Something that had happened earlier was heard of late, and changed the path",
	ReasonLate:            "Something that had happened earlier was heard of late; the stage stays",
	ReasonPending:         "The screening result is kept until it can act",
	ReasonHeld:            "The policy has no such step, so the stage stays until a person decides",
	ReasonUnauthorised:    "Whoever made this move may not make it, so the stage stays",
	ReasonTie:             "Two different things are said of one moment, so the ATS is asked",
	ReasonDuplicate:       "The same message came again; nothing changes",
	ReasonStale:           "Too old to say anything new; nothing changes",
	ReasonFilled:          "Old, but it says something that nobody had said since",
	ReasonHint:            "The message has no time of its own, so the ATS is asked how things stand",
	ReasonContradicted:    "One message came twice with different content; neither counts, and the ATS is asked",
	ReasonOverridden:      "A person set the stage through Concord",
	ReasonOverrideStale:   "A person asked for another stage, but the application had moved since they looked; not applied",
	ReasonHoldSet:         "A person stopped what Concord writes to the ATS",
	ReasonReleased:        "A person let Concord go on",
	ReasonResynced:        "A person asked to read the ATS again and to write what is still owed",
	ReasonErased:          "The application is erased; nothing of it is kept or written",
	ReasonAnonymized:      "The person was anonymised; nothing more is written",
	ReasonMerged:          "The application now belongs to another candidate record",
	ReasonMarked:          "The candidate may be a duplicate of another",
	ReasonNotErased:       "The application cannot be erased now",
	ReasonAttempted:       "Concord is about to write to the ATS",
	ReasonConfirmed:       "Concord wrote to the ATS, read it back, and the ATS shows it",
	ReasonAlready:         "The ATS showed it already; nothing had to be written",
	ReasonSuperseded:      "The ATS had moved on before Concord wrote; nothing was overwritten",
	ReasonBlocked:         "It cannot be proved whether the write took place, and it is not sent again by itself; a person has to look",
	ReasonRefused:         "The ATS refused the write",
	ReasonNotApplicable:   "The ATS cannot take this write any more",
	ReasonDeferred:        "The ATS is busy or away; the write goes later",
	ReasonShadowed:        "Only recorded: the wave of this application does not write yet",
	ReasonFailed:          "The write was given up; the ATS was not changed",
	ReasonObsolete:        "An answer or a timer that no longer matters",
	ReasonRefreshed:       "The ATS was read again",
	ReasonGraceElapsed:    "What might have been on its way did not come in time",
	ReasonSettleElapsed:   "The waiting time before a closing write is over",
	ReasonSLABreached:     "The time allowed in this stage is over",
	ReasonDeferElapsed:    "A write that had to wait is tried again",
	ReasonRefreshDue:      "The ATS is asked how things stand",
	ReasonHoldExpired:     "A hold has ended by itself",
	ReasonOversize:        "More has gathered than Concord keeps of one application; it is held until a person releases it",
	ReasonCompacted:       "Closed and quiet for long; the details are put away",
	ReasonSLADueSoon:      "The time allowed in this stage is nearly over",
	ReasonPaused:          "The region is paused, so what is owed waits",
	ReasonResumed:         "The region is no longer paused; what was owed goes on",
	ReasonOrdered:         "A screening was ordered from the vendor",
	ReasonOverrideExpired: "What a person had set holds no longer",
	ReasonMigrated:        "A new policy no longer has the stage; the application stands in the one it names instead",
	ReasonRejudged:        "A new policy came into force, and what is due was worked out anew",
	ReasonPolicyActivated: "A published policy was taken up",
	ReasonPolicyRefused:   "A published policy was not taken up",
}

// Sentence says the reason in words for people.
func (r Reason) Sentence() string {
	if r < reasons {
		return reasonSentences[r]
	}
	return reasonSentences[ReasonUnspecified]
}

// incidentSentences say what each kind of incident means.
var incidentSentences = [incidentKinds]string{
	IncidentUnspecified:       "Something is not as it should be",
	IncidentFieldDivergence:   "Systems disagree",
	IncidentForbiddenJump:     "The ATS shows a move that the policy has no step for",
	IncidentUnauthorised:      "Somebody or something moved the application that may not",
	IncidentStuck:             "It has taken longer than allowed",
	IncidentMissingField:      "A value that must be there is missing",
	IncidentUnmapped:          "The ATS and the policy have no common name for a stage",
	IncidentDuplicateProfile:  "The candidate may have a second record",
	IncidentTie:               "Two different things are said of one moment",
	IncidentWriteBlocked:      "A write to the ATS did not succeed and waits for a person",
	IncidentContradicted:      "One message came twice with different content",
	IncidentContested:         "Another tool keeps setting the stage back",
	IncidentUnconsumedResult:  "A screening result never had an effect",
	IncidentVerdictOverridden: "A screening result gave way to a person's decision",
	IncidentUnknownStage:      "The policy in force has no such stage",
	IncidentStateOversize:     "More has gathered than Concord keeps of one application",
	IncidentTenantParked:      "The ATS refuses Concord's credentials or fails",
	IncidentDueSoon:           "The time allowed is nearly over",
}

// Sentence says the kind in words for people.
func (k IncidentKind) Sentence() string {
	if k < incidentKinds {
		return incidentSentences[k]
	}
	return incidentSentences[IncidentUnspecified]
}

// String is opened, resolved or retracted.
func (c IncidentChange) String() string {
	switch c {
	case IncidentResolved:
		return "resolved"
	case IncidentRetracted:
		return "retracted"
	case IncidentOpened:
	}
	return "opened"
}
