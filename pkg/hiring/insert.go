package hiring

import (
	"cmp"
	"slices"
	"strings"
)

// insert puts an entry where it belongs: one step when it is in order, a refold when it is late.
func (t *turn) insert(e *Entry) {
	s, r := t.s, t.rules
	sys := r.system(e.System)
	eff := raw(e, &sys)
	if s.absorbed(e, eff, sys.ByRevision) {
		e.Eff = eff
		t.fill(e)
		return
	}
	if t.inOrder(e, eff, &sys) {
		e.Eff = eff
		f := t.folder(&s.Head)
		ancestor := s.Head.Stage
		f.step(e, nil)
		s.Tail = append(s.Tail, *e)
		if !t.refolded {
			t.d.Ancestor = ancestor
		}
		if t.trail == nil {
			t.trail = f.trail
		} else {
			t.trail = append(t.trail, f.trail...)
		}
		t.d.EffectiveAt, t.d.Authority = eff, f.last.authority
		t.d.Reason = f.last.reason()
		t.absorb()
		return
	}
	f := t.refold(append(s.Tail, *e), nil)
	for i := range s.Tail {
		if s.Tail[i].same(e) {
			t.d.EffectiveAt = s.Tail[i].Eff
		}
	}
	t.d.Authority = f.last.authority
	if n := len(t.trail); n > 0 {
		t.d.Authority = t.trail[n-1].Authority
	}
	if n := len(s.Tail); t.kept && s.Tail[n-1].same(e) {
		t.d.Reason = f.last.reason() // it came last: nothing before it changed
	}
	t.absorb()
}

// absorbed reports whether the base reaches past e: by time, or because its system has said later things in it.
func (s *State) absorbed(e *Entry, eff Micros, byRevision bool) bool {
	if s.Base == nil {
		return false
	}
	if eff <= s.BaseUntil {
		return true
	}
	m := s.Base.markOf(e.System)
	return m != nil && m.compare(e, byRevision) >= 0
}

// compare compares where a system's order stands with an entry of it. A mark does not say what type of event it
// is, which decides between events of one time: of those it counts as the later, so that the tail is ordered anew.
func (m *Mark) compare(e *Entry, byRevision bool) int {
	was := Entry{OccurredAt: m.OccurredAt, Revision: m.Revision, Type: e.Type}
	if m.Snapshot != e.snapshot() {
		was.Type = EventUnknown
		if m.Snapshot {
			was.Type = EventSnapshot
		}
	} else if m.Snapshot {
		was.ID, was.Source = m.ID, e.Source
	} else {
		was.ID, was.Source = "\xff", e.Source // after every id of that time
	}
	return ownOrder(&was, e, byRevision)
}

// inOrder reports whether e sorts after everything known and changes no earlier place.
func (t *turn) inOrder(e *Entry, eff Micros, sys *System) bool {
	s := t.s
	if eff < s.Head.MigratedAt {
		return false // the head stands at a later bundle
	}
	if n := len(s.Tail); n > 0 {
		last := &s.Tail[n-1]
		if c := cmp.Or(cmp.Compare(eff, last.Eff), strings.Compare(e.System, last.System)); c < 0 {
			return false
		}
	}
	if n := len(s.Tail); n >= 2 && repeats(&s.Tail[n-1], e) && repeats(&s.Tail[n-2], e) {
		return false // it collapses with its neighbours
	}
	if m := s.Head.markOf(e.System); m == nil {
		if len(s.Head.Marks) >= maxMarks {
			return false // it may have been here before
		}
	} else if eff < m.Eff || m.compare(e, sys.ByRevision) >= 0 {
		return false
	}
	return !s.showsEcho(e, sys.ByRevision)
}

