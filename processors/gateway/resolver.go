package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/wire"
)

// Resolve configures the look-up of webhooks that name a candidate and no application. Zero durations and bounds take
// the default named beside the field.
type Resolve struct {
	// Group is the consumer group of what belongs to no ATS of Systems; each ATS has one of its own, "<Group>.<instance>".
	Group   string
	Systems map[string]Directory // by ATS instance
	Every   time.Duration        // between two walks over what changed in an ATS (30 s)
	For     time.Duration        // how long one is looked up before it is dead-lettered (10 min)
	Walk    time.Duration        // how long one walk may take before it has failed (half of For, at least Every)
	MaxHeld int                  // webhooks of one ATS in memory; the rest waits on the topic (1,000)
}

// Directory is where the applications of one ATS instance are listed.
type Directory struct {
	Client ats.Client
	// Allow waits until one more call is within the rate that all callers of this ATS share.
	Allow func(context.Context) error
}

// maxPages bounds one walk: an ATS in which more changed is left to its poller.
const maxPages = 20

// lookBack is how long before a webhook the change it tells of may have been recorded.
const lookBack = 10 * time.Minute

func (c *Resolve) validate() error {
	if c.Group == "" {
		return errors.New("resolve: group: missing")
	}
	for name, d := range c.Systems {
		if d.Client == nil || d.Allow == nil {
			return fmt.Errorf("resolve: system %q: give its client and its rate", name)
		}
	}
	return nil
}

func (c *Resolve) setDefaults() {
	if c.Every == 0 {
		c.Every = 30 * time.Second
	}
	if c.For == 0 {
		c.For = 10 * time.Minute
	}
	if c.Walk == 0 {
		c.Walk = max(c.Every, c.For/2)
	}
	if c.MaxHeld == 0 {
		c.MaxHeld = 1000
	}
}

// resolver works the topic gateway.unresolved off, with a queue for each ATS and one for what belongs to none of them. They
// share no place, no offset and no goroutine, so that an ATS that does not answer delays none but its own.
type resolver struct{ queues []*queue }

func newResolver(g *Gateway, cfg Resolve) *resolver {
	cfg.setDefaults()
	known := func(key []byte) string {
		system, _, _ := strings.Cut(string(key), "/")
		if _, ok := cfg.Systems[system]; ok {
			return system
		}
		return ""
	}
	r := &resolver{queues: []*queue{newQueue(g, cfg, "", known)}}
	for _, system := range slices.Sorted(maps.Keys(cfg.Systems)) {
		r.queues = append(r.queues, newQueue(g, cfg, system, known))
	}
	return r
}

func (r *resolver) degraded() []string {
	if r == nil {
		return nil
	}
	var out []string
	for _, q := range r.queues {
		if n := q.held(); n > 0 {
			out = append(out, fmt.Sprintf("%d webhooks of %s name a candidate whose application is being looked up", n, q.name()))
		}
	}
	return out
}

// run works until ctx ends. A nil resolver has nothing to do.
func (r *resolver) run(ctx context.Context) error {
	if r == nil {
		<-ctx.Done()
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, q := range r.queues {
		group.Go(func() error { return q.run(ctx) })
	}
	return group.Wait()
}

// applications walks over what changed since a time and returns native application ids by candidate.
func (d Directory) applications(ctx context.Context, since wire.Micros) (map[string][]string, error) {
	found := map[string][]string{}
	cursor := ats.Cursor{Since: since.Time().Add(-lookBack)}
	for range maxPages {
		if err := d.Allow(ctx); err != nil {
			return found, err
		}
		page, err := d.Client.ListChanged(ctx, cursor)
		if err != nil {
			return found, err
		}
		for _, c := range page.Changed {
			if id := c.Reading.CandidateID; id != "" && !slices.Contains(found[id], c.ApplicationID) {
				found[id] = append(found[id], c.ApplicationID)
			}
		}
		if !page.More {
			break
		}
		cursor = page.Next
	}
	return found, nil
}
