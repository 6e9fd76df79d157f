package smartrecruiters_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
		want.Version = 1527670497999999 // the end of the second
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
