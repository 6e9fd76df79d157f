package atssim

import (
	"encoding/hex"
	"net/http"
	"time"
)

// hooks are Ashby's: one change of an application sends a webhook of each kind it is. Those of one change share an
// action id. Deleting a candidate is told, and an application is not deleted but with the last of its candidate.
func (d Ashby) hooks(s *Server, kind string, _, is *Application) []message {
	events := map[string][]string{
		"create": {"applicationSubmit"},
		"edit":   {"applicationUpdate"},
		"move":   {"candidateStageChange", "applicationUpdate"},
		"reject": {"candidateStageChange", "applicationUpdate"}, "unreject": {"candidateStageChange", "applicationUpdate"},
		"hire": {"candidateHire", "candidateStageChange", "applicationUpdate"},
	}[kind]
	var out []message
	if kind == "delete" && s.applicationOfLocked(is.CandidateID) == 0 {
		return []message{{event: "candidateDelete", data: map[string]any{"candidate": map[string]any{"id": d.Spell(KindCandidate, is.CandidateID)}}}}
	}
	for _, e := range events {
		out = append(out, message{event: e, data: map[string]any{"application": d.row(s, is)}})
	}
	return out
}

func (d Ashby) people(_ *Server, a *Action) []message {
	if a.Kind != "merge" {
		return nil
	}
	return []message{{event: "candidateMerge", data: map[string]any{
		"deletedCandidate": map[string]any{"id": d.Spell(KindCandidate, a.Candidate)}, "mergedCandidate": map[string]any{"id": d.Spell(KindCandidate, a.NewCandidate)},
	}}}
}

func (d Ashby) post(s *Server, h *hook) ([]byte, http.Header) {
	body := plainJSON(map[string]any{
		"action": h.event, "data": h.data, "webhookActionId": d.Spell(KindNote, int64(draw(s.cfg.Seed, "action", h.about, h.cause)>>20)),
	})
	return body, http.Header{"Ashby-Signature": {"sha256=" + hex.EncodeToString(hmacSHA256(s.cfg.Webhooks.Secret, body))}}
}

// schedule: ten attempts, (2^n - 1) × 10 s apart.
func (Ashby) schedule() []time.Duration {
	var out []time.Duration
	for n := 1; n < 10; n++ {
		out = append(out, time.Duration(1<<n-1)*10*time.Second)
	}
	return out
}

func (Ashby) acked(status int) (done, again bool) {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone:
		return false, false
	}
	return status >= 200 && status < 300, true
}
