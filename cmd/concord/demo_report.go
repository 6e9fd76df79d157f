package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/audit"
)

// demoReport is the one object of --json.
type demoReport struct {
	Seed         uint64        `json:"seed"`
	Applications int           `json:"applications"`
	Dialects     []string      `json:"dialects"`
	Break        string        `json:"break,omitempty"`
	Timings      demoTimings   `json:"timings"`
	Run          *audit.Report `json:"run"`
	Audit        struct {
		Clean    bool            `json:"clean"`
		Findings []audit.Finding `json:"findings"`
	} `json:"audit"`
}

// print writes the report to stdout, once.
func (d *demo) print(r *audit.Report) error {
	if d.printed {
		return nil
	}
	d.printed = true
	if d.a.json {
		out := demoReport{Seed: d.seed, Applications: d.applications, Dialects: d.dialects, Break: d.breaks, Timings: d.timings, Run: r}
		out.Audit.Clean, out.Audit.Findings = r.Clean, r.Findings
		return d.a.printJSON(out)
	}
	d.summary(r)
	d.counts(r)
	d.histogram(r)
	d.kpis(r)
	d.verdict(r)
	return nil
}

func (d *demo) line(format string, args ...any) { fmt.Fprintf(d.a.stdout, format+"\n", args...) }

func (d *demo) summary(r *audit.Report) {
	skipped := 0
	for _, s := range d.sent {
		skipped += s.Skipped
	}
	d.line("population      %d applications, seed %d; %d deliveries: %s twice, %s out of order, %s ten minutes late", r.Applications, r.Seed, r.Deliveries,
		share(r.Duplicates, r.Deliveries), share(r.Reordered, r.Deliveries), share(r.Late, r.Deliveries))
	d.line("engine          %d decisions, %d commands, %d refreshes", r.Decisions, r.Commands, r.Refreshes)
	d.line("ATS             %d requests, %d changes, %d of them by Concord", r.Requests, r.Mutations, r.Writes)
	for _, t := range r.Tenants {
		rate := ""
		if t.Limit != nil {
			rate = fmt.Sprintf("; at most %d requests in %s, of %d allowed", t.Peak, t.Limit.Window, t.Limit.Most())
		}
		d.line("  %-13s %d applications, %d requests (%s again), %d changes by Concord%s", t.System, t.Applications, t.Requests, share(t.Repeats, t.Requests), t.Writes, rate)
	}
	d.line("ambiguous       %d applications within a clock margin, %d ended the other way with an incident", r.Ambiguous, r.OtherEnd)
	d.line("out of hand     %d met a person the ATS made up during a write (%d closing writes landed after them), %d lost a write that must not be repeated; %d actions not done", r.Raced, r.Overtaken, r.Blocked, skipped)
	t := d.timings
	var waves []string
	for i := range t.Settle {
		waves = append(waves, fmt.Sprintf("%s + %s", round(t.Deliver[i]), round(t.Settle[i])))
	}
	d.line("time            start %s, waves sent + settled %s, audit %s", round(t.Start), strings.Join(waves, ", "), round(t.Audit))
}

func (d *demo) counts(r *audit.Report) {
	d.line("\ndecisions by reason")
	d.table(r.Reasons)
	d.line("\nwrite outcomes")
	d.table(r.Outcomes)
	d.line("\nincidents               opened  resolved  retracted")
	for _, kind := range slices.Sorted(maps.Keys(r.Incidents)) {
		c := r.Incidents[kind]
		d.line("  %-20s %7d %9d %10d", kind, c.Opened, c.Resolved, c.Retracted)
	}
	d.line("\ndead letters by cause")
	d.table(r.DeadLetters)
}

// table prints counts, the largest first, three in a row.
func (d *demo) table(counts map[string]int) {
	names := slices.Collect(maps.Keys(counts))
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b)) })
	for row := range slices.Chunk(names, 3) {
		var b strings.Builder
		for _, name := range row {
			fmt.Fprintf(&b, "  %-18s %7d", name, counts[name])
		}
		d.line("%s", b.String())
	}
}

// histogram draws the latencies from screening finished to ATS confirmed.
func (d *demo) histogram(r *audit.Report) {
	d.line("\nscreening finished → ATS confirmed")
	most := 1
	for _, b := range r.Latency {
		most = max(most, b.Count)
	}
	for _, b := range r.Latency {
		d.line("  < %-8s %6d %s", round(b.Below), b.Count, strings.Repeat("█", (b.Count*50+most-1)/most))
	}
}

func (d *demo) kpis(r *audit.Report) {
	k := r.KPI
	d.line("\nKPIs            success rate %.1f %%, latency p50 %.1f s, p95 %.1f s, p99 %.1f s over %d writes", 100*k.SuccessRate, k.P50, k.P95, k.P99, k.Samples)
	d.line("                hires %d, incidents opened %d, open %d, stuck %d, ATS behind %d, late %d", k.Counts["quality.hires"], k.Counts["conflicts.opened"], k.Open, k.Stuck, k.Behind, k.Late)
}

func (d *demo) verdict(r *audit.Report) {
	d.line("\nhow hard the run was")
	var rows []string
	for _, f := range r.Fired {
		note := ""
		if f.Note != "" {
			note = " (" + f.Note + ")"
		}
		rows = append(rows, fmt.Sprintf("  %-7s %-20s %7d of %d%s", f.Kind, f.Name, f.Times, f.Want, note))
	}
	d.line("%s", strings.Join(rows, "\n"))
	if !d.tellsAll() {
		d.line("  nothing is asked of these counts: without Greenhouse not every story can be told")
	}
	if r.Clean {
		d.line("\naudit           clean")
		return
	}
	d.line("\naudit           %d findings", len(r.Findings))
	for _, f := range r.Findings {
		d.line("  %-9s %s", f.Invariant, f.What)
		for _, example := range f.Examples {
			d.line("            %s", example)
		}
		if len(f.Examples) == 0 && len(f.IDs) > 0 {
			d.line("            %s", strings.Join(f.IDs[:min(len(f.IDs), 5)], "  "))
		}
	}
}

func share(n, of int) string {
	if of == 0 {
		return "0 %"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of))
}

func round(t time.Duration) time.Duration {
	if t < 10*time.Second {
		return t.Round(10 * time.Millisecond)
	}
	return t.Round(time.Second)
}
