package kpi

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/concord-ats/concord/pkg/wire"
)

// What comes from outside makes no more series than there is room for, and no address becomes a label.
func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m := newMetrics(reg)
	add := func(system string) {
		id := windowID{metric: metricQuality, start: 1, dims: dims{system: system}}
		m.observe([]*delta{{id: id, counts: map[countID]int64{{countDecisions, "advanced"}: 1}}}, []*wire.KpiWindow{{}})
	}
	add("jo.doe@example.org")
	for i := range 2 * maxDims {
		add(fmt.Sprint("gh-", i))
	}
	add("gh-0")
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "concord_kpi_decisions_total" {
			continue
		}
		for _, s := range f.GetMetric() {
			for _, l := range s.GetLabel() {
				if l.GetName() == "system" {
					counted[l.GetValue()] += s.GetCounter().GetValue()
				}
			}
		}
	}
	if len(counted) != maxDims+1 || counted[other] != maxDims+1 || counted["gh-0"] != 2 {
		t.Errorf("%d series, %v under %q, %v of gh-0", len(counted), counted[other], other, counted["gh-0"])
	}
}
