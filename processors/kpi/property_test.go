package kpi

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

var base = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// author writes a random log.
type author struct {
	*lab
	rng   *rand.Rand
	phase byte
	hours int // from base on
	next  int
}

func (a *author) at() wire.Micros {
	return wire.MicrosOf(base.Add(time.Duration(a.rng.Int64N(int64(a.hours) * int64(time.Hour)))))
}

func (a *author) requisition() wire.Requisition {
	return wire.Requisition{Type: []string{"tech", "", "a|b"}[a.rng.IntN(3)], Region: []string{"de", "us"}[a.rng.IntN(2)]}
}

func (a *author) put(topic, app string, r wire.Record) *kgo.Record {
	rec := a.Message(topic, app, r)
	rec.Headers = []kgo.RecordHeader{{Key: "phase", Value: []byte{a.phase}}}
	return rec
}

// write produces n random records; few incident ids make each be opened, closed and opened again.
func (a *author) write(n int) {
	a.T.Helper()
	a.phase++
	var recs []*kgo.Record
	for range n {
		number := a.rng.IntN(60)
		app := fmt.Sprintf("gh/%d", number)
		switch a.rng.IntN(3) {
		case 0:
			d := &wire.Decision{
				ApplicationID: app, System: "gh", Requisition: a.requisition(), Reason: wire.Reason(a.rng.IntN(5)), Disposition: wire.Disposition(a.rng.IntN(4)),
				Now: a.at(), EffectiveAt: a.at(), ScreeningFinishedAt: a.at(), ATSBehind: a.rng.IntN(2) == 0,
			}
			if a.rng.IntN(5) == 0 {
				d.EffectiveAt = 0
			}
			if a.rng.IntN(5) == 0 {
				d.ScreeningFinishedAt = 0
			}
			if a.rng.IntN(5) == 0 {
				d.Path = []wire.Step{{To: "offer"}, {To: "hired"}}
			}
			if a.rng.IntN(4) == 0 { // of an application in no ATS
				d.Mode, d.Path = "record", append(d.Path, wire.Step{To: "interviews", Authority: []string{"vendor", "human"}[a.rng.IntN(2)]})
			}
			recs = append(recs, a.put(topics.HiringDecisions, app, d))
		case 1:
			a.next++
			o := &wire.Outcome{
				ID: fmt.Sprint(a.next), ApplicationID: app, System: "gh", Requisition: a.requisition(), Outcome: wire.OutcomeKind(a.rng.IntN(6)), FinishedAt: a.at(),
			}
			if a.rng.IntN(2) == 0 {
				o.Outcome = wire.OutcomeKindConfirmed
			}
			if a.rng.IntN(9) == 0 {
				o.Kind = wire.CommandKindRefresh
			}
			latency := wire.Micros(1e6 * math.Exp(3*a.rng.NormFloat64())) // from milliseconds to hours
			if a.rng.IntN(20) == 0 {
				latency = -latency
			}
			o.Cause.ScreeningFinishedAt = o.FinishedAt - latency
			recs = append(recs, a.put(topics.ATSOutcomes, app, o))
		default:
			id := a.rng.IntN(3)
			recs = append(recs, a.put(topics.HiringConflicts, app, &wire.Incident{
				ID: fmt.Sprintf("%s#%d", app, id), ApplicationID: app, System: "gh", Requisition: a.requisition(), Change: wire.IncidentChange(a.rng.IntN(3)),
				Kind: []wire.IncidentKind{wire.IncidentKindStuck, wire.IncidentKindFieldDivergence, wire.IncidentKindMissingField}[id], Owner: []string{"recruiter", "vendor"}[a.rng.IntN(2)],
				OpenedAt: a.at(), ClosedAt: a.at(),
			}))
		}
	}
	a.Produce(recs...)
}

// latest puts one decision at the end of a.hours on each partition, so that it is known what is past the horizon.
func (a *author) latest() {
	a.T.Helper()
	a.phase++
	t := wire.MicrosOf(base.Add(time.Duration(a.hours) * time.Hour))
	for n := range 40 {
		app := fmt.Sprintf("gh/%d", n)
		a.Produce(a.put(topics.HiringDecisions, app, &wire.Decision{ApplicationID: app, System: "gh", Now: t, EffectiveAt: t}))
	}
}

