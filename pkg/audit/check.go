package audit

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/concord-ats/concord/pkg/wire"
)

// Topics the audit reads.
const (
	topicScreening = "screening.events"
	topicChanges   = "ats.changes"
	topicControl   = "hiring.control"
	topicOutcomes  = "ats.outcomes"
	topicState     = "hiring.state"
	topicDecisions = "hiring.decisions"
	topicConflicts = "hiring.conflicts"
	topicCommands  = "ats.commands"
	letterSuffix   = ".dlq"
)

// inputs are what the reconciler consumes; each record on them is a delivery.
var inputs = []string{topicScreening, topicChanges, topicControl, topicOutcomes}

// Options are what a check is told besides the evidence.
type Options struct {
	// Reconciler, Writeback and KPI are the names of the consumer groups.
	Reconciler, Writeback, KPI string
	// Window and Horizon are the KPI consumer's (1 h, 72 h).
	Window, Horizon time.Duration
	// Limits are what each instance may be asked; an instance without one is not measured.
	Limits map[string]Limit
	// Fired is how often each reason and each fault must have fired for the run to be no tame one; 0 checks none.
	Fired int
	// Interrupted is when a writer was cut short: killed, frozen, or without a service it needs. What had been attempted
	// then and not ended may be blocked, as the next owner cannot know whether it was sent.
	Interrupted []Interruption
	// Resent is how often a webhook, by the digest the world file has, was sent again as it had not been acknowledged: it may
	// have arrived all the same.
	Resent map[string]int
}

// Interruption is a time in which a writer could lose track of its attempts, up to its successor's start.
type Interruption struct{ From, To time.Time }

func (o *Options) defaults() {
	if o.Window == 0 {
		o.Window = time.Hour
	}
	if o.Horizon == 0 {
		o.Horizon = 72 * time.Hour
	}
}

// app is all that is kept of one application.
type app struct {
	id    string
	truth *trueApplication

	decided     bool
	version     int64
	digest      wire.Digest
	stage       string
	stateSeen   bool
	stateVer    int64
	stateDigest wire.Digest
	canonical   string
	erased      bool

	incidents []incident
	command   lastCommand
	refresh   string            // id of the last refresh command
	answered  string            // command id of the last refresh outcome
	terminal  map[int64]outcome // newest outcome that ends a revision
	attempts  []attempt
	confirmed []confirmation
	mutations []Entry
	faults    int // injected into requests about it
	shown     *View
}

type incident struct {
	id   string
	kind wire.IncidentKind
	open bool
	ever bool // opened and not retracted
}

type lastCommand struct {
	id       string
	revision int64
	empty    bool
	known    bool
}

// auditor is one check under way. It is owned by one goroutine.
type auditor struct {
	opt      Options
	ev       *Evidence
	world    *truth
	found    findings
	apps     map[string]*app
	byNative map[place]*app
	in       deliveries
	meters   map[string]*meter
	rep      *Report
}

// Check checks a run. The error says that the evidence could not be read; what is wrong with the run is in the
// report.
func Check(ev *Evidence, opt Options) (*Report, error) {
	opt.defaults()
	w, err := readWorld(ev.World)
	if err != nil {
		return nil, err
	}
	a := &auditor{opt: opt, ev: ev, world: w, apps: make(map[string]*app), byNative: make(map[place]*app), meters: make(map[string]*meter), rep: newReport()}
	ids := make([]string, 0, len(w.apps))
	for id := range w.apps {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		x := a.app(id)
		x.truth = w.apps[id]
		a.byNative[place{x.truth.system, x.truth.Native}] = x
	}
	a.rep.Seed, a.rep.Applications, a.rep.Ambiguous = w.seed, len(w.apps), w.ambiguous
	for _, step := range []func() error{
		a.readInputs, a.readLetters, a.readDecisions, a.readStates, a.readConflicts, a.readCommands, a.readOutcomes,
		a.readJournal, a.checkKPI,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	a.checkDeliveries()
	a.checkOffsets()
	for _, id := range a.sortedApps() {
		x := a.apps[id]
		a.checkState(x)
		a.checkWrites(x)
		a.checkEnd(x)
	}
	a.checkRates()
	a.checkExcuses()
	a.checkTame()
	a.rep.finish(&a.found)
	return a.rep, nil
}

func (a *auditor) app(id string) *app {
	x := a.apps[id]
	if x == nil {
		x = &app{id: id}
		a.apps[id] = x
	}
	return x
}

func (a *auditor) sortedApps() []string {
	ids := make([]string, 0, len(a.apps))
	for id := range a.apps {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// coord names a record in findings.
func coord(topic string, partition int32, offset int64) string {
	return topic + "/" + strconv.Itoa(int(partition)) + "/" + strconv.FormatInt(offset, 10)
}

// decode reads a framed record of one of our own topics. What cannot be read there is an error of the run, not of
// the evidence.
func decode(r *Record, into wire.Record) error {
	_, avro, err := wire.Split(r.Value)
	if err == nil {
		err = into.DecodeAvro(avro)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", coord(r.Topic, r.Partition, r.Offset), err)
	}
	return nil
}

// scan decodes every record of a topic of ours. One that cannot be read is a finding.
func scan[T any, P interface {
	*T
	wire.Record
}](a *auditor, topic string, visit func(*Record, P),
) error {
	err := a.ev.Records(topic, func(r *Record) error {
		var v T
		if err := decode(r, P(&v)); err != nil {
			a.found.add(I6Atomic, "a record on "+topic+" cannot be read", coord(topic, r.Partition, r.Offset))
			return nil
		}
		visit(r, P(&v))
		return nil
	})
	if err != nil {
		return fmt.Errorf("audit %s: %w", topic, err)
	}
	return nil
}
