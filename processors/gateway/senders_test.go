package gateway_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/ashby"
	"github.com/concord-ats/concord/pkg/ats/atstest"
	"github.com/concord-ats/concord/pkg/ats/generic"
	"github.com/concord-ats/concord/pkg/ats/greenhouse"
	"github.com/concord-ats/concord/pkg/ats/lever"
	"github.com/concord-ats/concord/pkg/ats/smartrecruiters"
	"github.com/concord-ats/concord/pkg/ats/workable"
	"github.com/concord-ats/concord/pkg/deadletter"
	"github.com/concord-ats/concord/pkg/screening/checkr"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/gateway"
)

const (
	current  = "the-present-one"
	standard = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" // of the published test vector
)

var standardKey, _ = webhook.StandardSecret(standard)

// senders are one of each kind. Every one but Standard Webhooks has a present secret and an old one.
func senders() []gateway.Sender {
	both := []string{current, oldSecret}
	return []gateway.Sender{
		{Kind: "greenhouse", System: "gh-main", Letters: topics.ATSChanges, Webhooks: greenhouse.Webhooks{Mapping: greenhouse.Mapping(atstest.GreenhouseMapping("gh-main")), Secrets: both}},
		{Kind: "lever", System: "lv-main", Letters: topics.ATSChanges, Webhooks: lever.Webhooks{System: "lv-main", Secrets: both}},
		{Kind: "ashby", System: "as-main", Letters: topics.ATSChanges, Webhooks: ashby.Webhooks{Mapping: ats.Mapping{System: "as-main"}, Secrets: both}},
		{Kind: "smartrecruiters", System: "sr-main", Letters: topics.ATSChanges, Webhooks: smartrecruiters.Webhooks{System: "sr-main", Secrets: both}},
		{Kind: "workable", System: "wk-main", Letters: topics.ATSChanges, Webhooks: workable.Webhooks{System: "wk-main", Secrets: both}},
		{Kind: "generic", System: "ih-main", Letters: topics.ATSChanges, Webhooks: described(both...)},
		{Kind: "checkr", System: "checkr-us", Letters: topics.ScreeningEvents, Webhooks: checkr.Webhooks{System: "checkr-us", Instances: []string{"gh-main"}, Secrets: both}},
		{Kind: "standard", System: "screener", Letters: topics.ScreeningEvents, Webhooks: gateway.Standard{System: "screener", Keys: []string{standardKey}}},
	}
}

// described is the built-in description of an ATS of one's own.
func described(secrets ...string) webhook.Sender {
	d, err := generic.Parse("example.yaml", generic.Example)
	if err == nil {
		var s *generic.Sender
		if s, err = generic.NewSender(d, ats.Mapping{System: "ih-main"}, secrets...); err == nil {
			return s
		}
	}
	panic(err)
}

// request is one webhook as its sender would send it now.
type request struct {
	kind, path, body string
	header           http.Header
}

