package greenhouse_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/ats/greenhouse"
	"github.com/concord-ats/concord/pkg/wire"
)

// asked are the look-ups of jobs and offices there were.
func (r *rig) asked() (paths []string) {
	for _, e := range r.sim.Journal(0) {
		if e.Type == atssim.EntryRequest && e.Kind == "lookup" {
			paths = append(paths, e.Path)
		}
	}
	return paths
}

// A read and a walk tell the region and type of a job as its webhooks do, and ask once for each.
func TestTheJobIsLookedUpOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, atssim.Config{}, nil)
	for i, office := range []string{"Berlin", "New York", "Berlin"} {
		n := int64(i + 1)
		if err := r.sim.Seed(atssim.Application{ID: n, JobID: 70 + n, StageID: 71416, Office: office, EmploymentType: "Full-time"}); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]wire.Requisition{
		"1": {ID: "71", Type: "full_time", Region: "de"}, "2": {ID: "72", Type: "full_time", Region: "us"}, "3": {ID: "73", Type: "full_time", Region: "de"}, app: {ID: "3485"},
	}
	for range 2 {
		page, err := r.client.ListChanged(t.Context(), ats.Cursor{})
		if err != nil || len(page.Changed) != len(want) {
			t.Fatal(page, err)
		}
		for _, c := range page.Changed {
			if got := c.Reading.Requisition; got != want[c.ApplicationID] {
				t.Errorf("walk: application %s is for %+v, want %+v", c.ApplicationID, got, want[c.ApplicationID])
			}
		}
		for id, req := range want {
			if got, err := r.client.Read(t.Context(), id); err != nil || got.Requisition != req {
				t.Errorf("read: application %s is for %+v, want %+v (%v)", id, got.Requisition, req, err)
			}
		}
	}
	if got := r.asked(); !slices.Equal(got, []string{"/v3/jobs", "/v3/offices"}) {
		t.Errorf("asked for %v, want the jobs and the offices once", got)
	}
	r.clock.Advance(ats.KeptLife)
	moved := atssim.Application{ID: 1, JobID: 71, StageID: 71416, Office: "London"}
	if err := r.sim.Seed(moved); err != nil {
		t.Fatal(err)
	}
	if got, err := r.client.Read(t.Context(), "1"); err != nil || got.Requisition.Region != "gb" {
		t.Errorf("after the job has moved: %+v (%v)", got.Requisition, err)
	}
}

// A credential that may not see jobs reads applications as before: their region is not known, which is asked for again in a
// minute and not with every read. What went wrong otherwise is an error, and no region that is not known.
func TestJobsThatMayNotBeSeen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		fails  bool
		asked  int
	}{{http.StatusForbidden, false, 1}, {http.StatusBadGateway, true, 2}} {
		var r *rig
		asked := 0
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if strings.HasPrefix(q.URL.Path, "/v3/jobs") {
				asked++
				w.WriteHeader(c.status)
				return
			}
			r.sim.ServeHTTP(w, q)
		}))
		t.Cleanup(front.Close)
		r = newRig(t, atssim.Config{}, func(g *greenhouse.Config) { g.BaseURL, g.TokenURL = front.URL, front.URL+"/token" })
		for range 2 {
			got, err := r.client.Read(t.Context(), app)
			if (err != nil) != c.fails || err == nil && (got.Requisition != wire.Requisition{ID: "3485"}) {
				t.Errorf("%d: %+v, %v", c.status, got.Requisition, err)
			}
			if err != nil && ats.ClassOf(err) != ats.NotExecuted {
				t.Errorf("%d: a read of class %v", c.status, ats.ClassOf(err))
			}
		}
		if asked != c.asked {
			t.Errorf("%d: asked for the job %d times, want %d", c.status, asked, c.asked)
		}
	}
}
