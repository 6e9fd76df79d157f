package audit

import (
	"crypto/sha256"

	"github.com/concord-ats/concord/pkg/wire"
)

// Steps that are no edge of the machine.
var exceptions = map[string]bool{"enter": true, "reopen": true, "override": true, "yield": true, "transfer": true, "migrate": true}

// readDecisions checks I4, I5 and the coordinates of I1.
func (a *auditor) readDecisions() error {
	return scan(a, topicDecisions, func(r *Record, d *wire.Decision) {
		a.rep.end(r)
		a.rep.Decisions++
		a.rep.Reasons[d.Reason.String()]++
		at := coord(r.Topic, r.Partition, r.Offset)
		x := a.app(d.ApplicationID)
		if d.Offset >= 0 {
			if !a.ended(d.Topic, d.Partition, d.Offset, d.Disposition == wire.DispositionDuplicate) {
				a.found.add(I6Atomic, "a decision is of a record that is not there", at)
			}
		} else if d.Disposition != wire.DispositionTimer {
			a.found.add(I1Loss, "a decision without a delivery is no timer's", at)
		}
		a.chain(x, d)
		a.path(x, d)
		a.kpiDecision(x, r.Partition, d)
	})
}

// chain checks that a decision goes on where the one before ended.
func (a *auditor) chain(x *app, d *wire.Decision) {
	changed := d.StateBefore != d.StateAfter
	switch {
	case changed && d.Version != x.version+1:
		a.found.add(I5Version, "the version of a changed state is not one more than before", x.id)
	case !changed && d.Version != x.version:
		a.found.add(I5Version, "the version of an unchanged state is not the one before", x.id)
	}
	if d.StateBefore != x.digest {
		a.found.add(I5Version, "a decision starts from a state that no decision had left", x.id)
	}
	if d.From != x.stage {
		a.found.add(I5Version, "a decision starts from another stage than the one before left", x.id)
	}
	x.decided, x.version, x.digest, x.stage = true, d.Version, d.StateAfter, d.To
}

// path checks every step of a decision.
func (a *auditor) path(x *app, d *wire.Decision) {
	if len(d.Path) == 0 {
		if d.To != d.From && d.To != d.Ancestor && d.Reason != wire.ReasonErased {
			a.found.add(I4Edge, "the stage changed without a step: "+d.From+" to "+d.To, x.id)
		}
		return
	}
	if from := d.Path[0].From; from != d.From && from != d.Ancestor {
		a.found.add(I4Edge, "a path does not start where the decision or its ancestor stands", x.id)
	}
	if d.Path[len(d.Path)-1].To != d.To {
		a.found.add(I4Edge, "a path does not end where the decision does", x.id)
	}
	for i := range d.Path {
		s := &d.Path[i]
		if i > 0 && s.From != d.Path[i-1].To {
			a.found.add(I4Edge, "a path has a gap", x.id)
		}
		if !exceptions[s.Edge] && !a.world.edges[edge{s.Edge, s.From, s.To}] {
			a.found.add(I4Edge, "a step is no edge of the machine: "+s.From+" to "+s.To+" by "+s.Edge, x.id)
		}
	}
}

// readStates reads the last state of each application, and checks that its versions only grow.
func (a *auditor) readStates() error {
	return a.ev.Records(topicState, func(r *Record) error {
		x := a.app(string(r.Key))
		if len(r.Value) == 0 {
			x.stateSeen = false
			return nil
		}
		var s wire.HiringState
		if err := decode(r, &s); err != nil {
			a.found.add(I6Atomic, "a state cannot be read", x.id)
			return nil
		}
		if x.stateSeen && s.Version <= x.stateVer {
			a.found.add(I5Version, "a state's version did not grow", x.id)
		}
		sum := sha256.Sum256(r.Value)
		x.stateSeen, x.stateVer, x.stateDigest = true, s.Version, wire.Digest(sum[:16])
		x.canonical, x.erased = s.Head.Stage, s.Erased
		return nil
	})
}

// checkState compares the last state with the last decision.
func (a *auditor) checkState(x *app) {
	switch {
	case !x.decided && !x.stateSeen:
	case x.stateSeen && !x.decided:
		a.found.add(I6Atomic, "there is a state and no decision", x.id)
	case x.decided && !x.stateSeen:
		if x.version > 0 {
			a.found.add(I6Atomic, "there are decisions and no state", x.id)
		}
	case x.stateVer != x.version:
		a.found.add(I6Atomic, "the last state has another version than the last decision", x.id)
	case x.stateDigest != x.digest:
		a.found.add(I6Atomic, "the last state is not the one the last decision left", x.id)
	}
}

// readConflicts reads the incidents.
func (a *auditor) readConflicts() error {
	return scan(a, topicConflicts, func(r *Record, c *wire.Incident) {
		a.rep.end(r)
		x := a.app(c.ApplicationID)
		at := -1
		for i := range x.incidents {
			if x.incidents[i].id == c.ID {
				at = i
			}
		}
		if at < 0 {
			x.incidents = append(x.incidents, incident{id: c.ID, kind: c.Kind})
			at = len(x.incidents) - 1
		}
		in := &x.incidents[at]
		in.open = c.Change == wire.IncidentChangeOpened
		in.ever = c.Change != wire.IncidentChangeRetracted
		a.rep.incident(c.Kind.String(), c.Change.String())
		a.kpiIncident(x, r.Partition, c)
	})
}

// had reports whether an incident of a kind was opened and never retracted.
func (x *app) had(kind string) bool {
	for i := range x.incidents {
		if in := &x.incidents[i]; in.ever && in.kind.String() == kind {
			return true
		}
	}
	return false
}

// anyOpen reports whether any incident is open.
func (x *app) anyOpen() bool {
	for i := range x.incidents {
		if x.incidents[i].open {
			return true
		}
	}
	return false
}
