package smartrecruiters_test

import (
	"errors"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/concord-ats/concord/pkg/ats/smartrecruiters"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
)

// The vendor's own example of a signature.
const (
	publishedSecret    = "HeBVky2bccvvkcXPimH8c"
	publishedSignature = "v1=2e9291f10d44ca10204a4cd81b05d73b6a316b2b605d4e2e0e0b37b40198ce1f"
)

var signedAt = time.Unix(1574080897, 0)

func publishedHeader() http.Header {
	h := http.Header{}
	h.Set(smartrecruiters.TimestampHeader, "1574080897")
	h.Set(smartrecruiters.EventIDHeader, "123")
	h.Set(smartrecruiters.EventNameHeader, "application.created")
	h.Set(smartrecruiters.VersionHeader, "v201910")
	h.Set(smartrecruiters.LinkHeader, "<http://smartrecruiters.com/endpoint>; rel=self")
	h.Set(smartrecruiters.SignatureHeader, publishedSignature)
	return h
}

func published(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/webhooks/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSignature(t *testing.T) {
	t.Parallel()
	body := published(t, "application_created.json")
	if got := smartrecruiters.Sign(publishedHeader(), body, publishedSecret); got != publishedSignature {
		t.Errorf("signed %s", got)
	}
	with := func(name, value string) http.Header {
		h := publishedHeader()
		h.Set(name, value)
		return h
	}
	for name, c := range map[string]struct {
		header  http.Header
		body    []byte
		secrets []string
		now     time.Time
		want    error
	}{
		"published":           {publishedHeader(), body, []string{publishedSecret}, signedAt, nil},
		"one of several keys": {with(smartrecruiters.SignatureHeader, "v1=00;v2=11; "+publishedSignature), body, []string{"new", publishedSecret}, signedAt, nil},
		"five minutes later":  {publishedHeader(), body, []string{publishedSecret}, signedAt.Add(5 * time.Minute), nil},
		"replayed":            {publishedHeader(), body, []string{publishedSecret}, signedAt.Add(301 * time.Second), webhook.ErrReplay},
		"another body":        {publishedHeader(), append(body, ' '), []string{publishedSecret}, signedAt, webhook.ErrSignature},
		"another event":       {with(smartrecruiters.EventNameHeader, "application.status.updated"), body, []string{publishedSecret}, signedAt, webhook.ErrSignature},
		"another link":        {with(smartrecruiters.LinkHeader, ""), body, []string{publishedSecret}, signedAt, webhook.ErrSignature},
		"another time":        {with(smartrecruiters.TimestampHeader, "1574080898"), body, []string{publishedSecret}, signedAt, webhook.ErrSignature},
		"another scheme":      {with(smartrecruiters.SignatureHeader, "v0"+publishedSignature[2:]), body, []string{publishedSecret}, signedAt, webhook.ErrSignature},
		"no signature":        {with(smartrecruiters.SignatureHeader, ""), body, []string{publishedSecret}, signedAt, webhook.ErrSignature},
		"no secret":           {publishedHeader(), body, nil, signedAt, webhook.ErrSignature},
	} {
		err := smartrecruiters.Webhooks{System: "sr-main", Secrets: c.secrets}.Verify(c.header, c.body, c.now)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	hooks := smartrecruiters.Webhooks{System: "sr-main"}
	hint := wire.AtsChange{
		ID: "123", Source: "/ats/sr-main", Type: "application.created", System: "sr-main", ObservedAt: wire.MicrosOf(signedAt),
		TimeBasis: wire.TimeBasisReceipt, ApplicationID: "sr-main/cid_jid", CandidateID: "cid", Requisition: wire.Requisition{ID: "jid"},
	}
	with := func(change func(*wire.AtsChange)) *wire.AtsChange {
		c := hint
		change(&c)
		return &c
	}
	for name, c := range map[string]struct {
		event, link, body string
		want              *wire.AtsChange
		problem           webhook.Problem
	}{
		"published":         {event: "application.created", body: string(published(t, "application_created.json")), want: &hint},
		"a status":          {event: "application.status.updated", body: string(published(t, "application_created.json")), want: with(func(c *wire.AtsChange) { c.Type = "application.stage_changed" })},
		"any other":         {event: "application.source.updated", body: string(published(t, "application_created.json")), want: with(func(c *wire.AtsChange) { c.Type = "application.updated" })},
		"thin, by its link": {event: "application.created", link: "<https://api.smartrecruiters.com/candidates/cid/jobs/jid>; rel=self", body: string(published(t, "thin.json")), want: &hint},
		"a candidate only": {event: "candidate.updated", body: string(published(t, "thin.json")), want: with(func(c *wire.AtsChange) {
			c.Type, c.ApplicationID, c.CandidateID, c.Requisition.ID = "application.updated", "", "string", ""
		})},
		"thin, without one":    {event: "application.created", body: string(published(t, "thin.json")), problem: webhook.ProblemNoID},
		"a job":                {event: "job.updated", body: string(published(t, "thin.json")), problem: webhook.ProblemAction},
		"no event":             {body: "{}", problem: webhook.ProblemAction},
		"not JSON":             {event: "application.created", body: "{", problem: webhook.ProblemMalformed},
		"an id of two halves":  {event: "application.created", body: `{"job_id":"j","candidate_id":"a_b"}`, problem: webhook.ProblemBadField},
		"an id that is a path": {event: "application.created", body: `{"job_id":"..","candidate_id":"../../x"}`, problem: webhook.ProblemBadField},
	} {
		h := http.Header{}
		h.Set(smartrecruiters.EventIDHeader, "123")
		h.Set(smartrecruiters.EventNameHeader, c.event)
		h.Set(smartrecruiters.LinkHeader, c.link)
		got, err := hooks.Parse(h, []byte(c.body), signedAt)
		var w *webhook.Error
		if errors.As(err, &w) != (c.problem != "") || w != nil && w.Problem != c.problem {
			t.Errorf("%s: %v, want %q", name, err, c.problem)
			continue
		}
		if c.want != nil {
			if diff := cmp.Diff([]webhook.Event{{Change: c.want}}, got); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
	h := http.Header{}
	h.Set(smartrecruiters.EventIDHeader, "123")
	h.Set(smartrecruiters.EventNameHeader, "candidate.deleted")
	deleted := &wire.CandidateEvent{
		ID: "123", Source: "/ats/sr-main", Type: "candidate.deleted", System: "sr-main", ObservedAt: wire.MicrosOf(signedAt), TimeBasis: wire.TimeBasisReceipt, CandidateID: "cid",
	}
	got, err := hooks.Parse(h, []byte(`{"id":"cid"}`), signedAt)
	if diff := cmp.Diff([]webhook.Event{{Candidate: deleted}}, got); err != nil || diff != "" {
		t.Errorf("a candidate who is deleted: %v %s", err, diff)
	}
	if hooks.Terms().Accepted != http.StatusAccepted || hooks.Terms().Handshake != "X-Hook-Secret" {
		t.Errorf("terms %+v", hooks.Terms())
	}
}
