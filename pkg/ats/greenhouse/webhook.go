package greenhouse

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/ats/loose"
	"github.com/concord-ats/concord/pkg/contact"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
)

// Webhooks reads the webhooks of one Greenhouse tenant.
type Webhooks struct {
	Mapping Mapping
	// Secrets are the secret keys; each webhook has one of its own.
	Secrets []string
}

// Terms implements webhook.Sender. Only 200 is success to Greenhouse.
func (Webhooks) Terms() webhook.Terms {
	return webhook.Terms{Accepted: http.StatusOK, Refused: http.StatusUnauthorized, Telling: []string{EventIDHeader}}
}

// Verify implements webhook.Sender. Greenhouse signs no time.
func (h Webhooks) Verify(header http.Header, body []byte, _ time.Time) error {
	return VerifySignature(body, header.Get(SignatureHeader), h.Secrets...)
}

// Parse implements webhook.Sender; see Mapping.ParseWebhook.
func (h Webhooks) Parse(header http.Header, body []byte, now time.Time) ([]webhook.Event, error) {
	return h.Mapping.ParseWebhook(body, header, now)
}

// changeTypes maps a webhook's action to the event it is.
var changeTypes = map[string]string{
	"new_candidate_application": "application.created",
	"new_prospect_application":  "application.created",
	"candidate_stage_change":    "application.stage_changed",
	"reject_candidate":          "application.rejected",
	"unreject_candidate":        "application.unrejected",
	"hire_candidate":            "application.hired",
	"unhire_candidate":          "application.updated",
	"application_updated":       "application.updated",
	"delete_application":        "application.deleted",
}

// ParseWebhook reads one webhook body. A ping is no event and no error. Members may be missing or of a
// drifted type; only what identity and order depend on has to be readable. It never panics.
//
// Time: Greenhouse sends none with an event. A body with last_activity_at is a record as of that time; one
// without is a receipt, whose occurred_at is 0 so that a redelivery is the same event, and never folds.
// Identity: the Greenhouse-Event-ID header with the record's version, as a resent body may have changed;
// without the header the hash of the body.
func (m *Mapping) ParseWebhook(body []byte, header http.Header, receivedAt time.Time) ([]webhook.Event, error) {
	var hook struct {
		Action  loose.Text `json:"action"`
		Payload struct {
			Application      json.RawMessage `json:"application"`
			Person           json.RawMessage `json:"person"`
			CandidateID      nativeID        `json:"candidate_id"`
			AnonymizedFields []loose.Text    `json:"anonymized_fields"`
		} `json:"payload"`
	}
	var action struct {
		Action loose.Text `json:"action"`
	}
	if err := json.Unmarshal(body, &action); err != nil || action.Action == "" {
		return nil, &webhook.Error{Sender: "greenhouse", Problem: webhook.ProblemMalformed, Err: errShape}
	}
	kind, isChange := changeTypes[string(action.Action)]
	isCandidate := action.Action == "merge_candidate" || action.Action == "candidate_anonymized" || action.Action == "delete_candidate"
	switch {
	case action.Action == "ping":
		return nil, nil
	case !isChange && !isCandidate:
		return nil, &webhook.Error{Sender: "greenhouse", Problem: webhook.ProblemAction}
	}
	name := string(action.Action)
	if err := json.Unmarshal(body, &hook); err != nil {
		return nil, &webhook.Error{Sender: "greenhouse", Problem: webhook.ProblemBadField, Action: name, Err: errShape}
	}
	id := identity(body, header)
	if isChange {
		c, err := m.change(kind, hook.Payload.Application, receivedAt)
		if err != nil {
			return nil, &webhook.Error{Sender: "greenhouse", Problem: problemOf(err), Action: name, Err: err}
		}
		c.ID = id.at(c.OccurredAt)
		return []webhook.Event{{Change: c, Contacts: contacts(hook.Payload.Application)}}, nil
	}
	if name == "delete_candidate" {
		return m.deleted(hook.Payload.Person, id, receivedAt)
	}
	e := &wire.CandidateEvent{
		ID: id.at(0), Source: m.all().SourceURI(), System: m.System,
		ObservedAt: wire.Micros(receivedAt.UnixMicro()), TimeBasis: wire.TimeBasisReceipt,
	}
	if action.Action == "candidate_anonymized" {
		e.Type, e.CandidateID = "candidate.anonymized", string(hook.Payload.CandidateID)
		for _, f := range hook.Payload.AnonymizedFields {
			e.AnonymizedFields = append(e.AnonymizedFields, string(f))
		}
	} else {
		var person struct {
			ID    nativeID `json:"id"`
			NewID nativeID `json:"new_candidate_id"`
		}
		if len(hook.Payload.Person) > 0 {
			if err := json.Unmarshal(hook.Payload.Person, &person); err != nil {
				return nil, &webhook.Error{Sender: "greenhouse", Problem: webhook.ProblemBadField, Action: name, Err: errShape}
			}
		}
		e.Type, e.CandidateID, e.NewCandidateID = "candidate.merged", string(person.ID), string(person.NewID)
		if e.NewCandidateID == "" {
			return nil, &webhook.Error{Sender: "greenhouse", Problem: webhook.ProblemNoID, Action: name, Err: errors.New("no new_candidate_id")}
		}
	}
	if e.CandidateID == "" {
		return nil, &webhook.Error{Sender: "greenhouse", Problem: webhook.ProblemNoID, Action: name, Err: errors.New("no candidate id")}
	}
	return []webhook.Event{{Candidate: e}}, nil
}