// I11: whatever aborts, restarts, revises, comes late or is taken back, every published figure equals its
// recomputation from the log.
func TestEveryFigureEqualsItsRecomputation(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	l, kept := newLab(t), t.TempDir()
	a := &author{lab: l, rng: rand.New(rand.NewPCG(seed, 0)), hours: 20}
	abort := func(c *stream.Config) { c.Faults.AbortEvery = 3 }
	l.failEvery = 137 // aborts before and after the flush

	a.write(1500)
	l.run(kept, abort, func(g prometheus.Gatherer) { l.recompute().exposed(t, g, true) })
	before := l.published()
	l.recompute().compare(t, before)

	a.write(600) // the same windows again, on the kept store
	l.run(kept, abort, func(g prometheus.Gatherer) { l.recompute().exposed(t, g, false) })
	revised, after := 0, l.published()
	l.recompute().compare(t, after)
	for key, w := range after {
		if was, ok := before[key]; ok && was.WindowStart != 0 && w.Revision > was.Revision {
			revised++
		}
	}
	if revised == 0 {
		t.Error("no window was revised by late data")
	}

	a.hours = 40
	a.latest()
	l.run(t.TempDir(), nil, nil) // on a wiped store
	a.write(600)                 // some of it past the horizon
	l.run(t.TempDir(), abort, func(g prometheus.Gatherer) { l.recompute().exposed(t, g, false) })
	n := l.recompute()
	n.compare(t, l.published())
	if n.late == 0 {
		t.Error("nothing was late")
	}
	t.Logf("%d figures, %d windows with latencies, %d late", len(n.counts), len(n.samples), n.late)
}

// A restart without input changes and publishes nothing, on a kept store or a wiped one.
func TestRestartPublishesNothing(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	l, kept := newLab(t), t.TempDir()
	a := &author{lab: l, rng: rand.New(rand.NewPCG(seed, 0)), hours: 10}
	a.write(200)
	l.run(kept, nil, nil)
	before := l.published()
	for _, dir := range []string{kept, t.TempDir()} {
		l.run(dir, nil, nil)
		if diff := cmp.Diff(before, l.published()); diff != "" {
			t.Error(diff)
		}
	}
}

// Of one application only closed incidents are forgotten, the oldest first: what is open is counted until it is closed,
// however many there are.
func TestOnlyClosedIncidentsAreForgotten(t *testing.T) {
	t.Parallel()
	l, dir := newLab(t), t.TempDir()
	at := wire.MicrosOf(base)
	tell := func(change wire.IncidentChange, from, to int) {
		var recs []*kgo.Record
		for i := from; i < to; i++ {
			rec := l.Message(topics.HiringConflicts, "gh/1", &wire.Incident{
				ID: fmt.Sprint(i), ApplicationID: "gh/1", System: "gh", Kind: wire.IncidentKindMissingField, Change: change, OpenedAt: at, ClosedAt: at,
			})
			rec.Headers = []kgo.RecordHeader{{Key: "phase", Value: []byte{1}}}
			recs = append(recs, rec)
		}
		l.Produce(recs...)
	}
	const many = maxAppIncidents + 20
	tell(wire.IncidentChangeOpened, 0, many)
	tell(wire.IncidentChangeResolved, 0, 10)
	tell(wire.IncidentChangeOpened, many, many+30)
	tell(wire.IncidentChangeResolved, 10, many+30)
	l.run(dir, nil, func(g prometheus.Gatherer) { l.recompute().exposed(t, g, true) })
	l.recompute().compare(t, l.published())
	for _, rec := range l.Read(topics.KPIState) {
		if string(rec.Key) != "a|gh/1" {
			continue
		}
		e, err := decodeEntry("", rec.Value)
		if err != nil {
			t.Fatal(err)
		}
		closed := 0
		for _, i := range e.app.incidents {
			if i.state != wire.IncidentChangeOpened {
				closed++
			}
		}
		if closed > maxAppIncidents {
			t.Errorf("%d closed incidents are remembered, at most %d should be", closed, maxAppIncidents)
		}
	}
}
