package hiring

import (
	"cmp"
	"slices"
	"strings"
)

// An application of an instance without an ATS is kept here: the canonical stage is the record, whoever sets it. People
// set it by hiring.control, screening vendors by their verdicts, and publishers (a form, a spreadsheet) by telling what
// happened. A publisher orders its own words and says nothing of what the others have done, so that each is a system
// of its own, "<instance>/<publisher>". Once the instance has an ATS, that is yet another one.

// publisherOf returns the system under which an event of an instance without an ATS is kept.
func publisherOf(instance string, e *Event) string {
	if e.System != instance && e.System != "" {
		return instance + "/" + e.System
	}
	return instance + "/" + e.Source
}

// published reports whether e is a publisher's word of an application that was in no ATS when it happened.
func (e *Entry) published() bool { return e.Type.ATS() && strings.IndexByte(e.System, '/') >= 0 }

// moves reports whether an ATS's or a publisher's word says that somebody acted, and not just where an application stands.
func (e *Entry) moves() bool {
	switch e.Type {
	default:
		return false
	case EventStageChanged, EventRejected, EventUnrejected, EventHired, EventWithdrawn, EventTransferred:
		return e.PreviousStage == "" || e.PreviousStage != e.Stage
	}
}

// Keeps reports whether an instance has no ATS, so that its applications are kept here alone.
func (b *Bundle) Keeps(instance string) bool {
	return slices.ContainsFunc(b.NoATS, func(name string) bool { return matches(name, instance) })
}

// publishes reports whether an event is a publisher's word and not an ATS's. A read is an ATS's, also of a time when the policy
// did not know of one yet: where it knows of none up to now, somebody publishes what a spreadsheet shows.
func (t *turn) publishes(e *Event) bool {
	instance := t.s.System
	if !e.Type.ATS() || !t.rules.At(e.OccurredAt).Keeps(instance) {
		return false
	}
	return e.Type != EventSnapshot || t.rules.joined(e.OccurredAt, instance) == nil
}

// joined returns the bundle that first gives an instance an ATS after a time at which it has none; nil where none does.
func (r *Rules) joined(t Micros, instance string) *Bundle {
	for _, b := range r.Bundles[r.index(t)+1:] {
		if !b.Keeps(instance) {
			return b
		}
	}
	return nil
}

// publisher folds what a publisher says. A word that says a move is one; any other is a level, and moves the application
// only where the publisher itself had said another before (rule A3): a row that is touched says its old stage again. Who
// moves saw the canonical stage, unless previous_stage says what they saw.
func (f *folder) publisher(b *Bundle, e *Entry) {
	h := f.h
	h.Deleted = e.Type == EventDeleted
	if h.Deleted {
		return
	}
	if e.Candidate != "" {
		h.Candidate = e.Candidate
	}
	wasStage, wasStatus := f.saidBy(e.System, facetStage), f.saidBy(e.System, facetStatus)
	if e.Stage != "" {
		f.observe(e, facetStage, e.Stage)
	}
	if e.Status != StatusUnspecified {
		f.observe(e, facetStatus, e.Status.String())
	}
	if e.RejectReason != "" {
		f.observe(e, facetReason, e.RejectReason)
	}
	f.elements(e, e.Elements)
	f.dispute(b, e, e.Elements)
	if e.snapshot() {
		f.clear(IncidentContradicted, e.System)
	}
	if e.Stage == "" && e.Status == StatusUnspecified {
		return
	}
	if h.FirstSeen == 0 {
		h.FirstSeen = e.Eff
	}
	to, ok := f.means(b, e)
	first := wasStage == "" && wasStatus == ""
	again := (e.Stage == "" || e.Stage == wasStage) && (e.Status == StatusUnspecified || e.Status.String() == wasStatus)
	if h.Stage != "" && !e.moves() && (first || again) {
		return
	}
	f.clear(IncidentUnmapped, "")
	if !ok {
		told := cmp.Or(e.Stage, e.Status.String()) // taken back, and nobody knows to where
		f.suspect(Suspect{Kind: IncidentUnmapped, Element: told, Subject: e.ID, Eff: e.Eff, Values: []IncidentValue{{System: e.System, Value: told, At: e.OccurredAt}}})
		return
	}
	from := h.Stage
	if seen := Stage(e.PreviousStage); b.Stage(seen) != nil {
		from = seen
	}
	by := authorityOf(e.Actor)
	f.last.authority = by
	f.move(b, e, mover{seen: from, from: from, fromClosed: b.closed(from), to: to, by: by, source: e.Source, event: e.ID})
}

// means returns the canonical stage a publisher's word names: stages go by their canonical names. Taking a close back
// without a stage means the one it was closed in.
func (f *folder) means(b *Bundle, e *Entry) (Stage, bool) {
	if e.Status.Closed() {
		return b.canonical(e.System, "", e.Status, "")
	}
	to := Stage(e.Stage)
	if to == "" && e.Status == StatusActive {
		if to = f.h.Stage; b.closed(to) {
			to = f.h.EnteredFrom
		}
	}
	return to, b.Stage(to) != nil && !b.closed(to)
}

// instance returns the instance whose policy holds for the application.
func (f *folder) instance(b *Bundle) string {
	if b.Keeps(f.system) {
		return f.system
	}
	return f.h.LevelSystem
}

// saidBy returns what a system says of a facet; "" is nothing.
func (f *folder) saidBy(system, facet string) string {
	i, ok := f.h.observation(facet, system)
	if !ok {
		return ""
	}
	return f.h.Observations[i].Pick()
}

// adrift adds what a person has to look at once an instance has an ATS: it shows another stage than was kept before, and
// nothing is written of that time by itself (rule C7). It ends when the two agree, and when a person acts.
func (v *derivation) adrift(wanted []wantedIncident) []wantedIncident {
	h := &v.s.Head
	if h.LevelSystem == "" || h.Deleted || h.Anonymized || v.none || v.live.kept(h.EnteredAt) {
		return wanted
	}
	shown, ok := v.b.shown(h)
	if !ok || shown == h.Stage {
		return wanted
	}
	return append(wanted, wantedIncident{grace: v.rules.Bounds.Grace, Suspect: Suspect{
		Kind: IncidentFieldDivergence, Element: facetStage, Subject: h.EnteredEvent, Epoch: h.Epoch, Eff: h.EnteredAt,
		Values: []IncidentValue{{System: ControlSystem, Value: string(h.Stage), At: h.EnteredAt}, {System: h.LevelSystem, Value: string(shown), At: v.levelAt()}},
	}})
}

// levelAt is since when the ATS has shown what it shows, in its own time.
func (v *derivation) levelAt() Micros {
	if i, ok := v.s.Head.observation(facetStage, v.s.Head.LevelSystem); ok {
		return v.s.Head.Observations[i].At
	}
	return 0
}

// kept reports whether the instance has had an ATS since something was caused, or a person has asked since for what is
// owed to it.
func (l *live) kept(caused Micros) bool {
	since := min(l.rules.index(max(caused, l.s.ResyncedAt)), l.at)
	return !slices.ContainsFunc(l.rules.Bundles[since:l.at], func(b *Bundle) bool { return b.Keeps(l.s.System) })
}
