package smartrecruiters

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
)

// Webhooks reads the webhooks of one SmartRecruiters account. They are thin: they name what changed, and every one is
// a receipt.
type Webhooks struct {
	// System is the ATS instance, the first half of every application id.
	System string
	// Secrets are the subscription's secret keys; an old one holds for 24 hours beside the new one.
	Secrets []string
}

// Terms implements webhook.Sender. Only 202 is success to SmartRecruiters.
func (Webhooks) Terms() webhook.Terms {
	return webhook.Terms{
		Accepted: http.StatusAccepted, Refused: http.StatusUnauthorized, Handshake: HandshakeHeader,
		Telling: []string{EventIDHeader, EventNameHeader, VersionHeader, LinkHeader},
	}
}

// Verify implements webhook.Sender.
func (h Webhooks) Verify(header http.Header, body []byte, now time.Time) error {
	return verify(header, body, h.Secrets, now)
}

// followed maps SmartRecruiters' events to ours. Every other application.* is an update; candidate.created is none, as
// application.created follows where there is an application.
func followed(name string) (kind string, ok bool) {
	switch name {
	case "application.created":
		return "application.created", true
	case "application.status.updated":
		return "application.stage_changed", true
	case "candidate.deleted":
		return name, true
	case "candidate.updated":
		return "application.updated", true
	}
	if strings.HasPrefix(name, "application.") {
		return "application.updated", true
	}
	return "", false
}

// Parse implements webhook.Sender. Identity: the event-id header.
func (h Webhooks) Parse(header http.Header, body []byte, now time.Time) ([]webhook.Event, error) {
	name := header.Get(EventNameHeader)
	kind, ok := followed(name)
	if !ok {
		return nil, &webhook.Error{Sender: "smartrecruiters", Problem: webhook.ProblemAction}
	}
	var thin struct {
		ID          string `json:"id"`
		CandidateID string `json:"candidate_id"`
		JobID       string `json:"job_id"`
	}
	if err := json.Unmarshal(body, &thin); err != nil {
		return nil, &webhook.Error{Sender: "smartrecruiters", Problem: webhook.ProblemMalformed, Action: known(name), Err: errShape}
	}
	c := &wire.AtsChange{
		ID: webhook.Identity(header.Get(EventIDHeader), body), Source: "/ats/" + h.System, Type: kind, System: h.System,
		ObservedAt: wire.MicrosOf(now), TimeBasis: wire.TimeBasisReceipt, CandidateID: thin.CandidateID,
	}
	candidate, job := thin.CandidateID, thin.JobID
	if strings.HasPrefix(name, "candidate.") {
		candidate = thin.ID
		c.CandidateID = candidate
	} else if candidate == "" || job == "" {
		candidate, job = linked(header.Get(LinkHeader))
		c.CandidateID = candidate
	}
	switch {
	case candidate == "":
		return nil, &webhook.Error{Sender: "smartrecruiters", Problem: webhook.ProblemNoID, Action: known(name), Err: errNobody}
	case !plain(candidate) || job != "" && !plain(job):
		return nil, &webhook.Error{Sender: "smartrecruiters", Problem: webhook.ProblemBadField, Action: known(name), Err: errShape}
	case kind == "candidate.deleted": // which applications were the candidate's, the identity processor knows
		return []webhook.Event{{Candidate: &wire.CandidateEvent{
			ID: c.ID, Source: c.Source, Type: kind, System: h.System, ObservedAt: c.ObservedAt, TimeBasis: c.TimeBasis, CandidateID: candidate,
		}}}, nil
	case job != "":
		c.ApplicationID = h.System + "/" + NativeID(candidate, job)
		c.Requisition.ID = job
	}
	return []webhook.Event{{Change: c}}, nil
}

// known keeps a name of the published list out of what a sender may have made up.
func known(name string) string {
	switch name {
	case "application.created", "application.status.updated", "candidate.deleted", "candidate.updated":
		return name
	}
	return "application"
}

// plain reports whether an id can be half of a native one.
func plain(id string) bool { return ats.CheckID("read", id) == nil && !strings.Contains(id, "_") }

// linked reads candidate and job from the Link header's target, …/candidates/{id}/jobs/{id}; either may be empty. The
// header is signed.
func linked(header string) (candidate, job string) {
	target, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(header), "<"), ">")
	u, err := url.Parse(target)
	if err != nil {
		return "", ""
	}
	parts := strings.Split(u.Path, "/")
	for i := 0; i+1 < len(parts); i++ {
		switch parts[i] {
		case "candidates":
			candidate = parts[i+1]
		case "jobs":
			job = parts[i+1]
		}
	}
	return candidate, job
}

var (
	errShape  = errors.New("no JSON object of ids")
	errNobody = errors.New("neither the body nor the Link header names a candidate")
)
