package hiring_test

import (
	"container/heap"
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/hiring"
)

var (
	simSeeds        = flag.Int("sim.seeds", 2, "control-loop simulation: how many seeds")
	simFirstSeed    = flag.Uint64("sim.seed", 1, "control-loop simulation: the first seed")
	simApplications = flag.Int("sim.applications", 2000, "control-loop simulation: applications a seed")
	simOnly         = flag.Int("sim.only", -1, "control-loop simulation: only this application, with its story")
)

const (
	simMargin   = time.Minute    // declared for the vendor, against the ATS
	simWay      = time.Second    // of a command to the worker, at most
	simLateness = 3 * time.Hour  // of a delivery, at most
	simDay      = 24 * time.Hour // the world stands still by then
)

// TestSimulation runs applications through Decide against a world that misbehaves: an ATS with its own clock, lagging
// reads and little to compare with, people, a rival robot, a vendor with a skewed clock, late, doubled, reordered and
// lost webhooks, polls, and a worker that times out and crashes. Time is virtual; the seed gives everything.
func TestSimulation(t *testing.T) {
	rules := simRules()
	for seed := *simFirstSeed; seed < *simFirstSeed+uint64(*simSeeds); seed++ {
		stats, faulty := newSimStats(), 0
		for n := range *simApplications {
			if *simOnly >= 0 && n != *simOnly {
				continue
			}
			a := newSimApp(rules, seed, n, stats)
			a.run()
			if len(a.faults) > 0 {
				if faulty++; faulty <= 10 {
					t.Errorf("-sim.seed=%d -sim.seeds=1 -sim.only=%d:\n\t%s", seed, n, strings.Join(a.faults, "\n\t"))
				}
			}
			if *simOnly >= 0 {
				t.Logf("%s", a.story.String())
			}
		}
		t.Logf("seed %d: %s", seed, stats)
		if faulty > 0 {
			t.Errorf("seed %d: %d applications break a promise", seed, faulty)
		}
		if *simOnly < 0 && *simApplications >= 2000 {
			stats.tame(t)
		}
	}
}

// TestSimulationRepeats proves that the seed gives everything.
func TestSimulationRepeats(t *testing.T) {
	rules := simRules()
	for n := range 50 {
		one, two := newSimApp(rules, 7, n, newSimStats()), newSimApp(rules, 7, n, newSimStats())
		one.run()
		two.run()
		if !reflect.DeepEqual(one.state, two.state) || !reflect.DeepEqual(one.ats.history, two.ats.history) {
			t.Fatalf("application %d of seed 7 is not the same twice", n)
		}
	}
}

// simRules are the default rules with one more ATS, which orders by revision.
func simRules() *hiring.Rules {
	r := defaultRules()
	everywhere(r.Bundles[0], func(b *hiring.Bundle) {
		known := b.System
		greenhouse, _ := known(atsSystem)
		b.System = func(name string) (hiring.System, bool) {
			if name == "rev-main" {
				return hiring.System{Mapping: greenhouse.Mapping, ByRevision: true}, true
			}
			return known(name)
		}
	})
	return r
}

// simEvent is something that happens at a time.
type simEvent struct {
	at  hiring.Micros
	seq int
	do  func()
}

type simQueue []simEvent

func (q simQueue) Len() int { return len(q) }
func (q simQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q simQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *simQueue) Push(x any)   { *q = append(*q, x.(simEvent)) }
func (q *simQueue) Pop() any {
	e := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return e
}

// simApp is one application, the world around it and what is known of the truth.
type simApp struct {
	rng      *rand.Rand
	now      hiring.Micros
	queue    simQueue
	seq      int
	rules    *hiring.Rules
	state    *hiring.State
	ats      *simATS
	vendor   *simVendor
	worker   *simWorker
	stats    *simStats
	robot    bool
	reopened bool // by the robot, since our last closing write
	tied     bool // for a while at least
	faults   []string
	story    strings.Builder

	outcomeAt, commandAt hiring.Micros
	armed                hiring.Micros // the timer that is set
	deliveries, timers   int
	commands             int
	received             int64                    // the newest revision that has reached the worker
	controls             map[string]bool          // events of operators
	overridden           hiring.Micros            // when an operator last set the stage; 0 = never
	resynced             hiring.Micros            // when an operator last asked for everything again; 0 = never
	first                map[string]hiring.Micros // first deliveries
	told                 map[string]hiring.Micros // when webhooks with a time were first delivered
	shown                map[string]bool          // what a poll has shown, by the webhook that tells of it
	left                 hiring.Micros            // when the newest request left the worker
	incidents            map[string]hiring.Incident
	closings, moves      map[string]int // executed writes of ours, by cause
}

