package hiring

import (
	"cmp"
	"slices"
	"strings"
)

// maxEchoes bounds the writes of ours that wait to be seen again.
const maxEchoes = 8

// shown is the write of ours that an entry shows.
type shown struct {
	by         Authority
	source, id string // of the cause
	eff        Micros // of the cause
}

// showing returns which write the i-th entry shows, of what order returned.
func showing(shownBy []*shown, i int) *shown {
	if shownBy == nil {
		return nil
	}
	return shownBy[i]
}

// same reports whether both are the same write of ours, or none.
func (w *shown) same(u *shown) bool { return w == u || w != nil && u != nil && *w == *u }

// shows reports whether e shows what c wrote.
func (c *Echo) shows(e *Entry) bool {
	if c.Stage != "" && c.Stage != e.Stage {
		return false
	}
	return c.Status == StatusUnspecified || c.Status == e.Status || c.Stage != "" && e.Status == StatusUnspecified
}

// proves reports whether e is a record that may show c: an ATS's word on the level, newer than the write.
func (c *Echo) proves(e *Entry, byRevision bool) bool {
	if !e.Type.ATS() || e.Contradicted || e.Stage == "" && e.Status == StatusUnspecified {
		return false
	}
	v := version(e, byRevision)
	return v >= c.VersionAfter || c.VersionBefore != 0 && v > c.VersionBefore
}

// first returns which of n entries of one system, in its own order, is the first that shows c, or -1. The search
// ends at the first record past the write that shows something else: the echo is lost then, and a later move to
// the same stage is someone else's.
func (c *Echo) first(n int, at func(int) *Entry, byRevision bool) int {
	for i := range n {
		switch e := at(i); {
		case !c.proves(e, byRevision):
		case c.shows(e):
			return i
		case version(e, byRevision) > c.VersionAfter:
			return -1
		}
	}
	return -1
}

// causeAuthority is the authority of a write that e caused.
func causeAuthority(e *Entry) Authority {
	if e.Type.Control() && !e.Contradicted {
		return AuthorityOverride
	}
	return AuthorityVendor
}

// settle takes the authority of c from its cause, if that is among entries. In the tail it is looked up afresh, as it
// may be contradicted yet; this is for when the tail has it no more.
func (c *Echo) settle(entries []Entry) {
	for i := range entries {
		if e := &entries[i]; e.ID == c.CauseID && e.Source == c.CauseSource {
			c.Authority = causeAuthority(e)
		}
	}
}

func compareEcho(a, b Echo) int {
	return cmp.Or(
		cmp.Compare(a.VersionAfter, b.VersionAfter), cmp.Compare(a.VersionBefore, b.VersionBefore),
		strings.Compare(a.CauseSource, b.CauseSource), strings.Compare(a.CauseID, b.CauseID), cmp.Compare(a.CauseEff, b.CauseEff),
		strings.Compare(a.Stage, b.Stage), cmp.Compare(a.Status, b.Status),
	)
}

// echo remembers a write of ours that the ATS will show again (rule A4). The echoes are sorted by ATS version and
// the newest stay, whatever order their outcomes come in.
func (t *turn) echo(o *Outcome) {
	s := t.s
	if o.VersionAfter == 0 || o.Written.Stage == "" && o.Written.Status == StatusUnspecified {
		return
	}
	c := Echo{
		CauseSource: o.Cause.Source, CauseID: o.Cause.ID, CauseEff: o.Cause.EffectiveAt, Authority: AuthorityVendor,
		VersionBefore: o.VersionBefore, VersionAfter: o.VersionAfter, Stage: o.Written.Stage, Status: o.Written.Status,
	}
	c.settle(s.Tail)
	at, found := slices.BinarySearchFunc(s.Echoes, c, compareEcho)
	if found {
		return
	}
	known := make([]Echo, 0, len(s.Echoes)+1)
	known = append(append(append(known, s.Echoes[:at]...), c), s.Echoes[at:]...)
	s.Echoes = known[max(0, len(known)-maxEchoes):]
	if len(s.Tail) > 0 {
		t.refold(s.Tail, nil)
	}
}

// showsEcho reports whether e, after everything known of its system, is the record an echo waits for, or is the
// cause of one: the order then depends on it.
func (s *State) showsEcho(e *Entry, byRevision bool) bool {
	for k := range s.Echoes {
		c := &s.Echoes[k]
		if c.CauseID == e.ID && c.CauseSource == e.Source {
			return true
		}
		if !c.proves(e, byRevision) || !c.shows(e) {
			continue
		}
		seen := false
		for i := range s.Tail {
			if s.Tail[i].System == e.System && c.proves(&s.Tail[i], byRevision) && c.shows(&s.Tail[i]) {
				seen = true
				break
			}
		}
		if !seen {
			return true
		}
	}
	return false
}

// dropEchoes forgets the echoes whose record is among the absorbed entries, and settles those whose cause is.
func (r *Rules) dropEchoes(known []Echo, absorbed []Entry) []Echo {
	if len(known) == 0 {
		return nil
	}
	kept := make([]Echo, 0, len(known))
	for k := range known {
		c := &known[k]
		over := false
		for i := range absorbed {
			e := &absorbed[i]
			if !e.Type.ATS() {
				continue
			}
			byRevision := r.system(e.System).ByRevision
			over = over || c.proves(e, byRevision) && (c.shows(e) || version(e, byRevision) > c.VersionAfter)
		}
		if !over {
			still := *c
			still.settle(absorbed)
			kept = append(kept, still)
		}
	}
	return kept
}
