package hiring

import (
	"cmp"
	"slices"
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
	case a.ID != b.ID:
		return strings.Compare(a.ID, b.ID)
	}
	return strings.Compare(a.Source, b.Source)
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

// echoes reports whether e shows what c wrote, at or past the version it made.
func echoes(c *Echo, e *Entry, byRevision bool) bool {
	if !e.Type.ATS() || e.Contradicted || c.VersionAfter == 0 || version(e, byRevision) < c.VersionAfter {
		return false
	}
	if c.Stage == "" && c.Status == StatusUnspecified {
		return false
	}
	return (c.Stage == "" || c.Stage == e.Stage) && (c.Status == StatusUnspecified || c.Status == e.Status)
}

// order sorts entries into the one total order and sets their effective times. echoOf[i] is the echo that
// entries[i] shows, or nil. until is the time up to which the base has absorbed: nothing sorts before it.
//
// Per system, in its own order: eff is the suffix minimum of raw, so that a clock that jumped ahead once does
// not carry its later events with it; an echo is raised to just after its cause (rule A4); a prefix maximum
// keeps the own order. Then one sort by (eff, system, own position).
func (r *Rules) order(entries []Entry, known []Echo, until Micros) (echoOf []*Echo) {
	slices.SortFunc(entries, func(a, b Entry) int {
		if c := strings.Compare(a.System, b.System); c != 0 {
			return c
		}
		return ownOrder(&a, &b, r.system(a.System).ByRevision)
	})
	causes := make([]int, 0, 8) // positions of entries with an echo
	echoOf = make([]*Echo, len(entries))
	for lo := 0; lo < len(entries); {
		hi := lo + 1
		for hi < len(entries) && entries[hi].System == entries[lo].System {
			hi++
		}
		sys := r.system(entries[lo].System)
		chain := entries[lo:hi]
		for i := len(chain) - 1; i >= 0; i-- {
			chain[i].Eff = max(raw(&chain[i], &sys), until)
			if i+1 < len(chain) {
				chain[i].Eff = min(chain[i].Eff, chain[i+1].Eff)
			}
		}
		for k := range known {
			for i := range chain {
				if echoOf[lo+i] == nil && echoes(&known[k], &chain[i], sys.ByRevision) {
					echoOf[lo+i] = &known[k]
					causes = append(causes, lo+i)
					break
				}
			}
		}
		lo = hi
	}
	for _, at := range causes {
		cause := echoOf[at].CauseEff
		for i := range entries {
			if entries[i].ID == echoOf[at].CauseID && entries[i].Source == echoOf[at].CauseSource {
				cause = entries[i].Eff
			}
		}
		entries[at].Eff = max(entries[at].Eff, cause+1)
	}
	for i := 1; i < len(entries); i++ {
		if entries[i].System == entries[i-1].System {
			entries[i].Eff = max(entries[i].Eff, entries[i-1].Eff)
		}
	}
	// A stable sort of (entry, echo) pairs; the own position is the position before it.
	at := make([]int, len(entries))
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(i, j int) int {
		if c := cmp.Compare(entries[i].Eff, entries[j].Eff); c != 0 {
			return c
		}
		return strings.Compare(entries[i].System, entries[j].System)
	})
	sorted, sortedEcho := make([]Entry, len(entries)), make([]*Echo, len(entries))
	for to, from := range at {
		sorted[to], sortedEcho[to] = entries[from], echoOf[from]
	}
	copy(entries, sorted)
	return sortedEcho
}

// collapse drops snapshots without a version that repeat their neighbours: of a run of equal ones the first and
// the last stay, which is enough for the fold to end alike whatever arrives between them (rule B1).
func collapse(entries []Entry) []Entry {
	same := func(a, b *Entry) bool {
		return a.snapshot() && b.snapshot() && a.System == b.System && unversioned(a) && unversioned(b) &&
			a.Stage == b.Stage && a.Status == b.Status && a.RejectReason == b.RejectReason && a.Candidate == b.Candidate &&
			a.Requisition == b.Requisition && equalElements(a.Elements, b.Elements) && !a.Contradicted && !b.Contradicted
	}
	out := entries[:0]
	for i := range entries {
		e := entries[i]
		n := len(out)
		if n >= 2 && same(&out[n-1], &e) && same(&out[n-2], &e) {
			out[n-1] = e
			continue
		}
		out = append(out, e)
	}
	return out
}

// unversioned reports whether a snapshot proves no version. Its key is its delivery identity then.
func unversioned(e *Entry) bool { return e.Revision == 0 && e.Key == IdentityKey(e.Source, e.ID) }