func newSimApp(rules *hiring.Rules, seed uint64, n int, stats *simStats) *simApp {
	a := &simApp{
		rng: rand.New(rand.NewPCG(seed, uint64(n))), now: epoch, rules: rules, stats: stats,
		controls: map[string]bool{}, told: map[string]hiring.Micros{}, shown: map[string]bool{}, first: map[string]hiring.Micros{}, incidents: map[string]hiring.Incident{}, closings: map[string]int{}, moves: map[string]int{},
	}
	a.ats = &simATS{a: a, system: "gh-main", offset: a.between(-simClock, simClock), compare: simCompare(a.rng.IntN(3))}
	if a.chance(20) {
		a.ats.system, a.ats.byRevision = "rev-main", true
	}
	if a.ats.compare != simCompareVersion && !a.ats.byRevision { // one that compares versions can tell them apart
		a.ats.seconds = a.chance(30)
	}
	if a.chance(60) {
		a.ats.lag = a.between(0, simDeclaredLag-time.Second)
	}
	a.robot = a.chance(6)
	a.state = hiring.NewState(fmt.Sprintf("%s/%d", a.ats.system, n))
	a.vendor = newSimVendor(a)
	a.worker = &simWorker{a: a, unknowns: map[int64]int{}, refused: map[int64]int{}, sent: map[string]int{}}
	return a
}

func (a *simApp) chance(percent int) bool { return a.rng.IntN(100) < percent }

func (a *simApp) between(lo, hi time.Duration) time.Duration {
	if hi <= lo {
		return lo
	}
	return lo + time.Duration(a.rng.Int64N(int64(hi-lo)))
}

func (a *simApp) at(t hiring.Micros, do func()) {
	a.seq++
	heap.Push(&a.queue, simEvent{at: max(t, a.now), seq: a.seq, do: do})
}

func (a *simApp) after(d time.Duration, do func()) { a.at(a.now.Add(d), do) }

func (a *simApp) fault(format string, args ...any) {
	a.faults = append(a.faults, fmt.Sprintf(format, args...))
}

func (a *simApp) tell(format string, args ...any) {
	if *simOnly >= 0 {
		fmt.Fprintf(&a.story, "%9s ", clock(a.now))
		fmt.Fprintf(&a.story, format, args...)
		a.story.WriteByte('\n')
	}
}

// run plays the whole life, until nothing is left to happen and the last polls changed nothing.
func (a *simApp) run() {
	a.plan()
	a.drain()
	for range 2 {
		a.after(time.Minute, a.ats.poll)
		a.drain()
	}
	a.judge()
	a.stats.count(a)
}

func (a *simApp) drain() {
	for steps := 0; a.queue.Len() > 0; steps++ {
		if steps > 20_000 {
			a.fault("livelock: %d things happened, and more are to come", steps)
			return
		}
		e := heap.Pop(&a.queue).(simEvent)
		a.now = e.at
		e.do()
	}
}

// plan sets what happens by itself.
func (a *simApp) plan() {
	a.ats.create()
	first := a.between(time.Second, time.Minute)
	enter := func(stage int, actor simActor) func() {
		return func() {
			if a.ats.last().status == hiring.StatusActive && a.ats.last().stage != simNative[stage] {
				a.ats.change(actor, hiring.EventStageChanged, "", func(r *simRecord) { r.stage = simNative[stage] })
			}
		}
	}
	if a.chance(50) {
		a.after(first/2, enter(1, simHuman))
	}
	if a.chance(90) {
		a.after(first, enter(2, simHuman))
	}
	result := a.vendor.plan(first)
	for range a.rng.IntN(4) {
		a.after(a.between(0, 25*time.Minute), a.ats.human)
	}
	for range a.rng.IntN(3) { // around the verdict
		at := result + a.between(-40*time.Second, 2*time.Minute)
		a.after(at, a.ats.human)
		if a.ats.seconds { // who changes their mind at once
			a.after(at+a.between(50*time.Millisecond, 900*time.Millisecond), a.ats.human)
		}
	}
	for at := a.between(0, 2*time.Minute); at < 40*time.Minute; at += a.between(30*time.Second, 6*time.Minute) {
		a.after(at, a.ats.poll)
	}
	for _, at := range []time.Duration{time.Hour, simLateness + time.Hour, simDay} {
		a.after(at, a.ats.poll)
	}
	if a.chance(4) {
		a.after(a.between(0, 20*time.Minute), func() {
			a.control(&hiring.Event{Type: hiring.EventHold, ExpiresAt: a.now.Add(a.between(time.Minute, time.Hour))})
		})
	}
	if a.chance(4) {
		stages := []hiring.Stage{hiring.StageTriage, hiring.StageScreening, hiring.StageInterviews, hiring.StageRejected}
		a.after(a.between(0, 20*time.Minute), func() {
			a.control(&hiring.Event{Type: hiring.EventOverride, Stage: string(stages[a.rng.IntN(len(stages))])})
		})
	}
	if a.chance(2) {
		a.after(a.between(0, 40*time.Minute), func() { a.control(&hiring.Event{Type: hiring.EventResync}) })
	}
}

