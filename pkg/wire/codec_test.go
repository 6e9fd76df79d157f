package wire_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/linkedin/goavro/v2"
	"pgregory.net/rapid"

	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/schemas"
)

var equal = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateNaNs()}

func oracle(t testing.TB, name string) (*goavro.Codec, *schemas.Type) {
	t.Helper()
	s, err := schemas.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	codec, err := goavro.NewCodec(s.Plain())
	if err != nil {
		t.Fatal(err)
	}
	return codec, s
}

// TestSameBytesAsGoavro holds the generated code to goavro, both ways: our bytes are goavro's bytes, and what we and
// goavro read back is the record. The decoder is used again, so that nothing of an earlier record may shine through.
func TestSameBytesAsGoavro(t *testing.T) {
	t.Parallel()
	for _, name := range schemas.Records() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			codec, s := oracle(t, name)
			reused := wire.NewRecord(name)
			rapid.Check(t, func(t *rapid.T) {
				rec := drawRecord(t, name)
				ours := rec.AppendAvro(nil)
				theirs, err := codec.BinaryFromNative(nil, native(s, reflect.ValueOf(rec).Elem()))
				if err != nil {
					t.Fatalf("goavro cannot encode: %v", err)
				}
				if !bytes.Equal(ours, theirs) {
					t.Fatalf("bytes differ:\nours   %x\ngoavro %x", ours, theirs)
				}
				if err := reused.DecodeAvro(theirs); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(rec, reused, equal); diff != "" {
					t.Fatal(diff)
				}
				back, rest, err := codec.NativeFromBinary(ours)
				if err != nil || len(rest) != 0 {
					t.Fatalf("goavro cannot decode: %v, %d bytes left", err, len(rest))
				}
				again, err := codec.BinaryFromNative(nil, back)
				if err != nil || !bytes.Equal(again, ours) {
					t.Fatalf("goavro reads something else: %v", err)
				}
			})
		})
	}
}

// TestDamagedInput cuts and flips valid payloads: no panic, and an error that names its cause or a valid record.
func TestDamagedInput(t *testing.T) {
	t.Parallel()
	for _, name := range schemas.Records() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				whole := drawRecord(t, name).AppendAvro(nil)
				into := wire.NewRecord(name)
				cut := rapid.IntRange(0, len(whole)-1).Draw(t, "cut")
				if err := into.DecodeAvro(whole[:cut]); cause(err) != wire.CauseUndecodable {
					t.Fatalf("cut at %d of %d: %v", cut, len(whole), err)
				}
				if err := into.DecodeAvro(append(bytes.Clone(whole), 0)); cause(err) != wire.CauseUndecodable {
					t.Fatalf("a trailing byte: %v", err)
				}
				flipped := bytes.Clone(whole)
				flipped[rapid.IntRange(0, len(whole)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
				if err := into.DecodeAvro(flipped); err != nil && cause(err) != wire.CauseUndecodable {
					t.Fatalf("flipped: %v", err)
				}
				if err := into.DecodeAvro(whole); err != nil {
					t.Fatalf("whole again: %v", err)
				}
			})
		})
	}
}

func cause(err error) wire.Cause {
	var e *wire.Error
	if errors.As(err, &e) {
		return e.Cause
	}
	return ""
}

// zigzag appends an Avro long.
func zigzag(b []byte, v int64) []byte { return binary.AppendUvarint(b, uint64(v<<1)^uint64(v>>63)) }

// upToArray returns a candidate event up to its application_ids array.
func upToArray() []byte {
	b := bytes.Repeat([]byte{0}, 4) // id, source, type, system
	b = append(b, 0, 0, 0)          // occurred_at, observed_at, time_basis
	return append(b, 0, 0)          // candidate_id, new_candidate_id
}

