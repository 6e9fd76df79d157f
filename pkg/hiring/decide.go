package hiring

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrClockAhead says that an event claims to have happened more than the allowed time after it was observed.
var ErrClockAhead = errors.New("occurred_at is too far ahead of observed_at")

// Check refuses an event no fold may see. Its error wraps ErrClockAhead where that is the cause.
func (r *Rules) Check(e *Event) error {
	if e.Type == EventUnknown || e.Type >= eventTypes {
		return fmt.Errorf("type %d is not supported", e.Type)
	}
	if e.clock() {
		return nil
	}
	if e.Basis != BasisReceipt && e.OccurredAt <= 0 {
		return errors.New("occurred_at is missing")
	}
	if e.ObservedAt != 0 && e.Basis != BasisReceipt && e.OccurredAt.Sub(e.ObservedAt) > r.Bounds.ClockAhead {
		return fmt.Errorf("%w: by %s, allowed %s", ErrClockAhead, e.OccurredAt.Sub(e.ObservedAt), r.Bounds.ClockAhead)
	}
	switch {
	case e.Type == EventOutcome && (e.Outcome == nil || int(e.Outcome.Outcome) >= len(outcomeReasons)):
		return errors.New("the outcome is missing or unknown")
	case e.Type == EventOverride && r.latest().Stage(Stage(e.Stage)) == nil:
		return fmt.Errorf("stage %q is not one of the policy's", e.Stage)
	}
	return nil
}

// NewState returns the state of an application nothing is known of. Its id is "<ats instance>/<native id>".
func NewState(application string) *State {
	system, _, _ := strings.Cut(application, "/")
	return &State{Application: application, System: system}
}

// Decide folds one event into a state and returns everything that follows. It is pure: prior is not changed, e
// itself is not kept (its strings and its Elements are: they must not change afterwards), and the same arguments
// give the same decision. e has passed Check. now is raised to the state's own clock if it is
// behind. See the package comment for who may hold on to prior.
func Decide(r *Rules, prior *State, e *Event, now Micros) Decision {
	m := new(furnished)
	m.values.free, m.marks.free, m.steps.free = m.value[:0], m.mark[:0], m.step[:0]
	return m.decide(r, prior, e, now)
}

func (m *Scratch) decide(r *Rules, prior *State, e *Event, now Micros) Decision {
	now = max(now, prior.UpdatedAt)
	all := r.At(now)
	t := turn{rules: r, mem: m, prior: prior, s: prior, now: now}
	t.d = Decision{Now: now, From: prior.Head.Stage, EffectiveAt: e.OccurredAt, Timer: e.clock(), Policy: all.Digest}
	if t.unchanged(e) {
		t.finish(m.reads(all, prior.System, &prior.Head.Requisition), r.live(now, prior))
		return t.d
	}
	m.state = *prior
	t.s = &m.state
	if t.d.Timer {
		t.timer()
	} else {
		t.deliver(e)
	}
	if t.touched {
		t.migrate()
	}
	b, live := m.reads(all, t.s.System, &t.s.Head.Requisition), r.live(now, t.s)
	if t.touched {
		v := derivation{rules: r, b: b, none: b.Keeps(t.s.System), live: live, s: t.s, d: &t.d, now: now, refolded: t.refolded, raised: t.raised}
		v.run()
		if t.d.Timer {
			t.d.Reason = t.timerReason(e)
		}
		t.closing(b)
	}
	t.finish(b, live)
	return t.d
}

// unchanged decides, without a copy of the state, what leaves it as it is.
func (t *turn) unchanged(e *Event) bool {
	p := t.prior
	switch {
	case e.Type == EventRejudge:
		t.d.Reason = ReasonObsolete
		return p.Erased
	case e.Type == EventTimer:
		t.d.Reason = ReasonObsolete
		return p.NextDue == 0 || t.now < p.NextDue
	case p.Erased:
		t.d.Reason = ReasonErased
		return true
	case e.Type == EventSnapshot:
		return false // its identity is its content
	}
	key := identity(e).short()
	for i := len(p.Ring) - 1; i >= 0; i-- {
		if p.Ring[i].Key != key {
			continue
		}
		if p.Ring[i].Digest != e.Digest.short() || p.sooner(e) {
			return false
		}
		t.d.Reason = ReasonDuplicate
		return true
	}
	t.fresh = true
	return false
}

// sooner reports whether a known event was observed earlier than the tail says.
func (s *State) sooner(e *Event) bool {
	if e.ObservedAt == 0 {
		return false
	}
	for i := range s.Tail {
		if was := &s.Tail[i]; was.ID == e.ID && was.Source == e.Source {
			return was.ObservedAt == 0 || e.ObservedAt < was.ObservedAt
		}
	}
	return false
}

// identity returns the key an event is known by.
func identity(e *Event) Digest {
	if e.Key == (Digest{}) {
		return IdentityKey(e.Source, e.ID)
	}
	return e.Key
}

// turn is one call of Decide.
type turn struct {
	rules    *Rules
	prior    *State
	s        *State
	mem      *Scratch
	d        Decision
	now      Micros
	fresh    bool // the ring does not know the identity
	touched  bool // the state may differ; derive again
	refolded bool
	kept     bool // the refold kept the path there was
	raised   []Suspect
	trail    []Step
}

