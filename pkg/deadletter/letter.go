package deadletter

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Coord names one record of one topic.
type Coord struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// String returns topic/partition/offset.
func (c Coord) String() string {
	return c.Topic + "/" + strconv.FormatInt(int64(c.Partition), 10) + "/" + strconv.FormatInt(c.Offset, 10)
}

// ErrCoord reports coordinates that are not topic/partition/offset.
var ErrCoord = errors.New("want topic/partition/offset")

// ParseCoord reads what String wrote. Its error is ErrCoord.
func ParseCoord(s string) (Coord, error) {
	parts := strings.Split(s, "/")
	if len(parts) != 3 || parts[0] == "" {
		return Coord{}, fmt.Errorf("parse coordinates %q: %w", s, ErrCoord)
	}
	partition, err := strconv.ParseInt(parts[1], 10, 32)
	if err != nil || partition < 0 {
		return Coord{}, fmt.Errorf("parse partition of %q: %w", s, ErrCoord)
	}
	offset, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || offset < 0 {
		return Coord{}, fmt.Errorf("parse offset of %q: %w", s, ErrCoord)
	}
	return Coord{Topic: parts[0], Partition: int32(partition), Offset: offset}, nil
}

// Family tells whose headers describe a dead letter.
type Family string

// The families that are understood. FamilyNone is a record with none of them.
const (
	FamilyConcord Family = "concord"
	FamilyStreams Family = "kafka-streams"
	FamilyConnect Family = "kafka-connect"
	FamilyShare   Family = "share-group"
	FamilySpring  Family = "spring-kafka"
	FamilyNone    Family = "none"
)

// Letter is one dead letter, as its headers tell it. Texts are as found in the headers:
// for other families they may be free text.
type Letter struct {
	// At is where the letter stands.
	At Coord `json:"at"`
	// Family tells whose headers these are.
	Family Family `json:"family"`
	// Cause is why it was refused; for other families the exception's class.
	Cause string `json:"cause"`
	// Error is the class of the error.
	Error string `json:"error"`
	// Fingerprint groups alike failures.
	Fingerprint string `json:"fingerprint"`
	// Source is the refused record; its topic is empty, its partition and offset −1,
	// where the headers do not tell.
	Source Coord `json:"source"`
	// SourceTime is the refused record's own timestamp; zero where not known.
	SourceTime time.Time `json:"source_time,omitzero"`
	// DeadAt is when it was dead-lettered.
	DeadAt time.Time `json:"dead_at"`
	// Group is the consumer group that refused it; empty where not known.
	Group string `json:"group,omitempty"`
	// ObservedAt is when the event was first seen, in microseconds; 0 where not known.
	ObservedAt int64 `json:"observed_at_us,omitempty"`
	// Attempts is how often the record was dead-lettered, at least 1.
	Attempts int `json:"attempts"`
	// KeySize and ValueSize are in bytes, −1 for null.
	KeySize   int `json:"key_size"`
	ValueSize int `json:"value_size"`
	// Record is the dead letter itself. List leaves it nil to bound its memory.
	Record *kgo.Record `json:"-"`
}

// Original returns the refused record as it was: key, value and headers, without the
// describing ones. Topic and partition are those of the source; the offset is not set.
// It is nil if the letter has no Record.
func (l *Letter) Original() *kgo.Record {
	if l.Record == nil {
		return nil
	}
	return &kgo.Record{
		Topic:     l.Source.Topic,
		Partition: l.Source.Partition,
		Key:       l.Record.Key,
		Value:     l.Record.Value,
		Headers:   originalHeaders(l.Record.Headers, l.Family),
	}
}

// Read returns the letter that a record of a topic of dead letters is. It never fails:
// what the headers do not tell, or tell wrongly, is left out. rec becomes its Record.
func Read(rec *kgo.Record) Letter {
	l := Letter{
		At:        Coord{rec.Topic, rec.Partition, rec.Offset},
		Family:    FamilyNone,
		Source:    Coord{Partition: -1, Offset: -1},
		DeadAt:    rec.Timestamp,
		Attempts:  1,
		KeySize:   size(rec.Key),
		ValueSize: size(rec.Value),
		Record:    rec,
	}
	if _, ok := lastHeader(rec.Headers, HeaderCause); ok {
		readConcord(&l, rec.Headers)
	} else {
		readForeign(&l, rec.Headers)
	}
	if l.Fingerprint == "" {
		l.Fingerprint = Fingerprint(l.Cause, l.Source.Topic, l.Error)
	}
	return l
}

func readConcord(l *Letter, headers []kgo.RecordHeader) {
	text := func(key string) string {
		v, _ := lastHeader(headers, key)
		return v
	}
	l.Family = FamilyConcord
	l.Cause = text(HeaderCause)
	l.Error = text(HeaderError)
	l.Fingerprint = text(HeaderFingerprint)
	l.Group = text(HeaderGroup)
	l.Source.Topic = text(HeaderTopic)
	l.Source.setPartition(text(HeaderPartition))
	l.Source.setOffset(text(HeaderOffset))
	if ms, err := strconv.ParseInt(text(HeaderTimestamp), 10, 64); err == nil {
		l.SourceTime = time.UnixMilli(ms).UTC()
	}
	if us, err := strconv.ParseInt(text(HeaderLetterObserved), 10, 64); err == nil && us > 0 {
		l.ObservedAt = us
	}
	if n, err := strconv.ParseInt(text(HeaderAttempt), 10, 32); err == nil && n > 0 {
		l.Attempts = int(n)
	}
}

func (c *Coord) setPartition(s string) {
	if n, err := strconv.ParseInt(s, 10, 32); err == nil && n >= 0 {
		c.Partition = int32(n)
	}
}

func (c *Coord) setOffset(s string) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
		c.Offset = n
	}
}

func size(b []byte) int {
	if b == nil {
		return -1
	}
	return len(b)
}
