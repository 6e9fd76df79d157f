package stream

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the metrics of one runner. The caller registers them:
// registerer.MustRegister(m).
type Metrics struct {
	transactions *prometheus.CounterVec
	txSeconds    prometheus.Histogram
	endSeconds   prometheus.Histogram
	records      prometheus.Counter
	restored     prometheus.Counter
	restoreRate  prometheus.Gauge
	restoring    prometheus.Gauge
	restoreSecs  prometheus.Histogram
	storeOffset  *prometheus.GaugeVec
	cacheHits    prometheus.Counter
	cacheMisses  prometheus.Counter
	cacheBytes   *prometheus.GaugeVec
	timersFired  prometheus.Counter
	timersParked prometheus.Counter
	deadletters  *prometheus.CounterVec
	oldest       *prometheus.GaugeVec
	stuck        *prometheus.GaugeVec
	heals        *prometheus.CounterVec
	retries      prometheus.Counter
	owned        *prometheus.GaugeVec
}

// NewMetrics returns the metrics of a runner, labelled with its group.
func NewMetrics(group string) *Metrics {
	labels := prometheus.Labels{"group": group}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "stream_" + name, Help: help, ConstLabels: labels})
	}
	counters := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stream_" + name, Help: help, ConstLabels: labels}, []string{label})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "stream_" + name, Help: help, ConstLabels: labels})
	}
	gauges := func(name, help, label string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "stream_" + name, Help: help, ConstLabels: labels}, []string{label})
	}
	histogram := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "stream_" + name, Help: help, ConstLabels: labels,
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
		})
	}
	return &Metrics{
		transactions: counters("transactions_total", "Transactions ended, by result: committed, aborted, unknown.", "result"),
		txSeconds:    histogram("transaction_seconds", "From the begin to the end of a transaction."),
		endSeconds:   histogram("transaction_end_seconds", "Flush, offsets and the end marker of a transaction."),
		records:      counter("records_total", "Input records in committed transactions."),
		restored:     counter("restored_records_total", "Changelog records read by restores."),
		restoreRate:  gauge("restore_records_per_second", "Rate of the last restore."),
		restoring:    gauge("restoring_partitions", "Partitions being restored."),
		restoreSecs:  histogram("restore_seconds", "Time to restore the partitions of one assignment."),
		storeOffset:  gauges("store_offset", "Changelog offset of the local store.", "partition"),
		cacheHits:    counter("cache_hits_total", "States found decoded in memory."),
		cacheMisses:  counter("cache_misses_total", "States read from the local store."),
		cacheBytes:   gauges("cache_bytes", "Charged size of the decoded states in memory.", "session"),
		timersFired:  counter("timers_fired_total", "Timers fired, those of aborted transactions included."),
		timersParked: counter("timers_parked_total", "Timers that failed or did not move their due time."),
		deadletters:  counters("deadletters_total", "Dead letters in committed transactions, by cause.", "cause"),
		oldest:       gauges("oldest_unprocessed_seconds", "Age of the oldest input record fetched or waiting, 0 when none is.", "session"),
		stuck: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "stream_stuck_transaction_seconds", ConstLabels: labels,
			Help: "For how long one open transaction has held readers of committed data at one offset, 0 when none does.",
		}, []string{"topic", "partition"}),
		heals:   counters("heals_total", "Rebuilds, by what was wrong: store_corrupt, store_ahead, store_old, store_truncated, session.", "what"),
		retries: counter("retries_total", "Transactions aborted and tried again for an error."),
		owned:   gauges("owned_partitions", "Partitions owned.", "session"),
	}
}

func (m *Metrics) all() []prometheus.Collector {
	return []prometheus.Collector{
		m.transactions, m.txSeconds, m.endSeconds, m.records, m.restored, m.restoreRate, m.restoring,
		m.restoreSecs, m.storeOffset, m.cacheHits, m.cacheMisses, m.cacheBytes, m.timersFired,
		m.timersParked, m.deadletters, m.oldest, m.stuck, m.heals, m.retries, m.owned,
	}
}

// Describe implements [prometheus.Collector].
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(ch)
	}
}

// Collect implements [prometheus.Collector].
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(ch)
	}
}
