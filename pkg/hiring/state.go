package hiring

import "slices"

// Tuple is what an ATS shows, or should show. Empty facets mean any. Elements are sorted by name.
type Tuple struct {
	Stage    string
	Status   Status
	Reason   string
	Elements []Element
	Version  int64 // the ATS's revision, or its updated-at in microseconds; 0 = none
}

// Empty reports whether t asks for nothing.
func (t *Tuple) Empty() bool {
	return t.Stage == "" && t.Status == StatusUnspecified && t.Reason == "" && len(t.Elements) == 0
}

// asks reports whether both ask for the same, whatever the version.
func (t *Tuple) asks(u *Tuple) bool {
	return t.Stage == u.Stage && t.Status == u.Status && t.Reason == u.Reason && equalElements(t.Elements, u.Elements)
}

func equalElements(a, b []Element) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// Cause is the event that made a write necessary.
type Cause struct {
	Source, ID  string
	EffectiveAt Micros
	FinishedAt  Micros // the screening's end; 0 = no screening is behind it
}

// Entry is one event of the tail, as the fold needs it.
type Entry struct {
	Source, ID    string
	Type          EventType
	System        string
	OccurredAt    Micros
	ObservedAt    Micros // the smallest over deliveries
	Eff           Micros // in the present order
	Revision      int64
	Stage         string
	PreviousStage string
	Status        Status
	RejectReason  string
	Actor         ActorKind
	Order         string
	Attempt       int32
	ResultRev     int32
	HasResult     bool
	Verdict       Verdict
	FinishedAt    Micros
	Score         *Score // never changed; nil = none
	Elements      []Element
	Candidate     string
	Requisition   Requisition
	ExpiresAt     Micros
	Scope         string
	Contradicted  bool // both variants left the fold; only identity and time remain
}

// snapshot reports whether the entry sits after the events of its version.
func (e *Entry) snapshot() bool { return e.Type == EventSnapshot }

// Observation is what one system says of one facet: "stage", "status", "reason" or "element:<name>".
type Observation struct {
	Facet, System string
	Values        []string // at the newest time; more than one is a tie, the last is the pick
	At            Micros   // the system's own time
	Revision      int64
	Snapshot      bool
	Eff           Micros
	EventID       string
}

// Pick returns the value everyone agrees on.
func (o *Observation) Pick() string { return o.Values[len(o.Values)-1] }

// Result is a screening result the fold knows. It is pending until consumed (rule B4).
type Result struct {
	Order             string
	Attempt, Revision int32
	Verdict           Verdict
	Source, EventID   string
	Eff, FinishedAt   Micros
	Epoch             int32
	Consumed          bool
}

// Revert counts how often an edge that is to be undone was asked for in an epoch (rule C4).
type Revert struct {
	Edge      string
	Epoch     int32
	Forbidden bool  // no edge of the machine; else one its mover has no authority for
	Count     int32 // 0 = without authority, and not to be undone
}

// Suspect is an incident the fold sees; it is declared after grace.
type Suspect struct {
	Kind    IncidentKind
	Element string
	Subject string // event id
	Epoch   int32
	Eff     Micros
	Values  []IncidentValue
}

// IncidentValue is what one system says.
type IncidentValue struct {
	System, Value string
	At            Micros
}

// Mark is where a system's own order stands.
type Mark struct {
	System     string
	OccurredAt Micros
	Revision   int64
	Snapshot   bool
	ID         string
	Eff        Micros
}

// Hold is what a person asked not to be written.
type Hold struct {
	Scope string // empty = all writes
	By    string // event id
	Until Micros // 0 = until it is released
}

// Head is the fold of a prefix of the events.
type Head struct {
	Stage         Stage
	EnteredFrom   Stage // the canonical stage before
	Epoch         int32
	FirstSeen     Micros // effective time of the ATS's first word
	EnteredAt     Micros
	EnteredBy     Authority
	EnteredEvent  string
	EnteredSource string
	EnteredUntil  Micros // until then an override holds; 0 = until somebody moves on
	MigratedAt    Micros // time of the newest bundle that did not have the stage; 0 = none
	LevelSystem   string // the ATS instance that shows the level
	LevelStage    string
	LevelStatus   Status
	LevelReason   string
	Observations  []Observation // sorted by facet, system
	Results       []Result      // in fold order
	Orders        []string      // screening orders in fold order; the last is the newest
	Reverts       []Revert
	Suspects      []Suspect // sorted by kind, element, subject, epoch
	Candidate     string
	Requisition   Requisition
	Holds         []Hold // sorted by scope, one for each
	Deleted       bool
	Anonymized    bool
	Marks         []Mark // sorted by system
}

// WriteState says where the newest revision stands.
type WriteState uint8

// Write states.
const (
	WriteIdle WriteState = iota
	WriteWaiting
	WriteSent
	WriteAttempted
	WriteDone
	WriteDeferred
)

// Write is where the newest revision of desired stands.
type Write struct {
	Revision  int64
	State     WriteState
	CommandID string
	Outcome   OutcomeKind // when State is WriteDone
	Detail    string
	Since     Micros
	Due       Micros // deferred: when it goes again
	Emissions int32  // commands issued for this target
}

// Target is the part of desired that may have to wait: the stage, status and reason owed to the ATS.
type Target struct {
	Stage  string
	Status Status
	Reason string
	Cause  string // event id
	Since  Micros // first sight; survives refolds that keep it
}

