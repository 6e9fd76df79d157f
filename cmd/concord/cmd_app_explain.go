package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/concord-ats/concord/pkg/wire"
)

func (a *app) appExplain() *cobra.Command {
	at := ""
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "explain APPLICATION",
		Short: "Tell the story of one application: who said what, what was decided and why, whose turn it is",
		Long: "Tell the story of one application, such as gh-main/265277: what each system said and when, what was decided and by\n" +
			"which line of the policy, who owns the next step and by when, what the ATS shows, and what is in conflict.\n" +
			"Values that the dictionary calls personal or restricted are not shown. --at computes how it stood at a time.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var when wire.Micros
			if at != "" {
				t, err := parseTime(at)
				if err != nil {
					return usage("--at %s: %w", at, err)
				}
				when = wire.MicrosOf(t)
			}
			if err := a.load(cmd); err != nil {
				return err
			}
			r, err := a.reader(cmd.Context())
			if err != nil {
				return err
			}
			defer r.close()
			e, err := a.explain(cmd.Context(), r, args[0], when)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(e)
			}
			return a.printExplanation(e)
		},
	})
	cmd.Flags().StringVar(&at, "at", "", "as it stood then: a moment such as 2026-11-01T09:00:00Z, or a day, which is its beginning in UTC")
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	completeNothing(cmd, "at")
	return cmd
}

// Colours of an explanation; none without a terminal.
const (
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	dim    = "\x1b[2m"
	plain  = "\x1b[0m"
)

// paint colours a text on a terminal.
func (a *app) paint(color, text string) string {
	if text == "" || !a.terminal(a.stdout) {
		return text
	}
	return color + text + plain
}

func (a *app) printExplanation(e *explanation) error {
	var b strings.Builder
	row := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%-12s %s\n", name, text)
		}
	}
	fmt.Fprintf(&b, "%s  as of %s\n\n", a.paint(bold, e.Application), instant(e.At))
	if e.Stage.Stage != "" || e.ATS.System != "" {
		stage := a.paint(bold, orNone(e.Stage.Stage))
		if e.Stage.Meaning != "" {
			stage += ": " + e.Stage.Meaning
		}
		row("stage", stage)
		row("", join("since "+instant(e.Stage.Since), authority(e.Stage.By), e.Stage.Place))
		row("next step", a.next(e))
		row("ATS", e.ATS.System+" shows "+e.ATS.Shows)
		row("should show", e.ATS.Should)
		row("last write", e.ATS.Write)
		row("wave", e.ATS.Wave)
	}
	row("policy", e.Policy)
	for _, m := range e.Marks {
		row("mark", a.paint(yellow, m))
	}
	for i := range e.Conflicts {
		a.conflict(&b, &e.Conflicts[i])
	}
	fmt.Fprintln(&b)
	for i := range e.Timeline {
		a.event(&b, &e.Timeline[i])
	}
	if e.Repeated > 0 {
		fmt.Fprintf(&b, "%s\n", a.paint(dim, count(e.Repeated, "message came again and is left out", "messages came again and are left out")))
	}
	for _, n := range e.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	if _, err := fmt.Fprint(a.stdout, b.String()); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// authority says by whose authority a stage was entered.
func authority(by string) string {
	switch by {
	case "human":
		return "by a person in the ATS"
	case "integration":
		return "by another tool in the ATS"
	case "system":
		return "by the ATS itself"
	case "vendor":
		return "by the screening result"
	case "override":
		return "by a person through Concord"
	}
	return ""
}

func join(parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, ", ")
}

// next says whose turn it is, and by when.
func (a *app) next(e *explanation) string {
	n := &e.Next
	switch {
	case n.Owner == "":
		return "nobody's: " + n.Why
	case n.Why != "":
		return "for " + n.Owner + ": " + a.paint(red, n.Why)
	}
	due := "no limit"
	if n.Due != 0 {
		left := n.Due.Time().Sub(e.At.Time()).Round(time.Minute)
		due = "due " + instant(n.Due)
		if n.Overdue {
			due = a.paint(red, due+", "+span(-left)+" ago")
		} else {
			due += ", in " + span(left)
		}
		if n.Business {
			due += " (working time of the region)"
		}
	}
	return join("the "+n.Owner+"'s", due, n.Place)
}

// span is a length of time as people say it.
func span(d time.Duration) string {
	switch days := d / (24 * time.Hour); {
	case days >= 2:
		return count(int(days), "day", "days")
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dm", int(d.Minutes()))
}

func (a *app) conflict(b *strings.Builder, i *explainedIssue) {
	open := "may open: still within its grace"
	if i.Since != 0 {
		open = "open since " + instant(i.Since)
	}
	about := ""
	if i.About != "" {
		about = " (" + i.About + ")"
	}
	owner := ""
	if i.Owner != "" {
		owner = "owner: " + i.Owner
	}
	fmt.Fprintf(b, "%-12s %s\n", "conflict", a.paint(red, i.Meaning+about)+"; "+join(open, owner, i.Place))
	for _, v := range i.Values {
		leads := ""
		if v.System == i.Leader && len(i.Values) > 1 {
			leads = "  ← stands"
		}
		when := ""
		if v.At != 0 {
			when = " at " + instant(v.At)
		}
		fmt.Fprintf(b, "%-12s   %s says %s%s%s\n", "", v.System, v.Value, when, leads)
	}
}

func (a *app) event(b *strings.Builder, e *explainedEvent) {
	happened := ""
	if e.Happened != 0 && e.At.Time().Sub(e.Happened.Time()).Abs() >= time.Minute {
		happened = " (happened " + instant(e.Happened) + ")"
	}
	fmt.Fprintf(b, "%s  %s: %s%s\n", a.paint(dim, instant(e.At)), e.Who, e.Said, a.paint(dim, happened))
	fmt.Fprintf(b, "%22s→ %s\n", "", e.Reason)
	for _, d := range e.Decided {
		fmt.Fprintf(b, "%22s  %s\n", "", a.paint(bold, d))
	}
	if e.Place != "" {
		fmt.Fprintf(b, "%22s  %s\n", "", a.paint(dim, "by "+e.Place))
	}
}
