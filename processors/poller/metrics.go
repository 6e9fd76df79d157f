package poller

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	applications, failures *prometheus.CounterVec
	walked                 *prometheus.GaugeVec
}

// codePageRefused counts pages whose token the ATS no longer takes.
const codePageRefused = "page_refused"

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		applications: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "concord_poller_applications_total", Help: "Applications an ATS listed as changed; those that webhooks had told of are duplicates."}, []string{"system"}),
		failures:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "concord_poller_failures_total", Help: "Walks cut short, by cause; after page_refused they begin anew at once."}, []string{"system", "code"}),
		walked:       prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "concord_poller_walked_timestamp_seconds", Help: "When the last whole walk over what changed in an ATS ended, as far as this process knows; else when it started."}, []string{"system"}),
	}
	if reg != nil {
		reg.MustRegister(m.applications, m.failures, m.walked)
	}
	return m
}
