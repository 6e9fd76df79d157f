package wire_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/sr"
	"pgregory.net/rapid"

	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/schemas"
)

// foreign registers a schema under an id that is not ours.
func foreign(t *testing.T, text string) *wire.Schemas {
	t.Helper()
	r, s := fake(t, wire.Config{})
	r.SeedSchema("elsewhere-value", 1, 4711, sr.Schema{Schema: text})
	return s
}

// encode writes a value by a schema text.
func encode(t *testing.T, text string, value map[string]any) []byte {
	t.Helper()
	s, err := schemas.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	codec, err := goavro.NewCodec(text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.Fields { // goavro has defaults only for some types
		if _, ok := value[s.Fields[i].Name]; !ok && s.Fields[i].Type.Kind == schemas.KindRecord {
			value[s.Fields[i].Name] = map[string]any{}
		}
	}
	payload, err := codec.BinaryFromNative(nil, value)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// TestNewerWriter: a publisher with a newer schema has a field, a symbol and a branch of knowledge that we have not, and
// has put its fields in another order.
func TestNewerWriter(t *testing.T) {
	t.Parallel()
	text := edit(
		t, "ScreeningEvent",
		`"fields": [`, `"fields": [ {"name": "locale", "type": ["null", "string"], "default": null}, {"name": "tags", "type": {"type": "map", "values": "int"}, "default": {}},`,
		`"receipt"`, `"receipt", "guess"`,
		`"name": "ScreeningResult",`, `"name": "ScreeningResult", "aliases": ["Verdict"],`,
		`"name": "Recommendation",`, `"name": "Recommendation", "aliases": [],`,
		`"none",`, `"none", "strongly_advance",`,
	)
	newer, err := schemas.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	ours, err := schemas.Get("ScreeningEvent")
	if err != nil {
		t.Fatal(err)
	}
	if err := schemas.CheckEvolution(ours, newer); err != nil {
		t.Fatalf("the newer schema is not compatible: %v", err)
	}
	s := foreign(t, text)
	payload := encode(t, text, map[string]any{
		"locale": goavro.Union("string", "de"), "tags": map[string]any{"a": 1}, "id": "1", "source": "/v", "type": "screening.completed",
		"system": "v", "occurred_at": int64(1767319445000006), "time_basis": "guess", "application_id": "gh-main/1",
		"result": goavro.Union("concord.ScreeningResult", map[string]any{
			"status": "complete", "recommendation": "strongly_advance", "reviewer_ids": []any{"r"},
			"score": goavro.Union("concord.Score", map[string]any{"value": 1.5}),
		}),
		"elements": []any{map[string]any{"name": "n", "value": "v"}},
	})
	got := wire.ScreeningEvent{OrderID: "of an earlier record", Result: &wire.ScreeningResult{ReportURL: "too"}}
	if err := s.Decode(t.Context(), frame(4711, payload), &got); err != nil {
		t.Fatal(err)
	}
	want := wire.ScreeningEvent{
		ID: "1", Source: "/v", Type: "screening.completed", System: "v", OccurredAt: 1767319445000006, TimeBasis: wire.TimeBasisEvent, ApplicationID: "gh-main/1",
		Result:   &wire.ScreeningResult{Status: wire.ResultStatusComplete, Recommendation: wire.RecommendationNone, ReviewerIDs: []string{"r"}, Score: &wire.Score{Value: 1.5}},
		Elements: []wire.Element{{Name: "n", Value: "v"}},
	}
	if diff := cmp.Diff(want, got, equal); diff != "" {
		t.Error(diff)
	}
}

// TestOlderWriter: a program of an earlier release has no actor, narrower numbers and fewer symbols.
func TestOlderWriter(t *testing.T) {
	t.Parallel()
	const older = `{"type":"record","name":"AtsChange","namespace":"concord","fields":[
		{"name":"application_id","type":"string"},{"name":"id","type":"string"},{"name":"source","type":"string"},{"name":"type","type":"string"},
		{"name":"system","type":"string"},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"}},
		{"name":"status","type":{"type":"enum","name":"ApplicationStatus","symbols":["unspecified","hired"],"default":"unspecified"},"default":"unspecified"},
		{"name":"revision","type":"int","default":0}]}`
	old, err := schemas.Parse([]byte(older))
	if err != nil {
		t.Fatal(err)
	}
	ours, err := schemas.Get("AtsChange")
	if err != nil {
		t.Fatal(err)
	}
	if err := schemas.CheckEvolution(old, ours); err != nil {
		t.Fatalf("ours is not compatible with the older schema: %v", err)
	}
	s := foreign(t, older)
	payload := encode(t, older, map[string]any{
		"application_id": "gh-main/1", "id": "1", "source": "/a", "type": "application.hired", "system": "gh-main", "occurred_at": int64(7), "status": "hired", "revision": 3,
	})
	var got wire.AtsChange
	if err := s.Decode(t.Context(), frame(4711, payload), &got); err != nil {
		t.Fatal(err)
	}
	want := wire.AtsChange{ApplicationID: "gh-main/1", ID: "1", Source: "/a", Type: "application.hired", System: "gh-main", OccurredAt: 7, Status: wire.ApplicationStatusHired, Revision: 3}
	if diff := cmp.Diff(want, got, equal); diff != "" {
		t.Error(diff)
	}
	if got.ContentDigest() != want.ContentDigest() {
		t.Error("the digest differs from that of the same content in our own schema")
	}
}

// TestForeignIDSameSchema: every record read through the writer's schema is the record read by generated code.
func TestForeignIDSameSchema(t *testing.T) {
	t.Parallel()
	for _, name := range schemas.Records() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := schemas.Text(name)
			if err != nil {
				t.Fatal(err)
			}
			s := foreign(t, text)
			rapid.Check(t, func(rt *rapid.T) {
				rec, got := drawRecord(rt, name), wire.NewRecord(name)
				if err := s.Decode(t.Context(), frame(4711, rec.AppendAvro(nil)), got); err != nil {
					rt.Fatal(err)
				}
				if diff := cmp.Diff(rec, got, equal); diff != "" {
					rt.Fatal(diff)
				}
			})
		})
	}
}