// signed builds the request of a body, signed with a secret at a time.
func signed(kind, body, id, secret string, at time.Time) request {
	r := request{kind: kind, body: body, header: http.Header{}}
	switch kind {
	case "greenhouse":
		r.path = "/webhooks/greenhouse/gh-main"
		r.header.Set(greenhouse.EventIDHeader, id)
		r.header.Set(greenhouse.SignatureHeader, greenhouse.Sign([]byte(body), secret))
	case "lever":
		r.path = "/webhooks/lever/lv-main"
		token := hex.EncodeToString(webhook.MAC("token", id))[:48]
		r.body = strings.NewReplacer(
			"TOKEN", token, "SIGNATURE", lever.Sign(token, at, secret), "1605224290000", strconv.FormatInt(at.UnixMilli(), 10)).Replace(body)
	case "ashby":
		r.path = "/webhooks/ashby/as-main"
		r.header.Set(ashby.SignatureHeader, ashby.Sign([]byte(body), secret))
	case "smartrecruiters":
		r.path = "/webhooks/smartrecruiters/sr-main"
		r.header.Set(smartrecruiters.TimestampHeader, strconv.FormatInt(at.Unix(), 10))
		r.header.Set(smartrecruiters.EventIDHeader, id)
		r.header.Set(smartrecruiters.EventNameHeader, "application.status.updated")
		r.header.Set(smartrecruiters.VersionHeader, "v201910")
		r.header.Set(smartrecruiters.LinkHeader, "<https://api.smartrecruiters.com/candidates/cid/jobs/jid>; rel=self")
		r.header.Set(smartrecruiters.SignatureHeader, smartrecruiters.Sign(r.header, []byte(body), secret))
	case "workable":
		r.path = "/webhooks/workable/wk-main"
		r.header.Set(workable.SignatureHeader, workable.Sign([]byte(body), secret))
	case "generic":
		r.path = "/webhooks/generic/ih-main"
		stamp := strconv.FormatInt(at.Unix(), 10)
		r.header.Set("X-Inhouse-Signature", "t="+stamp+",v1="+base64.StdEncoding.EncodeToString(webhook.MAC(secret, stamp, ".", body)))
	case "checkr":
		r.path = "/webhooks/checkr/checkr-us"
		r.header.Set(checkr.SignatureHeader, checkr.Sign([]byte(body), secret))
	case "standard":
		r.path = "/webhooks/standard/screener"
		stamp := strconv.FormatInt(at.Unix(), 10)
		r.header.Set("webhook-id", id)
		r.header.Set("webhook-timestamp", stamp)
		if key, ok := webhook.StandardSecret(secret); ok {
			secret = key
		}
		r.header.Set("webhook-signature", webhook.SignStandard(secret, id, stamp, []byte(body)))
	}
	return r
}

// present is the secret a sender signs with now.
func present(kind string) string {
	if kind == "standard" {
		return standard
	}
	return current
}

// payload is a body of testdata: published, or shaped as published, see the NOTICE.md beside it.
type payload struct{ kind, file, body string }

const standardScreening = `{"type":"screening.completed","timestamp":"2026-03-01T10:00:00Z","data":{"application_id":"gh-main/7","order_id":"o1","result":{"status":"complete","recommendation":"advance"}}}`

func payloads(t testing.TB) []payload {
	t.Helper()
	root := filepath.Join("..", "..", "pkg")
	var out []payload
	for _, c := range [][2]string{
		{"greenhouse", "ats/greenhouse/testdata/*.json"},
		{"lever", "ats/lever/testdata/webhooks/*.json"},
		{"ashby", "ats/ashby/testdata/webhooks/*.json"},
		{"smartrecruiters", "ats/smartrecruiters/testdata/webhooks/*.json"},
		{"workable", "ats/workable/testdata/webhooks/*.json"},
		{"generic", "ats/generic/testdata/webhooks/*.json"},
		{"checkr", "screening/checkr/testdata/webhooks/*.json"},
	} {
		kind, pattern := c[0], c[1]
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no payloads, %v", pattern, err)
		}
		for _, file := range files {
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, payload{kind, filepath.Base(file), string(body)})
		}
	}
	return append(out, payload{"standard", "screening", standardScreening}, payload{"standard", "vector", `{"test": 2432232314}`})
}

func everyone(cfg *gateway.Config) { cfg.Senders = senders() }

func (d *door) sendAs(r request) reply {
	d.t.Helper()
	var header []string
	for name, values := range r.header {
		header = append(header, name, values[0])
	}
	return d.post(r.path, r.body, header...)
}

