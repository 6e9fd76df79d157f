package wire_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/concord-ats/concord/pkg/wire"
)

func sampleScreening() *wire.ScreeningEvent {
	return &wire.ScreeningEvent{
		ID: "evt-000123", Source: "/vendors/hirevue-main", Type: "screening.completed", System: "hirevue-main",
		OccurredAt: 1767323045000006, ObservedAt: 1767323047000006, ApplicationID: "gh-main/265277", OrderID: "ord-77", Attempt: 1,
		Result: &wire.ScreeningResult{
			Status: wire.ResultStatusComplete, Revision: 1, FinishedAt: 1767323044000000, Recommendation: wire.RecommendationAdvance,
			Score: &wire.Score{Value: 82.5, Max: 100, Scale: "scaled"}, ReviewerIDs: []string{"r-12"}, ReportURL: "https://vendor.example/r/77",
			Competencies: []wire.Competency{{Name: "reasoning", Value: 4, Max: 5}, {Name: "writing", Value: 3.5, Max: 5}},
		},
		Elements: []wire.Element{{Name: "language", Value: "en"}},
	}
}

func sampleChange() *wire.AtsChange {
	return &wire.AtsChange{
		ID: "wh-99887766", Source: "/ats/gh-main", Type: "application.stage_changed", System: "gh-main", OccurredAt: 1767323045000006,
		ObservedAt: 1767323046000000, ApplicationID: "gh-main/265277", CandidateID: "59724", Requisition: wire.Requisition{ID: "371417", Type: "hourly", Region: "eu"},
		Stage: wire.NativeStage{ID: "71416", Name: "Assessment"}, PreviousStage: wire.NativeStage{ID: "1002", Name: "Triage"},
		Status: wire.ApplicationStatusActive, Actor: wire.Actor{Kind: wire.ActorKindHuman, ID: "u-7"},
	}
}

func sampleState(tail int) *wire.HiringState {
	s := &wire.HiringState{
		ApplicationID: "gh-main/265277", Version: 12, UpdatedAt: 1767323045000006, System: "gh-main", DesiredRevision: 3,
		Head: wire.Fold{
			Stage: "interviews", EnteredAt: 1767323045000006, EnteredBy: wire.AuthorityVendor, EnteredEvent: "evt-000123", LevelStage: "71416",
			LevelStatus: wire.ApplicationStatusActive, CandidateID: "59724", Requisition: wire.Requisition{ID: "371417", Type: "hourly", Region: "eu"},
			Observations: []wire.Observation{
				{Facet: "stage", Values: []string{"71416"}, Origin: &wire.Origin{System: "gh-main", At: 1767323045000006, EventID: "wh-99887766"}},
				{Facet: "status", Values: []string{"active"}, Origin: &wire.Origin{System: "gh-main", At: 1767323045000006, EventID: "wh-99887766"}},
			},
		},
		Desired: wire.Tuple{Stage: "1004", Elements: []wire.Element{{Name: "screening_score", Value: "0.825"}}},
	}
	for i := range tail {
		s.Tail = append(s.Tail, wire.TailEntry{
			Source: "/ats/gh-main", ID: fmt.Sprintf("wh-%d", i), Type: wire.EventTypeApplicationStageChanged, System: "gh-main",
			OccurredAt: 1767323045000006, ObservedAfter: 999994, ATS: &wire.AtsWord{Stage: "71416", Status: wire.ApplicationStatusActive},
		})
		s.Ring = append(s.Ring, wire.RingEntry{Key: wire.ShortDigest{byte(i)}, Digest: wire.ShortDigest{byte(i), 1}})
	}
	return s
}

func samples() []struct {
	name string
	rec  wire.Record
} {
	return []struct {
		name string
		rec  wire.Record
	}{
		{"ScreeningEvent", sampleScreening()},
		{"AtsChange", sampleChange()},
		{"HiringState/tail=4", sampleState(4)},
		{"HiringState/tail=64", sampleState(64)},
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, s := range samples() {
		payload := s.rec.AppendAvro(nil)
		b.Run(s.name+"/generated", func(b *testing.B) {
			into := wire.NewRecord(s.rec.RecordName())
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				if err := into.DecodeAvro(payload); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(s.name+"/goavro", func(b *testing.B) {
			codec, _ := oracle(b, s.rec.RecordName())
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := codec.NativeFromBinary(payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, s := range samples() {
		buf := s.rec.AppendAvro(nil)
		b.Run(s.name+"/generated", func(b *testing.B) {
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				buf = s.rec.AppendAvro(buf[:0])
			}
		})
		b.Run(s.name+"/goavro", func(b *testing.B) {
			codec, schema := oracle(b, s.rec.RecordName())
			value := native(schema, reflect.ValueOf(s.rec).Elem())
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if buf, err = codec.BinaryFromNative(buf[:0], value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkContentDigest(b *testing.B) {
	e, c := sampleScreening(), sampleChange()
	b.Run("ScreeningEvent", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e.ContentDigest()
		}
	})
	b.Run("AtsChange", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.ContentDigest()
		}
	})
}
