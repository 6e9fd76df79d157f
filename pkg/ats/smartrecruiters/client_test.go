package smartrecruiters_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/ats/smartrecruiters"
	"github.com/concord-ats/concord/pkg/wire"
)

const (
	candidate = "788dfc72-a6eb-441b-837f-d7c39efb3f04"
	job       = "aaf11eed-b69e-4ea5-97ad-43321f706fa5"
	otherJob  = "78d3ef91-8868-4ff3-b35d-9debf9d6f31f"
)

func mapping(fields ...ats.Field) ats.Mapping {
	reason := func(n int64) string { return atssim.SmartRecruiters{}.Spell(atssim.KindReason, n) }
	return ats.Mapping{System: "sr-main", RejectReason: reason(8), WithdrawReasons: []string{reason(40)}, Fields: fields}
}

// newClient is a client with an API key.
func newClient(t *testing.T, url string, fields ...ats.Field) *smartrecruiters.Client {
	t.Helper()
	c, err := smartrecruiters.New(smartrecruiters.Config{BaseURL: url, ClientSecret: "k", Mapping: mapping(fields...)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// simulated is a simulated account with one application, and its native id.
func simulated(t *testing.T, cfg atssim.Config) (*atssim.Server, string, string) {
	t.Helper()
	cfg.Dialect, cfg.ClientSecret = atssim.SmartRecruiters{}, "k"
	sim, err := atssim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim)
	t.Cleanup(srv.Close)
	if err := sim.Seed(atssim.Application{ID: 1, CandidateID: 2, StageID: 71416}); err != nil {
		t.Fatal(err)
	}
	return sim, srv.URL, cfg.Dialect.Spell(atssim.KindApplication, 1)
}

// shown serves one candidate whose body is made anew for each request.
func shown(t *testing.T, body func() string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/candidates/"+candidate {
			http.NotFound(w, r)
			return
		}
		_, _ = fmt.Fprint(w, body())
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

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

func TestStatuses(t *testing.T) {
	t.Parallel()
	status := ""
	c := newClient(t, shown(t, func() string {
		return `{"id":"` + candidate + `","updatedOn":"2018-05-30T08:54:57.000Z","primaryAssignment":{"job":{"id":"` + job + `"},` + status + `}}`
	}))
	for json, want := range map[string]wire.Tuple{
		`"status":"LEAD"`:      {Status: wire.ApplicationStatusActive, Stage: "LEAD"},
		`"status":"IN_REVIEW"`: {Status: wire.ApplicationStatusActive, Stage: "IN_REVIEW"},
		`"status":"OFFERED","subStatus":"Offer Accepted"`:                     {Status: wire.ApplicationStatusActive, Stage: "OFFERED/Offer Accepted"},
		`"status":"HIRED","subStatus":"Offer Accepted"`:                       {Status: wire.ApplicationStatusHired},
		`"status":"REJECTED","reasonOfRejection":{"id":"r1","label":"Other"}`: {Status: wire.ApplicationStatusRejected, Reason: "r1"},
		`"status":"REJECTED"`: {Status: wire.ApplicationStatusRejected},
		`"status":"WITHDRAWN","reasonOfWithdrawal":{"id":"w1","label":"Commute"}`:        {Status: wire.ApplicationStatusWithdrawn, Reason: "w1"},
		`"status":"WITHDRAWN","reasonOfRejection":{"id":"r1","label":"not of this one"}`: {Status: wire.ApplicationStatusWithdrawn},
		`"status":"TRANSFERRED"`: {},
	} {
		status = json
		r, err := c.Read(t.Context(), smartrecruiters.NativeID(candidate, job))
		want.Version = 1527670497000000
		if diff := cmp.Diff(want, r.Tuple); err != nil || diff != "" {
			t.Errorf("%s: %v %s", json, err, diff)
		}
	}
	status = `"subStatus":"x"`
	if _, err := c.Read(t.Context(), smartrecruiters.NativeID(candidate, job)); ats.CodeOf(err) != ats.CodeBadResponse {
		t.Errorf("no status: %v", err)
	}
	if _, err := c.Read(t.Context(), smartrecruiters.NativeID(candidate, otherJob)); ats.CodeOf(err) != ats.CodeNotFound {
		t.Errorf("a job the candidate is not in: %v", err)
	}
	for _, id := range []string{candidate, candidate + "_", "_" + job, candidate + "_" + job + "_x", candidate + ":" + job} {
		if _, err := c.Read(t.Context(), id); ats.ClassOf(err) != ats.Refused || ats.CodeOf(err) != ats.CodeInvalid {
			t.Errorf("%s: %v", id, err)
		}
	}
}

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

// A note is found again however the tag on its last line is shown.
func TestNotesAreFoundByTheirFirstLine(t *testing.T) {
	t.Parallel()
	id := smartrecruiters.NativeID(candidate, job)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/messages" {
			if q := r.URL.Query(); q.Get("candidateId") != candidate || q.Get("jobId") != job {
				t.Errorf("asked for %s", r.URL)
			}
			note := func(application, text, on string) string {
				return fmt.Sprintf(`{"content":"[concord summary of %s]\n%s\n<a>Somebody</a>","createdOn":"%s"}`, application, text, on)
			}
			if r.URL.Query().Get("pageId") == "" {
				_, _ = fmt.Fprint(w, `{"nextPageId":"2","content":[`+note(smartrecruiters.NativeID(candidate, otherJob), "of another job", "2021-07-29T00:00:00.000Z")+`,{"content":"hello","createdOn":"2021-07-29T00:00:00.000Z"}]}`)
				return
			}
			_, _ = fmt.Fprint(w, `{"content":[`+note(id, `two\nlines`, "2021-07-28T00:00:00.000Z")+`,`+note(id, "the old one", "2021-07-27T00:00:00.000Z")+`]}`)
			return
		}
		_, _ = fmt.Fprint(w, `{"id":"`+candidate+`","updatedOn":"2018-05-30T08:54:57.000Z","primaryAssignment":{"job":{"id":"`+job+`"},"status":"NEW"}}`)
	}))
	t.Cleanup(srv.Close)
	c := newClient(t, srv.URL, ats.Field{Element: "summary", Type: ats.FieldNote})
	r, err := c.Read(t.Context(), id)
	if got, _ := ats.ElementValue(r.Tuple.Elements, "summary"); err != nil || got != "two\nlines" {
		t.Errorf("%q, %v", got, err)
	}
	if caps := c.Capabilities(); caps.Reads() != 2 {
		t.Errorf("%d requests declared, of a candidate and the messages", caps.Reads())
	}
}

