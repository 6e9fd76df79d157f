package reconciler

import (
	"context"
	"encoding/hex"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policylog"
)

// policyMetrics tell which bundle is in force in each partition, what time has made of it, and what was refused. Judged when
// they are read.
type policyMetrics struct {
	policies *policylog.Log // may be nil
	refused  *prometheus.CounterVec

	mu       sync.Mutex
	inForce  map[int32]judging
	warned   map[hiring.Digest][]string // places of warnings
	warnedAt time.Time
}

type judging struct {
	owned  context.Context // ends when the partition goes
	digest hiring.Digest
	since  hiring.Micros
}

// warnEvery is how often a bundle is checked anew: what time alone changes, changes by the day.
const warnEvery = time.Minute

var (
	inForceDesc  = prometheus.NewDesc("concord_policy_in_force_timestamp_seconds", "Since when the bundle has been in force that judges a partition.", []string{"partition", "policy"}, nil)
	warningDesc  = prometheus.NewDesc("concord_policy_warnings", "Warnings of policy check about the bundle in force, by place.", []string{"policy", "place"}, nil)
	unprovenDesc = prometheus.NewDesc("concord_policy_unproven", "1 for a published bundle in force whose signatures hold no longer: a key has expired or was revoked since.", []string{"policy"}, nil)
)

func newPolicyMetrics(policies *policylog.Log) *policyMetrics {
	m := &policyMetrics{
		policies: policies, inForce: map[int32]judging{}, warned: map[hiring.Digest][]string{},
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "concord_policy_refused_total", Help: "Activations of a published bundle that a partition refused, by cause."}, []string{"cause"}),
	}
	for _, c := range policylog.Causes() {
		m.refused.WithLabelValues(string(c))
	}
	return m
}

// judges notes what judges a partition now.
func (m *policyMetrics) judges(partition int32, owned context.Context, rules *hiring.Rules) {
	b := rules.Bundles[len(rules.Bundles)-1-rules.Scheduled]
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inForce[partition] = judging{owned, b.Digest, b.EffectiveAt}
}

// Describe implements prometheus.Collector.
func (m *policyMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- inForceDesc
	ch <- warningDesc
	ch <- unprovenDesc
}

// Collect implements prometheus.Collector.
func (m *policyMetrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	stale := now.Sub(m.warnedAt) > warnEvery
	if stale {
		clear(m.warned)
		m.warnedAt = now
	}
	seen := map[hiring.Digest]bool{}
	for n, j := range m.inForce {
		if j.owned.Err() != nil {
			delete(m.inForce, n)
			continue
		}
		name := hex.EncodeToString(j.digest[:])
		ch <- prometheus.MustNewConstMetric(inForceDesc, prometheus.GaugeValue, float64(j.since)/1e6, strconv.Itoa(int(n)), name)
		if seen[j.digest] || m.policies == nil {
			continue
		}
		seen[j.digest] = true
		places, ok := m.warned[j.digest]
		if !ok {
			places = m.policies.Warnings(j.digest, now)
			m.warned[j.digest] = places
		}
		for _, place := range places {
			ch <- prometheus.MustNewConstMetric(warningDesc, prometheus.GaugeValue, 1, name, place)
		}
		unproven := 0.0
		if m.policies.Proven(j.digest, now) != nil {
			unproven = 1
		}
		ch <- prometheus.MustNewConstMetric(unprovenDesc, prometheus.GaugeValue, unproven, name)
	}
}
