package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/store"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// roles are what `concord run` can start, in the order in which `run all` names them.
var roles = []string{"gateway", "reconciler", "writeback", "poller", "identity", "kpi"}

func (a *app) runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run ROLE…",
		Short: "Run processors until stopped: " + strings.Join(roles, ", ") + ", or all",
		Long: "Run one or more roles in this process until it is asked to stop, then drain within drain_timeout.\n" +
			"Run as many processes as there are partitions; each needs an instance name of its own.\n\n" +
			"`concord run all --embedded --data DIR` brings Kafka, Redis and the registry along, for one machine: its data\n" +
			"stays in DIR across restarts and its log is kept whole, so DIR grows.",
		ValidArgs: append(slices.Clone(roles), "all"),
		Args:      cobra.MatchAll(cobra.MinimumNArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.load(cmd); err != nil {
				return err
			}
			chosen := args
			if slices.Contains(args, "all") {
				chosen = roles
				if len(a.systems()) == 0 {
					chosen = slices.DeleteFunc(slices.Clone(roles), func(role string) bool { return role == "writeback" || role == "poller" })
				}
				if len(a.cfg.ATS) == 0 {
					a.log.Warn("no ATS is configured: everything is decided and measured, nothing is written back; see ats in docs/configuration.md")
				}
			}
			return a.serve(cmd.Context(), func(ctx context.Context) ([]part, error) { return a.prepare(ctx, chosen) })
		},
	}
	cmd.Flags().Bool("dev", false, "take published policies without signatures, and say so in every decision; embedded only (policy.dev)")
	cmd.Flags().Bool("embedded", false, "bring Kafka, Redis and the registry along in this process (embedded)")
	return cmd
}

// prepare waits for the services and builds the chosen parts. A part is built before any runs, so that a fault of one
// stops the start and not a running process.
func (a *app) prepare(ctx context.Context, chosen []string) ([]part, error) {
	if a.cfg.Embedded {
		if err := a.embed(ctx); err != nil {
			return nil, err
		}
	}
	schemas, err := a.schemas(ctx, a.cfg.Embedded)
	if err != nil {
		return nil, err
	}
	// The parts themselves check topics, partition counts and version: see pkg/stream.
	cl, err := a.kafka(ctx)
	if err != nil {
		return nil, err
	}
	err = a.comparePartitions(ctx, cl)
	cl.Close()
	if err != nil {
		return nil, err
	}
	var parts []part
	if slices.ContainsFunc(chosen, func(role string) bool { return role == "gateway" || role == "writeback" || role == "poller" }) {
		if err := a.takeUp(ctx, schemas, a.policiesDir()); err != nil {
			return nil, err
		}
		a.metrics.MustRegister(a.mappings.gauges(a.systems())...)
		parts = append(parts, part{"policy", a.mappings})
	}

	var db *store.DB
	if slices.ContainsFunc(chosen, func(role string) bool { return role != "gateway" && role != "poller" }) {
		db, err = store.Open(filepath.Join(a.cfg.DataDir, "state"), store.Options{Logger: a.log.Named("store")})
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", a.cfg.DataDir, err)
		}
		a.closeLast("store", db.Close)
		a.metrics.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "concord_store_heals_total", Help: "Wipes of the local store because it was damaged, at start or under way.",
		}, func() float64 { return float64(db.Heals()) }))
	}
	for _, role := range roles {
		if !slices.Contains(chosen, role) {
			continue
		}
		p, err := a.build(role, schemas, db)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{role, p})
	}
	return parts, nil
}

// comparePartitions warns when kafka.partitions is not what the topics have. The processors go by the topics; what else is
// created by that key would not fit them.
func (a *app) comparePartitions(ctx context.Context, cl *kgo.Client) error {
	var counts []int
	err := a.retry(ctx, "kafka", func(ctx context.Context) (err error) {
		counts, err = topics.Partitions(ctx, cl)
		return err
	})
	if err != nil {
		return fmt.Errorf("ask kafka for the topics: %w", refused(err))
	}
	if slices.ContainsFunc(counts, func(n int) bool { return n != a.cfg.Kafka.Partitions }) {
		a.log.Warn("kafka.partitions is not what the topics have: `concord topics check` says which, and how to mend it",
			zap.Int("kafka.partitions", a.cfg.Kafka.Partitions), zap.Ints("topics", counts))
	}
	return nil
}

func (a *app) build(role string, schemas *wire.Schemas, db *store.DB) (processor, error) {
	switch role {
	case "gateway":
		return a.buildGateway(schemas)
	case "reconciler":
		return a.buildReconciler(schemas, db)
	case "writeback":
		return a.buildWriteback(schemas, db)
	case "poller":
		return a.buildPoller(schemas)
	case "identity":
		return a.buildIdentity(schemas, db)
	default:
		return a.buildKPI(schemas, db)
	}
}
