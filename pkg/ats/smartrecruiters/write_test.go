package smartrecruiters_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/ats/smartrecruiters"
	"github.com/concord-ats/concord/pkg/wire"
)

// What a human closed between the read and the write stays closed: a status would open it again.
func TestNothingIsWrittenToAClosedApplication(t *testing.T) {
	t.Parallel()
	for _, closes := range []atssim.Action{{Kind: "reject", Reason: 14}, {Kind: "reject", Reason: 40}, {Kind: "hire"}} {
		sim, url, id := simulated(t, atssim.Config{})
		c := newClient(t, url)
		before, err := c.Read(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		closes.Application = 1
		if r := sim.Act(closes); !r.OK {
			t.Fatal(r.Error)
		}
		was, _ := sim.Application(1)
		for _, want := range []wire.Tuple{{Stage: "INTERVIEW"}, {Status: wire.ApplicationStatusHired}, {Status: wire.ApplicationStatusRejected}, {Status: wire.ApplicationStatusWithdrawn}} {
			err := c.Apply(t.Context(), id, before.Tuple, want)
			if ats.ClassOf(err) != ats.NotExecuted || ats.CodeOf(err) != ats.CodeStaleVersion {
				t.Errorf("%+v after %s: %v", want, closes.Kind, err)
			}
		}
		if is, _ := sim.Application(1); is.Status != was.Status || is.RejectionReasonID != was.RejectionReasonID || is.StageID != was.StageID {
			t.Errorf("after %s it shows %+v, was %+v", closes.Kind, is, was)
		}
		for _, e := range sim.Journal(0) {
			if e.Type == atssim.EntryRequest && e.Method == http.MethodPut {
				t.Errorf("%s was sent", e.Kind)
			}
		}
	}
}

// Without the look right before, the dialect does open it again: the look is what keeps it closed.
func TestAStatusOpensAClosedApplication(t *testing.T) {
	t.Parallel()
	sim, url, id := simulated(t, atssim.Config{})
	if r := sim.Act(atssim.Action{Kind: "reject", Application: 1, Reason: 14}); !r.OK {
		t.Fatal(r.Error)
	}
	one, in, _ := strings.Cut(id, "_")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url+"/candidates/"+one+"/jobs/"+in+"/status", strings.NewReader(`{"status":"INTERVIEW"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-SmartToken", "k")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if a, _ := sim.Application(1); res.StatusCode != http.StatusNoContent || a.Status != "active" || a.StageID != 1004 {
		t.Errorf("%d, and it shows %+v", res.StatusCode, a)
	}
}

// A write is about the application in the job it was decided for, whatever the candidate's other ones show, and asks for
// it in the words of the vendor's reference.
func TestWritesGoToTheirJob(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var wrote []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-SmartToken") != "k" || r.Header.Get("Authorization") != "" {
			t.Errorf("credentials of %s: %v", r.URL, r.Header)
		}
		if r.Method == http.MethodGet {
			_, _ = fmt.Fprint(w, `{"id":"`+candidate+`","primaryAssignment":{"job":{"id":"`+job+`"},"status":"HIRED"},"secondaryAssignments":[{"job":{"id":"`+otherJob+`"},"status":"NEW"}]}`)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		wrote = append(wrote, r.Method+" "+r.URL.Path+" "+string(body))
		mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(srv.Close)
	c := newClient(t, srv.URL, ats.Field{Element: "score", Key: "p1", Type: ats.FieldNumber}, ats.Field{Element: "status", Key: "p2"}, ats.Field{Element: "summary", Type: ats.FieldNote})
	active := wire.Tuple{Status: wire.ApplicationStatusActive, Stage: "NEW", Elements: []wire.Element{{Name: "status", Value: "passed"}}}
	other := smartrecruiters.NativeID(candidate, otherJob)
	for _, want := range []wire.Tuple{
		{Stage: "IN_REVIEW/Assessment", Elements: []wire.Element{{Name: "score", Value: "81.5"}, {Name: "status", Value: ""}, {Name: "summary", Value: "good"}}},
		{Status: wire.ApplicationStatusRejected, Reason: "r1"},
		{Status: wire.ApplicationStatusWithdrawn},
		{Status: wire.ApplicationStatusHired},
	} {
		if err := c.Apply(t.Context(), other, active, want); err != nil {
			t.Errorf("%+v: %v", want, err)
		}
	}
	if err := c.Apply(t.Context(), smartrecruiters.NativeID(candidate, job), active, wire.Tuple{Stage: "INTERVIEW"}); ats.CodeOf(err) != ats.CodeStaleVersion {
		t.Errorf("the application that is hired: %v", err)
	}
	closed := wire.Tuple{Status: wire.ApplicationStatusRejected}
	if err := c.Apply(t.Context(), other, closed, wire.Tuple{Status: wire.ApplicationStatusActive, Stage: "INTERVIEW"}); err != nil {
		t.Errorf("reopened: %v", err)
	}
	path := "PUT /candidates/" + candidate + "/jobs/" + otherJob
	if diff := cmp.Diff([]string{
		path + `/properties [{"id":"p1","value":81.5},{"id":"p2"}]`,
		`POST /messages/shares {"content":"[concord summary of ` + other + `]\ngood\n#[CANDIDATE:` + candidate + `]","shareWith":{"openNote":true}}`,
		path + `/status {"status":"IN_REVIEW","subStatus":"Assessment"}`,
		path + `/status {"reason":"r1","status":"REJECTED"}`,
		path + `/status {"reason":"00000009-0000-4000-8000-000000000028","status":"WITHDRAWN"}`,
		path + `/status {"status":"HIRED"}`,
		path + `/status {"status":"INTERVIEW"}`,
	}, wrote); diff != "" {
		t.Error(diff)
	}
}
