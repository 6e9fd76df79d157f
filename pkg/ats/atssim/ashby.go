package atssim

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// Ashby is the Ashby API: an API key, POST for everything, UUIDs, 200 with success: false for most failures, archiving
// and hiring as moves into stages of their own, notes that belong to the candidate, pages by cursor and a sync token
// for what changed since. A move of an archived application opens it again.
type Ashby struct{ uuids }

// The stages of every interview plan that archive and hire; the plan itself.
const (
	AshbyArchived = 900_001
	AshbyHired    = 900_002
	ashbyPlan     = 700_001
)

// Name implements Dialect.
func (Ashby) Name() string { return "ashby" }

// Limits implements Dialect: none are published.
func (Ashby) Limits() RateLimit { return RateLimit{} }

func (d Ashby) routes(s *Server) {
	s.mux.HandleFunc("POST /application.info", d.about(s, "read", func(_ *Server, c *call, _ ashbyRequest) answer {
		if c.rec == nil {
			return d.refuse(http.StatusNotFound, "", "application not found")
		}
		return d.success(d.row(s, c.rec.visible(s.cfg.Now())), nil)
	}))
	s.mux.HandleFunc("POST /application.list", d.about(s, "list", d.list))
	s.mux.HandleFunc("POST /interviewStage.list", d.about(s, "list", d.stages))
	s.mux.HandleFunc("POST /application.changeStage", d.about(s, "", d.changeStage))
	s.mux.HandleFunc("POST /customField.setValues", d.about(s, "edit", d.setValues))
	s.mux.HandleFunc("POST /candidate.createNote", d.about(s, "note", d.createNote))
	s.mux.HandleFunc("POST /candidate.listNotes", d.about(s, "notes", d.listNotes))
}

func (Ashby) admits(s *Server, r *http.Request) bool { return s.basicKey(r) }

func (Ashby) refuse(status int, field, message string) answer {
	codes := map[int]string{401: "unauthorized", 403: "missing_endpoint_permission", 404: "application_not_found", 413: "request_too_large", 429: "rate_limit_exceeded", 500: "internal_server_error"}
	code, ok := codes[status]
	if !ok || status == http.StatusNotFound {
		status = http.StatusOK
	}
	if !ok {
		code = "invalid_input"
	}
	if field != "" {
		message = field + ": " + message
	}
	return answer{status: status, body: map[string]any{"success": false, "errors": []string{code}, "errorInfo": map[string]any{"code": code, "message": message}}}
}

func (Ashby) limits(http.Header, limitState) {}

// success is an answer with results, and what a list has besides.
func (Ashby) success(results any, more map[string]any) answer {
	body := map[string]any{"success": true, "results": results}
	for k, v := range more {
		body[k] = v
	}
	return answer{status: http.StatusOK, body: body}
}

// ashbyRequest is every member of the requests that are simulated.
type ashbyRequest struct {
	ApplicationID    string `json:"applicationId"`
	CandidateID      string `json:"candidateId"`
	ObjectID         string `json:"objectId"`
	ObjectType       string `json:"objectType"`
	InterviewStageID string `json:"interviewStageId"`
	ArchiveReasonID  string `json:"archiveReasonId"`
	InterviewPlanID  string `json:"interviewPlanId"`
	Values           []struct {
		FieldID    string          `json:"fieldId"`
		FieldValue json.RawMessage `json:"fieldValue"`
	} `json:"values"`
	Note      string `json:"note"`
	Limit     int    `json:"limit"`
	Cursor    string `json:"cursor"`
	SyncToken string `json:"syncToken"`
}

// about reads a request and finds out which application it is about. Kind is the journal's; a change of stage has
// three.
func (d Ashby) about(s *Server, kind string, do func(*Server, *call, ashbyRequest) answer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, ok := s.body(w, r)
		if !ok {
			return
		}
		var in ashbyRequest
		bad := len(body) > 0 && json.Unmarshal(body, &in) != nil
		id, _ := d.Number(KindApplication, in.ApplicationID)
		if in.ObjectType == "Application" {
			id, _ = d.Number(KindApplication, in.ObjectID)
		}
		if n, ok := d.Number(KindCandidate, in.CandidateID); ok {
			id = s.applicationOf(n)
		}
		as := kind
		if as == "" {
			as = d.kindOf(s, id, in.InterviewStageID)
		}
		s.api(w, r, as, id, func(c *call) answer {
			if bad {
				return d.refuse(http.StatusUnprocessableEntity, "", "the body is not the JSON expected")
			}
			return do(s, c, in)
		})
	}
}

