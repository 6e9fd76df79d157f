package kpi

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/pb/sketchpb"
	"google.golang.org/protobuf/proto"

	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// Metrics of windows.
const (
	metricWriteback = "writeback"
	metricConflicts = "conflicts"
	metricQuality   = "quality"
)

func topicOf(metric string) string {
	switch metric {
	case metricWriteback:
		return topics.KPIWriteback
	case metricConflicts:
		return topics.KPIConflicts
	}
	return topics.KPIQuality
}

// dims is what figures are split by.
type dims struct{ system, requisitionType, region string }

// windowID names a window; start 0 is the record of how things stand now.
type windowID struct {
	metric string
	start  wire.Micros
	dims   dims
}

// key is the state key and record key. Dimensions are escaped, so that the parts cannot run into one another.
func (w windowID) key() string {
	esc := strings.NewReplacer("%", "%25", "|", "%7C")
	return "w|" + w.metric + "|" + esc.Replace(w.dims.system) + "|" + esc.Replace(w.dims.requisitionType) + "|" + esc.Replace(w.dims.region) + "|" + strconv.FormatInt(int64(w.start), 10)
}

// countID names a count of a window.
type countID struct{ name, dimension string }

// delta is what one transaction adds to a window.
type delta struct {
	id     windowID
	counts map[countID]int64
	sample []float64 // latencies, seconds
	set    map[countID]int64
}

func (d *delta) add(name, dimension string, n int64) {
	if d.counts == nil {
		d.counts = make(map[countID]int64, 8)
	}
	d.counts[countID{name, dimension}] += n
}

// put sets a count instead of adding to it.
func (d *delta) put(name string, v int64) {
	if d.set == nil {
		d.set = make(map[countID]int64, 1)
	}
	d.set[countID{name, ""}] = v
}

// Accuracy and size of a sketch: relative error 1 %, at most 2048 bins, which spans ns to years.
const (
	sketchAccuracy = 0.01
	sketchBins     = 2048
)

// NewSketch returns an empty sketch as the windows use it.
func NewSketch() (*ddsketch.DDSketch, error) {
	return ddsketch.LogCollapsingLowestDenseDDSketch(sketchAccuracy, sketchBins)
}

// ReadSketch decodes the sketch of a window record; nil bytes give an empty one.
func ReadSketch(b []byte) (*ddsketch.DDSketch, error) {
	if len(b) == 0 {
		return NewSketch()
	}
	var pb sketchpb.DDSketch
	if err := proto.Unmarshal(b, &pb); err != nil {
		return nil, fmt.Errorf("read sketch: %w", err)
	}
	into, err := NewSketch()
	if err != nil {
		return nil, err
	}
	from, err := ddsketch.FromProto(&pb)
	if err != nil {
		return nil, fmt.Errorf("read sketch: %w", err)
	}
	if err := into.MergeWith(from); err != nil {
		return nil, fmt.Errorf("read sketch: %w", err)
	}
	return into, nil
}

// Quantiles sets the quantiles of a record from a sketch and stores the sketch in it.
func Quantiles(w *wire.KpiWindow, s *ddsketch.DDSketch) error {
	w.Samples = int64(s.GetCount())
	if w.Samples == 0 {
		w.Sketch, w.P50, w.P95, w.P99 = nil, 0, 0, 0
		return nil
	}
	q, err := s.GetValuesAtQuantiles([]float64{0.5, 0.95, 0.99})
	if err != nil {
		return fmt.Errorf("quantiles: %w", err)
	}
	w.P50, w.P95, w.P99 = q[0], q[1], q[2]
	var buf bytes.Buffer
	s.EncodeProto(&buf)
	w.Sketch = buf.Bytes()
	return nil
}

// apply returns prior with d added; prior may be nil. Deltas are counts, so the map's order does not matter.
func apply(prior *wire.KpiWindow, d *delta, length wire.Micros, partition int32, now wire.Micros) (*wire.KpiWindow, error) {
	w := &wire.KpiWindow{
		Metric: d.id.metric, WindowStart: d.id.start, System: d.id.dims.system, RequisitionType: d.id.dims.requisitionType, Region: d.id.dims.region, Partition: partition,
	}
	if d.id.start != 0 {
		w.WindowEnd = d.id.start + length
	}
	if prior != nil {
		w.Revision, w.Counts, w.Sketch, w.P50, w.P95, w.P99, w.Samples = prior.Revision, slices.Clone(prior.Counts), prior.Sketch, prior.P50, prior.P95, prior.P99, prior.Samples
	}
	w.Revision++
	w.UpdatedAt = now
	for id, n := range d.counts {
		*count(w, id) += n
	}
	for id, v := range d.set {
		*count(w, id) = v
	}
	w.Counts = slices.DeleteFunc(w.Counts, func(c wire.Count) bool { return c.Value == 0 })
	if len(d.sample) > 0 {
		s, err := ReadSketch(w.Sketch)
		if err != nil {
			return nil, err
		}
		for _, v := range d.sample {
			if err := s.Add(v); err != nil {
				return nil, fmt.Errorf("add latency: %w", err)
			}
		}
		if err := Quantiles(w, s); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// count returns the place of a count in the sorted list.
func count(w *wire.KpiWindow, id countID) *int64 {
	i, ok := slices.BinarySearchFunc(w.Counts, id, func(c wire.Count, id countID) int {
		return cmp.Or(strings.Compare(c.Name, id.name), strings.Compare(c.Dimension, id.dimension))
	})
	if !ok {
		w.Counts = slices.Insert(w.Counts, i, wire.Count{Name: id.name, Dimension: id.dimension})
	}
	return &w.Counts[i].Value
}
