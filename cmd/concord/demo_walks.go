package main

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/processors/poller"
)

// polls has the ATSs that are silent about some changes walked every second, and no other: what webhooks tell in time is
// left to them.
func (d *demo) polls(c *poller.Config) {
	silent := func(system string) int {
		return slices.IndexFunc(d.tenants, func(t *demoTenant) bool { return t.system == system && t.silent })
	}
	for system, s := range c.Systems {
		if i := silent(system); i >= 0 {
			c.Every, c.Settle = time.Second, 500*time.Millisecond
			d.tenants[i].walks.Client, s.Client = s.Client, &d.tenants[i].walks
			c.Systems[system] = s
		}
	}
	if c.Every == time.Second {
		maps.DeleteFunc(c.Systems, func(system string, _ poller.System) bool { return silent(system) < 0 })
	}
}

// walks notes how far the walks over an ATS have come. Safe for concurrent use.
type walks struct {
	ats.Client

	mu    sync.Mutex
	began time.Time // the walk under way; zero between two
	found bool      // it has listed something
	quiet time.Time // when the last walk that listed nothing began
}

// ListChanged implements ats.Client.
func (w *walks) ListChanged(ctx context.Context, from ats.Cursor) (ats.Page, error) {
	w.mu.Lock()
	if w.began.IsZero() {
		w.began, w.found = time.Now(), false
	}
	w.mu.Unlock()
	page, err := w.Client.ListChanged(ctx, from)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.found = w.found || len(page.Changed) > 0; err == nil && page.More {
		return page, nil
	}
	if err == nil && !w.found {
		w.quiet = w.began
	}
	w.began = time.Time{}
	return page, err
}

// told reports whether all that changed until a time has been published: a walk begins once what the one before found is.
func (w *walks) told(at time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.quiet.After(at)
}
