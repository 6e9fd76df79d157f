package atssim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Workable is the Workable API v3: a bearer token, hexadecimal ids, a candidate who is in one job, stages that are shown by
// name and written by slug, disqualification beside the stage, writes that are answered 200 with an empty body, tags for
// labels, comments among the activities. A move of a disqualified candidate is answered 200, and leaves it disqualified.
// Fields are shown as tags, "key: value".
type Workable struct{ labels }

// The stage that means hired, and the reason of the category "candidate withdrew".
const (
	WorkableHired    = 900_003
	workableWithdrew = 40
)

// workableSlugs are the slugs of the default stages, whose kinds are called the same.
var workableSlugs = map[int64]string{1001: "applied", 1002: "phone-screen", 71416: "assessment", 1004: "interview", 1005: "offer", WorkableHired: "hired"}

// Name implements Dialect.
func (Workable) Name() string { return "workable" }

// Limits implements Dialect: the window is the one recorded.
func (Workable) Limits() RateLimit { return RateLimit{Requests: 10, Window: 10 * time.Second} }

// Spell implements Dialect.
func (Workable) Spell(k Kind, n int64) string {
	switch k {
	case KindStage:
		if slug, ok := workableSlugs[n]; ok {
			return slug
		}
		return "stage-" + strconv.FormatInt(n, 10)
	case KindJob:
		return fmt.Sprintf("J%09X", n)
	default:
		return strconv.FormatInt(n, 16)
	}
}

// Number implements Dialect.
func (w Workable) Number(k Kind, id string) (int64, bool) {
	var n int64
	var err error
	switch k {
	case KindStage:
		for n, slug := range workableSlugs {
			if slug == id {
				return n, true
			}
		}
		n, err = strconv.ParseInt(strings.TrimPrefix(id, "stage-"), 10, 64)
	case KindJob:
		n, err = strconv.ParseInt(strings.TrimPrefix(id, "J"), 16, 64)
	default:
		n, err = strconv.ParseInt(id, 16, 64)
	}
	return n, err == nil && n > 0 && w.Spell(k, n) == id
}

func (d Workable) routes(s *Server) {
	s.mux.HandleFunc("GET /spi/v3/candidates", func(w http.ResponseWriter, r *http.Request) { d.list(s, w, r) })
	s.mux.HandleFunc("GET /spi/v3/candidates/{id}", d.read(s, "read", func(a *Application) answer {
		return answer{status: http.StatusOK, body: map[string]any{"candidate": d.whole(s, a)}}
	}))
	s.mux.HandleFunc("GET /spi/v3/candidates/{id}/activities", d.read(s, "notes", d.activities))
	s.mux.HandleFunc("GET /spi/v3/jobs/{shortcode}", func(w http.ResponseWriter, r *http.Request) { d.job(s, w, r) })
	s.mux.HandleFunc("GET /spi/v3/jobs/{shortcode}/stages", d.fixed(s, func() any { return map[string]any{"stages": d.stages(s)} }))
	s.mux.HandleFunc("GET /spi/v3/stages", d.fixed(s, func() any { return map[string]any{"stages": d.stages(s)} }))
	s.mux.HandleFunc("GET /spi/v3/disqualification_reasons", d.fixed(s, func() any { return d.reasons(s) }))
	s.mux.HandleFunc("POST /spi/v3/candidates/{id}/move", d.write(s, "move"))
	s.mux.HandleFunc("POST /spi/v3/candidates/{id}/disqualify", d.write(s, "reject"))
	s.mux.HandleFunc("POST /spi/v3/candidates/{id}/revert", d.write(s, "unreject"))
	s.mux.HandleFunc("POST /spi/v3/candidates/{id}/comments", d.write(s, "note"))
	s.mux.HandleFunc("PUT /spi/v3/candidates/{id}/tags", d.write(s, "edit"))
}

func (Workable) admits(s *Server, r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && same(token, s.cfg.ClientSecret)
}

func (Workable) refuse(status int, field, message string) answer {
	switch status {
	case http.StatusUnauthorized:
		message = "Not authorized"
	case http.StatusNotFound:
		message = "Not found"
	}
	body := map[string]any{"error": message}
	if field != "" {
		body["validation_errors"] = map[string]any{field: []string{message}}
	}
	return answer{status: status, body: body}
}

func (Workable) limits(h http.Header, l limitState) {
	if l.Requests == 0 {
		return
	}
	h.Set("X-Rate-Limit-Limit", strconv.Itoa(l.Requests))
	h.Set("X-Rate-Limit-Remaining", strconv.Itoa(l.Left))
	h.Set("X-Rate-Limit-Reset", strconv.FormatInt(l.Reset.Add(time.Second-time.Nanosecond).Unix(), 10))
}

