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
	// how many had been answered 2xx. A nil error means every request was answered as done, no more than that.
	Apply(ctx context.Context, applicationID string, expected, desired wire.Tuple) error

	// ListChanged returns one page of the applications that changed since a cursor. Every application that
	// changed after the cursor's walk began is on one of the pages up to the first with More false, or on
	// one of the next walk, which the cursor of that page begins; an application may be on several. Its
	// errors are those of Read; class Refused of a cursor with a token says that the ATS does not take it:
	// from.Anew() is where to go on.
	ListChanged(ctx context.Context, from Cursor) (Page, error)
}

// Cursor is a place in the walk over what changed. The zero value begins with everything there is;
// Cursor{Since: t} with what changed at or after t in the ATS's time. A caller keeps the value a page
// returned, as JSON, and never fills the other members.
type Cursor struct {
	// Since is where the walk starts, in the ATS's time.
	Since time.Time `json:"since,omitzero"`
	// Began is when this walk began, in the ATS's time: the next one starts there.
	Began time.Time `json:"began,omitzero"`
	// Next is the ATS's own token of the next page; empty at the start of a walk.
	Next string `json:"next,omitempty"`
	// Sync is the ATS's own token of what has been seen, for those that hand one out.
	Sync string `json:"sync,omitempty"`
}

// Anew is where to go on when the ATS refuses c: without the page's token, and without one at the start of a walk without
// the token of what has been seen. What was listed since then comes again. False: there is nothing left to do without.
func (c Cursor) Anew() (Cursor, bool) {
	switch {
	case c.Next != "":
		return Cursor{Since: c.Since, Sync: c.Sync}, true
	case c.Sync != "":
		return Cursor{Since: c.Since}, true
	}
	return c, false
}

// Page is part of a walk over what changed.
type Page struct {
	Changed []Changed
	// Next is where to go on: with the next page when More, else with the next walk.
	Next Cursor
	More bool
}

// Changed is one application of a page, with its native id.
type Changed struct {
	ApplicationID string
	Reading       Reading
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
	// Anonymized says that the person was anonymised: nothing may be written any more. Where a read does not show it (see
	// Capabilities.ShowsAnonymized) it is false and says nothing.
	Anonymized bool
	// Requisition is what the read says of it; parts the ATS does not return are empty.
	Requisition wire.Requisition
	// AsOf is the request's start in the ATS's own time: its Date header less the request's round trip,
	// truncated to the header's second. Zero when the ATS sent no usable Date.
	AsOf time.Time
}

// Turn is the cursor after a page: with the next page's token, or, with none, at the start of the next walk. That
// one starts when this one began, earlier by what a read may lag and by the second a Date header is cut to.
func (c Cursor) Turn(next string, res *Response, lag time.Duration) Cursor {
	if c.Began.IsZero() {
		c.Began = res.AsOf()
	}
	if c.Next = next; next != "" {
		return c
	}
	out := Cursor{Since: c.Since, Sync: c.Sync}
	if from := c.Began.Add(-lag - time.Second); !c.Began.IsZero() && from.After(c.Since) {
		out.Since = from
	}
	return out
}
