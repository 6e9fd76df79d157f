package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// decisionBudget bounds how far back `app show` looks for decisions, in records of the partition.
const decisionBudget = 1_000_000

// applicationView is what `app show --json` prints.
type applicationView struct {
	State     *wire.HiringState `json:"state"`
	Decisions []*wire.Decision  `json:"decisions"` // newest first
}

func (a *app) appCommand() *cobra.Command {
	count := 10
	show := a.jsonFlag(&cobra.Command{
		Use:   "show APPLICATION",
		Short: "Show what is known of one application: canonical, observed, desired, confirmed, incidents, decisions",
		Long: "Show what is known of one application, such as gh-main/265277: its canonical state, what each system says,\n" +
			"what the ATS should show and what is confirmed, open incidents and the last decisions.\n" +
			"Element values may be personal data.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.load(cmd); err != nil {
				return err
			}
			r, err := a.reader(cmd.Context())
			if err != nil {
				return err
			}
			defer r.close()
			view, err := r.application(cmd.Context(), args[0], count)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(view)
			}
			return a.printApplication(view)
		},
	})
	show.Flags().IntVar(&count, "decisions", count, "how many of the last decisions")
	return group("app", "Look at applications", show, a.appExplain())
}

func (r *reader) application(ctx context.Context, id string, decisions int) (applicationView, error) {
	state, err := r.state(ctx, id)
	if err != nil {
		return applicationView{}, err
	}
	view := applicationView{State: state, Decisions: []*wire.Decision{}}
	records, _, err := r.newest(ctx, topics.HiringDecisions, id, decisions, decisionBudget)
	if err != nil {
		return applicationView{}, err
	}
	for _, rec := range records {
		d := new(wire.Decision)
		if err := r.schemas.Decode(ctx, rec.Value, d); err != nil {
			return applicationView{}, fmt.Errorf("decision at %s/%d/%d: %w", rec.Topic, rec.Partition, rec.Offset, err)
		}
		view.Decisions = append(view.Decisions, d)
	}
	return view, nil
}

// holdText says what a hold stops, by which event and how long.
func holdText(h *wire.Hold) string {
	what, until := "all writes", "it is released"
	if h.Scope != "" {
		what = h.Scope
	}
	if h.Until != 0 {
		until = instant(h.Until)
	}
	return what + ", by " + h.By + ", until " + until
}

func (a *app) printApplication(v applicationView) error {
	s := v.State
	h := &s.Head
	rows := [][]string{
		{"version", strconv.FormatInt(s.Version, 10) + ", updated " + instant(s.UpdatedAt)},
		{"canonical", fmt.Sprintf("%s since %s by %s (epoch %d)", orNone(h.Stage), instant(h.EnteredAt), h.EnteredBy, h.Epoch)},
		{"desired", fmt.Sprintf("%s (revision %d)", tuple(&s.Desired), s.DesiredRevision)},
		{"write", writeText(s)},
		{"confirmed", fmt.Sprintf("%s (revision %d)", tuple(&s.Confirmed), s.ConfirmedRevision)},
	}
	for i := range h.Holds {
		rows = append(rows, []string{"held", holdText(&h.Holds[i])})
	}
	for _, f := range []struct {
		is   bool
		text string
	}{
		{s.Erased, "erased"},
		{s.Oversize, "held: the state outgrew its bound"},
		{h.Deleted, "deleted in the ATS"},
		{h.Anonymized, "anonymised"},
	} {
		if f.is {
			rows = append(rows, []string{"mark", f.text})
		}
	}
	if err := a.table([]string{"APPLICATION", s.ApplicationID}, rows); err != nil {
		return err
	}
	rows = nil
	for i := range h.Observations {
		o := &h.Observations[i]
		rows = append(rows, []string{o.Facet, o.Origin.System, strings.Join(o.Values, " | "), instant(o.Origin.At), o.Origin.EventID})
	}
	if err := a.section([]string{"OBSERVED", "SYSTEM", "VALUE", "AT", "EVENT"}, rows); err != nil {
		return err
	}
	rows = nil
	for i := range s.Incidents {
		n := &s.Incidents[i]
		since := instant(n.OpenedAt)
		if n.OpenedAt == 0 {
			since = "in grace since " + instant(n.FirstSeen)
		}
		rows = append(rows, []string{n.Kind.String(), n.Element, since, orNone(n.Owner), n.ID})
	}
	if err := a.section([]string{"INCIDENT", "ELEMENT", "OPEN SINCE", "OWNER", "ID"}, rows); err != nil {
		return err
	}
	rows = nil
	for _, d := range v.Decisions {
		rows = append(rows, []string{
			instant(d.Now), strconv.FormatInt(d.Version, 10), d.Reason.String(), orNone(d.From) + " → " + orNone(d.To), d.EventType, d.EventID,
		})
	}
	return a.section([]string{"DECIDED", "VERSION", "REASON", "STAGE", "EVENT TYPE", "EVENT"}, rows)
}

// section prints a table under an empty line, or nothing when it has no rows.
func (a *app) section(head []string, rows [][]string) error {
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintln(a.stdout)
	return a.table(head, rows)
}

func writeText(s *wire.HiringState) string {
	w := &s.Write
	text := w.State.String()
	if w.Outcome != "" {
		text += ", " + w.Outcome
	}
	if w.Detail != "" {
		text += " (" + w.Detail + ")"
	}
	if w.Since != 0 {
		text += " since " + instant(w.Since)
	}
	return text
}

func tuple(t *wire.Tuple) string {
	var parts []string
	if t.Stage != "" {
		parts = append(parts, "stage "+t.Stage)
	}
	if t.Status != wire.ApplicationStatusUnspecified {
		parts = append(parts, t.Status.String())
	}
	if t.Reason != "" {
		parts = append(parts, "reason "+t.Reason)
	}
	for i := range t.Elements {
		parts = append(parts, t.Elements[i].Name+"="+strconv.Quote(t.Elements[i].Value))
	}
	if len(parts) == 0 {
		return "anything"
	}
	return strings.Join(parts, ", ")
}

func instant(m wire.Micros) string {
	if m == 0 {
		return "-"
	}
	return m.Time().UTC().Format(time.RFC3339)
}

func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
