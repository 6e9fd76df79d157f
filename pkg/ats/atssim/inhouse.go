package atssim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Inhouse is no vendor's API but one as companies write for themselves: a key in a header, plain REST, an ETag that every
// write but a note has to match, cursors, notes of an application, 404 for what the key may not see. It is what the
// description `concord ats init` writes speaks to.
type Inhouse struct{}

// Name implements Dialect.
func (Inhouse) Name() string { return "inhouse" }

// Limits implements Dialect: they are the dialect's own.
func (Inhouse) Limits() RateLimit { return RateLimit{Requests: 20, Window: time.Second, Concurrent: 8} }

// Spell implements Dialect.
func (Inhouse) Spell(k Kind, n int64) string {
	if k == KindApplication {
		return fmt.Sprintf("APP-%d", n)
	}
	return strconv.FormatInt(n, 10)
}

// Number implements Dialect.
func (d Inhouse) Number(k Kind, id string) (int64, bool) {
	if k == KindApplication {
		id = strings.TrimPrefix(id, "APP-")
	}
	n, err := strconv.ParseInt(id, 10, 64)
	return n, err == nil && n > 0
}

func (d Inhouse) routes(s *Server) {
	s.mux.HandleFunc("GET /api/applications", func(w http.ResponseWriter, r *http.Request) { d.list(s, w, r) })
	s.mux.HandleFunc("GET /api/applications/{id}", d.read(s, "read", func(a *Application) answer {
		return answer{status: http.StatusOK, body: d.row(s, a), header: http.Header{"Etag": {d.tag(a)}}}
	}))
	s.mux.HandleFunc("GET /api/applications/{id}/notes", d.read(s, "notes", d.notes))
	s.mux.HandleFunc("PATCH /api/applications/{id}", d.write(s, "edit"))
	for path, kind := range map[string]string{"move": "move", "reject": "reject", "reopen": "unreject", "hire": "hire", "notes": "note"} {
		s.mux.HandleFunc("POST /api/applications/{id}/"+path, d.write(s, kind))
	}
}

func (Inhouse) admits(s *Server, r *http.Request) bool {
	return same(r.Header.Get("X-Api-Key"), s.cfg.ClientSecret)
}

// refuse: what a key may not see is not there, and what the state of an application does not allow is a conflict.
func (Inhouse) refuse(status int, field, message string) answer {
	code := map[int]string{401: "unknown_key", 404: "not_found", 413: "too_large", 422: "invalid", 429: "too_many_requests", 500: "internal"}[status]
	switch {
	case status == http.StatusForbidden:
		status, code, message = http.StatusNotFound, "not_found", "Not found"
	case message == changedMeanwhile:
		status, code = http.StatusPreconditionFailed, "changed"
	case field == "status":
		status, code = http.StatusConflict, "wrong_state"
	}
	return answer{status: status, body: map[string]any{"error": map[string]any{"code": code, "field": field, "message": message}}}
}

func (Inhouse) limits(h http.Header, l limitState) {
	if l.Over {
		h.Set("Retry-After", strconv.FormatInt(max(1, int64((l.Wait+time.Second-1)/time.Second)), 10))
	}
}

// tag is the ETag of an application.
func (Inhouse) tag(a *Application) string { return fmt.Sprintf(`"r%d"`, a.Revision) }

// row is an application.
func (d Inhouse) row(s *Server, a *Application) map[string]any {
	fields := map[string]any{}
	for _, f := range s.cfg.Fields {
		if v := a.Fields[f.Key]; len(v) > 0 && string(v) != "null" {
			fields[f.Key] = v
		}
	}
	var rejection any
	if a.Status == statusRejected {
		rejection = map[string]any{"reason": a.RejectionReasonID, "at": timeOrNull(a.RejectedAt)}
	}
	state := map[string]string{statusActive: "open", statusRejected: "closed", statusHired: "hired"}[a.Status]
	return map[string]any{
		"id": d.Spell(KindApplication, a.ID), "state": state, "rejection": rejection,
		"stage":  map[string]any{"id": a.StageID, "name": s.stageName(a.StageID)},
		"job":    map[string]any{"id": a.JobID, "type": a.EmploymentType, "office": a.Office},
		"person": map[string]any{"id": a.CandidateID, "name": a.name(), "email": a.email()},
		"fields": fields, "created_at": timeOrNull(a.AppliedAt), "changed_at": timeOrNull(a.LastActivityAt),
	}
}

