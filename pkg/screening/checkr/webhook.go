package checkr

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/ats/loose"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
)

// SignatureHeader is the header that signs a webhook.
const SignatureHeader = "X-Checkr-Signature"

// orderTag starts the tag that holds the id of a screening order.
const orderTag = "order:"

// Webhooks reads the webhooks of one Checkr account.
type Webhooks struct {
	// System is the vendor instance that the policy gives authority to.
	System string
	// Instances are the ATS instances whose application ids a tag may hold.
	Instances []string
	// Secrets are the account's API keys.
	Secrets []string
}

// Sign returns the signature header of a body.
func Sign(body []byte, secret string) string {
	return hex.EncodeToString(webhook.MAC(secret, string(body)))
}

// Terms implements webhook.Sender.
func (Webhooks) Terms() webhook.Terms {
	return webhook.Terms{Accepted: http.StatusOK, Refused: http.StatusUnauthorized}
}

// Verify implements webhook.Sender. Checkr signs no time.
func (h Webhooks) Verify(header http.Header, body []byte, _ time.Time) error {
	if !webhook.Signed([][]byte{webhook.Hex(header.Get(SignatureHeader))}, h.Secrets, body) {
		return webhook.ErrSignature
	}
	return nil
}

// object is a report or an invitation, whole or only named.
type object struct {
	ID              string       `json:"id"`
	Result          loose.Text   `json:"result"`
	IncludesCancels bool         `json:"includes_canceled"`
	Tags            []loose.Text `json:"tags"`
	ReportID        loose.Text   `json:"report_id"` // of an invitation
	CreatedAt       loose.Time   `json:"created_at"`
	CompletedAt     loose.Time   `json:"completed_at"`
}

// kinds maps Checkr's events to ours. A report that is suspended, paused, resumed or updated goes on: nothing of ours
// changes.
var kinds = map[string]string{
	"invitation.created":         "screening.invited",
	"invitation.completed":       "screening.started",
	"invitation.expired":         "screening.expired",
	"invitation.deleted":         "screening.cancelled",
	"report.created":             "screening.started",
	"report.completed":           "screening.completed",
	"report.disputed":            "screening.corrected",
	"report.canceled":            "screening.cancelled",
	"report.engaged":             "screening.reviewed",
	"report.pre_adverse_action":  "screening.reviewed",
	"report.post_adverse_action": "screening.reviewed",
}

// Parse implements webhook.Sender. Identity: the event's id. Time: the event's own.
func (h Webhooks) Parse(_ http.Header, body []byte, now time.Time) ([]webhook.Event, error) {
	var kind struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(body, &kind); err != nil || kind.Type == "" {
		return nil, fail(webhook.ProblemMalformed, "", errShape)
	}
	is, ok := kinds[kind.Type]
	if !ok {
		return nil, fail(webhook.ProblemAction, "", nil)
	}
	var envelope struct {
		ID        string     `json:"id"`
		CreatedAt loose.Time `json:"created_at"`
		Data      struct {
			Object object `json:"object"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &envelope); err != nil {
		return nil, fail(webhook.ProblemBadField, kind.Type, errShape)
	}
	o := &envelope.Data.Object
	if o.ID == "" || envelope.CreatedAt.IsZero() {
		return nil, fail(webhook.ProblemBadField, kind.Type, errors.New("created_at or data.object.id is missing"))
	}
	application, order := h.tagged(o.Tags)
	if application == "" {
		return nil, fail(webhook.ProblemUnresolved, kind.Type, errUntagged)
	}
	e := &wire.ScreeningEvent{
		ID: webhook.Identity(envelope.ID, body), Source: "/vendors/" + h.System, Type: is, System: h.System,
		OccurredAt: envelope.CreatedAt.Micros(), ObservedAt: wire.MicrosOf(now), TimeBasis: wire.TimeBasisEvent,
		ApplicationID: application, OrderID: cmp.Or(order, string(o.ReportID), o.ID), Attempt: 1,
		Result: o.outcome(kind.Type, envelope.CreatedAt.Time),
	}
	return []webhook.Event{{Screening: e}}, nil
}

// tagged returns the application and the order that the tags name. Two applications are none: nothing says which.
func (h Webhooks) tagged(tags []loose.Text) (application, order string) {
	found := 0
	for _, tag := range tags {
		text := string(tag)
		if id, ok := strings.CutPrefix(text, orderTag); ok {
			order = id
			continue
		}
		instance, native, ok := strings.Cut(text, "/")
		if ok && slices.Contains(h.Instances, instance) && webhook.PlainID(native) && text != application {
			application = text
			found++
		}
	}
	if found != 1 {
		return "", ""
	}
	return application, order
}

// outcome is what a report says at an event; nil while there is none. A check that found something is never a rejection:
// that is a person's decision, which comes as an adverse action. A dispute takes the verdict back to a person.
func (o *object) outcome(kind string, at time.Time) *wire.ScreeningResult {
	out := &wire.ScreeningResult{Status: wire.ResultStatusComplete, Revision: o.revision(at), FinishedAt: o.CompletedAt.Micros()}
	switch kind {
	case "report.completed":
		switch o.Result {
		case "clear":
			out.Recommendation = wire.RecommendationAdvance
		case "consider":
			out.Recommendation = wire.RecommendationReview
		}
		if o.IncludesCancels {
			out.Status = wire.ResultStatusPartial
		}
		if out.FinishedAt == 0 {
			out.FinishedAt = wire.MicrosOf(at)
		}
	case "report.disputed", "report.pre_adverse_action":
		out.Recommendation = wire.RecommendationReview
	case "report.engaged":
		out.Recommendation = wire.RecommendationAdvance
	case "report.post_adverse_action":
		out.Recommendation = wire.RecommendationReject
	default:
		return nil
	}
	return out
}

// revision grows with every word on a report: Checkr has no number for it, so it is the seconds since the report was
// created, from 1.
func (o *object) revision(at time.Time) int32 {
	if o.CreatedAt.IsZero() || at.Before(o.CreatedAt.Time) {
		return 1
	}
	return int32(min(at.Sub(o.CreatedAt.Time)/time.Second, 1<<30)) + 1
}

func fail(p webhook.Problem, action string, err error) error {
	return &webhook.Error{Sender: "checkr", Problem: p, Action: action, Err: err}
}

var (
	errShape    = errors.New("unexpected JSON shape")
	errUntagged = errors.New("no tag, or more than one, holds an application id of a configured ATS")
)
