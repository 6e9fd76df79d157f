package greenhouse_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/concord-ats/concord/pkg/ats/atstest"
	"github.com/concord-ats/concord/pkg/ats/greenhouse"
	"github.com/concord-ats/concord/pkg/contact"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
)

func published(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var receivedAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func mapping() *greenhouse.Mapping {
	m := greenhouse.Mapping(atstest.GreenhouseMapping("gh-main"))
	m.Fields = append(m.Fields, greenhouse.Field{Element: "note", Key: "custom_application_field", ID: 9005})
	return &m
}

func micros(s string) wire.Micros {
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return wire.Micros(v.UnixMicro())
}

// The seven published bodies, as they are.
func TestPublishedWebhooks(t *testing.T) {
	t.Parallel()
	header := http.Header{}
	header.Set(greenhouse.EventIDHeader, "ev-1")
	observed := wire.Micros(receivedAt.UnixMicro())
	change := func(c wire.AtsChange) webhook.Event {
		c.Source, c.System, c.ObservedAt = "/ats/gh-main", "gh-main", observed
		return webhook.Event{Change: &c}
	}
	candidate := func(c wire.CandidateEvent) webhook.Event {
		c.Source, c.System, c.ObservedAt, c.TimeBasis, c.ID = "/ats/gh-main", "gh-main", observed, wire.TimeBasisReceipt, "ev-1"
		return webhook.Event{Candidate: &c}
	}
	example123 := []wire.Element{{Name: "note", Value: "Example123"}}
	for file, want := range map[string]webhook.Event{
		"candidate_stage_change.json": change(wire.AtsChange{
			ID: "ev-1.1423499916000000", Type: "application.stage_changed", OccurredAt: micros("2015-02-09T16:38:36Z"),
			TimeBasis: wire.TimeBasisRecord, ApplicationID: "gh-main/265277", CandidateID: "265772",
			Requisition: wire.Requisition{ID: "3485", Type: "full_time", Region: "us"},
			Stage:       wire.NativeStage{ID: "71416", Name: "Assessment"}, Status: wire.ApplicationStatusActive,
			Elements: []wire.Element{{Name: "note", Value: "Example"}},
		}),
		"new_candidate_application.json": change(wire.AtsChange{
			ID: "ev-1.1509115482000000", Type: "application.created", OccurredAt: micros("2017-10-27T14:44:42Z"),
			TimeBasis: wire.TimeBasisRecord, ApplicationID: "gh-main/71980812", CandidateID: "60304594",
			Requisition: wire.Requisition{ID: "274075", Type: "full_time", Region: "gb"},
			Stage:       wire.NativeStage{ID: "2944102", Name: "Preliminary Phone Screen"}, Status: wire.ApplicationStatusActive,
		}),
		"reject_candidate.json": change(wire.AtsChange{
			ID: "ev-1.1423669841000000", Type: "application.rejected", OccurredAt: micros("2015-02-11T15:50:41Z"),
			TimeBasis: wire.TimeBasisRecord, ApplicationID: "gh-main/265293", CandidateID: "265788",
			Requisition: wire.Requisition{ID: "371417", Type: "full_time", Region: "us"},
			Stage:       wire.NativeStage{ID: "2708728", Name: "Offer"}, Status: wire.ApplicationStatusRejected, Reason: "14",
			Elements: example123,
		}),
		"unreject_candidate.json": change(wire.AtsChange{
			ID: "ev-1.1423669841000000", Type: "application.unrejected", OccurredAt: micros("2015-02-11T15:50:41Z"),
			TimeBasis: wire.TimeBasisRecord, ApplicationID: "gh-main/265293", CandidateID: "265788",
			Requisition: wire.Requisition{ID: "371417", Type: "full_time", Region: "us"},
			Stage:       wire.NativeStage{ID: "2708728", Name: "Offer"}, Status: wire.ApplicationStatusActive,
			Elements: example123,
		}),
		"hire_candidate.json": change(wire.AtsChange{
			ID: "ev-1", Type: "application.hired", TimeBasis: wire.TimeBasisReceipt, ApplicationID: "gh-main/46194062",
			CandidateID: "35897443", Requisition: wire.Requisition{ID: "323753", Type: "full_time", Region: "us"},
			Status: wire.ApplicationStatusHired, Elements: example123,
		}),
		"merge_candidate.json": candidate(wire.CandidateEvent{
			Type: "candidate.merged", CandidateID: "37031511", NewCandidateID: "457456",
		}),
		"candidate_anonymized.json": candidate(wire.CandidateEvent{
			Type: "candidate.anonymized", CandidateID: "37031511", AnonymizedFields: []string{"full_name", "current_title"},
		}),
	} {
		got, err := mapping().ParseWebhook(published(t, file), header, receivedAt)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		shows := bytes.Contains(published(t, file), []byte("email_addresses"))
		if has := slices.ContainsFunc(got[0].Contacts, func(c contact.Contact) bool { return c.Kind == contact.Email }); has != shows {
			t.Errorf("%s: an address among the contacts: %t, in the body: %t", file, has, shows)
		}
		want.Contacts = got[0].Contacts
		if diff := cmp.Diff([]webhook.Event{want}, got); diff != "" {
			t.Errorf("%s: %s", file, diff)
		}
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) != 7 {
		t.Errorf("%d published bodies, %v: want the seven above", len(files), err)
	}
}

// The secret and the digest are those the recipient of this very ping published: a known answer that no code
// of ours had a part in.
func TestPublishedPingSignature(t *testing.T) {
	t.Parallel()
	const (
		secret    = "1uSUju2H6AohOE7OQVaxeLT3O8Uxxuas"
		signature = "sha256 395b1309fd37f0732d1ed11c15e03edd61b818918df6bf93be7c71bafb09c877"
	)
	body := published(t, "ping.raw")
	for name, secrets := range map[string][]string{"alone": {secret}, "rotating": {"old", secret}, "rotated": {secret, "new"}} {
		if err := greenhouse.VerifySignature(body, signature, secrets...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := greenhouse.Sign(body, secret); got != signature {
		t.Errorf("Sign: %s", got)
	}
	if events, err := mapping().ParseWebhook(body, nil, receivedAt); err != nil || len(events) != 0 {
		t.Errorf("ping: %v, %v: want no event and no error", events, err)
	}
	for name, c := range map[string]struct {
		body      []byte
		signature string
		secrets   []string
	}{
		"no secret":       {body, signature, nil},
		"empty secret":    {body, greenhouse.Sign(body, ""), []string{""}},
		"other secret":    {body, signature, []string{"1uSUju2H6AohOE7OQVaxeLT3O8Uxxuat"}},
		"one byte more":   {append(bytes.Clone(body), ' '), signature, []string{secret}},
		"no header":       {body, "", []string{secret}},
		"no algorithm":    {body, strings.TrimPrefix(signature, "sha256 "), []string{secret}},
		"other algorithm": {body, "sha1" + strings.TrimPrefix(signature, "sha256"), []string{secret}},
		"cut short":       {body, signature[:len(signature)-2], []string{secret}},
		"not hex":         {body, "sha256 " + strings.Repeat("zz", 32), []string{secret}},
	} {
		if err := greenhouse.VerifySignature(c.body, c.signature, c.secrets...); !errors.Is(err, webhook.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Scenario 29: A field changes its type
// Happens: A number arrives as text, a location as an object or as text, a list as a map.
// Concord: Reads what it can tell without guessing, and names a field it cannot use; one odd field costs neither the
// event nor the process.
func TestWebhookDrift(t *testing.T) {
	t.Parallel()
	m := mapping()
	m.RegionField = "region"
	for _, c := range []struct {
		name, body string
		problem    webhook.Problem
		check      func(*wire.AtsChange) bool
	}{
		{
			name: "ids as strings", body: `{"action":"candidate_stage_change","payload":{"application":{"id":"77","candidate":{"id":"8"},"current_stage":{"id":"1004"},"jobs":[{"id":"9"}]}}}`,
			check: func(c *wire.AtsChange) bool {
				return c.ApplicationID == "gh-main/77" && c.CandidateID == "8" && c.Stage.ID == "1004" && c.Requisition.ID == "9"
			},
		},
		{
			name: "number as text", body: `{"action":"application_updated","payload":{"application":{"id":77,"custom_fields":{"screening_score":{"name":"x","type":"number","value":"10000.0"}}}}}`,
			check: func(c *wire.AtsChange) bool {
				return len(c.Elements) == 1 && c.Elements[0] == wire.Element{Name: "screening_score", Value: "10000"}
			},
		},
		{
			name: "fields as a list", body: `{"action":"application_updated","payload":{"application":{"id":77,"custom_fields":[{"name_key":"screening_score","value":0.5},{"id":9004,"value":"passed"},7]}}}`,
			check: func(c *wire.AtsChange) bool {
				return len(c.Elements) == 2 && c.Elements[0].Value == "0.5" && c.Elements[1].Value == "passed"
			},
		},
		{
			name: "fields empty list", body: `{"action":"application_updated","payload":{"application":{"id":77,"custom_fields":[]}}}`,
			check: func(c *wire.AtsChange) bool { return len(c.Elements) == 0 },
		},
		{
			name: "null value is an empty element", body: `{"action":"application_updated","payload":{"application":{"id":77,"custom_fields":{"screening_score":{"name":"x","type":"number","value":null}}}}}`,
			check: func(c *wire.AtsChange) bool { return len(c.Elements) == 1 && c.Elements[0].Value == "" },
		},
		{
			name: "office location as an object", body: `{"action":"application_updated","payload":{"application":{"id":77,"jobs":[{"id":9,"offices":[{"id":1,"name":"London","location":{"name":"London, UK"}}]}]}}}`,
			check: func(c *wire.AtsChange) bool { return c.Requisition.Region == "gb" },
		},
		{
			name: "region by field before office", body: `{"action":"application_updated","payload":{"application":{"id":77,"jobs":[{"id":9,"offices":[{"name":"London"}],"custom_fields":{"region":{"name":"Region","type":"single_select","value":"de"}}}]}}}`,
			check: func(c *wire.AtsChange) bool { return c.Requisition.Region == "de" },
		},
		{
			name: "withdrawn by reason", body: `{"action":"reject_candidate","payload":{"application":{"id":77,"status":"rejected","rejection_reason":{"id":40}}}}`,
			check: func(c *wire.AtsChange) bool {
				return c.Type == "application.withdrawn" && c.Status == wire.ApplicationStatusWithdrawn && c.Reason == "40"
			},
		},
		{
			name: "wrong types where it does no harm", body: `{"action":"reject_candidate","payload":{"application":{"id":77,"status":5,"rejection_reason":"x","current_stage":[],"candidate":3,"jobs":{}}}}`,
			check: func(c *wire.AtsChange) bool {
				return c.ApplicationID == "gh-main/77" && c.TimeBasis == wire.TimeBasisReceipt
			},
		},
		{name: "id is a fraction", body: `{"action":"reject_candidate","payload":{"application":{"id":7.5}}}`, problem: webhook.ProblemBadField},
		{name: "id is negative", body: `{"action":"reject_candidate","payload":{"application":{"id":-7}}}`, problem: webhook.ProblemBadField},
		{name: "id is a path", body: `{"action":"reject_candidate","payload":{"application":{"id":"7/../8"}}}`, problem: webhook.ProblemBadField},
		{name: "no id", body: `{"action":"reject_candidate","payload":{"application":{}}}`, problem: webhook.ProblemNoID},
		{name: "no application", body: `{"action":"reject_candidate","payload":{}}`, problem: webhook.ProblemNoID},
		{name: "time is no time", body: `{"action":"reject_candidate","payload":{"application":{"id":7,"last_activity_at":"yesterday"}}}`, problem: webhook.ProblemBadField},
		{name: "no candidate", body: `{"action":"candidate_anonymized","payload":{}}`, problem: webhook.ProblemNoID},
		{name: "merged into nobody", body: `{"action":"merge_candidate","payload":{"person":{"id":3}}}`, problem: webhook.ProblemNoID},
		{name: "other action", body: `{"action":"job_post_updated","payload":7}`, problem: webhook.ProblemAction},
		{name: "not JSON", body: `action=ping`, problem: webhook.ProblemMalformed},
		{name: "empty", body: ``, problem: webhook.ProblemMalformed},
	} {
		events, err := m.ParseWebhook([]byte(c.body), nil, receivedAt)
		if c.check != nil {
			if err != nil || len(events) != 1 || events[0].Change == nil || !c.check(events[0].Change) {
				t.Errorf("%s: %+v, %v", c.name, events, err)
			}
			continue
		}
		var e *webhook.Error
		if !errors.As(err, &e) || e.Problem != c.problem {
			t.Errorf("%s: %v, want %s", c.name, err, c.problem)
		}
	}
}

// Also proves scenario 28: a field is read by its key, whatever its label says.
func TestRenamedFieldIsReadByItsKey(t *testing.T) {
	t.Parallel()
	m := mapping()
	for _, label := range []string{"Screening score", "Wage"} {
		body := `{"action":"application_updated","payload":{"application":{"id":77,"custom_fields":{"screening_score":{"name":"` + label + `","type":"number","value":81}}}}}`
		events, err := m.ParseWebhook([]byte(body), nil, receivedAt)
		if err != nil || len(events) != 1 || len(events[0].Change.Elements) != 1 || events[0].Change.Elements[0] != (wire.Element{Name: "screening_score", Value: "81"}) {
			t.Errorf("%s: %+v, %v", label, events, err)
		}
	}
}

// A retried delivery is the same event; a body that changed under one event id is not; without the header
// the bytes decide.
func TestWebhookIdentity(t *testing.T) {
	t.Parallel()
	header := http.Header{}
	header.Set(greenhouse.EventIDHeader, "ev-9")
	parse := func(file string, h http.Header, at time.Time) string {
		events, err := mapping().ParseWebhook(published(t, file), h, at)
		if err != nil {
			t.Fatal(err)
		}
		c := *events[0].Change
		if at != receivedAt && c.TimeBasis == wire.TimeBasisReceipt && c.OccurredAt != 0 {
			t.Errorf("%s: a redelivery has another content", file)
		}
		return c.ID
	}
	late := receivedAt.Add(15 * time.Hour)
	for _, file := range []string{"candidate_stage_change.json", "hire_candidate.json"} {
		for _, h := range []http.Header{header, nil} {
			if a, b := parse(file, h, receivedAt), parse(file, h, late); a != b {
				t.Errorf("%s: redelivered as %s, was %s", file, b, a)
			}
		}
	}
	if parse("candidate_stage_change.json", header, receivedAt) == parse("reject_candidate.json", header, receivedAt) {
		t.Error("another version under one event id is the same event")
	}
	if parse("reject_candidate.json", nil, receivedAt) == parse("unreject_candidate.json", nil, receivedAt) {
		t.Error("other bodies without an event id are one event")
	}
	bad := http.Header{}
	bad.Set(greenhouse.EventIDHeader, "with space")
	if id := parse("reject_candidate.json", bad, receivedAt); !strings.HasPrefix(id, "sha256-") {
		t.Errorf("an unprintable event id became %q", id)
	}
}

func FuzzParseWebhook(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, "testdata/ping.raw") {
		f.Add(published(f, filepath.Base(file)), "ev-1")
	}
	f.Add([]byte(`{"action":"application_updated","payload":{"application":{"id":1,"custom_fields":{"screening_score":"1e9999999"}}}}`), "")
	m := mapping()
	f.Fuzz(func(t *testing.T, body []byte, id string) {
		h := http.Header{greenhouse.EventIDHeader: {id}, "Greenhouse-Event-Id": {id}}
		events, err := m.ParseWebhook(body, h, receivedAt)
		again, errAgain := m.ParseWebhook(body, h, receivedAt)
		if (err == nil) != (errAgain == nil) || !cmp.Equal(events, again) {
			t.Fatal("the same body reads differently twice")
		}
		var e *webhook.Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("untyped error %v", err)
		}
		for _, ev := range events {
			if (ev.Change == nil) == (ev.Candidate == nil) {
				t.Fatal("an event is exactly one of both")
			}
			if c := ev.Change; c != nil && (c.ID == "" || len(c.ApplicationID) <= len("gh-main/") || (c.OccurredAt == 0) != (c.TimeBasis == wire.TimeBasisReceipt)) {
				t.Fatalf("incomplete event %+v", c)
			}
		}
	})
}
