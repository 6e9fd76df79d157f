package hiring

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// derivation computes, from the fold and the clock, what the ATS should show, which incidents stand and when
// to look again. It works on a state Decide owns.
type derivation struct {
	rules    *Rules
	b        *Bundle // in force now
	s        *State
	d        *Decision
	now      Micros
	refolded bool
	raised   []Suspect // by the refold
	due      Micros    // earliest time at which something changes by itself
}

func (v *derivation) at(t Micros) {
	if t > v.now && (v.due == 0 || t < v.due) {
		v.due = t
	}
}

// run derives everything. The order matters: desired looks at suspicions, incidents at the write.
func (v *derivation) run() {
	v.desire()
	v.incidents()
	v.refresh()
	if c := v.s.ClosedAt; c != 0 && (len(v.s.Tail) > 0 || len(v.s.Ring) > 0) {
		v.at(c.Add(v.rules.Bounds.Horizon))
	}
	v.s.NextDue = v.due
}

// held reports whether a person has stopped writes.
func (v *derivation) held() bool {
	h := &v.s.Head
	if v.s.Oversize {
		return true
	}
	if h.HeldBy == "" {
		return false
	}
	if h.HeldUntil != 0 {
		if v.now >= h.HeldUntil {
			return false
		}
		v.at(h.HeldUntil)
	}
	return true
}

// target is the stage part owed to the ATS and how long it has to wait; ok is false when nothing is owed.
func (v *derivation) target() (t Target, wait time.Duration, closing, ok bool) {
	s, h := v.s, &v.s.Head
	if h.Stage == "" || h.LevelSystem == "" || v.held() {
		return t, 0, false, false
	}
	for i := range h.Suspects {
		switch k := h.Suspects[i].Kind; {
		case k == IncidentForbiddenJump, k == IncidentUnmapped, k == IncidentContradicted:
			return t, 0, false, false
		case k == IncidentTie && !strings.HasPrefix(h.Suspects[i].Element, facetElement):
			return t, 0, false, false
		}
	}
	reverting := int32(0)
	for i := range h.Reverts {
		if h.Reverts[i].Epoch == h.Epoch {
			reverting = max(reverting, h.Reverts[i].Count)
		}
	}
	if reverting > 1 {
		return t, 0, false, false // contested: silence until a person acts
	}
	if h.EnteredBy != AuthorityVendor && h.EnteredBy != AuthorityOverride && reverting == 0 {
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
		if rule.Status == StatusRejected {
			t.Reason = sys.Mapping.RejectWith
		}
		wait = v.rules.Bounds.Settle
	default:
		t.Status = StatusActive
		t.Stage = sys.Mapping.Native[h.Stage]
		if c, mapped := sys.Mapping.Stages[h.LevelStage]; mapped && c == h.Stage {
			t.Stage = h.LevelStage
		}
		if t.Stage == "" {
			return t, 0, false, false
		}
	}
	if reverting > 0 {
		wait = max(wait, v.rules.Bounds.Grace)
		t.Cause += "|revert"
	}
	if s.Write.Emissions > 0 && s.Target.Cause == t.Cause {
		wait = max(wait, v.rules.Bounds.Settle) // superseded before: let it settle
	}
	return t, wait, closing, true
}

// elements returns what golden sources say and the ATS should show, sorted by name.
func (v *derivation) elements() []Element {
	var out []Element
	h := &v.s.Head
	for i := range v.b.Elements {
		rule := &v.b.Elements[i]
		if !rule.WriteBack {
			continue
		}
		facet := facetElement + rule.Name
		var best *Observation
		at, _ := h.observation(facet, "")
		for ; at < len(h.Observations) && h.Observations[at].Facet == facet; at++ {
			o := &h.Observations[at]
			if sys, ok := v.b.System(o.System); !ok || sys.Mapping != nil {
				continue // the ATS is not golden for it
			}
			if best == nil || o.Eff > best.Eff {
				best = o
			}
		}
		if best != nil && len(best.Values) == 1 && best.Pick() != "" {
			out = append(out, Element{Name: rule.Name, Value: best.Pick()})
		}
	}
	return out
}

