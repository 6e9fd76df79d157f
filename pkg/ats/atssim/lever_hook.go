package atssim

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// hooks are Lever's: thin, with what changed of the opportunity. A hire archives as well, so it sends two. A change of
// tags or of notes sends none.
func (l Lever) hooks(_ *Server, kind string, was, is *Application) []message {
	data := func(more map[string]any) map[string]any {
		more["opportunityId"], more["contactId"] = l.Spell(KindApplication, is.ID), spellOrNull(l, KindCandidate, is.CandidateID)
		more["candidateId"] = more["opportunityId"] // what an opportunity was called before
		return more
	}
	archived := func(a *Application) any {
		switch a.Status {
		case statusRejected:
			return map[string]any{"reason": l.Spell(KindReason, a.RejectionReasonID), "archivedAt": a.RejectedAt.UnixMilli()}
		case statusHired:
			return map[string]any{"reason": l.Spell(KindReason, LeverHired), "archivedAt": a.LastActivityAt.UnixMilli()}
		}
		return nil
	}
	change := message{event: "candidateArchiveChange", data: data(map[string]any{"fromArchived": archived(was), "toArchived": archived(is)})}
	switch kind {
	case "create":
		return []message{{event: "applicationCreated", data: data(map[string]any{"applicationId": l.Spell(KindApplication, is.ID+1<<40)})}}
	case "move":
		return []message{{event: "candidateStageChange", data: data(map[string]any{"fromStageId": l.Spell(KindStage, was.StageID), "toStageId": l.Spell(KindStage, is.StageID)})}}
	case "reject", "unreject":
		return []message{change}
	case "hire":
		return []message{{event: "candidateHired", data: data(map[string]any{})}, change}
	case "delete":
		return []message{{event: "candidateDeleted", data: data(map[string]any{})}}
	}
	return nil
}

// people: Lever has no webhook for a merge or an anonymisation.
func (Lever) people(*Server, *Action) []message { return nil }

// post signs the token and the time, which are members of the body; the rest of the body is not signed.
func (Lever) post(s *Server, h *hook) ([]byte, http.Header) {
	token := fmt.Sprintf("%032x%016x", draw(s.cfg.Seed, "token "+h.event, h.about, h.seq), draw(s.cfg.Seed, "token "+h.id, h.about, 1))
	at := strconv.FormatInt(h.at.UnixMilli(), 10)
	return plainJSON(map[string]any{
		"id": h.id, "event": h.event, "data": h.data, "token": token, "triggeredAt": h.at.UnixMilli(),
		"signature": hex.EncodeToString(hmacSHA256(s.cfg.Webhooks.Secret, []byte(token), []byte(at))),
	}), nil
}

// schedule: Lever publishes none; this one is made up.
func (Lever) schedule() []time.Duration {
	return []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour}
}

func (Lever) acked(status int) (done, again bool) { return status >= 200 && status < 300, true }
