package bench

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Table is one result as rows of text.
type Table struct {
	Part  string
	Title string
	Head  []string
	Rows  [][]string
}

// Tables are the results for a reader.
func (r *Report) Tables() []Table {
	var out []Table
	if t := r.Throughput; t != nil {
		out = append(out, t.tables()...)
	}
	if len(r.Latency) > 0 {
		out = append(out, latencyTable(r.Latency))
	}
	if len(r.Growth) > 0 {
		out = append(out, growthTable(r.Growth))
	}
	if len(r.Restart) > 0 {
		out = append(out, restartTable(r.Restart))
	}
	if r.Sinks != nil {
		out = append(out, r.Sinks.table())
	}
	return out
}

func growthTable(all []Growth) Table {
	out := Table{Part: "growth", Title: "Growth: the pace when so many applications are known", Head: []string{"applications", "keys", "events/s (min – max)", "CPU s per 10⁶", "peak RSS", "bytes of a state"}}
	for i := range all {
		g := &all[i]
		out.Rows = append(out.Rows, []string{strconv.Itoa(g.Applications), g.Keys, count(g.PerS), fmt.Sprintf("%.2f", g.CPU.Median), mib(g.RSS), strconv.FormatInt(g.StateBytes, 10)})
	}
	return out
}

func restartTable(all []Restart) Table {
	out := Table{Part: "restart", Title: "Restart after kill -9: seconds from the assignment of partitions to the first event", Head: []string{"applications", "store kept (min – max)", "store wiped (min – max)", "changelog records", "records/s"}}
	for i := range all {
		x := &all[i]
		out.Rows = append(out.Rows, []string{strconv.Itoa(x.Applications), seconds(x.Kept), seconds(x.Wiped), strconv.FormatInt(x.Records, 10), count(x.PerS)})
	}
	return out
}

func (s *Sinks) table() Table {
	w := s.Writeback
	return Table{Part: "sinks", Title: "Sinks", Head: []string{"", "measured"}, Rows: [][]string{
		{"KPI consumer, one core, events/s (min – max)", count(s.KPI.PerS)},
		{"KPI consumer, CPU s per 10⁶ events", fmt.Sprintf("%.2f", s.KPI.CPU.Median)},
		{"KPI consumer, events read", strconv.FormatInt(s.KPI.Events, 10)},
		{"write-back: requests/s the ATS allows", strconv.Itoa(w.Limit)},
		{"write-back: share of that used", fmt.Sprintf("%.1f %% over %.0f s", 100*w.Share, w.Seconds)},
		{"write-back: requests in the fullest second", strconv.Itoa(w.MostIn1s)},
		{"write-back: requests refused by the limit", strconv.Itoa(w.Refused)},
		{"write-back: commands waiting at the start", strconv.Itoa(w.Commands)},
	}}
}

// BarTable shows bars with what was measured.
func BarTable(bars []Bar) Table {
	out := Table{Title: "Bars", Head: []string{"part", "bar", "wanted", "measured", ""}}
	for _, b := range bars {
		verdict := "met"
		if !b.Met {
			verdict = "not met"
		}
		out.Rows = append(out.Rows, []string{b.Part, b.Name, b.Want, b.Value, verdict})
	}
	return out
}

func latencyTable(all []Latency) Table {
	out := Table{
		Part: "latency", Title: "Latency: produce to read-committed decision, and the same of a copy",
		Head: []string{"commit interval", "events/s", "p50 ms", "p99 ms", "max ms", "copy p50", "copy p99", "copy max"},
	}
	for _, l := range all {
		row := []string{l.Interval.String(), strconv.Itoa(l.Rate)}
		for _, ms := range []float64{l.P50, l.P99, l.Max, l.Copy.P50, l.Copy.P99, l.Copy.Max} {
			row = append(row, fmt.Sprintf("%.1f", ms))
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

func (t *Throughput) tables() []Table {
	side := func(name string, s Side) []string {
		return []string{name, count(s.PerS), fmt.Sprintf("%.2f", s.CPU.Median), mib(s.RSS)}
	}
	compared := Table{
		Part:  "throughput",
		Title: fmt.Sprintf("Throughput: %d events of %d applications, %d bytes each", t.Events, t.Applications, t.EventBytes),
		Head:  []string{"", "events/s (min – max)", "CPU s per 10⁶", "peak RSS"},
		Rows: [][]string{
			side("reconciler", t.Reconciler), side("copy of the same bytes", t.Copy),
			{"ratio", fmt.Sprintf("%.2f (%.2f – %.2f)", t.Ratio.Median, t.Ratio.Min, t.Ratio.Max), fmt.Sprintf("%.2f", t.CPURatio.Median), ""},
		},
	}
	wrote := Table{Part: "throughput", Title: "What the reconciler wrote for each event", Head: []string{"topic", "records", "bytes of a record"}}
	for _, o := range t.Outputs {
		wrote.Rows = append(wrote.Rows, []string{o.Topic, fmt.Sprintf("%.3f", o.PerInput), fmt.Sprintf("%.0f", o.Bytes)})
	}
	decided := Table{Part: "throughput", Title: "What it decided", Head: []string{"reason", "share"}}
	var names []string
	var sum int64
	for name, n := range t.Reasons {
		names = append(names, name)
		sum += n
	}
	slices.SortFunc(names, func(a, b string) int { return int(t.Reasons[b]-t.Reasons[a])*2 + strings.Compare(a, b) })
	for _, name := range names {
		decided.Rows = append(decided.Rows, []string{name, fmt.Sprintf("%.2f %%", 100*float64(t.Reasons[name])/float64(sum))})
	}
	return []Table{compared, wrote, decided}
}

// count shows a spread of whole numbers.
func count(s Spread) string { return fmt.Sprintf("%.0f (%.0f – %.0f)", s.Median, s.Min, s.Max) }

func mib(s Spread) string { return fmt.Sprintf("%.0f MiB", s.Median/(1<<20)) }

func seconds(s Spread) string { return fmt.Sprintf("%.2f s (%.2f – %.2f)", s.Median, s.Min, s.Max) }
