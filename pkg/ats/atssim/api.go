package atssim

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const timeFormat = "2006-01-02T15:04:05.000Z"

func timeOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(timeFormat)
}

func idOrNull(id int64) any {
	if id == 0 {
		return nil
	}
	return id
}

// row is an application as Harvest v3 lists it: stage_id is the application's own stage record, the stage
// that move takes is job_interview_stage_id, and active is called in_process.
func (s *Server) row(a *Application) map[string]any {
	status := a.Status
	if status == statusActive {
		status = "in_process"
	}
	fields := map[string]any{}
	for _, f := range s.cfg.Fields {
		fields[f.Key] = map[string]any{"name": f.Key, "type": f.Type, "value": rawOrNull(a.Fields[f.Key])}
	}
	return map[string]any{
		"id": a.ID, "candidate_id": idOrNull(a.CandidateID), "job_id": idOrNull(a.JobID),
		"stage_id": 7_000_000_000 + a.ID, "job_interview_stage_id": a.StageID, "stage_name": s.stageName(a.StageID),
		"status": status, "prospect": false, "rejection_reason_id": idOrNull(a.RejectionReasonID),
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

// serveList is GET /v3/applications: by ids, or page by page with the newest id first. A cursor must be the
// only parameter.
func (s *Server) serveList(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	kind, about := "list", int64(0)
	var ids []int64
	if q.Has("ids") {
		for part := range strings.SplitSeq(q.Get("ids"), ",") {
			id, err := strconv.ParseInt(strings.TrimSpace(part), 10, 64)
			if err == nil && id > 0 {
				ids = append(ids, id)
			}
		}
		if len(ids) == 1 {
			kind, about = "read", ids[0]
		}
	}
	s.mu.Lock()
	c, a, ok := s.begin(r, kind, about)
	if ok {
		header := a.header
		a = s.list(q.Get("cursor"), q.Get("per_page"), len(q), ids, q.Has("ids"))
		for k, v := range header {
			a.header[k] = v
		}
		a = s.finish(&c, "", a)
	}
	s.mu.Unlock()
	s.send(w, r, a)
}

func (s *Server) list(cursor, perPage string, params int, ids []int64, byIDs bool) answer {
	size, below := 100, int64(1)<<62
	if cursor != "" {
		raw, err := base64.RawURLEncoding.DecodeString(cursor)
		if _, scanErr := fmt.Sscanf(string(raw), "%d %d", &below, &size); err != nil || scanErr != nil || params != 1 {
			a := refusal(http.StatusUnprocessableEntity, "cursor", "cursor is invalid, or not the only parameter")
			a.header = http.Header{}
			return a
		}
	} else if perPage != "" {
		n, err := strconv.Atoi(perPage)
		if err != nil || n < 1 || n > 500 {
			a := refusal(http.StatusUnprocessableEntity, "per_page", "per_page must be between 1 and 500")
			a.header = http.Header{}
			return a
		}
		size = n
	}
	size = min(max(size, 1), 500)
	newestFirst := func(a, b int64) int { return cmp.Compare(b, a) }
	if byIDs {
		slices.SortFunc(ids, newestFirst)
		ids = slices.Compact(ids)
	} else {
		if len(s.sorted) != len(s.order) {
			s.sorted = slices.Clone(s.order)
			slices.SortFunc(s.sorted, newestFirst)
		}
		from, found := slices.BinarySearchFunc(s.sorted, below, newestFirst)
		if found {
			from++
		}
		ids = s.sorted[from:]
	}
	now, rows, a := s.cfg.Now(), []any{}, answer{status: http.StatusOK, header: http.Header{}}
	for _, id := range ids {
		rec := s.apps[id]
		if id >= below || rec == nil || rec.deleted {
			continue
		}
		if len(rows) == size {
			next := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %d", below, size))
			a.header.Set("Link", `</v3/applications?cursor=`+next+`>; rel="next"`)
			break
		}
		rows = append(rows, s.row(rec.visible(now)))
		below = id
	}
	a.body = rows
	return a
}

// serveWrite handles the writes about one application.
func (s *Server) serveWrite(kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
		if err != nil || id <= 0 {
			s.send(w, r, refusal(http.StatusNotFound, "", "Resource not found"))
			return
		}
		body, err := readBody(w, r, 1<<20)
		if err != nil {
			s.send(w, r, refusal(http.StatusRequestEntityTooLarge, "", "Body too large"))
			return
		}
		s.mu.Lock()
		a := s.write(r, kind, id, body)
		s.mu.Unlock()
		s.send(w, r, a)
	}
}

func (s *Server) write(r *http.Request, kind string, id int64, body []byte) answer {
	c, a, ok := s.begin(r, kind, id)
	if !ok {
		return a
	}
	header := a.header
	end := func(f Fault, a answer) answer {
		a.header = header
		return s.finish(&c, f, a)
	}
	refused := func(f Fault, p *problem) answer {
		field := p.Field
		if s.cfg.OpaqueErrors {
			field = ""
		}
		return end(f, refusal(http.StatusUnprocessableEntity, field, p.Message))
	}
	rec := c.rec
	if rec == nil {
		return end("", refusal(http.StatusNotFound, "", "Resource not found"))
	}
	wish, p := s.parseWrite(kind, body)
	if p != nil {
		return refused("", p)
	}
	wish.at, wish.requestID, wish.actor = s.atsNow(), c.requestID, Actor{Kind: "api", ID: s.cfg.ClientID}
	var raced Fault
	if rec.app.Status == statusActive && s.hits(FaultHumanRace, id, c.n) {
		raced = FaultHumanRace
		s.humanMoves(rec, c.requestID, c.n)
	}
	if _, p := s.decide(rec.app, &wish); p != nil {
		return refused(raced, p)
	}
	done := answer{status: http.StatusNoContent}
	if kind == "edit" {
		done.status = http.StatusOK
	}
	if s.hits(FaultLostWrite, id, c.n) {
		if kind == "edit" {
			done.body = s.row(&rec.app)
		}
		return end(FaultLostWrite, done)
	}
	stale := s.hits(FaultStaleRead, id, c.n)
	wish.fault = s.firstOf(after, id, c.n)
	if wish.fault == "" {
		wish.fault = raced
		if stale {
			wish.fault = FaultStaleRead
		}
	}
	was := rec.app
	if p := s.apply(rec, &wish); p != nil {
		return refused(raced, p)
	}
	if stale {
		rec.stale, rec.staleUntil = &was, s.cfg.Now().Add(s.cfg.ReadLag)
	}
	switch wish.fault {
	case FaultServerErrorAfter:
		done = refusal(http.StatusInternalServerError, "", "Something went wrong")
	case FaultTimeoutAfter:
		done = answer{hang: true}
	case FaultResetAfter:
		done = answer{reset: true}
	default:
		if kind == "edit" {
			done.body = s.row(&rec.app)
		}
	}
	return end(wish.fault, done)
}

// humanMoves is a person who is faster than the write under way.
func (s *Server) humanMoves(rec *record, requestID string, n uint64) {
	stages := s.cfg.Stages
	i := s.stageIndex(rec.app.StageID)
	to := (i + 1 + int(draw(s.cfg.Seed, "human", rec.app.ID, n)%uint64(max(1, len(stages)-1)))) % len(stages)
	_ = s.apply(rec, &change{ // an active application can always be moved to a known stage
		kind: "move", to: stages[to].ID, at: s.atsNow(), requestID: requestID,
		actor: Actor{Kind: "human", ID: "recruiter-race"}, fault: FaultHumanRace,
	})
}

func (s *Server) parseWrite(kind string, body []byte) (change, *problem) {
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
