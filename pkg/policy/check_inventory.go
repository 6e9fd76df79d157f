package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a calendar means the same on every machine

	"github.com/concord-ats/concord/pkg/hiring"
)

var (
	idText       = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)
	instanceText = regexp.MustCompile(`^[A-Za-z0-9._-]*\*?$`)
	personText   = regexp.MustCompile(`^[A-Za-z0-9._@+-]+$`)
	roleText     = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	wholeNumber  = regexp.MustCompile(`^[1-9][0-9]{0,17}$`)
)

// id tells of a name that would not do in topics, paths and metrics.
func (c *checker) id(file, path, value string) {
	if !idText.MatchString(value) {
		c.fault(file, path, value, "is no name", "use small letters, digits, - and _, beginning with a letter")
	}
}

// inventory checks bundle.yaml.
func (c *checker) inventory() {
	b := &c.p.Bundle
	if len(b.Regions) == 0 {
		c.fault(BundleFile, "regions", "", "is empty", "give at least one region")
	}
	owner := map[string]string{}
	for _, id := range keys(b.Regions) {
		r, path := b.Regions[id], "regions."+id
		c.id(BundleFile, path, id)
		if id == DefaultRegion {
			c.fault(BundleFile, path, "", "is the word for the regions without a value of their own", "give the region another name")
		}
		if r.Calendar != "" {
			c.known(BundleFile, path+".calendar", r.Calendar, names{"calendar", keys(b.Calendars), c.holdsKeys(BundleFile, "calendars")})
		}
		for i, code := range r.Codes {
			if other, taken := owner[code]; taken {
				c.fault(BundleFile, fmt.Sprintf("%s.codes[%d]", path, i), code, "belongs to region "+other+" too", "keep it in one")
			}
			owner[code] = id
		}
	}
	c.calendars()
	c.systems()
	c.signatures()
	c.migrations()
	if !personText.MatchString(b.ProductOwner) {
		c.fault(BundleFile, "product_owner", b.ProductOwner, "is no person's name in a keys file", "use letters, digits and . _ @ + -")
	}
}

func (c *checker) calendars() {
	for _, id := range keys(c.p.Bundle.Calendars) {
		cal, path := c.p.Bundle.Calendars[id], "calendars."+id
		if _, err := time.LoadLocation(cal.Timezone); err != nil || cal.Timezone == "Local" {
			c.fault(BundleFile, path+".timezone", cal.Timezone, "is no time zone", "give an IANA name such as Europe/Berlin")
		}
		if len(cal.Hours) == 0 {
			c.fault(BundleFile, path+".hours", "", "is empty: no business time would ever pass", "give the hours of at least one weekday")
		}
		for _, day := range keys(cal.Hours) {
			if !slices.Contains(day.Choices(), string(day)) {
				c.fault(BundleFile, path+".hours."+string(day), "", "is no weekday", "use %s", strings.Join(day.Choices(), ", "))
			}
		}
		for _, day := range keys(cal.Holidays) {
			if _, err := time.Parse(time.DateOnly, day); err != nil {
				c.fault(BundleFile, path+".holidays."+day, day, "is no date", "write it like 2026-12-25")
			}
		}
	}
}

func (c *checker) systems() {
	b := &c.p.Bundle
	taken := map[string]string{}
	for _, id := range keys(b.Systems) {
		s, path := b.Systems[id], "systems."+id
		c.id(BundleFile, path, id)
		c.owner(BundleFile, path+".owner", s.Owner)
		c.region(BundleFile, path+".region", s.Region)
		c.twice(BundleFile, path+".masters", s.Masters)
		for i, name := range s.Masters {
			if c.p.Dictionary.Elements[name] == nil {
				c.known(BundleFile, fmt.Sprintf("%s.masters[%d]", path, i), name, c.elementNames())
			}
		}
		for i, name := range s.Instances {
			at := fmt.Sprintf("%s.instances[%d]", path, i)
			if !instanceText.MatchString(name) {
				c.fault(BundleFile, at, name, "is no instance name", "use letters, digits and . _ -, with one * at the end at most")
			}
			if other, is := taken[name]; is {
				c.fault(BundleFile, at, name, "is an instance of "+other+" too", "keep it in one system")
			}
			taken[name] = id
		}
		c.kind(path, s)
	}
	if !c.holds(BundleFile, "systems.*.kind") {
		return
	}
	operators := b.systemsOf(KindOperators)
	if len(operators) != 1 {
		c.fault(BundleFile, "systems", strings.Join(operators, ", "), fmt.Sprintf("has %d systems of kind operators", len(operators)), "keep exactly one: the people who act through Concord")
	} else if id, _ := b.system(hiring.ControlSystem); id != operators[0] && c.holds(BundleFile, "systems.*.instances") {
		c.fault(BundleFile, "systems."+operators[0]+".instances", "", "does not name "+hiring.ControlSystem, "add %s: controls carry that name", hiring.ControlSystem)
	}
	if len(b.systemsOf(KindATS))+len(b.systemsOf(KindNone)) == 0 {
		c.fault(BundleFile, "systems", "", "has no ats", "describe the applicant tracking system; a team without one is a system of kind none")
	}
}

