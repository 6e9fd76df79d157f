package hiring

import (
	"slices"
	"strings"
	"time"
)

// Stage is a canonical stage. The empty stage means that nothing is known yet.
type Stage string

// Canonical stages of the default machine.
const (
	StageApply      Stage = "apply"
	StageTriage     Stage = "triage"
	StageScreening  Stage = "screening"
	StageInterviews Stage = "interviews"
	StageOffer      Stage = "offer"
	StageHired      Stage = "hired"
	StageRejected   Stage = "rejected"
	StageWithdrawn  Stage = "withdrawn"
)

// Authority is a set of kinds of actors that may cause a transition.
type Authority uint8

// Authorities.
const (
	AuthorityHuman       Authority = 1 << iota // a person in the ATS
	AuthorityIntegration                       // another integration in the ATS
	AuthoritySystem                            // the ATS's own automation
	AuthorityVendor                            // a screening verdict
	AuthorityOverride                          // a person through hiring.control
)

// String returns the name of a single authority, or "" for none.
func (a Authority) String() string {
	switch a {
	case AuthorityHuman:
		return "human"
	case AuthorityIntegration:
		return "integration"
	case AuthoritySystem:
		return "system"
	case AuthorityVendor:
		return "vendor"
	case AuthorityOverride:
		return "override"
	}
	return ""
}

// ParseAuthority is the inverse of String.
func ParseAuthority(s string) Authority {
	for a := AuthorityHuman; a <= AuthorityOverride; a <<= 1 {
		if a.String() == s {
			return a
		}
	}
	return 0
}

// authorityOf returns the authority of an actor. An unknown actor counts as a human: most webhooks do not say,
// and overwriting a person is the worse fault.
func authorityOf(k ActorKind) Authority {
	switch k {
	case ActorIntegration:
		return AuthorityIntegration
	case ActorSystem:
		return AuthoritySystem
	case ActorConcord:
		return AuthorityVendor
	case ActorUnknown, ActorHuman:
	}
	return AuthorityHuman
}

// Names of the steps that are no edge of the table.
const (
	EdgeEnter    = "enter"    // the first stage an application is seen in
	EdgeReopen   = "reopen"   // a closed application becomes active again: a new epoch
	EdgeOverride = "override" // a recorded override
	EdgeYield    = "yield"    // a verdict the ATS never showed gives way to a person who acted on what it did show
	EdgeTransfer = "transfer" // to another requisition: a new epoch
	EdgeMigrate  = "migrate"  // a bundle no longer has the stage, and names another
)

// Jump says what a forbidden or unauthorised move does.
type Jump uint8

// Jump rules.
const (
	JumpHold   Jump = iota // the canonical stage stays, writes of the stage stop, the owner is told
	JumpRecord             // accepted as an override, evidence kept
	JumpRevert             // the ATS is moved back, once per application, epoch and edge (rule C4)
)

// JumpRule is an exception from what a bundle says of forbidden and unauthorised moves.
type JumpRule struct {
	From, To     Stage // To empty: every move out of From
	Forbidden    Jump  // what a move without an edge does
	Unauthorised Jump  // what a move along an edge does that its mover has no authority for
}

// StageRule describes one canonical stage.
type StageRule struct {
	Stage      Stage
	Rank       int           // order along the way; a higher rank is further
	Closed     bool          // ends the application
	Status     Status        // closed stages: the status an ATS shows
	Owner      string        // who owns the next step
	SLA        time.Duration // how long an application may stay; 0 = for ever
	Business   bool          // SLA and WarnBefore are working time of the bundle's calendar
	WarnBefore time.Duration // the owner is told so long before the SLA is breached; 0 = not at all
}

// Edge is one transition of the machine.
type Edge struct {
	Name      string
	From, To  Stage
	Owner     string
	SLA       time.Duration // of the stage it leads to, entered this way; 0 = that of the stage. The shorter counts
	Business  bool          // SLA is working time of the bundle's calendar
	Authority Authority     // who may cause it
	Verdict   Verdict       // the verdict that takes it; VerdictNone = none
}

// Mapping relates one ATS's native ids to canonical stages.
type Mapping struct {
	Stages     map[string]Stage // native stage id -> canonical; never ranged over
	Native     map[Stage]string // canonical -> the native stage to write
	RejectWith string           // native rejection reason of a rejecting verdict
	Withdrawn  []string         // native rejection reasons that mean that the candidate withdrew; the first is written
}

