package atssim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Application is one application in the store, true and whole.
type Application struct {
	ID          int64 `json:"id"`
	CandidateID int64 `json:"candidate_id"`
	JobID       int64 `json:"job_id"`
	StageID     int64 `json:"stage_id"`
	// Status is active (also when empty), rejected or hired.
	Status            string                     `json:"status"`
	RejectionReasonID int64                      `json:"rejection_reason_id,omitempty"`
	Fields            map[string]json.RawMessage `json:"fields,omitempty"` // by key; replaced whole, never changed in place
	// Office and EmploymentType are the job's: as webhooks show them, and as the newest application of the job has them where
	// the job itself is shown.
	Office         string `json:"office,omitempty"`
	EmploymentType string `json:"employment_type,omitempty"`
	// Notes are those somebody or something wrote, oldest first; replaced whole, never changed in place.
	Notes []Note `json:"notes,omitempty"`
	// Tags are the labels that are none of Fields, in a dialect that has labels.
	Tags []string `json:"tags,omitempty"`
	// Anonymized: the person's data is gone.
	Anonymized     bool      `json:"anonymized,omitempty"`
	AppliedAt      time.Time `json:"applied_at,omitzero"`       // ATS time
	RejectedAt     time.Time `json:"rejected_at,omitzero"`      // ATS time
	LastActivityAt time.Time `json:"last_activity_at,omitzero"` // ATS time
	// Revision counts its changes, from 1.
	Revision int64 `json:"revision,omitempty"`

	blank bool // an answer leaves out who it is
}

// Note is a note of an application.
type Note struct {
	ID   int64     `json:"id"`
	Text string    `json:"text"`
	At   time.Time `json:"at"` // ATS time
}

// name is the person's, made up; empty where it is not shown.
func (a *Application) name() string {
	if a.blank || a.Anonymized {
		return ""
	}
	return fmt.Sprintf("Candidate %d", a.CandidateID)
}

// email is the person's, made up; empty where it is not shown.
func (a *Application) email() string {
	if a.name() == "" {
		return ""
	}
	return fmt.Sprintf("candidate-%d@example.com", a.CandidateID)
}

// Native statuses.
const (
	statusActive   = "active"
	statusRejected = "rejected"
	statusHired    = "hired"
)

func (a *Application) view() *View {
	return &View{
		Stage: a.StageID, Status: a.Status, Reason: a.RejectionReasonID, Fields: a.Fields, Candidate: a.CandidateID,
		Version: a.LastActivityAt.UnixMicro(), Notes: len(a.Notes), Tags: a.Tags,
	}
}

// record is an application with what the simulator keeps about it. The server's lock guards it.
type record struct {
	app        Application
	requests   uint64 // API requests about it, which number its faults
	events     uint64 // webhooks about it
	stale      *Application
	staleUntil time.Time // true time
	deleted    bool
}

// visible is what a read shows at a true time.
func (r *record) visible(now time.Time) *Application {
	if r.stale != nil {
		if now.Before(r.staleUntil) {
			return r.stale
		}
		r.stale = nil
	}
	return &r.app
}

// change is a wish to change one application.
type change struct {
	kind      string
	from, to  int64 // move: from 0 = not compared, to 0 = the next stage
	reason    int64
	fields    map[string]json.RawMessage
	tags      []string // edit: the tags afterwards, nil for as they are
	note      string
	revision  int64     // compared, where it is not 0
	anyStatus bool      // move: also what is closed, which stays closed
	at        time.Time // ATS time
	actor     Actor
	requestID string
	fault     Fault
	silent    bool // no webhook
}

// problem is why the ATS does not do a thing: a 422.
type problem struct{ Field, Message string }

// Error makes a problem an error.
func (p *problem) Error() string { return p.Message }

func blame(field, format string, args ...any) *problem {
	return &problem{Field: field, Message: fmt.Sprintf(format, args...)}
}

// place is what an application says of its job.
type place struct{ office, employment string }

func (s *Server) stageIndex(id int64) int {
	return slices.IndexFunc(s.cfg.Stages, func(st Stage) bool { return st.ID == id })
}

func (s *Server) stageName(id int64) string {
	if i := s.stageIndex(id); i >= 0 {
		return s.cfg.Stages[i].Name
	}
	return ""
}

func (s *Server) fieldBy(id int64, key string) (FieldDef, bool) {
	for _, f := range s.cfg.Fields {
		if (id != 0 && f.ID == id) || (id == 0 && f.Key == key) {
			return f, true
		}
	}
	return FieldDef{}, false
}

