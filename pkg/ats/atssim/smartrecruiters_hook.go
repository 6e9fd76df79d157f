package atssim

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// hooks are SmartRecruiters': thin, they name what changed. A message sends none.
func (d SmartRecruiters) hooks(_ *Server, kind string, _, is *Application) []message {
	event, ok := map[string]string{
		"create": "application.created", "edit": "application.fields.updated", "delete": "candidate.deleted",
		"move": "application.status.updated", "reject": "application.status.updated", "unreject": "application.status.updated", "hire": "application.status.updated",
	}[kind]
	if !ok {
		return nil
	}
	candidate, job := d.Spell(KindCandidate, is.ID), d.job(is.ID)
	if kind == "delete" {
		return []message{{event: event, data: map[string]any{"id": candidate}}}
	}
	return []message{{event: event, data: map[string]any{"job_id": job, "candidate_id": candidate}}}
}

// people: what a merge or an anonymisation sends is not published.
func (SmartRecruiters) people(*Server, *Action) []message { return nil }

// post signs the time, the body and four headers, joined with dots.
func (d SmartRecruiters) post(s *Server, h *hook) ([]byte, http.Header) {
	body := plainJSON(h.data)
	path := fmt.Sprintf("/candidates/%s", d.Spell(KindCandidate, h.about))
	if h.data["job_id"] != nil {
		path += "/jobs/" + d.job(h.about)
	}
	stamp, link := strconv.FormatInt(s.atsNow().Unix(), 10), "<https://api.smartrecruiters.com"+path+">; rel=self"
	header := http.Header{
		"Smartrecruiters-Timestamp": {stamp}, "Event-Id": {h.id}, "Event-Name": {h.event}, "Event-Version": {"v201910"}, "Link": {link},
	}
	sum := hmacSHA256(s.cfg.Webhooks.Secret, []byte(stamp+"."), body, []byte("."+h.id+"."+h.event+".v201910."+link))
	header.Set("Smartrecruiters-Signature", "v1="+hex.EncodeToString(sum))
	return body, header
}

// schedule: ten retries. The first five pauses and the one after the ninth failure are published, those between made up.
func (SmartRecruiters) schedule() []time.Duration {
	var out []time.Duration
	for _, minutes := range []time.Duration{1, 3, 10, 45, 120, 240, 480, 960, 1440, 1440} {
		out = append(out, minutes*time.Minute)
	}
	return out
}

func (SmartRecruiters) acked(status int) (done, again bool) {
	return status == http.StatusAccepted, true
}
