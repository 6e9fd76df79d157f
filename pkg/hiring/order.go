package hiring

import (
	"cmp"
	"math"
	"strings"
)

// ownOrder compares two entries of one system: its own order (rule A1). Snapshots sit after the events of
// their version (rule A2).
func ownOrder(a, b *Entry, byRevision bool) int {
	if byRevision {
		if c := cmp.Compare(a.Revision, b.Revision); c != 0 {
			return c
		}
	} else if c := cmp.Compare(a.OccurredAt, b.OccurredAt); c != 0 {
		return c
	}
	switch {
	case a.snapshot() != b.snapshot():
		if b.snapshot() {
			return -1
		}
		return 1
	case rank(a.Type) != rank(b.Type):
		return cmp.Compare(rank(a.Type), rank(b.Type))
	case a.ID != b.ID:
		return strings.Compare(a.ID, b.ID)
	}
	return strings.Compare(a.Source, b.Source)
}

// rank orders the events a system stamps with one time: a life before its end, and what says that the level
// changed after what only mentions a level. Our own write of fields and stage makes both in one millisecond, and
// the mention may be of the level before. Equal ranks go by id (rule A5).
func rank(t EventType) int {
	switch {
	case t.Screening():
		return int(t)
	case t == EventUpdated:
		return 1
	case t.ATS() && t != EventCreated && t != EventDeleted:
		return 2
	case t == EventDeleted:
		return 3
	}
	return 0
}

// mentionsFollow puts each mention of a level right behind the change to that level, where both are of one time: one change
// can be told as both. What mentions another level is of the level before, and stays in front.
func mentionsFollow(chain []placed, byRevision bool) {
	for i := len(chain) - 2; i >= 0; i-- {
		if chain[i].e.Type != EventUpdated {
			continue
		}
		for j := i + 1; j < len(chain) && version(chain[j].e, byRevision) == version(chain[i].e, byRevision) && !chain[j].e.snapshot(); j++ {
			if rank(chain[j].e.Type) == rank(EventStageChanged) && chain[j].e.sameLevel(chain[i].e) {
				mention := chain[i]
				copy(chain[i:j], chain[i+1:j+1])
				chain[j] = mention
				break
			}
		}
	}
}

// sameLevel reports whether two entries of an ATS show the same level.
func (e *Entry) sameLevel(u *Entry) bool {
	return e.Stage == u.Stage && e.Status == u.Status && e.RejectReason == u.RejectReason
}

// raw is an entry's own claim on time: the earlier of occurrence and observation, less the declared skew.
func raw(e *Entry, s *System) Micros {
	t := e.OccurredAt
	if e.ObservedAt != 0 && e.ObservedAt < t {
		t = e.ObservedAt
	}
	return t.Add(-s.Margin)
}

// version is the ATS version an entry proves.
func version(e *Entry, byRevision bool) int64 {
	if byRevision {
		return e.Revision
	}
	return int64(e.OccurredAt)
}

// placed is an entry on its way to its place.
type placed struct {
	e    *Entry
	eff  Micros
	echo *shown
}