// An answer without what it is for is none: an estate must not read as empty, nor a candidate as one with nothing set.
func TestAnswersWithoutTheirContent(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/candidates/"+candidate {
			_, _ = fmt.Fprint(w, `{"id":"`+candidate+`","primaryAssignment":{"job":{"id":"`+job+`"},"status":"NEW"}}`)
			return
		}
		_, _ = fmt.Fprint(w, `{"success":false}`)
	}))
	t.Cleanup(srv.Close)
	_, err := newClient(t, srv.URL).ListChanged(t.Context(), ats.Cursor{})
	for what, err := range map[string]error{
		"list": err, "properties": readWith(t, srv.URL, ats.Field{Element: "score", Key: "p1"}), "messages": readWith(t, srv.URL, ats.Field{Element: "summary", Type: ats.FieldNote}),
	} {
		if ats.ClassOf(err) != ats.NotExecuted || ats.CodeOf(err) != ats.CodeBadResponse {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func readWith(t *testing.T, url string, f ats.Field) error {
	t.Helper()
	_, err := newClient(t, url, f).Read(t.Context(), smartrecruiters.NativeID(candidate, job))
	return err
}

func TestConfigNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := smartrecruiters.New(smartrecruiters.Config{BaseURL: "http://api.example.com", TokenURL: "ftp://x", ReadLag: -1})
	if err == nil {
		t.Fatal("no fault")
	}
	for _, want := range []string{"system", "base url", "token url", "client secret", "read lag"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named: %v", want, err)
		}
	}
}
