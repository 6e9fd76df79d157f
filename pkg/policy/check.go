package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/nearest"
)

// Check proves what a bundle must hold and returns everything that is wrong. The warnings are what time alone has made
// doubtful by the moment given; the zero moment has none.
func (p *Policy) Check(at time.Time) (faults, warnings Faults) {
	return p.check(at, nil)
}

// check is Check, of what could be read. What is wrong of form is known, and not told again.
func (p *Policy) check(at time.Time, form Faults) (faults, warnings Faults) {
	c := &checker{p: p, form: form}
	c.inventory()
	c.states()
	c.transitions()
	c.reopen()
	c.ways()
	c.jumps()
	c.orders()
	c.elements()
	c.goldenSources()
	c.cutOffs()
	c.mappings()
	c.waves()
	if !at.IsZero() {
		warnings = p.warnings(at)
	}
	return c.faults.Sorted(), warnings.Sorted()
}

// checker collects faults.
type checker struct {
	p      *Policy
	form   Faults
	faults Faults
}

// fault tells of what is wrong at a path, unless it could not be read.
func (c *checker) fault(file, path, value, problem, fix string, args ...any) {
	if c.p.docs[file].Lacks(path) {
		return
	}
	c.faults = append(c.faults, c.p.fault(file, path, value, problem, fix, args...))
}

// holds reports whether all that the paths of a file lead to could be read; see [strict.Document.Holds]. What depends on
// something that could not is left out: to tell it would be noise.
func (c *checker) holds(file string, paths ...string) bool {
	return !slices.ContainsFunc(paths, func(path string) bool { return !c.p.docs[file].Holds(path) })
}

// holdsKeys reports whether the names of a mapping could all be read, whatever is in it.
func (c *checker) holdsKeys(file, path string) bool { return !c.p.docs[file].Lacks(path) }

// holdsMappings reports whether every mapping could be read, as far as the paths lead.
func (c *checker) holdsMappings(paths ...string) bool {
	for _, f := range c.form {
		if strings.HasPrefix(f.File, mappingsDir) && (c.p.docs[f.File] == nil || !c.holds(f.File, paths...)) {
			return false
		}
	}
	return true
}

// names are those that a value may be, and whether all of them could be read.
type names struct {
	what  string
	list  []string
	whole bool
}

func (c *checker) stateNames() names {
	return names{"state of " + MachineFile, c.p.Machine.stateIDs(), c.holds(MachineFile, "states.*.id")}
}

func (c *checker) elementNames() names {
	return names{"element of " + DictionaryFile, keys(c.p.Dictionary.Elements), c.holdsKeys(DictionaryFile, "elements")}
}

func (c *checker) systemNames(what string, kind SystemKind) names {
	return names{what, c.p.Bundle.systemsOf(kind), c.holds(BundleFile, "systems.*.kind")}
}

// nativeNames are what an ATS has of a kind: stages, fields or rejection_reasons.
func nativeNames[V any](c *checker, what, system, kind string, of map[string]V) names {
	return names{what + " of " + system + " in " + BundleFile, keys(of), c.holdsKeys(BundleFile, "systems."+system+".native."+kind)}
}

// known tells of a value that is not one of the names there are.
func (c *checker) known(file, path, value string, n names) bool {
	if slices.Contains(n.list, value) {
		return true
	}
	if value == "" || !n.whole {
		return false
	}
	what, names := n.what, n.list
	c.fault(file, path, value, "is no "+what, "%s", "name one of "+strings.Join(names, ", ")+nearest.Suggest(value, names))
	return false
}

// twice tells of the values that stand more than once in a list.
func (c *checker) twice(file, path string, values []string) {
	for i, v := range values {
		if slices.Contains(values[:i], v) {
			c.fault(file, fmt.Sprintf("%s[%d]", path, i), v, "is given twice", "keep one")
		}
	}
}

func (c *checker) owner(file, path, value string) {
	c.known(file, path, value, names{"owner of " + BundleFile, keys(c.p.Bundle.Owners), c.holdsKeys(BundleFile, "owners")})
}

func (c *checker) region(file, path, value string) {
	c.known(file, path, value, names{"region of " + BundleFile, keys(c.p.Bundle.Regions), c.holdsKeys(BundleFile, "regions")})
}

// selector checks what a selector names; system is the ATS its instance must belong to, "" for any.
func (c *checker) selector(file, path string, s Selector, system string) {
	if s.Region != "" {
		c.region(file, path+".region", s.Region)
	}
	if s.Instance == "" || !c.holds(BundleFile, "systems.*.kind", "systems.*.instances") {
		return
	}
	id, found := c.p.Bundle.system(s.Instance)
	switch {
	case found == nil || found.Kind != KindATS && (found.Kind != KindNone || system != ""):
		c.fault(file, path+".instance", s.Instance, "is no ATS instance of the inventory", "name one, or add it to `instances` in "+BundleFile)
	case system != "" && id != system:
		c.fault(file, path+".instance", s.Instance, "is an instance of "+id, "name one of %s", system)
	}
}

// span checks that a business time has a calendar to be counted by, in every region it may be used in.
func (c *checker) span(file, path string, s Span, region string) {
	if !s.Business {
		return
	}
	for _, id := range keys(c.p.Bundle.Regions) {
		if (region == "" || region == id) && c.holds(BundleFile, "regions."+id+".calendar") && c.p.Bundle.Regions[id].Calendar == "" {
			c.fault(file, path, s.String(), "is business time, and region "+id+" has no calendar", "give regions.%s.calendar in %s, or a plain time", id, BundleFile)
		}
	}
}

// warn checks the time before a limit at which its owner is told.
func (c *checker) warn(file, path string, before, sla Span) {
	switch {
	case before.Of == 0:
	case sla.Of == 0:
		c.fault(file, path, before.String(), "warns of a limit that is not there", "give sla, or remove it")
	case before.Business != sla.Business:
		c.fault(file, path, before.String(), "is not counted like sla = "+sla.String(), "give both as business time, or neither")
	case before.Of >= sla.Of:
		c.fault(file, path, before.String(), "is no shorter than sla = "+sla.String(), "give a shorter one")
	}
}

// systemsOf returns the ids of the systems of a kind.
func (b *Bundle) systemsOf(kind SystemKind) (out []string) {
	for _, id := range keys(b.Systems) {
		if b.Systems[id].Kind == kind {
			out = append(out, id)
		}
	}
	return out
}

// warnings are what time alone changes.
func (p *Policy) warnings(at time.Time) (out Faults) {
	if p.Bundle.ReviewBy.past(at) {
		out = append(out, p.fault(BundleFile, "review_by", p.Bundle.ReviewBy.String(), "has passed", "look at the bundle again, and give a later day"))
	}
	for _, m := range p.addenda() {
		if m.Until.past(at) {
			out = append(out, p.fault(m.file, "until", m.Until.String(), "has passed: the addendum is still in force", "remove it, or say why it is still needed and until when"))
		}
	}
	for _, id := range keys(p.Bundle.Calendars) {
		year := fmt.Sprintf("%d-", at.Year())
		days := p.Bundle.Calendars[id].Holidays
		if len(days) > 0 && !slices.ContainsFunc(keys(days), func(day string) bool { return strings.HasPrefix(day, year) }) {
			out = append(out, p.fault(BundleFile, "calendars."+id+".holidays", "", "has no day in "+year[:4], "add that year's holidays"))
		}
	}
	return out
}