func (d Inhouse) read(s *Server, kind string, show func(*Application) answer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, _ := d.Number(KindApplication, r.PathValue("id"))
		s.api(w, r, kind, id, func(c *call) answer {
			if c.rec == nil {
				return d.refuse(http.StatusNotFound, "", "Not found")
			}
			return show(c.rec.visible(s.cfg.Now()))
		})
	}
}

// list is GET /api/applications: at most 200 a page, the next one by a cursor.
func (d Inhouse) list(s *Server, w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.api(w, r, "list", 0, func(c *call) answer {
		below, since := everything, time.Time{}
		if v := q.Get("cursor"); v != "" {
			n, ok := d.Number(KindApplication, v)
			if !ok || s.expired(c) {
				return d.refuse(http.StatusUnprocessableEntity, "cursor", "cursor is not one that was handed out")
			}
			below = n
		}
		if v := q.Get("changed_since"); v != "" {
			t, err := time.Parse(time.RFC3339, v)
			if err != nil {
				return d.refuse(http.StatusUnprocessableEntity, "changed_since", "changed_since must be a time")
			}
			since = t
		}
		apps, next := s.page(since, below, 200)
		rows := []any{}
		for _, a := range apps {
			rows = append(rows, d.row(s, a))
		}
		body := map[string]any{"applications": rows, "next": nil}
		if next != 0 {
			body["next"] = d.Spell(KindApplication, next)
		}
		return answer{status: http.StatusOK, body: body}
	})
}

func (d Inhouse) notes(a *Application) answer {
	rows := []any{}
	for _, n := range a.Notes {
		rows = append(rows, map[string]any{"id": d.Spell(KindNote, n.ID), "text": n.Text, "at": timeOrNull(n.At)})
	}
	return answer{status: http.StatusOK, body: map[string]any{"notes": rows}}
}

// write handles the writes about one application. A note is added whatever happens meanwhile; all else has to match.
func (d Inhouse) write(s *Server, kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, _ := d.Number(KindApplication, r.PathValue("id"))
		body, ok := s.body(w, r)
		if !ok {
			return
		}
		s.api(w, r, kind, id, func(c *call) answer {
			wish, wrong := d.parse(s, kind, body)
			if wrong == nil && kind != "note" {
				if n, err := fmt.Sscanf(r.Header.Get("If-Match"), `"r%d"`, &wish.revision); err != nil || n != 1 || wish.revision <= 0 {
					return d.refuse(http.StatusPreconditionRequired, "", "If-Match is required")
				}
			}
			return s.write(c, wish, wrong, func(a *Application) answer {
				if kind == "note" {
					return answer{status: http.StatusCreated, body: map[string]any{"id": d.Spell(KindNote, a.Notes[len(a.Notes)-1].ID)}}
				}
				return answer{status: http.StatusOK, body: d.row(s, a), header: http.Header{"Etag": {d.tag(a)}}}
			})
		})
	}
}

func (Inhouse) parse(s *Server, kind string, body []byte) (change, *problem) {
	var in struct {
		Stage  int64                      `json:"stage"`
		Reason int64                      `json:"reason"`
		Text   string                     `json:"text"`
		Fields map[string]json.RawMessage `json:"fields"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return change{}, blame("", "Body is not the JSON expected")
	}
	if kind == "move" && in.Stage == 0 {
		return change{}, blame("stage", "stage is required")
	}
	for key := range in.Fields {
		if _, ok := s.fieldBy(0, key); !ok {
			return change{}, blame("fields", "a field is not known")
		}
	}
	return change{kind: kind, to: in.Stage, reason: in.Reason, note: in.Text, fields: in.Fields}, nil
}
