package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/pb/sketchpb"
	"google.golang.org/protobuf/proto"

	"github.com/concord-ats/concord/pkg/wire"
)

// figure is one count of one window of one partition. A start of 0 is what stands now.
type figure struct {
	metric          string
	start           wire.Micros
	system, typ, rg string
	partition       int32
	name, dimension string
}

// windowKey names a window of one partition.
type windowKey struct {
	metric          string
	start           wire.Micros
	system, typ, rg string
	partition       int32
}

func (w windowKey) count(name, dimension string) figure {
	return figure{w.metric, w.start, w.system, w.typ, w.rg, w.partition, name, dimension}
}

// recomputed is what the log says the KPIs are.
type recomputed struct {
	counts  map[figure]int64
	samples map[windowKey][]float64
	events  map[string]int64 // by metric: what falls into a window or is counted late
	newest  map[int32]wire.Micros
	owners  map[string]wire.Micros // by application: newest screening counted
	seen    map[string]wire.IncidentChange
	opened  map[string]wire.Micros
	behind  map[string]bool
	kept    map[string]wire.Micros // by application: end of the newest screening whose verdict moved it where there is no ATS
}

func newRecomputed() *recomputed {
	return &recomputed{
		counts: make(map[figure]int64), samples: make(map[windowKey][]float64), events: make(map[string]int64), newest: make(map[int32]wire.Micros),
		owners: make(map[string]wire.Micros), seen: make(map[string]wire.IncidentChange), opened: make(map[string]wire.Micros), behind: make(map[string]bool), kept: make(map[string]wire.Micros),
	}
}

func (a *auditor) window(metric string, partition int32, system string, req *wire.Requisition, t wire.Micros) windowKey {
	length := wire.Micros(a.opt.Window.Microseconds())
	start := t - t%length
	k := &a.rep.kpi
	k.newest[partition] = max(k.newest[partition], start)
	k.events[metric]++
	return windowKey{metric, start, system, req.Type, req.Region, partition}
}

func (a *auditor) kpiDecision(x *app, partition int32, d *wire.Decision) {
	k := a.rep.kpi
	t := d.EffectiveAt
	if t == 0 || d.Disposition == wire.DispositionTimer {
		t = d.Now
	}
	w := a.window("quality", partition, d.System, &d.Requisition, t)
	k.counts[w.count("decisions", d.Reason.String())]++
	for i := range d.Path {
		if d.Path[i].To == "hired" {
			k.counts[w.count("hires", "")]++
		}
	}
	if d.ScreeningFinishedAt > k.owners[x.id] {
		k.owners[x.id] = d.ScreeningFinishedAt
		w := a.window("quality", partition, d.System, &d.Requisition, d.ScreeningFinishedAt)
		k.counts[w.count("screenings_finished", "")]++
	}
	byVerdict := func(s wire.Step) bool { return s.Authority == "vendor" }
	if d.Mode == "record" && d.ScreeningFinishedAt > k.kept[x.id] && slices.ContainsFunc(d.Path, byVerdict) {
		k.kept[x.id] = d.ScreeningFinishedAt
		a.kpiWritten(a.window("writeback", partition, d.System, &d.Requisition, d.Now), wire.OutcomeKindConfirmed, d.Now, d.ScreeningFinishedAt)
	}
	delete(k.behind, x.id)
	if d.ATSBehind && d.ScreeningFinishedAt != 0 {
		k.behind[x.id] = true
	}
}

func (a *auditor) kpiOutcome(partition int32, o *wire.Outcome) {
	if o.Kind == wire.CommandKindRefresh {
		return
	}
	a.kpiWritten(a.window("writeback", partition, o.System, &o.Requisition, o.FinishedAt), o.Outcome, o.FinishedAt, o.Cause.ScreeningFinishedAt)
}

