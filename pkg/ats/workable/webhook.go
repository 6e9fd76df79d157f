package workable

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/concord-ats/concord/pkg/ats/loose"
	"github.com/concord-ats/concord/pkg/contact"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
)

// Webhooks reads the webhooks of one Workable account. An application is a Workable candidate, who is in one job.
//
// A body shows the candidate at the time of the request and not at the time of the event, and names the stage by its
// label: every webhook is a receipt.
type Webhooks struct {
	// System is the ATS instance, the first half of every application id.
	System string
	// Secrets are the account's tokens, or the OAuth application's secrets, whichever made the subscription.
	Secrets []string
}

// followed maps Workable's events to ours. Others are about employees.
var followed = map[string]string{
	"candidate_created": "application.created",
	"candidate_moved":   "application.stage_changed",
	"candidate_deleted": "application.deleted",
}

// Terms implements webhook.Sender. Only 200 is success to Workable.
func (Webhooks) Terms() webhook.Terms {
	return webhook.Terms{Accepted: http.StatusOK, Refused: http.StatusUnauthorized}
}

// Verify implements webhook.Sender. Workable signs no time apart from the body.
func (h Webhooks) Verify(header http.Header, body []byte, _ time.Time) error {
	return verify(header, body, h.Secrets)
}

// Parse implements webhook.Sender. Identity: the event's id, else the hash of the body.
func (h Webhooks) Parse(_ http.Header, body []byte, now time.Time) ([]webhook.Event, error) {
	var hook struct {
		ID        loose.Text      `json:"id"`
		EventType string          `json:"event_type"`
		Data      json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &hook); err != nil || hook.EventType == "" {
		return nil, &webhook.Error{Sender: "workable", Problem: webhook.ProblemMalformed, Err: errShape}
	}
	kind, ok := followed[hook.EventType]
	if !ok {
		return nil, &webhook.Error{Sender: "workable", Problem: webhook.ProblemAction}
	}
	var data struct {
		ID  loose.Text `json:"id"`
		Job struct {
			Shortcode loose.Text `json:"shortcode"`
		} `json:"job"`
		Email loose.Text `json:"email"`
		Phone loose.Text `json:"phone"`
	}
	if len(hook.Data) > 0 {
		if err := json.Unmarshal(hook.Data, &data); err != nil {
			return nil, &webhook.Error{Sender: "workable", Problem: webhook.ProblemBadField, Action: hook.EventType, Err: errShape}
		}
	}
	if !webhook.PlainID(string(data.ID)) {
		return nil, &webhook.Error{Sender: "workable", Problem: webhook.ProblemNoID, Action: hook.EventType, Err: errNobody}
	}
	var contacts []contact.Contact
	if data.Email != "" {
		contacts = append(contacts, contact.New(contact.Email, string(data.Email)))
	}
	if data.Phone != "" {
		contacts = append(contacts, contact.New(contact.Phone, string(data.Phone)))
	}
	return []webhook.Event{{Change: &wire.AtsChange{
		ID: webhook.Identity(string(hook.ID), body), Source: "/ats/" + h.System, Type: kind, System: h.System,
		ObservedAt: wire.MicrosOf(now), TimeBasis: wire.TimeBasisReceipt,
		ApplicationID: h.System + "/" + string(data.ID), CandidateID: string(data.ID),
		Requisition: wire.Requisition{ID: string(data.Job.Shortcode)},
	}, Contacts: contacts}}, nil
}

var (
	errShape  = errors.New("unexpected JSON shape")
	errNobody = errors.New("data: no candidate id")
)