// order returns entries in the one total order, with their effective times; entries is not changed. shownBy[i],
// where shownBy is not nil, is the write of ours that entry i shows. until is the time up to which the base
// has absorbed: nothing sorts before it.
//
// Per system, in its own order: eff is the suffix minimum of raw, so that a clock that jumped ahead once does
// not carry its later events with it; an echo is raised to just after its cause (rule A4); a prefix maximum
// keeps the own order. Then the systems are merged by (eff, system).
func (r *Rules) order(entries []Entry, known []Echo, until Micros, mem *Scratch) (ordered []Entry, shownBy []*shown) {
	at := mem.placed.take(len(entries))
	var few [8][]placed
	chains := few[:0]
	echoed := false
	for system, more := systemAfter(entries, nil); more; system, more = systemAfter(entries, &system) {
		lo := len(at)
		for i := range entries {
			if entries[i].System == system {
				at = append(at, placed{e: &entries[i]})
			}
		}
		sys, chain := r.system(system), at[lo:]
		sortChain(chain, sys.ByRevision)
		mentionsFollow(chain, sys.ByRevision)
		low := Micros(math.MaxInt64)
		for i := len(chain) - 1; i >= 0; i-- {
			chain[i].eff = min(max(raw(chain[i].e, &sys), until), low)
			if !chain[i].e.Contradicted { // what left the fold bounds nothing
				low = chain[i].eff
			}
		}
		for k := range known {
			if i := known[k].first(len(chain), func(i int) *Entry { return chain[i].e }, sys.ByRevision); i >= 0 && chain[i].echo == nil {
				chain[i].echo = &shown{by: known[k].Authority, source: known[k].CauseSource, id: known[k].CauseID, eff: known[k].CauseEff}
				echoed = true
			}
		}
		chains = append(chains, chain)
	}
	if echoed {
		raise(at)
		shownBy = make([]*shown, 0, len(at))
	}
	for _, chain := range chains {
		for i := 1; i < len(chain); i++ {
			chain[i].eff = max(chain[i].eff, chain[i-1].eff)
		}
	}
	ordered = mem.entries.take(len(at) + 1)
	for range at {
		next := 0
		for i := range chains {
			if c := chains[i]; len(c) > 0 && (len(chains[next]) == 0 || c[0].eff < chains[next][0].eff) {
				next = i
			}
		}
		first := &chains[next][0]
		ordered = append(ordered, *first.e)
		ordered[len(ordered)-1].Eff = first.eff
		if echoed {
			shownBy = append(shownBy, first.echo)
		}
		chains[next] = chains[next][1:]
	}
	return ordered, shownBy
}

// systemAfter returns the system of entries whose name is the next after one, or the first of all; ok is false where there
// is none.
func systemAfter(entries []Entry, last *string) (name string, ok bool) {
	for i := range entries {
		if s := entries[i].System; (last == nil || s > *last) && (!ok || s < name) {
			name, ok = s, true
		}
	}
	return name, ok
}

// sortChain brings the entries of one system into its own order. All but one come in it.
func sortChain(chain []placed, byRevision bool) {
	for i := range chain {
		for j := i; j > 0 && ownOrder(chain[j].e, chain[j-1].e, byRevision) < 0; j-- {
			chain[j], chain[j-1] = chain[j-1], chain[j]
		}
	}
}

// order orders entries as the state knows them.
func (t *turn) order(entries []Entry, known []Echo) (ordered []Entry, shownBy []*shown) {
	return t.rules.order(entries, known, t.s.BaseUntil, t.mem)
}

// raise moves every echo to just after its cause.
func raise(at []placed) {
	for i := range at {
		echo := at[i].echo
		if echo == nil {
			continue
		}
		for j := range at {
			if e := at[j].e; e.ID == echo.id && e.Source == echo.source {
				echo.by = causeAuthority(e)
				if !e.Contradicted {
					echo.eff = at[j].eff
				}
			}
		}
		at[i].eff = max(at[i].eff, echo.eff+1)
	}
}

// repeats reports whether two snapshots without a version say the same.
func repeats(a, b *Entry) bool {
	return unversioned(a) && unversioned(b) && a.System == b.System &&
		a.Stage == b.Stage && a.Status == b.Status && a.RejectReason == b.RejectReason && a.Candidate == b.Candidate &&
		a.Requisition == b.Requisition && equalElements(a.Elements, b.Elements)
}

// collapse drops snapshots without a version that repeat their neighbours: of a run of equal ones the first and
// the last stay, so that the fold ends in the same stage whatever arrives between them (rule B1). It works in place.
func collapse(entries []Entry) []Entry {
	out := entries[:0]
	for i := range entries {
		n := len(out)
		if n >= 2 && repeats(&out[n-1], &entries[i]) && repeats(&out[n-2], &entries[i]) {
			out[n-1] = entries[i]
			continue
		}
		out = append(out, entries[i])
	}
	return out
}
