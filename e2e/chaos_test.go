//go:build e2e && unix

package e2e

import (
	"context"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
)

// during tells the world while chaos does its damage, from the beginning of the main wave, and returns when both have ended.
// The main wave is sent over about as long as load says.
func (r *run) during(load time.Duration, chaos func(ctx context.Context) error) {
	r.t.Helper()
	began := time.Now()
	g, ctx := errgroup.WithContext(r.t.Context())
	g.Go(func() error { return r.tell(ctx, load) })
	g.Go(func() error {
		select {
		case <-r.loaded:
			return chaos(ctx)
		case <-ctx.Done():
			return nil
		}
	})
	must(r.t, g.Wait())
	r.t.Logf("told and settled in %s", time.Since(began).Round(time.Second))
}

// within draws a duration below d.
func within(rng *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(rng.Int64N(int64(d)))
}
