package atssim

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"time"
)

// hooks hold the whole application as it is after the change. A note sends none.
func (d Inhouse) hooks(s *Server, kind string, _, is *Application) []message {
	event, ok := map[string]string{
		"create": "application.created", "move": "application.moved", "reject": "application.rejected", "unreject": "application.reopened",
		"hire": "application.hired", "edit": "application.changed", "delete": "application.deleted",
	}[kind]
	if !ok {
		return nil
	}
	return []message{{event: event, data: map[string]any{"application": d.row(s, is)}}}
}

func (Inhouse) people(_ *Server, a *Action) []message {
	if a.Kind == "merge" {
		return []message{{event: "person.merged", data: map[string]any{"person": map[string]any{"id": a.Candidate, "merged_into": a.NewCandidate}}}}
	}
	return []message{{event: "person.anonymised", data: map[string]any{"person": map[string]any{"id": a.Candidate}}}}
}

// post signs the time of the attempt and the body: t=<seconds>,v1=<base64>.
func (Inhouse) post(s *Server, h *hook) ([]byte, http.Header) {
	members := map[string]any{"id": h.id, "event": h.event}
	for k, v := range h.data {
		members[k] = v
	}
	body := plainJSON(members)
	at := strconv.FormatInt(s.atsNow().Unix(), 10)
	mac := hmacSHA256(s.cfg.Webhooks.Secret, []byte(at), []byte("."), body)
	return body, http.Header{"X-Inhouse-Signature": {"t=" + at + ",v1=" + base64.StdEncoding.EncodeToString(mac)}}
}

func (Inhouse) schedule() []time.Duration {
	return []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 6 * time.Hour}
}

func (Inhouse) acked(status int) (done, again bool) { return status >= 200 && status < 300, true }
