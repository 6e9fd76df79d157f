package writeback

import (
	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/wire"
)

// Detail says why an outcome is what it is: one of the constants here, or an [ats.Code]. It is the outcome's
// detail, a metric label and a log field.
type Detail string

// Details, besides the codes of package ats.
const (
	DetailNone          Detail = ""
	DetailExpired       Detail = "expired"        // failed: its time was over before it could go
	DetailStaleVersion  Detail = "stale_version"  // superseded: the ATS has a newer version than was expected, or than a lost write started from
	DetailMoved         Detail = "moved"          // superseded: a facet is not what was expected
	DetailOvertaken     Detail = "overtaken"      // superseded: somebody moved it around our write
	DetailNewer         Detail = "newer_revision" // superseded: a newer revision replaced it
	DetailMismatch      Detail = "mismatch"       // blocked: answered as done, and nothing shows
	DetailRestarted     Detail = "restarted"      // blocked: an attempt without an outcome, and nothing shows
	DetailRegion        Detail = "region"         // refused: the application is of a region that is not written here
	DetailRegionUnknown Detail = "region_unknown" // refused: only some regions are written here, and which it is of is not known
	DetailAnonymized    Detail = "anonymized"     // not_applicable: the person was anonymised
	DetailUnknownSystem Detail = "unknown_system" // failed: no such ATS instance is configured
	DetailQueued        Detail = "queued"         // deferred: it waited too long for its turn
	DetailOwnership     Detail = "ownership"      // deferred: the partition was not held for certain
	DetailSlow          Detail = "slow"           // deferred: the ATS did not answer reads in time
	DetailPolicy        Detail = "policy_unknown" // deferred, or blocked once sent: what its policy calls things is not known here
)

// Verdict is what is to be done. The zero value sends, or sends again.
type Verdict struct {
	// Outcome ends the command; OutcomeKindAttempt means that it goes to the ATS.
	Outcome wire.OutcomeKind
	Detail  Detail
}

func verdict(o wire.OutcomeKind, d Detail) Verdict { return Verdict{Outcome: o, Detail: d} }

// sends reports whether the verdict is to write.
func (v Verdict) sends() bool { return v.Outcome == wire.OutcomeKindAttempt }

// Judge decides what a command asks of an application that the ATS shows as shown, before anything is written.
// It writes only where what it would change is what the reconciler expected to find: comparing the values, and for
// closing effects the version too, since equal values can hide a change and its undoing. Now is in microseconds.
func Judge(cmd *wire.Command, shown *wire.Tuple, caps *ats.Capabilities, now int64) Verdict {
	d := ats.Diff(*shown, cmd.Desired)
	if d.Empty() {
		return verdict(wire.OutcomeKindAlready, DetailNone)
	}
	if cmd.ExpiresAt != 0 && now > int64(cmd.ExpiresAt) {
		return verdict(wire.OutcomeKindFailed, DetailExpired)
	}
	e := &cmd.Expected
	if cmd.Closing {
		if e.Version != 0 && shown.Version > e.Version {
			return verdict(wire.OutcomeKindSuperseded, DetailStaleVersion)
		}
		if moved(e.Stage, shown.Stage) || statusDiffers(e.Status, shown.Status) {
			return verdict(wire.OutcomeKindSuperseded, DetailMoved)
		}
	}
	if d.Stage != "" && moved(e.Stage, shown.Stage) ||
		d.Status != wire.ApplicationStatusUnspecified && statusDiffers(e.Status, shown.Status) ||
		d.Reason != "" && differs(e.Reason, shown.Reason) {
		return verdict(wire.OutcomeKindSuperseded, DetailMoved)
	}
	for _, want := range d.Elements {
		if expected, ok := ats.ElementValue(e.Elements, want.Name); ok {
			if has, _ := ats.ElementValue(shown.Elements, want.Name); has != expected {
				return verdict(wire.OutcomeKindSuperseded, DetailMoved)
			}
		}
		if !caps.Writable(want.Name) {
			return verdict(wire.OutcomeKindNotApplicable, Detail(ats.CodeUnsupported))
		}
	}
	if d.Stage != "" && !caps.Move || !writes(caps, d.Status) {
		return verdict(wire.OutcomeKindNotApplicable, Detail(ats.CodeUnsupported))
	}
	if cmd.Mode == wire.WriteModeShadow {
		return verdict(wire.OutcomeKindShadowed, DetailNone)
	}
	return Verdict{}
}

