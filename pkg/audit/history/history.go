package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Groups are the names of the consumer groups.
type Groups struct{ Reconciler, Writeback, KPI string }

// Marker says what a control record ends.
type Marker int8

// Markers.
const (
	None Marker = iota
	Commit
	Abort
)

// Record is one record as a reader of uncommitted records sees it.
type Record struct {
	Partition     int32
	Offset        int64
	Producer      int64
	Epoch         int16
	Transactional bool
	Marker        Marker
	Key, Value    []byte
	// Headers by key.
	Headers map[string]string
}

// Log is the log to be checked. Its functions are called once for each topic. A record is valid during the call only.
type Log struct {
	// Uncommitted calls visit for every record of a topic, markers and aborted records included, each partition in offset
	// order.
	Uncommitted func(topic string, visit func(*Record) error) error
	// Committed calls visit for every record a reader of committed records sees, without markers.
	Committed func(topic string, visit func(partition int32, offset int64)) error
}

// OffsetsTopic is where the group coordinators keep offsets.
const OffsetsTopic = "__consumer_offsets"

// Kind names what a finding breaks; see the package comment.
type Kind string

// Kinds.
const (
	Visible Kind = "visible"
	Torn    Kind = "torn"
	Open    Kind = "open"
	Lost    Kind = "lost"
	Twice   Kind = "twice"
	Apart   Kind = "apart"
	Version Kind = "version"
	// Unread is a record that cannot be read.
	Unread Kind = "unread"
)

// Finding is one kind of broken promise with some of the places where it is broken.
type Finding struct {
	Kind  Kind
	What  string
	Count int
	IDs   []string // at most ten
}

// String is the finding in one line.
func (f Finding) String() string {
	return fmt.Sprintf("%s: %s (%d): %s", f.Kind, f.What, f.Count, strings.Join(f.IDs, " "))
}

// Report is what a check says.
type Report struct {
	Findings []Finding
	// Records were read; Aborted of them never became visible. Committed and AbortedTx count transactions.
	Records, Aborted, Committed, AbortedTx int
	// Commits are the offsets committed by the groups.
	Commits int
	// Decided records of inputs.
	Decided int
}

// String is the report in one line.
func (r *Report) String() string {
	return fmt.Sprintf("%d records, %d of them aborted; %d transactions committed, %d aborted; %d offsets committed; %d records decided",
		r.Records, r.Aborted, r.Committed, r.AbortedTx, r.Commits, r.Decided)
}

const maxIDs = 10

func (c *checker) found(kind Kind, what, id string) {
	key := string(kind) + "|" + what
	f := c.findings[key]
	if f == nil {
		f = &Finding{Kind: kind, What: what}
		c.findings[key] = f
	}
	f.Count++
	if len(f.IDs) < maxIDs {
		f.IDs = append(f.IDs, id)
	}
}

// Check checks a log. The error says that it could not be read.
func Check(log *Log, groups Groups) (*Report, error) {
	c := &checker{
		log: log, groups: groups, findings: make(map[string]*Finding), txns: make(map[txn]*ending), decided: make(map[place]txn),
		commits: make(map[groupPlace][]commit), versions: make(map[string]version), left: make(map[appTxn]version), inputs: make(map[partitionOf][]int64),
	}
	for _, topic := range topics {
		if err := c.topic(topic); err != nil {
			return nil, fmt.Errorf("history of %s: %w", topic, err)
		}
	}
	c.checkTransactions()
	c.checkOffsets()
	for _, key := range slices.Sorted(maps.Keys(c.findings)) {
		c.report.Findings = append(c.report.Findings, *c.findings[key])
	}
	return &c.report, nil
}
