package reconciler

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/concord-ats/concord/pkg/dedupe"
	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policylog"
)

type metrics struct {
	events    *prometheus.CounterVec
	incidents *prometheus.CounterVec
	commands  prometheus.Counter
	dedupe    *prometheus.CounterVec
	oversize  prometheus.Counter
	early     prometheus.Counter
	drift     *prometheus.CounterVec
	policy    *policyMetrics
	byReason  [256]prometheus.Counter // events by reason, resolved once
	byVerdict [dedupe.Other + 1]prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, policies *policylog.Log) *metrics {
	m := &metrics{
		events:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "concord_reconciler_events_total", Help: "Decisions by reason, whether or not their transaction committed."}, []string{"reason"}),
		incidents: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "concord_reconciler_incidents_total", Help: "Incident changes by kind and change."}, []string{"kind", "change"}),
		commands:  prometheus.NewCounter(prometheus.CounterOpts{Name: "concord_reconciler_commands_total", Help: "Commands issued."}),
		dedupe:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "concord_reconciler_dedupe_total", Help: "What the dedupe net said of an event."}, []string{"verdict"}),
		oversize:  prometheus.NewCounter(prometheus.CounterOpts{Name: "concord_reconciler_oversize_states_total", Help: "Records and timers that found no room in the state of their application, which is held."}),
		early:     prometheus.NewCounter(prometheus.CounterOpts{Name: "concord_reconciler_tail_full_total", Help: "Tail entries absorbed early because the tail was full."}),
	}
	m.drift = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "concord_reconciler_drift_total", Help: "Applications that a poll found elsewhere than webhooks had said, with no webhook waiting for a read: their webhooks were lost."}, []string{"system"})
	for r := range hiring.Reasons {
		m.byReason[r] = m.events.WithLabelValues(hiring.Reason(r).String())
	}
	m.policy = newPolicyMetrics(policies)
	for v := range m.byVerdict {
		m.byVerdict[v] = m.dedupe.WithLabelValues(dedupe.Verdict(v).String())
	}
	if reg != nil {
		reg.MustRegister(m.policy.refused, m.policy, m.events, m.incidents, m.commands, m.dedupe, m.oversize, m.early, m.drift)
	}
	return m
}
