//go:build e2e && unix

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/e2e/cluster"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/audit"
	"github.com/concord-ats/concord/pkg/settle"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/pkg/world"
)

const (
	system     = "gh-main"
	simSecret  = "e2e-secret"
	partitions = 6
)

// bounds are shortened, so that waits of minutes pass in seconds; the code that runs is the same.
var bounds = []string{
	"log.level=info", "http.listen=127.0.0.1:0", fmt.Sprintf("kafka.partitions=%d", partitions), "drain_timeout=8s",
	"reconciler.grace=500ms", "reconciler.settle=1s", "reconciler.refresh_coalescing=100ms",
	"stream.commit_interval=50ms", "stream.session_timeout=4s", "stream.transaction_timeout=3s", "stream.rebalance_timeout=20s",
	"writeback.session_timeout=3s", "writeback.http_timeout=1500ms", "writeback.defer_after=20s", "writeback.concurrency=32",
	"gateway.ack_timeout=10s",
}

// config is what a run is.
type config struct {
	// Applications is the size of the population.
	Applications int
	// Cluster are the services; the shared ones when nil.
	Cluster *cluster.Cluster
	// Brokers, Registry, Redis and ATS are what the processes are told in place of the real addresses: proxies. ATS is
	// asked once the simulator listens.
	Brokers         []string
	Registry, Redis string
	ATS             func(addr string) string
	// Feed are the options of what sends the world's events; the harness's own when nil.
	Feed []kgo.Opt
	// Sets are further settings of every process, key=value.
	Sets []string
	// Faults are the simulator's; [atssim.Mild] when nil.
	Faults atssim.Rates
}

// run is one world on topics of its own, from empty topics to the audit.
type run struct {
	t       *testing.T
	cfg     config
	cluster *cluster.Cluster
	dir     string
	kafka   []kgo.Opt // the harness's own way to the brokers, past every proxy
	// registry and redis are those of the cluster, or the shared ones where it has none.
	registry, redis string
	env             []string // of every process
	group           string   // start of the group names

	sim     *atssim.Server
	ats     string // the simulator, past every proxy
	hook    string // where webhooks go
	schemas *wire.Schemas
	world   *world.World
	file    string
	watcher *settle.Watcher
	loaded  chan struct{} // closed when the main wave begins
	procs   []*process

	mu          sync.Mutex
	interrupted []audit.Interruption
	resent      map[string]int // webhooks, by digest
}

// newRun empties the topics, Redis and every folder, and starts the simulator. Processes are started with up.
func newRun(t *testing.T, cfg config) *run {
	t.Helper()
	if cfg.Cluster == nil {
		cfg.Cluster = services(t)
	}
	if cfg.Faults == nil {
		cfg.Faults = atssim.Mild()
	}
	r := &run{
		t: t, cfg: cfg, cluster: cfg.Cluster, dir: filepath.Join(scratch, strings.ReplaceAll(t.Name(), "/", "_")),
		group: fmt.Sprintf("e2e.%s.%d", strings.ReplaceAll(t.Name(), "/", "."), time.Now().UnixMilli()),
		kafka: cfg.Cluster.Options(), loaded: make(chan struct{}), resent: make(map[string]int),
	}
	r.registry, r.redis = r.cluster.Registry(), r.cluster.Redis()
	if r.registry == "" {
		r.registry = services(t).Registry()
	}
	if r.redis == "" {
		r.redis = services(t).Redis()
	}
	must(t, os.RemoveAll(r.dir))
	must(t, os.MkdirAll(r.dir, 0o755))
	r.file = filepath.Join(r.dir, "world.jsonl")
	t.Logf("seed %d, logs in %s", *seedFlag, r.dir)
	r.empty()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	r.ats = "http://" + listener.Addr().String()
	hookAddr := freeAddr(t)
	r.hook = "http://" + hookAddr + "/webhooks/greenhouse/" + system
	r.sim, err = atssim.New(r.simulator())
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.sim.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("simulator: %v", err)
		}
	})

	url := r.ats
	if cfg.ATS != nil {
		url = "http://" + cfg.ATS(listener.Addr().String())
	}
	r.environment(url, hookAddr)
	// The tools go past the proxies: they prepare.
	r.tool("topics", "create", "--brokers", strings.Join(r.cluster.Brokers(), ","))
	r.tool("schemas", "register", "--registry", r.registry)
	r.schemas, err = wire.Open(wire.Config{URLs: []string{r.registry}, Timeout: 10 * time.Second})
	must(t, err)
	must(t, r.schemas.Lookup(t.Context()))
	t.Cleanup(r.killAll)
	return r
}

