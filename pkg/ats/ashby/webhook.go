package ashby

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/loose"
	"github.com/concord-ats/concord/pkg/contact"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
)

// Webhooks reads the webhooks of one Ashby organization. Their bodies are signed and hold the application with the time
// of its last update, so that each is a record as of that time. A hire comes as three of them; they show the same.
type Webhooks struct {
	Mapping ats.Mapping
	// Secrets are the secret tokens; each webhook can have one of its own.
	Secrets []string
}

// followed maps Ashby's actions about an application to ours.
var followed = map[string]string{
	"applicationSubmit":    "application.created",
	"applicationUpdate":    "application.updated",
	"candidateStageChange": "application.stage_changed",
	"candidateHire":        "application.hired",
}

// Terms implements webhook.Sender. Ashby gives up for good on 401, 403, 404, 405 and 410, and the secret here may be the
// one that is wrong.
func (Webhooks) Terms() webhook.Terms {
	return webhook.Terms{Accepted: http.StatusOK, Refused: http.StatusBadRequest}
}

// Verify implements webhook.Sender. Ashby signs no time.
func (h Webhooks) Verify(header http.Header, body []byte, _ time.Time) error {
	return verify(header, body, h.Secrets)
}

// application is data.application. What may drift without harm is read loosely.
type application struct {
	ID            loose.Text      `json:"id"`
	Status        loose.Text      `json:"status"`
	UpdatedAt     loose.Time      `json:"updatedAt"`
	Candidate     loose.Ref       `json:"candidate"`
	Job           job             `json:"job"`
	ArchiveReason loose.Ref       `json:"archiveReason"`
	Stage         json.RawMessage `json:"currentInterviewStage"`
	CustomFields  json.RawMessage `json:"customFields"`
}

// job is an id, or an object with the id of its location.
type job struct{ id, location string }

// UnmarshalJSON implements json.Unmarshaler.
func (j *job) UnmarshalJSON(b []byte) error {
	var ref loose.Ref
	if err := ref.UnmarshalJSON(b); err != nil {
		return err
	}
	var placed struct {
		Location loose.Text `json:"locationId"`
	}
	if json.Unmarshal(b, &placed) != nil {
		placed.Location = "" // an id alone has no location
	}
	*j = job{string(ref), string(placed.Location)}
	return nil
}

// requisition is the job, with the region of its location.
func (j job) requisition(m *ats.Mapping) wire.Requisition {
	return wire.Requisition{ID: j.id, Region: m.Region(j.location)}
}

// Parse implements webhook.Sender. Identity: webhookActionId, which the webhooks of one action share, with the action
// and the record's version; where it is missing the hash of the body, which holds both.
func (h Webhooks) Parse(_ http.Header, body []byte, now time.Time) ([]webhook.Event, error) {
	var hook struct {
		Action   string          `json:"action"`
		ActionID loose.Text      `json:"webhookActionId"`
		Data     json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &hook); err != nil || hook.Action == "" {
		return nil, fail(webhook.ProblemMalformed, "", errShape)
	}
	if hook.Action == "ping" {
		return nil, nil
	}
	kind, about := followed[hook.Action]
	if !about && hook.Action != "candidateDelete" && hook.Action != "candidateMerge" {
		return nil, fail(webhook.ProblemAction, "", nil)
	}
	if len(hook.Data) == 0 {
		return nil, fail(webhook.ProblemNoID, hook.Action, errNobody)
	}
	id := func(at wire.Micros) string {
		id := webhook.Identity(string(hook.ActionID), body)
		if id == string(hook.ActionID) {
			if id += "." + hook.Action; at != 0 {
				id += "." + strconv.FormatInt(int64(at), 10)
			}
		}
		return id
	}
	if !about {
		return h.person(hook.Action, hook.Data, id(0), now)
	}
	var data struct {
		Application json.RawMessage `json:"application"`
	}
	if err := json.Unmarshal(hook.Data, &data); err != nil {
		return nil, fail(webhook.ProblemBadField, hook.Action, errShape)
	}
	c := &wire.AtsChange{Source: h.Mapping.SourceURI(), Type: kind, System: h.Mapping.System, ObservedAt: wire.MicrosOf(now), TimeBasis: wire.TimeBasisReceipt}
	if err := h.change(data.Application, c); err != nil {
		return nil, fail(problemOf(err), hook.Action, err)
	}
	c.ID = id(c.OccurredAt)
	return []webhook.Event{{Change: c, Contacts: contacts(data.Application)}}, nil
}