func (a *simApp) control(e *hiring.Event) {
	e.Source, e.ID, e.System, e.OccurredAt, e.ObservedAt = "operator", fmt.Sprintf("control-%d", len(a.controls)), hiring.ControlSystem, a.now, a.now
	e.Digest = hiring.IdentityKey(e.ID, e.Stage)
	a.controls[e.ID] = true
	switch e.Type { //exhaustive:ignore // the others ask for no write
	case hiring.EventOverride:
		a.overridden = a.now
	case hiring.EventResync: // also what was blocked, and so may have been executed
		a.resynced = a.now
		clear(a.closings)
	}
	a.deliver(e)
}

// rival is another robot, which undoes every move of ours.
func (a *simApp) rival(was *simRecord) {
	if !a.robot {
		return
	}
	ours := *a.ats.last()
	a.after(5*time.Second, func() {
		if now := a.ats.last(); now.stage != ours.stage || now.status != ours.status {
			return
		}
		a.reopened = a.reopened || ours.status == hiring.StatusRejected && was.status == hiring.StatusActive
		a.ats.undo(was)
	})
}

// send delivers an event late, twice, out of order or, in so many percent, not at all.
func (a *simApp) send(e *hiring.Event, lost int) {
	if a.chance(lost) {
		a.stats.lost++
		return
	}
	times := 1
	if a.chance(15) {
		times, a.stats.doubled = 2, a.stats.doubled+1
	}
	for range times {
		delay := a.between(100*time.Millisecond, 3*time.Second)
		switch p := a.rng.IntN(100); {
		case p < 4:
			delay = a.between(0, simLateness)
			a.stats.late++
		case p < 12:
			delay = a.between(0, 30*time.Minute)
			a.stats.late++
		case p < 30:
			delay = a.between(0, time.Minute)
		}
		a.after(delay, func() {
			again := *e
			again.ObservedAt = a.now
			a.deliver(&again)
		})
	}
}

// deliver is what the reconciler does with one input.
func (a *simApp) deliver(e *hiring.Event) {
	if err := a.rules.Check(e); err != nil {
		a.fault("the world says something it must not: %v", err)
		return
	}
	if a.first[e.ID] == 0 {
		a.first[e.ID] = a.now
	}
	before, version := a.state, a.state.Version
	d := hiring.Decide(a.rules, a.state, e, a.now)
	switch {
	case d.State.Version != version && d.State.Version != version+1, d.Changed != (d.State.Version == version+1), before.Version != version:
		a.fault("version %d follows %d (changed %t)", d.State.Version, version, d.Changed)
	case d.Reason == hiring.ReasonUnspecified:
		a.fault("a %s is decided without a reason", e.Type)
	}
	a.state = d.State
	if a.told[e.ID] == 0 && e.Basis != hiring.BasisReceipt {
		a.told[e.ID] = a.now
	}
	if e.Type == hiring.EventTimer {
		a.timers++
	} else {
		a.deliveries++
	}
	a.stats.reasons[d.Reason]++
	a.tied = a.tied || slices.ContainsFunc(a.state.Head.Suspects, func(s hiring.Suspect) bool { return s.Kind == hiring.IncidentTie })
	a.tell("%s %s stage=%s status=%s at=%s %s -> %s canonical=%s owes=%+v", e.Type, e.ID, e.Stage, e.Status, clock(e.OccurredAt), outcomeText(e.Outcome), d.Reason, a.state.Canonical(), a.state.Target)
	for i := range d.Incidents {
		in := &d.Incidents[i]
		a.tell("    incident %s %s %s change=%d", in.Kind, in.Element, in.Subject, in.Change)
		a.incidents[in.ID] = *in
	}
	for _, c := range d.Commands {
		a.commands++
		a.tell("    command kind=%d revision=%d %+v expected=%+v cause=%s", c.Kind, c.Revision, c.Desired, c.Expected, c.Cause.ID)
		a.commandAt = max(a.commandAt+1, a.now.Add(a.between(5*time.Millisecond, simWay)))
		a.at(a.commandAt, func() {
			if c.Kind == hiring.CommandApply {
				a.received = max(a.received, c.Revision)
			}
			a.worker.accept(c)
		})
	}
	if due := a.state.NextDue; due != 0 && due != a.armed {
		a.armed = due
		a.at(due, func() {
			if a.state.NextDue != due {
				return
			}
			a.armed = 0
			a.deliver(&hiring.Event{Type: hiring.EventTimer, OccurredAt: due})
			if a.state.NextDue != 0 && a.state.NextDue <= a.now {
				a.fault("a timer fired and is due again")
			}
		})
	}
}

func outcomeText(o *hiring.Outcome) string {
	if o == nil {
		return ""
	}
	return fmt.Sprintf("outcome=%d revision=%d %s", o.Outcome, o.Revision, o.Detail)
}
