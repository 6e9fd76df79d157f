package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/kpi"
)

func (a *app) kpiCommand() *cobra.Command {
	since, metric := 24*time.Hour, ""
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "kpi",
		Short: "Print the measured windows, merged over partitions, and how things stand now",
		Long: "Print the newest revision of every window, merged over partitions. A window that starts at \"now\" says how\n" +
			"things stand; in JSON, times in its counts are microseconds since the epoch.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			names := map[string]string{"writeback": topics.KPIWriteback, "conflicts": topics.KPIConflicts, "quality": topics.KPIQuality}
			if _, ok := names[metric]; metric != "" && !ok {
				return usage("--metric %s: give writeback, conflicts or quality", metric)
			}
			if err := a.load(cmd); err != nil {
				return err
			}
			r, err := a.reader(cmd.Context())
			if err != nil {
				return err
			}
			defer r.close()
			all := []*wire.KpiWindow{}
			for _, m := range []string{"writeback", "conflicts", "quality"} {
				if metric != "" && metric != m {
					continue
				}
				windows, err := r.windows(cmd.Context(), names[m], wire.MicrosOf(time.Now().Add(-since)))
				if err != nil {
					return err
				}
				all = append(all, windows...)
			}
			if a.json {
				return a.printJSON(all)
			}
			return a.printWindows(all)
		},
	})
	cmd.Flags().DurationVar(&since, "since", since, "windows that end within this time")
	cmd.Flags().StringVar(&metric, "metric", "", "only writeback, conflicts or quality")
	return cmd
}

// windowKey is what a window is about, without the partition its counts come from.
type windowKey struct {
	metric, system, kind, region string
	start                        wire.Micros
}

// windows returns the windows of a topic that end after since, merged over partitions and sorted.
func (r *reader) windows(ctx context.Context, topic string, since wire.Micros) ([]*wire.KpiWindow, error) {
	start, end, err := r.bounds(ctx, topic)
	if err != nil {
		return nil, err
	}
	type part struct {
		windowKey
		partition int32
	}
	newest := map[part]*wire.KpiWindow{}
	for p := range int32(len(end[topic])) {
		if err := r.scan(ctx, topic, p, start[topic][p].Offset, end[topic][p].Offset, func(rec *kgo.Record) error {
			w := new(wire.KpiWindow)
			if err := r.schemas.Decode(ctx, rec.Value, w); err != nil {
				return fmt.Errorf("window at %s/%d/%d: %w", rec.Topic, rec.Partition, rec.Offset, err)
			}
			if w.WindowStart != 0 && w.WindowEnd < since {
				return nil
			}
			key := part{windowKey{w.Metric, w.System, w.RequisitionType, w.Region, w.WindowStart}, w.Partition}
			if old := newest[key]; old == nil || w.Revision >= old.Revision {
				newest[key] = w
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	merged := map[windowKey][]*wire.KpiWindow{}
	for key, w := range newest {
		merged[key.windowKey] = append(merged[key.windowKey], w)
	}
	out := make([]*wire.KpiWindow, 0, len(merged))
	for _, parts := range merged {
		w, err := mergeWindows(parts)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b *wire.KpiWindow) int {
		return cmp.Or(cmp.Compare(a.WindowStart, b.WindowStart), strings.Compare(a.System, b.System),
			strings.Compare(a.RequisitionType, b.RequisitionType), strings.Compare(a.Region, b.Region))
	})
	return out, nil
}

// oldest marks counts that are points in time: they merge by the smallest.
const oldest = "_oldest_at"

// mergeWindows adds the counts and merges the sketches of one window's partitions.
func mergeWindows(parts []*wire.KpiWindow) (*wire.KpiWindow, error) {
	slices.SortFunc(parts, func(a, b *wire.KpiWindow) int { return cmp.Compare(a.Partition, b.Partition) })
	out := *parts[0]
	out.Partition, out.Counts, out.Revision = -1, nil, 0
	var sketch *ddsketch.DDSketch
	for _, p := range parts {
		out.Revision += p.Revision
		out.UpdatedAt = max(out.UpdatedAt, p.UpdatedAt)
		for _, c := range p.Counts {
			i := slices.IndexFunc(out.Counts, func(o wire.Count) bool { return o.Name == c.Name && o.Dimension == c.Dimension })
			switch {
			case i < 0:
				out.Counts = append(out.Counts, c)
			case strings.HasSuffix(c.Name, oldest):
				out.Counts[i].Value = earlier(out.Counts[i].Value, c.Value)
			default:
				out.Counts[i].Value += c.Value
			}
		}
		if len(p.Sketch) == 0 {
			continue
		}
		next, err := kpi.ReadSketch(p.Sketch)
		if err != nil {
			return nil, err
		}
		if sketch == nil {
			sketch = next
		} else if err := sketch.MergeWith(next); err != nil {
			return nil, fmt.Errorf("merge sketches: %w", err)
		}
	}
	slices.SortFunc(out.Counts, func(a, b wire.Count) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Dimension, b.Dimension))
	})
	if sketch != nil {
		if err := kpi.Quantiles(&out, sketch); err != nil {
			return nil, err
		}
	}
	return &out, nil
}

// earlier is the smaller of two times of which 0 means none.
func earlier(a, b int64) int64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

func (a *app) printWindows(all []*wire.KpiWindow) error {
	var rows [][]string
	for _, w := range all {
		start := "now"
		if w.WindowStart != 0 {
			start = instant(w.WindowStart)
		}
		head := []string{w.Metric, start, orNone(w.System), orNone(w.RequisitionType), orNone(w.Region)}
		for _, c := range w.Counts {
			name := c.Name
			if c.Dimension != "" {
				name += " " + c.Dimension
			}
			rows = append(rows, append(slices.Clone(head), name, figure(c)))
		}
		if rate, ok := successRate(w); ok {
			rows = append(rows, append(slices.Clone(head), "success rate", strconv.FormatFloat(rate, 'f', 4, 64)))
		}
		if w.Samples > 0 {
			for _, q := range []struct {
				name  string
				value float64
			}{{"latency p50", w.P50}, {"latency p95", w.P95}, {"latency p99", w.P99}} {
				rows = append(rows, append(slices.Clone(head), q.name, strconv.FormatFloat(q.value, 'f', 3, 64)+" s"))
			}
		}
	}
	return a.table([]string{"METRIC", "WINDOW", "ATS", "REQUISITION", "REGION", "FIGURE", "VALUE"}, rows)
}

// figure is a count in words: a point in time says how long ago it was.
func figure(c wire.Count) string {
	if !strings.HasSuffix(c.Name, oldest) || c.Value == 0 {
		return strconv.FormatInt(c.Value, 10)
	}
	at := wire.Micros(c.Value)
	return instant(at) + ", " + time.Since(at.Time()).Truncate(time.Minute).String() + " ago"
}

// successRate is confirmed of what ended: confirmed, blocked, refused and failed.
func successRate(w *wire.KpiWindow) (float64, bool) {
	var confirmed, ended int64
	for _, c := range w.Counts {
		switch c.Name {
		case "confirmed":
			confirmed += c.Value
			ended += c.Value
		case "blocked", "refused", "failed":
			ended += c.Value
		}
	}
	if w.Metric != "writeback" || ended == 0 {
		return 0, false
	}
	return float64(confirmed) / float64(ended), true
}