// desire derives the whole tuple the ATS should show. Every change publishes a revision, also "nothing" (C1).
func (v *derivation) desire() {
	s, h := v.s, &v.s.Head
	var want Tuple
	closing := false
	writable := !s.Erased && !h.Anonymized && !h.Deleted && h.LevelSystem != "" && (v.b.Mode == ModeWrite || v.b.Mode == ModeShadow)
	if !writable {
		s.Target = Target{}
	} else {
		t, wait, isClosing, ok := v.target()
		switch {
		case !ok:
			s.Target = Target{}
			if s.Write.Emissions > 0 {
				s.Write.Emissions = 0
			}
		default:
			t.Since = v.now
			if s.Target.Cause != t.Cause {
				s.Write.Emissions = 0
			}
			if s.Target.Cause == t.Cause && s.Target.Stage == t.Stage && s.Target.Status == t.Status && s.Target.Reason == t.Reason {
				t.Since = s.Target.Since
			}
			s.Target = t
			if ready := t.Since.Add(wait); v.now >= ready {
				want.Stage, want.Status, want.Reason, closing = t.Stage, t.Status, t.Reason, isClosing
			} else {
				v.at(ready)
			}
		}
		if !v.held() {
			want.Elements = v.elements()
		}
	}
	switch {
	case !want.asks(&s.Desired):
		s.Desired, s.DesiredClosing = want, closing
		s.DesiredRevision++
		s.DesiredCause = v.cause(want)
		s.Write = Write{Revision: s.DesiredRevision, State: WriteSent, Since: v.now, Emissions: s.Write.Emissions}
		v.emit()
	case s.Write.State == WriteDeferred && v.now >= s.Write.Due:
		s.Write.State, s.Write.Since, s.Write.Due = WriteSent, v.now, 0
		v.emit()
	case s.Write.State == WriteDeferred:
		v.at(s.Write.Due)
	}
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
		Kind: CommandApply, Revision: s.DesiredRevision, Desired: s.Desired, Closing: s.DesiredClosing, Cause: s.DesiredCause, Mode: v.b.Mode,
		Expected: Tuple{Stage: h.LevelStage, Status: h.LevelStatus, Reason: h.LevelReason},
	}
	if m := h.markOf(h.LevelSystem); m != nil {
		c.Expected.Version = int64(m.OccurredAt)
		if v.rules.system(h.LevelSystem).ByRevision {
			c.Expected.Version = m.Revision
		}
	}
	c.ID = v.commandID("apply")
	s.Write.CommandID = c.ID
	v.d.Commands = append(v.d.Commands, c)
}

// commandID names a command of this decision: unique, because a version issues at most one of a kind.
func (v *derivation) commandID(kind string) string {
	return digestText(kind, v.s.Application, fmt.Sprint(v.s.Version+1))
}