// applicationOf is the first application of a candidate, 0 when there is none.
func (s *Server) applicationOf(candidate int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.applicationOfLocked(candidate)
}

// applicationOfLocked is applicationOf with the lock held.
func (s *Server) applicationOfLocked(candidate int64) int64 {
	for _, id := range s.order {
		if rec := s.apps[id]; rec.app.CandidateID == candidate && !rec.deleted {
			return id
		}
	}
	return 0
}

// kindOf is what a change of stage is, in the journal's words.
func (d Ashby) kindOf(s *Server, id int64, stage string) string {
	switch n, _ := d.Number(KindStage, stage); n {
	case AshbyArchived:
		return "reject"
	case AshbyHired:
		return "hire"
	}
	if a, ok := s.Application(id); ok && a.Status != statusActive {
		return "unreject"
	}
	return "move"
}

func (d Ashby) changeStage(s *Server, c *call, in ashbyRequest) answer {
	to, known := d.Number(KindStage, in.InterviewStageID)
	wish := change{kind: c.kind, to: to}
	var wrong *problem
	if !known {
		wrong = blame("interviewStageId", "interview stage not found")
	}
	switch c.kind {
	case "reject":
		if wish.reason, known = d.Number(KindReason, in.ArchiveReasonID); !known {
			wrong = blame("archiveReasonId", "required when moving to an Archived stage")
		}
	case "move", "unreject":
		wish.kind = "move"
		if c.rec != nil && c.rec.app.Status == statusRejected {
			wish.kind = "unreject"
		}
	}
	return s.write(c, wish, wrong, func(a *Application) answer { return d.success(d.row(s, a), nil) })
}

func (d Ashby) setValues(s *Server, c *call, in ashbyRequest) answer {
	wish := change{kind: "edit", fields: map[string]json.RawMessage{}}
	var wrong *problem
	if len(in.Values) == 0 {
		wrong = blame("values", "at least one value is needed")
	}
	for _, v := range in.Values {
		n, _ := d.Number(KindField, v.FieldID)
		def, ok := s.fieldBy(n, "")
		if !ok || n == 0 {
			wrong = blame("fieldId", "custom field not found")
			continue
		}
		value := v.FieldValue
		if len(value) == 0 {
			value = json.RawMessage("null")
		}
		wish.fields[def.Key] = value
	}
	return s.write(c, wish, wrong, func(a *Application) answer { return d.success(d.fields(s, a), nil) })
}

func (d Ashby) createNote(s *Server, c *call, in ashbyRequest) answer {
	return s.write(c, change{kind: "note", note: in.Note}, nil, func(a *Application) answer {
		return d.success(d.note(a.Notes[len(a.Notes)-1]), nil)
	})
}

// listNotes are the notes of all applications of a candidate, the newest first, on one page.
func (d Ashby) listNotes(s *Server, _ *call, in ashbyRequest) answer {
	candidate, _ := d.Number(KindCandidate, in.CandidateID)
	rows := []any{}
	for _, id := range s.order {
		if rec := s.apps[id]; rec.app.CandidateID == candidate && !rec.deleted {
			for i := len(rec.app.Notes) - 1; i >= 0; i-- {
				rows = append(rows, d.note(rec.app.Notes[i]))
			}
		}
	}
	return d.success(rows, map[string]any{"moreDataAvailable": false})
}

func (d Ashby) note(n Note) map[string]any {
	return map[string]any{"id": d.Spell(KindNote, n.ID), "content": n.Text, "createdAt": timeOrNull(n.At), "isPrivate": false}
}

func (d Ashby) stages(s *Server, _ *call, in ashbyRequest) answer {
	if n, _ := d.Number(KindPlan, in.InterviewPlanID); n != ashbyPlan {
		return d.refuse(http.StatusUnprocessableEntity, "interviewPlanId", "interview plan not found")
	}
	rows := []any{}
	for i, st := range s.cfg.Stages {
		rows = append(rows, d.stage(st.ID, st.Name, "Active", i))
	}
	rows = append(rows, d.stage(AshbyHired, "Hired", "Hired", len(rows)), d.stage(AshbyArchived, "Archived", "Archived", len(rows)+1))
	return d.success(rows, map[string]any{"moreDataAvailable": false})
}

func (d Ashby) stage(id int64, title, typ string, order int) map[string]any {
	return map[string]any{
		"id": d.Spell(KindStage, id), "title": title, "type": typ, "interviewPlanId": d.Spell(KindPlan, ashbyPlan), "orderInInterviewPlan": order,
	}
}