// row is a candidate as a list shows it.
func (d Workable) row(s *Server, a *Application) map[string]any {
	stage, kind := s.stageName(a.StageID), d.kind(a.StageID)
	var hired, reason any
	switch a.Status {
	case statusHired:
		stage, kind, hired = "Hired", "hired", d.time(a.LastActivityAt)
	case statusRejected:
		reason = d.reason(a.RejectionReasonID)
	}
	return map[string]any{
		"id": d.Spell(KindApplication, a.ID), "name": a.name(), "firstname": "", "lastname": "", "headline": nil,
		"account": map[string]any{"subdomain": "simulated", "name": "Simulated"},
		"job":     map[string]any{"shortcode": d.Spell(KindJob, a.JobID), "title": "Job"},
		"stage":   stage, "stage_kind": kind, "disqualified": a.Status == statusRejected,
		"withdrew": a.Status == statusRejected && a.RejectionReasonID == workableWithdrew, "disqualification_reason": reason,
		"hired_at": hired, "sourced": false, "email": a.email(), "phone": nil, "address": nil, "domain": nil,
		"created_at": d.time(a.AppliedAt), "updated_at": d.time(a.LastActivityAt),
	}
}

// whole is a candidate as its own page shows it.
func (d Workable) whole(s *Server, a *Application) map[string]any {
	row := d.row(s, a)
	row["tags"], row["anonymized"], row["answers"] = d.tags(s, a), a.Anonymized, []any{}
	return row
}

// time is cut to the second.
func (Workable) time(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}

func (Workable) kind(stage int64) string {
	if slug, ok := workableSlugs[stage]; ok {
		return slug
	}
	return "interview"
}

func (Workable) reason(id int64) string { return fmt.Sprintf("Reason %d", id) }

func (d Workable) stages(s *Server) []any {
	out := []any{}
	for i, st := range append(slices.Clip(s.cfg.Stages), Stage{WorkableHired, "Hired"}) {
		out = append(out, map[string]any{"slug": d.Spell(KindStage, st.ID), "name": st.Name, "kind": d.kind(st.ID), "position": i + 1})
	}
	return out
}

func (d Workable) reasons(s *Server) []any {
	out := []any{}
	for i, id := range s.cfg.Reasons {
		out = append(out, map[string]any{
			"id": d.Spell(KindReason, id), "description": d.reason(id), "candidate_withdrew": id == workableWithdrew, "position": i + 1,
		})
	}
	return out
}

func (d Workable) activities(a *Application) answer {
	rows := []any{}
	for _, n := range a.Notes {
		at := n.At.UTC().Format(timeFormat)
		rows = append(rows, map[string]any{"id": d.Spell(KindNote, n.ID), "action": "comment", "body": n.Text, "created_at": at, "updated_at": at})
	}
	return answer{status: http.StatusOK, body: map[string]any{"activities": rows}}
}

func (d Workable) read(s *Server, kind string, show func(*Application) answer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, _ := d.Number(KindApplication, r.PathValue("id"))
		s.api(w, r, kind, id, func(c *call) answer {
			if c.rec == nil {
				return d.refuse(http.StatusNotFound, "", "")
			}
			return show(c.rec.visible(s.cfg.Now()))
		})
	}
}

// fixed serves what belongs to the account.
func (Workable) fixed(s *Server, show func() any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.api(w, r, "list", 0, func(*call) answer { return answer{status: http.StatusOK, body: show()} })
	}
}

// job is a job, with the place it is in.
func (d Workable) job(s *Server, w http.ResponseWriter, r *http.Request) {
	id, _ := d.Number(KindJob, r.PathValue("shortcode"))
	s.job(w, r, id, d.refuse(http.StatusNotFound, "", ""), func(p place) answer {
		code, name := p.country()
		return answer{status: http.StatusOK, body: map[string]any{
			"id": strconv.FormatInt(id, 16), "title": "Job", "shortcode": d.Spell(KindJob, id), "state": "published", "employment_type": text(p.employment),
			"location": map[string]any{"country": name, "country_code": code, "region": nil, "region_code": nil, "city": text(p.office), "zip_code": nil, "telecommuting": false},
		}}
	})
}

