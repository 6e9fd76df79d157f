package stream

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the runner's metrics. The caller registers them:
// registerer.MustRegister(m).
type Metrics struct{}

// NewMetrics returns metrics labelled with the name of the group.
func NewMetrics(group string) *Metrics { return &Metrics{} }

// Describe implements [prometheus.Collector].
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {}
