package main

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/concord-ats/concord/processors/reconciler/replay"
)

// shown is how many differences and faults a report lists on a terminal.
const shown = 20

// printSimulation prints a report for people.
func (a *app) printSimulation(r *replay.Report) error {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(a.stdout, "%-15s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("replayed", "%d decisions of %s, from %s to %s", r.Decisions, count(int(r.Applications), "application", "applications"), instant(r.From), instant(r.Until))
	for _, d := range r.Recorded {
		row("policy then", "sha256:%s…", d)
	}
	if !r.Simulated.IsZero() {
		since := "from the beginning"
		if r.Since != 0 {
			since = "from " + instant(r.Since) + " on"
		}
		row("policy tried", "sha256:%s… %s", r.Simulated, since)
	}
	for _, n := range r.Notes() {
		row("note", "%s", n)
	}
	row("on record", "%s", r.Record())
	for _, f := range r.Faults[:min(len(r.Faults), shown)] {
		fmt.Fprintf(a.stdout, "  %s\n", f)
	}
	if r.Simulated.IsZero() {
		return nil
	}
	row("otherwise", "%s", count(int(r.Differing), "application", "applications"))
	fmt.Fprintln(a.stdout)
	if err := a.printCounts(r); err != nil {
		return err
	}
	if err := a.printDifferences(r); err != nil {
		return err
	}
	for i := range r.Examples {
		if err := a.printExample(&r.Examples[i]); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) printCounts(r *replay.Report) error {
	var rows [][]string
	for _, f := range r.Summary() {
		rows = append(rows, []string{f.Name, f.Recorded, f.Simulated, f.Note})
	}
	return a.table([]string{"", "ON RECORD", "SIMULATED", ""}, rows)
}

func (a *app) printDifferences(r *replay.Report) error {
	var rows [][]string
	for i := range r.Differences[:min(len(r.Differences), shown)] {
		d := &r.Differences[i]
		rows = append(rows, []string{d.Application, instant(d.Since), orNone(d.Recorded), orNone(d.Simulated), d.Words()})
	}
	if err := a.section([]string{"APPLICATION", "DIFFERS SINCE", "ON RECORD", "SIMULATED", "WHAT"}, rows); err != nil {
		return err
	}
	if more := r.Differing - int64(len(rows)); more > 0 {
		fmt.Fprintln(a.stdout, "and "+strconv.FormatInt(more, 10)+" more (--json, --out)")
	}
	return nil
}

func (a *app) printExample(e *replay.Example) error {
	fmt.Fprintf(a.stdout, "\n%s: %s\n", e.Application, e.Words())
	var rows [][]string
	for i := range e.Timeline {
		m := &e.Timeline[i]
		mark, simulated := " ", "the same"
		switch {
		case m.Unknown:
			simulated = "not known"
		case m.Differs():
			mark, simulated = "≠", orNone(m.Simulated)
		}
		rows = append(rows, []string{mark, instant(m.At), m.Event, orNone(m.Recorded), simulated})
	}
	return a.table(slices.Clone([]string{"", "AT", "EVENT", "ON RECORD", "SIMULATED"}), rows)
}
