package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/contact"
	"github.com/concord-ats/concord/pkg/wire"
)

// Sender is one configured sender of webhooks: a tenant of an ATS, an account of a vendor. Implementations are safe
// for concurrent use and do no I/O.
type Sender interface {
	// Verify checks that the request is the sender's and no replay, over the raw bytes and in constant time for each
	// secret. Its errors are ErrSignature and ErrReplay.
	Verify(header http.Header, body []byte, now time.Time) error
	// Parse reads a request that Verify let pass. No event and no error is a ping. Every error is an *Error. It never
	// panics, whatever the body.
	Parse(header http.Header, body []byte, now time.Time) ([]Event, error)
	// Terms are constant.
	Terms() Terms
}

// Terms are how a sender wants to be answered.
type Terms struct {
	// Accepted is the status that means success to it.
	Accepted int
	// Refused is the status for a request whose signature does not verify. Senders that give up on 401 for good are
	// told 400, as the secret here may be the one that is wrong.
	Refused int
	// Telling are the headers without which the body says little: a dead letter keeps them.
	Telling []string
	// Handshake is the header of an unsigned request that is answered by sending it back, with status 200; empty for none.
	Handshake string
}

// Event is what a webhook says: exactly one of the three is set.
//
// A Change without an application id is about a candidate, named by CandidateID: which applications it concerns has to
// be looked up.
type Event struct {
	Change    *wire.AtsChange
	Candidate *wire.CandidateEvent
	Screening *wire.ScreeningEvent
	// Contacts are those of the candidate of Change, where the body shows them: hashed by whoever has the key, and dropped.
	Contacts []contact.Contact
}

// Wire returns the one that is set.
func (e Event) Wire() wire.Event {
	switch {
	case e.Change != nil:
		return e.Change
	case e.Candidate != nil:
		return e.Candidate
	default:
		return e.Screening
	}
}

// Unresolved reports whether the applications it is about have to be looked up.
func (e Event) Unresolved() bool { return e.Change != nil && e.Change.ApplicationID == "" }

// Problem says why a webhook became no event: a closed list, fit for a metric label.
type Problem string

// Problems.
const (
	ProblemMalformed  Problem = "malformed"          // not the JSON of a webhook
	ProblemAction     Problem = "unsupported_action" // a webhook about something Concord does not follow
	ProblemNoID       Problem = "no_id"              // nothing says whom it is about
	ProblemBadField   Problem = "bad_field"          // a member that identity or order depends on is unreadable
	ProblemUnresolved Problem = "unresolved"         // no application id can be formed, and nothing can look it up
	ProblemPolicy     Problem = "policy_unknown"     // what things are called is not known now: to be sent again
)

// Error is every error of a Sender's Parse. It holds no part of the body beyond names of members.
type Error struct {
	Sender  string // the kind of sender: "greenhouse"
	Problem Problem
	Action  string // a known action, else empty
	Err     error
}

// Error names the problem.
func (e *Error) Error() string {
	s := e.Sender + " webhook: " + string(e.Problem)
	if e.Action != "" {
		s += " in " + e.Action
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrorClass is the class of the dead letter.
func (e *Error) ErrorClass() string { return e.Sender + "_" + string(e.Problem) }

// Identity is the id of an event: the sender's own where it is printable and short, else the hash of the body.
func Identity(own string, body []byte) string {
	own = strings.TrimSpace(own)
	if own != "" && len(own) <= 128 && !slices.ContainsFunc([]byte(own), func(b byte) bool { return b <= ' ' || b > '~' }) {
		return own
	}
	return Hash(body)
}

// idCharacters are what a native id may consist of.
const idCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:"

// PlainID reports whether a native id may become part of a key and of a path: 1 to 128 letters, digits, dots, colons,
// hyphens and underscores, and not only dots.
func PlainID(id string) bool {
	return len(id) <= 128 && strings.Trim(id, idCharacters) == "" && strings.Trim(id, ".") != ""
}

// Hash names bytes that have no name of their own, or one that must not be repeated.
func Hash(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256-" + hex.EncodeToString(sum[:16])
}
