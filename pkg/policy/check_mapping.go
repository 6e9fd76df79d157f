package policy

import (
	"fmt"
	"slices"
	"strings"
)

// mappings checks the files of mappings/, and what each addendum makes of its base.
func (c *checker) mappings() {
	p := c.p
	ats := p.Bundle.systemsOf(KindATS)
	bases, double := map[string]string{}, map[string]bool{}
	for _, file := range keys(p.Mappings) {
		m := p.Mappings[file]
		if known := c.systemNames("ats of the inventory", KindATS); m.System == "" || !c.known(file, "system", m.System, known) && known.whole {
			continue
		}
		if m.addendum() {
			c.addendum(m)
			continue
		}
		if other, taken := bases[m.System]; taken {
			c.fault(file, "system", m.System, "has its base in "+other+": every native stage would be mapped twice", "keep one, or give this one `for` to make it an addendum")
			double[m.System] = true
		}
		bases[m.System] = file
		if m.Requisition != nil {
			c.requisition(file, m.Requisition)
		}
		for _, extra := range []struct {
			key   string
			given bool
		}{
			{"why", m.Why != ""}, {"by", m.By != ""}, {"until", !m.Until.IsZero()}, {"states", m.States != nil}, {"elements", m.Elements != nil},
		} {
			if extra.given {
				c.fault(file, extra.key, "", "belongs to an addendum, and this is the base", "remove it, or give `for`")
			}
		}
	}
	for _, id := range ats {
		if bases[id] == "" && c.holdsMappings("system", "for") {
			c.fault(BundleFile, "systems."+id, "", "is an ats without a base mapping", "write %s/%s.yaml", mappingsDir, id)
		}
		var files []*Mapping
		for _, m := range p.addenda() {
			if m.System == id && c.holds(m.file, "for") {
				files = append(files, m)
			}
		}
		c.nestedAddenda(files)
	}
	for _, v := range p.variants() {
		if native := p.Bundle.Systems[v.system].Native; native != nil && !double[v.system] && c.holdsKeys(BundleFile, "systems."+v.system+".native") {
			c.stages(v, native)
			c.targets(v, native)
			c.fields(v, native)
			c.reasons(v, native)
		}
	}
	for _, id := range ats {
		if !c.faulty(id) {
			c.translation(id)
		}
	}
}

// faulty reports whether something is wrong already in the files that say how an ATS is spoken to.
func (c *checker) faulty(ats string) bool {
	return slices.ContainsFunc(append(slices.Clone(c.form), c.faults...), func(f Fault) bool {
		m := c.p.Mappings[f.File]
		return f.File == BundleFile || f.File == DictionaryFile || strings.HasPrefix(f.File, mappingsDir) && (m == nil || m.System == ats || m.System == "")
	})
}

// translation checks that a client can be told what the ATS calls things.
func (c *checker) translation(ats string) {
	for i, name := range c.p.Bundle.Systems[ats].Instances {
		if _, err := c.p.Translation(strings.Replace(name, "*", "1", 1)); err != nil {
			c.fault(BundleFile, fmt.Sprintf("systems.%s.instances[%d]", ats, i), name, "cannot be spoken to: "+err.Error(), "mend that")
		}
	}
}

// nestedAddenda refuses two addenda that match an application equally.
func (c *checker) nestedAddenda(files []*Mapping) {
	for i, m := range files {
		for _, other := range files[:i] {
			if m.For.meets(*other.For) && m.For.within(*other.For) == other.For.within(*m.For) {
				c.fault(m.file, "for", m.For.String(), fmt.Sprintf("matches as well as %s (%s): nothing says which counts", other.file, other.For), "make one narrower than the other, or merge them")
			}
		}
	}
}

// requisition checks that what a job calls its region is one.
func (c *checker) requisition(file string, r *RequisitionNames) {
	var codes []string
	for _, id := range keys(c.p.Bundle.Regions) {
		codes = append(codes, c.p.Bundle.Regions[id].Codes...)
	}
	for _, name := range keys(r.Regions) {
		c.known(file, "requisition.regions."+name, r.Regions[name], names{"region code of " + BundleFile, codes, c.holds(BundleFile, "regions.*.codes")})
	}
}

func (c *checker) addendum(m *Mapping) {
	if m.Requisition != nil {
		c.fault(m.file, "requisition", "", "belongs to the base: addenda are chosen by it", "move it to the base of %s", m.System)
	}
	if *m.For == (Selector{}) {
		c.fault(m.file, "for", "", "selects everything", "name a region, a type or an instance, or change the base instead")
	}
	c.selector(m.file, "for", *m.For, m.System)
	if m.Why == "" {
		c.fault(m.file, "why", "", "is missing", "say why the addendum is needed")
	}
	if m.By == "" {
		c.fault(m.file, "by", "", "is missing", "say who asked for it")
	}
	if m.Until.IsZero() {
		c.fault(m.file, "until", "", "is missing", "give the last day it is needed")
	}
	for _, id := range keys(m.States) {
		path := "states." + id
		s := c.p.Machine.state(id)
		if !c.known(m.file, path, id, c.stateNames()) {
			continue
		}
		change := m.States[id]
		if change.Owner != "" {
			c.owner(m.file, path+".owner", change.Owner)
		}
		c.span(m.file, path+".sla", change.SLA, m.For.Region)
		if !c.holds(m.file, path) || !c.holds(MachineFile, "states.*.sla", "states.*.warn_before") {
			continue
		}
		c.warn(m.file, path+".warn_before", or(change.WarnBefore, s.WarnBefore), or(change.SLA, s.SLA))
	}
	for _, name := range keys(m.Elements) {
		path := "elements." + name
		if c.p.Dictionary.Elements[name] == nil {
			c.known(m.file, path, name, c.elementNames())
			continue
		}
		c.change(m, path, name)
	}
}

