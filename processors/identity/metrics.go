package identity

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	events, sent, bounds *prometheus.CounterVec
	duplicates           prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		events:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "concord_identity_events_total", Help: "Candidate events, by type."}, []string{"type"}),
		sent:       prometheus.NewCounterVec(prometheus.CounterOpts{Name: "concord_identity_controls_total", Help: "Controls sent to applications, by type."}, []string{"type"}),
		bounds:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "concord_identity_bounds_total", Help: "What a bound of a candidate's state kept out, by bound."}, []string{"bound"}),
		duplicates: prometheus.NewCounter(prometheus.CounterOpts{Name: "concord_identity_probable_duplicates_total", Help: "Other profiles a candidate was told of as probably the same person."}),
	}
	if reg != nil {
		reg.MustRegister(m.events, m.sent, m.bounds, m.duplicates)
	}
	return m
}

// count counts a turn whose transaction has committed.
func (m *metrics) count(kind string, t *turn) {
	m.events.WithLabelValues(kind).Inc()
	for i := range t.effects {
		if c := t.effects[i].control; c != nil {
			m.sent.WithLabelValues(c.Type).Inc()
		}
	}
	for bound, n := range t.dropped {
		m.bounds.WithLabelValues(bound).Add(float64(n))
	}
	m.duplicates.Add(float64(t.told))
}
