package reconciler

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/wire"
)

// origin is when the traffic of these tests begins.
var origin = wire.MicrosOf(time.Now().Add(-120 * time.Hour).Truncate(time.Second))

// story is the life of one application in the order it happened.
func story(rng *rand.Rand, app string) []wire.Event {
	var out []wire.Event
	clock := origin + wire.Micros(rng.IntN(3600))*1e6
	pass := func(d time.Duration) wire.Micros {
		clock += wire.Micros(d.Microseconds()) + wire.Micros(rng.IntN(60))*1e6
		return clock
	}
	id := func() string { return fmt.Sprintf("%s#%d", app, len(out)) }
	change := func(typ, from, to string, edit func(*wire.AtsChange)) {
		t := pass(2 * time.Hour)
		e := &wire.AtsChange{
			ID: id(), Source: "connector/" + instance, Type: typ, System: instance, OccurredAt: t, ObservedAt: t + 2e6, ApplicationID: app, CandidateID: "c" + app,
			Stage: wire.NativeStage{ID: to}, PreviousStage: wire.NativeStage{ID: from}, Status: wire.ApplicationStatusActive,
		}
		if edit != nil {
			edit(e)
		}
		out = append(out, e)
	}
	say := func(typ string, result *wire.ScreeningResult) {
		t := pass(time.Hour)
		out = append(out, &wire.ScreeningEvent{ID: id(), Source: vendor, Type: typ, System: vendor, OccurredAt: t, ObservedAt: t + 1e6, ApplicationID: app, OrderID: "order " + app, Attempt: 1, Result: result})
	}
	ask := func(typ string) {
		t := pass(time.Hour)
		out = append(out, &wire.Control{ID: id(), Source: "concord/operators", Type: typ, OccurredAt: t, ObservedAt: t, ApplicationID: app, Actor: wire.Actor{Kind: wire.ActorKindHuman}})
	}
	change("application.created", "", "1001", nil)
	change("application.stage_changed", "1001", "1002", nil)
	if rng.IntN(4) == 0 {
		ask("control.hold")
		ask("control.release")
	}
	if rng.IntN(4) == 0 { // no edge leads there
		change("application.stage_changed", "1002", "1005", nil)
		change("application.stage_changed", "1005", "1002", nil)
	}
	change("application.stage_changed", "1002", "71416", nil)
	say("screening.ordered", nil)
	say("screening.started", nil)
	verdict := []wire.Recommendation{wire.RecommendationAdvance, wire.RecommendationAdvance, wire.RecommendationReject, wire.RecommendationReview}[rng.IntN(4)]
	result := wire.ScreeningResult{Status: wire.ResultStatusComplete, Revision: 1, Recommendation: verdict, Score: &wire.Score{Value: float64(rng.IntN(101)), Max: 100, Scale: "percent"}}
	say("screening.completed", &result)
	if rng.IntN(3) == 0 {
		corrected := result
		corrected.Revision, corrected.Recommendation = 2, wire.RecommendationAdvance
		say("screening.corrected", &corrected)
	}
	change("application.updated", "", "71416", func(e *wire.AtsChange) { e.Elements = []wire.Element{{Name: "source", Value: "referral"}} })
	if rng.IntN(3) == 0 {
		clock += 100 * 3600e6 // what came before is history by now
		if limit := origin + 119*3600e6; clock > limit {
			clock = limit
		}
		change("snapshot", "", "71416", nil)
	}
	return out
}

// traffic is the life of many applications as networks bring it: out of order, every sixth record twice, some once more
// with another content, and some of the oldest at the very end.
func (l *lab) traffic(seed uint64, applications int) []*kgo.Record {
	l.T.Helper()
	l.T.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	type placed struct {
		pos float64
		rec *kgo.Record
	}
	var all []placed
	for n := range applications {
		app := fmt.Sprintf("%s/%d", instance, n+1)
		start := rng.Float64() * float64(applications)
		for i, e := range story(rng, app) {
			topic := map[string]string{"ScreeningEvent": TopicScreening, "AtsChange": TopicChanges, "Control": TopicControl}[e.RecordName()]
			pos := start + float64(i) + 3*rng.Float64()
			if rng.IntN(12) == 0 {
				pos += 1000
			}
			all = append(all, placed{pos, l.Message(topic, app, e)})
			if rng.IntN(6) == 0 {
				all = append(all, placed{pos + 20*rng.Float64(), l.Message(topic, app, e)})
			}
			if c, ok := e.(*wire.AtsChange); ok && rng.IntN(25) == 0 {
				other := *c
				other.Reason = "changed"
				all = append(all, placed{pos + 20*rng.Float64(), l.Message(topic, app, &other)})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b placed) int { return cmp.Compare(a.pos, b.pos) })
	out := make([]*kgo.Record, len(all))
	for i := range all {
		out[i] = all[i].rec
	}
	return out
}

// builtIn is the built-in policy.
func builtIn() *hiring.Rules {
	b, err := policy.Compile(policy.Default())
	if err != nil {
		panic(err) // it is part of the program
	}
	return &hiring.Rules{Bundles: []*hiring.Bundle{b}, Bounds: hiring.DefaultBounds()}
}

// impatient are the default rules with waits that a test can see the end of.
func impatient() *hiring.Rules {
	r := builtIn()
	r.Bounds.Grace, r.Bounds.Settle, r.Bounds.RefreshCoalesce = 40*time.Millisecond, 60*time.Millisecond, 20*time.Millisecond
	return r
}
