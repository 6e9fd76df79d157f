package writeback

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// counted reads a counter.
func counted(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func TestMetricsCanBeRegistered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.systems["gh"].seed(t, 1)
	m := NewMetrics()
	w.run(func(c *Config) { c.Metrics = m })
	cmd := w.command("gh", 1, 1, toInterviews)
	w.send(cmd)
	w.terminal(cmd.ID)
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(m); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range families {
		seen[f.GetName()] = true
	}
	for _, name := range []string{"outcomes_total", "commands_total", "ats_call_seconds", "in_flight", "queued", "oldest_queued_seconds", "parked", "zombie_windows_total"} {
		if !seen["concord_writeback_"+name] {
			t.Errorf("metric %s is missing", name)
		}
	}
	w.until("counted", func() bool { return counted(t, m.Outcomes.WithLabelValues("apply", "confirmed", "")) == 1 })
}
