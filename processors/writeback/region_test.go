package writeback

import (
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/wire"
)

// pinned is a world whose system gh, of a dialect, writes to applications of Germany and France alone. Its first three
// applications have a job each: in Berlin, in New York, and in a place that the mapping does not name.
func pinned(t *testing.T, d atssim.Dialect) *world {
	t.Helper()
	w := newWorld(t)
	gh := newSystem(t, "gh", d)
	w.systems["gh"] = gh
	for i, office := range []string{"Berlin", "New York", "Atlantis"} {
		n := int64(i + 1)
		if err := gh.sim.Seed(atssim.Application{ID: n, CandidateID: n + 5000, JobID: n, StageID: 71416, Office: office, LastActivityAt: time.Unix(1_700_000_000, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	w.run(func(c *Config) {
		s := c.Systems["gh"]
		s.Regions = []string{"de", "fr"}
		c.Systems["gh"] = s
	})
	return w
}

// unwritten checks that nothing of an application was sent.
func (w *world) unwritten(app int64, command string) {
	w.t.Helper()
	if n := len(w.systems["gh"].mutations(app)); n != 0 || w.attempts(command) != 0 {
		w.t.Errorf("application %d: %d mutations and %d attempts of what is not written here", app, n, w.attempts(command))
	}
}

// What is of another region, or of none that is known, is not written through a region's host, and somebody is told. None
// of the applications was told of by a webhook: what the adapter reads is all there is.
func TestOtherRegionsAreNotWrittenHere(t *testing.T) {
	t.Parallel()
	for _, d := range dialects {
		t.Run(d.Name(), func(t *testing.T) {
			t.Parallel()
			w := pinned(t, d)
			here, elsewhere, unknown := w.command("gh", 1, 1, toInterviews), w.command("gh", 2, 1, toInterviews), w.command("gh", 3, 1, toInterviews)
			for _, c := range []*wire.Command{here, elsewhere, unknown} {
				c.Requisition.Region = ""
			}
			w.send(here, elsewhere, unknown)
			if !w.systems["gh"].client.Capabilities().Region {
				t.Error("declares that reads do not tell the region")
			}
			wantOutcome(t, w.terminal(here.ID), wire.OutcomeKindConfirmed, DetailNone)
			wantOutcome(t, w.terminal(elsewhere.ID), wire.OutcomeKindRefused, DetailRegion)
			wantOutcome(t, w.terminal(unknown.ID), wire.OutcomeKindRefused, DetailRegionUnknown)
			w.unwritten(2, elsewhere.ID)
			w.unwritten(3, unknown.ID)
		})
	}
}

// What the ATS shows counts for more than what the command was made from.
func TestTheRegionTheATSShowsCounts(t *testing.T) {
	t.Parallel()
	w := pinned(t, atssim.Inhouse{})
	moved := w.command("gh", 2, 1, toInterviews)
	moved.Requisition.Region = "de" // before the job went to New York
	w.send(moved)
	wantOutcome(t, w.terminal(moved.ID), wire.OutcomeKindRefused, DetailRegion)
	w.unwritten(2, moved.ID)
}
