package smartrecruiters_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/ats/smartrecruiters"
)

// Who is in several jobs is listed in one of them: every application is on a page, each page one request.
func TestCandidatesInSeveralJobsAreReadOneByOne(t *testing.T) {
	t.Parallel()
	assignment := func(job, rest string) string { return `{"job":{"id":"` + job + `"}` + rest + `}` }
	one := func(id, primary, secondary string) string {
		return `{"id":"` + id + `","updatedOn":"2018-05-30T08:54:57.000Z","primaryAssignment":` + primary + `,"secondaryAssignments":[` + secondary + `]}`
	}
	var mu sync.Mutex
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.URL.Path)
		mu.Unlock()
		switch {
		case r.URL.Path == "/candidates/c2" || r.URL.Path == "/candidates/c4":
			_, _ = fmt.Fprint(w, one(r.URL.Path[len("/candidates/"):], assignment("j1", `,"status":"NEW"`), assignment("j2", `,"status":"REJECTED","reasonOfRejection":{"id":"r1"}`)))
		case r.URL.Path != "/candidates": // c3 has been deleted
			http.NotFound(w, r)
		case r.URL.Query().Get("pageId") == "p|2":
			_, _ = fmt.Fprint(w, `{"content":[`+one("c4", assignment("j1", `,"status":"NEW"`), assignment("j2", ""))+`]}`)
		default:
			_, _ = fmt.Fprint(w, `{"nextPageId":"p|2","content":[`+one("c1", assignment("j1", `,"status":"OFFERED"`), "")+`,`+
				one("c2", assignment("j1", `,"status":"NEW"`), assignment("j2", ""))+`,`+one("c3", assignment("j1", `,"status":"NEW"`), assignment("j2", ""))+`]}`)
		}
	}))
	t.Cleanup(srv.Close)
	c := newClient(t, srv.URL)
	since := time.Date(2018, 5, 30, 0, 0, 0, 0, time.UTC)
	at, seen, pages := ats.Cursor{Since: since}, []string{}, 0
	for more := true; more; pages++ {
		page, err := c.ListChanged(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		for _, ch := range page.Changed {
			seen = append(seen, ch.ApplicationID+" "+ch.Reading.Tuple.Stage+" "+ch.Reading.Tuple.Status.String())
		}
		at, more = page.Next, page.More
	}
	want := []string{"c1_j1 OFFERED active", "c2_j1 NEW active", "c2_j2  rejected", "c4_j1 NEW active", "c4_j2  rejected"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("listed: %s", diff)
	}
	if at.Next != "" || !at.Since.After(since) {
		t.Errorf("the next walk begins at %+v", at)
	}
	if wantAsked := []string{"/candidates", "/candidates/c2", "/candidates/c3", "/candidates", "/candidates/c4"}; !slices.Equal(asked, wantAsked) || pages != len(wantAsked) {
		t.Errorf("%d pages took %q", pages, asked)
	}
}

// hangsFirst is a simulated account that gives the list of a client no answer for a while; ended is called when the
// client has none to expect any more.
func hangsFirst(t *testing.T, hang time.Duration) (c *smartrecruiters.Client, url string, ended func()) {
	t.Helper()
	sim, url, _ := simulated(t, atssim.Config{Hang: hang, RateLimit: atssim.RateLimit{Lists: atssim.SmartRecruiters{}.Limits().Lists}})
	c = newClient(t, url)
	faults := func(rate float64) {
		if err := sim.SetFaults(atssim.FaultState{Rates: atssim.Rates{atssim.FaultTimeoutBefore: rate}}); err != nil {
			t.Fatal(err)
		}
	}
	faults(1)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = c.ListChanged(ctx, ats.Cursor{}) })
	deadline, tick := time.After(20*time.Second), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !slices.ContainsFunc(sim.Journal(0), func(e atssim.Entry) bool { return e.Kind == "list" }) {
		select {
		case <-deadline:
			t.Fatal("the list never reached the ATS")
		case <-tick.C:
		}
	}
	faults(0)
	return c, url, func() {
		cancel()
		wg.Wait()
	}
}

// The vendor allows one list at once, and refuses another.
func TestTheDialectTakesOneListAtOnce(t *testing.T) {
	t.Parallel()
	_, url, ended := hangsFirst(t, time.Minute)
	defer ended()
	if _, err := newClient(t, url).ListChanged(t.Context(), ats.Cursor{}); ats.CodeOf(err) != ats.CodeRateLimited {
		t.Errorf("another client's list beside the first: %v", err)
	}
}

// A client sends its next list when the one before has ended, or not at all.
func TestAClientListsOnceAtATime(t *testing.T) {
	t.Parallel()
	c, _, ended := hangsFirst(t, time.Minute)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.ListChanged(gone, ats.Cursor{}); ats.ClassOf(err) != ats.NotExecuted || ats.CodeOf(err) != ats.CodeCancelled {
		t.Errorf("a list whose caller has gone: %v", err)
	}
	ended()
	c, _, ended = hangsFirst(t, 300*time.Millisecond)
	defer ended()
	if _, err := c.ListChanged(t.Context(), ats.Cursor{}); err != nil {
		t.Errorf("a list behind one that hangs for a while: %v", err)
	}
}
