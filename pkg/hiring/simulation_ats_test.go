package hiring_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/concord-ats/concord/pkg/hiring"
)

// simCompare is what an ATS compares before it writes.
type simCompare uint8

const (
	simCompareNothing simCompare = iota
	simCompareStage              // the stage a move starts from
	simCompareVersion            // the whole record's version
)

// simActor is who changed a record.
type simActor uint8

const (
	simHuman simActor = iota
	simRobot
	simSystem
	simConcord
)

// simRecord is one version of an application in the ATS.
type simRecord struct {
	at       hiring.Micros // true time
	updated  hiring.Micros // ATS time
	revision int64
	stage    string
	status   hiring.Status
	reason   string
	elements []hiring.Element
	actor    simActor
	kind     hiring.EventType
	level    bool   // stage or status changed
	cause    string // of a write of ours
	hook     string // id of the webhook that tells of it
	from     bool   // which names the stage before
}

// simATS keeps every version, as reads lag behind.
type simATS struct {
	a          *simApp
	system     string
	offset     time.Duration // of its clock
	lag        time.Duration // of its reads, at most
	compare    simCompare
	byRevision bool
	seconds    bool // its times are whole seconds: two changes in one are a tie
	history    []simRecord
	hooks      int
}

const simStages = 5

var simNative = [simStages]string{"1001", "1002", "71416", "1004", "1005"}

func (s *simATS) last() *simRecord { return &s.history[len(s.history)-1] }

// version is what the ATS orders by.
func (s *simATS) version(r *simRecord) int64 {
	if s.byRevision {
		return r.revision
	}
	return int64(r.updated)
}

func (s *simATS) tuple(r *simRecord) hiring.Tuple {
	return hiring.Tuple{Stage: r.stage, Status: r.status, Reason: r.reason, Elements: slices.Clone(r.elements), Version: s.version(r)}
}

// read returns the record as a reader sees it: up to the lag behind.
func (s *simATS) read() *simRecord {
	seen := s.a.now.Add(-s.a.between(0, s.lag))
	for i := len(s.history) - 1; i > 0; i-- {
		if s.history[i].at <= seen {
			return &s.history[i]
		}
	}
	return &s.history[0]
}

// change makes a new version and tells of it.
func (s *simATS) change(actor simActor, kind hiring.EventType, cause string, edit func(*simRecord)) *simRecord {
	r := *s.last()
	was := r
	r.elements = slices.Clone(r.elements)
	edit(&r)
	r.at, r.actor, r.kind, r.cause = s.a.now, actor, kind, cause
	r.updated = max(was.updated+1000, s.stamp())
	if s.seconds {
		r.updated = max(was.updated, s.stamp())
	}
	r.revision++
	r.level = r.stage != was.stage || r.status != was.status
	if r.status != hiring.StatusRejected {
		r.reason = ""
	}
	s.hook(&r, was.stage)
	s.history = append(s.history, r)
	return s.last()
}

// stamp is the time of its clock, as far as it tells it.
func (s *simATS) stamp() hiring.Micros {
	now := s.a.now.Add(s.offset)
	if s.seconds {
		return now / 1_000_000 * 1_000_000
	}
	return now / 1000 * 1000
}

// create makes the first version.
func (s *simATS) create() {
	s.history = []simRecord{{at: s.a.now, updated: s.stamp(), revision: 1, stage: simNative[0], status: hiring.StatusActive, kind: hiring.EventCreated, actor: simSystem, level: true}}
	s.hook(s.last(), "")
}

// hook sends the webhooks of a change: late, doubled, out of order, or never.
func (s *simATS) hook(r *simRecord, previous string) {
	s.hooks++
	a := s.a
	r.from = false
	r.hook = fmt.Sprintf("hook-%d", s.hooks)
	e := hiring.Event{
		Source: s.system, ID: r.hook, Type: r.kind, System: s.system, OccurredAt: r.updated, Revision: r.revision,
		Stage: r.stage, Status: r.status, RejectReason: r.reason,
	}
	if r.kind == hiring.EventStageChanged && a.chance(70) {
		e.PreviousStage, r.from = previous, true
	}
	if r.kind == hiring.EventUpdated {
		e.Elements = slices.Clone(r.elements)
	}
	switch {
	case r.actor == simRobot:
		e.Actor = hiring.ActorIntegration
	case r.actor == simHuman && a.chance(50):
		e.Actor = hiring.ActorHuman
	}
	e.Digest = hiring.IdentityKey(e.ID, e.PreviousStage)
	if a.chance(8) {
		e.Basis, e.OccurredAt, e.Revision = hiring.BasisReceipt, 0, 0
	}
	a.send(&e, 10)
}

// poll delivers what a reader sees now.
func (s *simATS) poll() {
	r := s.read()
	s.hooks++
	e := hiring.Event{
		Source: s.system, ID: fmt.Sprintf("poll-%d", s.hooks), Type: hiring.EventSnapshot, System: s.system, OccurredAt: r.updated, Revision: r.revision,
		Basis: hiring.BasisRecord, Stage: r.stage, Status: r.status, RejectReason: r.reason, Elements: slices.Clone(r.elements), ObservedAt: s.a.now,
	}
	if s.lag == 0 && !s.byRevision && s.a.chance(30) { // a read without a version, at the time of its Date header
		e.Basis, e.OccurredAt = hiring.BasisFetch, s.a.now.Add(s.offset)/1_000_000*1_000_000
	}
	e.Digest = hiring.IdentityKey(e.ID, "")
	s.a.after(s.a.between(50*time.Millisecond, time.Second), func() {
		s.a.deliver(&e)
		s.a.shown[r.hook] = true
	})
}

