//go:build e2e && unix

package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis is stopped, flushed, killed and started empty, and full, under load: the outcome is the same.
func TestRedisFaults(t *testing.T) {
	t.Parallel()
	c := services(t)
	r := newRun(t, config{Applications: long(300, 1500)})
	r.up("gateway", 1)
	r.up("reconciler", 2)
	r.up("writeback", 2)
	r.up("kpi", 1)
	r.ready()
	server := c.RedisServer()
	rdb := redis.NewClient(&redis.Options{Addr: c.Redis()})
	defer rdb.Close()
	steps := []struct {
		what  string
		do    func(ctx context.Context) error
		lasts time.Duration
	}{
		{"stopped", func(context.Context) error { return server.Stop() }, 3 * time.Second},
		{"started again", func(ctx context.Context) error { return server.Start(ctx) }, 2 * time.Second},
		{"FLUSHALL", func(ctx context.Context) error { return rdb.FlushAll(ctx).Err() }, 2 * time.Second},
		{"killed", func(context.Context) error { return server.Kill() }, time.Second},
		{"started empty", func(ctx context.Context) error { return server.Start(ctx) }, 2 * time.Second},
		{"full", func(ctx context.Context) error { return rdb.ConfigSet(ctx, "maxmemory", "1").Err() }, 3 * time.Second},
		{"no longer full", func(ctx context.Context) error { return rdb.ConfigSet(ctx, "maxmemory", "256mb").Err() }, 2 * time.Second},
		{"frozen", func(context.Context) error { return server.Pause() }, 3 * time.Second},
		{"going on", func(context.Context) error { return server.Continue() }, 0},
	}
	r.during(20*time.Second, func(ctx context.Context) error {
		for range long(1, 3) {
			for _, s := range steps {
				t.Logf("redis: %s", s.what)
				if err := s.do(context.WithoutCancel(ctx)); err != nil {
					return err
				}
				if err := pause(ctx, s.lasts); err != nil {
					return err
				}
			}
		}
		failures := 0.0
		for _, p := range r.role("reconciler") {
			n, err := p.metric(ctx, "concord_dedupe_failures_total")
			if err != nil {
				return err
			}
			failures += n
		}
		t.Logf("the dedupe net failed %.0f times", failures)
		if failures == 0 {
			t.Error("the dedupe net never failed: Redis was not asked while it was broken")
		}
		return nil
	})
	r.finish()
}
