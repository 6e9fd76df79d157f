package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// elements checks each element by itself.
func (c *checker) elements() {
	if len(c.p.Dictionary.Elements) == 0 {
		c.fault(DictionaryFile, "elements", "", "is empty", "describe at least one element")
	}
	for _, name := range keys(c.p.Dictionary.Elements) {
		e, path := c.p.Dictionary.Elements[name], "elements."+name
		c.id(DictionaryFile, path, name)
		c.owner(DictionaryFile, path+".owner", e.Owner)
		if (e.Type == "enum") != (len(e.Values) > 0) && c.holds(DictionaryFile, path+".type", path+".values") {
			c.fault(DictionaryFile, path, "", "has a type and values that do not fit", "give an enum its values, and no other type any")
		}
		c.twice(DictionaryFile, path+".values", e.Values)
		c.conflict(DictionaryFile, path+".conflict", e.Conflict, e.Type)
		c.tolerance(DictionaryFile, path+".tolerance", e.Tolerance, e.Type)
		c.span(DictionaryFile, path+".retention", e.Retention, "")
		if e.Retention.Business {
			c.fault(DictionaryFile, path+".retention", e.Retention.String(), "is business time", "give a plain time such as 730d")
		}
		if e.Scale != nil {
			c.scale(DictionaryFile, path+".scale", e.Scale, e.Type)
		}
		if e.Mandatory != nil {
			c.mandatory(DictionaryFile, path+".mandatory", e.Mandatory, e.WriteBack)
		}
	}
}

func (c *checker) conflict(file, path string, rule Conflict, t ElementType) {
	if rule == ConflictUnion && t != "list" && t != "" {
		c.fault(file, path, string(rule), "joins lists, and this is "+string(t), "choose another rule, or type: list")
	}
}

func (c *checker) tolerance(file, path string, tolerance float64, t ElementType) {
	switch {
	case tolerance < 0:
		c.fault(file, path, number(tolerance), "is below zero", "give a number from 0 up")
	case tolerance > 0 && t != "number" && t != "":
		c.fault(file, path, number(tolerance), "is for numbers, and this is "+string(t), "remove it")
	}
}

func (c *checker) scale(file, path string, s *Scale, t ElementType) {
	if t != "number" && t != "" {
		c.fault(file, path, "", "is for numbers, and this is "+string(t), "remove it")
	}
	if s.Min >= s.Max && c.holds(file, path+".min", path+".max") {
		c.fault(file, path+".max", number(s.Max), "is not above min = "+number(s.Min), "give the highest value of the scale")
	}
}

func (c *checker) mandatory(file, path string, m *Mandatory, writeBack bool) {
	if !writeBack && c.holds(DictionaryFile, "elements.*.write_back") && c.holds(file, "elements.*.write_back") {
		c.fault(file, path, "", "must reach the ATS, and is not written back", "add write_back: true, or remove it")
	}
	c.span(file, path+".within", m.Within, "")
	c.twice(file, path+".types", m.Types)
	c.twice(file, path+".regions", m.Regions)
	for i, region := range m.Regions {
		c.region(file, fmt.Sprintf("%s.regions[%d]", path, i), region)
	}
}

// goldenSources checks that each element has exactly one golden source in each region, that the inventory says so too,
// and that nobody writes to an ATS what the ATS itself masters.
func (c *checker) goldenSources() {
	b := &c.p.Bundle
	named := map[[2]string]bool{} // system and element
	for _, name := range keys(c.p.Dictionary.Elements) {
		e, path := c.p.Dictionary.Elements[name], "elements."+name+".golden"
		for _, region := range keys(e.Golden) {
			at := path
			if c.p.docs[DictionaryFile].Has(path + "." + region) {
				at += "." + region
			}
			if region != DefaultRegion {
				c.region(DictionaryFile, at, region)
			}
			named[[2]string{e.Golden[region], name}] = true
			c.golden(DictionaryFile, at, name, e.Golden[region], e.WriteBack)
		}
		for _, region := range keys(b.Regions) {
			if e.Golden.in(region) == "" && c.holds(DictionaryFile, path) {
				c.fault(DictionaryFile, path, "", "names no golden source for region "+region, "add %s or %s", region, DefaultRegion)
			}
		}
	}
	for _, m := range c.p.addenda() {
		for _, name := range keys(m.Elements) {
			if change := m.Elements[name]; change.Golden != "" {
				named[[2]string{change.Golden, name}] = true
			}
		}
	}
	for _, id := range keys(b.Systems) {
		for i, name := range b.Systems[id].Masters {
			if c.p.Dictionary.Elements[name] != nil && !named[[2]string{id, name}] && c.holds(DictionaryFile, "elements."+name+".golden") && c.holdsMappings("elements") {
				c.fault(BundleFile, fmt.Sprintf("systems.%s.masters[%d]", id, i), name, "has another golden source in "+DictionaryFile, "remove it here, or name %s there: one system alone masters an element in a region", id)
			}
		}
	}
}

