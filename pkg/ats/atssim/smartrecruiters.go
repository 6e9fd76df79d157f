package atssim

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SmartRecruiters is the SmartRecruiters API: an API key or OAuth2 client credentials, UUIDs, an application that is a
// candidate in a job, a status with a sub-status for the stage, which a closed application shows no more, writes that are
// answered 204, properties of a candidate in a job, messages about a candidate, times cut to the second, and a limit of
// one list at once. A status written to a closed application opens it again.
//
// A candidate here is in one job: the application's number is the candidate's too, and the job follows from it. So a merge
// leaves the ids as they are.
type SmartRecruiters struct{ uuids }

// smartRecruitersJobs is how many jobs there are; the reason that says the candidate withdrew.
const (
	smartRecruitersJobs     = 20
	smartRecruitersWithdrew = 40
)

// smartRecruitersStages are the stages of the built-in policy: a status, and for some a sub-status behind the slash.
var smartRecruitersStages = map[int64]string{
	1001: "NEW", 1002: "IN_REVIEW", 71416: "IN_REVIEW/Assessment", 1004: "INTERVIEW", 1005: "OFFERED", 2944102: "IN_REVIEW/Phone Screen", 2708728: "OFFERED/Offer Extended",
}

// Name implements Dialect.
func (SmartRecruiters) Name() string { return "smartrecruiters" }

// Limits implements Dialect.
func (SmartRecruiters) Limits() RateLimit {
	return RateLimit{Requests: 10, Window: time.Second, Concurrent: 8, Lists: 1}
}

// Spell implements Dialect.
func (d SmartRecruiters) Spell(k Kind, n int64) string {
	switch k {
	case KindApplication:
		return d.uuids.Spell(KindCandidate, n) + "_" + d.job(n)
	case KindStage:
		if stage, ok := smartRecruitersStages[n]; ok {
			return stage
		}
		return fmt.Sprintf("IN_REVIEW/Stage %d", n)
	default:
		return d.uuids.Spell(k, n)
	}
}

// Number implements Dialect.
func (d SmartRecruiters) Number(k Kind, id string) (int64, bool) {
	switch k {
	case KindApplication:
		candidate, job, _ := strings.Cut(id, "_")
		n, ok := d.uuids.Number(KindCandidate, candidate)
		return n, ok && d.job(n) == job
	case KindStage:
		for n, stage := range smartRecruitersStages {
			if stage == id {
				return n, true
			}
		}
		n, err := strconv.ParseInt(strings.TrimPrefix(id, "IN_REVIEW/Stage "), 10, 64)
		return n, err == nil && n > 0 && d.Spell(k, n) == id
	default:
		return d.uuids.Number(k, id)
	}
}

// job is the job of an application.
func (d SmartRecruiters) job(n int64) string {
	return d.uuids.Spell(KindJob, 1+n%smartRecruitersJobs)
}

func (d SmartRecruiters) routes(s *Server) {
	s.mux.HandleFunc("POST /identity/oauth/token", s.serveToken)
	s.mux.HandleFunc("GET /candidates", func(w http.ResponseWriter, r *http.Request) { d.list(s, w, r) })
	s.mux.HandleFunc("GET /candidates/{id}", d.read(s, "read", func(s *Server, a *Application) any { return d.whole(s, a) }))
	s.mux.HandleFunc("GET /candidates/{id}/jobs/{job}", d.read(s, "read", func(_ *Server, a *Application) any { return d.assignment(a, true) }))
	s.mux.HandleFunc("GET /candidates/{id}/jobs/{job}/properties", d.read(s, "read", d.properties))
	s.mux.HandleFunc("PUT /candidates/{id}/jobs/{job}/properties", d.writeProperties(s))
	s.mux.HandleFunc("PUT /candidates/{id}/jobs/{job}/status", d.writeStatus(s))
	s.mux.HandleFunc("GET /jobs/{id}", func(w http.ResponseWriter, r *http.Request) { d.details(s, w, r) })
	s.mux.HandleFunc("GET /messages", d.read(s, "notes", d.messages))
	s.mux.HandleFunc("POST /messages/shares", d.share(s))
	s.mux.HandleFunc("GET /configuration/rejection-reasons", d.reasons(s, false))
	s.mux.HandleFunc("GET /configuration/withdrawal-reasons", d.reasons(s, true))
}

