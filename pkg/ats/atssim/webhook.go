package atssim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// hookActions maps a change to the webhook it sends.
var hookActions = map[string]string{
	"create": "new_candidate_application", "move": "candidate_stage_change", "reject": "reject_candidate",
	"unreject": "unreject_candidate", "hire": "hire_candidate", "edit": "application_updated", "delete": "delete_application",
}

// announce queues the webhook of a change, with the application as it now is. The lock is held.
func (s *Server) announce(rec *record, kind string) {
	action, ok := hookActions[kind]
	if !ok || s.cfg.Webhooks.URL == "" {
		return
	}
	rec.events++
	s.enqueue(action, s.hookApplication(&rec.app, kind), rec.app.ID, rec.events)
}

// announcePerson queues the webhook of a merge or an anonymisation.
func (s *Server) announcePerson(a Action) {
	if s.cfg.Webhooks.URL == "" {
		return
	}
	s.deliver.people++
	n := s.deliver.people
	if a.Kind == "merge" {
		s.enqueue("merge_candidate", map[string]any{"person": map[string]any{"id": a.Candidate, "new_candidate_id": a.NewCandidate}}, a.Candidate, n)
		return
	}
	s.enqueue("candidate_anonymized", map[string]any{"candidate_id": a.Candidate, "anonymized_fields": []string{"full_name"}}, a.Candidate, n)
}

// hookApplication is the payload of an application's webhook, in the shape Greenhouse publishes: v1 names,
// no event time, no previous stage; a hire has neither status nor times nor stage.
func (s *Server) hookApplication(a *Application, kind string) map[string]any {
	custom := map[string]any{}
	for _, f := range s.cfg.Fields {
		if v, ok := a.Fields[f.Key]; ok {
			custom[f.Key] = map[string]any{"name": f.Key, "type": f.Type, "value": v}
		}
	}
	offices := []any{}
	if a.Office != "" {
		offices = append(offices, map[string]any{"id": 54, "name": a.Office, "location": a.Office, "external_id": nil})
	}
	jobFields := map[string]any{}
	if a.EmploymentType != "" {
		jobFields["employment_type"] = map[string]any{"name": "Employment Type", "type": "single_select", "value": a.EmploymentType}
	}
	app := map[string]any{
		"id":            a.ID,
		"candidate":     map[string]any{"id": a.CandidateID},
		"custom_fields": custom,
		"jobs":          []any{map[string]any{"id": a.JobID, "status": "open", "offices": offices, "custom_fields": jobFields}},
	}
	if kind != "hire" {
		var reason any
		if a.RejectionReasonID != 0 {
			reason = map[string]any{"id": a.RejectionReasonID}
		}
		app["status"] = a.Status
		app["prospect"] = false
		app["applied_at"] = timeOrNull(a.AppliedAt)
		app["rejected_at"] = timeOrNull(a.RejectedAt)
		app["last_activity_at"] = timeOrNull(a.LastActivityAt)
		app["rejection_reason"] = reason
		app["current_stage"] = map[string]any{"id": a.StageID, "name": s.stageName(a.StageID), "interviews": []any{}}
	}
	return map[string]any{"application": app}
}

// hookBody encodes a webhook as Greenhouse does: all that is not ASCII escaped, so that the signature is over
// plain bytes.
func hookBody(action string, payload map[string]any) []byte {
	b, err := json.Marshal(struct {
		Action  string         `json:"action"`
		Payload map[string]any `json:"payload"`
	}{action, payload})
	if err != nil {
		panic(fmt.Sprintf("atssim: webhook body: %v", err)) // only raw values that were parsed before
	}
	if bytes.IndexFunc(b, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
		return b
	}
	var out bytes.Buffer
	for _, r := range string(b) {
		switch {
		case r < utf8.RuneSelf:
			out.WriteByte(byte(r))
		case r > 0xFFFF:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.Bytes()
}