// kpiWritten counts what became of a write, and how long a success took.
func (a *auditor) kpiWritten(w windowKey, outcome wire.OutcomeKind, at, finished wire.Micros) {
	k := a.rep.kpi
	k.counts[w.count(outcome.String(), "")]++
	if outcome != wire.OutcomeKindConfirmed || finished == 0 {
		return
	}
	latency := float64(at-finished) / 1e6
	if latency < 0 {
		latency = 0
		k.counts[w.count("skewed", "")]++
	}
	k.samples[w] = append(k.samples[w], latency)
}

func (a *auditor) kpiIncident(x *app, partition int32, c *wire.Incident) {
	k := a.rep.kpi
	id := x.id + "|" + c.ID
	was, known := k.seen[id]
	kind := c.Kind.String()
	count := func(at wire.Micros, name string) {
		w := a.window("conflicts", partition, c.System, &c.Requisition, at)
		k.counts[w.count(name, kind)]++
	}
	switch c.Change {
	case wire.IncidentChangeOpened:
		if !known || was == wire.IncidentChangeRetracted {
			k.opened[id] = c.OpenedAt
			count(c.OpenedAt, "opened")
		}
	case wire.IncidentChangeResolved:
		count(c.ClosedAt, "resolved")
	case wire.IncidentChangeRetracted:
		at, ok := k.opened[id]
		if !ok {
			at = c.OpenedAt
		}
		count(at, "retracted")
	}
	k.seen[id] = c.Change
}

// checkKPI compares the published windows with the recomputation (I11).
func (a *auditor) checkKPI() error {
	if a.opt.KPI == "" {
		return nil
	}
	newest := make(map[windowKey]*wire.KpiWindow)
	for _, metric := range []string{"writeback", "conflicts", "quality"} {
		if err := scan(a, "kpi."+metric, func(r *Record, w *wire.KpiWindow) {
			key := windowKey{w.Metric, w.WindowStart, w.System, w.RequisitionType, w.Region, w.Partition}
			was := newest[key]
			switch {
			case w.Metric != metric || w.Partition != r.Partition:
				a.found.add(I11KPI, "a window is on the wrong topic or partition", coord(r.Topic, r.Partition, r.Offset))
			case was != nil && w.Revision != was.Revision+1, was == nil && w.Revision != 1:
				a.found.add(I11KPI, "the revisions of a window are not +1", coord(r.Topic, r.Partition, r.Offset))
			}
			newest[key] = w
		}); err != nil {
			return err
		}
	}
	a.compareCounts(newest)
	return a.compareSketches(newest)
}

// compareCounts compares every window that cannot have been past the horizon exactly, and of the others the sum
// with what was counted late.
func (a *auditor) compareCounts(newest map[windowKey]*wire.KpiWindow) {
	k := a.rep.kpi
	horizon := wire.Micros(a.opt.Horizon.Microseconds())
	published := make(map[figure]int64)
	totals, stands := make(map[string]int64), make(map[string]int64)
	for key, w := range newest {
		for i := range w.Counts {
			c := &w.Counts[i]
			switch {
			case key.start == 0:
				stands[c.Name] += c.Value
			case c.Name == "late":
				totals[c.Dimension] += c.Value
				a.rep.KPI.Late += c.Value
			default:
				published[key.count(c.Name, c.Dimension)] += c.Value
				if c.Name != "hires" && c.Name != "skewed" {
					totals[key.metric] += c.Value
				}
				a.rep.KPI.add(key.metric, c.Name, c.Value)
			}
		}
	}
	for _, metric := range []string{"writeback", "conflicts", "quality"} {
		if totals[metric] != k.events[metric] {
			a.found.add(I11KPI, fmt.Sprintf("kpi.%s counts %d, the log says %d", metric, totals[metric], k.events[metric]), metric)
		}
	}
	all := make(map[figure]bool, len(published))
	for f := range published {
		all[f] = true
	}
	for f := range k.counts {
		all[f] = true
	}
	for f := range all {
		old := f.start < k.newest[f.partition]-horizon
		if has, want := published[f], k.counts[f]; has != want && (!old || has > want) {
			a.found.example(I11KPI, "a count of a window of kpi."+f.metric+" differs from the log", f.start.String(), fmt.Sprintf("%s %s is %d, the log says %d", f.start, strings.TrimSpace(f.name+" "+f.dimension), has, want))
		}
	}
	open, stuck := int64(0), int64(0)
	for _, x := range a.apps {
		for i := range x.incidents {
			if in := &x.incidents[i]; in.open {
				open++
				if in.kind == wire.IncidentKindStuck {
					stuck++
				}
			}
		}
	}
	a.rep.KPI.Open, a.rep.KPI.Stuck, a.rep.KPI.Behind = open, stuck, int64(len(k.behind))
	for _, s := range []struct {
		name string
		want int64
	}{{"open", open}, {"stuck", stuck}, {"ats_behind", int64(len(k.behind))}} {
		if stands[s.name] != s.want {
			a.found.add(I11KPI, fmt.Sprintf("what stands now: %s is %d, the log says %d", s.name, stands[s.name], s.want), s.name)
		}
	}
}