// contacts reads how a webhook's candidate can be reached. Whatever is not readable is left out: nothing rests on it.
func contacts(application json.RawMessage) []contact.Contact {
	type listed []struct {
		Value loose.Text `json:"value"`
	}
	var a struct {
		Candidate struct {
			Emails json.RawMessage `json:"email_addresses"`
			Phones json.RawMessage `json:"phone_numbers"`
		} `json:"candidate"`
	}
	if json.Unmarshal(application, &a) != nil {
		return nil
	}
	var out []contact.Contact
	for _, l := range []struct {
		kind contact.Kind
		raw  json.RawMessage
	}{{contact.Email, a.Candidate.Emails}, {contact.Phone, a.Candidate.Phones}} {
		var items listed
		if len(l.raw) == 0 || json.Unmarshal(l.raw, &items) != nil {
			continue
		}
		for _, i := range items {
			out = append(out, contact.New(l.kind, string(i.Value)))
		}
	}
	return out
}

// deleted reads the deletion of a candidate: one receipt for each application it took along, or one for the candidate
// where none is named. A merge deletes too, so that what is left has to be read.
func (m *Mapping) deleted(raw json.RawMessage, id eventIdentity, receivedAt time.Time) ([]webhook.Event, error) {
	var person struct {
		ID           nativeID   `json:"id"`
		Applications []nativeID `json:"deleted_application_ids"`
	}
	if err := json.Unmarshal(raw, &person); err != nil {
		return nil, &webhook.Error{Sender: "greenhouse", Problem: webhook.ProblemBadField, Action: "delete_candidate", Err: errShape}
	}
	if person.ID == "" {
		return nil, &webhook.Error{Sender: "greenhouse", Problem: webhook.ProblemNoID, Action: "delete_candidate", Err: errors.New("no candidate id")}
	}
	change := wire.AtsChange{
		ID: id.at(0), Source: m.all().SourceURI(), Type: "application.deleted", System: m.System,
		ObservedAt: wire.MicrosOf(receivedAt), TimeBasis: wire.TimeBasisReceipt, CandidateID: string(person.ID),
	}
	if len(person.Applications) == 0 {
		return []webhook.Event{{Candidate: &wire.CandidateEvent{
			ID: change.ID, Source: change.Source, Type: "candidate.deleted", System: m.System,
			ObservedAt: change.ObservedAt, TimeBasis: change.TimeBasis, CandidateID: change.CandidateID,
		}}}, nil
	}
	out := make([]webhook.Event, 0, len(person.Applications))
	for _, native := range person.Applications {
		c := change
		c.ID += "." + string(native)
		c.ApplicationID = m.all().ApplicationID(string(native))
		out = append(out, webhook.Event{Change: &c})
	}
	return out, nil
}

