package reconciler

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/wire"
)

// now is when the records of these tests arrive.
var now = time.Date(2026, 2, 1, 9, 0, 0, 0, time.UTC)

func completed(r *wire.ScreeningResult) *wire.ScreeningEvent {
	return &wire.ScreeningEvent{
		ID: "1", Source: vendor, Type: "screening.completed", System: vendor, OccurredAt: wire.MicrosOf(now), ApplicationID: instance + "/7",
		OrderID: "o", Attempt: 1, Result: r,
	}
}

// readAs reads a record as the reconciler does.
func readAs(t *testing.T, r *reader, topic string, w wire.Record) (hiring.Event, error) {
	t.Helper()
	var e hiring.Event
	_, err := r.read(t.Context(), &kgo.Record{Topic: topic, Key: []byte(instance + "/7"), Value: r.schemas.Append(nil, w), Timestamp: now}, &e)
	return e, err
}

// TestNotFinite: a number that is none is refused aloud, never left out in silence.
func TestNotFinite(t *testing.T) {
	r := newReader(openSchemas(t), builtIn(), 1)
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for name, result := range map[string]*wire.ScreeningResult{
			"score":          {Status: wire.ResultStatusComplete, Score: &wire.Score{Value: f, Max: 100, Scale: "points"}},
			"unscaled score": {Status: wire.ResultStatusPartial, Score: &wire.Score{Value: f}},
			"competency":     {Status: wire.ResultStatusComplete, Competencies: []wire.Competency{{Name: "go", Value: 3, Max: 5}, {Name: "sql", Value: f, Max: 5}}},
			"scale":          {Status: wire.ResultStatusComplete, Competencies: []wire.Competency{{Name: "go", Value: 3, Max: f}}},
		} {
			_, err := readAs(t, r, TopicScreening, completed(result))
			var p *stream.PoisonError
			if !errors.As(err, &p) || p.Cause != string(wire.CauseInvalidField) {
				t.Errorf("%s of %v: got %v, want %s", name, f, err, wire.CauseInvalidField)
			}
		}
		// Nobody uses an invalid result, so its numbers are nobody's business.
		if _, err := readAs(t, r, TopicScreening, completed(&wire.ScreeningResult{Status: wire.ResultStatusInvalid, Score: &wire.Score{Value: f}})); err != nil {
			t.Errorf("an invalid result with a score of %v: %v", f, err)
		}
	}
}

func TestResultElements(t *testing.T) {
	w := completed(&wire.ScreeningResult{
		Status: wire.ResultStatusComplete, Revision: 2, Score: &wire.Score{Value: 4, Min: 1, Max: 5, Scale: "stars"}, Recommendation: wire.RecommendationAdvance,
		Competencies: []wire.Competency{{Name: "go", Value: 3, Max: 5}}, ReviewerIDs: []string{"r1"}, ReportURL: "https://assess-one.example/r/1",
	})
	// What a vendor says of its own result twice is said once.
	w.Elements = []wire.Element{{Name: "zeal", Value: "1"}, {Name: hiring.ElementScreeningScore, Value: "12"}, {Name: "zeal", Value: "2"}}
	e, err := readAs(t, newReader(openSchemas(t), builtIn(), 1), TopicScreening, w)
	if err != nil {
		t.Fatal(err)
	}
	want := []hiring.Element{
		{Name: hiring.ElementCompetencies, Value: `[{"name":"go","value":3,"max":5}]`},
		{Name: hiring.ElementScreeningFinishedAt, Value: "2026-02-01T09:00:00Z"},
		{Name: hiring.ElementScreeningRecommendation, Value: "advance"},
		{Name: hiring.ElementScreeningReport, Value: "https://assess-one.example/r/1"},
		{Name: hiring.ElementReviewerIDs, Value: `["r1"]`},
		{Name: hiring.ElementScreeningScore, Value: "12"}, // the core puts what the policy makes of the score in its place
		{Name: hiring.ElementScreeningStatus, Value: "complete"},
		{Name: "zeal", Value: "2"},
	}
	if diff := cmp.Diff(want, e.Elements); diff != "" {
		t.Errorf("elements (-want +got):\n%s", diff)
	}
	if want := (hiring.Score{Value: 4, Min: 1, Max: 5, Scale: "stars"}); e.Score == nil || *e.Score != want {
		t.Errorf("score is %+v, want %+v", e.Score, want)
	}
	if !e.HasResult || e.Verdict != hiring.VerdictAdvance || e.ResultRevision != 2 {
		t.Errorf("result %t, verdict %v, revision %d", e.HasResult, e.Verdict, e.ResultRevision)
	}
}

// TestEventsShareNothing: the core keeps an event's texts and lists, so what the reader reads next must not change them.
func TestEventsShareNothing(t *testing.T) {
	schemas := openSchemas(t)
	rapid.Check(t, func(rt *rapid.T) {
		shared := newReader(schemas, builtIn(), 1)
		var kept, fresh []hiring.Event
		for range 4 {
			topic := rapid.SampledFrom(inputs).Draw(rt, "topic")
			elements := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) wire.Element {
				return wire.Element{Name: rapid.StringN(1, 5, -1).Draw(t, "name"), Value: rapid.StringN(0, 9, -1).Draw(t, "value")}
			}), 0, 5).Draw(rt, "elements")
			w := map[string]wire.Record{
				TopicScreening: &wire.ScreeningEvent{
					ID: "1", Source: vendor, Type: "screening.completed", System: vendor, OccurredAt: wire.MicrosOf(now), ApplicationID: instance + "/7",
					Result: &wire.ScreeningResult{Status: wire.ResultStatusComplete, ReviewerIDs: []string{rapid.String().Draw(rt, "reviewer")}}, Elements: elements,
				},
				TopicChanges: &wire.AtsChange{ID: "2", Source: instance, Type: "snapshot", System: instance, OccurredAt: wire.MicrosOf(now), ApplicationID: instance + "/7", Elements: elements},
				TopicControl: &wire.Control{ID: rapid.StringN(1, 9, -1).Draw(rt, "id"), Source: "concord/operators", Type: "control.hold", OccurredAt: wire.MicrosOf(now), ApplicationID: instance + "/7"},
				TopicOutcomes: &wire.Outcome{
					ID: "3", ApplicationID: instance + "/7", CommandID: "c", FinishedAt: wire.MicrosOf(now), Outcome: wire.OutcomeKindConfirmed,
					Written: wire.Tuple{Elements: elements}, Observed: &wire.Tuple{Elements: slices.Clone(elements)},
				},
			}[topic]
			value := schemas.Append(nil, w)
			for _, r := range []*reader{shared, newReader(schemas, builtIn(), 1)} {
				var e hiring.Event
				own := slices.Clone(value)
				if _, err := r.read(t.Context(), &kgo.Record{Topic: topic, Key: []byte(instance + "/7"), Value: own, Timestamp: now}, &e); err != nil {
					rt.Fatal(err)
				}
				clear(own)
				if r == shared {
					kept = append(kept, e)
				} else {
					fresh = append(fresh, e)
				}
			}
		}
		if !reflect.DeepEqual(kept, fresh) {
			rt.Fatalf("a later record changed an event: %s", cmp.Diff(fresh, kept))
		}
	})
}
