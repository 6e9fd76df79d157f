package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/audit"
	"github.com/concord-ats/concord/pkg/world"
	"github.com/concord-ats/concord/processors/poller"
	"github.com/concord-ats/concord/processors/reconciler"
	"github.com/concord-ats/concord/processors/writeback"
)

// adjust changes a processor's configuration in ways the configuration file cannot: faults on purpose, and the
// demo's shorter pauses.
type adjust struct {
	reconciler func(*reconciler.Config)
	writeback  func(*writeback.Config)
	poller     func(*poller.Config)
	rate       func(system string, published ats.Rate) ats.Rate
}

// demoSecret signs the simulator's webhooks and is its OAuth2 secret: nothing outside this process can use it.
const demoSecret = "demo-secret"

// breaks are the protections the demo can leave out, to show that the audit notices.
var breaks = []string{"dedupe", "readback", "overlay"}

// demo is one run of the demo.
type demo struct {
	a            *app
	applications int
	seed         uint64
	breaks       string
	worldPath    string
	dialects     []string
	serve        bool
	printed      bool

	tenants []*demoTenant
	world   *world.World
	sent    []world.Sent
	timings demoTimings
	client  *http.Client
}

// demoTimings is how long each part of a run took.
type demoTimings struct {
	Start   time.Duration   `json:"start_ns"`
	Deliver []time.Duration `json:"deliver_ns"` // by wave
	Settle  []time.Duration `json:"settle_ns"`
	Audit   time.Duration   `json:"audit_ns"`
}

// demoSets are the bounds that the demo shortens, so that waits of minutes pass in seconds. The same code runs as
// with the defaults. What is given with --set, or by a flag, comes after.
var demoSets = []string{
	"log.level=error", "http.listen=", "gateway.listen=127.0.0.1:0", "kafka.partitions=4", "kafka.replication=1",
	"reconciler.grace=300ms", "reconciler.settle=600ms", "reconciler.refresh_coalescing=700ms",
	"stream.commit_interval=50ms", "stream.session_timeout=10s", "stream.transaction_timeout=5s",
	"writeback.session_timeout=30s", "writeback.http_timeout=1500ms", "writeback.defer_after=2500ms", "writeback.concurrency=32",
	"gateway.ack_timeout=4s", "drain_timeout=5s", "local.kafka_port=0", "local.redis_port=0", "local.registry_port=0",
}

func (a *app) demoCommand() *cobra.Command {
	d := &demo{a: a}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run everything in this process on a generated population, then audit it",
		Long: "Run Kafka, Redis, a schema registry, a simulated ATS that misbehaves and every processor in this process; send the\n" +
			"published webhooks and a generated population through them, late, doubled, out of order and malformed; then\n" +
			"check the outcome from outside, against what the world knows to be true. Ends with exit code 1 on any finding.\n\n" +
			"With several --dialects the population is spread over an ATS of each. Each then allows 40 times the rate its vendor\n" +
			"documents, as the demo puts days into seconds, and the audit measures in its journal that it was never exceeded.\n" +
			"Some stories only Greenhouse's webhooks can tell: without it the audit does not ask whether the run was hard enough.\n\n" +
			"With --brokers, --redis and --registry it uses those; the topics must hold nothing else.\n\n" +
			"--break leaves a protection out, to show that the audit notices:\n" +
			"  dedupe    drop on sight what the dedupe net has seen, while sessions are killed: events are lost (I1)\n" +
			"  readback  take a write's answer for its confirmation: false confirmations\n" +
			"  overlay   write the local store before the commit, while transactions abort: versions and states part (I5, I6)",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.command(cmd) },
	}
	flags := cmd.Flags()
	flags.IntVar(&d.applications, "applications", 2000, "size of the population")
	flags.Uint64Var(&d.seed, "seed", 1, "decides the population and every fault")
	flags.StringVar(&d.breaks, "break", "", "leave a protection out: "+strings.Join(breaks, ", "))
	flags.StringSliceVar(&d.dialects, "dialects", []string{"greenhouse"}, "ATS dialects the population is spread over: "+strings.Join(demoDialects(), ", "))
	flags.StringVar(&d.worldPath, "world", "", "keep the world file here")
	flags.BoolVar(&d.serve, "serve", false, "stay up afterwards, and say where everything is")
	return a.jsonFlag(cmd)
}

func (d *demo) command(cmd *cobra.Command) (err error) {
	a := d.a
	if d.breaks != "" && !slices.Contains(breaks, d.breaks) {
		return usage("--break %s: give one of %s", d.breaks, strings.Join(breaks, ", "))
	}
	if d.applications < 1 || d.applications > 200_000 {
		return usage("--applications %d: give 1 to 200000", d.applications)
	}
	if d.tenants, err = newDemoTenants(d.dialects); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "concord-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer func() {
		if rmErr := os.RemoveAll(dir); err == nil && rmErr != nil {
			err = fmt.Errorf("demo: %w", rmErr)
		}
	}()
	sets := slices.Clone(demoSets)
	if d.serve {
		sets = append(sets, "http.listen=127.0.0.1:0")
	}
	a.sets = append(append(sets, "data_dir="+filepath.Join(dir, "data"), "instance=demo"), a.sets...)
	if err := a.load(cmd); err != nil {
		return err
	}
	// Real services are used when any of them is named.
	a.cfg.Embedded = a.cfg.Sources["kafka.brokers"] == "" && a.cfg.Sources["redis.addr"] == "" && a.cfg.Sources["registry.url"] == ""
	if d.worldPath == "" {
		d.worldPath = filepath.Join(dir, "world.jsonl")
	}
	d.client = &http.Client{Timeout: time.Minute}
	a.cfg.ATS = nil
	for _, t := range d.tenants {
		a.cfg.ATS = append(a.cfg.ATS, t.config())
	}
	d.setBreaks()
	report, err := d.run(cmd.Context())
	if err != nil {
		return err
	}
	if report == nil {
		return nil // asked to stop
	}
	if err := d.print(report); err != nil {
		return err
	}
	if !report.Clean {
		return errFindings
	}
	return nil
}

