package reconciler

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/wire"
)

// FuzzRecord decides whatever comes: a record is poison with a cause of the closed set, or its decision leads to a state
// that the log keeps as it is and.
func FuzzRecord(f *testing.F) {
	schemas, rules := openSchemas(f), builtIn()
	app := instance + "/7"
	for topic, w := range map[string]wire.Record{
		TopicScreening: completed(&wire.ScreeningResult{Status: wire.ResultStatusComplete, Score: &wire.Score{Value: 4, Min: 1, Max: 5, Scale: "stars"}, Recommendation: wire.RecommendationAdvance}),
		TopicChanges:   &wire.AtsChange{ID: "2", Source: instance, Type: "snapshot", System: instance, OccurredAt: wire.MicrosOf(now), ApplicationID: app, Stage: wire.NativeStage{ID: "71416"}, Elements: []wire.Element{{Name: "a", Value: "b"}}},
		TopicControl:   &wire.Control{ID: "3", Source: "concord/operators", Type: "control.override", Stage: "interviews", OccurredAt: wire.MicrosOf(now), ApplicationID: app},
		TopicOutcomes:  &wire.Outcome{ID: "4", ApplicationID: app, CommandID: "c", FinishedAt: wire.MicrosOf(now), Outcome: wire.OutcomeKindConfirmed, Observed: &wire.Tuple{Stage: "1004"}},
	} {
		value := schemas.Append(nil, w)
		f.Add(topic, []byte(app), value, "ce_id", []byte("1"))
		f.Add(topic, []byte(app), value, "", []byte(nil))
		f.Add(topic, []byte(app), value[:len(value)/2], "ce_time", []byte("x"))
	}
	r, w, codec := newReader(schemas, rules, 1), newWriter(schemas), stateCodec(schemas)
	causes := map[string]bool{}
	for _, c := range wire.Causes() {
		causes[string(c)] = true
	}
	f.Fuzz(func(t *testing.T, topic string, key, value []byte, header string, text []byte) {
		rec := &kgo.Record{Topic: topic, Key: key, Value: value, Timestamp: now}
		if header != "" {
			rec.Headers = []kgo.RecordHeader{{Key: header, Value: text}}
		}
		known := false
		for _, name := range inputs {
			known = known || topic == name
		}
		if !known {
			rec.Topic = TopicChanges
		}
		var e hiring.Event
		app, err := r.read(t.Context(), rec, &e)
		if err != nil {
			var p *stream.PoisonError
			if !errors.As(err, &p) || !causes[p.Cause] {
				t.Fatalf("an error that is no dead letter: %v", err)
			}
			return
		}
		d, next := w.decide(rules, hiring.NewState(app), new(cell), &e, hiring.FromTime(now))
		if !d.Changed {
			return
		}
		back, err := codec.Decode(app, []byte(next.value))
		if err != nil {
			t.Fatal(err)
		}
		state, err := w.open(app, back)
		if err != nil {
			t.Fatal(err)
		}
		if again := w.cell(state); again.digest != next.digest {
			t.Fatal("the log changes the state")
		}
	})
}
