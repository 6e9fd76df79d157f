package deadletter

import (
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// family describes where others keep what a letter needs. An empty name is a fact the
// family does not tell.
type family struct {
	name                     Family
	prefix                   string
	topic, partition, offset string
	cause, group, timestamp  string
	attempts                 string
	binary                   bool // numbers are big-endian integers, not text
}

// families stands in the order in which they are tried.
var families = []family{
	{
		name: FamilyStreams, prefix: "__streams.errors.",
		topic: "topic", partition: "partition", offset: "offset", cause: "exception",
	},
	{
		name: FamilyConnect, prefix: "__connect.errors.",
		topic: "topic", partition: "partition", offset: "offset",
		cause: "exception.class.name", group: "connector.name",
	},
	{
		name: FamilyShare, prefix: "__dlq.errors.",
		topic: "topic", partition: "partition", offset: "offset",
		cause: "message", group: "group", attempts: "delivery.count",
	},
	{
		name: FamilySpring, prefix: "kafka_dlt-",
		topic: "original-topic", partition: "original-partition", offset: "original-offset",
		cause: "exception-fqcn", group: "original-consumer-group", timestamp: "original-timestamp",
		binary: true,
	},
}

func readForeign(l *Letter, headers []kgo.RecordHeader) {
	for _, f := range families {
		if !hasPrefix(headers, f.prefix) {
			continue
		}
		get := func(name string) string {
			if name == "" {
				return ""
			}
			v, _ := lastHeader(headers, f.prefix+name)
			return v
		}
		number := get
		if f.binary {
			number = func(name string) string { return bigEndian(get(name)) }
		}
		l.Family = f.name
		l.Cause = get(f.cause)
		l.Error = l.Cause
		l.Group = get(f.group)
		l.Source.Topic = get(f.topic)
		l.Source.setPartition(number(f.partition))
		l.Source.setOffset(number(f.offset))
		if ms, err := strconv.ParseInt(number(f.timestamp), 10, 64); err == nil {
			l.SourceTime = time.UnixMilli(ms).UTC()
		}
		if n, err := strconv.ParseInt(number(f.attempts), 10, 32); err == nil && n > 0 {
			l.Attempts = int(n)
		}
		return
	}
}

// bigEndian turns a binary integer of 4 or 8 bytes into its decimal text; anything else
// into no text.
func bigEndian(s string) string {
	switch len(s) {
	case 4:
		return strconv.FormatInt(int64(int32(binary.BigEndian.Uint32([]byte(s)))), 10)
	case 8:
		return strconv.FormatInt(int64(binary.BigEndian.Uint64([]byte(s))), 10)
	default:
		return ""
	}
}

func hasPrefix(headers []kgo.RecordHeader, prefix string) bool {
	for _, h := range headers {
		if strings.HasPrefix(h.Key, prefix) {
			return true
		}
	}
	return false
}

// originalHeaders returns the headers the refused record had. Our own block stands last
// and says how many came before it, so that even a record that carried such names itself
// gets back exactly what it had; other families are told by their prefix.
func originalHeaders(headers []kgo.RecordHeader, f Family) []kgo.RecordHeader {
	prefix := ""
	switch f {
	case FamilyConcord:
		v, _ := lastHeader(headers, HeaderOriginalHeaders)
		if n, err := strconv.Atoi(v); err == nil && n >= 0 && n <= len(headers) {
			return headers[:n:n]
		}
		prefix = headerPrefix
	case FamilyNone:
		return headers
	default:
		for _, known := range families {
			if known.name == f {
				prefix = known.prefix
			}
		}
	}
	var kept []kgo.RecordHeader
	for _, h := range headers {
		if !strings.HasPrefix(h.Key, prefix) {
			kept = append(kept, h)
		}
	}
	return kept
}
