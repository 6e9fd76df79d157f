package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/concord-ats/concord/cmd/concord/config"
)

//go:generate go run . config reference --out ../../docs/configuration.md

const referenceHead = `# Configuration

Flags win over the environment, the environment over the YAML file (` + "`--config`" + `), the file over the defaults. ` +
	"`concord config show`" + `
prints what is in force and where each value came from, secrets cut. In YAML, dots are nesting. Every key can be given as
` + "`--set key=value`" + ` or as the environment variable. Each secret can come from a file instead: add ` + "`_file`" + ` to its key.
All faults are reported at once, with exit code 2.

`

func (a *app) configCommand() *cobra.Command {
	show := a.jsonFlag(&cobra.Command{
		Use:   "show",
		Short: "Print every key, its value and where it came from; secrets are cut",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.load(cmd); err != nil {
				return err
			}
			if a.json {
				return a.printJSON(a.cfg.Entries())
			}
			return a.cfg.Print(a.stdout)
		},
	})
	out := ""
	reference := &cobra.Command{
		Use:   "reference",
		Short: "Print every key with its default, variable and meaning, as Markdown",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var b bytes.Buffer
			b.WriteString(referenceHead)
			if err := config.Reference(&b); err != nil {
				return err
			}
			if out == "" {
				if _, err := a.stdout.Write(b.Bytes()); err != nil {
					return fmt.Errorf("print: %w", err)
				}
				return nil
			}
			if err := os.WriteFile(out, b.Bytes(), 0o644); err != nil {
				return fmt.Errorf("write reference: %w", err)
			}
			return nil
		},
	}
	reference.Flags().StringVar(&out, "out", "", "write to this file instead of stdout")
	return group("config", "Show the configuration", show, reference)
}
