package history

import (
	"cmp"
	"fmt"
	"slices"
)

// Topics in the order in which they are read: states after the decisions they are compared with.
var topics = []string{
	"screening.events", "ats.changes", "hiring.control", "ats.outcomes", "hiring.decisions", "hiring.conflicts", "hiring.state",
	"ats.commands", "writeback.state", "kpi.state", "kpi.writeback", "kpi.conflicts", "kpi.quality",
	"screening.events.dlq", "ats.changes.dlq", "hiring.control.dlq", "ats.outcomes.dlq", "ats.commands.dlq", "hiring.decisions.dlq", "hiring.conflicts.dlq",
	OffsetsTopic,
}

// txn names a transaction: under transaction.version 2 each has an epoch of its own.
type txn struct {
	producer int64
	epoch    int16
}

func (t txn) String() string { return fmt.Sprintf("producer %d epoch %d", t.producer, t.epoch) }

// ending is how a transaction ended, in any partition.
type ending struct {
	committed, aborted, open bool
	wrote                    string // one of the places it wrote an output to, "" for none
	offsets                  bool   // it committed an offset of a group
}

// place is a record of a topic.
type place struct {
	topic     string
	partition int32
	offset    int64
}

func (p place) String() string { return fmt.Sprintf("%s/%d/%d", p.topic, p.partition, p.offset) }

type partitionOf struct {
	topic     string
	partition int32
}

type groupPlace struct {
	group string
	partitionOf
}

func (p groupPlace) String() string { return fmt.Sprintf("%s of %s/%d", p.group, p.topic, p.partition) }

// commit is one committed offset of a group.
type commit struct {
	offset int64
	txn    txn
}

// version is where a decision left an application.
type version struct {
	number int64
	after  [16]byte
}

type appTxn struct {
	application string
	txn         txn
}

// checker is one check under way. It is owned by one goroutine.
type checker struct {
	log      *Log
	groups   Groups
	findings map[string]*Finding
	report   Report

	txns     map[txn]*ending
	decided  map[place]txn           // by a decision or a dead letter
	inputs   map[partitionOf][]int64 // committed offsets of what the reconciler decides
	commits  map[groupPlace][]commit
	versions map[string]version // last decision by application
	left     map[appTxn]version // last decision of a transaction by application
}

// held is a record whose transaction has not ended yet, with what to do when it commits.
type held struct {
	place  place
	epoch  int16
	commit func()
}

// topic reads one topic: it works out by the markers which records are committed, and compares with what a reader of
// committed records sees.
func (c *checker) topic(topic string) error {
	committed := make(map[int32][]int64)
	open := make(map[int32]map[int64][]held) // by partition and producer
	err := c.log.Uncommitted(topic, func(r *Record) error {
		c.report.Records++
		at := place{topic, r.Partition, r.Offset}
		if r.Marker != None {
			if byProducer := open[r.Partition]; byProducer != nil {
				c.end(topic, r.Producer, byProducer[r.Producer], r.Marker == Commit, committed)
				delete(byProducer, r.Producer)
			}
			return nil
		}
		effect := c.effect(topic, r, at)
		if effect == nil {
			return nil // of a group that is not ours
		}
		if !r.Transactional {
			committed[r.Partition] = append(committed[r.Partition], r.Offset)
			effect()
			return nil
		}
		if open[r.Partition] == nil {
			open[r.Partition] = make(map[int64][]held)
		}
		open[r.Partition][r.Producer] = append(open[r.Partition][r.Producer], held{at, r.Epoch, effect})
		return nil
	})
	if err != nil {
		return err
	}
	for _, byProducer := range open {
		for producer, records := range byProducer {
			for _, h := range records {
				c.transaction(txn{producer, h.epoch}).open = true
			}
			c.found(Open, "a transaction has no end in "+topic, txn{producer, records[0].epoch}.String()+" at "+records[0].place.String())
		}
	}
	if topic == OffsetsTopic {
		return nil // its readers are the coordinators
	}
	return c.compare(topic, committed)
}

// end settles the records of a producer that a marker ends. They take effect in the order in which they were written.
func (c *checker) end(topic string, producer int64, records []held, commit bool, committed map[int32][]int64) {
	for _, h := range records {
		e, p := c.transaction(txn{producer, h.epoch}), h.place.partition
		if !commit {
			e.aborted = true
			c.report.Aborted++
			continue
		}
		e.committed = true
		if topic == OffsetsTopic {
			e.offsets = true
		} else {
			e.wrote = h.place.String()
		}
		committed[p] = append(committed[p], h.place.offset)
		h.commit()
	}
}

// compare holds what the markers say against what a reader of committed records sees.
func (c *checker) compare(topic string, committed map[int32][]int64) error {
	seen := make(map[int32][]int64)
	if err := c.log.Committed(topic, func(partition int32, offset int64) { seen[partition] = append(seen[partition], offset) }); err != nil {
		return err
	}
	for p, offsets := range committed {
		slices.Sort(offsets)
		for _, o := range offsets {
			if _, ok := slices.BinarySearch(seen[p], o); !ok {
				c.found(Visible, "a committed record is not seen on "+topic, place{topic, p, o}.String())
			}
		}
	}
	for p, offsets := range seen {
		for i, o := range offsets {
			if _, ok := slices.BinarySearch(committed[p], o); !ok {
				c.found(Visible, "a record is seen on "+topic+" and its transaction did not commit", place{topic, p, o}.String())
			}
			if i > 0 && o <= offsets[i-1] {
				c.found(Visible, "offsets fall on "+topic, place{topic, p, o}.String())
			}
		}
	}
	return nil
}

func (c *checker) transaction(t txn) *ending {
	e := c.txns[t]
	if e == nil {
		e = &ending{}
		c.txns[t] = e
	}
	return e
}

// checkTransactions compares how a transaction ended in its partitions.
func (c *checker) checkTransactions() {
	ids := make([]txn, 0, len(c.txns))
	for t := range c.txns {
		ids = append(ids, t)
	}
	slices.SortFunc(ids, func(a, b txn) int { return cmp.Or(cmp.Compare(a.producer, b.producer), cmp.Compare(a.epoch, b.epoch)) })
	for _, t := range ids {
		e := c.txns[t]
		switch {
		case e.committed && (e.aborted || e.open):
			c.found(Torn, "a transaction is committed in one partition and not in another", t.String()+", which wrote to "+e.wrote)
		case e.committed:
			c.report.Committed++
		case e.aborted:
			c.report.AbortedTx++
		}
		if e.committed && e.wrote != "" && !e.offsets {
			c.found(Apart, "a transaction wrote and committed no offset", t.String()+", which wrote to "+e.wrote)
		}
	}
}
