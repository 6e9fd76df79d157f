package atssim

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Greenhouse is Harvest v3: OAuth2 client credentials, numbers for ids, cursors in the Link header, a move that is
// compared with the stage it leaves, 204 for most writes, 422 with the field for what is wrong.
type Greenhouse struct{}

// Name implements Dialect.
func (Greenhouse) Name() string { return "greenhouse" }

// Limits implements Dialect.
func (Greenhouse) Limits() RateLimit { return RateLimit{Requests: 50, Window: 10 * time.Second} }

// Spell implements Dialect.
func (Greenhouse) Spell(_ Kind, n int64) string { return strconv.FormatInt(n, 10) }

// Number implements Dialect.
func (Greenhouse) Number(_ Kind, id string) (int64, bool) {
	n, err := strconv.ParseInt(id, 10, 64)
	return n, err == nil && n > 0
}

func (g Greenhouse) routes(s *Server) {
	s.mux.HandleFunc("POST /token", s.serveToken)
	s.mux.HandleFunc("POST /auth/token", s.serveToken)
	s.mux.HandleFunc("GET /v3/applications", func(w http.ResponseWriter, r *http.Request) { g.list(s, w, r) })
	s.mux.HandleFunc("GET /v3/jobs", func(w http.ResponseWriter, r *http.Request) { g.listed(s, w, r, g.job) })
	s.mux.HandleFunc("GET /v3/offices", func(w http.ResponseWriter, r *http.Request) { g.listed(s, w, r, g.office) })
	s.mux.HandleFunc("PATCH /v3/applications/{id}", g.write(s, "edit"))
	for _, kind := range []string{"move", "reject", "unreject", "hire"} {
		s.mux.HandleFunc("POST /v3/applications/{id}/"+kind, g.write(s, kind))
	}
}

func (Greenhouse) admits(s *Server, r *http.Request) bool { return s.bearer(r) }

func (Greenhouse) refuse(status int, field, message string) answer {
	e := map[string]string{"message": message}
	if field != "" {
		e["field"] = field
	}
	return answer{status: status, body: map[string]any{"message": message, "errors": []any{e}}}
}

func (Greenhouse) limits(h http.Header, l limitState) {
	if l.Requests == 0 {
		return
	}
	h.Set("X-RateLimit-Limit", strconv.Itoa(l.Requests))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(l.Left))
	if l.Over {
		h.Set("X-RateLimit-Reset", strconv.FormatInt(l.Reset.Add(time.Second).Unix(), 10))
		h.Set("Retry-After", strconv.FormatInt(max(1, int64((l.Wait+time.Second-1)/time.Second)), 10))
	}
}

const timeFormat = "2006-01-02T15:04:05.000Z"

func timeOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(timeFormat)
}

func numberOrNull(id int64) any {
	if id == 0 {
		return nil
	}
	return id
}

// row is an application as Harvest v3 lists it: stage_id is the application's own stage record, the stage
// that move takes is job_interview_stage_id, and active is called in_process.
func (Greenhouse) row(s *Server, a *Application) map[string]any {
	status := a.Status
	if status == statusActive {
		status = "in_process"
	}
	fields := map[string]any{}
	for _, f := range s.cfg.Fields {
		fields[f.Key] = map[string]any{"name": f.Key, "type": f.Type, "value": rawOrNull(a.Fields[f.Key])}
	}
	return map[string]any{
		"id": a.ID, "candidate_id": numberOrNull(a.CandidateID), "job_id": numberOrNull(a.JobID),
		"stage_id": 7_000_000_000 + a.ID, "job_interview_stage_id": a.StageID, "stage_name": s.stageName(a.StageID),
		"status": status, "prospect": false, "rejection_reason_id": numberOrNull(a.RejectionReasonID),
		"created_at": timeOrNull(a.AppliedAt), "rejected_at": timeOrNull(a.RejectedAt),
		"last_activity_at": timeOrNull(a.LastActivityAt), "updated_at": timeOrNull(a.LastActivityAt),
		"custom_fields": fields,
	}
}

func rawOrNull(v json.RawMessage) any {
	if len(v) == 0 {
		return nil
	}
	return v
}