// person reads candidateDelete and candidateMerge. Which applications were the candidate's, the identity processor knows. A
// merge that does not say who is left is told as a deletion, after which each application is read; one that does not say who is
// gone has the applications of whom it names looked up.
func (h Webhooks) person(action string, raw json.RawMessage, id string, now time.Time) ([]webhook.Event, error) {
	var data struct {
		Candidate loose.Ref `json:"candidate"`
		Gone      loose.Ref `json:"deletedCandidate"`
		Left      loose.Ref `json:"mergedCandidate"`
	}
	if err := json.Unmarshal(raw, &data); err != nil {
		return nil, fail(webhook.ProblemBadField, action, errShape)
	}
	e := &wire.CandidateEvent{
		ID: id, Source: h.Mapping.SourceURI(), Type: "candidate.deleted", System: h.Mapping.System,
		ObservedAt: wire.MicrosOf(now), TimeBasis: wire.TimeBasisReceipt, CandidateID: string(data.Candidate),
	}
	if action == "candidateMerge" {
		e.CandidateID = string(data.Gone)
		if left := string(data.Left); left != e.CandidateID && webhook.PlainID(left) {
			e.Type, e.NewCandidateID = "candidate.merged", left
		}
		if named := cmp.Or(string(data.Left), string(data.Candidate)); e.CandidateID == "" && webhook.PlainID(named) {
			return []webhook.Event{{Change: &wire.AtsChange{
				ID: id, Source: e.Source, Type: "application.updated", System: e.System, ObservedAt: e.ObservedAt, TimeBasis: e.TimeBasis, CandidateID: named,
			}}}, nil
		}
	}
	if !webhook.PlainID(e.CandidateID) {
		return nil, fail(webhook.ProblemNoID, action, errNobody)
	}
	return []webhook.Event{{Candidate: e}}, nil
}

// contacts reads how the candidate of an application can be reached. Whatever is not readable is left out: nothing rests
// on it.
func contacts(application json.RawMessage) []contact.Contact {
	type reached struct {
		Value loose.Text `json:"value"`
	}
	var a struct {
		Candidate struct {
			Email json.RawMessage `json:"primaryEmailAddress"`
			Phone json.RawMessage `json:"primaryPhoneNumber"`
		} `json:"candidate"`
	}
	if len(application) == 0 || json.Unmarshal(application, &a) != nil {
		return nil
	}
	var out []contact.Contact
	for _, by := range []struct {
		kind contact.Kind
		raw  json.RawMessage
	}{{contact.Email, a.Candidate.Email}, {contact.Phone, a.Candidate.Phone}} {
		var is reached
		if len(by.raw) > 0 && json.Unmarshal(by.raw, &is) == nil && is.Value != "" {
			out = append(out, contact.New(by.kind, string(is.Value)))
		}
	}
	return out
}

// change fills c from data.application.
func (h Webhooks) change(raw json.RawMessage, c *wire.AtsChange) error {
	if len(raw) == 0 {
		return errNobody
	}
	var a application
	if err := json.Unmarshal(raw, &a); err != nil {
		return errShape
	}
	if a.ID == "" {
		return errNobody
	}
	if !webhook.PlainID(string(a.ID)) {
		return errShape
	}
	c.ApplicationID, c.CandidateID = h.Mapping.ApplicationID(string(a.ID)), string(a.Candidate)
	c.Requisition = a.Job.requisition(&h.Mapping)
	if at := a.stage(); !at.closes() {
		c.Stage = wire.NativeStage{ID: string(at.ID), Name: string(at.Title)}
	}
	c.Reason = string(a.ArchiveReason)
	c.Status = statusOf(&h.Mapping, &a)
	c.Elements = h.Mapping.Elements(func(f ats.Field) (json.RawMessage, bool) { return a.field(f.Key) })
	if !a.UpdatedAt.IsZero() {
		c.OccurredAt, c.TimeBasis = a.UpdatedAt.Micros(), wire.TimeBasisRecord
	}
	return nil
}

// statusOf is the application's status; what is not known says nothing.
func statusOf(m *ats.Mapping, a *application) wire.ApplicationStatus {
	switch a.Status {
	case "Active", "Lead":
		return wire.ApplicationStatusActive
	case "Hired":
		return wire.ApplicationStatusHired
	case "Archived":
		return m.Rejected(string(a.ArchiveReason))
	}
	return wire.ApplicationStatusUnspecified
}

// field is the value of a custom field.
func (a *application) field(id string) (json.RawMessage, bool) {
	var fields []struct {
		ID    loose.Text      `json:"id"`
		Value json.RawMessage `json:"value"`
	}
	if len(a.CustomFields) == 0 || json.Unmarshal(a.CustomFields, &fields) != nil {
		return nil, false // of a shape nobody knows: no field of it can be mapped
	}
	for _, f := range fields {
		if string(f.ID) == id {
			return f.Value, true
		}
	}
	return nil, false
}

func problemOf(err error) webhook.Problem {
	if errors.Is(err, errNobody) {
		return webhook.ProblemNoID
	}
	return webhook.ProblemBadField
}

func fail(p webhook.Problem, action string, err error) error {
	return &webhook.Error{Sender: "ashby", Problem: p, Action: action, Err: err}
}

var (
	errShape  = errors.New("unexpected JSON shape")
	errNobody = errors.New("no application id, and no candidate id")
)
