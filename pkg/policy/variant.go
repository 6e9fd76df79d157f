package policy

import (
	"maps"
	"slices"
)

// variant is what holds for the applications of one ATS that a selector picks: the base with every addendum that
// applies, from the widest to the narrowest.
type variant struct {
	system   string
	selector Selector
	files    []*Mapping // the base first

	stages          map[string]string
	write           map[string]string
	fields          map[string]string
	rejectWith      string
	withdrawReasons []string
	hireWith        string
	states          map[string]*StateChange
	elements        map[string]*ElementChange
}

// variants returns the base of each ATS and one variant an addendum.
func (p *Policy) variants() []*variant {
	var out []*variant
	for _, system := range p.Bundle.systemsOf(KindATS) {
		if p.base(system) == nil {
			continue
		}
		out = append(out, p.variantOf(system, Selector{}))
		for _, m := range p.addenda() {
			if m.System == system {
				out = append(out, p.variantOf(system, *m.For))
			}
		}
	}
	return out
}

// variantOf returns what holds for the applications of an ATS that a selector picks. Addenda that could match one
// application are nested (Check refuses others), so that the order is by width.
func (p *Policy) variantOf(system string, s Selector) *variant {
	v := newVariant(system, p.base(system))
	v.selector = s
	var addenda []*Mapping
	for _, m := range p.addenda() {
		if m.System == system && s.within(*m.For) {
			addenda = append(addenda, m)
		}
	}
	slices.SortStableFunc(addenda, func(a, b *Mapping) int { return b.For.width() - a.For.width() })
	for _, m := range addenda {
		v.add(m)
	}
	return v
}

// width says how little a selector asks; the narrowest has 0.
func (s Selector) width() (n int) {
	for _, v := range []string{s.Region, s.Type, s.Instance} {
		if v == "" {
			n++
		}
	}
	return n
}

func newVariant(system string, base *Mapping) *variant {
	v := &variant{
		system: system,
		stages: map[string]string{}, write: map[string]string{}, fields: map[string]string{},
		states: map[string]*StateChange{}, elements: map[string]*ElementChange{},
	}
	if base != nil {
		v.add(base)
	}
	return v
}

// add lays a mapping over what is there, field by field.
func (v *variant) add(m *Mapping) {
	v.files = append(v.files, m)
	maps.Copy(v.stages, m.Stages)
	maps.Copy(v.write, m.Write)
	maps.Copy(v.fields, m.Fields)
	if m.RejectWith != "" {
		v.rejectWith = m.RejectWith
	}
	v.hireWith = or(m.HireWith, v.hireWith)
	if m.WithdrawReasons != nil {
		v.withdrawReasons = m.WithdrawReasons
	}
	for id, change := range m.States {
		s := *change
		if was := v.states[id]; was != nil {
			s = StateChange{Owner: or(s.Owner, was.Owner), SLA: or(s.SLA, was.SLA), WarnBefore: or(s.WarnBefore, was.WarnBefore)}
		}
		v.states[id] = &s
	}
	for name, change := range m.Elements {
		e := *change
		if was := v.elements[name]; was != nil {
			e = ElementChange{
				Golden: or(e.Golden, was.Golden), Conflict: or(e.Conflict, was.Conflict), Tolerance: or(e.Tolerance, was.Tolerance),
				Scale: or(e.Scale, was.Scale), WriteBack: or(e.WriteBack, was.WriteBack), Mandatory: or(e.Mandatory, was.Mandatory),
			}
		}
		v.elements[name] = &e
	}
}

// or returns the first value that is not zero.
func or[T comparable](a, b T) T {
	var zero T
	if a != zero {
		return a
	}
	return b
}

// state returns a state as it is in the variant.
func (v *variant) state(s State) State {
	if change := v.states[s.ID]; change != nil {
		s.Owner, s.SLA, s.WarnBefore = or(change.Owner, s.Owner), or(change.SLA, s.SLA), or(change.WarnBefore, s.WarnBefore)
	}
	return s
}

// element returns an element as it is in the variant.
func (v *variant) element(name string, e Element) Element {
	change := v.elements[name]
	if change == nil {
		return e
	}
	if change.Golden != "" {
		e.Golden = ByRegion{DefaultRegion: change.Golden}
	}
	e.Conflict, e.Scale, e.Mandatory = or(change.Conflict, e.Conflict), or(change.Scale, e.Scale), or(change.Mandatory, e.Mandatory)
	if change.Tolerance != nil {
		e.Tolerance = *change.Tolerance
	}
	if change.WriteBack != nil {
		e.WriteBack = *change.WriteBack
	}
	return e
}

// place returns the file and the path in which the variant says a key, the narrowest first.
func (v *variant) place(says func(*Mapping) bool) string {
	for i := len(v.files) - 1; i > 0; i-- {
		if says(v.files[i]) {
			return v.files[i].file
		}
	}
	return v.files[0].file
}
