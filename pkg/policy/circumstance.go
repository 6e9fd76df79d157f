package policy

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/concord-ats/concord/pkg/hiring"
)

// circumstance is a kind of application: a region, a requisition type, an ATS and one of its instances. Empty: any that
// the policy does not name.
type circumstance struct {
	region, kind string
	ats          string
	instance     string // a pattern of the inventory, or a name some selector has
}

// selector returns the circumstance as a selector.
func (c circumstance) selector() Selector {
	return Selector{Region: c.region, Type: c.kind, Instance: c.instance}
}

// variant is what the addenda make of the base in a circumstance.
func (c circumstance) variant(p *Policy) *variant {
	if c.ats == "" {
		if ats := p.Bundle.systemsOf(KindATS); len(ats) == 1 {
			return p.variantOf(ats[0], c.selector())
		}
		return newVariant("", nil)
	}
	return p.variantOf(c.ats, c.selector())
}

// circumstances returns a variant for every kind of application that reads the bundle otherwise than the first that
// would match it after; the base is the last.
func (p *compiler) circumstances(base *hiring.Bundle) []hiring.Variant {
	type candidate struct {
		circumstance
		bundle *hiring.Bundle
		says   content
	}
	var all []candidate
	for _, at := range p.places() {
		for _, region := range append(keys(p.Bundle.Regions), "") {
			for _, kind := range append(p.types(), "") {
				c := circumstance{region, kind, at.ats, at.instance}
				if c != (circumstance{}) {
					b := p.in(c)
					all = append(all, candidate{c, b, p.contentOf(b, c.variant(p.Policy))})
				}
			}
		}
	}
	// What comes next for the same application makes the candidate needless when it says the same.
	last := p.contentOf(base, circumstance{}.variant(p.Policy))
	for i := len(all) - 1; i >= 0; i-- {
		next := last
		for _, later := range all[i+1:] {
			if all[i].selector().within(later.selector()) {
				next = later.says
				break
			}
		}
		if reflect.DeepEqual(all[i].says, next) {
			all = slices.Delete(all, i, i+1)
		}
	}
	var out []hiring.Variant
	for _, c := range all {
		for _, s := range p.selects(c.selector()) {
			out = append(out, hiring.Variant{Selector: s, Bundle: c.bundle})
		}
	}
	return out
}

// selects returns a selector as the core knows it: one for each code of its region.
func (p *Policy) selects(s Selector) []hiring.Selector {
	codes := []string{""}
	if s.Region != "" {
		codes = p.Bundle.Regions[s.Region].Codes
	}
	out := make([]hiring.Selector, len(codes))
	for i, code := range codes {
		out[i] = hiring.Selector{Type: s.Type, Region: code, System: s.Instance}
	}
	return out
}

// place is an ATS and a pattern of its instances.
type place struct{ ats, instance string }

// places are the kinds of ATS instances that can read a bundle differently, the most specific first. With one ATS and no
// selector that names an instance there is one: any.
func (p *Policy) places() []place {
	var out []place
	for _, s := range p.selectors() {
		if s.Instance == "" {
			continue
		}
		if id, found := p.Bundle.system(s.Instance); found != nil && !slices.Contains(out, place{id, s.Instance}) {
			out = append(out, place{id, s.Instance})
		}
	}
	ats, none := p.Bundle.systemsOf(KindATS), p.Bundle.systemsOf(KindNone)
	for _, n := range p.Bundle.patterns() {
		if (len(ats) > 1 && slices.Contains(ats, n.system) || slices.Contains(none, n.system)) && !slices.Contains(out, place{n.system, n.text()}) {
			out = append(out, place{n.system, n.text()})
		}
	}
	if len(ats) == 1 {
		out = append(out, place{})
	}
	return out
}

// types are the requisition types the policy names, in order.
func (p *Policy) types() []string {
	named := map[string]bool{}
	for _, s := range p.selectors() {
		named[s.Type] = true
	}
	for _, e := range p.Dictionary.Elements {
		if e.Mandatory != nil {
			for _, kind := range e.Mandatory.Types {
				named[kind] = true
			}
		}
	}
	delete(named, "")
	return keys(named)
}

// selectors are those a variant may depend on.
func (p *Policy) selectors() []Selector {
	var out []Selector
	for _, m := range p.addenda() {
		out = append(out, *m.For)
	}
	return out
}

// content is everything a compiled bundle says, for comparison. The mapping is nil where it is the base of its own ATS:
// that every reading of the bundle has.
type content struct {
	bundle  hiring.Bundle
	mapping *hiring.Mapping
}

func (p *Policy) contentOf(b *hiring.Bundle, v *variant) content {
	said := content{bundle: *b}
	said.bundle.System, said.bundle.Variants = nil, nil
	if v.system != "" {
		if m := v.mapping(); !reflect.DeepEqual(m, newVariant(v.system, p.base(v.system)).mapping()) {
			said.mapping = m
		}
	}
	return said
}

// calendar returns the working time of a region, resolved day by day from a year before the bundle takes effect (ten
// before its review at most) until two years after its review; the same value each time. nil for a region without one.
func (p *compiler) calendar(region string) *hiring.Calendar {
	r := p.Bundle.Regions[region]
	if r == nil || r.Calendar == "" {
		return nil
	}
	if c := p.calendars[r.Calendar]; c != nil {
		return c
	}
	cal := p.Bundle.Calendars[r.Calendar]
	zone, err := time.LoadLocation(cal.Timezone)
	if err != nil {
		panic(fmt.Sprintf("policy: %v", err)) // checked
	}
	var openings []hiring.Opening
	first := time.Date(max(p.Bundle.EffectiveFrom.Year()-1, p.Bundle.ReviewBy.Year()-10), 1, 1, 0, 0, 0, 0, zone)
	last := time.Date(p.Bundle.ReviewBy.Year()+3, 1, 1, 0, 0, 0, 0, zone)
	for day := first; day.Before(last); day = day.AddDate(0, 0, 1) {
		hours, works := cal.Hours[weekdays[day.Weekday()]]
		if _, free := cal.Holidays[day.Format(time.DateOnly)]; free || !works {
			continue
		}
		clock := func(d time.Duration) hiring.Micros {
			return hiring.FromTime(time.Date(day.Year(), day.Month(), day.Day(), int(d.Hours()), int(d.Minutes())%60, 0, 0, zone))
		}
		openings = append(openings, hiring.Opening{From: clock(hours.From), Until: clock(hours.To)})
	}
	c := hiring.NewCalendar(openings)
	p.calendars[r.Calendar] = c
	return c
}

var weekdays = [...]Day{time.Sunday: "sun", time.Monday: "mon", time.Tuesday: "tue", time.Wednesday: "wed", time.Thursday: "thu", time.Friday: "fri", time.Saturday: "sat"}