// System is what the policy declares of a system.
type System struct {
	Margin     time.Duration // declared maximal clock skew (rule A1)
	ByRevision bool          // ordered by its revision, not by time
	Mapping    *Mapping      // ATS instances only
}

// Mode is how far a wave goes.
type Mode uint8

// Modes. Off and observe never write; shadow records what it would have written. Paused is what a pause makes of any:
// nothing leaves, and what is owed waits. Record is what write is where there is no ATS: the decision is the outcome.
const (
	ModeWrite Mode = iota
	ModeShadow
	ModeObserve
	ModeOff
	ModePaused
	ModeRecord
)

func (m Mode) String() string {
	switch m {
	case ModeWrite:
		return "write"
	case ModeShadow:
		return "shadow"
	case ModeObserve:
		return "observe"
	case ModeOff:
		return "off"
	case ModePaused:
		return "paused"
	case ModeRecord:
		return "record"
	}
	return "off"
}

// Bundle is one version of the policy, compiled for Decide. It is immutable and safe for concurrent use.
type Bundle struct {
	Digest       Digest
	EffectiveAt  Micros
	Stages       []StageRule
	Edges        []Edge
	Elements     []ElementRule // sorted by name
	CutOffs      []CutOff
	Orders       []OrderRule
	Forbidden    Jump
	Unauthorised Jump
	Jumps        []JumpRule // exceptions; the first that matches counts, so that edges stand before states
	Mode         Mode       // of applications that no wave selects
	Waves        []Wave     // the first that selects an application counts
	Paused       []string   // regions of which nothing leaves
	NoATS        []string   // instances whose applications are in no ATS: the canonical stage is the record; * at the end matches any rest
	Calendar     *Calendar  // working time; nil = always
	Migrations   []Migration

	// Variants say how the bundle reads for some applications; the first that matches counts, so that the most
	// specific stand first.
	Variants []Variant

	// System returns what is declared of a system; ok is false for an unknown one. Pure.
	System func(system string) (System, bool)
}

// Variant is a bundle as it reads for some applications: an addendum, merged. Its own Variants are not looked at, and it
// has the digest and the time of the bundle it belongs to.
type Variant struct {
	Selector
	Bundle *Bundle
}

// Selector picks applications. What is empty matches any.
type Selector struct {
	Type, Region string // of the requisition
	System       string // the ATS instance; * at the end matches any rest
}

func (s *Selector) matches(system string, r *Requisition) bool {
	if s.Region != "" && s.Region != r.Region || s.Type != "" && s.Type != r.Type {
		return false
	}
	return s.System == "" || matches(s.System, system)
}

// matches reports whether name is pattern, whose * at the end matches any rest.
func matches(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}

// For returns the bundle as it reads for an application of an ATS instance.
func (b *Bundle) For(system string, r *Requisition) *Bundle {
	for i := range b.Variants {
		if v := &b.Variants[i]; v.matches(system, r) {
			return v.Bundle
		}
	}
	return b
}

// jump says what a move does that has no edge (IncidentForbiddenJump), or whose mover has no authority for it.
func (b *Bundle) jump(from, to Stage, kind IncidentKind) Jump {
	forbidden, unauthorised := b.Forbidden, b.Unauthorised
	for i := range b.Jumps {
		if j := &b.Jumps[i]; j.From == from && (j.To == "" || j.To == to) {
			forbidden, unauthorised = j.Forbidden, j.Unauthorised
			break
		}
	}
	if kind == IncidentForbiddenJump {
		return forbidden
	}
	return unauthorised
}

// Stage returns the rule of s, or nil.
func (b *Bundle) Stage(s Stage) *StageRule {
	for i := range b.Stages {
		if b.Stages[i].Stage == s {
			return &b.Stages[i]
		}
	}
	return nil
}

// Edge returns the edge between two stages, or nil.
func (b *Bundle) Edge(from, to Stage) *Edge {
	for i := range b.Edges {
		if b.Edges[i].From == from && b.Edges[i].To == to {
			return &b.Edges[i]
		}
	}
	return nil
}

