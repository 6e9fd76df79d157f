package main

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/cmd/concord/config"
	"github.com/concord-ats/concord/pkg/dedupe"
	"github.com/concord-ats/concord/pkg/redislink"
	"github.com/concord-ats/concord/pkg/store"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/identity"
	"github.com/concord-ats/concord/processors/kpi"
	"github.com/concord-ats/concord/processors/reconciler"
	"github.com/concord-ats/concord/processors/writeback"
)

// stream is the runtime's configuration of one role.
func (a *app) stream(group string, sessionTimeout time.Duration, db *store.DB) (stream.Config, error) {
	opts, err := a.cfg.Kafka.Options()
	if err != nil {
		return stream.Config{}, err
	}
	opts = append(opts, batchBytes())
	c := a.cfg.Stream
	metrics := stream.NewMetrics(group)
	prometheus.WrapRegistererWithPrefix("concord_", a.metrics).MustRegister(metrics)
	return stream.Config{
		Opts: opts, Group: group, TransactionalID: group + "." + a.cfg.Instance, Store: db,
		Sessions: c.Sessions, CommitInterval: c.CommitInterval, CacheBytes: int64(c.CacheBytes),
		SessionTimeout: sessionTimeout, RebalanceTimeout: c.RebalanceTimeout,
		TransactionTimeout: min(c.TransactionTimeout, sessionTimeout/2),
		StartTimeout:       a.cfg.StartTimeout, DrainTimeout: a.cfg.DrainTimeout,
		AllowDataLoss: c.AllowDataLoss, Logger: a.log.Named(group), Metrics: metrics,
	}, nil
}

// batchBytes lets a batch be as large as its topic takes: a dead letter is larger than what was too large to decode,
// and with the client's own bound it would stop its partition for ever.
func batchBytes() kgo.Opt {
	bounds := map[string]int32{}
	for _, t := range topics.Table() {
		bounds[t.Name] = int32(t.MaxRecord)
	}
	return kgo.ProducerBatchMaxBytesFn(func(topic string) int32 {
		if n, ok := bounds[topic]; ok {
			return n
		}
		return 1_000_012 // the client's default
	})
}

func (a *app) buildReconciler(schemas *wire.Schemas, db *store.DB) (processor, error) {
	runtime, err := a.stream(a.cfg.Reconciler.Group, a.cfg.Stream.SessionTimeout, db)
	if err != nil {
		return nil, err
	}
	server, err := a.cfg.Redis.Options()
	if err != nil {
		return nil, err
	}
	rules, err := a.rules()
	if err != nil {
		return nil, err
	}
	policies := a.policyLog(runtime.Opts, schemas, a.policiesDir())
	configured, err := a.policies()
	if err != nil {
		return nil, err
	}
	for _, p := range configured {
		policies.Configured(p)
	}
	metrics := dedupe.NewMetrics()
	a.metrics.MustRegister(metrics.Collectors()...)
	net := dedupe.New(server, dedupe.Config{
		Prefix: a.cfg.Redis.KeyPrefix + "d:", TTL: a.cfg.Reconciler.DedupeTTL, Timeout: a.cfg.Redis.Timeout,
		Metrics: metrics, Logger: a.log.Named("dedupe"),
	})
	a.closeLast("dedupe", net.Close)
	a.health.doubt(func() []string {
		if net.Away() {
			return []string{"redis does not answer: the state alone tells duplicates"}
		}
		return nil
	})
	var systems []string
	for _, tenant := range a.systems() {
		systems = append(systems, tenant.Instance)
	}
	cfg := reconciler.Config{
		Stream: runtime, Rules: rules, Policies: policies, Schemas: schemas, Dedupe: net, Systems: systems, Registry: a.metrics, Logger: a.log.Named("reconciler"),
	}
	if a.adjust.reconciler != nil {
		a.adjust.reconciler(&cfg)
	}
	return reconciler.New(cfg)
}

func (a *app) buildKPI(schemas *wire.Schemas, db *store.DB) (processor, error) {
	runtime, err := a.stream(a.cfg.KPI.Group, a.cfg.Stream.SessionTimeout, db)
	if err != nil {
		return nil, err
	}
	return kpi.New(kpi.Config{
		Stream: runtime, Schemas: schemas, Window: a.cfg.KPI.Window, Horizon: a.cfg.Reconciler.Horizon,
		Registry: a.metrics, Logger: a.log.Named("kpi"),
	})
}

func (a *app) buildIdentity(schemas *wire.Schemas, db *store.DB) (processor, error) {
	runtime, err := a.stream(a.cfg.Identity.Group, a.cfg.Stream.SessionTimeout, db)
	if err != nil {
		return nil, err
	}
	return identity.New(identity.Config{Stream: runtime, Schemas: schemas, Registry: a.metrics})
}

func (a *app) buildWriteback(schemas *wire.Schemas, db *store.DB) (processor, error) {
	if len(a.systems()) == 0 {
		return nil, config.Faults{{Key: "ats", Fix: "writeback writes to an ATS: give at least one, [{instance: gh-main, url: https://…}]"}}
	}
	c := a.cfg.Writeback
	runtime, err := a.stream(c.Group, c.SessionTimeout, db)
	if err != nil {
		return nil, err
	}
	server, err := a.cfg.Redis.Options()
	if err != nil {
		return nil, err
	}
	shared := redis.NewClient(redislink.Bounded(server, a.cfg.Redis.Timeout))
	a.closeLast("redis", shared.Close)
	systems := map[string]writeback.System{}
	for i, tenant := range a.cfg.ATS {
		if tenant.Kind == config.KindNone {
			continue
		}
		bill := a.bill(tenant.Instance)
		clients := a.clients(tenant, bill.pay)
		client, err := clients.as(a.mappings.proved(tenant.Instance, time.Now()))
		if err != nil {
			return nil, err
		}
		if client == nil {
			// The list of a process decides its built-in policy, so it stays in that.
			a.log.Warn("only the webhooks of this ATS are read, nothing is written to it", zap.String("system", tenant.Instance), zap.String("kind", tenant.Kind))
			continue
		}
		if err := bill.open(a, shared, tenant, client); err != nil {
			return nil, err
		}
		if err := a.pinned(tenant, client.Capabilities().Region, fmt.Sprintf("ats[%d].region", i)); err != nil {
			return nil, err
		}
		system := writeback.System{Client: client, Meter: bill.Meter, Concurrency: atOnce(c.Concurrency, client.Capabilities().Rate.Concurrent, a.cfg.Redis.Processes)}
		system.Under, system.Again = a.voices(tenant, clients)
		systems[tenant.Instance] = system
		a.health.doubt(func() []string {
			if bill.Degraded() {
				return []string{"redis does not answer: this process keeps to its share of the rate of " + tenant.Instance}
			}
			return nil
		})
	}
	if len(systems) == 0 {
		return nil, config.Faults{{Key: "ats", Fix: "writeback writes to none of these: give at least one that can be written to"}}
	}
	metrics := writeback.NewMetrics()
	a.metrics.MustRegister(metrics)
	cfg := writeback.Config{
		Stream: runtime, Schemas: schemas, Systems: systems, Metrics: metrics,
		MaxQueued: c.Window, DeferAfter: c.DeferAfter, WriteTimeout: c.HTTPTimeout,
	}
	if a.adjust.writeback != nil {
		a.adjust.writeback(&cfg)
	}
	worker, err := writeback.New(cfg)
	if err != nil {
		return nil, err
	}
	a.health.doubt(worker.Parked)
	return worker, nil
}
