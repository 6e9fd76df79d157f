package hiring_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/concord-ats/concord/pkg/hiring"
)

// publish is the scenario command "policy": the newest bundle, first the built-in one, with changes, in place, or with at=SECOND as the one in
// force from then on. With region= or type= the changes hold for applications of that requisition only.
//
//	jump=FROM>TO:FORBIDDEN:UNAUTHORISED   hold, record or revert; TO may be empty
//	sla=STATE:TIME[:WARN], business=…     of a state; business counts the open time of the calendar
//	edge-sla=EDGE:TIME                    of every edge of that name, with - for a space
//	wave=NAME:MODE:[PERCENT][:new]        before the other waves; with type= or region= for these only
//	mode=MODE                             of applications in no wave
//	ats=none, ats=gh                      whether the instance has an ATS
//	pause=REGION, resume=REGION
//	element=NAME:CONFLICT[:FLAG…]         golden=SYSTEM, write, mandatory, tolerance=NUMBER, within=TIME
//	map=NATIVE:STATE, unmap=NATIVE        of the ATS's stages; withdrawn=NATIVE REASON
//	write=STATE:NATIVE                    the native stage that is written
//	scale=CODE:MIN:MAX[:VALID FOR]        of the screening score
//	cut-off=ADVANCE:REJECT                of the screening score; with type= or region= for these only
//	order=STATE:VENDOR:TEST[:WITHIN]      entering the state asks for it; with type= or region= for these only
//	calendar=(FROM-UNTIL,…)               when work is done, in seconds; replaces what was
func (w *world) publish(d *datadriven.TestData) error {
	bundles := w.rules.Bundles
	old := bundles[len(bundles)-1]
	b := *old
	everywhere(&b, func(*hiring.Bundle) {}) // a copy of each variant
	var selector hiring.Selector
	later := false
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "at":
			at, err := second(a.Vals[0])
			if err != nil {
				return err
			}
			b.EffectiveAt, later = at, true
		case "region":
			selector.Region = a.Vals[0]
		case "type":
			selector.Type = a.Vals[0]
		}
	}
	apply := func(change func(*hiring.Bundle) error) (err error) {
		everywhere(&b, func(b *hiring.Bundle) { err = errors.Join(err, change(b)) })
		return err
	}
	own := slices.ContainsFunc(d.CmdArgs, func(a datadriven.CmdArg) bool { return selected[a.Key] != nil })
	if selector != (hiring.Selector{}) && !own {
		of := *b.For(atsSystem, &hiring.Requisition{Type: selector.Type, Region: selector.Region})
		b.Variants = append([]hiring.Variant{{Selector: selector, Bundle: &of}}, b.Variants...)
		apply = func(change func(*hiring.Bundle) error) error { return change(&of) }
	}
	for _, a := range d.CmdArgs {
		if a.Key == "at" || a.Key == "region" || a.Key == "type" {
			continue
		}
		if add := selected[a.Key]; add != nil {
			if err := apply(func(b *hiring.Bundle) error { return add(b, selector, a.Vals[0]) }); err != nil {
				return fmt.Errorf("%s=%s: %w", a.Key, a.Vals[0], err)
			}
			continue
		}
		change, ok := changes[a.Key]
		if !ok {
			return fmt.Errorf("unknown change %q", a.Key)
		}
		if err := apply(func(b *hiring.Bundle) error { return change(b, a.Vals) }); err != nil {
			return fmt.Errorf("%s=%s: %w", a.Key, a.Vals, err)
		}
	}
	if later {
		w.rules = &hiring.Rules{Bounds: w.rules.Bounds, Bundles: append(slices.Clone(bundles), &b)}
		return nil
	}
	w.rules = &hiring.Rules{Bounds: w.rules.Bounds, Bundles: append(slices.Clone(bundles[:len(bundles)-1]), &b)}
	return nil
}

// selected are the changes that carry a selector of their own.
var selected = map[string]func(*hiring.Bundle, hiring.Selector, string) error{"wave": wave, "cut-off": cutOff, "order": order}