// Every payload of every sender is taken as it is and answered in its sender's terms.
func TestPublishedPayloads(t *testing.T) {
	t.Parallel()
	d := open(t, everyone)
	accepted := map[string]int{"smartrecruiters": http.StatusAccepted, "generic": http.StatusAccepted}
	// What says nothing that Concord follows is acknowledged all the same; what is no event of its sender's is kept.
	other := map[string]string{"envelope.json": "ignored", "vector": "dead letter"}
	stored := 0
	for _, p := range payloads(t) {
		r := d.sendAs(signed(p.kind, p.body, "id-"+p.file, present(p.kind), now))
		status, text := http.StatusOK, "accepted"
		if s, ok := accepted[p.kind]; ok {
			status = s
		}
		if s, ok := other[p.file]; ok {
			text = s
		}
		if r.status != status || !strings.Contains(r.text, text) {
			t.Errorf("%s %s: %d %s, want %d %s", p.kind, p.file, r.status, r.text, status, text)
		}
		if text != "ignored" {
			stored++
		}
	}
	all := d.stored()
	byTopic := map[string]int{}
	for _, rec := range all {
		byTopic[rec.Topic]++
		if rec.Topic == topics.ATSChanges {
			var c wire.AtsChange
			if err := d.schemas.DecodeLocal(rec.Value, &c); err != nil || c.ApplicationID != string(rec.Key) || c.ObservedAt != wire.MicrosOf(now) {
				t.Errorf("stored %+v, %v", c, err)
			}
			if vague := c.TimeBasis == wire.TimeBasisReceipt; vague != (c.OccurredAt == 0) {
				t.Errorf("%s: basis %s with time %s", c.ApplicationID, c.TimeBasis, c.OccurredAt)
			}
		}
	}
	if len(all) != stored || byTopic[topics.ScreeningEvents] != 2 || byTopic[topics.DeadLetter(topics.ScreeningEvents)] != 1 || byTopic[topics.DeadLetter(topics.ATSChanges)] != 0 {
		t.Errorf("stored %v of %d", byTopic, stored)
	}
}

// The old secret holds beside the new one; a third does not, and each sender is told so in its own terms.
func TestEverySecretOfEverySender(t *testing.T) {
	t.Parallel()
	d := open(t, everyone)
	tried := map[string]bool{}
	for _, p := range payloads(t) {
		if tried[p.kind] {
			continue
		}
		tried[p.kind] = true
		if p.kind != "standard" {
			if r := d.sendAs(signed(p.kind, p.body, "old", oldSecret, now)); r.status/100 != 2 {
				t.Errorf("%s %s, the old secret: %d %s", p.kind, p.file, r.status, r.text)
			}
		}
		before := len(d.stored())
		refused := http.StatusUnauthorized
		if p.kind == "ashby" {
			refused = http.StatusBadRequest // it would give up for good on 401
		}
		if r := d.sendAs(signed(p.kind, p.body, "other", "whsec_b3RoZXI=", now)); r.status != refused {
			t.Errorf("%s %s, another secret: %d %s", p.kind, p.file, r.status, r.text)
		}
		bare := signed(p.kind, p.body, "bare", present(p.kind), now)
		bare.header = http.Header{}
		if r := d.sendAs(bare); p.kind != "lever" && r.status != refused {
			t.Errorf("%s %s, unsigned: %d %s", p.kind, p.file, r.status, r.text)
		}
		if p.kind != "lever" {
			if n := len(d.stored()); n != before {
				t.Errorf("%s %s: %d records of refused requests", p.kind, p.file, n-before)
			}
		}
	}
	if r := d.post("/webhooks/ashby/as-else", "{}"); r.status != http.StatusBadRequest {
		t.Errorf("an unknown system of Ashby's: %d %s", r.status, r.text)
	}
}

