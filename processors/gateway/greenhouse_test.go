package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/ats/atstest"
	"github.com/concord-ats/concord/pkg/ats/greenhouse"
	"github.com/concord-ats/concord/pkg/deadletter"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/gateway"
)

// The seven published bodies are taken as they are: each becomes one record with the key, the headers and the
// content that its mapping gives.
func TestPublishedWebhooks(t *testing.T) {
	t.Parallel()
	d := open(t, nil)
	mapping := greenhouse.Mapping(atstest.GreenhouseMapping("gh-main"))
	for file, want := range map[string]struct{ topic, key, typ string }{
		"candidate_stage_change.json":    {topics.ATSChanges, "gh-main/265277", "application.stage_changed"},
		"new_candidate_application.json": {topics.ATSChanges, "gh-main/71980812", "application.created"},
		"reject_candidate.json":          {topics.ATSChanges, "gh-main/265293", "application.rejected"},
		"unreject_candidate.json":        {topics.ATSChanges, "gh-main/265293", "application.unrejected"},
		"hire_candidate.json":            {topics.ATSChanges, "gh-main/46194062", "application.hired"},
		"merge_candidate.json":           {topics.CandidateEvents, "gh-main/37031511", "candidate.merged"},
		"candidate_anonymized.json":      {topics.CandidateEvents, "gh-main/37031511", "candidate.anonymized"},
	} {
		body := published(t, file)
		if r := d.webhook(body, file); r.status != http.StatusOK || r.text != "accepted" {
			t.Errorf("%s: %d %s", file, r.status, r.text)
			continue
		}
		header := http.Header{}
		header.Set(greenhouse.EventIDHeader, file)
		events, err := mapping.ParseWebhook([]byte(body), header, now)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, rec := range d.stored() {
			if !strings.HasPrefix(headerOf(rec, wire.HeaderID), file) {
				continue
			}
			found++
			if rec.Topic != want.topic || string(rec.Key) != want.key || headerOf(rec, wire.HeaderType) != want.typ {
				t.Errorf("%s: %s %s %s on %s", file, rec.Topic, rec.Key, headerOf(rec, wire.HeaderType), want.topic)
			}
			d.sameEvent(file, rec, events[0])
		}
		if found != 1 {
			t.Errorf("%s: %d records", file, found)
		}
	}
	if n := len(d.stored()); n != 7 {
		t.Errorf("%d records of seven webhooks", n)
	}
}

// sameEvent compares a record's content and envelope with an event.
func (d *door) sameEvent(file string, rec *kgo.Record, want webhook.Event) {
	d.t.Helper()
	var got webhook.Event
	var event wire.Event
	if rec.Topic == topics.CandidateEvents {
		got.Candidate = new(wire.CandidateEvent)
		event = got.Candidate
	} else {
		got.Change = new(wire.AtsChange)
		event = got.Change
	}
	if err := d.schemas.DecodeLocal(rec.Value, event); err != nil {
		d.t.Fatalf("%s: %v", file, err)
	}
	want.Contacts = nil // are hashed, and none without a key
	if diff := cmp.Diff(want, got); diff != "" {
		d.t.Errorf("%s: %s", file, diff)
	}
	var headers []wire.Header
	for _, h := range rec.Headers {
		headers = append(headers, wire.Header{Key: h.Key, Value: h.Value})
	}
	if err := wire.CheckEnvelope(headers, event.Envelope()); err != nil || headerOf(rec, wire.HeaderSpecVersion) != "1.0" {
		d.t.Errorf("%s: envelope: %v", file, err)
	}
}

// The ping and its digest are published: no code of ours had a part in them.
func TestPublishedPing(t *testing.T) {
	t.Parallel()
	d := open(t, nil)
	const signature = "sha256 395b1309fd37f0732d1ed11c15e03edd61b818918df6bf93be7c71bafb09c877"
	ping := published(t, "ping.raw")
	if r := d.post("/webhooks/greenhouse/gh-main", ping, greenhouse.SignatureHeader, signature); r.status != http.StatusOK || r.text != "pong" {
		t.Errorf("ping: %d %s", r.status, r.text)
	}
	if r := d.post("/webhooks/greenhouse/gh-main", ping+" ", greenhouse.SignatureHeader, signature); r.status != http.StatusUnauthorized {
		t.Errorf("ping with one byte more: %d %s", r.status, r.text)
	}
	d.nothing()
}