func (SmartRecruiters) admits(s *Server, r *http.Request) bool {
	if key := r.Header.Get("X-SmartToken"); key != "" {
		return same(key, s.cfg.ClientSecret)
	}
	return s.bearer(r)
}

func (SmartRecruiters) refuse(status int, field, message string) answer {
	codes := map[int]string{401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "CANDIDATE_NOT_FOUND", 413: "PAYLOAD_TOO_LARGE", 429: "TOO_MANY_REQUESTS", 500: "INTERNAL_SERVER_ERROR"}
	code, ok := codes[status]
	if !ok {
		code = "VALIDATION_ERROR"
	}
	if field != "" {
		message = field + ": " + message
	}
	return answer{status: status, body: map[string]any{"message": message, "errors": []any{map[string]any{"code": code, "message": message}}}}
}

func (SmartRecruiters) limits(h http.Header, l limitState) {
	if l.Requests > 0 {
		h.Set("X-RateLimit-Limit", strconv.Itoa(l.Requests))
		h.Set("X-RateLimit-Remaining", strconv.Itoa(l.Left))
	}
	if l.Concurrent > 0 {
		h.Set("X-RateLimit-Concurrent-Limit", strconv.Itoa(l.Concurrent))
		h.Set("X-RateLimit-Concurrent-Remaining", strconv.Itoa(max(0, l.Concurrent-l.Running)))
	}
}

// application finds the application a path or query is about: the candidate's, in the job where one is named.
func (d SmartRecruiters) application(candidate, job string) int64 {
	n, ok := d.uuids.Number(KindCandidate, candidate)
	if !ok || job != "" && job != d.job(n) {
		return 0
	}
	return n
}

// about is what a request names in its path, or in its query.
func (d SmartRecruiters) about(r *http.Request) int64 {
	if id := r.PathValue("id"); id != "" {
		return d.application(id, r.PathValue("job"))
	}
	return d.application(r.URL.Query().Get("candidateId"), r.URL.Query().Get("jobId"))
}

func (d SmartRecruiters) read(s *Server, kind string, show func(*Server, *Application) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.api(w, r, kind, d.about(r), func(c *call) answer {
			switch {
			case c.rec != nil:
				return answer{status: http.StatusOK, body: show(s, c.rec.visible(s.cfg.Now()))}
			case kind == "notes": // as documented
				return d.refuse(http.StatusBadRequest, "", "CANDIDATE_NOT_FOUND")
			}
			return d.refuse(http.StatusNotFound, "", "Candidate not found")
		})
	}
}

// details are those of a job. It is where its newest application says it is.
func (d SmartRecruiters) details(s *Server, w http.ResponseWriter, r *http.Request) {
	s.api(w, r, "lookup", 0, func(*call) answer {
		for _, n := range slices.Backward(s.order) {
			if r.PathValue("id") != d.job(n) {
				continue
			}
			a := &s.apps[n].app
			code, name := place{office: a.Office}.country()
			return answer{status: http.StatusOK, body: map[string]any{
				"id": d.job(n), "title": "Job", "refNumber": "REF", "status": "SOURCING",
				"location": map[string]any{"country": name, "countryCode": code, "regionCode": nil, "city": text(a.Office), "manual": false, "remote": false},
			}}
		}
		return d.refuse(http.StatusNotFound, "", "Job not found")
	})
}

// assignment is a candidate's place in a job; a list leaves out the reasons.
func (d SmartRecruiters) assignment(a *Application, whole bool) map[string]any {
	out := map[string]any{"job": map[string]any{"id": d.job(a.ID), "title": "Job"}}
	status, sub, _ := strings.Cut(d.Spell(KindStage, a.StageID), "/")
	reason := ""
	switch {
	case a.Status == statusHired:
		status, sub = "HIRED", ""
	case a.Status == statusRejected && a.RejectionReasonID == smartRecruitersWithdrew:
		status, sub, reason = "WITHDRAWN", "", "reasonOfWithdrawal"
	case a.Status == statusRejected:
		status, sub, reason = "REJECTED", "", "reasonOfRejection"
	}
	out["status"] = status
	if sub != "" {
		out["subStatus"] = sub
	}
	if whole && reason != "" {
		out[reason] = d.reason(a.RejectionReasonID)
	}
	return out
}