// verdictEdge returns the edge that v takes from a stage, or nil.
func (b *Bundle) verdictEdge(from Stage, v Verdict) *Edge {
	for i := range b.Edges {
		e := &b.Edges[i]
		if e.From == from && e.Verdict == v && v != VerdictNone {
			return e
		}
	}
	return nil
}

func (b *Bundle) closed(s Stage) bool {
	r := b.Stage(s)
	return r != nil && r.Closed
}

func (b *Bundle) rank(s Stage) int {
	if r := b.Stage(s); r != nil {
		return r.Rank
	}
	return -1
}

// canonical maps an ATS level to a canonical stage. ok is false for a native stage that is not mapped.
func (b *Bundle) canonical(system, stage string, status Status, reason string) (Stage, bool) {
	return b.canonicalBy(b.mapping(system), stage, status, reason)
}

// mapping returns the mapping of an ATS; nil = none.
func (b *Bundle) mapping(system string) *Mapping {
	s, _ := b.System(system)
	return s.Mapping
}

// canonicalBy is canonical for an ATS whose mapping, which may be nil, is known.
func (b *Bundle) canonicalBy(mapping *Mapping, stage string, status Status, reason string) (Stage, bool) {
	if !status.Closed() {
		if mapping == nil {
			return "", false
		}
		s, ok := mapping.Stages[stage]
		return s, ok
	}
	if status == StatusRejected && reason != "" && mapping != nil && slices.Contains(mapping.Withdrawn, reason) {
		status = StatusWithdrawn
	}
	for i := range b.Stages {
		if b.Stages[i].Closed && b.Stages[i].Status == status {
			return b.Stages[i].Stage, true
		}
	}
	return "", false
}

// shown returns the canonical stage that the ATS shows; ok is false where it shows none, or one that is not mapped.
func (b *Bundle) shown(h *Head) (Stage, bool) {
	return b.canonical(h.LevelSystem, h.LevelStage, h.LevelStatus, h.LevelReason)
}

// Bounds are the limits of rules.md section E4. Every one has a default, see DefaultBounds.
type Bounds struct {
	Horizon         time.Duration // H: how late an event may be and still be put in order
	TailCap         int           // entries
	RingSize        int           // identities
	Grace           time.Duration // from first sight of a suspicion to its incident
	Settle          time.Duration // a closing effect waits this long; no shorter than Grace
	RefreshCoalesce time.Duration
	TieRefreshes    int           // refreshes per tie
	Retries         int           // commands issued again after superseded, per target
	PauseCheck      time.Duration // what is owed in a paused region is looked at again after this long
	ClockAhead      time.Duration // occurred_at may be ahead of observed_at by this much
}

// DefaultBounds returns the defaults.
func DefaultBounds() Bounds {
	return Bounds{
		Horizon: 72 * time.Hour, TailCap: 256, RingSize: 256, Grace: 30 * time.Second, Settle: 60 * time.Second,
		RefreshCoalesce: time.Second, TieRefreshes: 3, Retries: 5, PauseCheck: 15 * time.Minute, ClockAhead: 24 * time.Hour,
	}
}

// Rules is what Decide judges by: the loaded bundles, oldest first, and the bounds. What an event caused before the oldest
// took effect is never written (rule C7), so that a bundle stays loaded for as long as something it caused may wait: the
// late horizon, and every pause. Immutable and safe for concurrent use.
type Rules struct {
	Bundles []*Bundle // ordered by EffectiveAt; at least one
	Bounds  Bounds
	// Scheduled is how many of the newest are not in force yet, see On.
	Scheduled int
}

// At returns the bundle in force at t (rule B6): the newest with EffectiveAt <= t, else the oldest.
func (r *Rules) At(t Micros) *Bundle { return r.Bundles[r.index(t)] }

// index returns where the bundle in force at t stands.
func (r *Rules) index(t Micros) int {
	for i := len(r.Bundles) - 1; i > 0; i-- {
		if r.Bundles[i].EffectiveAt <= t {
			return i
		}
	}
	return 0
}

// latest returns the newest bundle in force.
func (r *Rules) latest() *Bundle { return r.Bundles[len(r.Bundles)-1-r.Scheduled] }

// system returns what the newest bundle in force declares of a system; an unknown one orders by time without margin.
func (r *Rules) system(name string) System {
	s, _ := r.latest().System(name)
	return s
}
