package ashby_test

import (
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/ashby"
	"github.com/concord-ats/concord/pkg/contact"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func body(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/webhooks/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSignature(t *testing.T) {
	t.Parallel()
	text := body(t, "candidate_hire")
	valid := ashby.Sign([]byte(text), "secret")
	for name, c := range map[string]struct {
		signature, body string
		secrets         []string
		ok              bool
	}{
		"signed":         {valid, text, []string{"secret"}, true},
		"rotated":        {valid, text, []string{"new", "secret"}, true},
		"another body":   {valid, text + " ", []string{"secret"}, false},
		"another secret": {valid, text, []string{"other"}, false},
		"no secret":      {valid, text, nil, false},
		"no algorithm":   {strings.TrimPrefix(valid, "sha256="), text, []string{"secret"}, false},
		"half of it":     {valid[:40], text, []string{"secret"}, false},
		"none":           {"", text, []string{"secret"}, false},
	} {
		h := http.Header{}
		h.Set(ashby.SignatureHeader, c.signature)
		if err := (ashby.Webhooks{Secrets: c.secrets}).Verify(h, []byte(c.body), now); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s := (ashby.Webhooks{}).Terms().Refused; s != http.StatusBadRequest {
		t.Errorf("Ashby would give up after %d", s)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	hooks := ashby.Webhooks{Mapping: ats.Mapping{System: "as-main", Fields: []ats.Field{{Element: "screening_score", Key: "f1", Type: ats.FieldNumber}}, WithdrawReasons: []string{"gone"}}}
	updated := wire.MicrosOf(time.Date(2022, 7, 26, 15, 58, 20, 511e6, time.UTC))
	record := wire.AtsChange{
		Source: "/ats/as-main", System: "as-main", ObservedAt: wire.MicrosOf(now), OccurredAt: updated, TimeBasis: wire.TimeBasisRecord,
		ApplicationID: "as-main/3ae2b801-19f6-41ef-ad28-214bd731948f", CandidateID: "e9ed20fd-d45f-4aad-8a00-a19bfba0083e",
		Requisition: wire.Requisition{ID: "aaf45503-0b07-4e0a-a1c4-9b1a3f1a6a0e"}, Status: wire.ApplicationStatusActive,
		Stage: wire.NativeStage{ID: "17a17950-15a9-4d2a-9ce6-2c8b6f6b4c8e", Name: "Technical Phone Screen"},
	}
	reached := []contact.Contact{contact.New(contact.Email, "test@example.com")} // the published payloads show no number
	for file, change := range map[string]func(*wire.AtsChange){
		"application_submit":     func(c *wire.AtsChange) { c.Type, c.Stage.Name = "application.created", "Application Review" },
		"candidate_stage_change": func(c *wire.AtsChange) { c.Type = "application.stage_changed" },
		"candidate_hire": func(c *wire.AtsChange) {
			c.Type, c.Status, c.Stage = "application.hired", wire.ApplicationStatusHired, wire.NativeStage{} // the closing stage says nothing
		},
		"application_update": func(c *wire.AtsChange) {
			c.Type, c.Status, c.Stage, c.Reason = "application.updated", wire.ApplicationStatusRejected, wire.NativeStage{}, "98d0a8f2-14a0-4b2e-a3ee-2a5b5d0ea6b4"
		},
	} {
		want := record
		change(&want)
		text := body(t, file)
		want.ID = webhook.Hash([]byte(text))
		got, err := hooks.Parse(nil, []byte(text), now)
		if diff := cmp.Diff([]webhook.Event{{Change: &want, Contacts: reached}}, got, cmp.Comparer(func(a, b contact.Contact) bool { return a == b })); err != nil || diff != "" {
			t.Errorf("%s: %v %s", file, err, diff)
		}
	}
	numbered := strings.Replace(body(t, "candidate_stage_change"), `"primaryEmailAddress"`, `"primaryPhoneNumber": {"value": "+49 30 123456", "type": "Work", "isPrimary": true}, "primaryEmailAddress"`, 1)
	if got, err := hooks.Parse(nil, []byte(numbered), now); err != nil || !slices.Equal(got[0].Contacts, append(reached, contact.New(contact.Phone, "+49 30 123456"))) {
		t.Errorf("with a number: %v, %v", got, err)
	}
	nobody := strings.Replace(body(t, "candidate_stage_change"), `"primaryEmailAddress": {`, `"primaryPhoneNumber": null, "primaryEmailAddress": "gone", "was": {`, 1)
	if got, err := hooks.Parse(nil, []byte(nobody), now); err != nil || got[0].Contacts != nil {
		t.Errorf("of another shape: %v, %v", got, err)
	}
	// One action's three webhooks share an id, and each is an event of its own.
	named := strings.Replace(body(t, "candidate_hire"), `"action"`, `"webhookActionId": "wa-1", "action"`, 1)
	got, err := hooks.Parse(nil, []byte(named), now)
	if want := "wa-1.candidateHire.1658851100511000"; err != nil || got[0].Change.ID != want {
		t.Errorf("identity %v, %v; want %s", got, err, want)
	}
	drifted := strings.NewReplacer(`"customFields": []`, `"customFields": [{"id":"f1","title":"Score","value":"81.0"}]`, `"Active",`, `"Archived", "archiveReason": {"id":"gone"},`).Replace(body(t, "candidate_stage_change"))
	if got, err = hooks.Parse(nil, []byte(drifted), now); err != nil || got[0].Change.Status != wire.ApplicationStatusWithdrawn || len(got[0].Change.Elements) != 1 || got[0].Change.Elements[0].Value != "81" {
		t.Errorf("withdrawn with a score: %+v, %v", got, err)
	}
	for name, c := range map[string]struct {
		body    string
		problem webhook.Problem
	}{
		"ping":           {`{"action":"ping","data":{"webhookType":"candidateHire"}}`, ""},
		"a job":          {`{"action":"jobUpdate","data":{}}`, webhook.ProblemAction},
		"no application": {`{"action":"candidateHire","data":{}}`, webhook.ProblemNoID},
		"no data":        {`{"action":"candidateHire"}`, webhook.ProblemNoID},
		"no id":          {`{"action":"candidateHire","data":{"application":{"status":"Hired"}}}`, webhook.ProblemNoID},
		"an id as path":  {`{"action":"candidateHire","data":{"application":{"id":"../x"}}}`, webhook.ProblemBadField},
		"no time":        {`{"action":"candidateHire","data":{"application":{"id":"a1","updatedAt":"yesterday"}}}`, webhook.ProblemBadField},
		"nobody deleted": {`{"action":"candidateDelete","data":{"candidate":{}}}`, webhook.ProblemNoID},
		"nobody merged":  {`{"action":"candidateMerge","data":{"deletedCandidate":{},"mergedCandidate":null}}`, webhook.ProblemNoID},
		"a path merged":  {`{"action":"candidateMerge","data":{"deletedCandidate":{"id":"../c1"},"mergedCandidate":{"id":"c2"}}}`, webhook.ProblemNoID},
		"not JSON":       {`{`, webhook.ProblemMalformed},
	} {
		got, err := hooks.Parse(nil, []byte(c.body), now)
		var w *webhook.Error
		if errors.As(err, &w) != (c.problem != "") || w != nil && w.Problem != c.problem || len(got) != 0 {
			t.Errorf("%s: %v %v, want %q", name, got, err, c.problem)
		}
	}
	deleted := &wire.CandidateEvent{
		ID: "wa-1.candidateDelete", Source: "/ats/as-main", Type: "candidate.deleted", System: "as-main", ObservedAt: wire.MicrosOf(now), TimeBasis: wire.TimeBasisReceipt, CandidateID: "c1",
	}
	got, err = hooks.Parse(nil, []byte(`{"action":"candidateDelete","webhookActionId":"wa-1","data":{"candidate":{"id":"c1"}}}`), now)
	if diff := cmp.Diff([]webhook.Event{{Candidate: deleted}}, got); err != nil || diff != "" {
		t.Errorf("a candidate who is deleted: %v %s", err, diff)
	}
}

// A merge names who is gone and who is left. One that says less is no merge: who is gone has the applications read, and who
// is only named is looked up.
func TestMerge(t *testing.T) {
	t.Parallel()
	hooks := ashby.Webhooks{Mapping: ats.Mapping{System: "as-main"}}
	said := func(change func(*wire.CandidateEvent)) []webhook.Event {
		e := &wire.CandidateEvent{
			ID: "wa-1.candidateMerge", Source: "/ats/as-main", Type: "candidate.merged", System: "as-main", ObservedAt: wire.MicrosOf(now), TimeBasis: wire.TimeBasisReceipt,
			CandidateID: "c1", NewCandidateID: "c2",
		}
		change(e)
		return []webhook.Event{{Candidate: e}}
	}
	named := func(id string) []webhook.Event {
		return []webhook.Event{{Change: &wire.AtsChange{
			ID: "wa-1.candidateMerge", Source: "/ats/as-main", Type: "application.updated", System: "as-main", ObservedAt: wire.MicrosOf(now), TimeBasis: wire.TimeBasisReceipt, CandidateID: id,
		}}}
	}
	for data, want := range map[string][]webhook.Event{
		`{"deletedCandidate":{"id":"c1"},"mergedCandidate":{"id":"c2"}}`: said(func(*wire.CandidateEvent) {}),
		`{"deletedCandidate":{"id":"c1"}}`:                               said(func(e *wire.CandidateEvent) { e.Type, e.NewCandidateID = "candidate.deleted", "" }),
		`{"deletedCandidate":{"id":"c1"},"mergedCandidate":{"id":"c1"}}`: said(func(e *wire.CandidateEvent) { e.Type, e.NewCandidateID = "candidate.deleted", "" }),
		`{"mergedCandidate":{"id":"c2"}}`:                                named("c2"),
		`{"candidate":{"id":"c3"}}`:                                      named("c3"),
	} {
		got, err := hooks.Parse(nil, []byte(`{"action":"candidateMerge","webhookActionId":"wa-1","data":`+data+`}`), now)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatalf("%s: %v %s", data, err, diff)
		}
		if c := got[0].Candidate; c != nil && c.Check() != nil {
			t.Errorf("%s: %v", data, c.Check())
		}
	}
}
