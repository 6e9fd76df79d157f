package kpi

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/concord-ats/concord/pkg/wire"
)

// The heap says what a walk over all who are behind says, whatever comes and goes, and does not outgrow them.
func TestOldestIsThatOfAWalk(t *testing.T) {
	const seed = 11
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	all := []dims{{"gh-a", "", ""}, {"gh-b", "x", "emea"}}
	pt := &partition{behind: map[string]behind{}, longest: map[dims]*waiting{}}
	for range 20_000 {
		app := fmt.Sprint(rng.IntN(50))
		if rng.IntN(3) == 0 {
			delete(pt.behind, app)
		} else {
			pt.wait(app, behind{all[rng.IntN(len(all))], wire.Micros(1 + rng.IntN(1000))})
		}
		for _, d := range all {
			if w := pt.longest[d]; w != nil && len(*w) > 2*50+64 {
				t.Fatalf("%d waiters of at most 50 applications", len(*w))
			}
			if rng.IntN(4) != 0 {
				continue
			}
			var want wire.Micros
			for _, b := range pt.behind {
				if b.dims == d && (want == 0 || b.since < want) {
					want = b.since
				}
			}
			if got := pt.oldest(d); got != want {
				t.Fatalf("oldest %d, want %d", got, want)
			}
		}
	}
}
