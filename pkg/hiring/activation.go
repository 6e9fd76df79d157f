package hiring

import (
	"cmp"
	"slices"
	"strings"
)

// PolicyPrefix begins the key of the record that says which published bundles judge a partition; its number follows. No
// application has it: the system "concord" is no ATS.
const PolicyPrefix = ControlSystem + "/policy/"

const (
	// MaxBundles is how many bundles stay loaded. Of more, the oldest goes, whatever was caused under it.
	MaxBundles = 64
	// MaxScheduled is how many of them may be for a time to come, so that the one in force is never the oldest that goes.
	MaxScheduled = MaxBundles - 1
)

// Migration says where an application goes that stands in a stage the bundle no longer has.
type Migration struct{ From, To Stage }

// Activate returns the rules with b in force from at on, whatever its own time; of two bundles of one time the one
// activated last counts, and the other judges nothing. at must be later than any time judged before, or what was judged would be judged otherwise
// (rule B6). r stays as it was.
func (r *Rules) Activate(b *Bundle, at Micros) *Rules {
	in := *b
	in.EffectiveAt = at
	i := len(r.Bundles)
	for i > 0 && r.Bundles[i-1].EffectiveAt > at {
		i--
	}
	from := i
	if i > 1 && r.Bundles[i-1].EffectiveAt == at { // the first holds for all that was before, too
		from--
	}
	out := &Rules{Bundles: slices.Replace(slices.Clone(r.Bundles), from, i, &in), Bounds: r.Bounds}
	out.Bundles = out.Bundles[max(0, len(out.Bundles)-MaxBundles):]
	return out
}

// On returns the rules as they stand at a time: bundles that come into force later are known, and count for what happens
// then; what has no time of its own (the order inside a system, a margin) goes by the newest in force.
func (r *Rules) On(now Micros) *Rules {
	if n := len(r.Bundles) - 1 - r.index(now); n != r.Scheduled {
		return &Rules{Bundles: r.Bundles, Bounds: r.Bounds, Scheduled: n}
	}
	return r
}

// Changes returns the next time after t at which another bundle comes into force; 0 = none.
func (r *Rules) Changes(t Micros) Micros {
	if i := r.index(t) + 1; i < len(r.Bundles) {
		return r.Bundles[i].EffectiveAt
	}
	return 0
}

// Migrated is where an application stands at a time that nothing has moved from a stage but the bundles that have come into force after
// since.
func (r *Rules) Migrated(stage Stage, since, until Micros) Stage {
	for _, b := range r.Bundles[1:] { // the oldest holds for all that was before it
		if b.EffectiveAt > since && b.EffectiveAt <= until && b.Stage(stage) == nil {
			stage = cmp.Or(b.successor(stage), stage)
		}
	}
	return stage
}

// successor is where an application goes that stands in a stage the bundle does not have; "" for one it names none for.
func (b *Bundle) successor(from Stage) Stage {
	for _, m := range b.Migrations {
		if m.From == from {
			return m.To
		}
	}
	return ""
}

// migrate moves the canonical stage through the bundles that have come into force since it was entered, up to a time:
// where a bundle no longer has the stage, to the one it names for it. The stay goes on: when, by whom and why it began
// stands. A stage nobody has named another for is told, until a bundle has it again.
func (f *folder) migrate(until Micros) {
	h, all := f.h, f.rules.Bundles
	from := max(h.EnteredAt, h.MigratedAt)
	if h.Stage == "" || all[len(all)-1].EffectiveAt <= from {
		return
	}
	for _, b := range all[1:] { // the oldest holds for all that was before it
		if b.EffectiveAt <= from || b.EffectiveAt > until {
			continue
		}
		if b.Stage(h.Stage) != nil {
			f.clear(IncidentUnknownStage, string(h.Stage))
			continue
		}
		h.MigratedAt = b.EffectiveAt
		to := b.successor(h.Stage)
		if to == "" {
			f.suspect(Suspect{Kind: IncidentUnknownStage, Element: string(h.Stage), Subject: h.EnteredEvent, Eff: b.EffectiveAt})
			continue
		}
		f.trail = append(f.trail, Step{From: h.Stage, To: to, Edge: EdgeMigrate, Owner: f.owner(b.For(h.LevelSystem, &h.Requisition), to), EventID: h.EnteredEvent})
		h.Stage = to
		f.clear(IncidentUnknownStage, "")
	}
}

// migrate brings the head to the bundles in force now.
func (t *turn) migrate() {
	h := &t.s.Head
	if all := t.rules.Bundles; all[len(all)-1].EffectiveAt <= h.EnteredAt {
		return
	}
	f := t.folder(h)
	was := h.Stage
	f.migrate(t.now)
	t.trail = append(t.trail, f.trail...)
	if o := t.s.Order; o != nil && h.Stage != was && o.Stage == was { // the same screening goes on
		moved := *o
		moved.Stage = h.Stage
		t.s.Order = &moved
	}
	if t.d.Reason == ReasonObserved && t.migrated() {
		t.d.Reason = ReasonMigrated
	}
}

func (t *turn) migrated() bool {
	return slices.ContainsFunc(t.trail, func(s Step) bool { return s.Edge == EdgeMigrate })
}

// Ours reports whether a key is that of a partition's policy, and not of an application.
func Ours(key string) bool { return strings.HasPrefix(key, PolicyPrefix) }
