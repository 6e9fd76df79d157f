package hiring

import (
	"cmp"
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
	if e.Type == EventTimer {
		return nil
	}
	if e.Basis != BasisReceipt && e.OccurredAt <= 0 {
		return errors.New("occurred_at is missing")
	}
	if e.ObservedAt != 0 && e.Basis != BasisReceipt && e.OccurredAt.Sub(e.ObservedAt) > r.Bounds.ClockAhead {
		return fmt.Errorf("%w: by %s, allowed %s", ErrClockAhead, e.OccurredAt.Sub(e.ObservedAt), r.Bounds.ClockAhead)
	}
	return nil
}

// NewState returns the state of an application nothing is known of.
func NewState(application string) *State { return &State{Application: application} }

// Decide folds one event into a state and returns everything that follows. It is pure: prior is not changed, e
// is not kept, and the same arguments give the same decision. now is raised to the state's own clock if it is
// behind. See the package comment for who may hold on to prior.
func Decide(r *Rules, prior *State, e *Event, now Micros) Decision {
	now = max(now, prior.UpdatedAt)
	next := *prior
	d := Decision{Now: now, From: prior.Head.Stage, EffectiveAt: e.OccurredAt, Timer: e.Type == EventTimer}
	t := &turn{rules: r, prior: prior, s: &next, d: &d, now: now}
	b := r.At(now)
	d.Policy, d.Mode = b.Digest, b.Mode

	switch {
	case e.Type == EventTimer:
		t.timer()
	case prior.Erased:
		d.Reason = ReasonErased
	default:
		t.deliver(e)
	}
	if t.touched {
		v := derivation{rules: r, b: b, s: &next, d: &d, now: now, refolded: t.refolded, raised: t.raised}
		v.run()
		if d.Timer {
			d.Reason = t.timerReason()
		}
		t.closing(b)
	}
	t.finish(b)
	return d
}

// turn is one call of Decide.
type turn struct {
	rules    *Rules
	prior    *State
	s        *State
	d        *Decision
	now      Micros
	touched  bool // the state may differ; derive again
	refolded bool
	raised   []Suspect
	trail    []Step
}

