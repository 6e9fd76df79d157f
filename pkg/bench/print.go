package bench

import (
	"fmt"
	"slices"
	"strings"
)

// Table is one result as rows of text.
type Table struct {
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
	return out
}

func (t *Throughput) tables() []Table {
	side := func(name string, s Side) []string {
		return []string{name, count(s.PerS), fmt.Sprintf("%.2f", s.CPU.Median), mib(s.RSS)}
	}
	compared := Table{
		Title: fmt.Sprintf("Throughput: %d events of %d applications, %d bytes each", t.Events, t.Applications, t.EventBytes),
		Head:  []string{"", "events/s (min – max)", "CPU s per 10⁶", "peak RSS"},
		Rows: [][]string{
			side("reconciler", t.Reconciler), side("copy of the same bytes", t.Copy),
			{"ratio", fmt.Sprintf("%.2f (%.2f – %.2f)", t.Ratio.Median, t.Ratio.Min, t.Ratio.Max), fmt.Sprintf("%.2f", t.CPURatio.Median), ""},
		},
	}
	wrote := Table{Title: "What the reconciler wrote for each event", Head: []string{"topic", "records", "bytes of a record"}}
	for _, o := range t.Outputs {
		wrote.Rows = append(wrote.Rows, []string{o.Topic, fmt.Sprintf("%.3f", o.PerInput), fmt.Sprintf("%.0f", o.Bytes)})
	}
	decided := Table{Title: "What it decided", Head: []string{"reason", "share"}}
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
