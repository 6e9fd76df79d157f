package gateway_test

import (
	"cmp"
	"net/http"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/concord-ats/concord/pkg/ats/smartrecruiters"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// A candidate who is deleted is on no list of what changed: the webhook goes to whoever knows the candidate's applications.
func TestADeletedCandidateIsNotLookedUp(t *testing.T) {
	t.Parallel()
	d := openResolving(t, &estate{}, nil)
	deleted := signed("smartrecruiters", `{"id":"c1"}`, "ev-1", current, now)
	deleted.header.Set(smartrecruiters.EventNameHeader, "candidate.deleted")
	deleted.header.Set(smartrecruiters.SignatureHeader, smartrecruiters.Sign(deleted.header, []byte(deleted.body), current))
	for _, c := range []struct {
		r      request
		status int
		key    string
	}{
		{deleted, http.StatusAccepted, "sr-main/c1"},
		{signed("ashby", `{"action":"candidateDelete","data":{"candidate":{"id":"c2"}}}`, "", current, now), http.StatusOK, "as-main/c2"},
		{signed("greenhouse", `{"action":"delete_candidate","payload":{"person":{"id":3}}}`, "ev-3", current, now), http.StatusOK, "gh-main/3"},
	} {
		if got := d.sendAs(c.r); got.status != c.status {
			t.Fatalf("%s: %d %s", c.key, got.status, got.text)
		}
	}
	want := map[string]bool{"sr-main/c1": true, "as-main/c2": true, "gh-main/3": true}
	for _, rec := range d.stored() {
		var e wire.CandidateEvent
		if rec.Topic != topics.CandidateEvents || d.schemas.DecodeLocal(rec.Value, &e) != nil {
			t.Fatalf("a record on %s", rec.Topic)
		}
		if !want[string(rec.Key)] || e.Type != "candidate.deleted" || e.System+"/"+e.CandidateID != string(rec.Key) || e.ID == "" {
			t.Errorf("%s: %+v", rec.Key, e)
		}
		delete(want, string(rec.Key))
	}
	if len(want) != 0 {
		t.Errorf("nothing of %v", want)
	}
}

// What happened to a person is taken over HTTP as over Kafka: under its candidate's key, checked as the identity processor
// checks.
func TestCandidateEvents(t *testing.T) {
	t.Parallel()
	const merged = `{"specversion":"1.0","id":"m1","source":"/hr","type":"candidate.merged","time":"2026-03-01T10:00:00Z","subject":"gh-main/9","data":{"new_candidate_id":"10","application_ids":["gh-main/7"]}}`
	token := "email:" + strings.Repeat("0a", 32)
	d := open(t, everyone)
	for name, r := range map[string]reply{
		"merged": d.event(structured, merged),
		"anonymised, binary": d.event("application/json", `{"system":"gh-main","candidate_id":"11","anonymized_fields":["email"]}`,
			"ce-specversion", "1.0", "ce-id", "a1", "ce-source", "/hr", "ce-type", "candidate.anonymized", "ce-time", "2026-03-01T10:00:00Z"),
		"deleted and a duplicate, batched": d.event(batched, `[{"specversion":"1.0","id":"d1","source":"/hr","type":"candidate.deleted","subject":"gh-main/12","data":{"time_basis":"receipt"}},`+
			strings.NewReplacer("m1", "d2", "merged", "duplicate", "main/9", "main/13").Replace(merged)+`,`+moved+`]`),
		"seen": d.event(structured, `{"specversion":"1.0","id":"s1","source":"/hr","type":"candidate.seen","time":"2026-03-01T10:00:00Z","subject":"gh-main/14","data":{"contacts":["`+token+`"]}}`),
		"Standard Webhooks": d.sendAs(signed("standard", `{"type":"candidate.anonymized","timestamp":"2026-03-01T10:00:00Z","data":{"system":"screener","candidate_id":"15"}}`,
			"w1", standard, now)),
	} {
		if r.status != http.StatusOK || r.text != "accepted" {
			t.Errorf("%s: %d %s", name, r.status, r.text)
		}
	}
	with := func(old, replacement string) string { return strings.Replace(merged, old, replacement, 1) }
	for name, c := range map[string]struct{ body, want string }{
		"Concord's own":          {with("merged", "linked"), "candidate.merged"},
		"no other":               {with(`"new_candidate_id":"10",`, ""), "new_candidate_id"},
		"itself":                 {with(`"10"`, `"9"`), "new_candidate_id"},
		"nobody":                 {with("gh-main/9", "gh-main/"), "candidate_id"},
		"no subject":             {with(`"subject":"gh-main/9",`, ""), "system"},
		"no instance":            {with("gh-main/9", "9"), "candidate_id"},
		"another candidate":      {with(`"data":{`, `"data":{"system":"gh-main","candidate_id":"8",`), "differ from the subject"},
		"another's application":  {with("gh-main/7", "sr-main/7"), "application_ids"},
		"an address":             {with(`"new_candidate_id"`, `"contacts":["jane@example.com"],"new_candidate_id"`), "keyed hash"},
		"a contact's":            {with(`"new_candidate_id"`, `"contact":"`+token+`","new_candidate_id"`), "contact"},
		"no time":                {with(`"time":"2026-03-01T10:00:00Z",`, ""), "time is missing"},
		"an application besides": {with(`"data":{`, `"data":{"id":"m2",`), "data.id differs"},
	} {
		if r := d.event(structured, c.body); r.status != http.StatusUnprocessableEntity || !strings.Contains(r.text, c.want) || strings.Contains(r.text, "jane") {
			t.Errorf("%s: %d %s, want %q", name, r.status, r.text, c.want)
		}
	}
	if r := d.sendAs(signed("standard", `{"type":"candidate.anonymized","timestamp":"2026-03-01T10:00:00Z","data":{"system":"gh-main","candidate_id":"15"}}`, "w2", standard, now)); !strings.Contains(r.text, "dead letter") {
		t.Errorf("another's candidate: %d %s", r.status, r.text)
	}
	want := map[string]wire.CandidateEvent{
		"gh-main/9":   {ID: "m1", Type: "candidate.merged", NewCandidateID: "10", ApplicationIDs: []string{"gh-main/7"}},
		"gh-main/11":  {ID: "a1", Type: "candidate.anonymized", AnonymizedFields: []string{"email"}},
		"gh-main/12":  {ID: "d1", Type: "candidate.deleted", TimeBasis: wire.TimeBasisReceipt},
		"gh-main/13":  {ID: "d2", Type: "candidate.duplicate", NewCandidateID: "10", ApplicationIDs: []string{"gh-main/7"}},
		"gh-main/14":  {ID: "s1", Type: "candidate.seen", Contacts: []string{token}},
		"screener/15": {ID: "w1", Type: "candidate.anonymized", Source: "/vendors/screener"},
	}
	for _, rec := range d.stored() {
		if rec.Topic != topics.CandidateEvents {
			continue
		}
		var got wire.CandidateEvent
		if err := d.schemas.DecodeLocal(rec.Value, &got); err != nil {
			t.Fatal(err)
		}
		w := want[string(rec.Key)]
		delete(want, string(rec.Key))
		w.System, w.CandidateID, _ = strings.Cut(string(rec.Key), "/")
		w.Source, w.ObservedAt = cmp.Or(w.Source, "/hr"), wire.MicrosOf(now)
		if w.TimeBasis != wire.TimeBasisReceipt {
			w.OccurredAt = wire.MicrosOf(time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC))
		}
		if diff := gocmp.Diff(w, got, cmpopts.EquateEmpty()); diff != "" || got.Check() != nil {
			t.Errorf("%s: %s, %v", rec.Key, diff, got.Check())
		}
	}
	if len(want) != 0 {
		t.Errorf("not stored: %v", want)
	}
}
