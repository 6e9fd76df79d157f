package hiring_test

import (
	"fmt"
	"testing"

	"github.com/concord-ats/concord/pkg/hiring"
)

// enters decides an application's first event under rules.
func enters(rules *hiring.Rules, application string) hiring.Decision {
	e := hiring.Event{Source: "greenhouse", ID: "1", Type: hiring.EventCreated, System: atsSystem, OccurredAt: epoch, ObservedAt: epoch, Stage: "71416", Status: hiring.StatusActive}
	return hiring.Decide(rules, hiring.NewState(application), &e, epoch)
}

// A percentage selects about so many applications, always the same ones, and keeps them when it grows.
func TestPercentageIsStable(t *testing.T) {
	rules := defaultRules()
	b := rules.Bundles[0]
	b.Mode, b.Variants = hiring.ModeObserve, nil
	in := func(application string, percent int) bool {
		b.Waves = []hiring.Wave{{Name: "some", Selector: hiring.Selector{System: "gh-*"}, Percent: percent, Mode: hiring.ModeWrite}}
		d := enters(rules, application)
		if (d.Wave == "some") != (d.Mode == hiring.ModeWrite) {
			t.Fatalf("wave %q is in mode %s", d.Wave, d.Mode)
		}
		return d.Wave == "some"
	}
	const n = 10_000
	for _, percent := range []int{1, 10, 50, 99} {
		count := 0
		for i := range n {
			app := fmt.Sprintf("gh-main/%d", 7_000_000+i)
			if in(app, percent) {
				if count++; !in(app, percent+1) {
					t.Fatalf("%s is in %d %% and not in %d %%", app, percent, percent+1)
				}
			}
		}
		if want := n * percent / 100; count < want-n/50 || count > want+n/50 {
			t.Errorf("%d of %d applications are in %d %%", count, n, percent)
		}
	}
	// What a published bundle has selected stays selected by the next version of the program.
	for app, place := range map[string]int{"gh-main/1": 50, "gh-main/2": 89, "gh-emea/48151623": 56} {
		if in(app, place) || !in(app, place+1) {
			at := 0
			for !in(app, at+1) {
				at++
			}
			t.Errorf("%s is in place %d, want %d", app, at, place)
		}
	}
}
