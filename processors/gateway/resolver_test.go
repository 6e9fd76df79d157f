package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/smartrecruiters"
	"github.com/concord-ats/concord/pkg/deadletter"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/gateway"
)

// estate is an ATS that lists what changed.
type estate struct {
	ats.Client
	away    atomic.Bool
	hold    chan struct{} // a walk waits for it; nil does not wait
	changed []ats.Changed
	walks   atomic.Int64
}

func (e *estate) ListChanged(ctx context.Context, from ats.Cursor) (ats.Page, error) {
	e.walks.Add(1)
	if e.hold != nil {
		select {
		case <-e.hold:
		case <-ctx.Done():
			return ats.Page{}, ctx.Err()
		}
	}
	if e.away.Load() {
		return ats.Page{}, errors.New("the ATS does not answer")
	}
	if from.Next == "" && len(e.changed) > 1 { // two pages: the first application, and the rest
		from.Next = "2"
		return ats.Page{Changed: e.changed[:1], Next: from, More: true}, nil
	}
	if from.Next == "" {
		return ats.Page{Changed: e.changed}, nil
	}
	return ats.Page{Changed: e.changed[1:]}, nil
}

func of(candidate, application string) ats.Changed {
	return ats.Changed{ApplicationID: application, Reading: ats.Reading{CandidateID: candidate}}
}

func directory(e *estate) gateway.Directory {
	return gateway.Directory{Client: e, Allow: func(ctx context.Context) error { return ctx.Err() }}
}

// openResolving opens a gateway whose SmartRecruiters tenant is looked up in an estate.
func openResolving(t *testing.T, e *estate, change func(*gateway.Config)) *door {
	t.Helper()
	return open(t, func(cfg *gateway.Config) {
		everyone(cfg)
		cfg.Senders = append(cfg.Senders, gateway.Sender{Kind: "smartrecruiters", System: "sr-other", Letters: topics.ATSChanges, Webhooks: smartrecruiters.Webhooks{System: "sr-other", Secrets: []string{current}}})
		cfg.Resolve = &gateway.Resolve{
			Group: "resolver", Every: 50 * time.Millisecond, For: time.Hour,
			Systems: map[string]gateway.Directory{"sr-main": directory(e)},
		}
		if change != nil {
			change(cfg)
		}
	})
}

// candidateOnly sends a webhook that names a candidate and no application.
func (d *door) candidateOnly(id string) {
	d.t.Helper()
	d.candidateOf("sr-main", id)
}

func (d *door) candidateOf(system, id string) {
	d.t.Helper()
	r := signed("smartrecruiters", `{"id":"`+id+`"}`, "ev-"+id, current, now)
	r.path = "/webhooks/smartrecruiters/" + system
	r.header.Set(smartrecruiters.EventNameHeader, "candidate.updated")
	r.header.Set(smartrecruiters.SignatureHeader, smartrecruiters.Sign(r.header, []byte(r.body), current))
	if got := d.sendAs(r); got.status != http.StatusAccepted {
		d.t.Fatalf("%d %s", got.status, got.text)
	}
}

// await reads the stored records of a topic until there are n.
func (d *door) await(topic string, n int) []*kgo.Record {
	d.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		var out []*kgo.Record
		for _, rec := range d.stored() {
			if rec.Topic == topic {
				out = append(out, rec)
			}
		}
		if len(out) >= n {
			return out
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("%d records on %s, want %d", len(out), topic, n)
		}
	}
}

// A webhook of a candidate becomes a hint for each application of that candidate, on whatever page it stands.
func TestResolved(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	e := &estate{changed: []ats.Changed{of("c1", "c1_j1"), of("c2", "c2_j1"), of("c1", "c1_j2")}}
	d := openResolving(t, e, func(cfg *gateway.Config) { cfg.Registry = registry })
	d.candidateOnly("c1")
	got := map[string]string{}
	for _, rec := range d.await(topics.ATSChanges, 2) {
		var c wire.AtsChange
		if err := d.schemas.DecodeLocal(rec.Value, &c); err != nil {
			t.Fatal(err)
		}
		got[c.ApplicationID] = c.ID
		if c.TimeBasis != wire.TimeBasisReceipt || string(rec.Key) != c.ApplicationID || headerOf(rec, wire.HeaderID) != c.ID {
			t.Errorf("stored %+v", c)
		}
	}
	if len(got) != 2 || got["sr-main/c1_j1"] != "ev-c1.c1_j1" || got["sr-main/c1_j2"] != "ev-c1.c1_j2" {
		t.Errorf("hints %v", got)
	}
	for deadline := time.Now().Add(10 * time.Second); counted(t, registry, "concord_gateway_resolved_total", "found") != 1; {
		if time.Now().After(deadline) {
			t.Fatal("the look-up is not counted")
		}
	}
	for deadline := time.Now().Add(10 * time.Second); len(d.g.Degraded()) > 0; {
		if time.Now().After(deadline) {
			t.Fatalf("still %v", d.g.Degraded())
		}
	}
}

