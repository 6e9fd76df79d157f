package dedupe

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/concord-ats/concord/pkg/redislink"
)

// Metrics of the net. One value may serve several claimers.
type Metrics struct {
	results     *prometheus.CounterVec
	failures    *prometheus.CounterVec
	seconds     prometheus.Histogram
	unavailable prometheus.Gauge
}

// NewMetrics returns metrics that nobody has registered yet.
func NewMetrics() *Metrics {
	m := &Metrics{
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "concord_dedupe_claims_total",
			Help: "Claims by verdict: fresh, mine, other, unknown.",
		}, []string{"verdict"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "concord_dedupe_failures_total",
			Help: "Polls in which Redis gave no full answer, by cause; skipped = not asked while it is away.",
		}, []string{"cause"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "concord_dedupe_claim_seconds",
			Help:    "Time of one round trip for one poll.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 10),
		}),
		unavailable: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "concord_dedupe_unavailable",
			Help: "1 while the last poll got no full answer from Redis.",
		}),
	}
	for _, v := range []Verdict{Unknown, Fresh, Mine, Other} {
		m.results.WithLabelValues(v.String())
	}
	return m
}

// Collectors returns what main registers.
func (m *Metrics) Collectors() []prometheus.Collector {
	return []prometheus.Collector{m.results, m.failures, m.seconds, m.unavailable}
}

func (m *Metrics) observe(results []Result, took time.Duration, err error) {
	var n [4]int
	for _, r := range results {
		n[r.Verdict]++
	}
	for _, v := range []Verdict{Unknown, Fresh, Mine, Other} {
		m.results.WithLabelValues(v.String()).Add(float64(n[v]))
	}
	m.seconds.Observe(took.Seconds())
	if err == nil {
		m.unavailable.Set(0)
		return
	}
	m.failures.WithLabelValues(redislink.Category(err)).Inc()
	m.unavailable.Set(1)
}

func (m *Metrics) skipped(claims int) {
	m.results.WithLabelValues(Unknown.String()).Add(float64(claims))
	m.failures.WithLabelValues("skipped").Inc()
	m.unavailable.Set(1)
}