// differs compares a facet with what was expected of it; nothing expected differs from nothing.
func differs(expected, shown string) bool { return expected != "" && expected != shown }

// moved compares stages. An ATS that shows none of a closed application does not say that it was moved.
func moved(expected, shown string) bool { return shown != "" && differs(expected, shown) }

func statusDiffers(expected, shown wire.ApplicationStatus) bool {
	return expected != wire.ApplicationStatusUnspecified && expected != shown
}

// writes reports whether the ATS can write a change to this status.
func writes(caps *ats.Capabilities, s wire.ApplicationStatus) bool {
	switch s {
	case wire.ApplicationStatusUnspecified:
		return true
	case wire.ApplicationStatusActive:
		return caps.Unreject
	case wire.ApplicationStatusHired:
		return caps.Hire
	case wire.ApplicationStatusRejected, wire.ApplicationStatusWithdrawn:
		return caps.Reject
	}
	return false
}

// Evidence is what is known once a write's read lag is over and the whole tuple still does not show.
type Evidence struct {
	// Executed: the ATS answered that the write was done. Else its effect is unknown.
	Executed bool
	// Newer: a newer revision waits.
	Newer bool
	// Unknowns counts the sends of this revision whose effect was not established, this one included; Max
	// bounds them.
	Unknowns, Max int
	// Code is why the effect is unknown.
	Code Detail
}

// Conclude decides about an attempt whose tuple does not show in the end. Before is what the ATS showed when the
// write was sent. A verdict that sends means that the rest may be armed again.
func Conclude(cmd *wire.Command, before, shown *wire.Tuple, caps *ats.Capabilities, e Evidence) Verdict {
	if overtaken(before, shown, &cmd.Desired) {
		return verdict(wire.OutcomeKindSuperseded, DetailOvertaken)
	}
	if e.Executed {
		return verdict(wire.OutcomeKindBlocked, DetailMismatch)
	}
	if e.Newer {
		return verdict(wire.OutcomeKindSuperseded, DetailNewer)
	}
	if cmd.Closing || e.Unknowns >= e.Max || !Repeatable(ats.Diff(*shown, cmd.Desired), caps) {
		return verdict(wire.OutcomeKindBlocked, e.Code)
	}
	if before.Version != 0 && shown.Version > before.Version {
		// Equal values can hide that the write landed and a person undid it: see docs/decisions/0012.
		return verdict(wire.OutcomeKindSuperseded, DetailStaleVersion)
	}
	return Verdict{}
}

// Repeatable reports whether sending these writes twice is the same as sending them once: an element is, unless it is
// kept in a note, and a stage that the ATS compares before it sets. A status is not.
func Repeatable(d ats.Difference, caps *ats.Capabilities) bool {
	if d.Status != wire.ApplicationStatusUnspecified || d.Reason != "" {
		return false
	}
	for _, e := range d.Elements {
		if f, _ := caps.Field(e.Name); f.Note {
			return false
		}
	}
	return d.Stage == "" || caps.CASStage || caps.CASVersion
}

// overtaken reports whether a facet shows neither what was there before nor what was to be written.
func overtaken(before, shown, desired *wire.Tuple) bool {
	neither := func(was, is, want string) bool { return is != was && is != want }
	if neither(before.Stage, shown.Stage, desired.Stage) || shown.Status != before.Status && shown.Status != desired.Status ||
		desired.Reason != "" && neither(before.Reason, shown.Reason, desired.Reason) {
		return true
	}
	for _, want := range desired.Elements {
		was, _ := ats.ElementValue(before.Elements, want.Name)
		if is, _ := ats.ElementValue(shown.Elements, want.Name); neither(was, is, want.Value) {
			return true
		}
	}
	return false
}