func TestWebhookIsRefused(t *testing.T) {
	t.Parallel()
	d := open(t, func(cfg *gateway.Config) { cfg.MaxBody = 16 << 10 })
	body := published(t, "reject_candidate.json")
	valid := greenhouse.Sign([]byte(body), pingSecret)
	large := strings.Repeat(" ", 16<<10) + body
	for name, c := range map[string]struct {
		path, body, signature string
		status                int
	}{
		"no signature":      {"/webhooks/greenhouse/gh-main", body, "", http.StatusUnauthorized},
		"not a signature":   {"/webhooks/greenhouse/gh-main", body, "sha256 zz", http.StatusUnauthorized},
		"another secret":    {"/webhooks/greenhouse/gh-main", body, greenhouse.Sign([]byte(body), "another"), http.StatusUnauthorized},
		"another body":      {"/webhooks/greenhouse/gh-main", strings.Replace(body, "265293", "265294", 1), valid, http.StatusUnauthorized},
		"garbage, unsigned": {"/webhooks/greenhouse/gh-main", "{", "", http.StatusUnauthorized},
		"unknown system":    {"/webhooks/greenhouse/gh-else", body, valid, http.StatusNotFound},
		"unknown ATS":       {"/webhooks/lever/gh-main", body, valid, http.StatusNotFound},
		"over the cap":      {"/webhooks/greenhouse/gh-main", large, greenhouse.Sign([]byte(large), pingSecret), http.StatusRequestEntityTooLarge},
	} {
		if r := d.post(c.path, c.body, greenhouse.SignatureHeader, c.signature); r.status != c.status {
			t.Errorf("%s: %d %s, want %d", name, r.status, r.text, c.status)
		}
	}
	d.nothing()
}

// While a secret is being changed both hold.
func TestRotatedSecrets(t *testing.T) {
	t.Parallel()
	d := open(t, nil)
	body := published(t, "hire_candidate.json")
	for _, secret := range []string{pingSecret, oldSecret} {
		if r := d.post("/webhooks/greenhouse/gh-main", body, greenhouse.SignatureHeader, greenhouse.Sign([]byte(body), secret)); r.status != http.StatusOK {
			t.Errorf("%d %s", r.status, r.text)
		}
	}
	if n := len(d.stored()); n != 2 {
		t.Errorf("%d records", n)
	}
}

// An authentic body that is no event is kept with its cause and acknowledged, so that it is not sent seven times
// more; one about something that is not followed is acknowledged and gone.
func TestAuthenticBodyThatIsNoEvent(t *testing.T) {
	t.Parallel()
	d := open(t, nil)
	for name, body := range map[string]string{
		"not JSON": "\x00\xff{", "no application": `{"action":"reject_candidate","payload":{}}`,
		"unreadable time": `{"action":"reject_candidate","payload":{"application":{"id":7,"last_activity_at":"yesterday"}}}`,
	} {
		before := len(d.stored())
		if r := d.webhook(body, "ev-1"); r.status != http.StatusOK || !strings.Contains(r.text, "dead letter") {
			t.Errorf("%s: %d %s", name, r.status, r.text)
		}
		all := d.stored()
		if len(all) != before+1 {
			t.Fatalf("%s: %d records, were %d", name, len(all), before)
		}
		found := false
		for _, rec := range all {
			if string(rec.Value) != body {
				continue
			}
			found = true
			if rec.Topic != topics.DeadLetter(topics.ATSChanges) || headerOf(rec, deadletter.HeaderCause) != string(wire.CauseUndecodable) ||
				headerOf(rec, deadletter.HeaderTopic) != topics.ATSChanges || headerOf(rec, deadletter.HeaderOffset) != "-1" {
				t.Errorf("%s: letter on %s with %v", name, rec.Topic, rec.Headers)
			}
		}
		if !found {
			t.Errorf("%s: the raw body is not kept", name)
		}
	}
	before := len(d.stored())
	if r := d.webhook(`{"action":"job_post_updated","payload":7}`, "ev-2"); r.status != http.StatusOK || !strings.HasPrefix(r.text, "ignored") {
		t.Errorf("unsupported action: %d %s", r.status, r.text)
	}
	if n := len(d.stored()); n != before {
		t.Errorf("unsupported action: %d records more", n-before)
	}
}