// counted is the value of a counter with these labels among its own.
func counted(t *testing.T, registry *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			has := func(value string) bool {
				return slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetValue() == value })
			}
			if f.GetName() == name && !slices.ContainsFunc(labels, func(l string) bool { return !has(l) }) {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// What nobody knows is a dead letter once its time is over, with a cause of its own, whether its ATS says no, fails or
// never answers; the letter tells which, and until then what waits is told.
func TestUnresolved(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		estate *estate
		reason string
	}{
		"says no": {&estate{changed: []ats.Changed{of("c9", "c9_j1")}}, "any_unresolved"},
		"fails":   {&estate{}, "ats_unanswered"},
		"hangs":   {&estate{hold: make(chan struct{})}, "ats_unanswered"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.estate.away.Store(name == "fails")
			var passed atomic.Int64
			d := openResolving(t, c.estate, func(cfg *gateway.Config) {
				cfg.Clock = func() time.Time { return now.Add(time.Duration(passed.Load())) }
				cfg.Resolve.For, cfg.Resolve.Walk = time.Hour, 100*time.Millisecond
			})
			d.candidateOnly("c1")
			for deadline := time.Now().Add(20 * time.Second); c.estate.walks.Load() < 3; {
				if time.Now().After(deadline) {
					t.Fatal("nothing is looked up")
				}
			}
			if why := d.g.Degraded(); len(why) != 1 || !strings.Contains(why[0], "sr-main") || len(d.g.Ready()) != 0 {
				t.Errorf("while it waits: degraded %v, not ready %v", why, d.g.Ready())
			}
			for _, rec := range d.stored() {
				if rec.Topic != topics.GatewayUnresolved {
					t.Fatalf("a record on %s before its time is over", rec.Topic)
				}
			}
			passed.Store(int64(time.Hour))
			letter := d.await(topics.DeadLetter(topics.GatewayUnresolved), 1)[0]
			if headerOf(letter, deadletter.HeaderCause) != string(wire.CauseUnresolved) || headerOf(letter, deadletter.HeaderTopic) != topics.GatewayUnresolved || string(letter.Key) != "sr-main/c1" {
				t.Errorf("letter %s with %v", letter.Key, letter.Headers)
			}
			if got := headerOf(letter, deadletter.HeaderError); got != c.reason {
				t.Errorf("the letter says %q, want %q", got, c.reason)
			}
		})
	}
}

// An ATS that does not answer, with more waiting for it than is held, delays no other's look-ups; and what waits for it
// goes to the dead letters in its time, also what there was no room to look up.
func TestOneATSDelaysNoOther(t *testing.T) {
	t.Parallel()
	const behind = 7
	var passed atomic.Int64
	d := openResolving(t, &estate{changed: []ats.Changed{of("c1", "c1_j1")}}, func(cfg *gateway.Config) {
		cfg.Resolve.MaxHeld = 2
		cfg.Resolve.Systems["sr-other"] = directory(&estate{hold: make(chan struct{})})
		cfg.Clock = func() time.Time { return now.Add(time.Duration(passed.Load())) }
		cfg.Resolve.For, cfg.Resolve.Walk = time.Hour, 100*time.Millisecond
	})
	for i := range behind {
		d.candidateOf("sr-other", fmt.Sprint("a", i))
	}
	if n := len(d.await(topics.GatewayUnresolved, behind)); n != behind {
		t.Fatalf("%d wait for the first ATS", n)
	}
	d.candidateOnly("c1")
	d.await(topics.ATSChanges, 1)
	passed.Store(int64(time.Hour))
	d.await(topics.DeadLetter(topics.GatewayUnresolved), behind)
}