// quantiles are those a window publishes.
var quantiles = []float64{0.5, 0.95, 0.99}

// compareSketches compares each window's quantiles with those of its samples, and the merged sketch with all.
func (a *auditor) compareSketches(newest map[windowKey]*wire.KpiWindow) error {
	k := a.rep.kpi
	var all []float64
	var merged *ddsketch.DDSketch
	for key, w := range newest {
		samples := k.samples[key]
		slices.Sort(samples)
		if int64(len(samples)) != w.Samples {
			if key.start >= k.newest[key.partition]-wire.Micros(a.opt.Horizon.Microseconds()) {
				a.found.add(I11KPI, "a window's number of latencies differs from the log's", key.start.String())
			}
			continue
		}
		if len(samples) == 0 {
			continue
		}
		all = append(all, samples...)
		for i, has := range []float64{w.P50, w.P95, w.P99} {
			if !near(samples, quantiles[i], has) {
				a.found.example(I11KPI, "a quantile of a window differs from the log", key.start.String(), fmt.Sprintf("%s p%g is %g s", key.start, 100*quantiles[i], has))
			}
		}
		sketch, err := readSketch(w.Sketch)
		if err != nil {
			a.found.add(I11KPI, "a window's sketch cannot be read", key.start.String())
			continue
		}
		if merged == nil {
			merged = sketch
		} else if err := merged.MergeWith(sketch); err != nil {
			a.found.add(I11KPI, "two windows' sketches cannot be merged", key.start.String())
		}
	}
	if merged == nil {
		return nil
	}
	slices.Sort(all)
	got, err := merged.GetValuesAtQuantiles(quantiles)
	if err != nil {
		return fmt.Errorf("audit kpi: quantiles: %w", err)
	}
	for i, q := range quantiles {
		if !near(all, q, got[i]) {
			a.found.add(I11KPI, fmt.Sprintf("the merged p%g is %g s", 100*q, got[i]), "kpi.writeback")
		}
	}
	a.rep.KPI.P50, a.rep.KPI.P95, a.rep.KPI.P99, a.rep.KPI.Samples = got[0], got[1], got[2], int64(len(all))
	return nil
}

// near reports whether v is the q-quantile of sorted samples within the sketch's accuracy.
func near(samples []float64, q, v float64) bool {
	const accuracy, floor = 0.02, 1e-6
	rank := q * float64(len(samples)-1)
	lo, hi := samples[int(rank)], samples[min(int(rank)+1, len(samples)-1)]
	return v >= lo*(1-accuracy)-floor && v <= hi*(1+accuracy)+floor
}

func readSketch(b []byte) (*ddsketch.DDSketch, error) {
	var pb sketchpb.DDSketch
	if err := proto.Unmarshal(b, &pb); err != nil {
		return nil, fmt.Errorf("read sketch: %w", err)
	}
	sketch, err := ddsketch.FromProto(&pb)
	if err != nil {
		return nil, fmt.Errorf("read sketch: %w", err)
	}
	return sketch, nil
}
