package kpi

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// exposed holds what Prometheus reads against the recomputation: how things stand, and, when the consumer has measured
// the whole log itself, what it has counted. A value that is neither exposed nor in the log is 0 on both sides.
func (n *naive) exposed(t *testing.T, g prometheus.Gatherer, counters bool) {
	t.Helper()
	want := n.expected(counters)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var wrong []string
	var got map[string]float64
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); <-tick.C { // the offsets are committed before the values are set
		got = gather(t, g, counters)
		wrong = wrong[:0]
		for name := range maps.Keys(got) {
			if _, ok := want[name]; !ok && got[name] != 0 {
				wrong = append(wrong, name)
			}
		}
		for name, v := range want {
			if math.Abs(got[name]-v) > 1e-6*math.Abs(v) {
				wrong = append(wrong, name)
			}
		}
		if len(wrong) == 0 {
			if len(want) == 0 {
				t.Error("nothing is exposed, and nothing should be")
			}
			return
		}
	}
	slices.Sort(wrong)
	for _, name := range wrong {
		t.Errorf("%s is %v, the log says %v", name, got[name], want[name])
	}
}

// expected is every value that should be exposed, by name and label values in the order of the labels' names.
func (n *naive) expected(counters bool) map[string]float64 {
	want := map[string]float64{}
	for f, v := range n.counts {
		p := strings.Split(f, " ")
		partition, metric, start, system, requisition, region, name, dimension := p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]
		by := region + " " + requisition + " " + system
		switch {
		case start == "0" && name == "open":
			want["concord_kpi_open_incidents "+dimension+" "+partition+" "+by] = float64(v)
		case start == "0" && name == "stuck":
			want["concord_kpi_stuck "+dimension+" "+partition+" "+by] = float64(v)
		case start == "0" && name == "ats_behind":
			want["concord_kpi_ats_behind "+partition+" "+by] = float64(v)
		case start == "0":
			want["concord_kpi_ats_behind_oldest_timestamp_seconds "+partition+" "+by] = float64(v) / 1e6
		case !counters:
		case name == "late":
			want["concord_kpi_late_total"] += float64(v)
		case name == "skewed":
			want["concord_kpi_writeback_skewed_total "+by] += float64(v)
		case metric == "writeback":
			want["concord_kpi_writeback_total "+name+" "+by] += float64(v)
		case metric == "conflicts":
			want["concord_kpi_incidents_total "+name+" "+dimension+" "+by] += float64(v)
		case name == "decisions":
			want["concord_kpi_decisions_total "+dimension+" "+by] += float64(v)
		case name == "hires":
			want["concord_kpi_hires_total "+by] += float64(v)
		}
	}
	if !counters {
		return want
	}
	for where, samples := range n.samples {
		p := strings.Split(where, " ")
		by := p[5] + " " + p[4] + " " + p[3]
		want["concord_kpi_writeback_latency_seconds_count "+by] += float64(len(samples))
		for _, s := range samples {
			want["concord_kpi_writeback_latency_seconds_sum "+by] += s
		}
	}
	return want
}

// gather reads every value of the consumer's own metrics.
func gather(t *testing.T, g prometheus.Gatherer, counters bool) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "concord_kpi_") || !counters && family.GetType() != dto.MetricType_GAUGE {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := ""
			for _, label := range m.GetLabel() {
				labels += " " + label.GetValue()
			}
			switch h := m.GetHistogram(); {
			case h != nil:
				got[family.GetName()+"_count"+labels], got[family.GetName()+"_sum"+labels] = float64(h.GetSampleCount()), h.GetSampleSum()
			case m.Counter != nil:
				got[family.GetName()+labels] = m.GetCounter().GetValue()
			default:
				got[family.GetName()+labels] = m.GetGauge().GetValue()
			}
		}
	}
	return got
}
