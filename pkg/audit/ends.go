package audit

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/concord-ats/concord/pkg/wire"
)

// checkEnd is I3 for one application: the canonical state and the ATS stand where the world says, or there is a
// reason that the world cannot know: a fault of the ATS itself, with an incident that says so.
func (a *auditor) checkEnd(x *app) {
	t := x.truth
	if t == nil {
		if x.stateSeen {
			a.found.add(I3End, "there is a state of an application the world does not know", x.id)
		}
		return
	}
	if x.shown == nil {
		a.found.add(I3End, "the ATS does not hold the application", x.id)
		return
	}
	var kind, differs string
	for i := range t.Ends {
		e := &t.Ends[i]
		k, d := a.difference(x, e)
		if k == "" {
			if i > 0 {
				a.rep.OtherEnd++
			}
			return
		}
		if i == 0 {
			kind, differs = k, d
		}
	}
	switch a.excuse(x) {
	case "raced":
		a.rep.Raced++
	case "blocked":
		a.rep.Blocked++
	default:
		a.found.example(I3End, kind, x.id, x.id+" ("+t.Story+"): "+differs+x.situation())
	}
}

// checkExcuses keeps what the world cannot know from hiding what it does.
func (a *auditor) checkExcuses() {
	if n := a.rep.Raced + a.rep.Blocked; n*100 > a.rep.Applications*maxExcused && n > 5 {
		a.found.add(I3End, fmt.Sprintf("%d of %d applications ended otherwise than the world says by the ATS's own doing", n, a.rep.Applications))
	}
}

// maxExcused is how many of a hundred applications may end as the world cannot know.
const maxExcused = 15

// difference says in what an application differs from an end: the kind of difference and the details; empty means
// in nothing.
func (a *auditor) difference(x *app, e *trueEnd) (kind, detail string) {
	v := x.shown
	switch {
	case x.canonical != e.Canonical:
		return "the canonical stage is not the world's", fmt.Sprintf("it is %q, the world says %q", x.canonical, e.Canonical)
	case x.erased != e.Erased:
		return "the world erased it, and it is not erased", "not erased"
	case v.Stage != e.Stage || v.Status != e.Status || v.Reason != e.Reason:
		return "the ATS does not show what the world says", fmt.Sprintf("%d %s %d, the world says %d %s %d", v.Stage, v.Status, v.Reason, e.Stage, e.Status, e.Reason)
	case e.Incident != "" && !x.had(e.Incident):
		return "an incident is missing", "no " + e.Incident
	}
	for _, key := range slices.Sorted(maps.Keys(e.Fields)) {
		if has, want := text(v.Fields[key]), plain(e.Fields[key]); has != want {
			if has == "" {
				return "a field of the ATS is not set", key
			}
			return "a field of the ATS differs from the world", key
		}
	}
	return "", ""
}

// situation adds to a finding what the log says of an application: its incidents and its last write.
func (x *app) situation() string {
	var b strings.Builder
	for i := range x.incidents {
		in := &x.incidents[i]
		state := "closed"
		switch {
		case in.open:
			state = "open"
		case !in.ever:
			state = "retracted"
		}
		fmt.Fprintf(&b, "; %s %s", in.kind, state)
	}
	if o, ok := x.terminal[x.command.revision]; ok {
		fmt.Fprintf(&b, "; last write %s %s", o.kind, o.detail)
	}
	if x.faults > 0 {
		fmt.Fprintf(&b, "; %d faults", x.faults)
	}
	return b.String()
}

// excuse names what the world could not know. A race: a person the simulator made up moved the candidate while a
// write was under way; then the canonical state must agree with the ATS, or an incident must be open. A block: the
// simulator spoiled a write that must not be sent twice, its answer did not come in time, or the writer was cut short
// between attempt and outcome; then an incident must say so.
func (a *auditor) excuse(x *app) string {
	raced := slices.ContainsFunc(x.mutations, func(m Entry) bool { return m.Fault == "human_race" && isHuman(&m) })
	if raced && (a.agrees(x) || x.anyOpen()) {
		return "raced"
	}
	// A deadline can pass without the simulator's doing, on a busy machine.
	o := x.terminal[x.command.revision]
	overdue := o.kind == wire.OutcomeKindBlocked && (o.detail == "timeout" || o.detail == "reset")
	if (x.faults > 0 || overdue || a.cutShort(x)) && x.had("write_blocked") {
		return "blocked"
	}
	return ""
}

// cutShort reports whether the last write is blocked because nobody knew of it any more, and its last attempt was open
// when a writer was interrupted.
func (a *auditor) cutShort(x *app) bool {
	o := x.terminal[x.command.revision]
	if o.kind != wire.OutcomeKindBlocked || o.detail != "restarted" {
		return false
	}
	var began wire.Micros
	for i := range x.attempts {
		if t := &x.attempts[i]; t.revision == x.command.revision {
			began = max(began, t.at)
		}
	}
	return slices.ContainsFunc(a.opt.Interrupted, func(i Interruption) bool {
		return began != 0 && began.Time().Before(i.To) && o.at.Time().After(i.From)
	})
}

// agrees reports whether canonical stage and ATS say the same.
func (a *auditor) agrees(x *app) bool {
	switch x.shown.Status {
	case "hired":
		return x.canonical == "hired"
	case "rejected":
		return x.canonical == "rejected" || x.canonical == "withdrawn"
	}
	return x.canonical != "" && a.world.stages[place{x.truth.system, x.shown.Stage}].canonical == x.canonical
}
