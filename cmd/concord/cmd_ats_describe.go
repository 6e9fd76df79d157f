package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/concord-ats/concord/pkg/ats/generic"
	"github.com/concord-ats/concord/pkg/policy"
)

// atsInit writes a description to start from.
func (a *app) atsInit() *cobra.Command {
	return &cobra.Command{
		Use:   "init FILE",
		Short: "Write a description of an ATS of one's own and its JSON Schema, to start from",
		Long: "Write a description of an ATS of one's own, and beside it the JSON Schema by which editors check it. What is written is\n" +
			"complete: it speaks to `concord sim ats --dialect inhouse`. Change it into yours, prove it with `concord ats check FILE`,\n" +
			"and name it in the configuration: ats: [{kind: generic, description: FILE, …}]. A FILE that is there is left alone.",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			schema := filepath.Join(filepath.Dir(args[0]), generic.SchemaFile)
			if _, err := os.Lstat(args[0]); err == nil {
				return usage("%s is there already: give another name", args[0])
			}
			for _, f := range []struct {
				path string
				text []byte
			}{
				{schema, generic.Schema()},
				{args[0], append([]byte("# yaml-language-server: $schema="+generic.SchemaFile+"\n"), generic.Example...)},
			} {
				if err := os.WriteFile(f.path, f.text, 0o644); err != nil {
					return &usageError{fmt.Errorf("write the description: %w", err)}
				}
				fmt.Fprintln(a.stdout, f.path)
			}
			a.say("`concord ats check %s` proves it", args[0])
			return nil
		},
	}
}

// described is what a check says, for scripts.
type described struct {
	Name     string        `json:"name"`
	Writes   []string      `json:"writes"`
	Faults   policy.Faults `json:"faults"`
	Warnings policy.Faults `json:"warnings"`
}

// atsCheck proves a description.
func (a *app) atsCheck() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:   "check FILE",
		Short: "Prove that a description of an ATS of one's own holds together; every fault with its place and fix",
		Long: "Prove that a description of an ATS of one's own holds together: that every key is known, every pointer and placeholder\n" +
			"has its form and means something where it stands, that what is compared is sent, that what is written can be read back,\n" +
			"and that webhooks are signed. Warnings are what holds and costs something; they do not change the exit code. It calls\n" +
			"nobody. Exit code 1 when something is wrong.",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			d, err := generic.Load(args[0])
			if err != nil {
				if err = a.findings(err); !errors.Is(err, errFindings) {
					return &usageError{err}
				}
				return err
			}
			if a.json {
				return a.printJSON(described{d.Name, append([]string{}, d.Writes.Names()...), policy.Faults{}, append(policy.Faults{}, d.Warnings...)})
			}
			for _, w := range d.Warnings {
				fmt.Fprintln(a.stdout, "warning:", w)
			}
			hooks := "no webhooks"
			if d.Webhooks != nil {
				hooks = "signed webhooks"
			}
			a.say("%s holds: it writes %s, compares %s and has %s", d.Name, strings.Join(d.Writes.Names(), ", "), d.Compared(), hooks)
			return nil
		},
	})
}
