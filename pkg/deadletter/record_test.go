package deadletter

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	arrived = time.UnixMilli(1_700_000_000_123).UTC()
	refused = time.UnixMilli(1_700_000_009_000).UTC()
)

type schemaError struct{ payload string }

func (e schemaError) Error() string      { return "schema of " + e.payload }
func (e schemaError) ErrorClass() string { return "schema_not_found" }

func source(key, value []byte) *kgo.Record {
	return &kgo.Record{
		Topic: "ats.changes", Partition: 3, Offset: 42, Key: key, Value: value, Timestamp: arrived,
		Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte("e-1")}, {Key: "blob", Value: []byte{0xff, 0}}, {Key: "null"}, {Key: "ce_id", Value: []byte("twice")}},
	}
}

func TestRecordKeepsBytes(t *testing.T) {
	for name, tt := range map[string]struct{ key, value []byte }{
		"binary":     {[]byte{0, 0xff, 'k'}, []byte{0, 0, 0, 0, 9, 0xfe}},
		"null key":   {nil, []byte("v")},
		"null value": {[]byte("k"), nil},
		"both null":  {nil, nil},
		"empty":      {[]byte{}, []byte{}},
		"two MiB":    {[]byte("k"), bytes.Repeat([]byte{7}, 2<<20)},
	} {
		t.Run(name, func(t *testing.T) {
			src := source(tt.key, tt.value)
			got := Record(src, "bad_framing", nil, "reconciler", refused)
			if got.Topic != "ats.changes.dlq" || got.Partition != 3 || !got.Timestamp.Equal(refused) {
				t.Errorf("goes to %s/%d at %s", got.Topic, got.Partition, got.Timestamp)
			}
			l := Read(got)
			back := l.Original()
			for what, pair := range map[string][2][]byte{"key": {src.Key, back.Key}, "value": {src.Value, back.Value}} {
				if !bytes.Equal(pair[0], pair[1]) || (pair[0] == nil) != (pair[1] == nil) {
					t.Errorf("%s changed", what)
				}
			}
			if diff := cmp.Diff(src.Headers, back.Headers); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRecordTellsTheFacts(t *testing.T) {
	rec := Record(source([]byte("gh-main/1"), []byte("x")), "unknown_schema", fmt.Errorf("decode: %w", schemaError{"Jane"}), "reconciler", refused)
	rec.Offset = 5
	got := Read(rec)
	got.Record = nil
	want := Letter{
		At: Coord{"ats.changes.dlq", 3, 5}, Family: FamilyConcord, Cause: "unknown_schema", Error: "schema_not_found",
		Fingerprint: Fingerprint("unknown_schema", "ats.changes", "schema_not_found"),
		Source:      Coord{"ats.changes", 3, 42}, SourceTime: arrived, DeadAt: refused, Group: "reconciler",
		ObservedAt: arrived.UnixMicro(), Attempts: 1, KeySize: 9, ValueSize: 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNoPayloadInHeaders(t *testing.T) {
	_, numErr := strconv.Atoi("jane.doe@example.org")
	errs := []error{
		numErr, fmt.Errorf("field %q: %w", "jane.doe@example.org", numErr), errors.New("jane.doe@example.org"),
		schemaError{"jane.doe@example.org"},
		errors.Join(fmt.Errorf("jane.doe@example.org"), numErr),
		json.Unmarshal([]byte("jane.doe@example.org"), new(int)),
	}
	for _, err := range errs {
		for _, h := range Record(source(nil, nil), "undecodable", err, "g", refused).Headers[4:] {
			if !strings.HasPrefix(h.Key, "concord.dlq.") || strings.Contains(string(h.Value), "jane") {
				t.Errorf("%T: header %s = %s", err, h.Key, h.Value)
			}
		}
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{nil, "none"},
		{errs[0], "*strconv.NumError"},
		{errs[1], "*strconv.NumError"},
		{errs[2], "error"},
		{errs[3], "schema_not_found"},
		{errs[5], "*json.SyntaxError"},
	} {
		if got := Class(tt.err); got != tt.want {
			t.Errorf("class of %T = %s, want %s", tt.err, got, tt.want)
		}
	}
	if got := symbol("bad framing: Jane\n"); got != "badframingJane" {
		t.Errorf("symbol = %q", got)
	}
}

func TestFingerprintGroupsAlikeFailures(t *testing.T) {
	print := func(topic, cause string, err error, value string) string {
		src := source([]byte(value), []byte(value))
		src.Topic = topic
		l := Read(Record(src, cause, err, "g", refused))
		return l.Fingerprint
	}
	base := print("a", "undecodable", schemaError{"1"}, "1")
	if print("a", "undecodable", schemaError{"2"}, "2") != base {
		t.Error("values tell alike failures apart")
	}
	for _, other := range []string{print("b", "undecodable", schemaError{"1"}, "1"), print("a", "oversize", schemaError{"1"}, "1"), print("a", "undecodable", nil, "1")} {
		if other == base {
			t.Error("different failures share a fingerprint")
		}
	}
}

func TestFirstSightSurvivesReplays(t *testing.T) {
	rec := source([]byte("k"), []byte("v"))
	for attempt := 1; attempt <= 3; attempt++ {
		letter := Read(Record(rec, "undecodable", nil, "g", refused))
		if letter.Attempts != attempt || letter.ObservedAt != arrived.UnixMicro() {
			t.Fatalf("attempt %d: %d attempts, observed %d", attempt, letter.Attempts, letter.ObservedAt)
		}
		rec = replayRecord(&letter, refused.Add(time.Duration(attempt)*time.Hour))
		if len(rec.Headers) != 4+3 {
			t.Fatalf("attempt %d: %d headers", attempt, len(rec.Headers))
		}
	}
	for _, bad := range []string{"", "x", "-5", "9999999999999999"} {
		r := source(nil, nil)
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: HeaderObservedAt, Value: []byte(bad)})
		if got := ObservedAt(r); got != arrived.UnixMicro() {
			t.Errorf("observed_at %q believed: %d", bad, got)
		}
	}
}

// A record that carries our own names is described rightly and comes back as it was.
func TestForgedHeadersChangeNothing(t *testing.T) {
	src := source([]byte("k"), []byte("v"))
	for _, name := range []string{HeaderTopic, HeaderOriginalHeaders, HeaderCause, "__streams.errors.topic", "kafka_dlt-original-topic"} {
		src.Headers = append(src.Headers, kgo.RecordHeader{Key: name, Value: []byte("1")})
	}
	l := Read(Record(src, "undecodable", nil, "g", refused))
	if l.Source != (Coord{"ats.changes", 3, 42}) || l.Cause != "undecodable" || l.Family != FamilyConcord {
		t.Errorf("%+v", l)
	}
	if diff := cmp.Diff(src.Headers, l.Original().Headers); diff != "" {
		t.Error(diff)
	}
}

func TestForeignFamilies(t *testing.T) {
	text := func(kv ...string) []kgo.RecordHeader {
		hs := []kgo.RecordHeader{{Key: "own", Value: []byte("1")}}
		for pair := range slices.Chunk(kv, 2) {
			hs = append(hs, kgo.RecordHeader{Key: pair[0], Value: []byte(pair[1])})
		}
		return hs
	}
	want := Coord{"orders", 2, 41}
	for family, tt := range map[Family]struct {
		headers []kgo.RecordHeader
		cause   string
	}{
		FamilyStreams: {text("__streams.errors.exception", "X", "__streams.errors.topic", "orders", "__streams.errors.partition", "2",
			"__streams.errors.offset", "41", "__streams.errors.stacktrace", "at …"), "X"},
		FamilyConnect: {text("__connect.errors.topic", "orders", "__connect.errors.partition", "2", "__connect.errors.offset", "41",
			"__connect.errors.exception.class.name", "X", "__connect.errors.connector.name", "g"), "X"},
		FamilyShare: {text("__dlq.errors.topic", "orders", "__dlq.errors.partition", "2", "__dlq.errors.offset", "41",
			"__dlq.errors.group", "g", "__dlq.errors.delivery.count", "5", "__dlq.errors.message", "X"), "X"},
		FamilySpring: {text("kafka_dlt-original-topic", "orders", "kafka_dlt-exception-fqcn", "X",
			"kafka_dlt-original-partition", string(binary.BigEndian.AppendUint32(nil, 2)),
			"kafka_dlt-original-offset", string(binary.BigEndian.AppendUint64(nil, 41)),
			"kafka_dlt-original-timestamp", string(binary.BigEndian.AppendUint64(nil, uint64(arrived.UnixMilli())))), "X"},
	} {
		l := Read(&kgo.Record{Topic: "orders.DLT", Headers: tt.headers, Timestamp: refused})
		if l.Family != family || l.Source != want || l.Cause != tt.cause || l.Fingerprint == "" {
			t.Errorf("%s: %+v", family, l)
		}
		if hs := l.Original().Headers; len(hs) != 1 || hs[0].Key != "own" {
			t.Errorf("%s: original headers %v", family, hs)
		}
	}
	l := Read(&kgo.Record{Topic: "x.dlq", Timestamp: refused, Headers: text()})
	if l.Family != FamilyNone || l.Source != (Coord{"", -1, -1}) {
		t.Errorf("no family: %+v", l)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("concord.dlq.cause", []byte("x"), "concord.dlq.original_headers", []byte("99999999999"))
	f.Add("kafka_dlt-original-offset", []byte{1, 2, 3}, "kafka_dlt-original-partition", []byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, k1 string, v1 []byte, k2 string, v2 []byte) {
		l := Read(&kgo.Record{Topic: "a.dlq", Timestamp: refused, Headers: []kgo.RecordHeader{{Key: k1, Value: v1}, {Key: k2, Value: v2}}})
		if l.Source.Partition < -1 || l.Source.Offset < -1 || l.Attempts < 1 || l.Original() == nil {
			t.Fatalf("%+v", l)
		}
	})
}

func TestParseCoord(t *testing.T) {
	if c, err := ParseCoord("ats.changes.dlq/3/42"); err != nil || c != (Coord{"ats.changes.dlq", 3, 42}) {
		t.Errorf("%v, %v", c, err)
	}
	for _, bad := range []string{"", "a", "a/1", "a/x/1", "a/1/x", "/1/1", "a/-1/1", "a/1/-1", "a/1/1/1", "a/99999999999/1"} {
		if _, err := ParseCoord(bad); !errors.Is(err, ErrCoord) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
