package wire_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/concord-ats/concord/pkg/wire"
)

// fuzz decodes anything as a record: no panic, and what can be read is what goavro reads, and can be written and read
// again.
func fuzz(f *testing.F, name string) {
	codec, _ := oracle(f, name)
	f.Add([]byte(nil))
	f.Add(wire.NewRecord(name).AppendAvro(nil))
	for seed := range 4 {
		f.Add(rapid.Custom(func(t *rapid.T) []byte { return drawRecord(t, name).AppendAvro(nil) }).Example(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rec := wire.NewRecord(name)
		if err := rec.DecodeAvro(data); err != nil {
			if cause(err) != wire.CauseUndecodable {
				t.Fatalf("error = %v, want undecodable", err)
			}
			return
		}
		ours := rec.AppendAvro(nil)
		again := wire.NewRecord(name)
		if err := again.DecodeAvro(ours); err != nil || !bytes.Equal(again.AppendAvro(nil), ours) {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if len(data) > 1<<16 { // goavro is held to blocks of that many items
			return
		}
		value, rest, err := codec.NativeFromBinary(data)
		if err != nil || len(rest) > 0 {
			t.Fatalf("goavro cannot read it: %v, %d bytes left", err, len(rest))
		}
		if theirs, err := codec.BinaryFromNative(nil, value); err != nil || !bytes.Equal(theirs, ours) {
			t.Fatalf("goavro reads something else: %v", err)
		}
	})
}

func FuzzDecodeScreeningEvent(f *testing.F) { fuzz(f, "ScreeningEvent") }

func FuzzDecodeAtsChange(f *testing.F) { fuzz(f, "AtsChange") }

func FuzzDecodeCandidateEvent(f *testing.F) { fuzz(f, "CandidateEvent") }

func FuzzDecodeControl(f *testing.F) { fuzz(f, "Control") }

func FuzzDecodeScreeningOrder(f *testing.F) { fuzz(f, "ScreeningOrder") }

func FuzzDecodeHiringState(f *testing.F) { fuzz(f, "HiringState") }

func FuzzDecodeDecision(f *testing.F) { fuzz(f, "Decision") }

func FuzzDecodeIncident(f *testing.F) { fuzz(f, "Incident") }

func FuzzDecodeCommand(f *testing.F) { fuzz(f, "Command") }

func FuzzDecodeOutcome(f *testing.F) { fuzz(f, "Outcome") }

func FuzzDecodeKpiWindow(f *testing.F) { fuzz(f, "KpiWindow") }

// FuzzFramed takes anything for a framed value: every error names its cause.
func FuzzFramed(f *testing.F) {
	s, err := wire.Open(wire.Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(nil))
	f.Add(s.Append(nil, sampleChange()))
	f.Fuzz(func(t *testing.T, value []byte) {
		var got wire.AtsChange
		if err := s.Decode(t.Context(), value, &got); err != nil && cause(err) == "" {
			t.Fatalf("error = %v, want a cause", err)
		}
	})
}
