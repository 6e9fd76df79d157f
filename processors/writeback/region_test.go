package writeback

import (
	"testing"

	"github.com/concord-ats/concord/pkg/wire"
)

// An application of another region is not written through this region's host, and somebody is told.
func TestOtherRegionsAreNotWrittenHere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1, 2, 3)
	w.run(func(c *Config) {
		s := c.Systems["gh"]
		s.Regions = []string{"de", "fr"}
		c.Systems["gh"] = s
	})
	here, elsewhere, unknown := w.command("gh", 1, 1, toInterviews), w.command("gh", 2, 1, toInterviews), w.command("gh", 3, 1, toInterviews)
	elsewhere.Requisition.Region, unknown.Requisition.Region = "us", ""
	w.send(here, elsewhere, unknown)
	wantOutcome(t, w.terminal(elsewhere.ID), wire.OutcomeKindRefused, DetailRegion)
	wantOutcome(t, w.terminal(here.ID), wire.OutcomeKindConfirmed, DetailNone)
	wantOutcome(t, w.terminal(unknown.ID), wire.OutcomeKindConfirmed, DetailNone)
	if n := len(gh.mutations(2)); n != 0 || w.attempts(elsewhere.ID) != 0 {
		t.Errorf("%d mutations and %d attempts of another region's application", n, w.attempts(elsewhere.ID))
	}
}