// What comes when its time is over, such as from the dead letters, is looked up once before it goes there.
func TestLateIsLookedUpOnce(t *testing.T) {
	t.Parallel()
	e := &estate{changed: []ats.Changed{of("c1", "c1_j1")}, hold: make(chan struct{})}
	var passed atomic.Int64
	d := openResolving(t, e, func(cfg *gateway.Config) {
		cfg.Clock = func() time.Time { return now.Add(time.Duration(passed.Load())) }
	})
	d.candidateOnly("c1")
	for deadline := time.Now().Add(20 * time.Second); e.walks.Load() < 1; {
		if time.Now().After(deadline) {
			t.Fatal("nothing is looked up")
		}
	}
	passed.Store(int64(2 * time.Hour))
	d.broken("sr-main/c2") // its letter says that the dead letters' turn has come
	for _, letter := range d.await(topics.DeadLetter(topics.GatewayUnresolved), 1) {
		if string(letter.Key) != "sr-main/c2" {
			t.Errorf("%s is dead-lettered before its look-up has ended", letter.Key)
		}
	}
	close(e.hold)
	d.await(topics.ATSChanges, 1)
}

// broken puts what cannot be decoded on the queue.
func (d *door) broken(key string) {
	d.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(d.kafka.ListenAddrs()...))
	if err != nil {
		d.t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(d.t.Context(), &kgo.Record{Topic: topics.GatewayUnresolved, Key: []byte(key), Value: []byte("no event")}).FirstErr(); err != nil {
		d.t.Fatal(err)
	}
}

// What cannot be decoded, and what is of an ATS that cannot be looked up, is dead-lettered too.
func TestUnresolvedOfNobody(t *testing.T) {
	t.Parallel()
	var passed atomic.Int64
	d := openResolving(t, &estate{}, func(cfg *gateway.Config) {
		cfg.Clock = func() time.Time { return now.Add(time.Duration(passed.Load())) }
	})
	d.candidateOf("sr-other", "a1")
	for _, key := range []string{"sr-main/c1", "gone/c1", ""} {
		d.broken(key)
	}
	for _, letter := range d.await(topics.DeadLetter(topics.GatewayUnresolved), 3) {
		if headerOf(letter, deadletter.HeaderCause) != string(wire.CauseBadFraming) {
			t.Errorf("letter %q with %v", letter.Key, letter.Headers)
		}
	}
	passed.Store(int64(time.Hour))
	d.await(topics.DeadLetter(topics.GatewayUnresolved), 4)
}

// The queue is on Kafka: what a gateway had not looked up when it died, the next one does.
func TestResolverRestart(t *testing.T) {
	t.Parallel()
	e := &estate{changed: []ats.Changed{of("c1", "c1_j1")}}
	e.away.Store(true)
	d := openResolving(t, e, nil)
	d.candidateOnly("c1")
	for deadline := time.Now().Add(20 * time.Second); e.walks.Load() < 2; {
		if time.Now().After(deadline) {
			t.Fatal("nothing is looked up")
		}
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	e.away.Store(false)
	openResolving(t, e, func(cfg *gateway.Config) { cfg.Opts = []kgo.Opt{kgo.SeedBrokers(d.kafka.ListenAddrs()...)} })
	if n := len(d.await(topics.ATSChanges, 1)); n != 1 {
		t.Errorf("%d hints", n)
	}
}

// What the resolver holds is bounded; the rest waits on the topic and is looked up in its turn.
func TestResolverBound(t *testing.T) {
	t.Parallel()
	e := &estate{}
	for _, c := range []string{"a", "b", "c", "d", "e"} {
		e.changed = append(e.changed, of(c, c+"_j"))
	}
	d := openResolving(t, e, func(cfg *gateway.Config) { cfg.Resolve.MaxHeld = 2 })
	for _, c := range e.changed {
		d.candidateOnly(c.Reading.CandidateID)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		if why := d.g.Degraded(); len(why) > 0 && !strings.HasPrefix(why[0], "1 ") && !strings.HasPrefix(why[0], "2 ") {
			t.Fatalf("held: %v", why)
		}
		n := 0
		for _, rec := range d.stored() {
			if rec.Topic == topics.ATSChanges {
				n++
			}
		}
		if n == 5 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of 5 are resolved", n)
		}
	}
}
