package hiring_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/hiring"
)

// Bounds of one application's life. They are far above what a life needs and far below a livelock.
const (
	// simReach is how far before its true time a verdict may sort: a slow clock, the declared margin, the ATS's clock.
	simReach = 2*simMargin + simClock

	// simClock is how far the ATS's clock is off at most.
	simClock = 30 * time.Second

	simMaxTimers   = 80
	simMaxCommands = 60
	simMaxWrites   = 25 // executed writes of a stage or status
)

// simStats counts what happened, so that a tame world is noticed.
type simStats struct {
	applications, deliveries, timers, commands, sends int
	lost, doubled, late                               int
	writes, closings, window, aba, yields, ambiguous  int
	beyond, beyondOverwritten, beyondLost             int
	robots, contested, declared, ties, tied           int
	outcomes                                          [hiring.OutcomeFailed + 1]int
	reasons                                           map[hiring.Reason]int
}

func newSimStats() *simStats { return &simStats{reasons: map[hiring.Reason]int{}} }

func (s *simStats) String() string {
	return fmt.Sprintf("%d applications, %d deliveries (%d doubled, %d late, %d lost), %d timers, %d commands, %d sends, %d moves written (%d closing); "+
		"confirmed %d, already %d, superseded %d, blocked %d, refused %d, failed %d; "+
		"a person moved between read and write %d times, moved away and back unseen %d times; verdicts that yielded %d, to an operator within the margin %d; "+
		"clocks beyond the declared margin %d (people overwritten %d, verdicts lost %d); rivals met %d, their reopening undone %d; ends with an open disagreement declared %d; changes of a level within one second %d, in a tie were %d",
		s.applications, s.deliveries, s.doubled, s.late, s.lost, s.timers, s.commands, s.sends, s.writes, s.closings,
		s.outcomes[hiring.OutcomeConfirmed], s.outcomes[hiring.OutcomeAlready], s.outcomes[hiring.OutcomeSuperseded], s.outcomes[hiring.OutcomeBlocked],
		s.outcomes[hiring.OutcomeRefused], s.outcomes[hiring.OutcomeFailed],
		s.window, s.aba, s.yields, s.ambiguous, s.beyond, s.beyondOverwritten, s.beyondLost, s.robots, s.contested, s.declared, s.ties, s.tied)
}

// tame fails when the world was too kind to prove anything.
func (s *simStats) tame(t *testing.T) {
	t.Helper()
	for _, n := range []struct {
		what string
		got  int
	}{
		{"doubled", s.doubled},
		{"late", s.late},
		{"lost", s.lost},
		{"closing writes", s.closings},
		{"writes", s.writes},
		{"confirmed", s.outcomes[hiring.OutcomeConfirmed]},
		{"superseded", s.outcomes[hiring.OutcomeSuperseded]},
		{"blocked", s.outcomes[hiring.OutcomeBlocked]},
		{"refused", s.outcomes[hiring.OutcomeRefused]},
		{"people between read and write", s.window},
		{"yielding verdicts", s.yields},
		{"clocks beyond the margin", s.beyond},
		{"rivals", s.robots},
		{"revised", s.reasons[hiring.ReasonRevised]},
		{"hints", s.reasons[hiring.ReasonHint]},
		{"settled", s.reasons[hiring.ReasonSettleElapsed]},
		{"unauthorised", s.reasons[hiring.ReasonUnauthorised]},
		{"changes of one second", s.ties},
		{"applications in a tie", s.tied},
		{"held", s.reasons[hiring.ReasonHeld]},
		{"deferred", s.reasons[hiring.ReasonDeferred]},
	} {
		if n.got < 20 {
			t.Errorf("a tame world: %s only %d times", n.what, n.got)
		}
	}
}

func (s *simStats) count(a *simApp) {
	s.applications++
	s.deliveries += a.deliveries
	s.timers += a.timers
	s.commands += a.commands
	if a.vendor.beyond() {
		s.beyond++
	}
	for i := range a.ats.history {
		if a.ats.history[i].actor == simRobot {
			s.robots++
			break
		}
	}
	if a.tied {
		s.tied++
	}
	for i, r := range a.ats.history[1:] {
		if was := &a.ats.history[i]; r.level && was.level && r.updated == was.updated {
			s.ties++
		}
	}
}

