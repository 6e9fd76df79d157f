package generic_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/generic"
	"github.com/concord-ats/concord/pkg/contact"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func sender(t *testing.T, d *generic.Description, secrets ...string) webhook.Sender {
	t.Helper()
	s, err := generic.NewSender(d, ats.Mapping{
		System: "ih", WithdrawReasons: []string{"40"}, Fields: []ats.Field{{Element: "score", Key: "screening_score", Type: ats.FieldNumber}},
		Regions: map[string]string{"Berlin": "de"},
	}, secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// hooked is the frame with webhooks.
func hooked(t *testing.T, webhooks string) *generic.Description {
	t.Helper()
	d, err := generic.Parse("ats.yaml", []byte(instead("webhooks: "+webhooks)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A signature is checked as described, over the raw bytes, with every secret, and with the time where it is signed.
func TestSignature(t *testing.T) {
	t.Parallel()
	const rest = ", event: /e, events: {x: application.updated}, at: {id: /id}}"
	body, at := `{"e":"x","id":"7"}`, strconv.FormatInt(now.Unix(), 10)
	hexMAC := func(parts ...string) string { return hex.EncodeToString(webhook.MAC("key", parts...)) }
	macOf := func(h func() hash.Hash) string {
		mac := hmac.New(h, []byte("key"))
		mac.Write([]byte(body))
		return hex.EncodeToString(mac.Sum(nil))
	}
	plain := hooked(t, "{signature: {header: X-Sig, prefix: sha256=}"+rest)
	timed := hooked(t, "{signature: {header: X-Sig, signs: 'v0:{timestamp}:{body}', timestamp: {header: X-Time, tolerance: 1m}}"+rest)
	inOne := hooked(t, "{signature: {header: X-Sig, prefix: v1=, encoding: base64, signs: '{event_id}.{timestamp}.{body}', timestamp: {header: X-Sig, prefix: t=, times: unix_ms}}, event_id: header X-Id"+rest)
	longer := hooked(t, "{signature: {header: X-Sig, algorithm: sha512}"+rest)
	older := hooked(t, "{signature: {header: X-Sig, algorithm: sha1}"+rest)
	ms := strconv.FormatInt(now.UnixMilli(), 10)
	one := "t=" + ms + ", v1=" + base64.StdEncoding.EncodeToString(webhook.MAC("key", "e1", ".", ms, ".", body))
	for name, c := range map[string]struct {
		d       *generic.Description
		header  map[string]string
		body    string
		secrets []string
		now     time.Time
		want    error
	}{
		"signed":                   {plain, map[string]string{"X-Sig": "sha256=" + hexMAC(body)}, body, []string{"key"}, now, nil},
		"rotated":                  {plain, map[string]string{"X-Sig": "sha256=" + hexMAC(body)}, body, []string{"new", "key"}, now, nil},
		"one of several":           {plain, map[string]string{"X-Sig": "sha256=" + hexMAC("x") + ", sha256=" + hexMAC(body)}, body, []string{"key"}, now, nil},
		"without the prefix":       {plain, map[string]string{"X-Sig": hexMAC(body)}, body, []string{"key"}, now, webhook.ErrSignature},
		"another body":             {plain, map[string]string{"X-Sig": "sha256=" + hexMAC(body)}, body + " ", []string{"key"}, now, webhook.ErrSignature},
		"another secret":           {plain, map[string]string{"X-Sig": "sha256=" + hexMAC(body)}, body, []string{"other"}, now, webhook.ErrSignature},
		"an empty secret":          {plain, map[string]string{"X-Sig": "sha256=" + hex.EncodeToString(webhook.MAC("", body))}, body, []string{""}, now, webhook.ErrSignature},
		"no signature":             {plain, nil, body, []string{"key"}, now, webhook.ErrSignature},
		"cut off":                  {plain, map[string]string{"X-Sig": "sha256=" + hexMAC(body)[:32]}, body, []string{"key"}, now, webhook.ErrSignature},
		"another hash":             {longer, map[string]string{"X-Sig": hexMAC(body)}, body, []string{"key"}, now, webhook.ErrSignature},
		"SHA-512":                  {longer, map[string]string{"X-Sig": macOf(sha512.New)}, body, []string{"key"}, now, nil},
		"SHA-1":                    {older, map[string]string{"X-Sig": macOf(sha1.New)}, body, []string{"key"}, now, nil},
		"SHA-1 of another length":  {older, map[string]string{"X-Sig": hexMAC(body)}, body, []string{"key"}, now, webhook.ErrSignature},
		"a signed time":            {timed, map[string]string{"X-Sig": hexMAC("v0:", at, ":", body), "X-Time": at}, body, []string{"key"}, now.Add(time.Minute), nil},
		"too long ago":             {timed, map[string]string{"X-Sig": hexMAC("v0:", at, ":", body), "X-Time": at}, body, []string{"key"}, now.Add(61 * time.Second), webhook.ErrReplay},
		"of the future":            {timed, map[string]string{"X-Sig": hexMAC("v0:", at, ":", body), "X-Time": at}, body, []string{"key"}, now.Add(-61 * time.Second), webhook.ErrReplay},
		"a newer time, not signed": {timed, map[string]string{"X-Sig": hexMAC("v0:", at, ":", body), "X-Time": at + "0"}, body, []string{"key"}, now, webhook.ErrSignature},
		"no time":                  {timed, map[string]string{"X-Sig": hexMAC("v0:", "", ":", body)}, body, []string{"key"}, now, webhook.ErrSignature},
		"all in one header":        {inOne, map[string]string{"X-Sig": one, "X-Id": "e1"}, body, []string{"key"}, now.Add(5 * time.Minute), nil},
		"another event id":         {inOne, map[string]string{"X-Sig": one, "X-Id": "e2"}, body, []string{"key"}, now, webhook.ErrSignature},
		"two times":                {inOne, map[string]string{"X-Sig": "t=" + ms + "," + one, "X-Id": "e1"}, body, []string{"key"}, now, webhook.ErrSignature},
	} {
		h := http.Header{}
		for k, v := range c.header {
			h.Set(k, v)
		}
		if err := sender(t, c.d, c.secrets...).Verify(h, []byte(c.body), c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// A body that holds the record with its time is an event of its own; any other says whom to read.
func TestParse(t *testing.T) {
	t.Parallel()
	d := described(t, "example.yaml")
	hooks := sender(t, d, "key")
	body := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata", "webhooks", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	at := time.Date(2026, 3, 1, 11, 59, 0, 250_000_000, time.UTC)
	for name, want := range map[string]webhook.Event{
		"moved": {Change: &wire.AtsChange{
			ID: "8f3d1c-2." + strconv.FormatInt(at.UnixMicro(), 10), Source: "/ats/ih", Type: "application.stage_changed", System: "ih", ObservedAt: wire.MicrosOf(now),
			OccurredAt: wire.MicrosOf(at), TimeBasis: wire.TimeBasisRecord, ApplicationID: "ih/APP-500", CandidateID: "9", Status: wire.ApplicationStatusActive,
			Stage: wire.NativeStage{ID: "1004", Name: "Interviews"}, Requisition: wire.Requisition{ID: "3485", Type: "full_time", Region: "de"},
			Elements: []wire.Element{{Name: "score", Value: "81.5"}},
		}, Contacts: []contact.Contact{contact.New(contact.Email, "candidate-9@example.com")}},
		"deleted": {Change: &wire.AtsChange{
			ID: "8f3d1c-3", Source: "/ats/ih", Type: "application.deleted", System: "ih", ObservedAt: wire.MicrosOf(now), TimeBasis: wire.TimeBasisReceipt,
			ApplicationID: "ih/APP-500", CandidateID: "9",
		}},
		"merged": {Candidate: &wire.CandidateEvent{
			ID: "8f3d1c-4", Source: "/ats/ih", Type: "candidate.merged", System: "ih", ObservedAt: wire.MicrosOf(now), TimeBasis: wire.TimeBasisReceipt,
			CandidateID: "9", NewCandidateID: "77",
		}},
	} {
		got, err := hooks.Parse(nil, body(name), now)
		if diff := cmp.Diff([]webhook.Event{want}, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
	for name, c := range map[string]struct {
		body    string
		problem webhook.Problem
	}{
		"not JSON":                   {`{"event"`, webhook.ProblemMalformed},
		"no object":                  {`["application.moved"]`, webhook.ProblemMalformed},
		"says nothing":               {`{"id":"1"}`, webhook.ProblemMalformed},
		"not followed":               {`{"event":"job.opened"}`, webhook.ProblemAction},
		"about nobody":               {`{"event":"application.moved","application":{}}`, webhook.ProblemNoID},
		"about a path":               {`{"event":"application.moved","application":{"id":"../1"}}`, webhook.ProblemNoID},
		"a record of another shape":  {`{"event":"application.moved","application":{"id":"APP-1","stage":7,"state":"open"}}`, webhook.ProblemBadField},
		"a merge into nobody":        {`{"event":"person.merged","person":{"id":9}}`, webhook.ProblemNoID},
		"a person who is no name":    {`{"event":"person.merged","person":{"id":"a b","merged_into":1}}`, webhook.ProblemBadField},
		"an anonymised one, unnamed": {`{"event":"person.anonymised"}`, webhook.ProblemNoID},
	} {
		events, err := hooks.Parse(nil, []byte(c.body), now)
		var w *webhook.Error
		if !errors.As(err, &w) || w.Problem != c.problem || len(events) > 0 {
			t.Errorf("%s: %v, %v; want %s", name, events, err, c.problem)
		}
	}
	// An undated record is a hint, and so is one whose event stands outside of what is signed.
	undated, err := hooks.Parse(nil, []byte(`{"id":"1","event":"application.moved","application":{"id":"APP-1","state":"open","stage":{"id":4}}}`), now)
	if err != nil || len(undated) != 1 || undated[0].Change.TimeBasis != wire.TimeBasisReceipt || undated[0].Change.ApplicationID != "ih/APP-1" {
		t.Errorf("undated: %+v, %v", undated, err)
	}
	outside := sender(t, hooked(t, "{signature: {header: X-Sig}, event: header X-Event, ping: hello, record: /a, events: {x: application.updated}, handshake: X-Hook-Secret, accepted: 204, refused: 400}"), "key")
	got, err := outside.Parse(http.Header{"X-Event": {"x"}}, []byte(`{"a":{"id":"7","stage":"s1","at":"2026-03-01T10:00:00Z"}}`), now)
	if err != nil || len(got) != 1 || got[0].Change.TimeBasis != wire.TimeBasisReceipt || got[0].Change.Stage.ID != "" {
		t.Errorf("outside: %+v, %v", got, err)
	}
	if got, err := outside.Parse(http.Header{"X-Event": {"hello"}}, []byte(`{}`), now); err != nil || got != nil {
		t.Errorf("a ping: %v, %v", got, err)
	}
	if diff := cmp.Diff(webhook.Terms{Accepted: 204, Refused: 400, Handshake: "X-Hook-Secret", Telling: []string{"X-Event"}}, outside.Terms()); diff != "" {
		t.Error(diff)
	}
	bare, err := generic.Parse("ats.yaml", []byte(frame))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := generic.NewSender(bare, ats.Mapping{System: "ih"}); err == nil {
		t.Error("webhooks of an ATS that has none")
	}
}
