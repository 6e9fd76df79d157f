package hiring

import (
	"strconv"
	"strings"
	"time"
)

// revertSuffix marks the cause of a target that undoes a move without authority.
const revertSuffix = "|revert"

// derivation computes, from the fold and the clock, what the ATS should show, which incidents stand and when
// to look again. It works on a state Decide owns.
type derivation struct {
	rules    *Rules
	b        *Bundle // in force now, as it reads for the application
	none     bool    // the application is in no ATS now
	live     live
	s        *State
	d        *Decision
	now      Micros
	refolded bool
	raised   []Suspect // by the refold
	// unwritable says that the ATS has no stage for the canonical one.
	unwritable bool
	due        Micros // earliest time at which something changes by itself
}

func (v *derivation) at(t Micros) {
	if t > v.now && (v.due == 0 || t < v.due) {
		v.due = t
	}
}

// run derives everything. The order matters: desired looks at suspicions, incidents at the write and the order.
func (v *derivation) run() {
	v.desire()
	v.order()
	v.incidents()
	v.refresh()
	if v.s.ClosedAt != 0 && (len(v.s.Tail) > 0 || len(v.s.Ring) > 0) {
		v.at(v.now.Add(v.rules.Bounds.Horizon)) // closed and silent for so long: see timer
	}
	v.s.NextDue = v.due
}

// held reports whether writes of a scope are stopped.
func (s *State) held(now Micros, scope string) bool {
	for i := range s.Head.Holds {
		if o := &s.Head.Holds[i]; (o.Scope == "" || o.Scope == scope) && o.holds(now) {
			return true
		}
	}
	return s.Oversize
}

// holds reports whether the hold has not ended by itself.
func (o *Hold) holds(now Micros) bool { return o.Until == 0 || now < o.Until }

// held reports whether writes of a scope are stopped, and looks again when a hold ends by itself.
func (v *derivation) held(scope string) bool {
	for i := range v.s.Head.Holds {
		v.at(v.s.Head.Holds[i].Until)
	}
	return v.s.held(v.now, scope)
}

// lapsed reports whether the canonical stage was set by an override whose time is over: it is asked for no more.
func (v *derivation) lapsed() bool {
	until := v.s.Head.EnteredUntil
	v.at(until)
	return until != 0 && v.now >= until
}

// target is the stage part owed to the ATS and how long it has to wait; ok is false when nothing is owed.
func (v *derivation) target(was *Target) (t Target, wait time.Duration, closing, ok bool) {
	s, h := v.s, &v.s.Head
	if h.Stage == "" || h.LevelSystem == "" || v.held(ScopeStage) || h.jumped() {
		return t, 0, false, false
	}
	for i := range h.Suspects {
		switch k := h.Suspects[i].Kind; {
		case k == IncidentUnmapped, k == IncidentContradicted:
			return t, 0, false, false
		case k == IncidentUnconsumedResult && h.Suspects[i].Epoch == h.Epoch && h.EnteredBy == AuthorityVendor:
			return t, 0, false, false // the verdict that was acted on has been corrected: a person decides
		case k == IncidentTie && !strings.HasPrefix(h.Suspects[i].Element, facetElement):
			return t, 0, false, false
		}
	}
	if v.lapsed() {
		return t, 0, false, false
	}
	reverting := h.reverting()
	if reverting > 1 {
		return t, 0, false, false // contested: silence until a person acts
	}
	if h.EnteredBy != AuthorityVendor && h.EnteredBy != AuthorityOverride && reverting == 0 && !v.rules.At(h.EnteredAt).Keeps(s.System) {
		return t, 0, false, false
	}
	sys, _ := v.b.System(h.LevelSystem)
	if sys.Mapping == nil {
		return t, 0, false, false
	}
	t.Cause = h.EnteredEvent
	rule := v.b.Stage(h.Stage)
	switch {
	case rule == nil:
		return t, 0, false, false
	case rule.Closed:
		t.Status, closing = rule.Status, true
		switch {
		case rule.Status == StatusRejected:
			t.Reason = sys.Mapping.RejectWith
		case rule.Status == StatusWithdrawn && len(sys.Mapping.Withdrawn) > 0:
			t.Status, t.Reason = StatusRejected, sys.Mapping.Withdrawn[0]
		}
		wait = max(v.rules.Bounds.Settle, v.rules.Bounds.Grace)
	default:
		t.Status = StatusActive
		t.Stage = sys.Mapping.Native[h.Stage]
		if c, mapped := sys.Mapping.Stages[h.LevelStage]; mapped && c == h.Stage {
			t.Stage = h.LevelStage
		}
		if t.Stage == "" {
			v.unwritable = true
			return t, 0, false, false
		}
	}
	if reverting > 0 {
		wait = max(wait, v.rules.Bounds.Grace)
		t.Cause += revertSuffix
	}
	if s.Write.Emissions > 0 && was.Cause == t.Cause {
		wait = max(wait, v.rules.Bounds.Settle) // superseded before: let it settle
	}
	return t, wait, closing, true
}

