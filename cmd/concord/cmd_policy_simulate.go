package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/processors/reconciler/replay"
)

// examplesShown is how many applications a simulation shows with their timelines.
const examplesShown = 8

var errNoHistory = errors.New("hiring.decisions holds nothing that can be replayed")

func (a *app) policySimulate() *cobra.Command {
	var bundle, since, out string
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "simulate [--bundle DIR|ARCHIVE]",
		Short: "Replay what was decided, under another bundle: who would stand elsewhere, which writes and incidents would differ",
		Long: "Replay the recorded history, in the order and by the clock of hiring.decisions, under another bundle, and say what would\n" +
			"have been otherwise. Every state on record is computed again and its digest compared with the one on record; without\n" +
			"--bundle that is all. Nothing is written to the cluster. The configuration must be that of the reconciler (policy,\n" +
			"grace, settle, horizon): with other bounds it would have decided otherwise.\n\n" +
			"Exit code 0: nothing differs. 6: something would have been otherwise. 1: a decision on record came out otherwise.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.simulation(bundle, since)
			if err != nil {
				return err
			}
			write, err := reportForm(out)
			if err != nil {
				return err
			}
			if err := a.load(cmd); err != nil {
				return err
			}
			if cfg.Rules, err = a.rules(); err != nil {
				return err
			}
			r, err := a.reader(cmd.Context())
			if err != nil {
				return err
			}
			defer r.close()
			if limit := int64(a.cfg.MemoryLimit); limit > 0 {
				debug.SetMemoryLimit(limit)
				debug.SetGCPercent(replay.GCPercent)
				cfg.Memory = limit / 2
			}
			bar := a.bar("replaying")
			cfg.Kafka, cfg.Schemas, cfg.Examples, cfg.Progress = r.opts, r.schemas, examplesShown, bar.show
			cfg.Published = a.policyLog(r.opts, r.schemas, "").Text
			report, err := replay.Run(cmd.Context(), cfg)
			bar.done()
			if err != nil {
				return err
			}
			return a.simulated(report, out, write)
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&bundle, "bundle", "", "the folder or archive of the bundle to try; left out: check the record alone")
	flags.StringVar(&since, "since", "", "when it would have taken effect, such as 2026-11-01 or 2026-11-01T09:00:00Z; left out: from the beginning")
	flags.StringVar(&out, "out", "", "also write the report to this file: .html, for people, or .json")
	completeFiles(cmd, "bundle")
	completeFiles(cmd, "out", "html", "json")
	completeNothing(cmd, "since")
	return cmd
}

// completeFiles lets a shell complete a flag with files of some endings, or any.
func completeFiles(cmd *cobra.Command, flag string, endings ...string) {
	if err := cmd.MarkFlagFilename(flag, endings...); err != nil {
		panic(err) // the flag is there
	}
}

// completeNothing keeps a shell from offering files for a flag that takes none.
func completeNothing(cmd *cobra.Command, flag string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.NoFileCompletions); err != nil {
		panic(err) // the flag is there
	}
}

// simulation reads the bundle and the time of a simulation.
func (a *app) simulation(bundle, since string) (cfg replay.Config, err error) {
	if since != "" {
		at, err := parseTime(since)
		switch {
		case err != nil:
			return cfg, usage("--since %s: %w", since, err)
		case bundle == "":
			return cfg, usage("--since %s: give --bundle too; the record is always checked whole", since)
		}
		cfg.Since = hiring.FromTime(at)
	}
	if bundle == "" {
		return cfg, nil
	}
	p, err := a.bundle([]string{bundle})
	if err != nil {
		return cfg, err
	}
	if cfg.Other, err = p.Compile(); err != nil {
		return cfg, a.findings(err)
	}
	return cfg, nil
}

// parseTime reads a day or a moment.
func parseTime(text string) (time.Time, error) {
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(form, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, errors.New("give a day or a moment, such as 2026-11-01 or 2026-11-01T09:00:00Z")
}

// reportForm returns what writes a report to a file of that name.
func reportForm(file string) (func(*app, *replay.Report, io.Writer) error, error) {
	switch strings.ToLower(filepath.Ext(file)) {
	case "":
		if file == "" {
			return nil, nil
		}
	case ".html":
		return func(_ *app, r *replay.Report, w io.Writer) error { return r.WriteHTML(w) }, nil
	case ".json":
		return func(_ *app, r *replay.Report, w io.Writer) error { return encodeJSON(w, r) }, nil
	}
	return nil, usage("--out %s: give a file that ends in .html or .json", file)
}

// simulated prints a report and gives it its exit code.
func (a *app) simulated(r *replay.Report, out string, write func(*app, *replay.Report, io.Writer) error) error {
	if write != nil {
		if err := writeReport(a, r, out, write); err != nil {
			return err
		}
		a.say("the report is in %s", out)
	}
	if a.json {
		if err := a.printJSON(r); err != nil {
			return err
		}
	} else if err := a.printSimulation(r); err != nil {
		return err
	}
	switch {
	case r.FaultCount > 0:
		a.say("a decision comes out as on record only under the same policy, grace, settle, refresh coalescing, horizon, tail cap and ring size: if those are right, what is on record is not")
		return errFindings
	case r.Decisions == 0:
		return errNoHistory
	case r.Differing > 0:
		return errDiffers
	}
	return nil
}

func writeReport(a *app, r *replay.Report, out string, write func(*app, *replay.Report, io.Writer) error) (err error) {
	f, err := os.Create(out)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return write(a, r, f)
}