func (d SmartRecruiters) reason(n int64) map[string]any {
	return map[string]any{"id": d.Spell(KindReason, n), "label": fmt.Sprintf("Reason %d", n)}
}

// row is a candidate as a list shows it.
func (d SmartRecruiters) row(a *Application) map[string]any {
	return map[string]any{
		"id": d.Spell(KindCandidate, a.ID), "internal": false, "firstName": a.name(), "lastName": "", "email": a.email(),
		"createdOn": d.time(a.AppliedAt), "updatedOn": d.time(a.LastActivityAt),
		"primaryAssignment": d.assignment(a, false), "secondaryAssignments": []any{},
	}
}

// whole is a candidate as its own page shows it.
func (d SmartRecruiters) whole(_ *Server, a *Application) map[string]any {
	row := d.row(a)
	row["primaryAssignment"], row["tags"] = d.assignment(a, true), append([]string{}, a.Tags...)
	return row
}

// time is cut to the second, and shows milliseconds.
func (SmartRecruiters) time(t time.Time) any { return timeOrNull(t.Truncate(time.Second)) }

func (d SmartRecruiters) properties(s *Server, a *Application) any {
	content := []any{}
	for _, f := range s.cfg.Fields {
		if v := a.Fields[f.Key]; len(v) > 0 && string(v) != "null" {
			kind := "TEXT"
			if f.Type == "number" {
				kind = "NUMBER"
			}
			content = append(content, map[string]any{"id": d.Spell(KindField, f.ID), "label": f.Key, "type": kind, "value": v})
		}
	}
	return map[string]any{"content": content}
}

// messages are those about a candidate, the newest first, on one page.
func (d SmartRecruiters) messages(_ *Server, a *Application) any {
	content := []any{}
	for _, n := range slices.Backward(a.Notes) {
		content = append(content, map[string]any{
			"id": d.Spell(KindNote, n.ID), "content": n.Text, "createdOn": timeOrNull(n.At), "visibility": "OPEN",
			"context": map[string]any{"applications": []any{map[string]any{"candidateId": d.Spell(KindCandidate, a.ID), "jobId": d.job(a.ID)}}},
		})
	}
	return map[string]any{"content": content}
}

// reasons are the account's, to reject or to withdraw.
func (d SmartRecruiters) reasons(s *Server, withdraw bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.api(w, r, "lookup", 0, func(*call) answer {
			content := []any{}
			for _, n := range s.cfg.Reasons {
				if (n == smartRecruitersWithdrew) == withdraw {
					content = append(content, d.reason(n))
				}
			}
			return answer{status: http.StatusOK, body: map[string]any{"totalFound": len(content), "content": content}}
		})
	}
}

// list is GET /candidates: at most 100 a page, the id of the next one in nextPageId.
func (d SmartRecruiters) list(s *Server, w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.api(w, r, "list", 0, func(c *call) answer {
		size, below, since := 10, everything, time.Time{}
		if v := q.Get("limit"); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil || n < 1 || n > 100 {
				return d.refuse(http.StatusBadRequest, "limit", "must be between 1 and 100")
			}
			size = n
		}
		if v := q.Get("pageId"); v != "" {
			raw, err := base64.StdEncoding.DecodeString(v)
			if err == nil {
				below, err = strconv.ParseInt(string(raw), 10, 64)
			}
			if err != nil || s.expired(c) {
				return d.refuse(http.StatusBadRequest, "pageId", "is not one that was handed out")
			}
		}
		if v := q.Get("updatedAfter"); v != "" {
			t, err := time.Parse(time.RFC3339, v)
			if err != nil {
				return d.refuse(http.StatusBadRequest, "updatedAfter", "must be a time")
			}
			since = t
		}
		apps, next := s.page(since, below, size)
		content := []any{}
		for _, a := range apps {
			content = append(content, d.row(a))
		}
		body := map[string]any{"limit": size, "content": content}
		if next != 0 {
			body["nextPageId"] = base64.StdEncoding.EncodeToString(strconv.AppendInt(nil, next, 10))
		}
		return answer{status: http.StatusOK, body: body}
	})
}