func TestBlocks(t *testing.T) {
	t.Parallel()
	one := []byte{2, 'x'}
	for _, tc := range []struct {
		name  string
		array []byte
		want  int // items; -1 = error
	}{
		{"empty", []byte{0}, 0},
		{"two blocks", append(append(append(zigzag(nil, 1), one...), append(zigzag(nil, 1), one...)...), 0), 2},
		{"block with its size", append(append(zigzag(zigzag(nil, -1), 2), one...), 0), 1},
		{"size beyond the input", append(append(zigzag(zigzag(nil, -1), 1000), one...), 0), -1},
		{"negative size", append(append(zigzag(zigzag(nil, -1), -2), one...), 0), -1},
		{"more items than bytes", append(zigzag(nil, 1<<20), 0), -1},
		{"least count", zigzag(nil, math.MinInt64), -1},
		{"greatest count", zigzag(nil, math.MaxInt64), -1},
		{"greatest count, negative", zigzag(zigzag(nil, -math.MaxInt64), 0), -1},
		{"no end", append(zigzag(nil, 1), one...), -1},
		{"negative length", append(zigzag(nil, 1), zigzag(nil, -1)...), -1},
		{"greatest length", append(zigzag(nil, 1), zigzag(nil, math.MaxInt64)...), -1},
		{"not UTF-8", append(zigzag(nil, 1), 2, 0xff, 0), -1},
	} {
		payload := append(append(upToArray(), tc.array...), 0, 0, 0) // anonymized_fields, contacts, contact
		var got wire.CandidateEvent
		err := got.DecodeAvro(payload)
		switch {
		case tc.want < 0 && cause(err) != wire.CauseUndecodable:
			t.Errorf("%s: error = %v, want undecodable", tc.name, err)
		case tc.want >= 0 && (err != nil || len(got.ApplicationIDs) != tc.want):
			t.Errorf("%s: %d items, error %v, want %d", tc.name, len(got.ApplicationIDs), err, tc.want)
		}
	}
}

func TestScalarsOutOfRange(t *testing.T) {
	t.Parallel()
	head := bytes.Repeat([]byte{0}, 4) // id, source, type, system
	for name, tail := range map[string][]byte{
		"number of eleven bytes": append(bytes.Repeat([]byte{0x80}, 10), 1),
		"number past 64 bits":    append(bytes.Repeat([]byte{0xff}, 9), 2),
		"no such symbol":         {0, 0, 8},
		"negative symbol":        {0, 0, 1},
	} {
		var got wire.CandidateEvent
		if err := got.DecodeAvro(append(bytes.Clone(head), tail...)); cause(err) != wire.CauseUndecodable {
			t.Errorf("%s: error = %v, want undecodable", name, err)
		}
	}
	order := (&wire.ScreeningEvent{}).AppendAvro(nil)
	// attempt, result and elements are the last three bytes of the zero record.
	order = append(zigzag(order[:len(order)-3:len(order)-3], math.MaxInt32+1), 0, 0)
	var got wire.ScreeningEvent
	if err := got.DecodeAvro(order); cause(err) != wire.CauseUndecodable {
		t.Errorf("int past 32 bits: error = %v, want undecodable", err)
	}
}

// TestWhatIsWrittenCanBeRead: neither broken text nor a number that is no symbol makes a record nobody can read.
func TestWhatIsWrittenCanBeRead(t *testing.T) {
	t.Parallel()
	in := wire.AtsChange{ID: "a\xffb", Status: 200}
	var out wire.AtsChange
	if err := out.DecodeAvro(in.AppendAvro(nil)); err != nil {
		t.Fatal(err)
	}
	if out.ID != "a\uFFFDb" || out.Status != wire.ApplicationStatusUnspecified {
		t.Errorf("read %q, %v", out.ID, out.Status)
	}
}

