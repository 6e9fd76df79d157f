package kpi

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// naive recomputes every figure from the whole log, with nothing of the consumer's code.
type naive struct {
	counts   map[string]int64 // by "partition metric start system type region name dimension"
	samples  map[string][]float64
	newest   map[int32]int64
	finished map[string]int64
	kept     map[string]int64
	behind   map[string]string // application → figure prefix of "now"
	since    map[string]int64
	last     map[string]wire.IncidentChange
	opened   map[string]int64
	stands   map[string][]string // open incident → figures it counts in
	late     int64
}

func figure(partition int32, metric string, start int64, system string, r wire.Requisition) string {
	return fmt.Sprintf("%d %s %d %s %s %s", partition, metric, start, system, r.Type, r.Region)
}

// place returns the figure prefix of a time, or counts it late.
func (n *naive) place(partition int32, metric, system string, r wire.Requisition, t wire.Micros) string {
	start := int64(t) / window.Microseconds() * window.Microseconds()
	n.newest[partition] = max(n.newest[partition], start)
	if start < n.newest[partition]-horizon.Microseconds() {
		n.late++
		n.counts[figure(partition, "quality", n.newest[partition], system, r)+" late "+metric]++
		return ""
	}
	return figure(partition, metric, start, system, r)
}

func (n *naive) add(where, what string) {
	if where != "" {
		n.counts[where+" "+what]++
	}
}

// recompute reads the inputs; phases, told by a header, were measured one after the other.
func (l *lab) recompute() *naive {
	l.T.Helper()
	n := &naive{
		counts: map[string]int64{}, samples: map[string][]float64{}, newest: map[int32]int64{}, finished: map[string]int64{}, kept: map[string]int64{}, behind: map[string]string{},
		since: map[string]int64{}, last: map[string]wire.IncidentChange{}, opened: map[string]int64{}, stands: map[string][]string{},
	}
	recs := l.Read(inputs...)
	slices.SortStableFunc(recs, func(a, b *kgo.Record) int { return int(a.Headers[0].Value[0]) - int(b.Headers[0].Value[0]) })
	for _, rec := range recs {
		var err error
		switch rec.Topic {
		case topics.HiringDecisions:
			var d wire.Decision
			err = l.Schemas.DecodeLocal(rec.Value, &d)
			n.decision(rec.Partition, &d)
		case topics.ATSOutcomes:
			var o wire.Outcome
			err = l.Schemas.DecodeLocal(rec.Value, &o)
			n.outcome(rec.Partition, &o)
		default:
			var i wire.Incident
			err = l.Schemas.DecodeLocal(rec.Value, &i)
			n.incident(rec.Partition, &i)
		}
		if err != nil {
			l.T.Fatal(err)
		}
	}
	for app, where := range n.behind {
		n.counts[where+" ats_behind "]++
		oldest := where + " ats_behind_oldest_at "
		if was, ok := n.counts[oldest]; !ok || n.since[app] < was {
			n.counts[oldest] = n.since[app]
		}
	}
	for _, figures := range n.stands {
		for _, f := range figures {
			n.counts[f]++
		}
	}
	for _, s := range n.samples {
		slices.Sort(s)
	}
	return n
}

func (n *naive) decision(p int32, d *wire.Decision) {
	t := d.EffectiveAt
	if t == 0 || d.Disposition == wire.DispositionTimer {
		t = d.Now
	}
	where := n.place(p, "quality", d.System, d.Requisition, t)
	n.add(where, "decisions "+d.Reason.String())
	for _, step := range d.Path {
		if step.To == "hired" {
			n.add(where, "hires ")
		}
	}
	if at := int64(d.ScreeningFinishedAt); at > n.finished[d.ApplicationID] {
		n.finished[d.ApplicationID] = at
		n.add(n.place(p, "quality", d.System, d.Requisition, d.ScreeningFinishedAt), "screenings_finished ")
	}
	if at := int64(d.ScreeningFinishedAt); d.Mode == "record" && at > n.kept[d.ApplicationID] && slices.ContainsFunc(d.Path, func(s wire.Step) bool { return s.Authority == "vendor" }) {
		n.kept[d.ApplicationID] = at
		n.confirmed(n.place(p, "writeback", d.System, d.Requisition, d.Now), d.Now, d.ScreeningFinishedAt)
	}
	delete(n.behind, d.ApplicationID)
	if d.ATSBehind && d.ScreeningFinishedAt != 0 {
		n.behind[d.ApplicationID], n.since[d.ApplicationID] = figure(p, "quality", 0, d.System, d.Requisition), int64(d.ScreeningFinishedAt)
	}
}

