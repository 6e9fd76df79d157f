package kpi

import (
	"strconv"
	"strings"
	"sync"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/concord-ats/concord/pkg/wire"
)

// maxDims bounds how many combinations of ATS instance, requisition type and region have series of their own. They come
// from outside: what is past the bound, or is no identifier, is counted under [other] and has no gauges. The topics hold all.
const maxDims = 500

const other = "other"

// labels are the label values of a combination; false when it has no series of its own. Safe for concurrent use.
type labels struct {
	mu    sync.Mutex
	known map[dims]bool
}

func (l *labels) of(d dims) ([]string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.known[d] {
		if len(l.known) >= maxDims || !identifier(d.system) || !identifier(d.requisitionType) || !identifier(d.region) {
			return []string{other, other, other}, false
		}
		if l.known == nil {
			l.known = map[dims]bool{}
		}
		l.known[d] = true
	}
	return []string{d.system, d.requisitionType, d.region}, true
}

// identifier reports whether a text can stand in a label: an address or a sentence is none (rule E3).
func identifier(s string) bool {
	return len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool { return r == '@' || r <= ' ' || !unicode.IsPrint(r) })
}

type metrics struct {
	labels    labels
	writeback *prometheus.CounterVec
	skewed    *prometheus.CounterVec
	latency   *prometheus.HistogramVec
	conflicts *prometheus.CounterVec
	decisions *prometheus.CounterVec
	hires     *prometheus.CounterVec
	open      *prometheus.GaugeVec
	stuck     *prometheus.GaugeVec
	behind    *prometheus.GaugeVec
	oldest    *prometheus.GaugeVec
	late      prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	by := []string{"system", "requisition_type", "region"}
	with := func(more ...string) []string { return append(append([]string(nil), by...), more...) }
	m := &metrics{
		writeback: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "concord_kpi_writeback_total", Help: "Write-back outcomes."}, with("outcome")),
		skewed:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "concord_kpi_writeback_skewed_total", Help: "Confirmations whose latency is negative, as clocks differ, and counts as 0."}, by),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "concord_kpi_writeback_latency_seconds", Help: "From screening finished to ATS confirmed, in event time.", Buckets: prometheus.ExponentialBuckets(0.1, 2, 18),
		}, by),
		conflicts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "concord_kpi_incidents_total", Help: "Incident changes, by distinct id."}, with("kind", "change")),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "concord_kpi_decisions_total", Help: "Decisions by reason."}, with("reason")),
		hires:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "concord_kpi_hires_total", Help: "Hires."}, by),
		open:      prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "concord_kpi_open_incidents", Help: "Open incidents by kind, per partition."}, with("kind", "partition")),
		stuck:     prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "concord_kpi_stuck", Help: "Stuck applications by owner, per partition."}, with("owner", "partition")),
		behind:    prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "concord_kpi_ats_behind", Help: "Applications whose screening is finished while the ATS shows an earlier stage, per partition."}, with("partition")),
		oldest:    prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "concord_kpi_ats_behind_oldest_timestamp_seconds", Help: "When the screening of the longest-waiting such application finished, per partition; 0 = none."}, with("partition")),
		late:      prometheus.NewCounter(prometheus.CounterOpts{Name: "concord_kpi_late_total", Help: "Records past the horizon."}),
	}
	if reg != nil {
		reg.MustRegister(m.writeback, m.skewed, m.latency, m.conflicts, m.decisions, m.hires, m.open, m.stuck, m.behind, m.oldest, m.late)
	}
	return m
}

// observe counts what a committed transaction measured; windows[i] is what deltas[i] made.
func (m *metrics) observe(deltas []*delta, windows []*wire.KpiWindow) {
	for i, d := range deltas {
		if d.id.start == 0 {
			for id := range d.counts {
				m.stands(windows[i], id)
			}
			for id := range d.set {
				m.stands(windows[i], id)
			}
			continue
		}
		by, _ := m.labels.of(d.id.dims)
		for id, n := range d.counts {
			m.count(d.id.metric, by, id, float64(n))
		}
		for _, s := range d.sample {
			m.latency.WithLabelValues(by...).Observe(s)
		}
	}
}

// stands sets the gauge of one count of a "now" record.
func (m *metrics) stands(w *wire.KpiWindow, id countID) {
	var v int64
	for i := range w.Counts {
		if w.Counts[i].Name == id.name && w.Counts[i].Dimension == id.dimension {
			v = w.Counts[i].Value
		}
	}
	by, ok := m.labels.of(dims{w.System, w.RequisitionType, w.Region})
	if !ok {
		return
	}
	p := strconv.Itoa(int(w.Partition))
	switch id.name {
	case countBehind:
		m.behind.WithLabelValues(append(by, p)...).Set(float64(v))
	case countOldest:
		m.oldest.WithLabelValues(append(by, p)...).Set(float64(v) / 1e6)
	case countOpen:
		m.open.WithLabelValues(append(by, id.dimension, p)...).Set(float64(v))
	case countStuck:
		m.stuck.WithLabelValues(append(by, id.dimension, p)...).Set(float64(v))
	}
}

// restored sets the gauges of a partition from its state.
func (m *metrics) restored(w *wire.KpiWindow) {
	for i := range w.Counts {
		m.stands(w, countID{w.Counts[i].Name, w.Counts[i].Dimension})
	}
}

// gone removes the gauges of a partition another process owns now.
func (m *metrics) gone(partition int32) {
	match := prometheus.Labels{"partition": strconv.Itoa(int(partition))}
	for _, g := range []*prometheus.GaugeVec{m.open, m.stuck, m.behind, m.oldest} {
		g.DeletePartialMatch(match)
	}
}

func (m *metrics) count(metric string, by []string, id countID, n float64) {
	with := func(last ...string) []string { return append(append([]string(nil), by...), last...) }
	switch {
	case id.name == countLate:
		m.late.Add(n)
	case id.name == countSkewed:
		m.skewed.WithLabelValues(by...).Add(n)
	case metric == metricWriteback:
		m.writeback.WithLabelValues(with(id.name)...).Add(n)
	case metric == metricConflicts:
		m.conflicts.WithLabelValues(with(id.dimension, id.name)...).Add(n)
	case id.name == countDecisions:
		m.decisions.WithLabelValues(with(id.dimension)...).Add(n)
	case id.name == countHires:
		m.hires.WithLabelValues(by...).Add(n)
	}
}
