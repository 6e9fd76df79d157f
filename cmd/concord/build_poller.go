package main

import (
	"context"
	"math"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/concord-ats/concord/cmd/concord/config"
	"github.com/concord-ats/concord/pkg/ratelimit"
	"github.com/concord-ats/concord/pkg/redislink"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/poller"
)

func (a *app) buildPoller(schemas *wire.Schemas) (processor, error) {
	opts, err := a.cfg.Kafka.Options()
	if err != nil {
		return nil, err
	}
	c := a.cfg.Poller
	cfg := poller.Config{
		Opts: append(opts, batchBytes()), Group: c.Group, Schemas: schemas, Systems: map[string]poller.System{},
		Every: c.Every, Settle: c.Settle, Registry: a.metrics, Logger: a.log.Named("poller"),
	}
	for _, tenant := range a.systems() {
		system, err := a.polled(tenant)
		if err != nil {
			return nil, err
		}
		if system != nil {
			cfg.Systems[tenant.Instance] = *system
		}
	}
	if len(cfg.Systems) == 0 {
		return nil, config.Faults{{Key: "ats", Fix: "poller reads ATSs: give at least one that can be read, [{instance: gh-main, url: https://…}]"}}
	}
	if a.adjust.poller != nil {
		a.adjust.poller(&cfg)
	}
	p, err := poller.New(cfg)
	if err != nil {
		return nil, err
	}
	a.health.doubt(p.Degraded)
	return p, nil
}

// polled is a tenant as walks see it; nil where it cannot be read. Each page takes from the part of the rate that walks
// have, and each request from the one that all who call the tenant share; of a day's quota
// they leave half to the others.
func (a *app) polled(tenant config.ATS) (*poller.System, error) {
	bill := a.bill(tenant.Instance)
	client, err := a.liveClient(tenant, bill.walk)
	if err != nil || client == nil {
		return nil, err
	}
	server, err := a.cfg.Redis.Options()
	if err != nil {
		return nil, err
	}
	shared := redis.NewClient(redislink.Bounded(server, a.cfg.Redis.Timeout))
	a.closeLast("redis", shared.Close)
	if err := bill.open(a, shared, tenant, client); err != nil {
		return nil, err
	}
	walks, err := ratelimit.New(shared, ratelimit.Config{
		Limit: portion(a.limit(tenant, client), a.cfg.Poller.Share), Prefix: a.cfg.Redis.KeyPrefix + "r:", Timeout: a.cfg.Redis.Timeout, Processes: a.cfg.Redis.Processes,
	})
	if err != nil {
		return nil, err
	}
	return &poller.System{
		Client: client,
		Allow:  func(ctx context.Context) error { return walks.Wait(ctx, tenant.Instance+"/poller", 1) },
		Pause:  bill.Block,
	}, nil
}

// portion is a share of a limit, as whole requests in a longer window, one at a time.
func portion(l ratelimit.Limit, share float64) ratelimit.Limit {
	each := l.Window.Seconds() / float64(l.Rate) / share // seconds a request
	rate := max(1, int(math.Floor(60/each)))
	return ratelimit.Limit{Rate: rate, Window: time.Duration(float64(rate) * each * float64(time.Second)), Burst: 1}
}