func (d SmartRecruiters) writeStatus(s *Server) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, ok := s.body(w, r)
		if !ok {
			return
		}
		var in struct {
			Status    string `json:"status"`
			SubStatus string `json:"subStatus"`
			Reason    string `json:"reason"`
		}
		bad := json.Unmarshal(body, &in) != nil
		id := d.about(r)
		kind := map[string]string{"HIRED": "hire", "REJECTED": "reject", "WITHDRAWN": "reject"}[in.Status]
		if kind == "" {
			kind = "move"
			if a, ok := s.Application(id); ok && a.Status != statusActive {
				kind = "unreject"
			}
		}
		s.api(w, r, kind, id, func(c *call) answer {
			wish, wrong := change{kind: kind}, (*problem)(nil)
			switch kind {
			case "move", "unreject":
				stage := in.Status
				if in.SubStatus != "" {
					stage += "/" + in.SubStatus
				}
				if wish.to, _ = d.Number(KindStage, stage); wish.to == 0 {
					wrong = blame("status", "is not one of the hiring process")
				}
				wish.kind = "move"
				if c.rec != nil && c.rec.app.Status == statusRejected {
					wish.kind = "unreject"
				}
			case "reject":
				wish.reason, _ = d.Number(KindReason, in.Reason)
				if (in.Status == "WITHDRAWN") != (wish.reason == smartRecruitersWithdrew) {
					wrong = blame("reason", "is not one for the status")
				}
			}
			if bad {
				wrong = blame("", "Body is not the JSON expected")
			}
			return s.write(c, wish, wrong, d.done)
		})
	}
}

// done is the answer to a write.
func (SmartRecruiters) done(*Application) answer { return answer{status: http.StatusNoContent} }

// writeProperties sets several properties; one without a value is reset.
func (d SmartRecruiters) writeProperties(s *Server) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, ok := s.body(w, r)
		if !ok {
			return
		}
		var in []struct {
			ID    string          `json:"id"`
			Value json.RawMessage `json:"value"`
		}
		wish, wrong := change{kind: "edit", fields: map[string]json.RawMessage{}}, (*problem)(nil)
		if json.Unmarshal(body, &in) != nil || len(in) == 0 {
			wrong = blame("", "Body is not the JSON expected")
		}
		s.api(w, r, "edit", d.about(r), func(c *call) answer {
			for _, p := range in {
				n, _ := d.Number(KindField, p.ID)
				def, ok := s.fieldBy(n, p.ID)
				if !ok {
					wrong = blame("id", "there is no such property")
					continue
				}
				switch {
				case len(p.Value) == 0:
					p.Value = json.RawMessage("null")
				case string(p.Value) == "null":
					wrong = blame("value", "is not of the property's type")
				}
				wish.fields[def.Key] = p.Value
			}
			return s.write(c, wish, wrong, d.done)
		})
	}
}

// tagged finds the candidate a message is about.
var tagged = regexp.MustCompile(`#\[CANDIDATE:([0-9a-f-]+)\]`)

// share is POST /messages/shares: a message about the candidate that its text tags.
func (d SmartRecruiters) share(s *Server) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, ok := s.body(w, r)
		if !ok {
			return
		}
		var in struct {
			Content string `json:"content"`
		}
		var wrong *problem
		if json.Unmarshal(body, &in) != nil || len(in.Content) > 10_000 {
			wrong = blame("content", "must be a text of 1 to 10000 characters")
		}
		id := int64(0)
		if tag := tagged.FindStringSubmatch(in.Content); tag != nil {
			id = d.application(tag[1], "")
		}
		s.api(w, r, "note", id, func(c *call) answer {
			return s.write(c, change{kind: "note", note: in.Content}, wrong, func(a *Application) answer {
				return answer{status: http.StatusCreated, body: map[string]any{"id": d.Spell(KindNote, a.Notes[len(a.Notes)-1].ID)}}
			})
		})
	}
}
