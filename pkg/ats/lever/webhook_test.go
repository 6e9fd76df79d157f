package lever_test

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/concord-ats/concord/pkg/ats/lever"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
)

const secret, token = "signature-token", "4c1ce5a4c2d0f1a1b3c4d5e6f708192a3b4c5d6e7f809102"

var triggeredAt = time.UnixMilli(1605224290000)

// sent returns a body of testdata with its token and a valid signature.
func sent(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/webhooks/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("TOKEN", token, "SIGNATURE", lever.Sign(token, triggeredAt, secret)).Replace(string(b))
}

func TestSignature(t *testing.T) {
	t.Parallel()
	body := sent(t, "candidate_hired")
	replaced := func(old, with string) string { return strings.Replace(body, old, with, 1) }
	for name, c := range map[string]struct {
		body    string
		secrets []string
		now     time.Time
		want    error
	}{
		"signed":             {body, []string{secret}, triggeredAt, nil},
		"one of several":     {body, []string{"of another event", secret}, triggeredAt, nil},
		"a day later":        {body, []string{secret}, triggeredAt.Add(24 * time.Hour), nil},
		"replayed":           {body, []string{secret}, triggeredAt.Add(24*time.Hour + time.Second), webhook.ErrReplay},
		"another time":       {replaced("1605224290000", "1605224290001"), []string{secret}, triggeredAt, webhook.ErrSignature},
		"another token":      {replaced(token, "0"+token[1:]), []string{secret}, triggeredAt, webhook.ErrSignature},
		"moved between both": {strings.NewReplacer(token, token+"1", "1605224290000", "605224290000").Replace(body), []string{secret}, triggeredAt, webhook.ErrReplay},
		"another secret":     {body, []string{"other"}, triggeredAt, webhook.ErrSignature},
		"no secret":          {body, nil, triggeredAt, webhook.ErrSignature},
		"time as text":       {replaced("1605224290000", `"1605224290000"`), []string{secret}, triggeredAt, webhook.ErrSignature},
		"no signature":       {`{"event":"candidateHired","token":"` + token + `","triggeredAt":1605224290000}`, []string{secret}, triggeredAt, webhook.ErrSignature},
		"not JSON":           {"{", []string{secret}, triggeredAt, webhook.ErrSignature},
		"nothing":            {"", []string{secret}, triggeredAt, webhook.ErrSignature},
		"too deep":           {strings.Repeat("[", 100_000), []string{secret}, triggeredAt, webhook.ErrSignature},
	} {
		err := lever.Webhooks{System: "lv-main", Secrets: c.secrets}.Verify(http.Header{}, []byte(c.body), c.now)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// What is not signed is not believed: no stage and no status leaves a Lever webhook.
func TestParse(t *testing.T) {
	t.Parallel()
	hooks := lever.Webhooks{System: "lv-main"}
	for file, kind := range map[string]string{
		"application_created": "application.created", "candidate_stage_change": "application.stage_changed", "candidate_archive_change": "application.updated",
		"candidate_hired": "application.hired", "candidate_deleted": "application.deleted",
	} {
		want := []webhook.Event{{Change: &wire.AtsChange{
			ID: webhook.Hash([]byte(token)), Source: "/ats/lv-main", Type: kind, System: "lv-main", ObservedAt: wire.MicrosOf(triggeredAt),
			TimeBasis: wire.TimeBasisReceipt, ApplicationID: "lv-main/250d8f03-738a-4bba-a671-8a3d73477145", CandidateID: "7f23e772-f2cb-4ebb-b33f-54b872999992",
		}}}
		got, err := hooks.Parse(nil, []byte(sent(t, file)), triggeredAt)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", file, err, diff)
		}
	}
	for name, c := range map[string]struct {
		body    string
		problem webhook.Problem
	}{
		"an interview":    {`{"event":"interviewCreated","data":{}}`, webhook.ProblemAction},
		"nobody":          {`{"event":"candidateHired","data":{}}`, webhook.ProblemNoID},
		"no data":         {`{"event":"candidateHired"}`, webhook.ProblemNoID},
		"an id as a path": {`{"event":"candidateHired","data":{"opportunityId":"../users"}}`, webhook.ProblemBadField},
		"an id as a list": {`{"event":"candidateHired","data":{"opportunityId":[]}}`, webhook.ProblemBadField},
		"no event":        {`{}`, webhook.ProblemMalformed},
		"not an object":   {`7`, webhook.ProblemMalformed},
	} {
		_, err := hooks.Parse(nil, []byte(c.body), triggeredAt)
		var w *webhook.Error
		if !errors.As(err, &w) || w.Problem != c.problem {
			t.Errorf("%s: %v, want %s", name, err, c.problem)
		}
	}
	got, err := hooks.Parse(nil, []byte(`{"event":"candidateHired","token":"t","data":{"contactId":"c1"}}`), triggeredAt)
	if err != nil || len(got) != 1 || !got[0].Unresolved() || got[0].Change.CandidateID != "c1" {
		t.Errorf("a contact only: %+v, %v", got, err)
	}
	got, err = hooks.Parse(nil, []byte(`{"event":"candidateDeleted","token":"t","data":{"contactId":"c1"}}`), triggeredAt)
	if err != nil || len(got) != 1 || got[0].Candidate == nil || got[0].Candidate.Type != "candidate.deleted" || got[0].Candidate.CandidateID != "c1" {
		t.Errorf("a contact who is deleted: %+v, %v", got, err)
	}
}