// Where the sender signs time, an old request is refused; it is not where the sender signs none.
func TestReplayWindows(t *testing.T) {
	t.Parallel()
	d := open(t, everyone)
	for _, c := range []struct {
		kind  string
		age   time.Duration
		taken bool
	}{
		{"smartrecruiters", 5 * time.Minute, true},
		{"smartrecruiters", 6 * time.Minute, false},
		{"smartrecruiters", -6 * time.Minute, false},
		{"standard", 5 * time.Minute, true},
		{"standard", 6 * time.Minute, false},
		{"generic", 5 * time.Minute, true},
		{"generic", 6 * time.Minute, false},
		{"generic", -6 * time.Minute, false},
		{"lever", 23 * time.Hour, true},
		{"lever", 25 * time.Hour, false},
		{"greenhouse", 30 * 24 * time.Hour, true},
	} {
		for _, p := range payloads(t) {
			if p.kind != c.kind {
				continue
			}
			r := d.sendAs(signed(p.kind, p.body, fmt.Sprint("age", c.age), present(p.kind), now.Add(-c.age)))
			if (r.status/100 == 2) != c.taken {
				t.Errorf("%s, %s old: %d %s", c.kind, c.age, r.status, r.text)
			}
			break
		}
	}
}

// The handshake of SmartRecruiters echoes a value and stores nothing.
func TestHandshake(t *testing.T) {
	t.Parallel()
	d := open(t, everyone)
	r := d.post("/webhooks/smartrecruiters/sr-main", "", smartrecruiters.HandshakeHeader, "4jn8fs9011jj8")
	if r.status != http.StatusOK || r.header.Get(smartrecruiters.HandshakeHeader) != "4jn8fs9011jj8" {
		t.Errorf("%d %s, %q", r.status, r.text, r.header.Get(smartrecruiters.HandshakeHeader))
	}
	if r := d.post("/webhooks/greenhouse/gh-main", "{}", smartrecruiters.HandshakeHeader, "x"); r.status != http.StatusUnauthorized {
		t.Errorf("another sender has no handshake: %d %s", r.status, r.text)
	}
	d.nothing()
}