// change checks what an addendum makes of an element.
func (c *checker) change(m *Mapping, path, name string) {
	was, change := c.p.Dictionary.Elements[name], m.Elements[name]
	now := newVariant(m.System, m).element(name, *was)
	c.conflict(m.file, path+".conflict", now.Conflict, now.Type)
	c.tolerance(m.file, path+".tolerance", now.Tolerance, now.Type)
	if s := change.Scale; s != nil {
		c.scale(m.file, path+".scale", s, now.Type)
		if !c.holds(m.file, path+".scale") || !c.holds(DictionaryFile, "elements."+name+".scale") {
			return
		}
		if was.Scale == nil || was.Scale.Code != s.Code || was.Scale.Min != s.Min || was.Scale.Max != s.Max {
			c.fault(m.file, path+".scale", "", "is another scale than the dictionary's: scores of two regions would not compare", "keep code, min and max, and change valid_for alone")
		}
	}
	if now.Mandatory != nil && (change.Mandatory != nil || change.WriteBack != nil) {
		c.mandatory(m.file, path+".mandatory", now.Mandatory, now.WriteBack)
	}
	if change.Golden != "" {
		c.golden(m.file, path+".golden", name, change.Golden, now.WriteBack)
	} else if change.WriteBack != nil {
		for _, region := range keys(c.p.Bundle.Regions) {
			if m.For.Region == "" || m.For.Region == region {
				c.golden(m.file, path+".write_back", name, now.Golden.in(region), now.WriteBack)
			}
		}
	}
}

// holdsAll reports whether a path could be read in each file of a variant.
func (c *checker) holdsAll(v *variant, path string) bool {
	return !slices.ContainsFunc(v.files, func(m *Mapping) bool { return !c.holds(m.file, path) })
}

// stages checks that each native stage of the inventory is mapped, once, to an open state.
func (c *checker) stages(v *variant, native *Native) {
	for _, id := range keys(native.Stages) {
		if v.stages[id] == "" && c.holdsAll(v, "stages."+id) {
			c.fault(v.files[0].file, "stages", "", fmt.Sprintf("has no state for native stage %s (%s)", id, native.Stages[id]), "map it, or remove it from systems.%s.native.stages in %s", v.system, BundleFile)
		}
	}
	last := v.files[len(v.files)-1]
	for _, id := range keys(last.Stages) {
		path := "stages." + id
		c.known(last.file, path, id, nativeNames(c, "native stage", v.system, "stages", native.Stages))
		c.open(last.file, path, last.Stages[id])
	}
}

// open checks that a mapping names an open state: a closed one is a status, not a stage.
func (c *checker) open(file, path, state string) bool {
	if !c.known(file, path, state, c.stateNames()) || !c.holds(MachineFile, "states.*.close") {
		return false
	}
	if c.p.Machine.state(state).Close != "" {
		c.fault(file, path, state, "is closed, which an ATS shows by its status and not by a stage", "name an open state")
		return false
	}
	return true
}

// targets checks that every state Concord may have to write has a native stage that means it, and that the ATS takes
// such writes.
func (c *checker) targets(v *variant, native *Native) {
	file := v.files[0].file
	writes := fmt.Sprintf("systems.%s.native.writes", v.system)
	for i := range c.p.Machine.States {
		s := &c.p.Machine.States[i]
		if s.Close == "" && v.write[s.ID] == "" && s.ID != "" && c.holdsAll(v, "write."+s.ID) && c.holds(MachineFile, fmt.Sprintf("states[%d].close", i)) {
			c.fault(file, "write", "", "has no native stage for state "+s.ID, "name the one to write")
		}
	}
	for _, state := range keys(v.write) {
		says := func(m *Mapping) bool { _, ok := m.Write[state]; return ok }
		at, path, id := v.place(says), "write."+state, v.write[state]
		if !c.open(at, path, state) || !c.known(at, path, id, nativeNames(c, "native stage", v.system, "stages", native.Stages)) {
			continue
		}
		if back := v.stages[id]; back != state && c.holdsAll(v, "stages."+id) {
			c.fault(at, path, id, "is read back as "+or(back, "nothing")+": the write would never be confirmed", "name a native stage that is mapped to %s", state)
		}
	}
	takes := c.holds(BundleFile, writes)
	if len(v.write) > 0 && !slices.Contains(native.Writes, WriteStage) && takes {
		c.fault(BundleFile, writes, "", "has no stage, and "+file+" writes stages", "add stage, or the policy cannot be carried out")
	}
	for i := range c.p.Machine.Transitions {
		t := &c.p.Machine.Transitions[i]
		to := c.p.Machine.state(t.To)
		if t.Verdict == "" || to == nil || to.Close == "" {
			continue
		}
		if status := Write(writeStatus + string(to.Close)); takes && !slices.Contains(native.Writes, status) {
			c.fault(BundleFile, writes, "", fmt.Sprintf("has no %s, and %q writes it", status, t.Name), "add it, or the policy cannot be carried out")
		}
	}
}