// deliver handles one delivery of one event.
func (t *turn) deliver(e *Event) {
	if e.Type.ATS() && t.s.System == "" {
		t.s.System = e.System
	}
	ring := e.Key
	if ring == (Digest{}) {
		ring = IdentityKey(e.Source, e.ID)
	}
	entry := newEntry(e, ring)
	if e.Type == EventSnapshot {
		if key, ok := snapshotKey(e, t.rules.system(e.System).ByRevision); ok {
			entry.Key = key
		}
	}
	if t.seen(e, &entry, ring) {
		return
	}
	t.remember(ring, e.Digest)
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
		t.insert(&entry)
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
	switch e.Type { //exhaustive:ignore // every other type keeps the reason the fold gave
	case EventOverride:
		t.d.Reason = ReasonOverridden
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

func newEntry(e *Event, key Digest) Entry {
	return Entry{
		Source: e.Source, ID: e.ID, Key: key, Type: e.Type, System: e.System, OccurredAt: e.OccurredAt, ObservedAt: e.ObservedAt,
		Revision: e.Revision, Stage: e.Stage, PreviousStage: e.PreviousStage, Status: e.Status, RejectReason: e.RejectReason, Actor: e.Actor,
		Order: e.Order, Attempt: e.Attempt, ResultRev: e.ResultRevision, HasResult: e.HasResult, Verdict: e.Verdict, FinishedAt: e.FinishedAt,
		Elements: e.Elements, Candidate: e.Candidate, Requisition: e.Requisition, ExpiresAt: e.ExpiresAt,
	}
}

// seen handles an identity the ring or the tail knows: a duplicate, or a contradiction (rules A6, B1, B2).
func (t *turn) seen(e *Event, entry *Entry, ring Digest) bool {
	s := t.s
	for i := len(s.Ring) - 1; i >= 0; i-- {
		if s.Ring[i].Key != ring {
			continue
		}
		switch {
		case s.Ring[i].Contradicted:
			t.d.Reason = ReasonContradicted
			t.earlier(ring, entry)
			return true
		case s.Ring[i].Digest == e.Digest:
			t.d.Reason = ReasonDuplicate
			t.earlier(ring, entry)
			return true
		}
		t.d.Reason = ReasonContradicted
		s.Ring = slices.Clone(s.Ring)
		s.Ring[i].Contradicted = true
		t.contradict(ring, entry)
		return true
	}
	if e.Type == EventSnapshot {
		for i := range s.Tail {
			if s.Tail[i].Key == entry.Key && s.Tail[i].Type == EventSnapshot {
				t.d.Reason = ReasonDuplicate
				t.remember(ring, e.Digest)
				t.touched = true
				t.earlier(entry.Key, entry)
				return true
			}
		}
	}
	return false
}

// earlier lowers the observation time of a known entry: the smallest over deliveries counts (rule A1). A
// contradicted entry takes the smallest of everything, so that the order of its variants does not matter.
func (t *turn) earlier(key Digest, e *Entry) {
	for i := range t.s.Tail {
		was := &t.s.Tail[i]
		if was.Key != key {
			continue
		}
		observed, occurred := was.ObservedAt, was.OccurredAt
		if e.ObservedAt != 0 && (observed == 0 || e.ObservedAt < observed) {
			observed = e.ObservedAt
		}
		if was.Contradicted {
			occurred = min(occurred, e.OccurredAt)
		}
		if observed == was.ObservedAt && occurred == was.OccurredAt {
			return
		}
		tail := slices.Clone(t.s.Tail)
		tail[i].ObservedAt, tail[i].OccurredAt = observed, occurred
		t.refold(tail)
		return
	}
}

// contradict takes both variants of an identity out of the fold (rule A6). What the base has absorbed stays.
func (t *turn) contradict(key Digest, e *Entry) {
	t.touched = true
	tail := slices.Clone(t.s.Tail)
	for i := range tail {
		if was := &tail[i]; was.Key == key || was.Source == e.Source && was.ID == e.ID {
			observed := was.ObservedAt
			if e.ObservedAt != 0 && (observed == 0 || e.ObservedAt < observed) {
				observed = e.ObservedAt
			}
			*was = Entry{
				Source: was.Source, ID: was.ID, Key: was.Key, Type: min(was.Type, e.Type), System: min(was.System, e.System),
				OccurredAt: min(was.OccurredAt, e.OccurredAt), ObservedAt: observed, Revision: min(was.Revision, e.Revision), Contradicted: true,
			}
			t.refold(tail)
			return
		}
	}
}

// remember puts an identity into the ring.
func (t *turn) remember(key, digest Digest) {
	ring := t.s.Ring
	if over := len(ring) + 1 - t.rules.Bounds.RingSize; over > 0 {
		ring = slices.Clone(ring[over:])
	}
	t.s.Ring = append(ring, RingEntry{Key: key, Digest: digest})
}

// insert puts an entry where it belongs: one step when it is in order, a refold when it is late.
func (t *turn) insert(e *Entry) {
	s, r := t.s, t.rules
	sys := r.system(e.System)
	eff := raw(e, &sys)
	if s.Base != nil && eff <= s.BaseUntil {
		t.fill(e)
		return
	}
	if t.inOrder(e, eff, &sys) {
		e.Eff = eff
		f := &folder{rules: r, h: cloneHead(&s.Head)}
		f.step(e, nil)
		s.Head = *f.h
		s.Tail = append(s.Tail, *e)
		t.trail, t.d.Ancestor = f.trail, t.prior.Head.Stage
		t.d.EffectiveAt, t.d.Authority = eff, f.last.authority
		t.d.Reason = f.last.reason()
		t.absorb()
		return
	}
	tail := make([]Entry, 0, len(s.Tail)+1)
	tail = append(append(tail, s.Tail...), *e)
	f := t.refold(tail)
	for i := range s.Tail {
		if s.Tail[i].Key == e.Key && s.Tail[i].ID == e.ID {
			t.d.EffectiveAt = s.Tail[i].Eff
		}
	}
	t.d.Authority = f.last.authority
	t.absorb()
}

// inOrder reports whether e sorts after everything known and changes no earlier place.
func (t *turn) inOrder(e *Entry, eff Micros, sys *System) bool {
	s := t.s
	if n := len(s.Tail); n > 0 {
		last := &s.Tail[n-1]
		if c := cmp.Or(cmp.Compare(eff, last.Eff), strings.Compare(e.System, last.System)); c < 0 {
			return false
		}
	}
	if s.Base != nil && eff < s.BaseUntil {
		return false
	}
	if e.Type == EventSnapshot && unversioned(e) {
		return false // may collapse with its neighbours
	}
	if m := s.Head.markOf(e.System); m != nil {
		was := Entry{OccurredAt: m.OccurredAt, Revision: m.Revision, ID: m.ID, Source: e.Source}
		if m.Snapshot {
			was.Type = EventSnapshot
		}
		if eff < m.Eff || ownOrder(&was, e, sys.ByRevision) >= 0 {
			return false
		}
	}
	for i := range s.Echoes {
		if echoes(&s.Echoes[i], e, sys.ByRevision) {
			return false
		}
	}
	return true
}

// reason names what an event in order did.
func (g *signal) reason() Reason {
	switch {
	case g.overridden:
		return ReasonOverridden
	case g.moved:
		return ReasonAdvanced
	case g.unauthorised:
		return ReasonUnauthorised
	case g.held:
		return ReasonHeld
	case g.tie:
		return ReasonTie
	case g.pending:
		return ReasonPending
	}
	return ReasonObserved
}

// refold orders and folds a whole tail and returns the folder. The path is what differs from the path before,
// from the common ancestor on (rule B7).
func (t *turn) refold(tail []Entry) *folder {
	s, r := t.s, t.rules
	before := t.path()
	echoOf := r.order(tail, s.Echoes, s.BaseUntil)
	if collapsed := collapse(tail); len(collapsed) < len(tail) {
		tail = collapsed
		echoOf = r.order(tail, s.Echoes, s.BaseUntil)
	}
	f := r.fold(s.Base, tail, echoOf)
	s.Tail, s.Head = tail, *f.h
	t.touched, t.refolded = true, true
	t.raised = append(t.raised, f.raised...)

	common := 0
	for common < len(before) && common < len(f.trail) && before[common] == f.trail[common] {
		common++
	}
	t.trail = f.trail[common:]
	switch {
	case common > 0:
		t.d.Ancestor = f.trail[common-1].To
	case s.Base != nil:
		t.d.Ancestor = s.Base.Stage
	default:
		t.d.Ancestor = ""
	}
	changed := len(t.trail) > 0 || common < len(before)
	if t.d.Reason == ReasonUnspecified {
		t.d.Reason = ReasonLate
		if changed {
			t.d.Reason = ReasonRevised
		}
	}
	return f
}

// path folds the prior tail again for the steps it took: they are not stored.
func (t *turn) path() []Step {
	tail := slices.Clone(t.prior.Tail)
	echoOf := t.rules.order(tail, t.prior.Echoes, t.prior.BaseUntil)
	return t.rules.fold(t.prior.Base, tail, echoOf).trail
}

// fill handles an event older than the base: it can only say what no one has newer word of (rule B3).
func (t *turn) fill(e *Entry) {
	t.d.Reason = ReasonStale
	base := cloneHead(t.s.Base)
	f := &folder{rules: t.rules, h: base}
	filled := false
	put := func(facet, value string) {
		if value == "" {
			return
		}
		if _, ok := base.observation(facet, e.System); !ok {
			f.observe(e, facet, value)
			filled = true
		}
	}
	for i := range e.Elements {
		put(facetElement+e.Elements[i].Name, e.Elements[i].Value)
	}
	if e.Type.ATS() {
		put(facetReason, e.RejectReason)
		if base.Candidate == "" && e.Candidate != "" {
			base.Candidate, filled = e.Candidate, true
		}
		if base.Requisition.ID == "" && e.Requisition.ID != "" {
			base.Requisition, filled = e.Requisition, true
		}
	}
	if !filled {
		return
	}
	t.s.Base = base
	t.d.Reason = ReasonFilled
	t.refold(slices.Clone(t.s.Tail))
}

// absorb moves the prefix of the tail that is older than the horizon, or over the cap, into the base (rule B1).
func (t *turn) absorb() {
	s, r := t.s, t.rules
	n := len(s.Tail)
	if n == 0 {
		return
	}
	cut := s.Tail[n-1].Eff.Add(-r.Bounds.Horizon)
	k := 0
	for k < n && s.Tail[k].Eff < cut {
		k++
	}
	if over := n - r.Bounds.TailCap; over > k {
		s.AbsorbedEarly += int32(over - k)
		k = over
	}
	t.absorbFirst(k)
}

func (t *turn) absorbFirst(k int) {
	if k == 0 {
		return
	}
	s, r := t.s, t.rules
	tail := slices.Clone(s.Tail)
	echoOf := r.order(tail, s.Echoes, s.BaseUntil)
	f := r.fold(s.Base, tail[:k], echoOf[:k])
	s.Base, s.BaseUntil = f.h, tail[k-1].Eff
	s.Tail = slices.Clone(tail[k:])
}

// closing keeps track of when the application closed and shrinks it once it has been closed for longer than
// the horizon (rule B10).
func (t *turn) closing(b *Bundle) {
	s := t.s
	if !b.closed(s.Head.Stage) {
		s.ClosedAt = 0
		return
	}
	if s.ClosedAt == 0 {
		s.ClosedAt = t.now
		if due := t.now.Add(t.rules.Bounds.Horizon); s.NextDue == 0 || due < s.NextDue {
			s.NextDue = due
		}
	}
}

// timer handles the clock reaching NextDue.
func (t *turn) timer() {
	s := t.s
	if s.NextDue == 0 || t.now < s.NextDue {
		t.d.Reason = ReasonObsolete
		return
	}
	t.touched = true
	if s.ClosedAt != 0 && t.now >= s.ClosedAt.Add(t.rules.Bounds.Horizon) && len(s.Tail)+len(s.Ring) > 0 {
		t.absorbFirst(len(s.Tail))
		s.Ring, s.Echoes, s.Tail = nil, nil, nil
		t.d.Reason = ReasonCompacted
	}
}

// timerReason names what a firing changed.
func (t *turn) timerReason() Reason {
	d, s, p := t.d, t.s, t.prior
	if d.Reason == ReasonCompacted {
		return ReasonCompacted
	}
	for i := range d.Incidents {
		if d.Incidents[i].Kind == IncidentStuck && d.Incidents[i].Change == IncidentOpened {
			return ReasonSLABreached
		}
	}
	switch {
	case len(d.Incidents) > 0:
		return ReasonGraceElapsed
	case p.Head.HeldBy != "" && p.Head.HeldUntil != 0 && t.now >= p.Head.HeldUntil && t.prior.UpdatedAt < p.Head.HeldUntil:
		return ReasonHoldExpired
	case s.DesiredRevision != p.DesiredRevision:
		return ReasonSettleElapsed
	case p.Write.State == WriteDeferred && s.Write.State == WriteSent:
		return ReasonDeferElapsed
	case s.RefreshOpen && !p.RefreshOpen:
		return ReasonRefreshDue
	}
	return ReasonGraceElapsed
}

// erase leaves a small record, so that a late event raises no ghost (rule D3).
func (t *turn) erase() {
	s := t.s
	*s = State{Application: s.Application, Version: s.Version, MovedAt: s.MovedAt, UpdatedAt: s.UpdatedAt, System: s.System, Erased: true,
		DesiredRevision: s.DesiredRevision, Desired: s.Desired, Write: s.Write, Incidents: s.Incidents}
	t.d.Reason = ReasonErased
}

// resync publishes desired again as a new revision, and reads the ATS.
func (t *turn) resync() {
	s := t.s
	t.d.Reason = ReasonResynced
	if !s.Desired.Empty() {
		s.Desired, s.Target, s.Write = Tuple{}, Target{Cause: s.Target.Cause, Stage: s.Target.Stage, Status: s.Target.Status, Reason: s.Target.Reason, Since: s.Target.Since}, Write{}
	}
	if s.RefreshDue == 0 && !s.RefreshOpen {
		s.RefreshDue = t.now
	}
}

// finish fills in what every decision carries.
func (t *turn) finish(b *Bundle) {
	d, s, p := t.d, t.s, t.prior
	d.To = s.Head.Stage
	d.Path = t.trail
	d.Held = s.Head.HeldBy != "" || s.Oversize || s.Head.suspected(IncidentForbiddenJump)
	if rule := b.Stage(s.Head.Stage); rule != nil {
		d.Owner = rule.Owner
	}
	if r := s.Head.newestResult(); r != nil {
		d.FinishedAt = r.FinishedAt
		if s.Head.LevelSystem != "" && s.Head.EnteredBy == AuthorityVendor {
			shown, ok := b.canonical(s.Head.LevelSystem, s.Head.LevelStage, s.Head.LevelStatus)
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
