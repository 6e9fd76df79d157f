package history

import (
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/concord-ats/concord/pkg/wire"
)

const letters = ".dlq"

// inputs are what the reconciler decides.
var inputs = []string{"screening.events", "ats.changes", "hiring.control", "ats.outcomes"}

// effect decodes what a record says and returns what to note once it is committed; nil for a record that is none of ours, as
// the coordinators keep the offsets of every group in one topic.
func (c *checker) effect(topic string, r *Record, at place) func() {
	t := txn{r.Producer, r.Epoch}
	switch {
	case topic == OffsetsTopic:
		return c.offset(r, at, t)
	case topic == "hiring.decisions":
		return c.decision(r, at, t)
	case topic == "hiring.state":
		return c.state(r, at, t)
	case strings.HasSuffix(topic, letters):
		return c.letter(r, at, t)
	case slices.Contains(inputs, topic):
		return func() {
			c.inputs[partitionOf{topic, at.partition}] = append(c.inputs[partitionOf{topic, at.partition}], at.offset)
		}
	}
	return func() {}
}

// decision notes which record it decides, and checks that it goes on where the one before ended.
func (c *checker) decision(r *Record, at place, t txn) func() {
	var d wire.Decision
	if !c.decode(r, at, &d) {
		return func() {}
	}
	application, input := d.ApplicationID, place{d.Topic, d.Partition, d.Offset}
	number, before, after := d.Version, [16]byte(d.StateBefore), [16]byte(d.StateAfter)
	return func() {
		if input.offset >= 0 {
			c.decide(input, t)
		}
		last := c.versions[application]
		want := last.number
		if before != after {
			want++
		}
		if number != want || before != last.after {
			c.found(Version, "a decision does not go on where the one before ended", application+" version "+strconv.FormatInt(number, 10)+" at "+at.String())
		}
		c.versions[application] = version{number, after}
		c.left[appTxn{application, t}] = version{number, after}
	}
}

// decide notes that a record came to its end.
func (c *checker) decide(input place, t txn) {
	if _, again := c.decided[input]; again {
		c.found(Twice, "a record was decided twice", input.String())
	}
	c.decided[input] = t
	c.report.Decided++
}

// state checks that a state is the one a decision of the same transaction left.
func (c *checker) state(r *Record, at place, t txn) func() {
	if len(r.Value) == 0 {
		return func() {}
	}
	var s wire.HiringState
	if !c.decode(r, at, &s) {
		return func() {}
	}
	application, sum := string(r.Key), sha256.Sum256(r.Value)
	is := version{s.Version, [16]byte(sum[:16])}
	return func() {
		if was, ok := c.left[appTxn{application, t}]; !ok || was != is {
			c.found(Version, "a state is not what a decision of its transaction left", application+" version "+strconv.FormatInt(is.number, 10)+" at "+at.String())
		}
	}
}

// letter notes the record that a dead letter is of, if a consumer refused it: what the gateway refuses never was one.
func (c *checker) letter(r *Record, at place, t txn) func() {
	const prefix = "concord.dlq."
	topic, group := r.Headers[prefix+"topic"], r.Headers[prefix+"group"]
	partition, err1 := strconv.ParseInt(r.Headers[prefix+"partition"], 10, 32)
	offset, err2 := strconv.ParseInt(r.Headers[prefix+"offset"], 10, 64)
	if err1 != nil || err2 != nil || topic == "" {
		c.found(Unread, "a dead letter does not say where it is from", at.String())
		return func() {}
	}
	if offset < 0 || group != c.groups.Reconciler {
		return func() {}
	}
	input := place{topic, int32(partition), offset}
	return func() { c.decide(input, t) }
}

// offset notes an offset that one of the groups committed.
func (c *checker) offset(r *Record, at place, t txn) func() {
	key := kmsg.NewOffsetCommitKey()
	if len(r.Key) < 2 || r.Key[0] != 0 || r.Key[1] > 1 || len(r.Value) == 0 {
		return nil // of a member, or the end of a group
	}
	value := kmsg.NewOffsetCommitValue()
	if key.ReadFrom(r.Key) != nil || value.ReadFrom(r.Value) != nil {
		c.found(Unread, "a committed offset cannot be read", at.String())
		return func() {}
	}
	if key.Group != c.groups.Reconciler && key.Group != c.groups.Writeback && key.Group != c.groups.KPI {
		return nil
	}
	to := groupPlace{key.Group, partitionOf{key.Topic, key.Partition}}
	inside := r.Transactional
	return func() {
		if !inside {
			c.found(Apart, "an offset was committed outside of a transaction", to.String())
		}
		c.report.Commits++
		c.commits[to] = append(c.commits[to], commit{value.Offset, t})
	}
}

func (c *checker) decode(r *Record, at place, into wire.Record) bool {
	_, avro, err := wire.Split(r.Value)
	if err == nil {
		err = into.DecodeAvro(avro)
	}
	if err != nil {
		c.found(Unread, "a record cannot be read", at.String())
	}
	return err == nil
}
