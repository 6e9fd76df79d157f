package atssim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Lever is the Lever API v1: an API key, UUIDs, opportunities whose stage and archive state are two things, tags for
// labels, no comparing of any kind, no rate limit headers. A stage written to an archived opportunity is answered
// 200, and leaves it archived. Fields are shown as tags, "key: value".
type Lever struct {
	uuids
	labels
}

// LeverHired is the archive reason that means hired.
const LeverHired = 1

// Name implements Dialect.
func (Lever) Name() string { return "lever" }

// Limits implements Dialect.
func (Lever) Limits() RateLimit { return RateLimit{Requests: 10, Window: time.Second, Burst: 20} }

func (l Lever) routes(s *Server) {
	s.mux.HandleFunc("GET /v1/opportunities", func(w http.ResponseWriter, r *http.Request) { l.list(s, w, r) })
	s.mux.HandleFunc("GET /v1/opportunities/{id}", l.read(s, "read", func(a *Application) answer { return l.data(http.StatusOK, l.row(s, a)) }))
	s.mux.HandleFunc("GET /v1/opportunities/{id}/notes", l.read(s, "notes", l.notes))
	s.mux.HandleFunc("GET /v1/postings/{id}", func(w http.ResponseWriter, r *http.Request) { l.posting(s, w, r) })
	s.mux.HandleFunc("PUT /v1/opportunities/{id}/stage", l.write(s, "move", http.StatusOK))
	s.mux.HandleFunc("PUT /v1/opportunities/{id}/archived", l.write(s, "archived", http.StatusOK))
	s.mux.HandleFunc("POST /v1/opportunities/{id}/addTags", l.write(s, "addTags", http.StatusOK))
	s.mux.HandleFunc("POST /v1/opportunities/{id}/removeTags", l.write(s, "removeTags", http.StatusOK))
	s.mux.HandleFunc("POST /v1/opportunities/{id}/notes", l.write(s, "note", http.StatusCreated))
}

func (Lever) admits(s *Server, r *http.Request) bool { return s.basicKey(r) }

func (Lever) refuse(status int, _, message string) answer {
	codes := map[int]string{401: "Unauthorized", 403: "Forbidden", 404: "ResourceNotFound", 413: "RequestEntityTooLarge", 429: "RequestLimitExceeded", 500: "InternalError"}
	code, ok := codes[status]
	if !ok {
		status, code = http.StatusBadRequest, "BadRequestError"
	}
	return answer{status: status, body: map[string]any{"code": code, "message": message}}
}

func (Lever) limits(http.Header, limitState) {}

func (Lever) data(status int, v any) answer {
	return answer{status: status, body: map[string]any{"data": v}}
}

// posting is a job: its location is called as the account calls its offices.
func (l Lever) posting(s *Server, w http.ResponseWriter, r *http.Request) {
	id, _ := l.Number(KindJob, r.PathValue("id"))
	s.job(w, r, id, l.refuse(http.StatusNotFound, "", "Posting was not found"), func(p place) answer {
		country, _ := p.country()
		return l.data(http.StatusOK, map[string]any{
			"id": l.Spell(KindJob, id), "text": "Job", "state": "published", "country": country, "workplaceType": "unspecified",
			"categories": map[string]any{"location": text(p.office), "allLocations": []any{}, "team": nil, "department": nil, "commitment": text(p.employment), "level": nil},
		})
	})
}

// row is an opportunity.
func (l Lever) row(s *Server, a *Application) map[string]any {
	var archived any
	switch a.Status {
	case statusRejected:
		archived = map[string]any{"reason": l.Spell(KindReason, a.RejectionReasonID), "archivedAt": a.RejectedAt.UnixMilli()}
	case statusHired:
		archived = map[string]any{"reason": l.Spell(KindReason, LeverHired), "archivedAt": a.LastActivityAt.UnixMilli()}
	}
	emails := []string{}
	if a.email() != "" {
		emails = append(emails, a.email())
	}
	return map[string]any{
		"id": l.Spell(KindApplication, a.ID), "name": a.name(), "emails": emails, "contact": spellOrNull(l, KindCandidate, a.CandidateID),
		"stage":    map[string]any{"id": l.Spell(KindStage, a.StageID), "text": s.stageName(a.StageID)},
		"archived": archived, "tags": l.tags(s, a), "isAnonymized": a.Anonymized, "origin": "applied", "sources": []string{},
		"createdAt": a.AppliedAt.UnixMilli(), "updatedAt": a.LastActivityAt.UnixMilli(), "lastInteractionAt": a.LastActivityAt.UnixMilli(),
		"applications": []any{map[string]any{"id": l.Spell(KindApplication, a.ID+1<<40), "posting": spellOrNull(l, KindJob, a.JobID)}},
	}
}

// collapse shows what is expanded on request only as its id.
func (Lever) collapse(row map[string]any, expand []string) map[string]any {
	if !slices.Contains(expand, "stage") {
		row["stage"] = row["stage"].(map[string]any)["id"]
	}
	if !slices.Contains(expand, "applications") {
		row["applications"] = []any{row["applications"].([]any)[0].(map[string]any)["id"]}
	}
	return row
}

func (l Lever) read(s *Server, kind string, show func(*Application) answer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, _ := l.Number(KindApplication, r.PathValue("id"))
		expand := r.URL.Query()["expand"]
		s.api(w, r, kind, id, func(c *call) answer {
			if c.rec == nil {
				return l.refuse(http.StatusNotFound, "", "Opportunity was not found")
			}
			a := show(c.rec.visible(s.cfg.Now()))
			if row, ok := a.body.(map[string]any)["data"].(map[string]any); ok {
				l.collapse(row, expand)
			}
			return a
		})
	}
}