// TestBomb feeds counts that ask for hundreds of megabytes in five bytes, and measures what is taken.
func TestBomb(t *testing.T) {
	bomb := append(upToArray(), binary.AppendUvarint(nil, uint64(50_000_000)<<1)...)
	var into wire.CandidateEvent
	if got := allocated(func() {
		if err := into.DecodeAvro(bomb); cause(err) != wire.CauseUndecodable {
			t.Errorf("error = %v, want undecodable", err)
		}
	}); got > 64<<10 {
		t.Errorf("generated code took %d bytes for %d", got, len(bomb))
	}
	// A payload of the greatest size, and an array with the most items it can hold: a small multiple of its length.
	full := bytes.Repeat([]byte{0}, wire.MaxValueSize)
	var state wire.HiringState
	if got := allocated(func() {
		if err := state.DecodeAvro(full); cause(err) != wire.CauseUndecodable {
			t.Errorf("error = %v, want undecodable", err)
		}
	}); got > 4*wire.MaxValueSize {
		t.Errorf("generated code took %d bytes for %d", got, len(full))
	}
	crowd := append(upToArray(), zigzag(nil, wire.MaxValueSize-64)...)
	crowd = append(crowd, make([]byte, wire.MaxValueSize-64)...)
	if got := allocated(func() { _ = into.DecodeAvro(crowd) }); got > 32*wire.MaxValueSize {
		t.Errorf("generated code took %d bytes for %d", got, len(crowd))
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestFewAllocations: a decode into a used record costs one string of the payload.
func TestFewAllocations(t *testing.T) {
	payload := sampleScreening().AppendAvro(nil)
	into := &wire.ScreeningEvent{}
	if n := testing.AllocsPerRun(100, func() {
		if err := into.DecodeAvro(payload); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("decode takes %v allocations, want 1", n)
	}
	buf := make([]byte, 0, 2*len(payload))
	if n := testing.AllocsPerRun(100, func() { buf = into.AppendAvro(buf[:0]) }); n > 0 {
		t.Errorf("encode takes %v allocations, want none", n)
	}
	if n := testing.AllocsPerRun(100, func() { into.ContentDigest() }); n > 0 {
		t.Errorf("digest takes %v allocations, want none", n)
	}
}

// TestJSON: what JSON shows can be read back, for every record.
func TestJSON(t *testing.T) {
	t.Parallel()
	for _, name := range schemas.Records() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				rec, back := drawRecord(t, name), wire.NewRecord(name)
				text, err := json.Marshal(rec)
				if err != nil {
					t.Fatal(err)
				}
				if err := json.Unmarshal(text, back); err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				if diff := cmp.Diff(rec, back, equal); diff != "" {
					t.Fatal(diff)
				}
			})
		})
	}
}

func TestJSONForms(t *testing.T) {
	t.Parallel()
	var e wire.ScreeningEvent
	const in = `{"id":"1","occurred_at":"2026-01-02T03:04:05.000006+01:00","observed_at":1767319445000006,"time_basis":"fetch","result":{"recommendation":"advance"}}`
	if err := json.Unmarshal([]byte(in), &e); err != nil {
		t.Fatal(err)
	}
	if e.ObservedAt != 1767319445000006 || e.OccurredAt != e.ObservedAt || e.TimeBasis != wire.TimeBasisFetch || e.Result.Recommendation != wire.RecommendationAdvance {
		t.Errorf("read %+v", e)
	}
	text, err := json.Marshal(&e)
	const want = `{"id":"1","occurred_at":"2026-01-02T02:04:05.000006Z","observed_at":"2026-01-02T02:04:05.000006Z","time_basis":"fetch","result":{"recommendation":"advance"}}`
	if err != nil || string(text) != want {
		t.Errorf("wrote %s, %v", text, err)
	}
	for _, bad := range []string{`{"time_basis":"never"}`, `{"occurred_at":"yesterday"}`, `{"occurred_at":1.5}`, `{"occurred_at":true}`} {
		if err := json.Unmarshal([]byte(bad), &e); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
	d := wire.Digest{1, 2, 0xff}
	if text, err := json.Marshal(d); err != nil || string(text) != `"0102ff00000000000000000000000000"` {
		t.Errorf("digest %s, %v", text, err)
	}
	for _, bad := range []string{`"00"`, `"zz02ff00000000000000000000000000"`} {
		if err := json.Unmarshal([]byte(bad), &d); err == nil {
			t.Errorf("digest %s: no error", bad)
		}
	}
	if text, err := json.Marshal(wire.Micros(0)); err != nil || string(text) != `""` {
		t.Errorf("no time is %s, %v", text, err)
	}
}
