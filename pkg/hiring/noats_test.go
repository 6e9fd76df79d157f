package hiring_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/concord-ats/concord/pkg/hiring"
)

// I12 for an instance without an ATS that gets one at 1000: whatever publishers, people, vendors and the ATS say, and
// however old the ATS's first word is, the order of arrival changes nothing; and before a person acts or a verdict comes in
// the time with an ATS, nothing is asked of it about the stage.
func TestWithoutATSTheOrderOfArrivalChangesNothing(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	open := []string{"apply", "triage", "screening", "interviews", "offer"}
	one := func(of ...string) string { return of[rng.IntN(len(of))] }
	stage := func() string { return one(open...) }
	written := 0
	for range 400 {
		joins := rng.IntN(3) > 0
		rules := defaultRules()
		none := *rules.Bundles[0]
		everywhere(&none, withoutATS)
		rules.Bundles[0] = &none
		if joins {
			later := *defaultBundle()
			everywhere(&later, func(b *hiring.Bundle) { b.EffectiveAt = epoch + 1000e6 })
			rules.Bundles = append(rules.Bundles, &later)
		}
		var lines []string
		owed := false // something of after the switch may ask for a stage
		for i := range 3 + rng.IntN(6) {
			at := 10*i + rng.IntN(10)
			publisher := fmt.Sprint(at, " ", one("form", "sheet"), " ")
			after := joins && rng.IntN(2) == 0
			if after {
				at += 1000 + 100*rng.IntN(3)
			}
			id := fmt.Sprintf(" id=e%d", i)
			switch n := rng.IntN(8); {
			case n < 3 && !after:
				lines = append(lines, publisher+one("enters "+stage(), "moves to "+stage(), "moves to "+stage()+" from="+stage(), "rejects", "unrejects", "withdraws", "mentions "+stage())+id)
			case n < 3:
				lines = append(lines, fmt.Sprint(at, " ats ", one("moves to "+stage(), "rejects", "mentions "+stage()), id))
			case n == 3 && joins:
				lines = append(lines, fmt.Sprintf("%d ats shows %s stamped=%d", max(at, 1000), one(append(open, "rejected")...), rng.IntN(2000)))
			case n < 6:
				owed = owed || after
				lines = append(lines, fmt.Sprint(at, " person overrides to ", one(append(open, "rejected")...), id))
			default:
				owed = owed || after
				lines = append(lines, fmt.Sprint(at, " vendor ", one("passes", "fails", "reviews"), " order=", one("o1", "o2"), id))
			}
		}
		end, first := "", slices.Clone(lines)
		for range 6 {
			w := &world{rules: rules, state: hiring.NewState("gh-main/1")}
			for _, line := range lines {
				e, now, err := w.parse(line)
				if err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				w.decide(e, now, line)
			}
			w.advance(epoch + 7200e6)
			got := describe(w.state)
			if end == "" {
				end = got
			}
			if got != end {
				t.Fatalf("joins %t, in this order:\n%s\nthe end is\n%s\nand in this one:\n%s\nit is\n%s", joins, strings.Join(first, "\n"), end, strings.Join(lines, "\n"), got)
			}
			if strings.Contains(got, "incident: unmapped") && !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "unrejects") }) {
				t.Fatalf("a stage is not known\n%s\n%s", strings.Join(lines, "\n"), got)
			}
			for _, c := range w.all {
				if !joins && !c.Desired.Empty() {
					t.Fatalf("asked of no ATS: %+v\n%s", c, strings.Join(lines, "\n"))
				}
			}
			if s := w.state; joins && !owed && (s.Desired.Stage != "" || s.Desired.Status != hiring.StatusUnspecified) && s.Head.EnteredAt < epoch+1000e6 {
				t.Fatalf("of before the switch %s is asked for by itself\n%s", tuple(&s.Desired), strings.Join(lines, "\n"))
			}
			written += len(w.all)
			rng.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		}
	}
	if written == 0 {
		t.Error("nothing was ever asked of the ATS: nothing is proved")
	}
}
