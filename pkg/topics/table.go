// Package topics is the list of Kafka topics Concord uses, with the settings each of them needs, and
// the two things one does with it: create what is missing, and check a cluster against it.
//
// Every topic has the same number of partitions. The inputs, ats.outcomes, the changelogs and the dead letters
// must: partition p of one is handled with partition p of the others, and a dead letter keeps the partition number
// of its source. The count is fixed once there is data; growing it is a migration.
package topics

import (
	"slices"
	"strconv"
	"time"
)

// The topics, named by what they carry.
const (
	ScreeningEvents = "screening.events"
	ATSChanges      = "ats.changes"
	CandidateEvents = "candidate.events"
	HiringControl   = "hiring.control"

	ScreeningOrders = "screening.orders"
	HiringState     = "hiring.state"
	HiringDecisions = "hiring.decisions"
	HiringConflicts = "hiring.conflicts"
	ATSCommands     = "ats.commands"
	ATSOutcomes     = "ats.outcomes"

	KPIWriteback = "kpi.writeback"
	KPIConflicts = "kpi.conflicts"
	KPIQuality   = "kpi.quality"

	GatewayUnresolved = "gateway.unresolved"

	WritebackState = "writeback.state"
	KPIState       = "kpi.state"
	IdentityState  = "identity.state"
	// ATSCursors holds where the walk over what changed in each ATS stands.
	ATSCursors = "ats.cursors"

	DeadLetterDispositions = "dlq.dispositions"

	// Policy holds what was published: archives of signed bundles by their digest, and every activation.
	Policy = "policy"
)

// DeadLetterSuffix follows a source topic's name in the name of its dead-letter topic.
const DeadLetterSuffix = ".dlq"

// DeadLetter is the name of the dead-letter topic of a source topic.
func DeadLetter(topic string) string { return topic + DeadLetterSuffix }

// Kind says what a topic is for; its settings follow from it.
type Kind uint8

const (
	// Input is read by a processor and written by others.
	Input Kind = iota
	// Loop is written by one processor and read by another.
	Loop
	// Evidence is written once and kept.
	Evidence
	// Changelog is the authority of a processor's state, compacted by key.
	Changelog
	// Letters are dead letters of another topic.
	Letters
)

// String names the kind as `concord topics check` prints it.
func (k Kind) String() string {
	switch k {
	case Input:
		return "input"
	case Loop:
		return "loop"
	case Evidence:
		return "evidence"
	case Changelog:
		return "changelog"
	case Letters:
		return "dead letters"
	default:
		return "invalid"
	}
}

// Topic is one row of the table.
type Topic struct {
	Name string
	Kind Kind
	// Retention is how long a record is kept; 0 means for ever.
	Retention time.Duration
	// MaxRecord is the largest record accepted, in bytes.
	MaxRecord int
}

const (
	day = 24 * time.Hour
	// Room for what must be refused with a dead letter instead of at the producer, where nobody counts it.
	maxInput = 4 << 20
	// A dead letter is its source's record with a few headers more.
	maxLetter = maxInput + 64<<10
	// A changelog record is one state; screening media and long tails stay far below.
	maxInternal = 2 << 20
)

// DeleteRetention is how long a changelog keeps the mark of a deleted key. A local store older than half of
// it must be rebuilt, or the deleted key comes back.
const DeleteRetention = 7 * day

var table = []Topic{
	{ScreeningEvents, Input, 30 * day, maxInput},
	{ATSChanges, Input, 30 * day, maxInput},
	{CandidateEvents, Input, 30 * day, maxInput},
	{HiringControl, Input, 30 * day, maxInput},
	{ScreeningOrders, Loop, 7 * day, maxInternal},
	{HiringState, Changelog, 0, maxInternal},
	{HiringDecisions, Evidence, 0, maxInternal},
	{HiringConflicts, Evidence, 0, maxInternal},
	{ATSCommands, Loop, 7 * day, maxInput},
	{ATSOutcomes, Loop, 30 * day, maxInput},
	{KPIWriteback, Evidence, 400 * day, maxInternal},
	{KPIConflicts, Evidence, 400 * day, maxInternal},
	{KPIQuality, Evidence, 400 * day, maxInternal},
	{GatewayUnresolved, Loop, 7 * day, maxInternal},
	{WritebackState, Changelog, 0, maxInternal},
	{KPIState, Changelog, 0, maxInternal},
	{IdentityState, Changelog, 0, maxInternal},
	{ATSCursors, Changelog, 0, maxInternal},
	{DeadLetterDispositions, Changelog, 0, maxInternal},
	{Policy, Changelog, 0, maxInternal},
	{DeadLetter(ScreeningEvents), Letters, 30 * day, maxLetter},
	{DeadLetter(ATSChanges), Letters, 30 * day, maxLetter},
	{DeadLetter(CandidateEvents), Letters, 30 * day, maxLetter},
	{DeadLetter(HiringControl), Letters, 30 * day, maxLetter},
	{DeadLetter(ATSOutcomes), Letters, 30 * day, maxLetter},
	{DeadLetter(ATSCommands), Letters, 30 * day, maxLetter},
	{DeadLetter(HiringDecisions), Letters, 30 * day, maxLetter},
	{DeadLetter(HiringConflicts), Letters, 30 * day, maxLetter},
	{DeadLetter(GatewayUnresolved), Letters, 30 * day, maxLetter},
}

// Table returns every topic, inputs first. The caller owns the slice.
func Table() []Topic { return slices.Clone(table) }

// Sources returns the names of the topics that have a dead-letter topic, in the order of the table.
func Sources() []string {
	var out []string
	for _, t := range table {
		if t.Kind == Letters {
			out = append(out, t.Name[:len(t.Name)-len(DeadLetterSuffix)])
		}
	}
	return out
}

// Setting is one topic configuration.
type Setting struct {
	Key   string
	Value string
	// AtLeast says that a larger number is as good (-1 is the largest).
	AtLeast bool
	// Why says what breaks without it.
	Why string
}

// Settings returns what the topic needs. embedded is the broker of one process: it does not compact safely under
// open transactions, so it keeps everything.
func (t Topic) Settings(embedded bool) []Setting {
	out := []Setting{
		{"max.message.bytes", strconv.Itoa(t.MaxRecord), true, "a large record is refused at its producer instead of becoming a dead letter"},
	}
	if embedded {
		out = append(out,
			Setting{"cleanup.policy", "delete", false, "the embedded broker does not compact safely under open transactions"},
			Setting{"retention.ms", "-1", true, "the embedded broker would delete state after a week"})
	} else if t.Kind == Changelog {
		out = append(out,
			Setting{"cleanup.policy", "compact", false, "state is deleted by age, or grows without bound"},
			Setting{"delete.retention.ms", millis(DeleteRetention), true, "a restored store brings deleted keys back"})
	} else {
		out = append(out,
			Setting{"cleanup.policy", "delete", false, "compaction loses events: it keeps one record a key"},
			Setting{"retention.ms", millis(t.Retention), true, "records go before a replay or a restart has read them"})
	}
	if t.Kind == Input {
		out = append(out, Setting{"message.timestamp.type", "LogAppendTime", false, "an event's time is bounded by the clock of the broker that saw it first"})
	}
	return out
}

func millis(d time.Duration) string {
	if d == 0 {
		return "-1"
	}
	return strconv.FormatInt(d.Milliseconds(), 10)
}