func (n *naive) outcome(p int32, o *wire.Outcome) {
	if o.Kind == wire.CommandKindRefresh {
		return
	}
	where := n.place(p, "writeback", o.System, o.Requisition, o.FinishedAt)
	if o.Outcome == wire.OutcomeKindConfirmed && o.Cause.ScreeningFinishedAt != 0 {
		n.confirmed(where, o.FinishedAt, o.Cause.ScreeningFinishedAt)
		return
	}
	n.add(where, o.Outcome.String()+" ")
}

// confirmed is a success and how long it took.
func (n *naive) confirmed(where string, at, finished wire.Micros) {
	n.add(where, "confirmed ")
	if where == "" {
		return
	}
	seconds := float64(at-finished) / 1e6
	if seconds < 0 {
		n.add(where, "skewed ")
	}
	n.samples[where] = append(n.samples[where], max(seconds, 0))
}

func (n *naive) incident(p int32, i *wire.Incident) {
	was, known := n.last[i.ID]
	if !known {
		n.opened[i.ID] = int64(i.OpenedAt)
	}
	kind := i.Kind.String()
	switch i.Change {
	case wire.IncidentChangeOpened:
		if !known || was == wire.IncidentChangeRetracted {
			n.opened[i.ID] = int64(i.OpenedAt)
			n.add(n.place(p, "conflicts", i.System, i.Requisition, i.OpenedAt), "opened "+kind)
		}
		if n.stands[i.ID] == nil {
			now := figure(p, "conflicts", 0, i.System, i.Requisition)
			n.stands[i.ID] = []string{now + " open " + kind}
			if i.Kind == wire.IncidentKindStuck {
				n.stands[i.ID] = append(n.stands[i.ID], now+" stuck "+i.Owner)
			}
		}
	case wire.IncidentChangeResolved:
		delete(n.stands, i.ID)
		n.add(n.place(p, "conflicts", i.System, i.Requisition, i.ClosedAt), "resolved "+kind)
	case wire.IncidentChangeRetracted:
		delete(n.stands, i.ID)
		n.add(n.place(p, "conflicts", i.System, i.Requisition, wire.Micros(n.opened[i.ID])), "retracted "+kind)
	}
	n.last[i.ID] = i.Change
}

// compare holds what is published against the recomputation.
func (n *naive) compare(t *testing.T, published map[string]wire.KpiWindow) {
	t.Helper()
	got, samples := map[string]int64{}, map[string]int64{}
	for _, w := range published {
		where := figure(w.Partition, w.Metric, int64(w.WindowStart), w.System, wire.Requisition{Type: w.RequisitionType, Region: w.Region})
		for _, c := range w.Counts {
			got[where+" "+c.Name+" "+c.Dimension] = c.Value
		}
		if w.Samples == 0 {
			continue
		}
		samples[where] = w.Samples
		exact := n.samples[where]
		if int(w.Samples) != len(exact) {
			t.Errorf("%s: %d samples, the log has %d", where, w.Samples, len(exact))
			continue
		}
		for q, v := range map[float64]float64{0.5: w.P50, 0.95: w.P95, 0.99: w.P99} {
			want := exact[int(q*float64(len(exact)-1))]
			if math.Abs(v-want) > 0.01*want+1e-9 {
				t.Errorf("%s: p%g is %g, exact is %g", where, 100*q, v, want)
			}
		}
	}
	for f, want := range n.counts {
		if got[f] != want {
			t.Errorf("%s is %d, the log says %d", f, got[f], want)
		}
	}
	for f, v := range got {
		if _, ok := n.counts[f]; !ok {
			t.Errorf("%s is %d, the log says nothing of it", f, v)
		}
	}
	if len(samples) != len(n.samples) {
		t.Errorf("%d windows with latencies, the log says %d", len(samples), len(n.samples))
	}
}