// empty deletes every topic and every key in Redis.
func (r *run) empty() {
	r.t.Helper()
	client, err := kgo.NewClient(r.kafka...)
	must(r.t, err)
	defer client.Close()
	admin := kadm.NewClient(client)
	var names []string
	for _, topic := range topics.Table() {
		names = append(names, topic.Name)
	}
	_, err = admin.DeleteTopics(r.t.Context(), names...)
	must(r.t, err)
	must(r.t, eventually(r.t.Context(), time.Minute, func() bool {
		left, err := admin.ListTopics(r.t.Context())
		return err == nil && !slices.ContainsFunc(names, left.Has)
	}))
	rdb := redis.NewClient(&redis.Options{Addr: r.redis})
	defer rdb.Close()
	must(r.t, rdb.FlushAll(r.t.Context()).Err())
}

// simulator is an ATS with the stages of the world, whose webhooks are tried again for as long as an outage lasts.
func (r *run) simulator() atssim.Config {
	cfg := atssim.Config{
		Seed: *seedFlag, ClientID: "concord", ClientSecret: simSecret, ReadLag: 80 * time.Millisecond, Latency: 60 * time.Millisecond,
		Hang: 3 * time.Second, RetryAfter: time.Second, Fields: atssim.DefaultFields(), Faults: r.cfg.Faults,
		Webhooks: atssim.WebhookConfig{URL: r.hook, Secret: simSecret, Duplicate: 0.1, Reorder: 0.1, ReorderDelay: 150 * time.Millisecond, Workers: 16},
	}
	for range 60 {
		cfg.Webhooks.Schedule = append(cfg.Webhooks.Schedule, time.Second)
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

// environment is what every process is told.
func (r *run) environment(ats, hookAddr string) {
	c := r.cluster
	brokers, registry, rdb := c.Brokers(), r.registry, r.redis
	if len(r.cfg.Brokers) > 0 {
		brokers = r.cfg.Brokers
	}
	if r.cfg.Registry != "" {
		registry = r.cfg.Registry
	}
	if r.cfg.Redis != "" {
		rdb = r.cfg.Redis
	}
	r.env = append(c.Environment(), // the later ones win
		"CONCORD_KAFKA_BROKERS="+strings.Join(brokers, ","), "CONCORD_REGISTRY_URL="+registry, "CONCORD_REDIS_ADDR="+rdb,
		"CONCORD_RECONCILER_GROUP="+r.group+".reconciler", "CONCORD_WRITEBACK_GROUP="+r.group+".writeback", "CONCORD_KPI_GROUP="+r.group+".kpi",
		"CONCORD_IDENTITY_GROUP="+r.group+".identity", "CONCORD_GATEWAY_GROUP="+r.group+".gateway",
		"CONCORD_GATEWAY_LISTEN="+hookAddr,
		fmt.Sprintf("CONCORD_ATS=[{instance: %s, url: %q, client_id: concord, client_secret: %s, webhook_secrets: [%s], read_lag: 120ms, rate: 5000, burst: 5000}]",
			system, ats, simSecret, simSecret))
}

func (r *run) sets() []string {
	var out []string
	for _, s := range slices.Concat(bounds, r.cfg.Sets) {
		out = append(out, "--set", s)
	}
	return out
}

// tool runs a command of concord to its end.
func (r *run) tool(args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), binary, append(args, r.sets()...)...)
	var stdout, stderr bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = r.env, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		r.t.Fatalf("concord %s: %v\n%s%s", strings.Join(args, " "), err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String()
}

// up starts n processes of a role, numbered on from those there are, without waiting for them.
func (r *run) up(role string, n int, sets ...string) []*process {
	r.t.Helper()
	var out []*process
	for range n {
		p := &process{role: role, name: fmt.Sprintf("%s-%d", role, len(r.role(role))+1), env: r.env}
		p.dir = filepath.Join(r.dir, p.name)
		must(r.t, os.MkdirAll(p.dir, 0o755))
		p.args = append([]string{"run", role, "--instance", p.name, "--data", filepath.Join(p.dir, "data"), "--set", "kafka.client_id=" + p.name}, r.sets()...)
		for _, s := range sets {
			p.args = append(p.args, "--set", s)
		}
		must(r.t, p.start())
		r.procs = append(r.procs, p)
		out = append(out, p)
	}
	return out
}

// role returns the processes of a role, all of them for "".
func (r *run) role(role string) []*process {
	return slices.DeleteFunc(slices.Clone(r.procs), func(p *process) bool { return role != "" && p.role != role })
}

// ready waits until every process makes progress.
func (r *run) ready() {
	r.t.Helper()
	for _, p := range r.procs {
		must(r.t, p.waitReady(r.t.Context()))
	}
}

// killAll ends what a failed test left, and shows what it said.
func (r *run) killAll() {
	for _, p := range r.procs {
		if p.running() {
			_ = p.carryOn() // a frozen process cannot be waited for
			if _, err := p.kill(); err != nil {
				r.t.Error(err)
			}
		}
		if r.t.Failed() {
			r.t.Logf("the end of the log of %s:\n%s", p.name, p.tail())
		}
	}
}

// interrupt tells the audit that write-backs were cut short between two moments: a process was killed or frozen, or a
// service was away.
func (r *run) interrupt(from, to time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.interrupted = append(r.interrupted, audit.Interruption{From: from, To: to})
}

// tell generates the world and sends it wave by wave, each when the one before has settled. The main wave is sent over about
// as long as load says.
func (r *run) tell(ctx context.Context, load time.Duration) error {
	r.t.Helper()
	var err error
	r.world, err = world.Generate(world.Config{Seed: *seedFlag, Applications: r.cfg.Applications, Start: time.Now(), Instances: []world.Instance{{System: system}}, Schemas: r.schemas})
	if err != nil {
		return err
	}
	var lines bytes.Buffer
	if err := r.world.WriteFile(&lines); err != nil {
		return err
	}
	if err := os.WriteFile(r.file, lines.Bytes(), 0o644); err != nil {
		return err
	}
	r.watcher, err = settle.Watch(settle.Config{
		Kafka: r.kafka, Quiet: 2 * time.Second, Stall: 90 * time.Second,
		Pending: func() int { return r.sim.Stats().Webhooks.Pending },
	})
	if err != nil {
		return err
	}
	r.t.Cleanup(r.watcher.Stop)
	feed := r.cfg.Feed
	if feed == nil {
		feed = r.kafka
	}
	producer, err := kgo.NewClient(append(slices.Clone(feed), kgo.ProducerBatchMaxBytes(4<<20), kgo.ProducerBatchCompression(kgo.Lz4Compression()))...)
	if err != nil {
		return err
	}
	defer producer.Close()
	driver := &world.Driver{
		Kafka: producer, Schemas: r.schemas, HTTP: &http.Client{Timeout: 2 * time.Minute, Transport: patient{http.DefaultTransport, r}},
		Tenants: map[string]world.Tenant{system: {ATS: r.ats, Hook: r.hook, Secret: simSecret}}, Batch: 50,
	}
	if err := driver.Seed(ctx, r.world); err != nil {
		return err
	}
	for wave := range world.Waves {
		from := time.Now()
		if wave == mainWave {
			close(r.loaded)
			// By the clock: what the steps themselves take is no part of the pause.
			driver.Progress = func(done, of int) { _ = pause(ctx, time.Until(from.Add(load*time.Duration(done)/time.Duration(of)))) }
		} else {
			driver.Progress = nil
		}
		if _, err := driver.Wave(ctx, r.world, wave); err != nil {
			return fmt.Errorf("wave %d: %w", wave, err)
		}
		sent := time.Since(from)
		var until time.Time
		if wave == world.Waves-1 {
			until = r.world.Start.Add(15 * time.Second) // the last of the world's timers
		}
		if err := r.watcher.Settle(ctx, until); err != nil {
			return fmt.Errorf("wave %d: %w", wave, err)
		}
		r.t.Logf("wave %d: sent in %s, settled in %s: %s", wave, sent.Round(time.Millisecond), (time.Since(from) - sent).Round(time.Millisecond), r.watcher.Counts())
	}
	return nil
}

// mainWave is the wave that holds most of a world.
const mainWave = 1

// patient sends a webhook again until the gateway takes it, as an ATS does, and counts that.
type patient struct {
	next http.RoundTripper
	r    *run
}

func (p patient) RoundTrip(req *http.Request) (*http.Response, error) {
	for {
		res, err := p.next.RoundTrip(req)
		if req.URL.String() != p.r.hook || err == nil && res.StatusCode != http.StatusServiceUnavailable {
			return res, err
		}
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
		if waited := pause(req.Context(), 500*time.Millisecond); waited != nil {
			return nil, waited
		}
		again, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(again)
		if err != nil {
			return nil, err
		}
		p.r.mu.Lock()
		p.r.resent[world.Digest(nil, body)]++
		p.r.mu.Unlock()
		req = req.Clone(req.Context())
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
}

// freeAddr is a loopback address nobody listens on, outside the range of outgoing connections, and no other test's.
func freeAddr(t *testing.T) string {
	t.Helper()
	for port := 12_000 + asked.Add(1); port < 15_000; port = 12_000 + asked.Add(1) {
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			must(t, l.Close())
			return l.Addr().String()
		}
	}
	t.Fatal("no free port between 12000 and 15000")
	return ""
}

// asked counts the ports that were tried.
var asked atomic.Int32
