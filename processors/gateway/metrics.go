package gateway

import "github.com/prometheus/client_golang/prometheus"

// metrics of one gateway. Labels are closed lists: configured senders, and results named in this package.
type metrics struct {
	requests   *prometheus.CounterVec
	refused    prometheus.Counter
	held       prometheus.GaugeFunc
	unresolved *prometheus.GaugeVec
	oldest     *prometheus.GaugeVec
	resolved   *prometheus.CounterVec
}

func newMetrics() *metrics {
	return &metrics{
		requests:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "concord_gateway_requests_total", Help: "Requests by kind of sender, system and answer."}, []string{"endpoint", "system", "result"}),
		refused:    prometheus.NewCounter(prometheus.CounterOpts{Name: "concord_gateway_connections_refused_total", Help: "Connections closed at once because gateway.max_connections were open."}),
		unresolved: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "concord_gateway_unresolved", Help: "Webhooks this process holds whose application is being looked up, by ATS; bounded for each."}, []string{"system"}),
		oldest:     prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "concord_gateway_unresolved_age_seconds", Help: "Age of the oldest webhook whose application is being looked up, by ATS."}, []string{"system"}),
		resolved:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "concord_gateway_resolved_total", Help: "Webhooks without an application by how their look-up ended: found, dead_lettered."}, []string{"system", "result"}),
	}
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.refused, m.held, m.unresolved, m.oldest, m.resolved}
}