// decide checks a change against the rules and returns the application after it. Only an active application
// can be moved, rejected or hired; only a rejected one unrejected; a move's from is compared and set.
func (s *Server) decide(a Application, c *change) (Application, *problem) {
	if c.revision != 0 && c.revision != a.Revision {
		return a, blame("revision", changedMeanwhile)
	}
	switch c.kind {
	case "move":
		if a.Status != statusActive && !c.anyStatus {
			return a, blame("status", "Only active applications can be moved")
		}
		if c.from != 0 && c.from != a.StageID {
			return a, blame("from_stage_id", "from_stage_id does not match the current stage")
		}
		to := c.to
		if to == 0 {
			i := s.stageIndex(a.StageID)
			if i < 0 || i+1 >= len(s.cfg.Stages) {
				return a, blame("to_stage_id", "There is no next stage")
			}
			to = s.cfg.Stages[i+1].ID
		}
		if s.stageIndex(to) < 0 {
			return a, blame("to_stage_id", "to_stage_id is not a stage of the job")
		}
		a.StageID = to
	case "reject":
		if a.Status != statusActive {
			return a, blame("status", "Only active applications can be rejected")
		}
		if !slices.Contains(s.cfg.Reasons, c.reason) {
			return a, blame("rejection_reason_id", "rejection_reason_id is missing or not known")
		}
		a.Status, a.RejectionReasonID, a.RejectedAt = statusRejected, c.reason, c.at
	case "unreject":
		if a.Status != statusRejected {
			return a, blame("status", "Only rejected applications can be unrejected")
		}
		a.Status, a.RejectionReasonID, a.RejectedAt = statusActive, 0, time.Time{}
		if c.to != 0 { // back into a stage of one's choice
			if s.stageIndex(c.to) < 0 {
				return a, blame("to_stage_id", "to_stage_id is not a stage of the job")
			}
			a.StageID = c.to
		}
	case "hire":
		if a.Status != statusActive {
			return a, blame("status", "Only active applications can be hired")
		}
		a.Status = statusHired
	case "edit":
		fields := maps.Clone(a.Fields)
		if fields == nil {
			fields = map[string]json.RawMessage{}
		}
		for _, f := range s.cfg.Fields {
			v, ok := c.fields[f.Key]
			if !ok {
				continue
			}
			var text string
			if len(f.Options) > 0 && string(v) != "null" && (json.Unmarshal(v, &text) != nil || !slices.Contains(f.Options, text)) {
				return a, blame("custom_fields", "%s: not one of its options", f.Key)
			}
			fields[f.Key] = v
		}
		a.Fields = fields
		if c.tags != nil {
			a.Tags = c.tags
		}
	case "note":
		if c.note == "" {
			return a, blame("body", "A note needs a text")
		}
		a.Notes = append(slices.Clip(a.Notes), Note{ID: int64(len(a.Notes)) + 1000*a.ID + 1, Text: c.note, At: c.at})
	default:
		return a, blame("kind", "unknown kind %q", c.kind)
	}
	if c.at.After(a.LastActivityAt) {
		a.LastActivityAt = c.at
	}
	a.Revision++
	return a, nil
}

// changedMeanwhile is what is wrong with a change of another revision than the one there is.
const changedMeanwhile = "The application has changed"

// apply makes a change: the store, the journal, the webhook. The lock is held.
func (s *Server) apply(r *record, c *change) *problem {
	next, p := s.decide(r.app, c)
	if p != nil {
		return p
	}
	entry := Entry{
		Time: s.cfg.Now(), Type: EntryMutation, Application: next.ID, Kind: c.kind, RequestID: c.requestID, Actor: &c.actor,
		From: r.app.view(), To: next.view(), Fault: c.fault,
	}
	was := r.app
	r.app = next
	s.journal.add(entry)
	if !c.silent {
		s.announce(r, &was, c.kind)
	}
	return nil
}

// put adds or replaces an application as it is, past the rules. The lock is held.
func (s *Server) put(a Application) error {
	if a.ID <= 0 {
		return blame("id", "id must be positive")
	}
	switch a.Status {
	case "":
		a.Status = statusActive
	case statusActive, statusRejected, statusHired:
	default:
		return blame("status", "application %d: status %q is none of active, rejected, hired", a.ID, a.Status)
	}
	if a.StageID == 0 {
		a.StageID = s.cfg.Stages[0].ID
	}
	if a.AppliedAt.IsZero() {
		a.AppliedAt = s.atsNow()
	}
	if a.LastActivityAt.IsZero() {
		a.LastActivityAt = a.AppliedAt
	}
	if a.Office != "" || a.EmploymentType != "" {
		s.places[a.JobID] = place{office: a.Office, employment: a.EmploymentType}
	}
	if a.Office != "" && !slices.Contains(s.offices, a.Office) {
		s.offices = append(s.offices, a.Office)
	}
	a.Revision = max(a.Revision, 1)
	a.AppliedAt, a.LastActivityAt = stamp(a.AppliedAt), stamp(a.LastActivityAt)
	if r, ok := s.apps[a.ID]; ok {
		r.app, r.stale, r.deleted = a, nil, false
		return nil
	}
	if len(s.order) >= s.cfg.MaxApplications {
		return errFull
	}
	s.apps[a.ID] = &record{app: a}
	s.order = append(s.order, a.ID)
	return nil
}

// stamp cuts a time to what the ATS shows: milliseconds, UTC.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// page is part of the applications, newest number first: those below a number that changed at or after since, at most
// size. Below is where the next page begins, 0 at the end. The lock is held.
func (s *Server) page(since time.Time, below int64, size int) (apps []*Application, next int64) {
	newestFirst := func(a, b int64) int { return cmp.Compare(b, a) }
	if len(s.sorted) != len(s.order) {
		s.sorted = slices.Clone(s.order)
		slices.SortFunc(s.sorted, newestFirst)
	}
	from, found := slices.BinarySearchFunc(s.sorted, below, newestFirst)
	if found {
		from++
	}
	now := s.cfg.Now()
	for _, id := range s.sorted[from:] {
		rec := s.apps[id]
		if rec.deleted {
			continue
		}
		a := rec.visible(now)
		if a.LastActivityAt.Before(since) {
			continue
		}
		if len(apps) == size {
			return apps, apps[size-1].ID
		}
		apps = append(apps, a)
	}
	return apps, 0
}

// everything is the cursor before the first page.
const everything = int64(1) << 62
