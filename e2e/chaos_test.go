//go:build e2e && unix

package e2e

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// during tells the world while chaos does its damage, and returns when both have ended. The main wave is sent over about as
// long as load says.
func (r *run) during(load time.Duration, chaos func(ctx context.Context) error) {
	r.t.Helper()
	began := time.Now()
	steps := 8 * r.cfg.Applications // about so many there are
	g, ctx := errgroup.WithContext(r.t.Context())
	g.Go(func() error { return chaos(ctx) })
	g.Go(func() error { return r.tell(ctx, load*300/time.Duration(steps)) })
	must(r.t, g.Wait())
	r.t.Logf("told and settled in %s", time.Since(began).Round(time.Second))
}
