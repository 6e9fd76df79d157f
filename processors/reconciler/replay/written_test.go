package replay

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/reconciler"
)

// origin is when the histories of these tests begin.
const origin = wire.Micros(1_790_000_000_000_000)

func builtIn(t testing.TB) *hiring.Rules {
	t.Helper()
	b, err := policy.Compile(policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	return &hiring.Rules{Bundles: []*hiring.Bundle{b}, Bounds: hiring.DefaultBounds()}
}

func openSchemas(t testing.TB) *wire.Schemas {
	t.Helper()
	s, err := wire.Open(wire.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// told is the life of n applications in records, interleaved: created, triaged, screened, moved on or rejected.
func told(schemas *wire.Schemas, n int, seed uint64) []*kgo.Record {
	rng := rand.New(rand.NewPCG(seed, 1))
	lives := make([][]*kgo.Record, n)
	for i := range lives {
		app := fmt.Sprintf("gh-main/%d", 1000+i)
		clock, number := origin+wire.Micros(rng.IntN(1000))*1e6, 0
		put := func(topic string, rec wire.Record) {
			number++
			lives[i] = append(lives[i], &kgo.Record{Topic: topic, Key: []byte(app), Value: schemas.Append(nil, rec)})
		}
		pass := func() wire.Micros { clock += wire.Micros(60+rng.IntN(7200)) * 1e6; return clock }
		move := func(typ, from, to string) {
			at := pass()
			put(reconciler.TopicChanges, &wire.AtsChange{
				ID: fmt.Sprint(app, "#", number), Source: "connector/gh-main", Type: typ, System: "gh-main", OccurredAt: at, ObservedAt: at + 2e6, ApplicationID: app, CandidateID: "c" + app,
				Stage: wire.NativeStage{ID: to}, PreviousStage: wire.NativeStage{ID: from}, Status: wire.ApplicationStatusActive,
				Requisition: wire.Requisition{ID: "r1", Type: []string{"full_time", "contract"}[i%2], Region: "de"}, Actor: wire.Actor{Kind: wire.ActorKindHuman, ID: "u1"},
			})
		}
		say := func(typ string, result *wire.ScreeningResult) {
			at := pass()
			put(reconciler.TopicScreening, &wire.ScreeningEvent{ID: fmt.Sprint(app, "#", number), Source: "assess-one", Type: typ, System: "assess-one", OccurredAt: at, ObservedAt: at + 1e6, ApplicationID: app, OrderID: "order " + app, Attempt: 1, Result: result})
		}
		move("application.created", "", "1001")
		move("application.stage_changed", "1001", "1002")
		move("application.stage_changed", "1002", "71416")
		for _, typ := range []string{"screening.ordered", "screening.invited", "screening.started"} {
			say(typ, nil)
		}
		verdict := []wire.Recommendation{wire.RecommendationAdvance, wire.RecommendationReject}[rng.IntN(2)]
		say("screening.completed", &wire.ScreeningResult{Status: wire.ResultStatusComplete, Recommendation: verdict, Score: &wire.Score{Value: float64(rng.IntN(100)), Max: 100, Scale: "raw"}, FinishedAt: clock + 60e6})
		lives[i] = append(lives[i], lives[i][rng.IntN(len(lives[i]))]) // once more
		if verdict == wire.RecommendationAdvance {
			move("application.stage_changed", "1004", "1005")
		}
		if i%10 == 3 {
			at := pass()
			put(reconciler.TopicControl, &wire.Control{ID: fmt.Sprint(app, "#", number), Source: "concord/operators", Type: "control.erase", OccurredAt: at, ObservedAt: at, ApplicationID: app, Actor: wire.Actor{Kind: wire.ActorKindHuman}})
		}
	}
	var out []*kgo.Record
	for len(lives) > 0 {
		i := rng.IntN(len(lives))
		rec := *lives[i][0]
		out = append(out, &rec)
		if lives[i] = lives[i][1:]; len(lives[i]) == 0 {
			lives = slices.Delete(lives, i, i+1)
		}
	}
	return out
}

// recorded is what a reconciler would have put on record of an event.
type recorded struct {
	step
	state []byte // as in hiring.state; nil = nothing changed
}

// scribe decides as a session does, and keeps what it would have written.
type scribe struct {
	engine *reconciler.Engine
	states map[string]*hiring.State
	marks  map[string]wire.Digest
}

func newScribe(e *reconciler.Engine) *scribe {
	return &scribe{engine: e, states: map[string]*hiring.State{}, marks: map[string]wire.Digest{}}
}

// write decides one event; rec is nil for a timer.
func (s *scribe) write(app string, e hiring.Event, rec *kgo.Record, now hiring.Micros) recorded {
	was, before := s.states[app], s.marks[app]
	if was == nil {
		was = hiring.NewState(app)
	}
	d := s.engine.Decide(was, before, &e, now)
	s.states[app], s.marks[app] = d.State, d.Digest
	out := recorded{step: step{event: e, decision: &wire.Decision{
		ApplicationID: app, Version: d.State.Version, Reason: wire.Reason(d.Reason), EventID: e.ID, EventType: e.Type.String(), Offset: -1, Now: wire.Micros(d.Now),
		From: string(d.From), To: string(d.To), Policy: wire.Digest(d.Policy), StateBefore: before, StateAfter: d.Digest,
	}}}
	for i := range d.Commands {
		out.decision.Commands = append(out.decision.Commands, d.Commands[i].ID)
	}
	if rec != nil {
		out.decision.Topic, out.decision.Partition, out.decision.Offset = rec.Topic, rec.Partition, rec.Offset
	}
	if d.Changed {
		out.state = s.engine.Encode(d.State)
	}
	return out
}

// record decides a whole history, not before a time, and the timers on the way.
func record(t testing.TB, s *scribe, recs []*kgo.Record, notBefore hiring.Micros) []recorded {
	t.Helper()
	var out []recorded
	for _, rec := range recs {
		var e hiring.Event
		app, err := s.engine.Read(t.Context(), rec, &e)
		if err != nil {
			t.Fatal(err)
		}
		now := max(e.ObservedAt+5e6, notBefore)
		if was := s.states[app]; was != nil && was.NextDue != 0 && was.NextDue <= now {
			out = append(out, s.write(app, hiring.Event{Type: hiring.EventTimer}, nil, max(was.NextDue+1e5, notBefore)))
		}
		out = append(out, s.write(app, e, rec, now))
	}
	return out
}

const partitionCount = 2

// cluster is a broker with the topics of the product.
type cluster struct {
	t       *testing.T
	opts    []kgo.Opt
	client  *kgo.Client
	schemas *wire.Schemas
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	c := &cluster{t: t, schemas: openSchemas(t), opts: []kgo.Opt{kgo.SeedBrokers(kafka.ListenAddrs()...), kgo.FetchMaxWait(50 * time.Millisecond)}}
	if c.client, err = kgo.NewClient(c.opts...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.client.Close)
	if _, err := topics.Create(t.Context(), c.client, topics.Options{Partitions: partitionCount, Replication: 1, Embedded: true}, false); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cluster) produce(recs ...*kgo.Record) {
	c.t.Helper()
	if err := c.client.ProduceSync(c.t.Context(), recs...).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
}

// live produces inputs and everything a reconciler would have written of them. change may alter what is written.
func (c *cluster) live(rules *hiring.Rules, recs []*kgo.Record, change func([]recorded)) []recorded {
	c.t.Helper()
	c.publish(recs)
	out := record(c.t, newScribe(reconciler.NewEngine(c.schemas, rules, partitionCount)), recs, 0)
	if change != nil {
		change(out)
	}
	c.keep(out)
	return out
}

// keep writes what a reconciler would have written.
func (c *cluster) keep(out []recorded) {
	c.t.Helper()
	var written []*kgo.Record
	for i := range out {
		key := []byte(out[i].decision.ApplicationID)
		written = append(written, &kgo.Record{Topic: reconciler.TopicDecisions, Key: key, Value: c.schemas.Append(nil, out[i].decision)})
		if out[i].state != nil {
			written = append(written, &kgo.Record{Topic: reconciler.TopicState, Key: key, Value: out[i].state})
		}
	}
	c.produce(written...)
}

// publish produces inputs, and makes them what the broker has of them: with its own times.
func (c *cluster) publish(recs []*kgo.Record) {
	c.t.Helper()
	c.produce(recs...)
	h, err := newHistory(c.t.Context(), c.opts)
	if err != nil {
		c.t.Fatal(err)
	}
	cursors := map[string]*cursor{}
	for i, rec := range recs {
		key := fmt.Sprint(rec.Topic, rec.Partition)
		if cursors[key] == nil {
			cursors[key] = h.cursor(rec.Topic, int(rec.Partition))
			defer cursors[key].close()
		}
		if recs[i], err = cursors[key].record(c.t.Context(), rec.Offset); err != nil || recs[i] == nil {
			c.t.Fatalf("%s@%d: %v", key, rec.Offset, err)
		}
	}
}

func (c *cluster) replay(cfg Config) *Report {
	c.t.Helper()
	cfg.Kafka, cfg.Schemas = c.opts, c.schemas
	if cfg.Rules == nil {
		cfg.Rules = builtIn(c.t)
	}
	r, err := Run(c.t.Context(), cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}