func (a *simApp) canonical(r *simRecord) hiring.Stage {
	switch r.status { //exhaustive:ignore // active and unsaid go by the stage
	case hiring.StatusRejected:
		return hiring.StageRejected
	case hiring.StatusHired:
		return hiring.StageHired
	case hiring.StatusWithdrawn:
		return hiring.StageWithdrawn
	}
	return stageOf(r.stage)
}

// leaves looks at a request as it is made: what has been replaced by then is not sent (rule C1).
func (a *simApp) leaves(c *hiring.Command) {
	a.left = a.now
	if a.received > c.Revision {
		a.fault("%s: revision %d is sent although revision %d had come", clock(a.now), c.Revision, a.received)
	}
}

// overwrites looks, as the ATS takes a write of a stage or status, at whom it overwrites. It reports whether a
// person had moved the application since the worker's read: the window that rule C3 leaves open.
func (a *simApp) overwrites(c *hiring.Command, before *simRecord) bool {
	h := a.ats.history
	at := len(h) - 1 // of the newest word on the level
	for !h[at].level {
		at--
	}
	person := &h[at]
	if person.actor != simHuman {
		return false
	}
	if person.revision > before.revision {
		if a.ats.compare == simCompareVersion {
			a.fault("%s: a person is overwritten although the ATS compares versions", clock(a.now))
		}
		return true
	}
	v := a.vendor.verdict(c.Cause.ID)
	switch {
	case v == nil: // an operator's word, or a rival's move undone
		if !a.controls[c.Cause.ID] && a.canonical(person) != stageOf(c.Desired.Stage) {
			a.stats.aba++
		}
	case v.at >= person.at:
	case a.canonical(person) == hiring.StageScreening && person.kind != hiring.EventUnrejected && a.moves[c.Cause.ID] == 0:
		// The verdict waited for the stage in which it acts.
	case max(a.overridden, a.resynced) >= person.at: // an operator's word on it came later
	case a.overridden != 0 && a.overridden.Add(simClock) >= person.at:
		a.stats.ambiguous++ // or as far as the ATS's clock can tell
	case a.vendor.beyond():
		a.stats.beyondOverwritten++
	case person.stage == c.Expected.Stage && person.status == c.Expected.Status && a.onlyTheEnd(at):
		a.stats.aba++ // moved away and back, and only the end was ever seen, or the answer to it was on its way
	default:
		a.fault("%s: %s overwrites what a person did %s later", clock(a.now), c.Cause.ID, person.at.Sub(v.at))
	}
	return false
}

// onlyTheEnd reports whether a person's change was untold when a request left, or what was told of it shows what was
// there before and names no stage before, while all that lies in between was untold.
func (a *simApp) onlyTheEnd(at int) bool {
	told := func(r *simRecord) bool { return a.told[r.hook] != 0 && a.told[r.hook].Add(simWay) < a.left }
	h, end := a.ats.history, &a.ats.history[at]
	switch {
	case !told(end):
		return true
	case end.from || end.kind != hiring.EventStageChanged:
		return false
	}
	for at--; at > 0 && (h[at].stage != end.stage || h[at].status != end.status); at-- {
		if told(&h[at]) || a.shown[h[at].hook] {
			return false
		}
	}
	return true
}

// wrote counts a write of a stage or status that the ATS has taken.
func (a *simApp) wrote(c *hiring.Command, window bool) {
	a.stats.writes++
	if window {
		a.stats.window++
	}
	a.moves[c.Cause.ID]++
	people := 0 // each of whom may start a new disagreement (rule C4)
	for i := range a.ats.history {
		if r := &a.ats.history[i]; r.actor == simHuman && r.level {
			people++
		}
	}
	if a.moves[c.Cause.ID] > 2+people {
		a.fault("%s: %s moves the application a third time", clock(a.now), c.Cause.ID)
	}
	if c.Closing {
		a.stats.closings++
		if known := a.now.Sub(a.first[c.Cause.ID]); known < a.rules.Bounds.Settle {
			a.fault("%s: %s closes the application only %s after it was known", clock(a.now), c.Cause.ID, known)
		}
		if a.reopened { // by the rival: this is the one revert of rule C4
			a.reopened = false
			a.stats.contested++
			return
		}
		if a.closings[c.Cause.ID]++; a.closings[c.Cause.ID] > 1 {
			a.fault("%s: %s closes the application twice", clock(a.now), c.Cause.ID)
		}
	}
}