// list is GET /v1/opportunities: at most 100 a page, the next one by an offset token.
func (l Lever) list(s *Server, w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.api(w, r, "list", 0, func(c *call) answer {
		size, below, since := 100, everything, time.Time{}
		if v := q.Get("limit"); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil || n < 1 || n > 100 {
				return l.refuse(http.StatusUnprocessableEntity, "limit", "limit must be between 1 and 100")
			}
			size = n
		}
		if v := q.Get("offset"); v != "" {
			if _, err := fmt.Sscanf(v, "[%d]", &below); err != nil || s.expired(c) {
				return l.refuse(http.StatusUnprocessableEntity, "offset", "offset is not one that was handed out")
			}
		}
		if v := q.Get("updated_at_start"); v != "" {
			ms, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				return l.refuse(http.StatusUnprocessableEntity, "updated_at_start", "updated_at_start must be milliseconds")
			}
			since = time.UnixMilli(ms)
		}
		apps, next := s.page(since, below, size)
		rows := []any{}
		for _, a := range apps {
			rows = append(rows, l.collapse(l.row(s, a), q["expand"]))
		}
		body := map[string]any{"data": rows, "hasNext": next != 0}
		if next != 0 {
			body["next"] = fmt.Sprintf("[%d]", next)
		}
		return answer{status: http.StatusOK, body: body}
	})
}

func (l Lever) notes(a *Application) answer {
	rows := []any{}
	for _, n := range slices.Backward(a.Notes) {
		rows = append(rows, l.note(n))
	}
	return answer{status: http.StatusOK, body: map[string]any{"data": rows, "hasNext": false}}
}

func (l Lever) note(n Note) map[string]any {
	at := n.At.UnixMilli()
	return map[string]any{
		"id": l.Spell(KindNote, n.ID), "text": "Note", "secret": false, "createdAt": at, "completedAt": at, "deletedAt": nil,
		"fields": []any{map[string]any{"type": "note", "text": "Comment", "value": n.Text, "score": nil, "createdAt": at}},
	}
}

func (l Lever) write(s *Server, op string, status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, _ := l.Number(KindApplication, r.PathValue("id"))
		body, ok := s.body(w, r)
		if !ok {
			return
		}
		actor := Actor{Kind: "api", ID: r.URL.Query().Get("perform_as")}
		kind := l.kind(op, body)
		s.api(w, r, kind, id, func(c *call) answer {
			var of *Application
			if c.rec != nil {
				of = &c.rec.app
			}
			wish, wrong := l.parse(s, op, kind, body, of)
			if wish.actor = actor; actor.ID == "" {
				wish.actor.ID = s.cfg.ClientID
			}
			return s.write(c, wish, wrong, func(a *Application) answer {
				if op == "note" {
					return l.data(status, l.note(a.Notes[len(a.Notes)-1]))
				}
				return l.data(status, l.collapse(l.row(s, a), nil))
			})
		})
	}
}

// kind is the change a request asks for, in the journal's words.
func (l Lever) kind(op string, body []byte) string {
	if op == "addTags" || op == "removeTags" {
		return "edit"
	}
	if op != "archived" {
		return op
	}
	var in struct {
		Reason *string `json:"reason"`
	}
	_ = json.Unmarshal(body, &in) // parse says what is wrong with it
	switch {
	case in.Reason == nil:
		return "unreject"
	case *in.Reason == l.Spell(KindReason, LeverHired):
		return "hire"
	}
	return "reject"
}

func (l Lever) parse(s *Server, op, kind string, body []byte, of *Application) (change, *problem) {
	var in struct {
		Stage  string   `json:"stage"`
		Reason *string  `json:"reason"`
		Tags   []string `json:"tags"`
		Value  string   `json:"value"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&in); err != nil {
		return change{}, blame("", "Body is not the JSON expected")
	}
	c := change{kind: kind, note: in.Value}
	switch op {
	case "move":
		c.anyStatus = true
		if c.to, _ = l.Number(KindStage, in.Stage); c.to == 0 {
			return c, blame("stage", "Stage was not found")
		}
	case "archived":
		if kind == "reject" {
			c.reason, _ = l.Number(KindReason, *in.Reason)
		}
	case "addTags", "removeTags":
		if len(in.Tags) == 0 {
			return c, blame("tags", "tags are required")
		}
		if of != nil {
			l.retag(s, &c, of, in.Tags, op == "addTags")
		}
	}
	return c, nil
}

// retag puts tags that are fields where fields are, and the others beside them.
func (l Lever) retag(s *Server, c *change, of *Application, tags []string, add bool) {
	c.fields = map[string]json.RawMessage{}
	c.tags = append([]string{}, of.Tags...)
	has := l.tags(s, of)
	for _, tag := range tags {
		key, text, _ := strings.Cut(tag, ": ")
		def, field := s.fieldBy(0, key)
		now, known := c.fields[key]
		if !known {
			now = of.Fields[key]
		}
		shown := len(now) > 0 && string(now) != "null"
		switch {
		case add && slices.Contains(has, tag):
		case add && field:
			if shown { // two of one key: the older one is a tag like any other
				c.tags = append(c.tags, l.tag(key, now))
			}
			c.fields[key] = labelValue(def, text)
		case add:
			c.tags = append(c.tags, tag)
		case field && shown && l.tag(key, now) == tag:
			c.fields[key] = json.RawMessage("null")
		default:
			c.tags = slices.DeleteFunc(c.tags, func(t string) bool { return t == tag })
		}
	}
}
