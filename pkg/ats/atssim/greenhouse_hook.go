package atssim

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// greenhouseActions maps a change to the webhook it sends.
var greenhouseActions = map[string]string{
	"create": "new_candidate_application", "move": "candidate_stage_change", "reject": "reject_candidate",
	"unreject": "unreject_candidate", "hire": "hire_candidate", "edit": "application_updated", "delete": "delete_application",
}

func (g Greenhouse) hooks(s *Server, kind string, _, is *Application) []message {
	action, ok := greenhouseActions[kind]
	if !ok {
		return nil
	}
	return []message{{event: action, data: g.hookApplication(s, is, kind)}}
}

func (Greenhouse) people(_ *Server, a *Action) []message {
	if a.Kind == "merge" {
		return []message{{event: "merge_candidate", data: map[string]any{"person": map[string]any{"id": a.Candidate, "new_candidate_id": a.NewCandidate}}}}
	}
	return []message{{event: "candidate_anonymized", data: map[string]any{"candidate_id": a.Candidate, "anonymized_fields": []string{"full_name"}}}}
}

func (Greenhouse) post(s *Server, h *hook) ([]byte, http.Header) {
	body := escapedJSON(map[string]any{"action": h.event, "payload": h.data})
	return body, http.Header{
		"Signature":           {"sha256 " + hex.EncodeToString(hmacSHA256(s.cfg.Webhooks.Secret, body))},
		"Greenhouse-Event-Id": {h.id},
	}
}

func (Greenhouse) schedule() []time.Duration {
	return []time.Duration{time.Minute, 15 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour}
}

func (Greenhouse) acked(status int) (done, again bool) { return status == http.StatusOK, true }

// hookApplication is the payload of an application's webhook, in the shape Greenhouse publishes: v1 names,
// no event time, no previous stage; a hire has neither status nor times nor stage.
func (Greenhouse) hookApplication(s *Server, a *Application, kind string) map[string]any {
	custom := map[string]any{}
	for _, f := range s.cfg.Fields {
		if v, ok := a.Fields[f.Key]; ok {
			custom[f.Key] = map[string]any{"name": f.Key, "type": f.Type, "value": v}
		}
	}
	offices := []any{}
	if a.Office != "" {
		offices = append(offices, map[string]any{"id": s.officeID(a.Office), "name": a.Office, "location": a.Office, "external_id": nil})
	}
	jobFields := greenhouseJobFields(a.EmploymentType)
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

// escapedJSON encodes a webhook as Greenhouse does: all that is not ASCII escaped, so that the signature is over
// plain bytes.
func escapedJSON(v map[string]any) []byte {
	b := plainJSON(v)
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