// judge checks the promises once nothing is left to happen.
func (a *simApp) judge() {
	writes := 0
	for _, r := range a.ats.history {
		if r.actor == simConcord && r.level {
			writes++
		}
	}
	if a.timers > simMaxTimers || a.commands > simMaxCommands || writes > simMaxWrites {
		a.fault("livelock: %d timers, %d commands, %d writes", a.timers, a.commands, writes)
	}
	if a.worker.busy || a.worker.queued != nil {
		a.fault("the worker still has something to do")
	}
	a.agrees()
	a.keepsVerdict()
}

// declared reports whether an incident about the level is open.
func (a *simApp) declared() bool {
	for i := range a.state.Incidents {
		switch in := &a.state.Incidents[i]; in.Kind { //exhaustive:ignore // the other kinds are not about the level
		case hiring.IncidentForbiddenJump, hiring.IncidentUnauthorised, hiring.IncidentTie, hiring.IncidentWriteBlocked, hiring.IncidentUnmapped,
			hiring.IncidentVerdictOverridden, hiring.IncidentUnconsumedResult, hiring.IncidentContradicted:
			if in.OpenedAt != 0 {
				return true
			}
		}
	}
	return false
}

// agrees: no silent disagreement, in the level and in what the vendor is golden for.
func (a *simApp) agrees() {
	last := a.ats.last()
	if shown := a.canonical(last); shown != a.state.Canonical() {
		if !a.declared() {
			a.fault("the ATS shows %s, canonical is %s, and nobody is told", shown, a.state.Canonical())
		}
		a.stats.declared++
	}
	for _, e := range a.state.Desired.Elements {
		if simValue(last, e.Name) == e.Value {
			continue
		}
		told := false
		for i := range a.state.Incidents {
			in := &a.state.Incidents[i]
			told = told || in.Kind == hiring.IncidentFieldDivergence || in.Kind == hiring.IncidentWriteBlocked ||
				in.Kind == hiring.IncidentTie && strings.HasSuffix(in.Element, e.Name)
		}
		if !told {
			a.fault("the ATS shows %s=%q, the vendor said %q, and nobody is told", e.Name, simValue(last, e.Name), e.Value)
		}
	}
}

// keepsVerdict: the newest verdict acted, was answered by a person, waits visibly, or an incident names it.
func (a *simApp) keepsVerdict() {
	for _, in := range a.incidents {
		if in.Kind == hiring.IncidentVerdictOverridden && in.Change != hiring.IncidentRetracted {
			a.stats.yields++
			break
		}
	}
	v := a.vendor.counts()
	if v == nil || v.verdict != hiring.VerdictAdvance && v.verdict != hiring.VerdictReject {
		return
	}
	for _, in := range a.incidents {
		if in.Subject == v.id && in.Change != hiring.IncidentRetracted && (in.Kind == hiring.IncidentVerdictOverridden || in.Kind == hiring.IncidentUnconsumedResult || in.Kind == hiring.IncidentWriteBlocked) {
			return
		}
	}
	if a.overridden != 0 && v.at.Add(-simReach) <= a.overridden {
		if v.at > a.overridden {
			a.stats.ambiguous++
		}
		return // an operator's word, which came later as far as clocks can tell
	}
	var r *hiring.Result
	for i := range a.state.Head.Results {
		if a.state.Head.Results[i].EventID == v.id {
			r = &a.state.Head.Results[i]
		}
	}
	switch {
	case r == nil:
		a.fault("%s is not known any more", v.id)
	case !r.Consumed:
		if s := a.state.Canonical(); s != hiring.StageApply && s != hiring.StageTriage {
			a.fault("%s never acted in %s, and nobody is told", v.id, s)
		}
	case a.declared(), a.satisfied(v):
	case a.vendor.beyond():
		a.stats.beyondLost++
	default:
		a.fault("%s was taken, the ATS never showed it, and nobody is told", v.id)
	}
}

// satisfied reports whether the ATS has shown what a verdict asks for, at the verdict or later.
func (a *simApp) satisfied(v *simVerdict) bool {
	h := a.ats.history
	for i := range h {
		if i+1 < len(h) && h[i+1].at < v.at.Add(-simReach) {
			continue // over long before
		}
		switch s := a.canonical(&h[i]); v.verdict { //exhaustive:ignore // the others ask for nothing
		case hiring.VerdictAdvance:
			if s == hiring.StageInterviews || s == hiring.StageOffer || s == hiring.StageHired {
				return true
			}
		case hiring.VerdictReject:
			if s == hiring.StageRejected {
				return true
			}
		}
	}
	return false
}
