package lever

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
)

// Webhooks reads the webhooks of one Lever account. An application is a Lever opportunity.
//
// Lever signs a token and the time and not what the body says, so that whoever has seen one webhook can send another
// with its signature. Nothing in data is believed beyond the opportunity it names: every webhook is a receipt, and
// what Lever shows is read.
type Webhooks struct {
	// System is the ATS instance, the first half of every application id.
	System string
	// Secrets are the signature tokens. Lever has one for each event that is switched on: give them all.
	Secrets []string
}

// followed maps Lever's events to ours. Others, interviews and contacts among them, say nothing about an application.
var followed = map[string]string{
	"applicationCreated":     "application.created",
	"candidateStageChange":   "application.stage_changed",
	"candidateArchiveChange": "application.updated", // archived or taken back: the read says which
	"candidateHired":         "application.hired",
	"candidateDeleted":       "application.deleted",
}

// Terms implements webhook.Sender.
func (Webhooks) Terms() webhook.Terms {
	return webhook.Terms{Accepted: http.StatusOK, Refused: http.StatusUnauthorized}
}

// Verify implements webhook.Sender.
func (h Webhooks) Verify(_ http.Header, body []byte, now time.Time) error {
	var e envelope
	if webhook.Deep(body) || json.Unmarshal(body, &e) != nil {
		return webhook.ErrSignature
	}
	return e.verify(h.Secrets, now)
}

// Parse implements webhook.Sender. Identity: the hash of the token, which is unique to an event and part of its secret.
func (h Webhooks) Parse(_ http.Header, body []byte, now time.Time) ([]webhook.Event, error) {
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil || e.Event == "" {
		return nil, &webhook.Error{Sender: "lever", Problem: webhook.ProblemMalformed, Err: errNotJSON}
	}
	kind, ok := followed[e.Event]
	if !ok {
		return nil, &webhook.Error{Sender: "lever", Problem: webhook.ProblemAction}
	}
	var data struct {
		OpportunityID string `json:"opportunityId"`
		CandidateID   string `json:"candidateId"` // of accounts from before there were opportunities
		ContactID     string `json:"contactId"`
	}
	if len(e.Data) > 0 {
		if err := json.Unmarshal(e.Data, &data); err != nil {
			return nil, &webhook.Error{Sender: "lever", Problem: webhook.ProblemBadField, Action: e.Event, Err: errData}
		}
	}
	c := &wire.AtsChange{
		ID: webhook.Hash([]byte(e.Token)), Source: "/ats/" + h.System, Type: kind, System: h.System,
		ObservedAt: wire.MicrosOf(now), TimeBasis: wire.TimeBasisReceipt, CandidateID: data.ContactID,
	}
	switch {
	case !plain(data.OpportunityID, data.CandidateID, data.ContactID):
		return nil, &webhook.Error{Sender: "lever", Problem: webhook.ProblemBadField, Action: e.Event, Err: errData}
	case data.OpportunityID != "":
		c.ApplicationID = h.System + "/" + data.OpportunityID
	case data.ContactID == "" && data.CandidateID == "":
		return nil, &webhook.Error{Sender: "lever", Problem: webhook.ProblemNoID, Action: e.Event, Err: errNobody}
	case data.ContactID == "":
		c.CandidateID = data.CandidateID
	}
	if kind == "application.deleted" && c.ApplicationID == "" { // which applications were the candidate's, the identity processor knows
		return []webhook.Event{{Candidate: &wire.CandidateEvent{
			ID: c.ID, Source: c.Source, Type: "candidate.deleted", System: h.System, ObservedAt: c.ObservedAt, TimeBasis: c.TimeBasis, CandidateID: c.CandidateID,
		}}}, nil
	}
	return []webhook.Event{{Change: c}}, nil
}

// plain reports whether each id that is there is one.
func plain(ids ...string) bool {
	return !slices.ContainsFunc(ids, func(id string) bool { return id != "" && !webhook.PlainID(id) })
}

var (
	errNotJSON = errors.New("no JSON object with an event")
	errData    = errors.New("data: an id is no id")
	errNobody  = errors.New("data: neither opportunityId nor contactId nor candidateId")
)
