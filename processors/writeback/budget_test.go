package writeback

import (
	"math/rand/v2"
	"testing"
	"time"
)

// However long a storm lasts, at most a fifth of the calls repeat a failed one while others are made; alone they go one at
// a time, and what they took on credit is paid back by the calls after.
func TestRepeatsKeepBelowAFifth(t *testing.T) {
	t.Parallel()
	const seed = 7
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	b := budget{left: budgetMost, every: time.Second}
	now := time.Unix(1_700_000_000, 0)
	calls, repeats, waiting := 0, 0, 0
	failing := func() bool { return rng.Float64() < 0.6 }
	call := func(failed bool) {
		calls++
		b.called(now, failed)
		if failed {
			waiting++
		}
	}
	// pass lets time go by: fresh calls come, one in a step, or none do; what has failed is tried again as soon as it may.
	pass := func(steps int, fresh bool, failed func() bool) {
		for range steps {
			now = now.Add(100 * time.Millisecond)
			if fresh {
				call(failed())
			}
			for waiting > 0 {
				if _, ok := b.allow(now); !ok {
					break
				}
				waiting--
				repeats++
				call(failed())
			}
		}
	}
	pass(600, true, failing)
	alone := repeats
	pass(600, false, failing) // nothing else is asked for: a minute
	if n := repeats - alone; n < 50 || n > 70 {
		t.Errorf("%d repeats in a minute without other calls, want one in a second", n)
	}
	calls, repeats = 0, 0
	for range 200 { // calls come in bursts
		pass(20, true, failing)
		pass(25, false, failing)
	}
	if repeats*5 > calls || repeats*10 < calls {
		t.Errorf("%d of %d calls repeat a failed one", repeats, calls)
	}
	pass(200, true, func() bool { return false })
	if waiting > 0 {
		t.Errorf("%d still wait after the storm", waiting)
	}
}
