package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Publish writes the parts that were measured into folder/benchmarks.md, each between its marks, and a plot of each into
// folder/bench. Parts that were not measured keep what they have.
func (r *Report) Publish(folder string) error {
	page := filepath.Join(folder, "benchmarks.md")
	old, err := os.ReadFile(page)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("publish: %w", err)
	}
	text := string(old)
	if err := os.MkdirAll(filepath.Join(folder, "bench"), 0o755); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	for _, part := range Parts() {
		section := r.section(part)
		if section == "" {
			continue
		}
		text = replaceSection(text, part, section)
		for name, c := range r.charts(part) {
			if err := os.WriteFile(filepath.Join(folder, "bench", name+".svg"), c.svg(), 0o644); err != nil {
				return fmt.Errorf("publish: %w", err)
			}
		}
	}
	if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// replaceSection puts a part's section between its marks, or at the end of a page that has none.
func replaceSection(page, part, section string) string {
	open, end := "<!-- bench:"+part+" -->\n", "<!-- /bench:"+part+" -->\n"
	from := strings.Index(page, open)
	to := strings.Index(page, end)
	if from < 0 || to < from {
		return page + "\n" + open + section + end
	}
	return page[:from] + open + section + page[to:]
}

// section is what the page says of a part; empty when it was not measured.
func (r *Report) section(part string) string {
	var out strings.Builder
	for _, t := range r.Tables() {
		if t.Part == part {
			fmt.Fprintf(&out, "**%s.**\n\n%s\n", t.Title, t.markdown())
		}
	}
	if out.Len() == 0 {
		return ""
	}
	var bars []Bar
	for _, b := range r.Bars() {
		if b.Part == part {
			bars = append(bars, b)
		}
	}
	if len(bars) > 0 {
		t := BarTable(bars)
		for i := range t.Rows {
			t.Rows[i] = t.Rows[i][1:]
		}
		t.Head = t.Head[1:]
		out.WriteString(t.markdown() + "\n")
	}
	for _, name := range chartNames(r.charts(part)) {
		fmt.Fprintf(&out, "![%s](bench/%s.svg)\n\n", name, name)
	}
	fmt.Fprintf(&out, "%s, commit %s, %s.  \n`%s`\n", r.Machine, r.Commit, r.Started.UTC().Format(time.DateOnly), r.Command)
	return out.String()
}

func (t *Table) markdown() string {
	var out strings.Builder
	row := func(cells []string) { out.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	row(t.Head)
	out.WriteString(strings.Repeat("|---", len(t.Head)) + "|\n")
	for _, r := range t.Rows {
		row(r)
	}
	return out.String()
}

// charts are the plots of a part, by file name.
func (r *Report) charts(part string) map[string]*chart {
	out := map[string]*chart{}
	switch {
	case part == "throughput" && r.Throughput != nil:
		t := r.Throughput
		out["throughput"] = &chart{title: "Events per second", bars: []chartBar{barOf("reconciler", t.Reconciler.PerS, 1), barOf("copy of the same bytes", t.Copy.PerS, 1)}, limit: t.Copy.PerS.Median / 2}
		out["cpu"] = &chart{title: "CPU seconds per million events", unit: "s", bars: []chartBar{barOf("reconciler", t.Reconciler.CPU, 1), barOf("copy of the same bytes", t.Copy.CPU, 1)}, limit: 2 * t.Copy.CPU.Median}
	case part == "latency" && len(r.Latency) > 0:
		c := &chart{title: "Produce to read-committed decision: p50 (dark) and p99", unit: "ms"}
		for _, l := range r.Latency {
			label := fmt.Sprintf("%s, %d/s", l.Interval, l.Rate)
			c.bars = append(c.bars, chartBar{label: label, value: l.P99, inner: l.P50}, chartBar{label: label + ", copy", value: l.Copy.P99, inner: l.Copy.P50})
		}
		out["latency"] = c
	case part == "growth" && len(r.Growth) > 0:
		pace, memory := &chart{title: "Events per second by known applications"}, &chart{title: "Peak resident memory by known applications", unit: "MiB"}
		for i := range r.Growth {
			g := &r.Growth[i]
			label := strconv.Itoa(g.Applications) + ", " + g.Keys
			pace.bars = append(pace.bars, barOf(label, g.PerS, 1))
			memory.bars = append(memory.bars, barOf(label, g.RSS, 1.0/(1<<20)))
		}
		out["growth"], out["memory"] = pace, memory
	case part == "restart" && len(r.Restart) > 0:
		c := &chart{title: "Seconds from assigned to the first event after kill -9", unit: "s", limit: 1.5}
		for i := range r.Restart {
			x := &r.Restart[i]
			c.bars = append(c.bars, barOf(strconv.Itoa(x.Applications)+", store kept", x.Kept, 1), barOf(strconv.Itoa(x.Applications)+", store wiped", x.Wiped, 1))
		}
		out["restart"] = c
	case part == "sinks" && r.Sinks != nil:
		w := r.Sinks.Writeback
		c := &chart{title: fmt.Sprintf("Write-back: requests in each second, of %d allowed", w.Limit), limit: float64(w.Limit)}
		for i, n := range w.EachSecond {
			c.bars = append(c.bars, chartBar{label: fmt.Sprintf("second %d", i+1), value: float64(n)})
		}
		out["writeback"] = c
	}
	return out
}

func chartNames(charts map[string]*chart) []string {
	var out []string
	for _, name := range []string{"throughput", "cpu", "latency", "growth", "memory", "restart", "writeback"} {
		if charts[name] != nil {
			out = append(out, name)
		}
	}
	return out
}