// golden checks one golden source of an element.
func (c *checker) golden(file, path, element, system string, writeBack bool) {
	if !c.known(file, path, system, names{"system of the inventory", keys(c.p.Bundle.Systems), c.holdsKeys(BundleFile, "systems")}) {
		return
	}
	s := c.p.Bundle.Systems[system]
	at := "systems." + system
	if !c.holds(BundleFile, at+".kind") {
		return
	}
	if s.Kind == KindNone { // whoever says it, where there is no ATS
		return
	}
	if !slices.Contains(s.Masters, element) && c.holds(BundleFile, at+".masters") {
		c.fault(file, path, system, "does not master "+element+" by the inventory", "add it to systems.%s.masters in %s", system, BundleFile)
	}
	if s.Kind == KindATS && writeBack {
		c.fault(file, path, system, "is the ATS, which would be told its own word", "remove write_back, or name another golden source")
	}
	if len(s.Instances) == 0 && c.holds(BundleFile, at+".instances") {
		c.fault(file, path, system, "sends no events, so its word never arrives", "name a system with instances")
	}
	c.alone(file, path, system)
}

// alone checks that a golden source, or a team without an ATS, can be told from the other senders by its names: none of
// them is also a name of another system. What a vendor called * covers is every sender without a name of its own that is no
// ATS.
func (c *checker) alone(file, path, system string) {
	s := c.p.Bundle.Systems[system]
	anyone := slices.Contains(s.Instances, "*")
	for _, n := range c.p.Bundle.patterns() {
		other := c.p.Bundle.Systems[n.system]
		if n.system == system || other.Kind == "" || other.Kind == KindOperators || anyone && s.Kind == KindVendor && (other.Kind == KindATS || other.Kind == KindNone) {
			continue
		}
		for _, name := range s.Instances {
			if prefix, open := strings.CutSuffix(name, "*"); open && strings.HasPrefix(n.prefix, prefix) {
				c.fault(file, path, system, fmt.Sprintf("is called %s, which covers %s of %s", name, n.text(), n.system), "give "+system+" names of its own in %s", BundleFile)
			}
		}
	}
}

// cutOffs checks what scores ask for.
func (c *checker) cutOffs() {
	selectors := make([]Selector, len(c.p.Dictionary.CutOffs))
	for i, cut := range c.p.Dictionary.CutOffs {
		path := fmt.Sprintf("cut_offs[%d]", i)
		selectors[i] = cut.For
		c.selector(DictionaryFile, path+".for", cut.For, "")
		e := c.p.Dictionary.Elements[cut.Element]
		if !c.known(DictionaryFile, path+".element", cut.Element, names{"element", keys(c.p.Dictionary.Elements), c.holdsKeys(DictionaryFile, "elements")}) || !c.holds(DictionaryFile, "elements."+cut.Element+".scale") {
			continue
		}
		if e.Scale == nil {
			c.fault(DictionaryFile, path+".element", cut.Element, "has no scale: its numbers cannot be compared", "declare elements.%s.scale", cut.Element)
			continue
		}
		if e.Scale.Code == ScaleAny {
			c.fault(DictionaryFile, path+".element", cut.Element, "takes scores of any scale, and a cut-off would compare them", "name the one code to compare in elements.%s.scale.code", cut.Element)
		}
		for _, v := range []struct {
			key string
			at  float64
		}{{".advance", cut.Advance}, {".reject", cut.Reject}} {
			if v.at < e.Scale.Min || v.at > e.Scale.Max {
				c.fault(DictionaryFile, path+v.key, number(v.at), fmt.Sprintf("is outside the scale %s to %s", number(e.Scale.Min), number(e.Scale.Max)), "give a value of the scale")
			}
		}
		if cut.Reject > cut.Advance && c.holds(DictionaryFile, path+".advance") {
			c.fault(DictionaryFile, path+".reject", number(cut.Reject), "is above advance = "+number(cut.Advance), "one score cannot ask for both")
		}
	}
	if c.holds(DictionaryFile, "cut_offs.*.for") {
		c.nested(DictionaryFile, "cut_offs[%d].for", selectors)
	}
}

// number is a number as people write it.
func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