// deliver handles one delivery of one event.
func (t *turn) deliver(e *Event) {
	if e.Type.ATS() && t.s.System == "" {
		t.s.System = e.System
	}
	known := RingEntry{Key: identity(e).short(), Digest: e.Digest.short()}
	entry := newEntry(e)
	if t.publishes(e) {
		entry.System = publisherOf(t.s.System, e)
	}
	if e.Type == EventSnapshot && e.Basis != BasisReceipt {
		if key, ok := t.rules.identify(&entry, e.Basis); ok {
			known = RingEntry{Key: key.short(), Digest: key.short()}
		}
	}
	if t.seen(e, &entry, known) {
		return
	}
	t.remember(known)
	t.touched = true
	switch {
	case e.Basis == BasisReceipt:
		t.d.Reason = ReasonHint
		if t.s.RefreshDue == 0 {
			t.s.RefreshDue = t.now.Add(t.rules.Bounds.RefreshCoalesce)
		}
	case e.Type == EventOutcome:
		t.outcome(e)
	case e.Type == EventErase:
		t.erase()
	case e.Type == EventResync:
		t.resync()
	case e.Type == EventOverride && e.SeenVersion != 0 && t.prior.MovedAt > e.SeenVersion:
		t.d.Reason = ReasonOverrideStale
	default:
		if e.Type == EventRelease {
			t.s.Oversize = false // a person lets it go on; it is held again at the next record it has no room for
		}
		t.insert(&entry)
		if t.d.Reason == ReasonStale {
			*t.s, t.touched = *t.prior, false // nothing changed: the version stays (rule B7)
		}
		t.label(e)
	}
}

// label gives the reasons of controls their own names.
func (t *turn) label(e *Event) {
	if t.d.Reason == ReasonStale || t.d.Reason == ReasonFilled {
		if e.Claimed && t.d.Reason == ReasonStale {
			t.d.Reason = ReasonDuplicate // rule D4: only the label of an event the state cannot know
		}
		return
	}
	switch e.Type {
	default: // every other type keeps the reason the fold gave
	case EventOverride:
		if t.rules.At(t.d.EffectiveAt).Stage(Stage(e.Stage)) != nil {
			t.d.Reason = ReasonOverridden
		}
	case EventHold:
		t.d.Reason = ReasonHoldSet
	case EventRelease:
		t.d.Reason = ReasonReleased
	case EventMerge:
		t.d.Reason = ReasonMerged
	case EventAnonymize:
		t.d.Reason = ReasonAnonymized
	case EventMarkDuplicate:
		t.d.Reason = ReasonMarked
	}
}

func newEntry(e *Event) Entry {
	return Entry{
		Source: e.Source, ID: e.ID, Type: e.Type, System: e.System, OccurredAt: e.OccurredAt, ObservedAt: e.ObservedAt,
		Revision: e.Revision, Stage: e.Stage, PreviousStage: e.PreviousStage, Status: e.Status, RejectReason: e.RejectReason, Actor: e.Actor,
		Order: e.Order, Attempt: e.Attempt, ResultRev: e.ResultRevision, HasResult: e.HasResult, Verdict: e.Verdict, FinishedAt: e.FinishedAt, Score: e.Score,
		Elements: e.Elements, Candidate: e.Candidate, Requisition: e.Requisition, ExpiresAt: e.ExpiresAt, Scope: e.Scope,
	}
}

// erase leaves a small record, so that a late event raises no ghost (rule D3).
func (t *turn) erase() {
	s := t.s
	*s = State{
		Application: s.Application, Version: s.Version, MovedAt: s.MovedAt, UpdatedAt: s.UpdatedAt, System: s.System, Erased: true,
		DesiredRevision: s.DesiredRevision, Desired: s.Desired, Write: s.Write, Incidents: s.Incidents, Order: s.Order,
	}
	t.d.Reason = ReasonErased
}

// resync publishes desired again as a new revision, and reads the ATS.
func (t *turn) resync() {
	s := t.s
	t.d.Reason, s.ResyncedAt = ReasonResynced, t.now
	if !s.Desired.Empty() {
		s.Desired, s.Target, s.Write = Tuple{}, Target{Cause: s.Target.Cause, Stage: s.Target.Stage, Status: s.Target.Status, Reason: s.Target.Reason, Since: s.Target.Since}, Write{}
	}
	if s.RefreshDue == 0 && !s.RefreshOpen {
		s.RefreshDue = t.now
	}
}

// finish fills in what every decision carries.
func (t *turn) finish(b *Bundle, live live) {
	d, s, p := &t.d, t.s, t.prior
	d.To = s.Head.Stage
	d.Wave, d.Mode = live.wave, live.shown()
	none := b.Keeps(s.System)
	if none && d.Mode == ModeWrite {
		d.Mode = ModeRecord
	}
	d.Path = t.trail
	d.Held = s.Oversize || slices.ContainsFunc(s.Head.Holds, func(o Hold) bool { return o.holds(t.now) }) || s.Head.suspected(IncidentForbiddenJump)
	if rule := b.Stage(s.Head.Stage); rule != nil {
		d.Owner = rule.Owner
	}
	if r := s.Head.newestResult(); r != nil {
		d.FinishedAt = r.FinishedAt
		if s.Head.LevelSystem != "" && s.Head.EnteredBy == AuthorityVendor && !none {
			shown, ok := b.shown(&s.Head)
			d.ATSBehind = !ok || shown != s.Head.Stage
		}
	}
	if !t.touched {
		d.State = p
		return
	}
	s.UpdatedAt = t.now
	s.Version++
	if s.Head.Stage != p.Head.Stage || s.Head.Epoch != p.Head.Epoch {
		s.MovedAt = s.Version
	}
	d.State, d.Changed = s, true
}
