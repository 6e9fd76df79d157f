package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/cmd/concord/config"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/poller"
)

func (a *app) backfillCommand() *cobra.Command {
	var instance, since string
	again := false
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "backfill",
		Short: "Load an estate: publish what an ATS shows of every application as snapshots",
		Long: "Publish everything that changed in an ATS since a time as snapshots on ats.changes, or everything there is. It keeps within\n" +
			"the part of the ATS's rate that walks have (poller.share), so that writes go on, and it is resumable: started again\n" +
			"with the same --ats and --since it goes on where it was cut short, or begins anew where the ATS no longer takes that place. What is known already is recognised as a duplicate.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var from time.Time
			if since != "" {
				var err error
				if from, err = parseTime(since); err != nil {
					return usage("--since %s: %w", since, err)
				}
				if from.After(time.Now()) {
					return usage("--since %s: is in the future, and nothing has changed since; give a time gone by, or leave it out to load everything", since)
				}
			}
			if err := a.load(cmd); err != nil {
				return err
			}
			flag := strings.TrimSpace("--ats " + instance)
			i := slices.IndexFunc(a.cfg.ATS, func(t config.ATS) bool { return t.Instance == instance })
			if i < 0 {
				var names []string
				for _, t := range a.cfg.ATS {
					names = append(names, t.Instance)
				}
				return usage("%s: give an instance of the configuration: %s", flag, orNone(strings.Join(names, ", ")))
			}
			if a.cfg.ATS[i].Kind == config.KindNone {
				return usage("--ats %s: is of kind none, there is nothing to load from; give it the kind of its ATS, see docs/ats.md", instance)
			}
			defer func() { _ = a.closeAll() }() // a limiter's connections: nothing is lost with them
			schemas, err := a.schemas(cmd.Context(), false)
			if err != nil {
				return err
			}
			cl, err := a.kafka(cmd.Context())
			if err != nil {
				return err
			}
			cl.Close()
			if err := a.takeUp(cmd.Context(), schemas, ""); err != nil {
				return err
			}
			if reasons := a.mappings.Ready(); len(reasons) > 0 {
				return fmt.Errorf("%w: %s; give this configuration the policy.signers of the reconcilers, or have the bundle signed and published again", errRefused, strings.Join(reasons, "; "))
			}
			system, err := a.polled(a.cfg.ATS[i])
			if err != nil {
				return err
			}
			if system == nil {
				return usage("--ats %s: %s cannot be read, only its webhooks are", instance, a.cfg.ATS[i].Kind)
			}
			ctx, cancel := context.WithCancel(cmd.Context())
			var following sync.WaitGroup
			defer following.Wait()
			defer cancel()
			following.Go(func() {
				if err := a.mappings.Run(ctx); err != nil {
					a.log.Warn("what is published from now on is not known", zap.Error(err))
				}
			})
			return a.backfill(cmd, schemas, instance, from, again, *system)
		},
	})
	cmd.Flags().StringVar(&instance, "ats", "", "ATS instance of the configuration; has to be given")
	cmd.Flags().StringVar(&since, "since", "", "only what changed since this time such as 2026-11-01 or 2026-11-01T09:00:00Z; everything when left out")
	cmd.Flags().BoolVar(&again, "again", false, "begin anew, also where an earlier one was cut short")
	return cmd
}

func (a *app) backfill(cmd *cobra.Command, schemas *wire.Schemas, instance string, since time.Time, again bool, system poller.System) error {
	opts, err := a.cfg.Kafka.Options()
	if err != nil {
		return err
	}
	bar := a.bar("backfill " + instance)
	first := int64(-1)
	progress, err := poller.Backfill(cmd.Context(), poller.BackfillConfig{
		Opts: append(opts, batchBytes()), Schemas: schemas, Name: instance, System: system, Since: since, Again: again, Logger: a.log,
		Shown: func(p poller.Progress) {
			if first < 0 {
				first = p.Applications
			}
			showBackfill(bar, instance, since, first, p)
		},
	})
	bar.done()
	if a.json {
		if printErr := a.printJSON(struct {
			ATS          string `json:"ats"`
			Applications int64  `json:"applications"`
			Resumed      bool   `json:"resumed"`
			Complete     bool   `json:"complete"`
		}{instance, progress.Applications, progress.Resumed, err == nil}); printErr != nil {
			return printErr
		}
	}
	switch {
	case err != nil:
		a.say("%d applications of %s are published; started again, it goes on there", progress.Applications, instance)
		return err
	case progress.Done:
		a.say("this backfill of %s was complete before, with %d applications; --again begins anew", instance, progress.Applications)
	case progress.Resumed:
		a.say("%d applications of %s are published, those of the run before included", progress.Applications, instance)
	default:
		a.say("%d applications of %s are published", progress.Applications, instance)
	}
	return nil
}

// showBackfill draws how far a backfill is; first is how many applications it had published after its first page. How far the
// end is only the time of what changed says, where it began at one.
func showBackfill(b *bar, instance string, since time.Time, first int64, p poller.Progress) {
	b.what = fmt.Sprintf("backfill %s  %d applications, %.0f/s", instance, p.Applications, float64(p.Applications-first)/max(1, time.Since(b.began).Seconds()))
	if since.IsZero() || p.Newest.IsZero() {
		b.count()
		return
	}
	b.show(min(1, max(0, p.Newest.Sub(since).Seconds()/time.Since(since).Seconds())))
}
