package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/concord-ats/concord/pkg/bench"
	"github.com/concord-ats/concord/pkg/redislink"
)

// workers are the roles that `bench` measures.
var workers = []string{"reconciler", "writeback", "kpi", "copy"}

func (a *app) benchCommand() *cobra.Command {
	var (
		plan     = bench.Full(1)
		only     []string
		quick    bool
		full     bool
		check    bool
		publish  string
		profiles string
	)
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "bench",
		Short: "Measure Concord on the configured Kafka, Redis and registry, beside the limit they set",
		Long: "Measure Concord on the configured Kafka, Redis and registry. Each role runs as a process of its own, as in a deployment;\n" +
			"beside the reconciler runs a copy that decodes nothing and writes as much: the limit of client and broker.\n" +
			"The cluster must be of no other use: the topics of Concord are created and, in the end, deleted.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := a.load(cmd); err != nil {
				return err
			}
			for _, part := range only {
				if !slices.Contains(bench.Parts(), part) {
					return usage("--only %s: no such part; there are %s", part, strings.Join(bench.Parts(), ", "))
				}
			}
			if quick {
				plan = bench.Quick(plan.Seed)
			}
			if err := plan.Check(); err != nil {
				return &usageError{err}
			}
			plan.MemoryBound = int64(a.cfg.MemoryLimit)
			if full {
				plan.Huge = 10_000_000
			}
			b, err := a.openBench(cmd, plan, profiles)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, b.Close()) }()
			report, failed := b.Run(cmd.Context(), only)
			if report == nil {
				return failed
			}
			report.Commit, report.Command = buildInfo().Version, "concord "+strings.Join(os.Args[1:], " ")
			if publish != "" {
				if err := report.Publish(publish); err != nil {
					return err
				}
			}
			if err := errors.Join(a.printBench(report), failed); err != nil {
				return err
			}
			if check && slices.ContainsFunc(report.Bars(), func(b bench.Bar) bool { return !b.Met }) {
				return errFindings
			}
			return nil
		},
	})
	flags := cmd.Flags()
	flags.Uint64Var(&plan.Seed, "seed", plan.Seed, "decides the load")
	flags.IntVar(&plan.Rounds, "rounds", plan.Rounds, "how often what is compared takes turns")
	flags.IntVar(&plan.Applications, "applications", plan.Applications, "applications of the throughput part")
	flags.IntVar(&plan.Events, "events", plan.Events, "events of the throughput part, before duplicates")
	flags.Float64Var(&plan.Duplicates, "duplicates", plan.Duplicates, "share of events delivered twice")
	flags.Float64Var(&plan.Late, "late", plan.Late, "share of events delivered after later ones")
	flags.IntSliceVar(&plan.Rates, "rates", plan.Rates, "events a second of the latency part")
	flags.DurationSliceVar(&plan.Intervals, "intervals", plan.Intervals, "commit intervals of the latency part")
	flags.IntSliceVar(&plan.Sizes, "sizes", plan.Sizes, "numbers of applications of the growth part")
	flags.StringSliceVar(&only, "only", nil, "measure these parts alone: "+strings.Join(bench.Parts(), ", "))
	flags.BoolVar(&quick, "quick", false, "only show that everything runs; the figures mean nothing")
	flags.BoolVar(&full, "full", false, "also measure growth with 10⁷ applications, once")
	flags.BoolVar(&check, "check", false, "exit 1 when a bar that was measured is not met")
	flags.StringVar(&publish, "publish", "", "folder whose benchmarks.md and plots are brought up to date")
	flags.StringVar(&profiles, "cpuprofile", "", "folder for a CPU profile and the log of each process")
	cmd.AddCommand(a.benchWorkerCommand())
	return cmd
}

func (a *app) printBench(report *bench.Report) error {
	if a.json {
		return a.printJSON(struct {
			*bench.Report
			Bars []bench.Bar `json:"bars"`
		}{report, report.Bars()})
	}
	for _, t := range append(report.Tables(), bench.BarTable(report.Bars())) {
		if len(t.Rows) == 0 {
			continue
		}
		for _, line := range []string{"", t.Title} {
			if err := a.line([]string{line}); err != nil {
				return err
			}
		}
		if err := a.table(t.Head, t.Rows); err != nil {
			return err
		}
	}
	return nil
}