// list is GET /v3/applications: by ids, or page by page with the newest id first. A cursor must be the only
// parameter.
func (g Greenhouse) list(s *Server, w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	kind, about := "list", int64(0)
	var ids []int64
	if q.Has("ids") {
		for part := range strings.SplitSeq(q.Get("ids"), ",") {
			if id, ok := g.Number(KindApplication, strings.TrimSpace(part)); ok {
				ids = append(ids, id)
			}
		}
		if len(ids) == 1 {
			kind, about = "read", ids[0]
		}
	}
	s.api(w, r, kind, about, func(c *call) answer {
		if q.Has("ids") {
			rows, now := []any{}, s.cfg.Now()
			for _, id := range ids {
				if rec := s.apps[id]; rec != nil && !rec.deleted {
					rows = append(rows, g.row(s, rec.visible(now)))
				}
			}
			return answer{status: http.StatusOK, body: rows}
		}
		return g.walk(s, c, q)
	})
}

// greenhousePage is where a walk stands; it is the cursor.
type greenhousePage struct {
	Below int64     `json:"b"`
	Size  int       `json:"n"`
	Since time.Time `json:"s,omitzero"`
}

func (g Greenhouse) walk(s *Server, c *call, q url.Values) answer {
	p := greenhousePage{Below: everything, Size: 100}
	switch {
	case q.Has("cursor"):
		raw, err := base64.RawURLEncoding.DecodeString(q.Get("cursor"))
		if err != nil || json.Unmarshal(raw, &p) != nil || len(q) != 1 || p.Size < 1 || p.Size > 500 || s.expired(c) {
			return g.refuse(http.StatusUnprocessableEntity, "cursor", "cursor is invalid, or not the only parameter")
		}
	default:
		if v := q.Get("per_page"); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil || n < 1 || n > 500 {
				return g.refuse(http.StatusUnprocessableEntity, "per_page", "per_page must be between 1 and 500")
			}
			p.Size = n
		}
		if v := q.Get("updated_at"); v != "" {
			after, ok := strings.CutPrefix(v, "gte|")
			t, err := time.Parse(time.RFC3339, after)
			if !ok || err != nil {
				return g.refuse(http.StatusUnprocessableEntity, "updated_at", "updated_at must be gte| and a time")
			}
			p.Since = t
		}
	}
	apps, next := s.page(p.Since, p.Below, p.Size)
	rows := []any{}
	for _, a := range apps {
		rows = append(rows, g.row(s, a))
	}
	out := answer{status: http.StatusOK, header: http.Header{}, body: rows}
	if next != 0 {
		p.Below = next
		b, err := json.Marshal(p)
		if err != nil {
			panic(err) // numbers and a time
		}
		out.header.Set("Link", `</v3/applications?cursor=`+base64.RawURLEncoding.EncodeToString(b)+`>; rel="next"`)
	}
	return out
}

// write handles the writes about one application.
func (g Greenhouse) write(s *Server, kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, known := g.Number(KindApplication, r.PathValue("id"))
		body, ok := s.body(w, r)
		if !ok {
			return
		}
		if !known {
			id = 0
		}
		s.api(w, r, kind, id, func(c *call) answer {
			wish, problem := g.parse(s, kind, body)
			return s.write(c, wish, problem, func(a *Application) answer {
				if kind == "edit" {
					return answer{status: http.StatusOK, body: g.row(s, a)}
				}
				return answer{status: http.StatusNoContent}
			})
		})
	}
}

func (Greenhouse) parse(s *Server, kind string, body []byte) (change, *problem) {
	var in struct {
		From         *int64 `json:"from_stage_id"`
		To           int64  `json:"to_stage_id"`
		ToJob        int64  `json:"to_job_id"`
		Reason       int64  `json:"rejection_reason_id"`
		CustomFields []struct {
			ID      int64           `json:"id"`
			FieldID int64           `json:"custom_field_id"`
			NameKey string          `json:"name_key"`
			Value   json.RawMessage `json:"value"`
		} `json:"custom_fields"`
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &in); err != nil {
			return change{}, blame("", "Body is not the JSON expected")
		}
	}
	c := change{kind: kind, to: in.To, reason: in.Reason}
	switch kind {
	case "move":
		if in.From == nil || *in.From <= 0 {
			return c, blame("from_stage_id", "from_stage_id is required")
		}
		if in.ToJob != 0 {
			return c, blame("to_job_id", "Transfers are not simulated")
		}
		c.from = *in.From
	case "edit":
		c.fields = map[string]json.RawMessage{}
		for _, f := range in.CustomFields {
			def, ok := s.fieldBy(max(f.ID, f.FieldID), f.NameKey)
			if !ok {
				return c, blame("custom_fields", "custom field is not known")
			}
			if len(f.Value) == 0 {
				f.Value = json.RawMessage("null")
			}
			c.fields[def.Key] = f.Value
		}
	}
	return c, nil
}
