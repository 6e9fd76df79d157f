package deadletter

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Suffix is what the topic of dead letters adds to the name of its source.
const Suffix = ".dlq"

// Headers of a dead letter; doc.go tells what each holds.
const (
	headerPrefix          = "concord.dlq."
	HeaderCause           = headerPrefix + "cause"
	HeaderError           = headerPrefix + "error"
	HeaderFingerprint     = headerPrefix + "fingerprint"
	HeaderTopic           = headerPrefix + "topic"
	HeaderPartition       = headerPrefix + "partition"
	HeaderOffset          = headerPrefix + "offset"
	HeaderTimestamp       = headerPrefix + "timestamp"
	HeaderGroup           = headerPrefix + "group"
	HeaderLetterObserved  = headerPrefix + "observed_at"
	HeaderAttempt         = headerPrefix + "attempt"
	HeaderOriginalHeaders = headerPrefix + "original_headers"
)

// Headers of a replayed record. A consumer takes HeaderObservedAt, where present, for
// the time the event was first seen, instead of the record's own timestamp.
const (
	HeaderObservedAt    = "concord.observed_at"
	HeaderReplay        = "concord.replay"
	HeaderReplayAttempt = "concord.attempt"
)

// Topic returns the topic of dead letters of a source topic.
func Topic(source string) string { return source + Suffix }

// Record returns the dead letter of rec, to be produced by the caller within the
// transaction that commits rec's offset. The producer must honour the partition number
// that is set (kgo.ManualPartitioner, or a partitioner that does so for these topics).
//
// cause is a symbol of the caller's closed set. Of err, which may be nil, only the
// class is kept, see Class. group is the consumer group and now the time of refusal.
// Key, value and headers are shared with rec, not copied.
func Record(rec *kgo.Record, cause string, err error, group string, now time.Time) *kgo.Record {
	class := Class(err)
	cause = symbol(cause)
	headers := make([]kgo.RecordHeader, 0, len(rec.Headers)+11)
	headers = append(headers, rec.Headers...)
	add := func(key, value string) {
		headers = append(headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
	}
	add(HeaderCause, cause)
	add(HeaderError, class)
	add(HeaderFingerprint, Fingerprint(cause, rec.Topic, class))
	add(HeaderTopic, rec.Topic)
	add(HeaderPartition, strconv.FormatInt(int64(rec.Partition), 10))
	add(HeaderOffset, strconv.FormatInt(rec.Offset, 10))
	add(HeaderTimestamp, strconv.FormatInt(rec.Timestamp.UnixMilli(), 10))
	add(HeaderGroup, group)
	add(HeaderLetterObserved, strconv.FormatInt(ObservedAt(rec), 10))
	add(HeaderAttempt, strconv.FormatInt(attempts(rec)+1, 10))
	add(HeaderOriginalHeaders, strconv.Itoa(len(rec.Headers)))
	return &kgo.Record{
		Topic:     Topic(rec.Topic),
		Partition: rec.Partition,
		Key:       rec.Key,
		Value:     rec.Value,
		Headers:   headers,
		Timestamp: now,
	}
}

// ObservedAt returns when the event of a record was first seen here, in microseconds
// since the epoch: what a replay kept in HeaderObservedAt, else the record's timestamp.
// A header that is no positive decimal, or is later than the record itself, is ignored:
// nobody has seen an event after it arrived.
func ObservedAt(rec *kgo.Record) int64 {
	stamp := rec.Timestamp.UnixMicro()
	if v, ok := lastHeader(rec.Headers, HeaderObservedAt); ok {
		if t, err := strconv.ParseInt(v, 10, 64); err == nil && t > 0 && t < stamp {
			return t
		}
	}
	return stamp
}

// attempts returns how often a record was dead-lettered before.
func attempts(rec *kgo.Record) int64 {
	v, _ := lastHeader(rec.Headers, HeaderReplayAttempt)
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// Fingerprint groups alike failures: the same cause on the same topic with the same
// error class has the same 16 hexadecimal characters, whatever the record said.
func Fingerprint(cause, topic, class string) string {
	sum := sha256.Sum256([]byte(cause + "\x00" + topic + "\x00" + class))
	return hex.EncodeToString(sum[:8])
}

func lastHeader(headers []kgo.RecordHeader, key string) (string, bool) {
	for i := len(headers) - 1; i >= 0; i-- {
		if headers[i].Key == key {
			return string(headers[i].Value), true
		}
	}
	return "", false
}

// symbol keeps what may stand in a closed set of names and drops the rest, so that a
// caller's mistake cannot put payload into a header.
func symbol(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		case r == '_' || r == '.' || r == '*' || r == '/' || r == '-':
			return r
		default:
			return -1
		}
	}, s)
	if len(s) > 120 {
		s = s[:120]
	}
	return s
}
