// Package ats is what the write-back worker knows of an applicant tracking system (ATS): how to read one
// application whole, how to write the difference between what it shows and what it should show, and what
// an answer proves. One package below this one speaks one vendor's dialect.
//
// A write's own answer never confirms it: a 2xx can change nothing, a timeout can have landed. Callers
// read, Apply, and read back until the whole tuple shows (see Shows) or the capability's read lag is over.
package ats

import (
	"context"
	"time"

	"github.com/concord-ats/concord/pkg/wire"
)

// Client reads and writes the applications of one ATS instance. Implementations are safe for concurrent
// use; they keep no state of an application between calls and never retry a write by themselves, except
// after an answer that proves it was not executed because the access token was not accepted.
type Client interface {
	// Capabilities says what this ATS can do and what its answers mean. It is constant over the client's life.
	Capabilities() Capabilities

	// Read returns what the ATS shows for the application with this native id (the part of an application id
	// after the slash). A failed read is an *Error whose class is NotExecuted (try again) or Refused.
	Read(ctx context.Context, applicationID string) (Reading, error)

	// Apply makes the ATS show desired by writing only the facets in which desired differs from expected.
	// Expected is the tuple just read; where the ATS can compare and set, it is compared there too. Empty
	// facets and unlisted elements of desired ask nothing. It may be several requests, each sent at most
	// once, in the order the implementation documents; the first that fails ends it, and Error.Done says
	// how many had been answered 2xx. A nil error means every request was answered 2xx, no more than that.
	Apply(ctx context.Context, applicationID string, expected, desired wire.Tuple) error
}

// Reading is one application as the ATS shows it in one read.
type Reading struct {
	// Tuple holds the native stage id, status, rejection reason, the mapped elements sorted by name, and the
	// ATS's version of the application (0 = it has none): its revision, or UpdatedAt in microseconds.
	Tuple wire.Tuple
	// UpdatedAt is the record's last-updated time; zero when the ATS has none, or has a revision instead.
	UpdatedAt time.Time
	// StageName is the stage's label, for people; never matched.
	StageName string
	// CandidateID is the ATS's candidate id; it changes on a merge.
	CandidateID string
	// Requisition is what the read says of it; parts the ATS does not return are empty.
	Requisition wire.Requisition
	// AsOf is the request's start in the ATS's own time: its Date header less the request's round trip,
	// truncated to the header's second. Zero when the ATS sent no usable Date.
	AsOf time.Time
}

// Capabilities describes one ATS. The zero value is the most careful ATS: nothing can be compared, no
// answer is trusted, every 5xx may have been executed.
type Capabilities struct {
	// Name of the dialect, for logs: "greenhouse".
	Name string
	// CASStage: a stage move names the stage it moves from, and the ATS refuses it when that is stale.
	CASStage bool
	// CASVersion: every write is compared with the application's version.
	CASVersion bool
	// Elements lists the elements that can be written, by name, with the native custom field each one is
	// kept in. Sorted by Element. What is not listed is never written.
	Elements []ElementField
	// Reject, Unreject and Hire say which status changes can be written.
	Reject, Unreject, Hire bool
	// ReadLag is how long a read may go on showing the state before a write.
	ReadLag time.Duration
	// Rate is the published shape of the rate limit, a starting point: answers correct it.
	Rate Rate
	// NotFoundMayMeanDenied: a 404 does not prove that the application is gone.
	NotFoundMayMeanDenied bool
	// ServerErrorNotExecuted: a 5xx proves that the write was not executed.
	ServerErrorNotExecuted bool
	// MoveMayNotify and RejectNotifies: a stage move can set off the tenant's own rules, e-mails among them;
	// a rejection as this client writes it sends the candidate a message.
	MoveMayNotify, RejectNotifies bool
}

// ElementField says where an ATS keeps an element.
type ElementField struct {
	Element string
	Key     string
}

// Rate is the shape of a rate limit: Requests in each Window, at most Concurrent at once; 0 = not known.
type Rate struct {
	Requests   int
	Window     time.Duration
	Concurrent int
}

// Writable reports whether the named element can be written.
func (c Capabilities) Writable(element string) bool {
	for _, e := range c.Elements {
		if e.Element == element {
			return true
		}
	}
	return false
}
