package ats

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/wire"
)

// Capabilities describes one ATS. The zero value is the most careful ATS: nothing can be compared, no
// answer is trusted, every 5xx may have been executed.
type Capabilities struct {
	// Name of the dialect, for logs: "greenhouse".
	Name string
	// CASStage: a stage move names the stage it moves from, and the ATS refuses it when that is stale.
	CASStage bool
	// CASVersion: every write but a note is compared with the application's version.
	CASVersion bool
	// Elements lists the elements that can be written, by name, with the native place each one is kept in.
	// Sorted by Element. What is not listed is never written.
	Elements []ElementField
	// NoteMarker is what the text of a note written for an element begins with, %s being the element's
	// name: it is how a read finds the note again. Empty: this ATS has no notes, or none that can be read.
	NoteMarker string
	// Move, Reject, Unreject and Hire say which changes can be written.
	Move, Reject, Unreject, Hire bool
	// MoveTriggers and RejectTriggers say what such a write, as this client makes it, sets off.
	MoveTriggers, RejectTriggers Trigger
	// ReadLag is how long a read may go on showing the state before a write.
	ReadLag time.Duration
	// Rate is the published shape of the rate limit, unless another is configured. What answers tell of it does not change it;
	// how long they say to wait is obeyed.
	Rate Rate
	// ReadRequests, ElementRequests, MoveRequests and StatusRequests are how many requests one Read, one write of any
	// number of elements, a move, and a rejection, hire or their undoing take at most; 1 when 0. A note takes one.
	ReadRequests, ElementRequests, MoveRequests, StatusRequests int
	// Region: a read tells the region of the application's job, where the mapping names it. Where it does not, no
	// application is known to be of a region.
	Region bool
	// Answer is what the body of a write's answer is worth. None of the values confirms a write.
	Answer Answer
	// Archived: a 2xx can move the stage of a closed application and leave it closed.
	Archived bool
	// NotFoundMayMeanDenied: a 404 does not prove that the application is gone.
	NotFoundMayMeanDenied bool
	// ShowsAnonymized: a Read shows that the person was anonymised. A page of a list may not.
	ShowsAnonymized bool
	// ServerErrorNotExecuted: a 5xx proves that the write was not executed.
	ServerErrorNotExecuted bool
}

// Trigger is what a write sets off besides itself.
type Trigger string

// Triggers.
const (
	TriggerRules   Trigger = ""        // the tenant's own rules may run, e-mails to the candidate among them
	TriggerNothing Trigger = "nothing" // nothing
	TriggerMessage Trigger = "message" // the candidate is sent a message
)

// String is the trigger in one word.
func (t Trigger) String() string { return cmp.Or(string(t), "rules") }

// Answer is what a write's answer says of the write.
type Answer string

// Answers. A read-back alone confirms.
const (
	AnswerNothing Answer = ""        // 2xx with no body, or one that says nothing
	AnswerVerdict Answer = "verdict" // a 2xx carries success or failure: failure is proof, success is not
	AnswerMirror  Answer = "mirror"  // the record, which may lag, or blank what it shows elsewhere
)

// String is the answer in one word.
func (a Answer) String() string { return cmp.Or(string(a), "nothing") }

// ElementField says where an ATS keeps an element.
type ElementField struct {
	Element string
	Key     string
	// Note: it is kept in a note. A note can be added and not changed, so that writing it twice shows.
	Note bool
}

// Rate is the shape of a rate limit; 0 = not known, or no such limit.
type Rate struct {
	// Requests in each Window. With a Burst the limit is a bucket that holds Burst and is refilled evenly;
	// without it is counted per window.
	Requests int
	Window   time.Duration
	Burst    int
	// Concurrent bounds the requests at once.
	Concurrent int
	// Daily bounds the requests of a calendar day, UTC.
	Daily int
}

// Writable reports whether the named element can be written.
func (c *Capabilities) Writable(element string) bool {
	_, ok := c.Field(element)
	return ok
}

// Field returns where the named element is kept.
func (c *Capabilities) Field(element string) (ElementField, bool) {
	i, ok := slices.BinarySearchFunc(c.Elements, element, func(f ElementField, name string) int { return strings.Compare(f.Element, name) })
	if !ok {
		return ElementField{}, false
	}
	return c.Elements[i], true
}

// Reads is how many requests one Read takes at most.
func (c *Capabilities) Reads() int { return max(c.ReadRequests, 1) }

// Writes is how many requests writing a difference takes at most.
func (c *Capabilities) Writes(d Difference) int {
	n, fields := 0, 0
	for _, e := range d.Elements {
		if f, _ := c.Field(e.Name); f.Note {
			n++
		} else {
			fields = max(c.ElementRequests, 1)
		}
	}
	if d.Stage != "" {
		n += max(c.MoveRequests, 1)
	}
	if d.Status != wire.ApplicationStatusUnspecified {
		n += max(c.StatusRequests, 1)
	}
	return max(n+fields, 1)
}