// refresh asks for one read of the ATS where something is not certain: a hint, a tie, a contradiction (A2, A5, A6).
func (v *derivation) refresh() {
	s, h := v.s, &v.s.Head
	if s.System == "" || s.Erased || s.Head.Deleted {
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
	if s.RefreshOpen {
		return
	}
	s.RefreshDue, s.RefreshOpen = 0, true
	if unsure {
		s.Refreshes++
	}
	v.d.Commands = append(v.d.Commands, Command{ID: v.commandID("refresh"), Kind: CommandRefresh, Revision: s.DesiredRevision, Mode: v.b.Mode})
}

// incidents brings the open incidents in line with what the fold and the write show now.
func (v *derivation) incidents() {
	s, h := v.s, &v.s.Head
	wanted := make([]wantedIncident, 0, len(h.Suspects)+2)
	for i := range h.Suspects {
		k := h.Suspects[i].Kind
		grace := v.rules.Bounds.Grace
		if k == IncidentContradicted || k == IncidentMissingField {
			grace = 0
		}
		wanted = append(wanted, wantedIncident{Suspect: h.Suspects[i], grace: grace})
	}
	if rule := v.b.Stage(h.Stage); rule != nil && rule.SLA > 0 && !h.Deleted {
		if due := h.EnteredAt.Add(rule.SLA); v.now >= due {
			wanted = append(wanted, wantedIncident{Suspect: Suspect{Kind: IncidentStuck, Element: string(h.Stage), Subject: h.EnteredEvent, Epoch: h.Epoch, Eff: due}})
		} else {
			v.at(due)
		}
	}
	if w := &s.Write; w.State == WriteDone && (w.Outcome == OutcomeBlocked || w.Outcome == OutcomeRefused || w.Outcome == OutcomeFailed) && !s.Desired.Empty() {
		wanted = append(wanted, wantedIncident{Suspect: Suspect{Kind: IncidentWriteBlocked, Element: w.Detail, Subject: s.DesiredCause.ID, Epoch: h.Epoch, Eff: w.Since}})
	}
	wanted = v.divergences(wanted)
	v.reconcile(wanted)
}

type wantedIncident struct {
	Suspect
	grace time.Duration
	id    string
}

// divergences adds every written element that the ATS showed otherwise after the write had ended (rule B9).
func (v *derivation) divergences(wanted []wantedIncident) []wantedIncident {
	s, h := v.s, &v.s.Head
	if s.Confirmed.Empty() || s.Write.State != WriteDone {
		return wanted
	}
	byRevision := v.rules.system(h.LevelSystem).ByRevision
	for i := range s.Desired.Elements {
		el := &s.Desired.Elements[i]
		at, ok := h.observation(facetElement+el.Name, h.LevelSystem)
		if !ok {
			continue
		}
		o := &h.Observations[at]
		own := int64(o.At)
		if byRevision {
			own = o.Revision
		}
		if o.Pick() == el.Value || own < s.Confirmed.Version {
			continue
		}
		wanted = append(wanted, wantedIncident{Suspect: Suspect{
			Kind: IncidentFieldDivergence, Element: el.Name, Subject: o.EventID, Epoch: h.Epoch, Eff: o.Eff,
			Values: []IncidentValue{{System: "golden", Value: el.Value, At: s.DesiredCause.EffectiveAt}, {System: o.System, Value: o.Pick(), At: o.At}},
		}})
	}
	return wanted
}

func (v *derivation) reconcile(wanted []wantedIncident) {
	s := v.s
	if len(wanted) == 0 && len(s.Incidents) == 0 {
		return
	}
	for i := range wanted {
		w := &wanted[i]
		w.id = IncidentID(s.Application, w.Epoch, w.Kind, w.Element, w.Subject)
	}
	slices.SortFunc(wanted, func(a, b wantedIncident) int { return strings.Compare(a.id, b.id) })
	wanted = slices.CompactFunc(wanted, func(a, b wantedIncident) bool { return a.id == b.id })

	next := make([]OpenIncident, 0, len(wanted))
	was := s.Incidents
	for i := range wanted {
		w := &wanted[i]
		for len(was) > 0 && was[0].ID < w.id {
			v.gone(&was[0])
			was = was[1:]
		}
		open := OpenIncident{ID: w.id, Kind: w.Kind, Element: w.Element, Subject: w.Subject, Epoch: w.Epoch, FirstSeen: v.now, Owner: v.ownerOf(&w.Suspect)}
		if len(was) > 0 && was[0].ID == w.id {
			open = was[0]
			was = was[1:]
		}
		if open.OpenedAt == 0 {
			if ready := open.FirstSeen.Add(w.grace); v.now >= ready {
				open.OpenedAt = v.now
				v.d.Incidents = append(v.d.Incidents, Incident{
					ID: w.id, Kind: w.Kind, Change: IncidentOpened, Element: w.Element, Subject: w.Subject, Epoch: w.Epoch, Values: w.Values,
					Leader: v.leader(&w.Suspect), Rule: w.Kind.String(), Owner: open.Owner, OpenedAt: v.now,
				})
			} else {
				v.at(ready)
			}
		}
		next = append(next, open)
	}
	for i := range was {
		v.gone(&was[i])
	}
	s.Incidents = next
}

// gone closes an incident that no longer stands: resolved when it was true and ended, retracted when a refold
// shows that it never was (rule B9).
func (v *derivation) gone(o *OpenIncident) {
	if o.OpenedAt == 0 {
		return
	}
	change := IncidentResolved
	if v.refolded && fromFold(o.Kind) {
		change = IncidentRetracted
		for i := range v.raised {
			r := &v.raised[i]
			if r.Kind == o.Kind && r.Element == o.Element && r.Subject == o.Subject && r.Epoch == o.Epoch {
				change = IncidentResolved
				break
			}
		}
	}
	v.d.Incidents = append(v.d.Incidents, Incident{
		ID: o.ID, Kind: o.Kind, Change: change, Element: o.Element, Subject: o.Subject, Epoch: o.Epoch, Rule: o.Kind.String(), Owner: o.Owner,
		OpenedAt: o.OpenedAt, ClosedAt: v.now,
	})
}

// fromFold reports whether a kind is a suspicion of the fold; the others follow the clock or the write.
func fromFold(k IncidentKind) bool {
	return k != IncidentStuck && k != IncidentWriteBlocked && k != IncidentFieldDivergence
}

// leader names the system whose value stands.
func (v *derivation) leader(s *Suspect) string {
	if len(s.Values) > 0 {
		return s.Values[0].System
	}
	return ControlSystem
}

func (v *derivation) ownerOf(s *Suspect) string {
	h := &v.s.Head
	if s.Kind == IncidentStuck || s.Kind == IncidentForbiddenJump || s.Kind == IncidentUnauthorised {
		if rule := v.b.Stage(h.Stage); rule != nil {
			return rule.Owner
		}
	}
	return "recruiting operations"
}

// IncidentID names an incident by what it is about, never by its values (rule B9).
func IncidentID(application string, epoch int32, k IncidentKind, element, subject string) string {
	return digestText(application, fmt.Sprint(epoch), k.String(), element, subject)
}

// digestText returns 32 hex digits that name parts.
func digestText(parts ...string) string {
	var buf [256]byte
	b := buf[:0]
	for _, p := range parts {
		b = append(b, p...)
		b = append(b, 0)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}
