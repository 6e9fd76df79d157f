package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/concord-ats/concord/cmd/concord/config"
	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/policy"
)

//go:generate go run . ats capabilities --all --into ../../docs/ats.md

// The matrix of a page stands between these.
const (
	matrixBegins = "<!-- matrix: written by go generate -->\n"
	matrixEnds   = "<!-- end of the matrix -->\n"
)

func (a *app) atsCommand() *cobra.Command {
	var all bool
	var into string
	capabilities := a.jsonFlag(&cobra.Command{
		Use:   "capabilities",
		Short: "Print what each configured ATS can do and what its answers mean, as Markdown",
		Long: "Print what each configured ATS can do and what its answers mean, as write-back goes by it. With --all, or when none is\n" +
			"configured, every dialect that can be written to, under the built-in policy.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.load(cmd); err != nil {
				return err
			}
			if all || len(a.systems()) == 0 {
				a.cfg.ATS = dialectTenants()
				a.cfg.Policy.Archives = nil
			}
			names, caps, err := a.capabilities()
			if err != nil {
				return err
			}
			if a.json {
				out := map[string]capabilityView{}
				for i, name := range names {
					out[name] = viewOf(&caps[i])
				}
				return a.printJSON(out)
			}
			table := matrix(names, caps)
			if into != "" {
				return replaceMatrix(into, table)
			}
			if _, err := a.stdout.Write(table); err != nil {
				return fmt.Errorf("print: %w", err)
			}
			return nil
		},
	})
	capabilities.Flags().BoolVar(&all, "all", false, "every dialect instead of what is configured")
	capabilities.Flags().StringVar(&into, "into", "", "replace the matrix of this page instead of printing it")
	return group("ats", "Show what is known of the ATSs, and describe one of your own", capabilities, a.atsInit(), a.atsCheck())
}

// dialectTenants is a tenant, named as its dialect, of every ATS of the built-in policy.
func dialectTenants() []config.ATS {
	var out []config.ATS
	for _, kind := range policy.DefaultATSs() {
		out = append(out, config.ATS{Instance: kind, Kind: kind, URL: "https://ats.example", ClientID: "none", ClientSecret: "none", UserID: "none", ReadLag: config.DefaultATS().ReadLag})
	}
	return out
}

func (a *app) capabilities() (names []string, caps []ats.Capabilities, err error) {
	for _, tenant := range a.systems() {
		mapping, err := a.translation(tenant.Instance)
		if err != nil {
			return nil, nil, err
		}
		client, err := a.atsClient(tenant, mapping, time.Second, nil)
		if err != nil {
			return nil, nil, err
		}
		if client != nil {
			names, caps = append(names, tenant.Instance), append(caps, client.Capabilities())
		}
	}
	return names, caps, nil
}

// matrix is a table with a row for each property and a column for each ATS.
func matrix(names []string, caps []ats.Capabilities) []byte {
	var b bytes.Buffer
	row := func(cells ...string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	row(append([]string{""}, names...)...)
	row(append([]string{"---"}, strings.Split(strings.Repeat("--- ", len(names)), " ")[:len(names)]...)...)
	for _, r := range capabilityRows {
		cells := []string{r.name}
		for i := range caps {
			cells = append(cells, r.of(&caps[i]))
		}
		row(cells...)
	}
	return b.Bytes()
}

// capabilityRows are the properties of an ATS, in words.
var capabilityRows = []struct {
	name string
	of   func(*ats.Capabilities) string
}{
	{"compares before it sets", func(c *ats.Capabilities) string {
		return map[string]string{"version": "the version", "stage": "the stage of a move", "nothing": "nothing"}[compares(c)]
	}},
	{"can be written", func(c *ats.Capabilities) string { return strings.Join(writes(c), ", ") }},
	{"a note begins with", func(c *ats.Capabilities) string {
		if c.NoteMarker == "" {
			return "no notes"
		}
		return "`" + fmt.Sprintf(c.NoteMarker, "ELEMENT") + "`"
	}},
	{"a move sets off", func(c *ats.Capabilities) string { return trigger(c.MoveTriggers) }},
	{"a rejection sets off", func(c *ats.Capabilities) string { return trigger(c.RejectTriggers) }},
	{"rate limit", func(c *ats.Capabilities) string {
		switch {
		case c.Rate.Requests == 0:
			return "not published"
		case c.Rate.Burst > 0:
			return fmt.Sprintf("%d in %s, burst %d", c.Rate.Requests, c.Rate.Window, c.Rate.Burst)
		}
		return fmt.Sprintf("%d in %s", c.Rate.Requests, c.Rate.Window)
	}},
	{"requests at once", func(c *ats.Capabilities) string { return bound(c.Rate.Concurrent) }},
	{"requests a day", func(c *ats.Capabilities) string { return bound(c.Rate.Daily) }},
	{"requests of a read, of elements, a move, a close", func(c *ats.Capabilities) string {
		return fmt.Sprintf("%d, %d, %d, %d", c.Reads(), max(c.ElementRequests, 1), max(c.MoveRequests, 1), max(c.StatusRequests, 1))
	}},
	{"the region of an application", func(c *ats.Capabilities) string { return yesNo(c.Region, "read", "not read") }},
	{"a read may lag", func(c *ats.Capabilities) string { return c.ReadLag.String() }},
	{"the answer to a write", func(c *ats.Capabilities) string {
		return map[ats.Answer]string{
			ats.AnswerNothing: "says nothing", ats.AnswerVerdict: "can say under 200 that it failed", ats.AnswerMirror: "is the record, blanked or late",
		}[c.Answer]
	}},
	{"200 to a move of a closed application", func(c *ats.Capabilities) string { return yesNo(c.Archived, "possible: it stays closed", "no") }},
	{"404 may mean denied", func(c *ats.Capabilities) string { return yesNo(c.NotFoundMayMeanDenied, "yes", "no") }},
	{"a read shows an anonymised person", func(c *ats.Capabilities) string { return yesNo(c.ShowsAnonymized, "yes", "no") }},
	{"a 5xx was executed", func(c *ats.Capabilities) string { return yesNo(c.ServerErrorNotExecuted, "no", "perhaps") }},
}

func trigger(t ats.Trigger) string {
	return map[ats.Trigger]string{ats.TriggerNothing: "nothing", ats.TriggerRules: "the tenant's rules, perhaps e-mails", ats.TriggerMessage: "a message to the candidate"}[t]
}

func bound(n int) string {
	if n == 0 {
		return "no limit known"
	}
	return strconv.Itoa(n)
}

func yesNo(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

func replaceMatrix(path string, table []byte) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return &usageError{err}
	}
	before, rest, begins := bytes.Cut(page, []byte(matrixBegins))
	_, after, ends := bytes.Cut(rest, []byte(matrixEnds))
	if !begins || !ends {
		return usage("--into %s: holds no line %q followed by %q", path, strings.TrimSpace(matrixBegins), strings.TrimSpace(matrixEnds))
	}
	out := bytes.Join([][]byte{before, []byte(matrixBegins), table, []byte(matrixEnds), after}, nil)
	if err := os.WriteFile(path, out, 0o644); err != nil {
		return fmt.Errorf("write the matrix: %w", err)
	}
	return nil
}
