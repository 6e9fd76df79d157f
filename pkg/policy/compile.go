package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/hiring"
)

// Compile parses and checks files and turns them into the form [hiring.Decide] uses. Its error is [Faults].
func Compile(files Files) (*hiring.Bundle, error) {
	p, err := Parse(files)
	if err != nil {
		return nil, err
	}
	return p.Compile()
}

// Compile checks a policy and turns it into the form the core uses: the base, and a variant for every kind of application
// that the policy treats otherwise. Its error is [Faults].
func (p *Policy) Compile() (*hiring.Bundle, error) {
	if faults, _ := p.Check(time.Time{}); len(faults) > 0 {
		return nil, faults
	}
	c := &compiler{p, map[string]*hiring.Calendar{}}
	base := c.in(circumstance{})
	base.Variants = c.circumstances(base)
	return base, nil
}

// compiler compiles one policy; what regions share is made once.
type compiler struct {
	*Policy
	calendars map[string]*hiring.Calendar
}

// in returns the bundle as it reads in a circumstance, without variants.
func (p *compiler) in(c circumstance) *hiring.Bundle {
	v := c.variant(p.Policy)
	b := &hiring.Bundle{
		Digest: p.Digest().hiringDigest(), EffectiveAt: hiring.FromTime(p.Bundle.EffectiveFrom.Time),
		Forbidden: jumpOf(p.Machine.Jumps.Forbidden), Unauthorised: jumpOf(p.Machine.Jumps.Unauthorised), Mode: modeOf(p.Waves.Default),
	}
	for i := range p.Machine.States {
		s := v.state(p.Machine.States[i])
		b.Stages = append(b.Stages, hiring.StageRule{
			Stage: hiring.Stage(s.ID), Rank: s.Rank, Closed: s.Close != "", Status: statusOf(s.Close), Owner: s.Owner,
			SLA: s.SLA.Of, Business: s.SLA.Business, WarnBefore: s.WarnBefore.Of,
		})
	}
	for i := range p.Machine.Transitions {
		t := &p.Machine.Transitions[i]
		sla := t.SLA
		if change := v.states[t.To]; change != nil && change.SLA.Of > 0 {
			sla = Span{} // an addendum's limit holds for every way into the state
		}
		for _, from := range t.From {
			b.Edges = append(b.Edges, hiring.Edge{
				Name: t.Name, From: hiring.Stage(from), To: hiring.Stage(t.To), Owner: t.Owner, SLA: sla.Of, Business: sla.Business,
				Authority: authorityOf(t.Authority), Verdict: verdictOf(t.Verdict),
			})
		}
	}
	for _, id := range p.Bundle.systemsOf(KindNone) {
		b.NoATS = append(b.NoATS, p.Bundle.Systems[id].Instances...)
	}
	b.Jumps = p.Machine.jumpRules()
	for i := range p.Waves.Waves {
		w := &p.Waves.Waves[i]
		for _, s := range p.selects(w.For) {
			b.Waves = append(b.Waves, hiring.Wave{Name: w.Name, Selector: s, Percent: w.Percent, Mode: modeOf(w.Mode), NewOnly: w.Running != nil && !*w.Running})
		}
	}
	for _, pause := range p.Waves.Pause {
		b.Paused = append(b.Paused, p.Bundle.Regions[pause.Region].Codes...)
	}
	for _, name := range keys(p.Dictionary.Elements) {
		b.Elements = append(b.Elements, p.elementRule(name, v.element(name, *p.Dictionary.Elements[name]), c))
	}
	b.CutOffs = p.cutOffs()
	b.Orders = p.orders()
	if slices.ContainsFunc(b.Stages, func(s hiring.StageRule) bool { return s.Business }) || slices.ContainsFunc(b.Edges, func(e hiring.Edge) bool { return e.Business }) {
		b.Calendar = p.calendar(c.region)
	}
	for _, m := range p.Bundle.Migrations {
		b.Migrations = append(b.Migrations, hiring.Migration{From: hiring.Stage(m.From), To: hiring.Stage(m.To)})
	}
	b.System = p.systems(v)
	return b
}

// elementRule is an element in a circumstance.
func (p *Policy) elementRule(name string, e Element, c circumstance) hiring.ElementRule {
	r := hiring.ElementRule{
		Name: name, Golden: p.golden(e.Golden.in(c.region), c.ats), Conflict: conflictOf(e.Conflict), Number: e.Type == "number", Tolerance: e.Tolerance, WriteBack: e.WriteBack,
	}
	if e.Scale != nil {
		code := string(e.Scale.Code)
		if e.Scale.Code == ScaleAny {
			code = ""
		}
		r.Scale = &hiring.Scale{Code: code, Min: e.Scale.Min, Max: e.Scale.Max, ValidFor: e.Scale.ValidFor.Of}
	}
	if m := e.Mandatory; m != nil && (len(m.Types) == 0 || slices.Contains(m.Types, c.kind)) && (len(m.Regions) == 0 || slices.Contains(m.Regions, c.region)) {
		r.Mandatory, r.Within = true, m.Within.Of
	}
	return r
}

// golden are the names a golden source has in events. One that is every sender without a name of its own is any that is
// no ATS, and so is an ATS to an application that is in none.
func (p *Policy) golden(system, ats string) []string {
	s, of := p.Bundle.Systems[system], p.Bundle.Systems[ats]
	if s == nil || slices.Contains(s.Instances, "*") || s.Kind == KindNone || s.Kind == KindATS && of != nil && of.Kind == KindNone {
		return nil
	}
	return s.Instances
}

