package hiring

import (
	"crypto/sha256"
	"encoding/binary"
)

// EventType says what an event is. The zero value is invalid.
type EventType uint8

// The event types the fold understands. Their names are those of the wire.
const (
	EventUnknown EventType = iota
	EventCreated
	EventStageChanged
	EventRejected
	EventUnrejected
	EventHired
	EventWithdrawn
	EventTransferred
	EventUpdated
	EventDeleted
	EventSnapshot
	EventScreeningOrdered
	EventScreeningInvited
	EventScreeningStarted
	EventScreeningCompleted
	EventScreeningExpired
	EventScreeningCancelled
	EventScreeningCorrected
	EventScreeningReviewed
	EventOverride
	EventHold
	EventRelease
	EventResync
	EventErase
	EventMerge
	EventAnonymize
	EventMarkDuplicate
	EventOutcome
	EventTimer
	EventRejudge // a bundle has come into force: what follows from it is derived anew, whatever is due
	eventTypes
)

var eventNames = [eventTypes]string{
	EventUnknown: "unknown", EventCreated: "application.created", EventStageChanged: "application.stage_changed",
	EventRejected: "application.rejected", EventUnrejected: "application.unrejected", EventHired: "application.hired",
	EventWithdrawn: "application.withdrawn", EventTransferred: "application.transferred", EventUpdated: "application.updated",
	EventDeleted: "application.deleted", EventSnapshot: "snapshot",
	EventScreeningOrdered: "screening.ordered", EventScreeningInvited: "screening.invited", EventScreeningStarted: "screening.started",
	EventScreeningCompleted: "screening.completed", EventScreeningExpired: "screening.expired", EventScreeningCancelled: "screening.cancelled",
	EventScreeningCorrected: "screening.corrected", EventScreeningReviewed: "screening.reviewed",
	EventOverride: "control.override", EventHold: "control.hold", EventRelease: "control.release", EventResync: "control.resync",
	EventErase: "control.erase", EventMerge: "control.merge", EventAnonymize: "control.anonymize", EventMarkDuplicate: "control.duplicate",
	EventOutcome: "outcome", EventTimer: "timer", EventRejudge: "rejudge",
}

// String returns the wire name.
func (t EventType) String() string {
	if t < eventTypes {
		return eventNames[t]
	}
	return eventNames[EventUnknown]
}

// ParseEventType returns the type with that wire name, or EventUnknown.
func ParseEventType(s string) EventType {
	for i := EventCreated; i < eventTypes; i++ {
		if eventNames[i] == s {
			return i
		}
	}
	return EventUnknown
}

// clock reports whether the event is the clock's, and no delivery.
func (e *Event) clock() bool { return e.Type == EventTimer || e.Type == EventRejudge }

// ATS reports whether the event is what an ATS says about an application.
func (t EventType) ATS() bool { return t >= EventCreated && t <= EventSnapshot }

// Screening reports whether the event is what a vendor says about a screening.
func (t EventType) Screening() bool { return t >= EventScreeningOrdered && t <= EventScreeningReviewed }

// Control reports whether the event is what a person or an operator asks.
func (t EventType) Control() bool { return t >= EventOverride && t <= EventMarkDuplicate }

// TimeBasis says what OccurredAt means (rule A2).
type TimeBasis uint8

// Time bases. A receipt event has no time of its own and never folds.
const (
	BasisEvent TimeBasis = iota
	BasisRecord
	BasisFetch
	BasisReceipt
)

// Status is the ATS's own status of an application; the zero value is not said, or any.
type Status uint8

// Application statuses.
const (
	StatusUnspecified Status = iota
	StatusActive
	StatusRejected
	StatusHired
	StatusWithdrawn
)

var statusNames = [...]string{"unspecified", "active", "rejected", "hired", "withdrawn"}

func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return statusNames[0]
}

// Closed reports whether the status ends an application.
func (s Status) Closed() bool { return s == StatusRejected || s == StatusHired || s == StatusWithdrawn }

// ActorKind says who acted at the source.
type ActorKind uint8

// Actor kinds. Most webhooks do not say who acted: unknown has the authority of a human.
const (
	ActorUnknown ActorKind = iota
	ActorHuman
	ActorIntegration
	ActorSystem
	ActorConcord
)

// Verdict is what a screening result asks for.
type Verdict uint8

// Verdicts.
const (
	VerdictNone Verdict = iota
	VerdictAdvance
	VerdictReview
	VerdictReject
)

var verdictNames = [...]string{"none", "advance", "review", "reject"}

func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return verdictNames[0]
}

// Element is one element of the data dictionary in canonical text.
type Element struct{ Name, Value string }

// Requisition is what an application is for; Type and Region are what policy selectors use.
type Requisition struct{ ID, Type, Region string }

// Event is one input of Decide. Which fields are set depends on Type.
type Event struct {
	Source, ID string // identity; Key is derived from it
	Key        Digest // IdentityKey(Source, ID); zero = derived by Decide
	Digest     Digest // content digest without ObservedAt (rule A6)
	Type       EventType
	System     string // orders and authorises the event; control events may leave it empty
	OccurredAt Micros
	ObservedAt Micros // 0 = not stamped
	Basis      TimeBasis
	Revision   int64 // the system's version of the application; 0 = none

	// What an ATS says.
	Candidate     string // of a merge or a mark of a duplicate: the other one
	Requisition   Requisition
	Stage         string // native stage id; for an override the canonical stage
	PreviousStage string // native stage id
	Status        Status
	RejectReason  string // native id
	Actor         ActorKind
	Elements      []Element // sorted by name

	// What a vendor says.
	Order          string
	Attempt        int32
	HasResult      bool
	ResultRevision int32
	Verdict        Verdict
	FinishedAt     Micros
	Score          *Score // nil = none

	// What a control asks.
	SeenVersion int64
	ExpiresAt   Micros
	Scope       string // of a hold: a Scope, or an element; of a release: an incident kind or an element; empty = all

	Outcome *Outcome // Type == EventOutcome

	// Claimed says that the dedupe net knows this identity under other coordinates. It changes only the label
	// of an event older than the base (rule D4).
	Claimed bool
}

// What a hold can stop, where it does not stop all writes; an element by its name.
const (
	ScopeStage    = "stage"
	ScopeElements = "elements"
	ScopeOrders   = "orders"
)

// ControlSystem is the system of control events: Concord's own operators.
const ControlSystem = "concord"

// IdentityKey returns the identity digest of source and id.
func IdentityKey(source, id string) Digest {
	var buf [192]byte
	b := append(buf[:0], source...)
	b = append(b, 0)
	b = append(b, id...)
	sum := sha256.Sum256(b)
	return Digest(sum[:16])
}

// short returns the beginning of a digest; it is never 0, which stands for none.
func (d Digest) short() uint64 { return max(1, binary.BigEndian.Uint64(d[:])) }