// The handshake of CloudEvents: permission needs the token, in the header or, as some senders cannot set it, in the query.
func TestCloudEventsPermission(t *testing.T) {
	t.Parallel()
	d := open(t, func(cfg *gateway.Config) { cfg.Rate = 2 })
	ask := func(path string, header ...string) reply {
		t.Helper()
		req, err := http.NewRequest(http.MethodOptions, d.url+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return reply{status: resp.StatusCode, header: resp.Header}
	}
	const origin = "eventemitter.example.com"
	for name, r := range map[string]reply{
		"header": ask("/events", "WebHook-Request-Origin", origin, "Authorization", "Bearer "+token, "WebHook-Request-Rate", "1000"),
		"query":  ask("/events?access_token="+token, "WebHook-Request-Origin", origin),
	} {
		if r.status != http.StatusOK || r.header.Get("WebHook-Allowed-Origin") != origin || r.header.Get("WebHook-Allowed-Rate") != "120" || !strings.Contains(r.header.Get("Allow"), "POST") {
			t.Errorf("%s: %d %v", name, r.status, r.header)
		}
	}
	for name, r := range map[string]reply{
		"no token": ask("/events", "WebHook-Request-Origin", origin), "no origin": ask("/events", "Authorization", "Bearer "+token),
		"another token": ask("/events?access_token=token-2", "WebHook-Request-Origin", origin),
	} {
		if r.header.Get("WebHook-Allowed-Origin") != "" || r.status == http.StatusOK {
			t.Errorf("%s: %d %v", name, r.status, r.header)
		}
	}
	if r := d.post("/events?access_token="+token, completed, "Content-Type", structured); r.status != http.StatusOK {
		t.Errorf("the token in the query: %d %s", r.status, r.text)
	}
	if r := d.event("application/cloudevents+xml", "<x/>"); r.status != http.StatusUnsupportedMediaType {
		t.Errorf("another format: %d %s", r.status, r.text)
	}
}

// One sender's rate is its own: requests that do not verify do not use it up, and another sender is not slowed.
func TestRates(t *testing.T) {
	t.Parallel()
	d := open(t, func(cfg *gateway.Config) { everyone(cfg); cfg.Rate = 3 }) // the clock stands still: a burst of three, and no more
	body := published(t, "reject_candidate.json")
	for range 10 {
		if r := d.sendAs(signed("greenhouse", body, "x", "of a stranger", now)); r.status != http.StatusUnauthorized {
			t.Errorf("a stranger: %d %s", r.status, r.text)
		}
	}
	for i := range 5 {
		r := d.sendAs(signed("greenhouse", body, fmt.Sprint("id", i), current, now))
		if i < 3 && r.status != http.StatusOK || i >= 3 && (r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") == "") {
			t.Errorf("request %d: %d %s, Retry-After %q", i, r.status, r.text, r.header.Get("Retry-After"))
		}
	}
	if r := d.sendAs(signed("workable", `{"event_type":"candidate_moved","data":{"id":"c1"}}`, "", current, now)); r.status != http.StatusOK {
		t.Errorf("another sender: %d %s", r.status, r.text)
	}
}

// An authentic body that nests too deep is kept and acknowledged at the door of every sender, counted, and not parsed; an
// unproved one is refused. One that nests as deep as a body may is read like any other.
//
// It is JSON that the parser would take: the bound is ours.
func TestDeepBodies(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	d := open(t, func(cfg *gateway.Config) {
		everyone(cfg)
		cfg.Registry = registry
		for i, s := range cfg.Senders {
			cfg.Senders[i].Webhooks = shallow{s.Webhooks, t}
		}
	})
	nested := func(body string, levels int) string {
		return strings.Replace(body, "{", `{"nested":`+strings.Repeat("[", levels)+strings.Repeat("]", levels)+",", 1)
	}
	tried, letters := map[string]bool{}, 0
	for _, p := range payloads(t) {
		if tried[p.kind] {
			continue
		}
		tried[p.kind] = true
		if r := d.sendAs(signed(p.kind, nested(p.body, webhook.MaxDepth-1), "level", present(p.kind), now)); r.status/100 != 2 || strings.Contains(r.text, "dead letter") {
			t.Errorf("%s %s, at the bound: %d %s", p.kind, p.file, r.status, r.text)
		}
		before := len(d.stored())
		deep := nested(p.body, 100)
		r := d.sendAs(signed(p.kind, deep, "deep", present(p.kind), now))
		result := "dead_lettered"
		if p.kind == "lever" { // its proof is in the body, which is not read this deep
			if result = "bad_signature"; r.status != http.StatusUnauthorized {
				t.Errorf("lever: %d %s", r.status, r.text)
			}
		} else if letters++; r.status/100 != 2 || !strings.Contains(r.text, "dead letter") {
			t.Errorf("%s, authentic: %d %s", p.kind, r.status, r.text)
		}
		if got := counted(t, registry, "concord_gateway_requests_total", p.kind, result); got != 1 {
			t.Errorf("%s: %v requests are counted as %s, want 1", p.kind, got, result)
		}
		kept := len(d.stored())
		if want := before + 1; p.kind != "lever" && kept != want {
			t.Errorf("%s: %d records, want %d", p.kind, kept, want)
		}
		if r := d.sendAs(signed(p.kind, deep, "deep", "whsec_b3RoZXI=", now)); r.status/100 != 4 {
			t.Errorf("%s, unproved: %d %s", p.kind, r.status, r.text)
		}
	}
	if r := d.event(structured, nested(completed, 100)); r.status != http.StatusBadRequest || !strings.Contains(r.text, "deeper") {
		t.Errorf("an event: %d %s", r.status, r.text)
	}
	if r := d.event(structured, nested(completed, webhook.MaxDepth-1)); r.status != http.StatusOK {
		t.Errorf("an event at the bound: %d %s", r.status, r.text)
	}
	for _, rec := range d.stored() {
		if strings.HasSuffix(rec.Topic, ".dlq") {
			letters--
			if headerOf(rec, deadletter.HeaderCause) != string(wire.CauseUndecodable) || headerOf(rec, deadletter.HeaderError) != "any_malformed" {
				t.Errorf("stored on %s with %v", rec.Topic, rec.Headers)
			}
		}
	}
	if letters != 0 {
		t.Errorf("%d dead letters are missing", letters)
	}
}

// shallow fails when a body that nests too deep is parsed.
type shallow struct {
	webhook.Sender
	t *testing.T
}

func (s shallow) Parse(header http.Header, body []byte, at time.Time) ([]webhook.Event, error) {
	if webhook.Deep(body) {
		s.t.Error("a body that nests too deep is parsed")
	}
	return s.Sender.Parse(header, body, at)
}

// A sender of Standard Webhooks speaks for itself alone.
func TestStandardSenderSpeaksForItself(t *testing.T) {
	t.Parallel()
	d := open(t, everyone)
	for name, c := range map[string]struct{ body, text string }{
		"its own screening":          {standardScreening, "accepted"},
		"another system's screening": {strings.Replace(standardScreening, `"data":{`, `"data":{"system":"gh-main",`, 1), "dead letter"},
		"another ATS's application":  {`{"type":"application.hired","timestamp":"2026-03-01T10:00:00Z","data":{"application_id":"gh-main/7"}}`, "dead letter"},
		"its own application":        {`{"type":"application.hired","timestamp":"2026-03-01T10:00:00Z","data":{"application_id":"screener/7"}}`, "accepted"},
		"something else":             {`{"type":"invoice.paid","timestamp":"2026-03-01T10:00:00Z","data":{}}`, "ignored"},
	} {
		if r := d.sendAs(signed("standard", c.body, strings.ReplaceAll(name, " ", "-"), standard, now)); r.status != http.StatusOK || !strings.Contains(r.text, c.text) {
			t.Errorf("%s: %d %s, want %s", name, r.status, r.text, c.text)
		}
	}
}

// A report that names no application cannot be looked up anywhere: kept, with a cause of its own.
func TestUntaggedReport(t *testing.T) {
	t.Parallel()
	d := open(t, everyone)
	for _, p := range payloads(t) {
		if p.kind == "checkr" && p.file == "report_completed.json" {
			if r := d.sendAs(signed("checkr", strings.Replace(p.body, "gh-main/265277", "no application", 1), "", current, now)); r.status != http.StatusOK {
				t.Errorf("%d %s", r.status, r.text)
			}
		}
	}
	all := d.stored()
	if len(all) != 1 || all[0].Topic != topics.DeadLetter(topics.ScreeningEvents) || headerOf(all[0], deadletter.HeaderCause) != string(wire.CauseUnresolved) {
		t.Errorf("stored %v", all)
	}
}

// unread is a sender whose webhooks cannot be read now.
type unread struct{ webhook.Sender }

func (unread) Parse(http.Header, []byte, time.Time) ([]webhook.Event, error) {
	return nil, &webhook.Error{Sender: "any", Problem: webhook.ProblemPolicy, Err: errors.New("the policy in force cannot be proved")}
}

// While the policy in force cannot be proved an authentic webhook is to be sent again, and nothing is kept of it.
func TestWebhooksWaitForThePolicy(t *testing.T) {
	t.Parallel()
	d := open(t, func(cfg *gateway.Config) {
		cfg.Senders = senders()
		for i := range cfg.Senders {
			cfg.Senders[i].Webhooks = unread{cfg.Senders[i].Webhooks}
		}
	})
	if r := d.sendAs(signed("ashby", `{"action":"applicationUpdate"}`, "x", current, now)); r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" {
		t.Errorf("%d %s, to be sent again in %q", r.status, r.text, r.header.Get("Retry-After"))
	}
	if all := d.stored(); len(all) != 0 {
		t.Errorf("stored %v", all)
	}
}