// desire derives the whole tuple the ATS should show. Every change publishes a revision, also "nothing" (C1).
func (v *derivation) desire() {
	s, h := v.s, &v.s.Head
	var want Tuple
	closing, again := false, false
	writable := !s.Erased && !h.Anonymized && !h.Deleted && h.LevelSystem != "" && !v.none && v.live.acts()
	was := s.Target
	s.Target = Target{}
	if writable {
		if t, wait, isClosing, ok := v.target(&was); ok && v.live.reaches(v.caused()) {
			t.Since = v.now
			if was.Cause == t.Cause && was.Stage == t.Stage && was.Status == t.Status && was.Reason == t.Reason {
				t.Since = was.Since
			}
			s.Target = t
			again = v.undone() && t.Stage == s.Desired.Stage && t.Status == s.Desired.Status
			if again {
				s.Target.Since = v.now
			}
			if ready := s.Target.Since.Add(wait); v.now >= ready {
				want.Stage, want.Status, want.Reason, closing = t.Stage, t.Status, t.Reason, isClosing
			} else {
				v.at(ready)
			}
		}
		if !v.held(ScopeElements) && !h.suspected(IncidentUnmapped) {
			want.Elements = v.elements(s.Desired.Elements)
		}
	}
	if s.Paused = v.live.pause && (!want.Empty() || s.Target.Cause != "" || s.RefreshDue != 0); s.Paused {
		want, closing, again, s.Target = Tuple{}, false, false, Target{}
		v.due = 0
		v.at(v.now.Add(v.rules.Bounds.PauseCheck))
	}
	if writable && v.blocked(&was) { // no revision: nothing is on its way, and nothing may go
		s.Target, s.Desired = was, want
		return
	}
	if s.Target.Cause != was.Cause {
		s.Write.Emissions = 0
		if w := &s.Write; w.State == WriteDone && w.Outcome == OutcomeSuperseded && (want.Stage != "" || want.Status != StatusUnspecified) {
			again = true // what was superseded was another cause's
		}
	}
	switch w := &s.Write; {
	case again, !want.asks(&s.Desired):
		v.publish(want, closing)
	case w.State == WriteDeferred && v.now >= w.Due:
		w.State, w.Since, w.Due = WriteSent, v.now, 0
		v.emit()
	case w.State == WriteDone && w.Due != 0 && v.now >= w.Due: // elements superseded once
		v.publish(want, closing)
	case w.State == WriteDeferred, w.State == WriteDone && w.Due != 0:
		v.at(w.Due)
	}
}

// caused is when what is owed of the stage was caused: by the entry into it, or by the move that is undone.
func (v *derivation) caused() Micros {
	h := &v.s.Head
	at := h.EnteredAt
	for i := range h.Suspects {
		if s := &h.Suspects[i]; h.revertOf(s) != nil {
			at = max(at, s.Eff)
		}
	}
	return at
}

// undone reports whether the ATS has moved on since it showed all that was asked for, and the canonical stage has not
// followed: it was entered anew, after that move.
func (v *derivation) undone() bool {
	s, h := v.s, &v.s.Head
	if w := &s.Write; w.State != WriteDone || w.Outcome != OutcomeConfirmed && w.Outcome != OutcomeAlready {
		return false
	}
	shown, ok := v.b.shown(h)
	return ok && shown != h.Stage && v.levelVersion() > s.Confirmed.Version
}

// levelVersion is the newest version of the ATS the fold knows.
func (v *derivation) levelVersion() int64 {
	h := &v.s.Head
	m := h.markOf(h.LevelSystem)
	switch {
	case m == nil:
		return 0
	case v.rules.system(h.LevelSystem).ByRevision:
		return m.Revision
	}
	return int64(m.OccurredAt)
}

