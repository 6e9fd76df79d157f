package hiring_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/datadriven"

	"github.com/concord-ats/concord/pkg/hiring"
)

// publish is the scenario command "policy": the newest bundle with changes, in place, or with at=SECOND as the one in
// force from then on. With region= or type= the changes hold for applications of that requisition only.
//
//	jump=FROM>TO:FORBIDDEN:UNAUTHORISED   hold, record or revert; TO may be empty
func (w *world) publish(d *datadriven.TestData) error {
	bundles := w.rules.Bundles
	old := bundles[len(bundles)-1]
	b := *old
	var variant *hiring.Variant
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
			variant = &hiring.Variant{Region: a.Vals[0]}
		case "type":
			variant = &hiring.Variant{Type: a.Vals[0]}
		}
	}
	changed := &b
	if variant != nil {
		of := b
		variant.Bundle, changed = &of, &of
		b.Variants = append(slices.Clone(b.Variants), *variant)
	}
	for _, a := range d.CmdArgs {
		if a.Key == "at" || a.Key == "region" || a.Key == "type" {
			continue
		}
		change, ok := changes[a.Key]
		if !ok {
			return fmt.Errorf("unknown change %q", a.Key)
		}
		for _, v := range a.Vals {
			if err := change(changed, strings.Split(v, ":")); err != nil {
				return fmt.Errorf("%s=%s: %w", a.Key, v, err)
			}
		}
	}
	if later {
		w.rules = &hiring.Rules{Bounds: w.rules.Bounds, Bundles: append(slices.Clone(bundles), &b)}
		return nil
	}
	w.rules = &hiring.Rules{Bounds: w.rules.Bounds, Bundles: append(slices.Clone(bundles[:len(bundles)-1]), &b)}
	return nil
}

// changes are what "policy" can change. Slices are cloned: the bundle before stays what it was.
var changes = map[string]func(b *hiring.Bundle, parts []string) error{
	"jump": func(b *hiring.Bundle, parts []string) error {
		from, to, ok := strings.Cut(parts[0], ">")
		if !ok || len(parts) != 3 {
			return fmt.Errorf("want FROM>TO:FORBIDDEN:UNAUTHORISED")
		}
		rule := hiring.JumpRule{From: hiring.Stage(from), To: hiring.Stage(to), Forbidden: jumps[parts[1]], Unauthorised: jumps[parts[2]]}
		b.Jumps = slices.DeleteFunc(slices.Clone(b.Jumps), func(j hiring.JumpRule) bool { return j.From == rule.From && j.To == rule.To })
		b.Jumps = append(b.Jumps, rule)
		slices.SortStableFunc(b.Jumps, func(a, b hiring.JumpRule) int { return strings.Compare(string(b.To), string(a.To)) })
		return nil
	},
}

var jumps = map[string]hiring.Jump{"hold": hiring.JumpHold, "record": hiring.JumpRecord, "revert": hiring.JumpRevert}