// TestUnusableWriters: a schema that is no version of the record is its id's fault, not the bytes'.
func TestUnusableWriters(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"another record":   `{"type":"record","name":"Thing","namespace":"concord","fields":[]}`,
		"fields missing":   `{"type":"record","name":"Control","namespace":"concord","fields":[{"name":"id","type":"string"}]}`,
		"another type":     edit(t, "Control", `"type": "string"`, `"type": "int"`),
		"no record":        `"string"`,
		"items of nothing": edit(t, "Control", `"fields": [`, `"fields": [ {"name": "n", "type": {"type": "array", "items": "null"}},`),
		"recursive":        edit(t, "Control", `"fields": [`, `"fields": [ {"name": "n", "type": ["null", "Control"]},`),
	} {
		s := foreign(t, text)
		if err := s.Decode(t.Context(), frame(4711, (&wire.Control{}).AppendAvro(nil)), new(wire.Control)); cause(err) != wire.CauseUnknownSchema {
			t.Errorf("%s: error = %v, want unknown_schema", name, err)
		}
	}
}

// TestMilliseconds: a writer that counts milliseconds is understood, as long as the time exists in microseconds.
func TestMilliseconds(t *testing.T) {
	t.Parallel()
	text := strings.ReplaceAll(edit(t, "Control"), "timestamp-micros", "timestamp-millis")
	s := foreign(t, text)
	var got wire.Control
	if err := s.Decode(t.Context(), frame(4711, (&wire.Control{OccurredAt: 5}).AppendAvro(nil)), &got); err != nil || got.OccurredAt != 5000 {
		t.Errorf("read %d, %v, want 5000", int64(got.OccurredAt), err)
	}
	if err := s.Decode(t.Context(), frame(4711, (&wire.Control{OccurredAt: 1 << 62}).AppendAvro(nil)), &got); cause(err) != wire.CauseUndecodable {
		t.Errorf("error = %v, want undecodable", err)
	}
}

// TestForeignNotUTF8: broken text is refused by either decoder.
func TestForeignNotUTF8(t *testing.T) {
	t.Parallel()
	s := foreign(t, edit(t, "Control"))
	payload := append([]byte{2, 0xff}, (&wire.Control{}).AppendAvro(nil)[1:]...)
	if err := s.Decode(t.Context(), frame(4711, payload), new(wire.Control)); cause(err) != wire.CauseUndecodable {
		t.Errorf("error = %v, want undecodable", err)
	}
}

// TestContentDigest: what the digest must and must not depend on.
func TestContentDigest(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ScreeningEvent", "AtsChange", "Control", "CandidateEvent", "Outcome"} {
		rapid.Check(t, func(rt *rapid.T) {
			rec, back := drawRecord(rt, name).(wire.Identified), wire.NewRecord(name).(wire.Identified)
			digest := rec.ContentDigest()
			if err := back.DecodeAvro(rec.AppendAvro(nil)); err != nil {
				rt.Fatal(err)
			}
			if back.ContentDigest() != digest {
				rt.Fatal("the digest changed on the way")
			}
			v := reflect.ValueOf(back).Elem()
			if at := v.FieldByName("ObservedAt"); at.IsValid() {
				at.SetInt(rapid.Int64().Draw(rt, "observed_at"))
				if back.ContentDigest() != digest {
					rt.Fatal("the digest depends on observed_at")
				}
			}
			// Any other field counts.
			i := rapid.IntRange(0, v.NumField()-1).Draw(rt, "field")
			if v.Type().Field(i).Name == "ObservedAt" {
				return
			}
			fresh := reflect.New(v.Field(i).Type()).Elem()
			fill(rt, fresh, 0)
			before := v.Field(i).Interface()
			v.Field(i).Set(fresh)
			if same := cmp.Equal(before, fresh.Interface(), equal); same != (back.ContentDigest() == digest) {
				rt.Fatalf("%s: content same = %v, digest same = %v", v.Type().Field(i).Name, same, !same)
			}
		})
	}
}

// TestContentDigestIsFixed: the digests stand in states and rings, so they may never change for the same content.
func TestContentDigestIsFixed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rec  wire.Identified
		want string
	}{
		{&wire.Control{}, "6e340b9cffb37a989ca544e6bb780a2c"}, // of one zero byte
		{sampleScreening(), "44b78bc291ca96146219b5b91c75f8e7"},
		{sampleChange(), "e7502e31b72677aa370287ecd64c9b13"},
	} {
		if got := tc.rec.ContentDigest().String(); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.rec.RecordName(), got, tc.want)
		}
	}
}
