package atssim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Dialect is how one vendor's API looks from outside. The store, the faults, the journal, the limits and the
// delivery of webhooks are the same for all; a dialect says how they are asked for and shown. Its methods are
// called under the server's lock, routes apart, and keep nothing of their own.
type Dialect interface {
	// Name is what --dialect takes.
	Name() string
	// Limits are the documented ones.
	Limits() RateLimit
	// Spell writes a thing's number as this ATS does, and Number reads it back; false for what is no such id.
	Spell(k Kind, n int64) string
	Number(k Kind, id string) (int64, bool)

	// routes adds the vendor's endpoints to the server's mux. A handler reads the request, says which application
	// it is about, and leaves the rest to [Server.api].
	routes(s *Server)
	// admits checks a request's credentials.
	admits(s *Server, r *http.Request) bool
	// refuse is the answer to what is not done. Status says why, in HTTP's terms: 401, 403, 404, 413, 422, 429, 500.
	refuse(status int, field, message string) answer
	// limits shows in an answer's header where the limits stand.
	limits(h http.Header, l limitState)

	// hooks are the webhooks a change sends, in order; was is the application before it.
	hooks(s *Server, kind string, was, is *Application) []message
	// people are the webhooks of a merge or an anonymisation.
	people(s *Server, a *Action) []message
	// post is one attempt to deliver a webhook.
	post(s *Server, h *hook) (body []byte, header http.Header)
	// schedule holds the documented pauses before each retry.
	schedule() []time.Duration
	// acked says what a receiver's answer means: delivered, or else whether it is tried again.
	acked(status int) (done, again bool)
}

// ShowsAnonymized reports whether a read of one application shows that its person was anonymised.
func ShowsAnonymized(d Dialect) bool {
	switch d.(type) {
	case Lever, Workable:
		return true
	}
	return false
}

// Kind is what an id names.
type Kind string

// Kinds of ids.
const (
	KindApplication Kind = "application"
	KindCandidate   Kind = "candidate"
	KindJob         Kind = "job"
	KindStage       Kind = "stage"
	KindReason      Kind = "reason"
	KindNote        Kind = "note"
	KindField       Kind = "field"
	KindPlan        Kind = "plan"
	KindOffice      Kind = "office"
)

// Dialects lists all there are, by name.
func Dialects() []Dialect {
	return []Dialect{Greenhouse{}, Lever{}, Ashby{}, Workable{}, SmartRecruiters{}, Inhouse{}}
}

// DialectNamed finds a dialect.
func DialectNamed(name string) (Dialect, error) {
	all := Dialects()
	i := slices.IndexFunc(all, func(d Dialect) bool { return d.Name() == name })
	if i >= 0 {
		return all[i], nil
	}
	names := make([]string, len(all))
	for i, d := range all {
		names[i] = d.Name()
	}
	return nil, fmt.Errorf("dialect %q: there are %s", name, strings.Join(names, ", "))
}

// message is one webhook of a change: the vendor's name of the event and what its body holds.
type message struct {
	event string
	data  map[string]any
	cause uint64 // the change: messages of one change have the same; set by the core
}

// uuids spells numbers as UUIDs, each kind in a range of its own.
type uuids struct{}

func uuidKind(k Kind) byte {
	return map[Kind]byte{KindApplication: 0xa, KindCandidate: 0xc, KindJob: 0x1, KindStage: 0x5, KindReason: 0x9, KindNote: 0x7, KindField: 0xf, KindPlan: 0xb, KindOffice: 0x2}[k]
}

// Spell writes a number as a UUID.
func (uuids) Spell(k Kind, n int64) string {
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", uuidKind(k), n)
}

// Number reads what Spell wrote.
func (u uuids) Number(k Kind, id string) (int64, bool) {
	var kind, n int64
	if _, err := fmt.Sscanf(id, "%08x-0000-4000-8000-%012x", &kind, &n); err != nil || n <= 0 || u.Spell(k, n) != strings.ToLower(id) {
		return 0, false
	}
	return n, true
}

// spellOrNull is an id for JSON, null for none.
func spellOrNull(d Dialect, k Kind, n int64) any {
	if n == 0 {
		return nil
	}
	return d.Spell(k, n)
}
