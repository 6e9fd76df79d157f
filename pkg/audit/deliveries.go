package audit

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/concord-ats/concord/pkg/wire"
)

// delivery is one record of an input topic.
type delivery struct {
	offset      int64
	event       int32 // index into deliveries.events; -1 = it has no identity
	dispositons uint16
}

// event is one identity with what became of its deliveries.
type event struct {
	source, id string
	deliveries int32
	effective  int32 // dispositions other than duplicate
	duplicates int32
}

// arrival is one delivery in the order of arrival, for how wild the order was.
type arrival struct {
	app      *app
	at       int64 // append time
	seq      int32
	occurred wire.Micros
}

// deliveries indexes the records of the input topics.
type deliveries struct {
	parts    map[TopicPartition][]delivery
	events   []event
	byID     map[identity]int32
	arrivals []arrival
}

// readInputs indexes every delivery.
func (a *auditor) readInputs() error {
	a.in.parts, a.in.byID = make(map[TopicPartition][]delivery), make(map[identity]int32)
	for _, topic := range inputs {
		if err := a.ev.Records(topic, func(r *Record) error { a.input(r); return nil }); err != nil {
			return err
		}
	}
	return nil
}

func (a *auditor) input(r *Record) {
	tp := TopicPartition{r.Topic, r.Partition}
	d := delivery{offset: r.Offset, event: -1}
	source, id, application, occurred, basis, ok := envelope(r)
	if ok && source != "" && id != "" {
		key := identity{source, id}
		at, known := a.in.byID[key]
		if !known {
			at = int32(len(a.in.events))
			a.in.byID[key] = at
			a.in.events = append(a.in.events, event{source: source, id: id})
		}
		a.in.events[at].deliveries++
		d.event = at
		if p := a.world.records[key]; p != nil {
			p.got++
		}
		if r.Topic != topicOutcomes {
			a.rep.Deliveries++
			if known {
				a.rep.Duplicates++
			} else if basis != wire.TimeBasisReceipt && occurred != 0 {
				a.in.arrivals = append(a.in.arrivals, arrival{a.app(application), r.Time.UnixMilli(), int32(len(a.in.arrivals)), occurred})
			}
		}
	} else {
		a.rep.Deliveries++
	}
	a.in.parts[tp] = append(a.in.parts[tp], d)
}

// envelope reads identity and time of an input record; ok is false when it cannot be read.
func envelope(r *Record) (source, id, application string, occurred wire.Micros, basis wire.TimeBasis, ok bool) {
	_, avro, err := wire.Split(r.Value)
	if err != nil {
		return "", "", "", 0, 0, false
	}
	switch r.Topic {
	case topicScreening:
		var e wire.ScreeningEvent
		err = e.DecodeAvro(avro)
		source, id, application, occurred, basis = e.Source, e.ID, e.ApplicationID, e.OccurredAt, e.TimeBasis
	case topicChanges:
		var e wire.AtsChange
		err = e.DecodeAvro(avro)
		source, id, application, occurred, basis = e.Source, e.ID, e.ApplicationID, e.OccurredAt, e.TimeBasis
	case topicControl:
		var e wire.Control
		err = e.DecodeAvro(avro)
		source, id, application, occurred, basis = e.Source, e.ID, e.ApplicationID, e.OccurredAt, e.TimeBasis
	case topicOutcomes:
		var e wire.Outcome
		err = e.DecodeAvro(avro)
		source, id, application, occurred = "outcome", e.ID, e.ApplicationID, e.FinishedAt
	}
	return source, id, application, occurred, basis, err == nil
}

// find returns the delivery at coordinates.
func (d *deliveries) find(topic string, partition int32, offset int64) *delivery {
	list := d.parts[TopicPartition{topic, partition}]
	i, ok := slices.BinarySearchFunc(list, offset, func(x delivery, o int64) int { return cmp.Compare(x.offset, o) })
	if !ok {
		return nil
	}
	return &list[i]
}

// ended notes a disposition of a delivery; found is false when there is no such delivery.
func (a *auditor) ended(topic string, partition int32, offset int64, duplicate bool) (found bool) {
	d := a.in.find(topic, partition, offset)
	if d == nil {
		return false
	}
	d.dispositons++
	if d.event >= 0 {
		e := &a.in.events[d.event]
		if duplicate {
			e.duplicates++
		} else {
			e.effective++
		}
	}
	return true
}

// readLetters reads the dead letters of every source topic.
func (a *auditor) readLetters() error {
	var errs []error
	for _, source := range []string{topicScreening, topicChanges, topicControl, topicOutcomes, topicCommands, "candidate.events", topicDecisions, topicConflicts} {
		errs = append(errs, a.ev.Records(source+letterSuffix, func(r *Record) error { a.letter(source, r); return nil }))
	}
	return errors.Join(errs...)
}