// list is GET /candidates: at most 100 a page, the address of the next one in paging.
func (d Workable) list(s *Server, w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.api(w, r, "list", 0, func(c *call) answer {
		size, below, since := 50, everything, time.Time{}
		if v := q.Get("limit"); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil || n < 1 || n > 100 {
				return d.refuse(http.StatusUnprocessableEntity, "limit", "limit must be between 1 and 100")
			}
			size = n
		}
		if v := q.Get("max_id"); v != "" {
			n, ok := d.Number(KindApplication, v)
			if !ok || s.expired(c) {
				return d.refuse(http.StatusUnprocessableEntity, "max_id", "max_id is not an id")
			}
			below = n + 1
		}
		if v := q.Get("updated_after"); v != "" {
			t, err := time.Parse(time.RFC3339, v)
			if err != nil {
				return d.refuse(http.StatusUnprocessableEntity, "updated_after", "updated_after must be a time")
			}
			since = t
		}
		apps, next := s.page(since, below, size)
		rows := []any{}
		for _, a := range apps {
			rows = append(rows, d.row(s, a))
		}
		body := map[string]any{"candidates": rows}
		if next != 0 {
			q.Set("max_id", d.Spell(KindApplication, next-1))
			body["paging"] = map[string]any{"next": (&url.URL{Scheme: "https", Host: "simulated.workable.com", Path: r.URL.Path, RawQuery: q.Encode()}).String()}
		}
		return answer{status: http.StatusOK, body: body}
	})
}

// write handles the writes about one candidate. All but comments and tags are answered with nothing.
func (d Workable) write(s *Server, kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, _ := d.Number(KindApplication, r.PathValue("id"))
		body, ok := s.body(w, r)
		if !ok {
			return
		}
		var in workableRequest
		bad := json.Unmarshal(body, &in) != nil
		as := kind
		if kind == "move" && in.TargetStage == d.Spell(KindStage, WorkableHired) {
			as = "hire"
		}
		s.api(w, r, as, id, func(c *call) answer {
			var of *Application
			if c.rec != nil {
				of = &c.rec.app
			}
			wish, wrong := d.parse(s, as, &in, of)
			if bad {
				wrong = blame("", "Body is not the JSON expected")
			}
			return s.write(c, wish, wrong, func(a *Application) answer {
				switch kind {
				case "note":
					return answer{status: http.StatusOK, body: map[string]any{"id": d.Spell(KindNote, a.Notes[len(a.Notes)-1].ID)}}
				case "edit":
					return answer{status: http.StatusOK, body: map[string]any{"tags": d.tags(s, a)}}
				}
				return answer{status: http.StatusOK}
			})
		})
	}
}

// workableRequest is every member of the requests that are simulated.
type workableRequest struct {
	MemberID    string `json:"member_id"`
	TargetStage string `json:"target_stage"`
	ReasonID    string `json:"disqualify_reason_id"`
	Withdrew    bool   `json:"withdrew"`
	Comment     struct {
		Body string `json:"body"`
	} `json:"comment"`
	Tags *[]string `json:"tags"`
}

func (d Workable) parse(s *Server, kind string, in *workableRequest, of *Application) (change, *problem) {
	c := change{kind: kind, note: in.Comment.Body, anyStatus: true, actor: Actor{Kind: "api", ID: in.MemberID}}
	if kind == "edit" {
		if in.Tags == nil {
			return c, blame("tags", "tags are required")
		}
		c.actor = Actor{}
		if of != nil {
			d.retag(s, &c, *in.Tags)
		}
		return c, nil
	}
	if in.MemberID == "" {
		return c, blame("member_id", "member_id is required")
	}
	switch kind {
	case "move":
		if c.to, _ = d.Number(KindStage, in.TargetStage); c.to == 0 {
			return c, blame("target_stage", "is not a stage of the job")
		}
	case "reject":
		c.reason, _ = d.Number(KindReason, in.ReasonID)
		if c.reason != 0 && in.Withdrew != (c.reason == workableWithdrew) {
			return c, blame("withdrew", "is not the category of the reason")
		}
	}
	return c, nil
}

// retag puts tags that are fields where fields are, and the others beside them. They are all there is afterwards; of
// several of one key the last is the field's.
func (d Workable) retag(s *Server, c *change, tags []string) {
	c.fields, c.tags = map[string]json.RawMessage{}, []string{}
	for _, f := range s.cfg.Fields {
		c.fields[f.Key] = json.RawMessage("null")
	}
	for _, tag := range tags {
		key, text, pair := strings.Cut(tag, ": ")
		def, field := s.fieldBy(0, key)
		if !pair || !field {
			c.tags = append(c.tags, tag)
			continue
		}
		if now := c.fields[key]; string(now) != "null" {
			c.tags = append(c.tags, d.tag(key, now))
		}
		c.fields[key] = labelValue(def, text)
	}
}
