package checkr_test

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/concord-ats/concord/pkg/screening/checkr"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var hooks = checkr.Webhooks{System: "checkr-us", Instances: []string{"gh-main"}, Secrets: []string{"new", "key"}}

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
	text := []byte(body(t, "envelope"))
	for name, c := range map[string]struct {
		signature string
		ok        bool
	}{"signed": {checkr.Sign(text, "key"), true}, "another key": {checkr.Sign(text, "other"), false}, "another body": {checkr.Sign(text[1:], "key"), false}, "none": {"", false}} {
		h := http.Header{}
		h.Set(checkr.SignatureHeader, c.signature)
		if err := hooks.Verify(h, text, now); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What each word of Checkr's is in ours. A check that found something is a person's to judge; only a person's adverse
// action rejects.
func TestStatuses(t *testing.T) {
	t.Parallel()
	text := body(t, "report_completed")
	at := time.Date(2018, 8, 17, 1, 12, 43, 0, time.UTC)
	base := wire.ScreeningEvent{
		ID: "507f1f77bcf86cd799439011", Source: "/vendors/checkr-us", System: "checkr-us", OccurredAt: wire.MicrosOf(at), ObservedAt: wire.MicrosOf(now),
		TimeBasis: wire.TimeBasisEvent, ApplicationID: "gh-main/265277", OrderID: "so-1", Attempt: 1,
	}
	result := func(status wire.ResultStatus, r wire.Recommendation) *wire.ScreeningResult {
		return &wire.ScreeningResult{Status: status, Revision: 3644, FinishedAt: wire.MicrosOf(at.Add(-3 * time.Second)), Recommendation: r}
	}
	complete, partial := wire.ResultStatusComplete, wire.ResultStatusPartial
	for name, c := range map[string]struct {
		event, was, is string
		kind           string
		result         *wire.ScreeningResult
	}{
		"clear":               {"report.completed", "", "", "screening.completed", result(complete, wire.RecommendationAdvance)},
		"consider":            {"report.completed", `"clear"`, `"consider"`, "screening.completed", result(complete, wire.RecommendationReview)},
		"no word":             {"report.completed", `"clear"`, `null`, "screening.completed", result(complete, wire.RecommendationNone)},
		"parts were canceled": {"report.completed", `"includes_canceled": false`, `"includes_canceled": true`, "screening.completed", result(partial, wire.RecommendationAdvance)},
		"disputed":            {"report.disputed", "", "", "screening.corrected", result(complete, wire.RecommendationReview)},
		"engaged":             {"report.engaged", "", "", "screening.reviewed", result(complete, wire.RecommendationAdvance)},
		"pre-adverse":         {"report.pre_adverse_action", "", "", "screening.reviewed", result(complete, wire.RecommendationReview)},
		"adverse":             {"report.post_adverse_action", "", "", "screening.reviewed", result(complete, wire.RecommendationReject)},
		"canceled":            {"report.canceled", "", "", "screening.cancelled", nil},
		"created":             {"report.created", "", "", "screening.started", nil},
		"invited":             {"invitation.created", "", "", "screening.invited", nil},
		"accepted":            {"invitation.completed", "", "", "screening.started", nil},
		"expired":             {"invitation.expired", "", "", "screening.expired", nil},
		"withdrawn":           {"invitation.deleted", "", "", "screening.cancelled", nil},
	} {
		want := base
		want.Type, want.Result = c.kind, c.result
		sent := strings.Replace(text, "report.completed", c.event, 1)
		if c.was != "" {
			sent = strings.Replace(sent, c.was, c.is, 1)
		}
		got, err := hooks.Parse(nil, []byte(sent), now)
		if diff := cmp.Diff([]webhook.Event{{Screening: &want}}, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	text := body(t, "report_completed")
	for name, c := range map[string]struct {
		body    string
		problem webhook.Problem
	}{
		"the published envelope": {body(t, "envelope"), webhook.ProblemAction},
		"goes on":                {strings.Replace(text, "report.completed", "report.suspended", 1), webhook.ProblemAction},
		"thin":                   {strings.Replace(body(t, "envelope"), "object.event", "report.completed", 1), webhook.ProblemUnresolved},
		"no tag":                 {strings.Replace(text, "gh-main/265277", "driver", 1), webhook.ProblemUnresolved},
		"another ATS":            {strings.Replace(text, "gh-main/265277", "gh-else/265277", 1), webhook.ProblemUnresolved},
		"two applications":       {strings.Replace(text, `"order:so-1"`, `"gh-main/8"`, 1), webhook.ProblemUnresolved},
		"an id as path":          {strings.Replace(text, "gh-main/265277", "gh-main/../7", 1), webhook.ProblemUnresolved},
		"no time":                {strings.Replace(text, `"created_at": "2018-08-17T01:12:43Z",`, "", 1), webhook.ProblemBadField},
		"no object":              {`{"type":"report.completed","created_at":"2018-08-17T01:12:43Z"}`, webhook.ProblemBadField},
		"an object as text":      {`{"type":"report.completed","data":{"object":"x"}}`, webhook.ProblemBadField},
		"not JSON":               {"{", webhook.ProblemMalformed},
	} {
		_, err := hooks.Parse(nil, []byte(c.body), now)
		var w *webhook.Error
		if !errors.As(err, &w) || w.Problem != c.problem {
			t.Errorf("%s: %v, want %s", name, err, c.problem)
		}
	}
	untagged := strings.Replace(text, `, "order:so-1"`, "", 1)
	if got, err := hooks.Parse(nil, []byte(untagged), now); err != nil || got[0].Screening.OrderID != "4722c07dd9a10c3985ae432a" {
		t.Errorf("without an order the report is one: %v, %v", got, err)
	}
}