// cutOffs are the cut-offs, the narrowest first.
func (p *Policy) cutOffs() (out []hiring.CutOff) {
	sorted := slices.Clone(p.Dictionary.CutOffs)
	slices.SortStableFunc(sorted, func(a, b CutOff) int { return a.For.width() - b.For.width() })
	for i := range sorted {
		for _, s := range p.selects(sorted[i].For) {
			out = append(out, hiring.CutOff{Selector: s, Element: sorted[i].Element, Advance: sorted[i].Advance, Reject: sorted[i].Reject})
		}
	}
	return out
}

// orders are the screenings to order, the narrowest selector first.
func (p *Policy) orders() (out []hiring.OrderRule) {
	o := p.Machine.Orders
	if o == nil {
		return nil
	}
	sorted := slices.Clone(o.Tests)
	slices.SortStableFunc(sorted, func(a, b Test) int { return a.For.width() - b.For.width() })
	for i := range sorted {
		for _, s := range p.selects(sorted[i].For) {
			out = append(out, hiring.OrderRule{
				Selector: s, Stage: hiring.Stage(o.State), Vendor: p.Bundle.Systems[sorted[i].Vendor].addressee(), Test: sorted[i].Test, Within: o.AnswerWithin.Of,
			})
		}
	}
	return out
}

// addressee is the name under which a system is spoken to: its first that stands for itself alone; "" for none.
func (s *System) addressee() string {
	for _, name := range s.Instances {
		if !strings.HasSuffix(name, "*") {
			return name
		}
	}
	return ""
}

// jumpRules are the exceptions, those of an edge before those of a state.
func (m *Machine) jumpRules() []hiring.JumpRule {
	var edges, states []hiring.JumpRule
	for _, r := range m.Jumps.Rules {
		rule := hiring.JumpRule{
			From: hiring.Stage(r.From), To: hiring.Stage(r.To),
			Forbidden: jumpOf(or(r.Forbidden, m.stateJump(r.From, true))), Unauthorised: jumpOf(or(r.Unauthorised, m.stateJump(r.From, false))),
		}
		if r.To != "" {
			edges = append(edges, rule)
		} else {
			states = append(states, rule)
		}
	}
	return append(edges, states...)
}

// stateJump is what holds for every move out of a state.
func (m *Machine) stateJump(from string, authorised bool) Jump {
	does, _ := m.jump(from, "", authorised)
	return does
}

// systems returns the inventory as the core asks it, by the name an event carries; the ATS of a variant has its mapping.
func (p *Policy) systems(v *variant) func(string) (hiring.System, bool) {
	type entry struct {
		pattern
		hiring.System
	}
	var entries []entry
	for _, pattern := range p.Bundle.patterns() {
		s := p.Bundle.Systems[pattern.system]
		compiled := hiring.System{Margin: s.ClockMargin.Of, ByRevision: s.OrderedBy == "revision"}
		if base := p.base(pattern.system); v.system == pattern.system && s.Kind != KindNone {
			compiled.Mapping = v.mapping()
		} else if base != nil {
			compiled.Mapping = newVariant(pattern.system, base).mapping()
		}
		entries = append(entries, entry{pattern, compiled})
		if s.Kind == KindNone && !pattern.open { // its publishers: pkg/hiring names them INSTANCE/PUBLISHER
			pattern.prefix, pattern.open = pattern.prefix+"/", true
			entries = append(entries, entry{pattern, compiled})
		}
	}
	return func(name string) (hiring.System, bool) {
		for i := range entries {
			if entries[i].matches(name) {
				return entries[i].System, true
			}
		}
		return hiring.System{}, false
	}
}

// mapping is the variant's mapping in the core's form.
func (v *variant) mapping() *hiring.Mapping {
	out := &hiring.Mapping{Stages: map[string]hiring.Stage{}, Native: map[hiring.Stage]string{}, RejectWith: v.rejectWith, Withdrawn: v.withdrawReasons}
	for native, state := range v.stages {
		out.Stages[native] = hiring.Stage(state)
	}
	for state, native := range v.write {
		out.Native[hiring.Stage(state)] = native
	}
	return out
}

func jumpOf(j Jump) hiring.Jump {
	return map[Jump]hiring.Jump{"hold": hiring.JumpHold, "record": hiring.JumpRecord, "revert": hiring.JumpRevert}[j]
}

func conflictOf(c Conflict) hiring.Conflict {
	return called(c, hiring.ConflictGolden, hiring.ConflictLatest, hiring.ConflictHighest, hiring.ConflictUnion, hiring.ConflictHold)
}

func modeOf(m Mode) hiring.Mode {
	return called(m, hiring.ModeOff, hiring.ModeWrite, hiring.ModeShadow, hiring.ModeObserve)
}

func statusOf(s Status) hiring.Status {
	return called(s, hiring.StatusUnspecified, hiring.StatusHired, hiring.StatusRejected, hiring.StatusWithdrawn)
}

func verdictOf(v Verdict) hiring.Verdict {
	return called(v, hiring.VerdictNone, hiring.VerdictAdvance, hiring.VerdictReject)
}

// called returns which of the core's values has a name of the policy's, or other.
func called[V fmt.Stringer, N ~string](name N, other V, values ...V) V {
	for _, v := range values {
		if v.String() == string(name) {
			return v
		}
	}
	return other
}

func authorityOf(actors []Actor) (a hiring.Authority) {
	for _, name := range actors {
		a |= hiring.ParseAuthority(string(name))
	}
	return a
}