var errNoApplication = errors.New("no application id")

func problemOf(err error) webhook.Problem {
	if errors.Is(err, errNoApplication) {
		return webhook.ProblemNoID
	}
	return webhook.ProblemBadField
}

// webhookApplication is payload.application. What may drift without harm is kept raw and read apart.
type webhookApplication struct {
	ID              nativeID        `json:"id"`
	Status          loose.Text      `json:"status"`
	LastActivityAt  loose.Time      `json:"last_activity_at"`
	CurrentStage    json.RawMessage `json:"current_stage"`
	RejectionReason json.RawMessage `json:"rejection_reason"`
	Candidate       json.RawMessage `json:"candidate"`
	CandidateID     json.RawMessage `json:"candidate_id"`
	CustomFields    customFields    `json:"custom_fields"`
	Jobs            json.RawMessage `json:"jobs"`
	Job             json.RawMessage `json:"job"`
}

func (m *Mapping) change(kind string, raw json.RawMessage, receivedAt time.Time) (*wire.AtsChange, error) {
	if len(raw) == 0 {
		return nil, errNoApplication
	}
	var a webhookApplication
	if err := json.Unmarshal(raw, &a); err != nil {
		return nil, fmt.Errorf("application: %w", errShape)
	}
	if a.ID == "" {
		return nil, errNoApplication
	}
	candidate := idOf(a.Candidate)
	if candidate == "" {
		var n nativeID
		if len(a.CandidateID) > 0 && n.UnmarshalJSON(a.CandidateID) == nil {
			candidate = string(n)
		}
	}
	c := &wire.AtsChange{
		Source: m.all().SourceURI(), Type: kind, System: m.System,
		ObservedAt:    wire.Micros(receivedAt.UnixMicro()),
		TimeBasis:     wire.TimeBasisReceipt,
		ApplicationID: m.all().ApplicationID(string(a.ID)),
		CandidateID:   candidate,
		Reason:        idOf(a.RejectionReason),
		Elements:      m.elements(a.CustomFields),
	}
	var s stage
	if len(a.CurrentStage) > 0 && json.Unmarshal(a.CurrentStage, &s) == nil {
		c.Stage = wire.NativeStage{ID: string(s.ID), Name: string(s.Name)}
	}
	c.Status = m.status(string(a.Status), c.Reason)
	if kind == "application.hired" {
		c.Status = wire.ApplicationStatusHired // its body has no status
	}
	if kind == "application.rejected" && c.Status == wire.ApplicationStatusWithdrawn {
		c.Type = "application.withdrawn"
	}
	if !a.LastActivityAt.IsZero() {
		c.OccurredAt, c.TimeBasis = a.LastActivityAt.Micros(), wire.TimeBasisRecord
	}
	if raw := firstJob(a.Jobs, a.Job); len(raw) > 0 {
		var j job
		if json.Unmarshal(raw, &j) != nil {
			j = job{}
		}
		j.ID = nativeID(idOf(raw))
		c.Requisition = m.requisition(&j)
	}
	return c, nil
}

// idOf reads the id of {"id": …}; empty when there is none to read.
func idOf(raw json.RawMessage) string {
	var o struct {
		ID nativeID `json:"id"`
	}
	if len(raw) == 0 || json.Unmarshal(raw, &o) != nil {
		return ""
	}
	return string(o.ID)
}

func firstJob(jobs, job json.RawMessage) json.RawMessage {
	var list []json.RawMessage
	if len(jobs) > 0 && json.Unmarshal(jobs, &list) == nil && len(list) > 0 {
		return list[0]
	}
	return job
}

// eventIdentity is an event id and whether the version has to be part of it.
type eventIdentity struct {
	id      string
	mutable bool
}

func identity(body []byte, header http.Header) eventIdentity {
	own := header.Get(EventIDHeader)
	id := webhook.Identity(own, body)
	return eventIdentity{id: id, mutable: id == strings.TrimSpace(own)}
}

func (e eventIdentity) at(version wire.Micros) string {
	if !e.mutable || version == 0 {
		return e.id
	}
	return e.id + "." + strconv.FormatInt(int64(version), 10)
}
