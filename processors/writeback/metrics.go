package writeback

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the worker's metrics. The caller registers them: registerer.MustRegister(m). They carry no id of an
// application.
type Metrics struct {
	// Outcomes counts outcomes committed, by kind, outcome and detail.
	Outcomes *prometheus.CounterVec
	// Commands counts commands received, by what became of them on acceptance.
	Commands *prometheus.CounterVec
	// Calls are the seconds of calls to an ATS, by system, operation (read, write, readback) and result: "ok"
	// or the class of the error.
	Calls *prometheus.HistogramVec
	// Repeated counts the calls that repeat a failed one, by system.
	Repeated *prometheus.CounterVec
	// Throttled are the seconds a call waited for the rate limit, a penalty, the breaker or its turn.
	Throttled *prometheus.HistogramVec
	// Zombies counts writes that were on their way when the partition was lost.
	Zombies prometheus.Counter
	// Windows are the seconds between the last read and the write it justified, where the ATS cannot compare
	// and set; Overtaken counts the times somebody was seen to move the application in it.
	Windows   prometheus.Histogram
	Overtaken prometheus.Counter
	// Spilled counts commands left in the state store for want of room in memory.
	Spilled prometheus.Counter

	mu      sync.Mutex
	tenants []*tenant
	active  *prometheus.Desc
	queued  *prometheus.Desc
	oldest  *prometheus.Desc
	parked  *prometheus.Desc
	lost    *prometheus.Desc
}

// NewMetrics returns metrics to be given to one worker.
func NewMetrics() *Metrics {
	const ns, sub = "concord", "writeback"
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help}
	}
	histogram := func(name, help string) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{
			Namespace: ns, Subsystem: sub, Name: name, Help: help,
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}
	}
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(ns, sub, name), help, []string{"system"}, nil)
	}
	return &Metrics{
		Outcomes:  prometheus.NewCounterVec(counter("outcomes_total", "Outcomes committed."), []string{"kind", "outcome", "detail"}),
		Commands:  prometheus.NewCounterVec(counter("commands_total", "Commands received."), []string{"acceptance"}),
		Calls:     prometheus.NewHistogramVec(histogram("ats_call_seconds", "Calls to an ATS."), []string{"system", "op", "result"}),
		Repeated:  prometheus.NewCounterVec(counter("repeated_calls_total", "Calls to an ATS that repeat a failed one."), []string{"system"}),
		Throttled: prometheus.NewHistogramVec(histogram("ats_wait_seconds", "Waits before a call to an ATS."), []string{"system"}),
		Zombies:   prometheus.NewCounter(counter("zombie_windows_total", "Writes on their way when the partition was lost.")),
		Windows:   prometheus.NewHistogram(histogram("read_write_window_seconds", "From the last read to a write the ATS cannot compare and set.")),
		Overtaken: prometheus.NewCounter(counter("overtaken_total", "Applications somebody moved around a write.")),
		Spilled:   prometheus.NewCounter(counter("spilled_total", "Commands left in the state store for want of room in memory.")),
		active:    desc("in_flight", "Applications being worked on."),
		queued:    desc("queued", "Commands in memory that wait for their turn."),
		oldest:    desc("oldest_queued_seconds", "Age of the oldest command in memory that waits for its turn."),
		parked:    desc("parked", "1 while the system is parked."),
		lost:      desc("policy_unknown", "Commands being worked on whose policy is not known here, or not proven."),
	}
}

func (m *Metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.Outcomes, m.Commands, m.Calls, m.Repeated, m.Throttled, m.Zombies, m.Windows, m.Overtaken, m.Spilled}
}

// Describe implements [prometheus.Collector].
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.collectors() {
		c.Describe(ch)
	}
	for _, d := range []*prometheus.Desc{m.active, m.queued, m.oldest, m.parked, m.lost} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.collectors() {
		c.Collect(ch)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.tenants {
		s := t.snapshot()
		gauge := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, t.system)
		}
		gauge(m.active, float64(s.active))
		gauge(m.queued, float64(s.queued))
		gauge(m.oldest, s.oldest.Seconds())
		gauge(m.lost, float64(s.lost))
		parked := 0.0
		if s.parked {
			parked = 1
		}
		gauge(m.parked, parked)
	}
}
