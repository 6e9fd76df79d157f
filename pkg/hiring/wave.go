package hiring

import "slices"

// Wave says how far Concord goes for some applications.
type Wave struct {
	Name string
	Selector
	Percent int  // of the applications selected, 1 to 100, by a stable hash of their id: a higher one keeps who was in
	Mode    Mode // never ModePaused
	NewOnly bool // leaves applications first seen before the bundle took effect as they were
}

// percentile returns the stable place of an application from 0 to 99. It is part of the contract: a wave keeps whom it
// has when its percentage grows.
func percentile(application string) int {
	h := uint64(14695981039346656037) // FNV-1a, then mixed so that ids that differ in their last digit differ everywhere
	for i := range len(application) {
		h = (h ^ uint64(application[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	return int((h ^ h>>33) % 100)
}

// wave returns the wave an application is in under bundle i, and its mode. The wave of none is nil.
func (r *Rules) wave(i int, s *State) (*Wave, Mode) {
	for ; ; i-- {
		b := r.Bundles[i]
		w := b.wave(s)
		switch {
		case w == nil:
			return nil, b.Mode
		case !w.NewOnly || s.Head.FirstSeen >= b.EffectiveAt || i == 0:
			return w, w.Mode
		}
	}
}

func (b *Bundle) wave(s *State) *Wave {
	for i := range b.Waves {
		w := &b.Waves[i]
		if w.matches(s.System, &s.Head.Requisition) && (w.Percent >= 100 || percentile(s.Application) < w.Percent) {
			return w
		}
	}
	return nil
}

// paused reports whether nothing of the application may leave.
func (b *Bundle) paused(s *State) bool {
	return len(b.Paused) > 0 && slices.Contains(b.Paused, s.Head.Requisition.Region)
}

// live says how far Concord may go for an application now.
type live struct {
	rules *Rules
	at    int // the bundle in force
	s     *State
	wave  string
	mode  Mode // never ModePaused
	pause bool
}

func (r *Rules) live(now Micros, s *State) live {
	at := r.index(now)
	l := live{rules: r, at: at, s: s, pause: r.Bundles[at].paused(s)}
	w, mode := r.wave(at, s)
	if l.mode = mode; w != nil {
		l.wave = w.Name
	}
	return l
}

// shown is the mode a decision names.
func (l *live) shown() Mode {
	if l.pause {
		return ModePaused
	}
	return l.mode
}

// acts reports whether anything is asked of an ATS at all.
func (l *live) acts() bool { return l.mode == ModeWrite || l.mode == ModeShadow }

// reaches reports whether what an event at that time caused may be asked of the ATS: of a time when there was none, a
// person has to ask for the backlog, as in a wave that did not go as far (rule C7).
func (l *live) reaches(caused Micros) bool { return l.kept(caused) && l.went(caused) }

// went reports whether the application was in a wave that goes as far from a time on, or a person has asked for the
// backlog since (rule C7). A pause in between does not count, so that resuming catches up.
func (l *live) went(caused Micros) bool {
	caused = max(caused, l.s.ResyncedAt)
	for i := l.at; ; i-- {
		if l.rules.Bundles[i].EffectiveAt <= caused {
			return true
		}
		if i == 0 {
			return false
		}
		if _, mode := l.rules.wave(i-1, l.s); mode > l.mode {
			return false
		}
	}
}
