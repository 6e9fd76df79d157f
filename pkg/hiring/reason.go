package hiring

// Reason names what a decision was and why. The set is closed; the names are those of the wire, the log field
// and the metric label.
type Reason uint8

// Reasons.
const (
	ReasonUnspecified     Reason = iota
	ReasonObserved               // recorded, in order; the canonical stage stays
	ReasonAdvanced               // in order; the canonical stage changed
	ReasonRevised                // late; the path to the canonical stage changed
	ReasonLate                   // late, inserted where it belongs; the path stays
	ReasonPending                // a result that cannot act yet
	ReasonHeld                   // a jump the policy forbids; the canonical stage stays
	ReasonUnauthorised           // a move by someone without authority; the canonical stage stays
	ReasonTie                    // two values at one time; a refresh is asked for
	ReasonDuplicate              // seen before, same content
	ReasonStale                  // older than the base, nothing new in it
	ReasonFilled                 // older than the base; it said something no one has newer word of
	ReasonHint                   // no time of its own; asks for a refresh
	ReasonContradicted           // same identity, other content; neither counts
	ReasonOverridden             // a person set the stage
	ReasonOverrideStale          // the state moved since the author saw it; shown, not applied
	ReasonHoldSet                // a person stopped writes
	ReasonReleased               // a person let writes go on
	ReasonResynced               // a person asked to send desired again
	ReasonErased                 // the application is erased
	ReasonAnonymized             // the person was anonymised
	ReasonMerged                 // the candidate id changed
	ReasonMarked                 // marked as a probable duplicate
	ReasonNotErased              // erase refused
	ReasonAttempted              // the worker is about to write
	ReasonConfirmed              // read back whole
	ReasonAlready                // the ATS showed it before
	ReasonSuperseded             // a newer revision or ATS version
	ReasonBlocked                // executed or unknown, and not shown
	ReasonRefused                // the ATS said no
	ReasonNotApplicable          // the ATS cannot any more
	ReasonDeferred               // later
	ReasonShadowed               // would have been sent
	ReasonFailed                 // given up without an effect
	ReasonObsolete               // an outcome of an older revision
	ReasonRefreshed              // a refresh was answered
	ReasonGraceElapsed           // an incident was declared
	ReasonSettleElapsed          // a closing effect was let go
	ReasonSLABreached            // stuck
	ReasonDeferElapsed           // a deferred command was issued again
	ReasonRefreshDue             // a refresh was issued
	ReasonHoldExpired            // a hold ended by itself
	ReasonOversize               // the state is too large; held
	ReasonCompacted              // closed for longer than the horizon; only the base remains
	ReasonSLADueSoon             // an SLA is about to be breached
	ReasonPaused                 // what is owed waits, as its region is paused
	ReasonResumed                // a region was resumed
	ReasonOrdered                // a screening was asked of a vendor
	ReasonOverrideExpired        // what a person had set holds no more
	ReasonMigrated               // a bundle no longer has the stage; the canonical one is what it names for it
	ReasonRejudged               // a bundle came into force: deadlines, waves or what is owed are others
	ReasonPolicyActivated        // a published bundle was taken up, for a time to come
	ReasonPolicyRefused          // a published bundle was not taken up
	reasons
)

// Reasons is how many there are.
const Reasons = int(reasons)

var reasonNames = [reasons]string{
	"unspecified", "observed", "advanced", "revised", "late", "pending", "held", "unauthorised", "tie", "duplicate", "stale", "filled",
	"hint", "contradicted", "overridden", "override_stale", "hold_set", "released", "resynced", "erased", "anonymized", "merged",
	"marked_duplicate", "not_erased", "attempted", "confirmed", "already", "superseded", "blocked", "refused", "not_applicable",
	"deferred", "shadowed", "failed", "obsolete", "refreshed", "grace_elapsed", "settle_elapsed", "sla_breached", "defer_elapsed",
	"refresh_due", "hold_expired", "oversize_state", "compacted", "sla_due_soon", "paused",
	"resumed", "ordered", "override_expired", "migrated", "rejudged", "policy_activated", "policy_refused",
}

func (r Reason) String() string {
	if r < reasons {
		return reasonNames[r]
	}
	return reasonNames[0]
}

// Disposition is how a delivery is counted, exactly once (rule B8, invariant I1).
type Disposition uint8

// Dispositions. Dead letters never reach Decide; a timer is no delivery.
const (
	DispositionApplied Disposition = iota
	DispositionDuplicate
	DispositionStale
	DispositionHint
	DispositionContradicted
	DispositionDeadLettered
	DispositionTimer
)

// Disposition returns how a delivery decided with r is counted. Timers are told apart by their event.
func (r Reason) Disposition() Disposition {
	switch r {
	case ReasonDuplicate:
		return DispositionDuplicate
	case ReasonStale, ReasonFilled:
		return DispositionStale
	case ReasonHint:
		return DispositionHint
	case ReasonContradicted:
		return DispositionContradicted
	default:
		return DispositionApplied
	}
}

// IncidentKind is the closed set of incident kinds.
type IncidentKind uint8

// Incident kinds.
const (
	IncidentUnspecified IncidentKind = iota
	IncidentFieldDivergence
	IncidentForbiddenJump
	IncidentUnauthorised
	IncidentStuck
	IncidentMissingField
	IncidentUnmapped
	IncidentDuplicateProfile
	IncidentTie
	IncidentWriteBlocked
	IncidentContradicted
	IncidentContested
	IncidentUnconsumedResult
	IncidentVerdictOverridden
	IncidentUnknownStage
	IncidentStateOversize
	IncidentTenantParked
	IncidentDueSoon
	incidentKinds
)

// IncidentKinds is how many there are.
const IncidentKinds = int(incidentKinds)

var incidentNames = [incidentKinds]string{
	"unspecified", "field_divergence", "forbidden_jump", "unauthorised", "stuck", "missing_field", "unmapped", "duplicate_profile",
	"tie", "write_blocked", "contradicted", "contested", "unconsumed_result", "verdict_overridden", "unknown_stage", "state_oversize",
	"tenant_parked", "due_soon",
}

func (k IncidentKind) String() string {
	if k < incidentKinds {
		return incidentNames[k]
	}
	return incidentNames[0]
}
