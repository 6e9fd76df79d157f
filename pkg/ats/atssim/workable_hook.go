package atssim

import (
	"encoding/hex"
	"net/http"
	"time"
)

// hooks are Workable's: a candidate was created, moved or deleted. A disqualification, a change of tags and a comment send
// none.
func (Workable) hooks(_ *Server, kind string, _, _ *Application) []message {
	event, ok := map[string]string{"create": "candidate_created", "move": "candidate_moved", "hire": "candidate_moved", "delete": "candidate_deleted"}[kind]
	if !ok {
		return nil
	}
	return []message{{event: event}}
}

// people: Workable has no webhook for a merge or an anonymisation.
func (Workable) people(*Server, *Action) []message { return nil }

// post shows the candidate as it is at the time of the attempt, not of the event.
func (d Workable) post(s *Server, h *hook) ([]byte, http.Header) {
	data := map[string]any{"id": d.Spell(KindApplication, h.about)}
	if rec := s.apps[h.about]; rec != nil && !rec.deleted {
		data = d.whole(s, &rec.app)
	}
	body := plainJSON(map[string]any{"id": h.id, "event_type": h.event, "resource_type": "candidate", "fired_at": h.at.UTC().Format(time.RFC3339), "data": data})
	return body, http.Header{"X-Workable-Signature": {hex.EncodeToString(hmacSHA256(s.cfg.Webhooks.Secret, body))}}
}

// schedule: Workable publishes none; this one is made up.
func (Workable) schedule() []time.Duration {
	return []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 6 * time.Hour}
}

func (Workable) acked(status int) (done, again bool) { return status == http.StatusOK, true }