// letter checks one dead letter against those the world expects.
func (a *auditor) letter(source string, r *Record) {
	header := map[string]string{}
	for _, h := range r.Headers {
		header[h.Key] = string(h.Value)
	}
	cause, topic := header["concord.dlq.cause"], header["concord.dlq.topic"]
	partition, err1 := strconv.ParseInt(header["concord.dlq.partition"], 10, 32)
	offset, err2 := strconv.ParseInt(header["concord.dlq.offset"], 10, 64)
	at := coord(r.Topic, r.Partition, r.Offset)
	if err1 != nil || err2 != nil || topic != source || cause == "" {
		a.found.add(I1Loss, "a dead letter does not say where it is from", at)
		return
	}
	a.rep.DeadLetters[cause]++
	if offset >= 0 && slices.Contains(inputs, topic) {
		if a.in.find(topic, int32(partition), offset) == nil {
			a.found.add(I1Loss, "a dead letter is of a record that is not there", at)
		} else {
			a.ended(topic, int32(partition), offset, false)
		}
	}
	sum := sha256.New()
	sum.Write(r.Key)
	sum.Write([]byte{0})
	sum.Write(r.Value)
	x := a.world.letters[hex.EncodeToString(sum.Sum(nil)[:16])]
	switch {
	case x == nil:
		a.found.add(I1Loss, "dead-lettered for "+cause+", and the world says it was good", at)
	case x.cause != cause:
		a.found.add(I1Loss, "dead-lettered for "+cause+" in place of "+x.cause, at)
		x.got++
	default:
		x.got++
	}
}

// checkDeliveries is I1 once everything has been read.
func (a *auditor) checkDeliveries() {
	for _, tp := range a.sortedParts() {
		committed, known := a.ev.Committed[a.opt.Reconciler][tp]
		for _, d := range a.in.parts[tp] {
			at := coord(tp.Topic, tp.Partition, d.offset)
			if d.event >= 0 {
				at = a.in.events[d.event].id + " at " + at
			}
			switch {
			case d.dispositons == 0 && known && d.offset < committed:
				a.found.add(I1Loss, "lost: a delivery on "+tp.Topic+" was consumed and never decided", at)
			case d.dispositons == 0:
				a.found.add(I8Lag, "a delivery on "+tp.Topic+" was not consumed", at)
			case d.dispositons > 1:
				a.found.add(I1Loss, "a delivery on "+tp.Topic+" was decided twice", at)
			case !known || d.offset >= committed:
				a.found.add(I6Atomic, "a delivery on "+tp.Topic+" is decided and its offset is not committed", at)
			}
		}
	}
	for i := range a.in.events {
		if e := &a.in.events[i]; e.effective == 0 && e.duplicates > 0 {
			a.found.add(I1Loss, "lost: every delivery of an event was counted as a duplicate", e.id)
		}
	}
	a.checkPlanned()
	a.disorder()
}

// checkPlanned compares what arrived with what the world sent.
func (a *auditor) checkPlanned() {
	for key, p := range a.world.records {
		switch {
		case p.got < p.want && !p.optional:
			a.found.add(I1Loss, "the world sent a record that is on no topic", key.id)
		case p.got > p.want:
			a.found.add(I1Loss, "a record of the world is on its topic more often than it was sent", key.id)
		}
	}
	for digest, x := range a.world.letters {
		id := x.id
		if id == "" {
			id = digest
		}
		switch {
		case x.got < x.want:
			a.found.add(I1Loss, "a record that had to be dead-lettered for "+x.cause+" was not", id)
		case x.got > x.want+a.opt.Resent[digest]:
			a.found.add(I1Loss, "a record was dead-lettered more often than it came, for "+x.cause, id)
		}
	}
}

func (a *auditor) sortedParts() []TopicPartition {
	parts := make([]TopicPartition, 0, len(a.in.parts))
	for tp := range a.in.parts {
		parts = append(parts, tp)
	}
	slices.SortFunc(parts, func(x, y TopicPartition) int {
		return cmp.Or(cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition))
	})
	return parts
}

// lateBy is how much later another event of the application must have happened for a delivery to count as late.
const lateBy = 10 * time.Minute

// disorder counts the deliveries that came after one that happened later.
func (a *auditor) disorder() {
	slices.SortFunc(a.in.arrivals, func(x, y arrival) int { return cmp.Or(cmp.Compare(x.at, y.at), cmp.Compare(x.seq, y.seq)) })
	newest := make(map[*app]wire.Micros, len(a.apps))
	for _, x := range a.in.arrivals {
		if n := newest[x.app]; x.occurred < n {
			a.rep.Reordered++
			if n-x.occurred > wire.Micros(lateBy.Microseconds()) {
				a.rep.Late++
			}
		}
		newest[x.app] = max(newest[x.app], x.occurred)
	}
	a.in.arrivals = nil
}

// checkOffsets looks at what the other groups have consumed.
func (a *auditor) checkOffsets() {
	for group, topics := range map[string][]string{
		a.opt.Writeback: {topicCommands}, a.opt.KPI: {topicDecisions, topicOutcomes, topicConflicts},
	} {
		if group == "" {
			continue
		}
		for _, topic := range topics {
			for partition, last := range a.rep.ends[topic] {
				if a.ev.Committed[group][TopicPartition{topic, partition}] <= last {
					a.found.add(I8Lag, group+" has not consumed all of "+topic, coord(topic, partition, last))
				}
			}
		}
	}
}