// blocked reports whether a close that may have been executed stands as it was asked for: it never goes again by itself,
// whatever else changes (rule C2).
func (v *derivation) blocked(was *Target) bool {
	s := v.s
	if s.Write.State != WriteDone || s.Write.Outcome != OutcomeBlocked || !s.DesiredClosing || was.Cause == "" {
		return false
	}
	if t := &s.Target; t.Cause != "" {
		return t.Cause == was.Cause && t.Stage == was.Stage && t.Status == was.Status && t.Reason == was.Reason
	}
	return strings.TrimSuffix(was.Cause, revertSuffix) == s.Head.EnteredEvent
}

// publish makes want the desired tuple, as a new revision.
func (v *derivation) publish(want Tuple, closing bool) {
	s := v.s
	if s.Target.Cause == "" && !equalElements(want.Elements, s.Desired.Elements) {
		s.Write.Emissions = 0
	}
	s.Desired, s.DesiredClosing = want, closing
	s.DesiredRevision++
	s.DesiredCause = v.cause(want)
	s.Write = Write{Revision: s.DesiredRevision, State: WriteSent, Since: v.now, Emissions: s.Write.Emissions}
	v.emit()
}

// cause names the event behind a tuple.
func (v *derivation) cause(want Tuple) Cause {
	h := &v.s.Head
	c := Cause{Source: h.EnteredSource, ID: h.EnteredEvent, EffectiveAt: h.EnteredAt}
	r := h.newestResult()
	if r == nil && len(h.Results) > 0 {
		r = &h.Results[len(h.Results)-1]
	}
	if r != nil && (want.Stage == "" && want.Status == StatusUnspecified || r.EventID == h.EnteredEvent) {
		c.Source, c.ID, c.EffectiveAt = r.Source, r.EventID, r.Eff
	}
	if r != nil && (r.EventID == c.ID || len(want.Elements) > 0) {
		c.FinishedAt = r.FinishedAt
	}
	return c
}

// emit issues a command for desired as it stands.
func (v *derivation) emit() {
	s, h := v.s, &v.s.Head
	if h.LevelSystem == "" && s.System == "" {
		return
	}
	c := Command{
		Kind: CommandApply, Revision: s.DesiredRevision, Desired: s.Desired, Closing: s.DesiredClosing, Cause: s.DesiredCause, Mode: v.live.mode,
		Expected: Tuple{Stage: h.LevelStage, Status: h.LevelStatus, Reason: h.LevelReason},
	}
	c.Expected.Version = v.levelVersion()
	c.ID = v.commandID("apply")
	s.Write.CommandID = c.ID
	v.d.Commands = append(v.d.Commands, c)
}

// commandID names a command of this decision: unique, because a version issues at most one of a kind.
func (v *derivation) commandID(kind string) string {
	return digestText(kind, v.s.Application, strconv.FormatInt(v.s.Version+1, 10))
}

// refresh asks for one read of the ATS where something is not certain: a hint, a tie, a contradiction (A2, A5, A6).
func (v *derivation) refresh() {
	s, h := v.s, &v.s.Head
	if v.none {
		s.RefreshDue = 0 // there is nothing to read
	}
	if s.System == "" || s.Erased || s.Head.Deleted || v.none {
		return
	}
	unsure := h.suspected(IncidentContradicted)
	for i := range h.Suspects {
		sus := &h.Suspects[i]
		unsure = unsure || sus.Kind == IncidentTie && len(sus.Values) > 0 && sus.Values[0].System == h.LevelSystem
	}
	if !unsure {
		s.Refreshes = 0
	}
	if unsure && s.RefreshDue == 0 && !s.RefreshOpen && int(s.Refreshes) < v.rules.Bounds.TieRefreshes {
		s.RefreshDue = v.now.Add(v.rules.Bounds.RefreshCoalesce)
	}
	if s.RefreshDue == 0 {
		return
	}
	if v.now < s.RefreshDue {
		v.at(s.RefreshDue)
		return
	}
	if s.RefreshOpen || s.Paused {
		return
	}
	s.RefreshDue, s.RefreshOpen = 0, true
	if unsure {
		s.Refreshes++
	}
	v.d.Commands = append(v.d.Commands, Command{ID: v.commandID("refresh"), Kind: CommandRefresh, Revision: s.DesiredRevision, Mode: v.live.mode})
}