// fields checks that every element to be written has a field of its own that can hold it.
func (c *checker) fields(v *variant, native *Native) {
	taken := map[string]string{}
	for _, name := range keys(v.fields) {
		says := func(m *Mapping) bool { _, ok := m.Fields[name]; return ok }
		at, path, key := v.place(says), "fields."+name, v.fields[name]
		if c.p.Dictionary.Elements[name] == nil {
			c.known(at, path, name, c.elementNames())
		}
		c.known(at, path, key, nativeNames(c, "native field", v.system, "fields", native.Fields))
		if other, is := taken[key]; is && key != "" {
			c.fault(at, path, key, "holds "+other+" already", "give each element a field of its own")
		}
		taken[key] = name
	}
	for _, name := range keys(c.p.Dictionary.Elements) {
		e := v.element(name, *c.p.Dictionary.Elements[name])
		if !e.WriteBack || !c.holds(DictionaryFile, "elements."+name+".type") || !c.holdsAll(v, "fields."+name) {
			continue
		}
		says := func(m *Mapping) bool {
			_, field := m.Fields[name]
			return field || m.Elements[name] != nil && m.Elements[name].WriteBack != nil
		}
		at, path := v.place(says), "fields."+name
		field := native.Fields[v.fields[name]]
		switch {
		case v.fields[name] == "":
			c.fault(at, "fields", "", "has no field for "+name+", which is written back", "map it, or remove write_back")
		case field == nil: // told above
		case v.selector.Region+v.selector.Type != "" && v.fields[name] != c.p.variantOf(v.system, Selector{Instance: v.selector.Instance}).fields[name]:
			c.fault(at, path, v.fields[name], "is another field than in the base, and "+name+" is written back: a write knows neither region nor type", "map it in the base, or for an instance")
		case !c.holds(BundleFile, "systems."+v.system+".native.fields."+v.fields[name]):
		case !field.Writable:
			c.fault(at, path, v.fields[name], "cannot be written on "+v.system, "name a field with writable: true")
		case !field.Type.holds(e.Type):
			c.fault(at, path, v.fields[name], fmt.Sprintf("is of type %s, and %s is %s", field.Type, name, e.Type), "name a field that can hold it")
		}
		if !slices.Contains(native.Writes, WriteElements) && c.holds(BundleFile, fmt.Sprintf("systems.%s.native.writes", v.system)) {
			c.fault(BundleFile, fmt.Sprintf("systems.%s.native.writes", v.system), "", "has no elements, and "+name+" is written back", "add elements, or the policy cannot be carried out")
		}
	}
}

// reasons checks the rejection reasons.
func (c *checker) reasons(v *variant, native *Native) {
	rejects := slices.ContainsFunc(c.p.Machine.Transitions, func(t Transition) bool { return t.Verdict == "reject" })
	at := v.place(func(m *Mapping) bool { return m.RejectWith != "" })
	all := nativeNames(c, "rejection reason", v.system, "rejection_reasons", native.Reasons)
	switch {
	case v.rejectWith == "" && !c.holdsAll(v, "reject_with"):
	case v.rejectWith == "" && rejects:
		c.fault(at, "reject_with", "", "is missing, and a verdict rejects", "name a native rejection reason")
	case v.rejectWith != "":
		c.known(at, "reject_with", v.rejectWith, all)
	}
	if at := v.place(func(m *Mapping) bool { return m.HireWith != "" }); v.hireWith != "" {
		c.known(at, "hire_with", v.hireWith, all)
		if v.hireWith == v.rejectWith || slices.Contains(v.withdrawReasons, v.hireWith) {
			c.fault(at, "hire_with", v.hireWith, "is a reason to reject or withdraw too: a hire would read as that", "keep one")
		}
	}
	at = v.place(func(m *Mapping) bool { return m.WithdrawReasons != nil })
	c.twice(at, "withdraw_reasons", v.withdrawReasons)
	for i, id := range v.withdrawReasons {
		path := fmt.Sprintf("withdraw_reasons[%d]", i)
		c.known(at, path, id, all)
		if id == v.rejectWith {
			c.fault(at, path, id, "is reject_with too: a rejection would read as a withdrawal", "keep one")
		}
	}
}

// holds reports whether a native field can hold an element's canonical text.
func (f FieldType) holds(t ElementType) bool {
	switch f {
	case "number", "boolean":
		return string(f) == string(t)
	case "json":
		return t == "list"
	}
	return true
}
