package atssim

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestQueueKeepsOrder(t *testing.T) {
	t.Parallel()
	const seed = 3
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var q queue[hook]
	var last hook
	for i := range 2000 {
		q.push(hook{due: time.Unix(rng.Int64N(40), 0), seq: uint64(i)})
	}
	for n := 0; len(q) > 0; n++ {
		h := q.pop()
		if n > 0 && !last.before(h) {
			t.Fatalf("%v after %v", h, last)
		}
		last = h
	}
}