// changes are what "policy" can change. Slices are cloned: the bundle before stays what it was.
var changes = map[string]func(b *hiring.Bundle, vals []string) error{
	"jump": func(b *hiring.Bundle, vals []string) error {
		b.Jumps = slices.Clone(b.Jumps)
		for _, v := range vals {
			parts := strings.Split(v, ":")
			from, to, ok := strings.Cut(parts[0], ">")
			if !ok || len(parts) != 3 {
				return fmt.Errorf("want FROM>TO:FORBIDDEN:UNAUTHORISED")
			}
			rule := hiring.JumpRule{From: hiring.Stage(from), To: hiring.Stage(to), Forbidden: jumps[parts[1]], Unauthorised: jumps[parts[2]]}
			b.Jumps = slices.DeleteFunc(b.Jumps, func(j hiring.JumpRule) bool { return j.From == rule.From && j.To == rule.To })
			b.Jumps = append(b.Jumps, rule)
		}
		slices.SortStableFunc(b.Jumps, func(a, b hiring.JumpRule) int { return strings.Compare(string(b.To), string(a.To)) })
		return nil
	},
	"sla":      func(b *hiring.Bundle, vals []string) error { return limits(b, vals, false) },
	"business": func(b *hiring.Bundle, vals []string) error { return limits(b, vals, true) },
	"edge-sla": func(b *hiring.Bundle, vals []string) error {
		b.Edges = slices.Clone(b.Edges)
		for _, v := range vals {
			name, text, _ := strings.Cut(v, ":")
			sla, err := time.ParseDuration(text)
			if err != nil {
				return err
			}
			for i := range b.Edges {
				if b.Edges[i].Name == strings.ReplaceAll(name, "-", " ") {
					b.Edges[i].SLA = sla
				}
			}
		}
		return nil
	},
	"element": func(b *hiring.Bundle, vals []string) error {
		b.Elements = slices.Clone(b.Elements)
		for _, v := range vals {
			if err := element(b, strings.Split(v, ":")); err != nil {
				return err
			}
		}
		return nil
	},
	"map": func(b *hiring.Bundle, vals []string) error {
		return remap(b, func(m *hiring.Mapping) {
			for _, v := range vals {
				native, stage, _ := strings.Cut(v, ":")
				m.Stages[nativeStages[native]] = hiring.Stage(stage)
			}
		})
	},
	"write": func(b *hiring.Bundle, vals []string) error {
		return remap(b, func(m *hiring.Mapping) {
			for _, v := range vals {
				stage, native, _ := strings.Cut(v, ":")
				m.Native[hiring.Stage(stage)] = nativeStages[native]
			}
		})
	},
	"unmap": func(b *hiring.Bundle, vals []string) error {
		return remap(b, func(m *hiring.Mapping) {
			for _, v := range vals {
				delete(m.Native, m.Stages[nativeStages[v]])
				delete(m.Stages, nativeStages[v])
			}
		})
	},
	"withdrawn": func(b *hiring.Bundle, vals []string) error {
		return remap(b, func(m *hiring.Mapping) { m.Withdrawn = vals })
	},
	"scale": func(b *hiring.Bundle, vals []string) error {
		parts := strings.Split(vals[0], ":")
		scale := &hiring.Scale{Code: parts[0]}
		var err error
		if scale.Min, err = strconv.ParseFloat(parts[1], 64); err == nil {
			scale.Max, err = strconv.ParseFloat(parts[2], 64)
		}
		if len(parts) > 3 && err == nil {
			scale.ValidFor, err = time.ParseDuration(parts[3])
		}
		b.Elements = slices.Clone(b.Elements)
		for i := range b.Elements {
			if b.Elements[i].Name == hiring.ElementScreeningScore {
				b.Elements[i].Scale = scale
			}
		}
		return err
	},
	"ats": func(b *hiring.Bundle, vals []string) error {
		b.NoATS, b.System = nil, builtIn().System
		if vals[0] == "none" {
			withoutATS(b)
		}
		return nil
	},
	"mode": func(b *hiring.Bundle, vals []string) error { b.Mode = modes[vals[0]]; return nil },
	"pause": func(b *hiring.Bundle, vals []string) error {
		b.Paused = append(slices.Clone(b.Paused), vals...)
		return nil
	},
	"resume": func(b *hiring.Bundle, vals []string) error {
		b.Paused = slices.DeleteFunc(slices.Clone(b.Paused), func(r string) bool { return slices.Contains(vals, r) })
		return nil
	},
	"calendar": func(b *hiring.Bundle, vals []string) error {
		var open []hiring.Opening
		for _, v := range vals {
			from, until, _ := strings.Cut(v, "-")
			f, err := second(from)
			if err != nil {
				return err
			}
			u, err := second(until)
			if err != nil {
				return err
			}
			open = append(open, hiring.Opening{From: f, Until: u})
		}
		b.Calendar = hiring.NewCalendar(open)
		return nil
	},
}

var modes = map[string]hiring.Mode{"write": hiring.ModeWrite, "shadow": hiring.ModeShadow, "observe": hiring.ModeObserve, "off": hiring.ModeOff}

var jumps = map[string]hiring.Jump{"hold": hiring.JumpHold, "record": hiring.JumpRecord, "revert": hiring.JumpRevert}