// setBreaks leaves out the protection asked for. Sessions that crash and transactions that abort are part of every
// run: they are harmless with the protection and fatal without.
func (d *demo) setBreaks() {
	d.a.adjust.poller, d.a.adjust.rate = d.polls, d.rate
	d.a.adjust.reconciler = func(c *reconciler.Config) {
		c.Stream.Faults.AbortEvery = 25
		c.Stream.Faults.CrashAfterPrepare = func(n int) bool { return n%60 == 30 }
		c.UnsafeDropOnSight = d.breaks == "dedupe"
		c.Stream.Faults.UnsafeWriteStoreBeforeCommit = d.breaks == "overlay"
	}
	d.a.adjust.writeback = func(c *writeback.Config) {
		c.DeferFor, c.Backoff, c.MaxBackoff, c.OwnerWait = 500*time.Millisecond, 100*time.Millisecond, time.Second, time.Second
		c.ReadTimeout, c.Recheck, c.ProbeFirst, c.ParkAfter = time.Second, 500*time.Millisecond, 200*time.Millisecond, 12
		c.RepeatEvery = 100 * time.Millisecond
		c.Stream.Faults.AbortEvery = 40
		c.UnsafeTrustResponse = d.breaks == "readback"
	}
}

// simConfig is a simulated ATS: the stages of the world and faults at rates that make each of them fire.
func (d *demo) simConfig(t *demoTenant) atssim.Config {
	cfg := atssim.Config{
		Dialect: t.dialect, RateLimit: t.limit, Seed: d.seed, ClientID: "concord", ClientSecret: demoSecret, ReadLag: 80 * time.Millisecond, Latency: 60 * time.Millisecond,
		Hang: 3 * time.Second, RetryAfter: time.Second, Fields: atssim.DefaultFields(), Reasons: world.Reasons(),
		Faults: atssim.Rates{
			atssim.FaultRateLimited: 0, atssim.FaultRateLimitedBare: 0.0035, atssim.FaultTokenExpired: 0.006, atssim.FaultServerErrorBefore: 0.012,
			atssim.FaultResetBefore: 0.006, atssim.FaultHumanRace: 0.015, atssim.FaultLostWrite: 0.03, atssim.FaultServerErrorAfter: 0.015,
			atssim.FaultTimeoutAfter: 0.015, atssim.FaultResetAfter: 0.015, atssim.FaultStaleRead: 0.05, atssim.FaultLatency: 0.02,
			atssim.FaultTimeoutBefore: 0.006, atssim.FaultFailureIn200: 0.006, atssim.FaultEmptyAnswer: 0.01, atssim.FaultBlankAnswer: 0.02,
		},
		Webhooks: atssim.WebhookConfig{
			URL: t.hook, Secret: demoSecret, Duplicate: 0.14, Reorder: 0.16, ReorderDelay: 150 * time.Millisecond, Workers: 16,
			Schedule: []time.Duration{200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second},
		},
	}
	for _, s := range world.Stages() {
		cfg.Stages = append(cfg.Stages, atssim.Stage{ID: s.Native, Name: s.Name})
	}
	for i := range cfg.Fields {
		if cfg.Fields[i].Key == "screening_status" {
			cfg.Fields[i].Options = []string{"complete"} // the option "partial" was removed
		}
	}
	return cfg
}

// tellsAll reports whether every story can be told: some need what only Greenhouse's webhooks say.
func (d *demo) tellsAll() bool {
	return slices.ContainsFunc(d.tenants, func(t *demoTenant) bool { return t.dialect.Name() == "greenhouse" })
}

// audit reads back what the run left.
func (d *demo) audit(ctx context.Context) (*audit.Report, error) {
	began := time.Now()
	defer func() { d.timings.Audit = time.Since(began) }()
	file, err := os.Open(d.worldPath)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	report, err := d.auditFile(ctx, file)
	if closeErr := file.Close(); err == nil && closeErr != nil {
		err = closeErr
	}
	return report, err
}

func (d *demo) auditFile(ctx context.Context, file io.Reader) (*audit.Report, error) {
	opts, err := d.a.cfg.Kafka.Options()
	if err != nil {
		return nil, err
	}
	fired := 0
	if d.tellsAll() {
		fired = 20 * min(d.applications, 2000) / 2000
	}
	urls, limits := make(map[string]string), make(map[string]audit.Limit)
	for _, t := range d.tenants {
		urls[t.system] = t.url
		if t.limit.Requests > 0 {
			limits[t.system] = audit.Limit{Requests: t.limit.Requests, Window: t.limit.Window, Burst: t.limit.Burst}
		}
	}
	return audit.Run(ctx, audit.Config{
		Options: audit.Options{
			Reconciler: d.a.cfg.Reconciler.Group, Writeback: d.a.cfg.Writeback.Group, KPI: d.a.cfg.KPI.Group,
			Window: d.a.cfg.KPI.Window, Horizon: d.a.cfg.Reconciler.Horizon, Fired: fired, Limits: limits,
		},
		Kafka: opts, Tenants: urls, HTTP: d.client, World: file,
	})
}
