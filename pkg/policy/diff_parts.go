package policy

import (
	"fmt"
	"reflect"
	"strings"
)

func anyMap[V any](m map[string]V) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

func (d *differ) bundle(old, new *Bundle) {
	a, b := *old, *new
	a.Systems, b.Systems, a.Regions, b.Regions, a.Calendars, b.Calendars, a.Migrations, b.Migrations = nil, nil, nil, nil, nil, nil, nil, nil
	d.fields("bundle", "", reflect.ValueOf(a), reflect.ValueOf(b))
	d.each(anyMap(old.Regions), anyMap(new.Regions), "region ")
	d.each(anyMap(old.Calendars), anyMap(new.Calendars), "calendar ")
	d.each(anyMap(old.Systems), anyMap(new.Systems), "system ")
	migrations := func(list []Migration) (out []named) {
		for _, m := range list {
			out = append(out, named{m.From, m})
		}
		return out
	}
	d.list("migration of", migrations(old.Migrations), migrations(new.Migrations))
}

// edge is one transition between two states, without them.
type edgeRule struct {
	Name      string  `key:"name"`
	Owner     string  `key:"owner"`
	SLA       Span    `key:"sla"`
	Authority []Actor `key:"authority"`
	Verdict   Verdict `key:"verdict"`
}

func (d *differ) machine(old, new *Machine) {
	d.value("machine", "initial state", old.Initial, new.Initial)
	states := func(m *Machine) map[string]any {
		out := map[string]any{}
		for i := range m.States {
			out[m.States[i].ID] = m.States[i]
		}
		return out
	}
	d.each(states(old), states(new), "state ")
	edges := func(m *Machine) map[string]any {
		out := map[string]any{}
		for i := range m.Transitions {
			t := &m.Transitions[i]
			for _, from := range t.From {
				out[from+" → "+t.To] = edgeRule{t.Name, t.Owner, t.SLA, t.Authority, t.Verdict}
			}
		}
		return out
	}
	d.each(edges(old), edges(new), "")
	d.fields("reopen", "", reflect.ValueOf(old.Reopen), reflect.ValueOf(new.Reopen))
	d.value("a forbidden jump", "", string(old.Jumps.Forbidden), string(new.Jumps.Forbidden))
	d.value("a move without authority", "", string(old.Jumps.Unauthorised), string(new.Jumps.Unauthorised))
	jumps := func(m *Machine) map[string]any {
		out := map[string]any{}
		for _, r := range m.Jumps.Rules {
			out[r.From+" → "+or(r.To, "any")] = r
		}
		return out
	}
	d.each(jumps(old), jumps(new), "jump ")
	orders := func(m *Machine) (Orders, []named) {
		if m.Orders == nil {
			return Orders{}, nil
		}
		head := *m.Orders
		head.Tests = nil
		var tests []named
		for _, t := range m.Orders.Tests {
			tests = append(tests, named{"for " + t.For.String(), t})
		}
		return head, tests
	}
	a, testsA := orders(old)
	b, testsB := orders(new)
	d.fields("orders", "", reflect.ValueOf(a), reflect.ValueOf(b))
	d.list("test", testsA, testsB)
}

func cutOffs(p *Policy) (out []named) {
	for _, c := range p.Dictionary.CutOffs {
		out = append(out, named{fmt.Sprintf("of %s for %s", c.Element, c.For), c})
	}
	return out
}

func waves(p *Policy) (out []named) {
	for _, w := range p.Waves.Waves {
		out = append(out, named{w.Name, w})
	}
	return out
}

func pauses(p *Policy) (out []named) {
	for _, w := range p.Waves.Pause {
		out = append(out, named{"of " + w.Region, w})
	}
	return out
}

// mappings are the mappings by what they are for, not by their file.
func mappings(p *Policy) map[string]any {
	out := map[string]any{}
	for _, file := range keys(p.Mappings) {
		m := p.Mappings[file]
		name := "mapping of " + m.System
		if m.addendum() {
			name = "addendum to " + m.System + " for " + m.For.String()
		}
		out[name] = m
	}
	return out
}

// addendumChanges says what an addendum changes, against the base.
func (p *Policy) addendumChanges(m *Mapping) []Change {
	d := &differ{part: "mappings"}
	base := p.base(m.System)
	if base == nil {
		return nil
	}
	native := func(what string, was, now map[string]string) {
		for _, k := range keys(now) {
			d.value(what+" "+k, "", or(was[k], "none"), now[k])
		}
	}
	native("native stage", base.Stages, m.Stages)
	native("write", base.Write, m.Write)
	native("field of", base.Fields, m.Fields)
	if m.RejectWith != "" {
		d.value("reject with", "", base.RejectWith, m.RejectWith)
	}
	if m.HireWith != "" {
		d.value("hire with", "", base.HireWith, m.HireWith)
	}
	if m.WithdrawReasons != nil {
		d.value("withdraw reasons", "", strings.Join(base.WithdrawReasons, ", "), strings.Join(m.WithdrawReasons, ", "))
	}
	v := newVariant(m.System, m)
	for _, id := range keys(m.States) {
		if s := p.Machine.state(id); s != nil {
			d.fields("state "+id, "", reflect.ValueOf(*s), reflect.ValueOf(v.state(*s)))
		}
	}
	for _, name := range keys(m.Elements) {
		if e := p.Dictionary.Elements[name]; e != nil {
			d.fields("element "+name, "", reflect.ValueOf(*e), reflect.ValueOf(v.element(name, *e)))
		}
	}
	return d.changes
}
