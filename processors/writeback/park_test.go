package writeback

import (
	"context"
	"testing"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/wire"
)

// One command can park a system twice: its read is refused, and when that is over, its write. These are two incidents, or
// what counts ids sees one.
func TestParkingTwiceIsTwoIncidents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1)
	refused := &ats.Error{Class: ats.NotExecuted, Code: ats.CodeUnauthorised}
	reads, writes := 0, 0
	resolved := make(chan struct{})
	gh.client.onRead(func(_ context.Context, _ string, real func() (ats.Reading, error)) (ats.Reading, error) {
		if reads++; reads == 1 {
			return ats.Reading{}, refused
		}
		return real()
	})
	gh.client.onApply(func(ctx context.Context, _ string, _, _ wire.Tuple, real func() error) error {
		if writes++; writes > 1 {
			return real()
		}
		select {
		case <-resolved:
			return refused
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	w.run(func(c *Config) { c.WriteTimeout = patience })
	cmd := w.command("gh", 1, 1, toInterviews)
	w.send(cmd)
	w.until("the first incident is resolved", func() bool { return len(w.opened) == 2 })
	close(resolved)
	wantOutcome(t, w.terminal(cmd.ID), wire.OutcomeKindConfirmed, DetailNone)
	w.until("the second incident is resolved", func() bool { return len(w.opened) == 4 })
	w.locked(func() {
		for i, want := range []wire.IncidentChange{wire.IncidentChangeOpened, wire.IncidentChangeResolved, wire.IncidentChangeOpened, wire.IncidentChangeResolved} {
			if got := w.opened[i]; got.Kind != wire.IncidentKindTenantParked || got.Change != want || got.ID != w.opened[i&^1].ID {
				t.Errorf("incident %d: %+v", i, got)
			}
		}
		if w.opened[0].ID == w.opened[2].ID {
			t.Errorf("both incidents are %s", w.opened[0].ID)
		}
	})
}