// withoutATS makes the ATS's instances those of teams that have none.
func withoutATS(b *hiring.Bundle) {
	was := b.System
	b.NoATS = []string{"gh-*"}
	b.System = func(name string) (hiring.System, bool) {
		if strings.HasPrefix(name, "gh-") {
			return hiring.System{}, true
		}
		return was(name)
	}
}

// limits sets the SLA of states, and of the edges that lead to them none of their own.
func limits(b *hiring.Bundle, vals []string, business bool) error {
	b.Stages, b.Edges = slices.Clone(b.Stages), slices.Clone(b.Edges)
	for _, v := range vals {
		parts := strings.Split(v, ":")
		var times [2]time.Duration
		for i, p := range parts[1:] {
			var err error
			if times[i], err = time.ParseDuration(p); err != nil {
				return err
			}
		}
		for i := range b.Stages {
			if r := &b.Stages[i]; r.Stage == hiring.Stage(parts[0]) {
				r.SLA, r.WarnBefore, r.Business = times[0], times[1], business
			}
		}
		for i := range b.Edges {
			if b.Edges[i].To == hiring.Stage(parts[0]) {
				b.Edges[i].SLA = 0
			}
		}
	}
	return nil
}

// wave puts a wave before the others.
func wave(b *hiring.Bundle, selector hiring.Selector, text string) error {
	parts := strings.Split(text, ":")
	w := hiring.Wave{Name: parts[0], Selector: selector, Mode: modes[parts[1]], Percent: 100}
	if len(parts) > 2 && parts[2] != "" {
		var err error
		if w.Percent, err = strconv.Atoi(parts[2]); err != nil {
			return err
		}
	}
	w.NewOnly = len(parts) > 3
	b.Waves = append([]hiring.Wave{w}, slices.DeleteFunc(slices.Clone(b.Waves), func(old hiring.Wave) bool { return old.Name == w.Name })...)
	return nil
}

var conflicts = []hiring.Conflict{hiring.ConflictGolden, hiring.ConflictLatest, hiring.ConflictHighest, hiring.ConflictUnion, hiring.ConflictHold}

// element replaces the rule of an element, or adds one.
func element(b *hiring.Bundle, parts []string) error {
	r := hiring.ElementRule{Name: parts[0]}
	i := slices.IndexFunc(conflicts, func(c hiring.Conflict) bool { return c.String() == parts[1] })
	if i < 0 {
		return fmt.Errorf("unknown conflict rule %q", parts[1])
	}
	r.Conflict = conflicts[i]
	for _, flag := range parts[2:] {
		var err error
		switch name, value, _ := strings.Cut(flag, "="); name {
		case "golden":
			r.Golden = []string{value}
		case "write":
			r.WriteBack = true
		case "mandatory":
			r.Mandatory = true
		case "tolerance":
			r.Number = true
			r.Tolerance, err = strconv.ParseFloat(value, 64)
		case "within":
			r.Within, err = time.ParseDuration(value)
		default:
			err = fmt.Errorf("unknown flag %q", flag)
		}
		if err != nil {
			return err
		}
	}
	b.Elements = append(slices.DeleteFunc(b.Elements, func(old hiring.ElementRule) bool { return old.Name == r.Name }), r)
	slices.SortFunc(b.Elements, func(a, b hiring.ElementRule) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// remap changes the mapping of the ATS.
func remap(b *hiring.Bundle, change func(*hiring.Mapping)) error {
	was := b.System
	sys, _ := was(atsSystem)
	m := *sys.Mapping
	m.Stages, m.Native = maps.Clone(m.Stages), maps.Clone(m.Native)
	change(&m)
	b.System = func(name string) (hiring.System, bool) {
		s, ok := was(name)
		if name == atsSystem {
			s.Mapping = &m
		}
		return s, ok
	}
	return nil
}

// cutOff puts a cut-off before the others.
func cutOff(b *hiring.Bundle, selector hiring.Selector, text string) error {
	c := hiring.CutOff{Selector: selector, Element: hiring.ElementScreeningScore}
	advance, reject, _ := strings.Cut(text, ":")
	var err error
	if c.Advance, err = strconv.ParseFloat(advance, 64); err == nil {
		c.Reject, err = strconv.ParseFloat(reject, 64)
	}
	b.CutOffs = append([]hiring.CutOff{c}, b.CutOffs...)
	return err
}

// order puts a screening order before the others.
func order(b *hiring.Bundle, selector hiring.Selector, text string) error {
	parts := strings.Split(text, ":")
	r := hiring.OrderRule{Selector: selector, Stage: hiring.Stage(parts[0]), Vendor: parts[1], Test: parts[2]}
	var err error
	if len(parts) > 3 {
		r.Within, err = time.ParseDuration(parts[3])
	}
	b.Orders = append([]hiring.OrderRule{r}, b.Orders...)
	return err
}
