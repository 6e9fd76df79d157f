package workable_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/ats/workable"
	"github.com/concord-ats/concord/pkg/wire"
)

func newClient(t *testing.T, url string, now func() time.Time) *workable.Client {
	t.Helper()
	c, err := workable.New(workable.Config{BaseURL: url, Token: "k", MemberID: "m", Now: now, Mapping: ats.Mapping{
		System: "workable-main", RejectReason: "8", Fields: []ats.Field{{Element: "score", Key: "screening_score", Type: ats.FieldNumber}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// Tags are written as a whole: those of other people, and those that only look like ours, stay.
func TestOtherTagsStay(t *testing.T) {
	t.Parallel()
	sim, err := atssim.New(atssim.Config{Dialect: atssim.Workable{}, ClientSecret: "k"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim)
	t.Cleanup(srv.Close)
	others := []string{"Referral", "screening_score"}
	if err := sim.Seed(atssim.Application{ID: 1, CandidateID: 2, Tags: append(slices.Clip(others), "screening_score: 1"), Fields: map[string]json.RawMessage{"screening_score": json.RawMessage("2.50")}}); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, srv.URL, nil)
	read := func() ats.Reading {
		r, err := c.Read(t.Context(), "1")
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if got, _ := ats.ElementValue(read().Tuple.Elements, "score"); got != "2.5" {
		t.Errorf("score %q, want the newest tag's", got)
	}
	for _, want := range []string{"3", ""} {
		if err := c.Apply(t.Context(), "1", read().Tuple, wire.Tuple{Elements: []wire.Element{{Name: "score", Value: want}}}); err != nil {
			t.Fatal(err)
		}
		if got, _ := ats.ElementValue(read().Tuple.Elements, "score"); got != want {
			t.Errorf("score %q, want %q", got, want)
		}
		if a, _ := sim.Application(1); !slices.Equal(a.Tags, others) {
			t.Errorf("tags %q", a.Tags)
		}
	}
}

// A hire that a disqualification came before is not sent: it would move the candidate into the stage of the hired.
func TestNoHireOfADisqualifiedCandidate(t *testing.T) {
	t.Parallel()
	sim, err := atssim.New(atssim.Config{Dialect: atssim.Workable{}, ClientSecret: "k"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim)
	t.Cleanup(srv.Close)
	if err := sim.Seed(atssim.Application{ID: 1, CandidateID: 2}); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, srv.URL, nil)
	before, err := c.Read(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	if r := sim.Act(atssim.Action{Kind: "reject", Application: 1}); !r.OK {
		t.Fatal(r.Error)
	}
	err = c.Apply(t.Context(), "1", before.Tuple, wire.Tuple{Status: wire.ApplicationStatusHired})
	if ats.ClassOf(err) != ats.NotExecuted || ats.CodeOf(err) != ats.CodeStaleVersion {
		t.Errorf("%v", err)
	}
	for _, e := range sim.Journal(0) {
		if e.Type == atssim.EntryRequest && e.Kind == "hire" {
			t.Error("the hire was sent")
		}
	}
}

// What is shown by name is looked up, and looked up anew when a name is not known, but not with every read.
func TestNamesAreLookedUp(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	stage, stages := "Screening", `{"slug":"assessment","name":"Screening","kind":"assessment"}`
	reason := `"Somebody's own words"`
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/spi/v3/candidates/1":
			_, _ = fmt.Fprintf(w, `{"candidate":{"id":"1","job":{"shortcode":"J1"},"stage":%q,"stage_kind":"assessment","disqualified":true,"disqualification_reason":%s,"updated_at":"2026-07-23T20:02:42Z"}}`, stage, reason)
		case "/spi/v3/jobs/J1/stages":
			asked.Add(1)
			_, _ = fmt.Fprintf(w, `{"stages":[%s]}`, stages)
		case "/spi/v3/disqualification_reasons":
			_, _ = fmt.Fprint(w, `[{"id":"b29c63","description":"Too far away","candidate_withdrew":false}]`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	now := time.Date(2026, 7, 23, 20, 0, 0, 0, time.UTC)
	c := newClient(t, srv.URL, func() time.Time { return now })
	shows := func(want, wantReason string, lookups int32) {
		t.Helper()
		r, err := c.Read(t.Context(), "1")
		if err != nil {
			t.Fatal(err)
		}
		if r.Tuple.Stage != want || r.Tuple.Reason != wantReason || r.Tuple.Status != wire.ApplicationStatusRejected || asked.Load() != lookups {
			t.Errorf("%+v after %d look-ups; want stage %q, reason %q and %d", r.Tuple, asked.Load(), want, wantReason, lookups)
		}
	}
	shows("assessment", "", 1) // a text that is no reason of the account's is no reason
	reason = `"Too far away"`
	shows("assessment", "b29c63", 1)
	stage = "Work sample"
	shows("Work sample", "b29c63", 1) // asked a moment ago: as it is shown, which nothing maps
	now = now.Add(time.Minute)
	stages += `,{"slug":"work-sample","name":"Work sample","kind":"interview"}`
	shows("work-sample", "b29c63", 2)
	now = now.Add(9 * time.Minute)
	shows("work-sample", "b29c63", 2)
	now = now.Add(time.Minute)
	shows("work-sample", "b29c63", 3) // renamed meanwhile, perhaps
}

func TestConfigNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := workable.New(workable.Config{BaseURL: "http://acme.workable.com", ReadLag: -1, Mapping: ats.Mapping{Fields: []ats.Field{{Element: "a", Key: "a: b"}}}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{"base url", "token", "member id", "read lag", "system", "colon"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
}
