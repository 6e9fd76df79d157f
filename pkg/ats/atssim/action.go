package atssim

import (
	"cmp"
	"encoding/json"
	"time"
)

// Action is what a human, a robot or the ATS itself does, past the API.
type Action struct {
	// Kind is create, move, reject, unreject, hire, edit, note, touch, merge, anonymize or delete. Touch only moves
	// last_activity_at.
	Kind        string `json:"kind"`
	Application int64  `json:"application,omitempty"`
	// At is the true time it happens: in the future it waits for Run or for the next request; in the past, or
	// left out, it happens now and is stamped with At. Stamps never run backwards: an earlier one ties.
	At    time.Time `json:"at,omitzero"`
	Actor Actor     `json:"actor"`
	// Stage is where a move goes, Reason why a rejection. Fields are what an edit sets, by key.
	Stage  int64                      `json:"stage,omitempty"`
	Reason int64                      `json:"reason,omitempty"`
	Fields map[string]json.RawMessage `json:"fields,omitempty"`
	// Note is the text of a note.
	Note string `json:"note,omitempty"`
	// New is the application a create adds.
	New *Application `json:"new,omitempty"`
	// Candidate, and for a merge the one that survives.
	Candidate    int64 `json:"candidate,omitempty"`
	NewCandidate int64 `json:"new_candidate,omitempty"`
	// Silent sends no webhook.
	Silent bool `json:"silent,omitempty"`
}

// Result is what became of an action: done now, or scheduled, or refused with an error.
type Result struct {
	OK        bool   `json:"ok"`
	Scheduled bool   `json:"scheduled,omitempty"`
	Error     string `json:"error,omitempty"`
	// Version is last_activity_at after it, in microseconds.
	Version int64 `json:"version,omitempty"`
}

// Act does or schedules an action.
func (s *Server) Act(a Action) Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runDue()
	return s.act(a)
}

func (s *Server) act(a Action) Result {
	if a.At.After(s.cfg.Now()) {
		if len(s.scheduled.items) >= s.cfg.MaxApplications {
			return Result{Error: "too many scheduled actions"}
		}
		s.scheduled.seq++
		s.scheduled.items.push(scheduledAction{at: a.At, seq: s.scheduled.seq, action: a})
		s.deliver.poke()
		return Result{OK: true, Scheduled: true}
	}
	return s.perform(a)
}

// runDue performs the scheduled actions whose time has come. The lock is held.
func (s *Server) runDue() {
	for now := s.cfg.Now(); len(s.scheduled.items) > 0 && !s.scheduled.items[0].at.After(now); {
		item := s.scheduled.items.pop()
		if r := s.perform(item.action); !r.OK {
			s.scheduled.failed++
		}
	}
}

func (s *Server) perform(a Action) Result {
	at := s.atsNow()
	if !a.At.IsZero() {
		at = stamp(a.At.Add(s.cfg.ClockOffset))
	}
	if a.Actor.Kind == "" {
		a.Actor.Kind = "human"
	}
	switch a.Kind {
	case "create":
		return s.create(a, at)
	case "merge", "anonymize":
		return s.person(a)
	}
	rec := s.apps[a.Application]
	if rec == nil || rec.deleted {
		return Result{Error: "no such application"}
	}
	switch a.Kind {
	case "delete", "touch":
		from, was := rec.app.view(), rec.app
		if at.After(rec.app.LastActivityAt) {
			rec.app.LastActivityAt = at
		}
		rec.app.Revision++
		s.record(rec, a, from)
		if a.Kind == "delete" {
			rec.deleted = true
			if !a.Silent {
				s.announce(rec, &was, a.Kind)
			}
		}
	default:
		if a.Kind == "reject" && a.Reason == 0 {
			a.Reason = s.cfg.Reasons[0]
		}
		p := s.apply(rec, &change{
			kind: a.Kind, to: a.Stage, reason: a.Reason, fields: a.Fields, note: a.Note, at: at, actor: a.Actor, silent: a.Silent,
		})
		if p != nil {
			return Result{Error: p.Message}
		}
	}
	return Result{OK: true, Version: rec.app.LastActivityAt.UnixMicro()}
}

func (s *Server) create(a Action, at time.Time) Result {
	if a.New == nil {
		return Result{Error: "create needs new"}
	}
	app := *a.New
	if app.AppliedAt.IsZero() {
		app.AppliedAt = at
	}
	if rec := s.apps[app.ID]; rec != nil && !rec.deleted {
		return Result{Error: "application exists"}
	}
	if err := s.put(app); err != nil {
		return Result{Error: err.Error()}
	}
	rec := s.apps[app.ID]
	s.record(rec, a, nil)
	if !a.Silent {
		s.announce(rec, &Application{}, "create")
	}
	return Result{OK: true, Version: rec.app.LastActivityAt.UnixMicro()}
}

// record journals a change made past the rules.
func (s *Server) record(rec *record, a Action, from *View) {
	s.journal.add(Entry{
		Time: s.cfg.Now(), Type: EntryMutation, Application: rec.app.ID, Kind: a.Kind, Actor: &a.Actor, From: from, To: rec.app.view(),
	})
}

// person merges a candidate into another one, or anonymises one. It leaves the activity times of the applications
// alone, as candidate webhooks are all that tells of it.
func (s *Server) person(a Action) Result {
	if a.Candidate == 0 || (a.Kind == "merge" && (a.NewCandidate == 0 || a.NewCandidate == a.Candidate)) {
		return Result{Error: a.Kind + " needs its candidates"}
	}
	for _, id := range s.order {
		rec := s.apps[id]
		if rec.app.CandidateID != a.Candidate || rec.deleted {
			continue
		}
		from := rec.app.view()
		if a.Kind == "merge" {
			rec.app.CandidateID = a.NewCandidate
		} else {
			rec.app.Anonymized = true
		}
		s.record(rec, a, from)
	}
	if !a.Silent {
		s.announcePerson(&a)
	}
	return Result{OK: true}
}

type scheduledAction struct {
	at     time.Time
	seq    uint64
	action Action
}

// before orders by time, then by order of arrival.
func (a scheduledAction) before(b scheduledAction) bool {
	return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.seq, b.seq)) < 0
}

// schedule holds the actions set for later.
type schedule struct {
	items  queue[scheduledAction]
	seq    uint64
	failed uint64
}