// openBench connects to the services. What it opens is closed by the end of the process.
func (a *app) openBench(cmd *cobra.Command, plan bench.Plan, profiles string) (*bench.Bench, error) {
	opts, err := a.cfg.Kafka.Options()
	if err != nil {
		return nil, err
	}
	client, err := a.kafka(cmd.Context())
	if err != nil {
		return nil, err
	}
	schemas, err := a.schemas(cmd.Context(), !a.cfg.Registry.Static)
	if err != nil {
		return nil, err
	}
	server, err := a.cfg.Redis.Options()
	if err != nil {
		return nil, err
	}
	shared := redis.NewClient(redislink.Bounded(server, a.cfg.Redis.Timeout))
	if err := a.retry(cmd.Context(), "redis", func(ctx context.Context) error { return shared.Ping(ctx).Err() }); err != nil {
		return nil, err
	}
	if profiles != "" {
		if err := os.MkdirAll(profiles, 0o755); err != nil {
			return nil, &usageError{err}
		}
	}
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	o, err := a.topicOptions(cmd.Context(), client)
	if err != nil {
		return nil, err
	}
	given := a.globalFlags(cmd)
	return bench.Open(cmd.Context(), bench.Config{
		Opts: opts, Client: client, Topics: o, Redis: shared, Schemas: schemas, Sessions: a.cfg.Stream.Sessions, Plan: plan, Profiles: profiles, Say: a.say,
		Launch: func(r bench.Role) *exec.Cmd {
			args := append([]string{"bench", "worker", r.Name, "--shape", r.Shape, "--cpuprofile", r.Profile}, given...)
			for key, value := range r.Set {
				args = append(args, "--set", key+"="+value)
			}
			c := exec.Command(executable, args...)
			c.Env = a.env
			if r.Cores > 0 {
				c.Env = append(c.Env[:len(c.Env):len(c.Env)], "GOMAXPROCS="+strconv.Itoa(r.Cores))
			}
			return c
		},
	})
}

// globalFlags are the flags of this call that a process started by it needs as well.
func (a *app) globalFlags(cmd *cobra.Command) []string {
	var out []string
	if a.file != "" {
		out = append(out, "--config", a.file)
	}
	for _, set := range a.sets {
		out = append(out, "--set", set)
	}
	for _, s := range shorthand {
		if f := cmd.Flags().Lookup(s.flag); f != nil && f.Changed {
			out = append(out, "--"+s.flag, f.Value.String())
		}
	}
	return out
}

// benchWorkerCommand is a process under measurement.
func (a *app) benchWorkerCommand() *cobra.Command {
	var shape, profile string
	cmd := &cobra.Command{
		Use: "worker ROLE", Short: "Run one role under measurement", Hidden: true,
		ValidArgs: workers, Args: cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := a.load(cmd); err != nil {
				return err
			}
			if profile != "" {
				f, err := os.Create(profile)
				if err != nil {
					return &usageError{err}
				}
				defer f.Close()
				if err := pprof.StartCPUProfile(f); err != nil {
					return fmt.Errorf("CPU profile: %w", err)
				}
				defer pprof.StopCPUProfile()
			}
			if args[0] != "copy" {
				return a.serve(cmd.Context(), func(ctx context.Context) ([]part, error) { return a.prepare(ctx, args) })
			}
			return a.runCopy(cmd.Context(), shape)
		},
	}
	cmd.Flags().StringVar(&shape, "shape", "", "file of the shape a copy writes")
	cmd.Flags().StringVar(&profile, "cpuprofile", "", "file for a CPU profile")
	return cmd
}

func (a *app) runCopy(ctx context.Context, path string) error {
	shape, err := bench.LoadShape(path)
	if err != nil {
		return err
	}
	opts, err := a.cfg.Kafka.Options()
	if err != nil {
		return err
	}
	c := bench.Copy{
		Opts: append(opts, batchBytes()), Group: a.cfg.Reconciler.Group,
		Sessions: a.cfg.Stream.Sessions, CommitInterval: a.cfg.Stream.CommitInterval, Shape: shape,
	}
	return c.Run(ctx)
}
