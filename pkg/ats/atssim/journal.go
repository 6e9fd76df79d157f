package atssim

import (
	"encoding/json"
	"time"
)

// EntryType tells requests from changes.
type EntryType string

// Entry types.
const (
	EntryRequest  EntryType = "request"
	EntryMutation EntryType = "mutation"
)

// Entry is one line of the journal. Sequence numbers start at 1 and have no gaps; a request's mutation stands
// just before the request itself.
type Entry struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"` // true time
	Type EntryType `json:"type"`
	// Application is 0 for requests about none or several.
	Application int64 `json:"application,omitempty"`
	// Kind is create, move, reject, unreject, hire, edit, note, merge, anonymize or delete; for requests also read,
	// list and token.
	Kind string `json:"kind"`
	// RequestID is the caller's X-Request-Id, else made up; a mutation has that of its request.
	RequestID string `json:"request_id,omitempty"`
	Method    string `json:"method,omitempty"`
	Path      string `json:"path,omitempty"`
	// Status is the answer's; 0 when the answer was withheld.
	Status int    `json:"status,omitempty"`
	Actor  *Actor `json:"actor,omitempty"`
	From   *View  `json:"from,omitempty"`
	To     *View  `json:"to,omitempty"`
	// Fault is what was injected. On a mutation: human_race, or the fault that spoils the answer to it.
	Fault Fault `json:"fault,omitempty"`
}

// Actor is who acted. Kind is human, integration, system or api (the credential).
type Actor struct {
	Kind string `json:"kind"`
	ID   string `json:"id,omitempty"`
}

// View is the tuple of an application before or after a change.
type View struct {
	Stage     int64                      `json:"stage"`
	Status    string                     `json:"status"`
	Reason    int64                      `json:"reason,omitempty"`
	Fields    map[string]json.RawMessage `json:"fields,omitempty"`
	Candidate int64                      `json:"candidate,omitempty"`
	// Notes counts the notes; Tags are the labels that are no field.
	Notes int      `json:"notes,omitempty"`
	Tags  []string `json:"tags,omitempty"`
	// Version is last_activity_at in microseconds of the ATS's clock.
	Version int64 `json:"version"`
}

// journal is a ring of the newest entries. The server's lock guards it.
type journal struct {
	ring []Entry
	cap  int
	next uint64 // sequence number of the next entry
	// changed is when the last change was.
	changed time.Time
}

func newJournal(limit int) *journal { return &journal{cap: limit, next: 1} }

func (j *journal) add(e Entry) uint64 {
	e.Seq = j.next
	j.next++
	if e.Type == EntryMutation {
		j.changed = e.Time
	}
	if len(j.ring) < j.cap {
		j.ring = append(j.ring, e)
	} else {
		j.ring[(e.Seq-1)%uint64(j.cap)] = e
	}
	return e.Seq
}

// first is the sequence number of the oldest entry kept; next when there is none.
func (j *journal) first() uint64 { return j.next - uint64(len(j.ring)) }

// dropped counts the entries the cap has cost.
func (j *journal) dropped() uint64 { return j.first() - 1 }

// page copies up to limit entries from seq on.
func (j *journal) page(seq uint64, limit int) []Entry {
	seq = max(seq, j.first())
	var out []Entry
	for ; seq < j.next && len(out) < limit; seq++ {
		out = append(out, j.ring[(seq-1)%uint64(j.cap)])
	}
	return out
}