// Echo is a write of ours that the ATS will show again (rule A4).
type Echo struct {
	CauseSource, CauseID        string
	CauseEff                    Micros
	Authority                   Authority
	VersionBefore, VersionAfter int64
	Stage                       string
	Status                      Status
}

// OpenIncident is an incident the state carries.
type OpenIncident struct {
	ID        string
	Kind      IncidentKind
	Element   string
	Subject   string
	Epoch     int32
	FirstSeen Micros
	OpenedAt  Micros // 0 = grace still runs
	Owner     string
}

// RingEntry is an identity seen, by the beginnings of its key and of the digest of its content: of the events of one
// application that is enough.
type RingEntry struct {
	Key    uint64
	Digest uint64 // 0 = seen with several contents, and no content is its own any more
}

// contradicted reports whether the identity was seen with several contents.
func (r *RingEntry) contradicted() bool { return r.Digest == 0 }

// State is everything known of one application. See the package comment for ownership.
type State struct {
	Application string
	Version     int64
	MovedAt     int64 // version at which the canonical stage or epoch last changed (rule C8)
	UpdatedAt   Micros
	System      string // the ATS instance
	Head        Head

	DesiredRevision   int64
	Desired           Tuple
	DesiredCause      Cause
	DesiredClosing    bool
	Target            Target
	Write             Write
	ConfirmedRevision int64
	Confirmed         Tuple
	Echoes            []Echo // newest last

	Incidents   []OpenIncident // sorted by ID
	Refreshes   int32          // for the present tie
	RefreshDue  Micros         // 0 = none
	RefreshOpen bool
	ResyncedAt  Micros // when a person last asked for the backlog; 0 = never
	Order       *PendingOrder
	Paused      bool // what is owed waits for its region to be resumed

	Base      *Head // nil = nothing absorbed yet
	BaseUntil Micros
	Tail      []Entry     // in total order
	Ring      []RingEntry // newest last

	ClosedAt      Micros
	Erased        bool
	Oversize      bool
	NextDue       Micros
	AbsorbedEarly int32
}

// Fork returns the same state with a future of its own: s may have a successor, and the fork another.
func (s *State) Fork() *State {
	f := *s
	f.Tail, f.Ring = slices.Clip(s.Tail), slices.Clip(s.Ring) // a successor puts what comes behind them
	return &f
}

// Canonical returns the canonical stage.
func (s *State) Canonical() Stage { return s.Head.Stage }

// OutcomeKind is what became of a command. The zero value is an attempt.
type OutcomeKind uint8

// Outcome kinds.
const (
	OutcomeAttempt OutcomeKind = iota
	OutcomeConfirmed
	OutcomeAlready
	OutcomeSuperseded
	OutcomeBlocked
	OutcomeRefused
	OutcomeNotApplicable
	OutcomeDeferred
	OutcomeShadowed
	OutcomeFailed
)

// CommandKind says what a command asks of the worker.
type CommandKind uint8

// Command kinds.
const (
	CommandApply CommandKind = iota
	CommandRefresh
)

// Outcome is what the write-back worker says of a command.
type Outcome struct {
	CommandID     string
	Kind          CommandKind
	Revision      int64
	Outcome       OutcomeKind
	Detail        string
	FinishedAt    Micros
	Until         Micros
	Cause         Cause
	Written       Tuple
	VersionBefore int64
	VersionAfter  int64
	Observed      *Tuple // what the ATS showed last; Version is its version
	Closing       bool
}

// Command is the newest desired state, for the write-back worker.
type Command struct {
	ID       string
	Kind     CommandKind
	Revision int64
	Expected Tuple
	Desired  Tuple
	Closing  bool
	Cause    Cause
	Mode     Mode
}

// IncidentChange says what happened to an incident.
type IncidentChange uint8

// Incident changes. A retracted incident was never true: a late event showed another past (rule B9).
const (
	IncidentOpened IncidentChange = iota
	IncidentResolved
	IncidentRetracted
)

// Incident is a change of one incident, with the evidence.
type Incident struct {
	ID       string
	Kind     IncidentKind
	Change   IncidentChange
	Element  string
	Subject  string
	Epoch    int32
	Values   []IncidentValue
	Leader   string
	Rule     string
	Owner    string
	OpenedAt Micros
	ClosedAt Micros
}

// Step is one edge taken.
type Step struct {
	From, To  Stage
	Edge      string
	Owner     string
	Authority Authority
	EventID   string
}

// Decision is the whole result of Decide.
type Decision struct {
	State       *State // the same pointer when nothing changed
	Changed     bool
	Reason      Reason
	Timer       bool // no delivery
	Now         Micros
	EffectiveAt Micros
	From, To    Stage
	Ancestor    Stage // revised: where Path starts
	Path        []Step
	Owner       string
	Authority   Authority
	Policy      Digest
	Wave        string // its name; empty = none selects the application
	Mode        Mode
	Incidents   []Incident
	Commands    []Command
	Orders      []Order
	Held        bool
	FinishedAt  Micros // of the newest usable result
	ATSBehind   bool
}

// Disposition returns how the delivery is counted.
func (d *Decision) Disposition() Disposition {
	if d.Timer {
		return DispositionTimer
	}
	return d.Reason.Disposition()
}