// kind checks what a system must and must not say by its kind.
func (c *checker) kind(path string, s *System) {
	switch s.Kind {
	case "": // could not be read
		return
	case KindMedia, KindManual:
		if len(s.Instances) > 0 {
			c.fault(BundleFile, path+".instances", "", "names senders of events, and "+string(s.Kind)+" sends none", "remove it")
		}
	default:
		if len(s.Instances) == 0 && c.holds(BundleFile, path+".instances") {
			c.fault(BundleFile, path, "", "has no instances", "give the names it has in events")
		}
	}
	if s.Kind == KindNone {
		c.alone(BundleFile, path+".instances", strings.TrimPrefix(path, "systems."))
	}
	if s.Kind != KindATS {
		if s.Native != nil {
			c.fault(BundleFile, path+".native", "", "describes an ATS, and this is "+string(s.Kind), "remove it")
		}
		return
	}
	if s.Native == nil {
		if !c.holds(BundleFile, path+".native") {
			return
		}
		c.fault(BundleFile, path, "", "has no native", "list the ATS's stages, fields, rejection reasons and writes")
		return
	}
	if len(s.Native.Stages) == 0 {
		c.fault(BundleFile, path+".native.stages", "", "is empty", "list the ATS's stages")
	}
	for _, key := range keys(s.Native.Fields) {
		if id := s.Native.Fields[key].ID; id != "" && !wholeNumber.MatchString(id) {
			c.fault(BundleFile, path+".native.fields."+key+".id", id, "is no number", "give the number the ATS has for the field, or leave it out")
		}
	}
	for i, w := range s.Native.Writes {
		if slices.Contains(s.Native.Writes[:i], w) {
			c.fault(BundleFile, fmt.Sprintf("%s.native.writes[%d]", path, i), string(w), "is given twice", "keep one")
		}
	}
}

func (c *checker) signatures() {
	for _, part := range c.p.Bundle.Signatures.parts() {
		path := "signatures." + part.name
		for _, role := range part.least {
			if !slices.Contains(part.roles, role) && c.holds(BundleFile, path) {
				c.fault(BundleFile, path, strings.Join(part.roles, ", "), "leaves out "+role, "add %s: a bundle can ask for more signatures than these, and for no fewer", role)
			}
		}
		c.twice(BundleFile, path, part.roles)
		for i, role := range part.roles {
			if !roleText.MatchString(role) {
				c.fault(BundleFile, fmt.Sprintf("%s[%d]", path, i), role, "is no role", "use small letters, digits and -")
			}
		}
	}
}

// part is what certain roles must sign. The least are no choice of the bundle's: whoever writes a bundle does not say who
// has to agree to it. They are two persons for all but the waves, so nobody puts a policy in force alone.
type part struct {
	name  string
	roles []string
	least []string
}

func (s *Signatures) parts() []part {
	meaning := []string{roleProcess, roleSecurity}
	return []part{
		{"bundle", s.Bundle, meaning},
		{"machine", s.Machine, []string{roleHiring, roleProcess}},
		{"dictionary", s.Dictionary, meaning},
		{"mappings", s.Mappings, meaning},
		{"waves", s.Waves, []string{ProductOwner}},
	}
}

// Roles returns every role in which a part of the bundle is signed, in order.
func (s *Signatures) Roles() []string {
	var out []string
	for _, part := range s.parts() {
		out = append(out, part.roles...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (c *checker) migrations() {
	var from []string
	for i, m := range c.p.Bundle.Migrations {
		path := fmt.Sprintf("migrations[%d]", i)
		if c.p.Machine.state(m.From) != nil {
			c.fault(BundleFile, path+".from", m.From, "is a state of this version", "keep the applications there, or remove the state")
		}
		if slices.Contains(from, m.From) {
			c.fault(BundleFile, path+".from", m.From, "migrates twice", "keep one")
		}
		from = append(from, m.From)
		c.known(BundleFile, path+".to", m.To, c.stateNames())
	}
}