// human does one thing a person does.
func (s *simATS) human() {
	r, a := s.last(), s.a
	at := slices.Index(simNative[:], r.stage)
	move := func(to int) {
		if to >= 0 && to < simStages && to != at {
			s.change(simHuman, hiring.EventStageChanged, "", func(r *simRecord) { r.stage = simNative[to] })
		}
	}
	status := func(kind hiring.EventType, to hiring.Status) {
		s.change(simHuman, kind, "", func(r *simRecord) {
			r.status = to
			if to == hiring.StatusRejected {
				r.reason = "12"
			}
		})
	}
	note := func() { s.change(simHuman, hiring.EventUpdated, "", func(*simRecord) {}) }
	p := a.rng.IntN(100)
	switch {
	case r.status == hiring.StatusRejected && p < 60:
		status(hiring.EventUnrejected, hiring.StatusActive)
	case r.status != hiring.StatusActive:
		note()
	case p < 40:
		move(at + 1)
	case p < 52:
		status(hiring.EventRejected, hiring.StatusRejected)
	case p < 66:
		move(at - 1)
	case p < 76:
		note()
	case p < 84:
		s.change(simHuman, hiring.EventUpdated, "", func(r *simRecord) { simSet(r, hiring.ElementScreeningScore, "7") })
	case p < 88:
		status(hiring.EventWithdrawn, hiring.StatusWithdrawn)
	case p < 92:
		status(hiring.EventHired, hiring.StatusHired)
	default:
		move(a.rng.IntN(simStages))
	}
}

func simSet(r *simRecord, name, value string) {
	i, ok := slices.BinarySearchFunc(r.elements, name, func(e hiring.Element, n string) int {
		switch {
		case e.Name < n:
			return -1
		case e.Name > n:
			return 1
		}
		return 0
	})
	if ok {
		r.elements[i].Value = value
		return
	}
	r.elements = slices.Insert(r.elements, i, hiring.Element{Name: name, Value: value})
}

// simAnswer is what the ATS answers to a write.
type simAnswer uint8

const (
	simDone  simAnswer = iota
	simBusy            // 429: not executed
	simMoved           // the comparison failed, or the application is closed: not executed
	simRefused
	simUnknown // a timeout or a 5xx
)

// undo is what another robot does to a write of ours.
func (s *simATS) undo(was *simRecord) {
	kind := hiring.EventStageChanged
	if was.status != s.last().status {
		kind = hiring.EventUnrejected
		switch was.status { //exhaustive:ignore // active and unsaid are an unreject
		case hiring.StatusRejected:
			kind = hiring.EventRejected
		case hiring.StatusHired:
			kind = hiring.EventHired
		case hiring.StatusWithdrawn:
			kind = hiring.EventWithdrawn
		}
	}
	s.change(simRobot, kind, "", func(r *simRecord) { r.stage, r.status, r.reason = was.stage, was.status, was.reason })
}

// write is a request that arrives. before is what its sender had read; faults happen as the seed says.
func (s *simATS) write(c *hiring.Command, before *simRecord) simAnswer {
	a, now := s.a, s.last()
	p := a.rng.IntN(1000)
	switch {
	case p < 40:
		return simBusy
	case p < 55:
		return simRefused
	case p < 95:
		return simUnknown // before its effect
	case p < 105:
		return simDone // and nothing changed
	}
	want := &c.Desired
	stage := want.Stage != "" && want.Stage != before.stage
	status := want.Status != hiring.StatusUnspecified && want.Status != before.status
	switch {
	case s.compare == simCompareVersion && s.version(now) != s.version(before),
		s.compare == simCompareStage && stage && now.stage != before.stage,
		stage && !status && now.status.Closed():
		return simMoved
	}
	if stage || status {
		kind := hiring.EventStageChanged
		if status {
			if kind = hiring.EventRejected; want.Status == hiring.StatusActive {
				kind = hiring.EventUnrejected
			}
		}
		unseen := a.overwrites(c, before)
		was := *now
		s.change(simConcord, kind, c.Cause.ID, func(r *simRecord) {
			if stage {
				r.stage = want.Stage
			}
			if status {
				r.status, r.reason = want.Status, want.Reason
			}
		})
		a.wrote(c, unseen)
		a.rival(&was)
	}
	if slices.ContainsFunc(want.Elements, func(e hiring.Element) bool { return simValue(before, e.Name) != e.Value }) {
		s.change(simConcord, hiring.EventUpdated, c.Cause.ID, func(r *simRecord) {
			for _, e := range want.Elements {
				simSet(r, e.Name, e.Value)
			}
		})
	}
	if p < 150 {
		return simUnknown // after its effect
	}
	return simDone
}

func simValue(r *simRecord, name string) string {
	for _, e := range r.elements {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}
