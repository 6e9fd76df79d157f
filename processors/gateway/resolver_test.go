package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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
	changed []ats.Changed
	walks   atomic.Int64
}

func (e *estate) ListChanged(_ context.Context, from ats.Cursor) (ats.Page, error) {
	e.walks.Add(1)
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

// openResolving opens a gateway whose SmartRecruiters tenant is looked up in an estate.
func openResolving(t *testing.T, e *estate, change func(*gateway.Config)) *door {
	t.Helper()
	return open(t, func(cfg *gateway.Config) {
		everyone(cfg)
		cfg.Resolve = &gateway.Resolve{
			Group: "resolver", Every: 50 * time.Millisecond, For: time.Hour,
			Systems: map[string]gateway.Directory{"sr-main": {Client: e, Allow: func(ctx context.Context) error { return ctx.Err() }}},
		}
		if change != nil {
			change(cfg)
		}
	})
}

// candidateOnly sends a webhook that names a candidate and no application.
func (d *door) candidateOnly(id string) {
	d.t.Helper()
	r := signed("smartrecruiters", `{"id":"`+id+`"}`, "ev-"+id, current, now)
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

// counted is the value of a counter with one label.
func counted(t *testing.T, registry *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetValue() == label {
					sum += m.GetCounter().GetValue()
				}
			}
		}
	}
	return sum
}

// What nobody knows is a dead letter once its time is over, with a cause of its own; what waits is told. An ATS that does
// not answer has not said no.
func TestUnresolved(t *testing.T) {
	t.Parallel()
	e := &estate{changed: []ats.Changed{of("c9", "c9_j1")}}
	e.away.Store(true)
	var passed atomic.Int64
	d := openResolving(t, e, func(cfg *gateway.Config) {
		cfg.Clock = func() time.Time { return now.Add(time.Duration(passed.Load())) }
	})
	d.candidateOnly("c1")
	passed.Store(int64(time.Hour))
	for deadline := time.Now().Add(20 * time.Second); e.walks.Load() < 3; {
		if time.Now().After(deadline) {
			t.Fatal("nothing is looked up")
		}
	}
	if why := d.g.Degraded(); len(why) != 1 || len(d.g.Ready()) != 0 {
		t.Errorf("while it waits: degraded %v, not ready %v", why, d.g.Ready())
	}
	for _, rec := range d.stored() {
		if rec.Topic != topics.GatewayUnresolved {
			t.Fatalf("a record on %s while the ATS is away", rec.Topic)
		}
	}
	e.away.Store(false)
	letter := d.await(topics.DeadLetter(topics.GatewayUnresolved), 1)[0]
	if headerOf(letter, deadletter.HeaderCause) != string(wire.CauseUnresolved) || headerOf(letter, deadletter.HeaderTopic) != topics.GatewayUnresolved || string(letter.Key) != "sr-main/c1" {
		t.Errorf("letter %s with %v", letter.Key, letter.Headers)
	}
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