// reason names what an event in order did.
func (g *signal) reason() Reason {
	switch {
	case g.overridden, g.recorded && !g.unauthorised:
		return ReasonOverridden
	case g.recorded:
		return ReasonUnauthorised
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

// refold orders and folds a whole tail, which it does not change, and returns the folder. based are the steps that
// the base itself has just taken. The path is what differs from the path before, from the common ancestor on
// (rule B7).
func (t *turn) refold(tail []Entry, based []Step) folder {
	s := t.s
	ordered, shownBy := t.order(tail, s.Echoes)
	if n := len(ordered); n > 0 {
		if ordered = collapse(ordered); len(ordered) < n {
			ordered, shownBy = t.order(ordered, s.Echoes)
		}
	}
	f, before, root := t.both(ordered, shownBy)
	f.migrate(t.now)
	s.Tail, s.Head = ordered, *f.h
	t.touched, t.refolded, t.raised = true, true, f.raised

	after := f.trail
	if len(based) > 0 {
		after = append(slices.Clip(based), f.trail...)
	}
	common := 0
	for common < len(before) && common < len(after) && before[common] == after[common] {
		common++
	}
	t.kept = common == len(before)
	t.trail = after[common:]
	t.d.Ancestor = root
	if common > 0 {
		t.d.Ancestor = after[common-1].To
	}
	if t.d.Reason == ReasonUnspecified {
		t.d.Reason = ReasonLate
		if len(t.trail) > 0 || common < len(before) {
			t.d.Reason = ReasonRevised
		}
	}
	return f
}

// both folds a new tail, and the prior one again for the steps it took, which are not stored. What both have at their
// beginning is folded once; root is the stage in which they part, and before and the trail of f are the steps from there on.
func (t *turn) both(ordered []Entry, shownBy []*shown) (f folder, before []Step, root Stage) {
	p, s := t.prior, t.s
	prior, priorShown := p.Tail, []*shown(nil)
	if len(p.Echoes) > 0 { // which entry shows which write is not stored either
		prior, priorShown = t.rules.order(p.Tail, p.Echoes, p.BaseUntil, t.mem)
	}
	f = t.begin(s.Base, 12)
	parted, k := p.Base, 0
	if p.Base == s.Base {
		for ; k < len(prior) && k < len(ordered) && prior[k].folds(&ordered[k]) && showing(priorShown, k).same(showing(shownBy, k)); k++ {
			f.step(&ordered[k], showing(shownBy, k))
			f.trail = f.trail[:0]
		}
		parted = f.h
	}
	was := t.begin(parted, 12) // it comes to its end before f goes on, which may change what both share
	root = was.h.Stage
	was.trail, f.trail = t.mem.steps.take(len(prior)-k), t.mem.steps.take(len(ordered)-k)
	for i := k; i < len(prior); i++ {
		was.step(&prior[i], showing(priorShown, i))
	}
	was.migrate(p.UpdatedAt)
	for i := k; i < len(ordered); i++ {
		f.step(&ordered[i], showing(shownBy, i))
	}
	return f, was.trail, root
}

// folds reports whether two entries are the same to the fold.
func (e *Entry) folds(u *Entry) bool {
	return e.Eff == u.Eff && e.OccurredAt == u.OccurredAt && e.Contradicted == u.Contradicted && e.says(u)
}

// fill handles an event older than the base: it can only say what no one has newer word of (rule B3). A result is
// such a word too: it is pending until it acts or is told (rule B4), and so is the first word of an ATS.
func (t *turn) fill(e *Entry) {
	s := t.s
	t.d.Reason = ReasonStale
	base := *s.Base
	f := t.folder(&base)
	filled := false
	put := func(facet, value string) {
		if _, known := s.Head.observation(facet, e.System); value != "" && !known {
			f.observe(e, facet, value)
			filled = true
		}
	}
	b := t.mem.reads(t.rules.At(s.BaseUntil), s.System, &base.Requisition)
	switch {
	case e.Type.ATS() && s.Head.LevelSystem == "" && (e.Stage != "" || e.Status != StatusUnspecified) && (!e.published() || s.Head.Stage == ""):
		e.Eff, filled = s.BaseUntil, true
		f.step(e, nil)
	default:
		brought := b.brought(e)
		for i := range brought {
			put(elementFacet(brought[i].Name), brought[i].Value)
		}
		f.dispute(b, e, brought)
		if !e.Type.ATS() {
			break
		}
		put(facetReason, e.RejectReason)
		if s.Head.Candidate == "" && e.Candidate != "" {
			base.Candidate, filled = e.Candidate, true
		}
		if s.Head.Requisition.ID == "" && e.Requisition.ID != "" {
			base.Requisition, filled = e.Requisition, true
		}
	}
	if e.Type == EventAnonymize && !base.Anonymized {
		f.anonymise()
		filled = true
	}
	if e.HasResult && f.fillResult(b, e) {
		e.Eff, filled = s.BaseUntil, true
		f.consume(b, e)
	}
	if !filled {
		return
	}
	s.Base = &base
	t.d.Reason = ReasonFilled
	t.refold(s.Tail, f.trail)
}

// fillResult adds a result older than everything folded, unless it is known. It belongs to the first epoch: in a
// later one it never acts, and is told.
func (f *folder) fillResult(b *Bundle, e *Entry) bool {
	h := f.h
	res := Result{Order: e.Order, Attempt: e.Attempt, Revision: e.ResultRev, Verdict: f.verdict(b, e, b.brought(e)), Source: e.Source, EventID: e.ID, Eff: e.Eff, FinishedAt: e.FinishedAt}
	if h.resultOf(&res) >= 0 || len(h.Results) >= maxResults {
		return false
	}
	if e.Order != "" && !slices.Contains(h.Orders, e.Order) {
		if len(h.Orders) >= maxOrders {
			return false
		}
		h.Orders = append([]string{e.Order}, h.Orders...)
		f.owned |= partOrders
	}
	h.Results = append([]Result{res}, h.Results...)
	f.owned |= partResults
	if h.Epoch > 0 && res.Verdict.moves() && h.newest() < 0 {
		f.unconsumed(&h.Results[0])
	}
	return true
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

// absorbFirst moves the first k entries of the tail into the base.
func (t *turn) absorbFirst(k int) {
	if k == 0 {
		return
	}
	s, r := t.s, t.rules
	prefix, shownBy := s.Tail[:k], []*shown(nil)
	if len(s.Echoes) > 0 {
		var ordered []Entry
		ordered, shownBy = t.order(s.Tail, s.Echoes)
		prefix, shownBy = ordered[:k], shownBy[:min(k, len(shownBy))]
		if len(shownBy) == 0 {
			shownBy = nil
		}
	}
	f := t.begin(s.Base, 3)
	for i := range prefix {
		f.step(&prefix[i], showing(shownBy, i))
	}
	s.Base, s.BaseUntil = f.h, prefix[k-1].Eff
	s.Echoes = r.dropEchoes(s.Echoes, prefix)
	s.Tail = s.Tail[k:]
}