// row is an application as application.info shows it.
func (d Ashby) row(s *Server, a *Application) map[string]any {
	status, stage := "Active", d.stage(a.StageID, s.stageName(a.StageID), "Active", s.stageIndex(a.StageID))
	var reason any
	switch a.Status {
	case statusRejected:
		status, stage = "Archived", d.stage(AshbyArchived, "Archived", "Archived", len(s.cfg.Stages)+1)
		reason = map[string]any{"id": d.Spell(KindReason, a.RejectionReasonID), "text": "Reason", "reasonType": "RejectedByOrg", "isArchived": false}
	case statusHired:
		status, stage = "Hired", d.stage(AshbyHired, "Hired", "Hired", len(s.cfg.Stages))
	}
	var email any
	if a.email() != "" {
		email = map[string]any{"value": a.email(), "type": "Personal", "isPrimary": true}
	}
	return map[string]any{
		"id": d.Spell(KindApplication, a.ID), "createdAt": timeOrNull(a.AppliedAt), "updatedAt": timeOrNull(a.LastActivityAt), "status": status,
		"candidate":    map[string]any{"id": d.Spell(KindCandidate, a.CandidateID), "name": a.name(), "primaryEmailAddress": email},
		"customFields": d.fields(s, a), "currentInterviewStage": stage, "archiveReason": reason, "creditedToUser": nil,
		"job": map[string]any{"id": d.Spell(KindJob, a.JobID), "title": "Job", "locationId": d.location(s, a)}, "hiringTeam": []any{},
	}
}

// location is the id of the job's office.
func (d Ashby) location(s *Server, a *Application) any {
	if a.Office == "" {
		return nil
	}
	return d.Spell(KindOffice, s.officeID(a.Office))
}

func (d Ashby) fields(s *Server, a *Application) []any {
	out := []any{}
	for _, f := range s.cfg.Fields {
		if v := a.Fields[f.Key]; len(v) > 0 && string(v) != "null" {
			out = append(out, map[string]any{"id": d.Spell(KindField, f.ID), "title": f.Key, "value": v})
		}
	}
	return out
}

// ashbyWalk is where a walk stands. It is the cursor, and, with nothing below it, the sync token.
type ashbyWalk struct {
	Below int64     `json:"b"`
	Since time.Time `json:"s,omitzero"`
	Began time.Time `json:"w"`
}

func (w ashbyWalk) token() string { return base64.RawURLEncoding.EncodeToString(plainJSON(w)) }

func ashbyToken(token string) (w ashbyWalk, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	return w, err == nil && json.Unmarshal(b, &w) == nil
}

// list is a full walk, or with a sync token one over what changed since the walk that ended with it. The last page
// has the token of the next one. A cursor goes together with the sync token its walk began with.
func (d Ashby) list(s *Server, c *call, in ashbyRequest) answer {
	w := ashbyWalk{Below: everything, Began: s.atsNow()}
	if in.SyncToken != "" {
		last, ok := ashbyToken(in.SyncToken)
		if !ok || last.Below != 0 || s.atsNow().Sub(last.Began) > ashbySyncLife {
			return answer{status: http.StatusOK, body: map[string]any{"success": false, "errors": []string{"sync_token_expired"}}}
		}
		w.Since = last.Began
	}
	if in.Cursor != "" {
		at, ok := ashbyToken(in.Cursor)
		if !ok || at.Below == 0 || !at.Since.Equal(w.Since) || s.expired(c) {
			return d.refuse(http.StatusUnprocessableEntity, "cursor", "not a cursor of this walk")
		}
		w = at
	}
	size := in.Limit
	if size <= 0 || size > 100 {
		size = 100
	}
	apps, next := s.page(w.Since, w.Below, size)
	rows := []any{}
	for _, a := range apps {
		rows = append(rows, d.row(s, a))
	}
	w.Below = next
	if next == 0 {
		return d.success(rows, map[string]any{"moreDataAvailable": false, "syncToken": w.token()})
	}
	return d.success(rows, map[string]any{"moreDataAvailable": true, "nextCursor": w.token()})
}

// ashbySyncLife is how long a sync token is good; how long Ashby's are is not published in numbers.
const ashbySyncLife = 7 * 24 * time.Hour

// Number reads the ids the dialect writes; those of plans and fields too.
func (d Ashby) Number(k Kind, id string) (int64, bool) { return d.uuids.Number(k, strings.ToLower(id)) }
