package ats

import (
	"errors"
	"slices"

	"github.com/concord-ats/concord/pkg/wire"
)

// Step is one write of a plan: what to write, in canonical terms.
type Step struct {
	// Op is unreject, elements, note, move, reject or hire, also the Op of the error when it fails.
	Op string
	// From and To are a move's stages; an unreject that is its own move has To alone.
	From, To string
	// Status and Reason are what a reject or hire closes the application with.
	Status wire.ApplicationStatus
	Reason string
	// Elements are those that change; a note has one.
	Elements []wire.Element
}

// Refuse makes the error of a write that the client knows to be pointless, before any request.
func Refuse(op string, code Code, why string) *Error {
	return &Error{Class: Refused, Code: code, Op: op, Err: errors.New(why)}
}

// Plan turns the difference between expected and desired into steps, in the one order that is safe, each
// only where there is a difference:
//
//  1. unreject, when the application is closed and should be active: only active ones can be moved;
//  2. elements, all in one step, then each note;
//  3. move;
//  4. hire or reject: the closing effect comes last, and is not sent when anything before it failed.
//
// What the capabilities say cannot be written is refused, as is a value that is none of its field's type and what no ATS does: moving or closing an
// application that is closed. The error is an *Error of class Refused.
func (m *Mapping) Plan(caps *Capabilities, expected, desired wire.Tuple) ([]Step, error) {
	d := Diff(expected, desired)
	status := expected.Status
	closing := d.Status == wire.ApplicationStatusRejected || d.Status == wire.ApplicationStatusWithdrawn || d.Status == wire.ApplicationStatusHired
	var steps []Step
	if d.Status == wire.ApplicationStatusActive {
		switch {
		case status != wire.ApplicationStatusRejected && status != wire.ApplicationStatusWithdrawn:
			return nil, Refuse("unreject", CodeNotApplicable, "only a rejected application can be made active")
		case !caps.Unreject:
			return nil, Refuse("unreject", CodeUnsupported, "a rejection cannot be taken back")
		}
		steps = append(steps, Step{Op: "unreject"})
		status = wire.ApplicationStatusActive
	}
	if closing && status != wire.ApplicationStatusActive {
		return nil, Refuse("close", CodeNotApplicable, "only an active application can be closed")
	}
	written, err := m.planElements(caps, d.Elements)
	if err != nil {
		return nil, err
	}
	steps = append(steps, written...)
	if d.Stage != "" {
		switch {
		case !caps.Move:
			return nil, Refuse("move", CodeUnsupported, "a stage cannot be written")
		case status != wire.ApplicationStatusActive:
			return nil, Refuse("move", CodeNotApplicable, "only an active application can be moved")
		case expected.Stage == "" && caps.CASStage:
			return nil, Refuse("move", CodeInvalid, "the stage to move from is not known")
		}
		steps = append(steps, Step{Op: "move", From: expected.Stage, To: d.Stage})
	}
	switch {
	case closing:
		s, err := m.planClosing(caps, d.Status, desired.Reason)
		if err != nil {
			return nil, err
		}
		steps = append(steps, s)
	case d.Reason != "":
		return nil, Refuse("reject", CodeUnsupported, "a rejection reason is written with its rejection only")
	}
	return steps, nil
}

func (m *Mapping) planElements(caps *Capabilities, elements []wire.Element) ([]Step, error) {
	var fields []wire.Element
	var notes []Step
	for _, e := range elements {
		f, ok := caps.Field(e.Name)
		switch {
		case !ok || f.Note && caps.NoteMarker == "":
			return nil, Refuse("elements", CodeUnsupported, "element "+e.Name+" has no writable field")
		case f.Note && e.Value == "":
			return nil, Refuse("note", CodeUnsupported, "element "+e.Name+" is a note, which cannot be taken back")
		case f.Note:
			notes = append(notes, Step{Op: "note", Elements: []wire.Element{e}})
		default:
			kept, _ := m.Field(e.Name)
			if _, err := NativeValue(kept, e.Value); err != nil {
				return nil, &Error{Class: Refused, Code: CodeInvalid, Op: "elements", Err: err}
			}
			fields = append(fields, e)
		}
	}
	if len(fields) > 0 {
		notes = slices.Insert(notes, 0, Step{Op: "elements", Elements: fields})
	}
	return notes, nil
}

func (m *Mapping) planClosing(caps *Capabilities, status wire.ApplicationStatus, asked string) (Step, error) {
	op, can := "reject", caps.Reject
	if status == wire.ApplicationStatusHired {
		op, can = "hire", caps.Hire
	}
	if !can {
		return Step{}, Refuse(op, CodeUnsupported, "the status "+status.String()+" cannot be written")
	}
	reason, fits := m.Reason(status, asked)
	if !fits && (op == "reject" || asked != "") {
		return Step{}, Refuse(op, CodeInvalid, "no reason that fits the status "+status.String())
	}
	return Step{Op: op, Status: status, Reason: reason}, nil
}

// Reopened makes one step of an unreject and the move into a stage that follows it, for an ATS that opens an application again by
// moving it. Without a stage it is refused.
func Reopened(steps []Step, to string) ([]Step, error) {
	if len(steps) == 0 || steps[0].Op != "unreject" {
		return steps, nil
	}
	if to == "" {
		return nil, Refuse("unreject", CodeInvalid, "the stage to come back to is not known")
	}
	steps[0].To = to
	return slices.DeleteFunc(steps, func(s Step) bool { return s.Op == "move" }), nil
}

// Run writes the steps of a plan in order. The first failure ends it, and says how many were answered before.
func Run(steps []Step, write func(Step) error) error {
	for i, s := range steps {
		if err := write(s); err != nil {
			var e *Error
			if errors.As(err, &e) {
				e.Done = i
			}
			return err
		}
	}
	return nil
}
