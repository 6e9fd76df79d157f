package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/concord-ats/concord/cmd/concord/config"
	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/ashby"
	"github.com/concord-ats/concord/pkg/ats/generic"
	"github.com/concord-ats/concord/pkg/ats/greenhouse"
	"github.com/concord-ats/concord/pkg/ats/lever"
	"github.com/concord-ats/concord/pkg/ats/smartrecruiters"
	"github.com/concord-ats/concord/pkg/ats/workable"
	"github.com/concord-ats/concord/pkg/ratelimit"
)

// systems are the configured instances that have an ATS.
func (a *app) systems() []config.ATS {
	return slices.DeleteFunc(slices.Clone(a.cfg.ATS), func(t config.ATS) bool { return t.Kind == config.KindNone })
}

// atsClient is the client of a tenant's dialect; nil where only its webhooks are read. It declares the rate its vendor
// publishes; what it may use of it is limit's, and each of its requests is paid for there.
func (a *app) atsClient(tenant config.ATS, mapping ats.Mapping, timeout time.Duration, pay ats.Pay) (ats.Client, error) {
	http := ats.HTTPConfig{Timeout: timeout, PrivateNetwork: tenant.PrivateNetwork, Pay: pay}
	switch tenant.Kind {
	case "greenhouse":
		token := tenant.TokenURL
		if token == "" {
			token = tenant.URL + "/token"
			if tenant.URL == greenhouse.DefaultBaseURL {
				token = greenhouse.DefaultTokenURL
			}
		}
		return greenhouse.New(greenhouse.Config{
			BaseURL: tenant.URL, TokenURL: token, ClientID: tenant.ClientID, ClientSecret: tenant.ClientSecret.Reveal(),
			UserID: tenant.UserID, Mapping: greenhouse.Mapping(mapping), HTTP: http, ReadLag: tenant.ReadLag,
		})
	case "lever":
		return lever.New(lever.Config{
			BaseURL: tenant.URL, APIKey: tenant.ClientSecret.Reveal(), UserID: tenant.UserID, Mapping: mapping, HTTP: http, ReadLag: tenant.ReadLag,
		})
	case "ashby":
		return ashby.New(ashby.Config{
			BaseURL: tenant.URL, APIKey: tenant.ClientSecret.Reveal(), Mapping: mapping, HTTP: http, ReadLag: tenant.ReadLag,
		})
	case "workable":
		return workable.New(workable.Config{
			BaseURL: tenant.URL, Token: tenant.ClientSecret.Reveal(), MemberID: tenant.UserID, Mapping: mapping, HTTP: http, ReadLag: tenant.ReadLag,
		})
	case "smartrecruiters":
		return smartrecruiters.New(smartrecruiters.Config{
			BaseURL: tenant.URL, TokenURL: tenant.TokenURL, ClientID: tenant.ClientID, ClientSecret: tenant.ClientSecret.Reveal(),
			Mapping: mapping, HTTP: http, ReadLag: tenant.ReadLag,
		})
	case "generic":
		description, err := a.described.of(tenant)
		if err != nil {
			return nil, err
		}
		return generic.New(generic.Config{
			Description: description, BaseURL: tenant.URL, TokenURL: tenant.TokenURL, ClientID: tenant.ClientID, ClientSecret: tenant.ClientSecret.Reveal(),
			UserID: tenant.UserID, Mapping: mapping, HTTP: http, ReadLag: tenant.ReadLag,
		})
	}
	return nil, nil
}

// descriptions are those of the ATSs of one's own, each read once: what a process speaks does not change under it. It is
// safe for concurrent use.
type descriptions struct {
	mu   sync.Mutex
	read map[string]*generic.Description // by file
}

// of returns the description of a tenant; the built-in one where none is named, which the configuration does not let pass.
func (d *descriptions) of(tenant config.ATS) (*generic.Description, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.read[tenant.Description]; known != nil {
		return known, nil
	}
	var got *generic.Description
	var err error
	if tenant.Description == "" {
		got, err = generic.Parse("example.yaml", generic.Example)
	} else {
		got, err = generic.Load(tenant.Description)
	}
	if err != nil {
		return nil, unfit("ats.description", tenant.Description, err)
	}
	if d.read == nil {
		d.read = map[string]*generic.Description{}
	}
	d.read[tenant.Description] = got
	return got, nil
}

// bill pays for the requests of a tenant's clients, those of every role of the process. It is made before them, as its
// limit follows from what they declare.
type bill struct{ *ratelimit.Meter }

// bill returns that of an instance.
func (a *app) bill(instance string) *bill {
	if a.bills == nil {
		a.bills = map[string]*bill{}
	}
	if a.bills[instance] == nil {
		a.bills[instance] = new(bill)
	}
	return a.bills[instance]
}

func (b *bill) pay(ctx context.Context) (func(answered bool), error) { return b.Pay(ctx) }

// walk pays for what reads without being asked by an application: it leaves half of the day's quota to the others.
func (b *bill) walk(ctx context.Context) (func(answered bool), error) {
	return b.PayKeeping(ctx, b.Daily()/2)
}

// open sets the rate limit, which all processes share.
func (b *bill) open(a *app, shared redis.UniversalClient, tenant config.ATS, client ats.Client) error {
	if b.Meter != nil {
		return nil
	}
	l, err := ratelimit.New(shared, ratelimit.Config{
		Limit: a.limit(tenant, client), Daily: client.Capabilities().Rate.Daily, Prefix: a.cfg.Redis.KeyPrefix + "r:", Timeout: a.cfg.Redis.Timeout,
		Processes: a.cfg.Redis.Processes,
	})
	if err != nil {
		return fmt.Errorf("ats %s: %w", tenant.Instance, err)
	}
	b.Meter = l.Meter(tenant.Instance)
	if b.Daily() == 0 {
		return nil
	}
	left := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "concord_ats_quota_left", Help: "Requests left of the ATS's quota of the day, as this process last heard.",
		ConstLabels: prometheus.Labels{"system": tenant.Instance},
	}, func() float64 { return float64(b.Left()) })
	if err := a.metrics.Register(left); err != nil {
		return fmt.Errorf("ats %s: %w", tenant.Instance, err)
	}
	return nil
}

// atOnce is a process's part of the calls at once that an ATS allows all, within what is configured; 0 allows any number.
func atOnce(configured, allowed, processes int) int {
	if allowed == 0 {
		return configured
	}
	return max(1, min(configured, allowed/processes))
}

func (a *app) limit(tenant config.ATS, client ats.Client) ratelimit.Limit {
	published := client.Capabilities().Rate
	if a.adjust.rate != nil {
		published = a.adjust.rate(tenant.Instance, published)
	}
	return limit(tenant, published)
}

// limit is a tenant's rate as whole requests in a window: fractions become a longer window. What is not configured
// follows from what the vendor publishes: where that is counted by windows, so is this, by ones that are a little longer,
// as requests take unequal times to arrive.
func limit(tenant config.ATS, published ats.Rate) ratelimit.Limit {
	if tenant.Rate == 0 && tenant.Burst == 0 && published.Requests > 0 && published.Burst == 0 {
		return ratelimit.Limit{Rate: published.Requests, Window: published.Window + max(published.Window/50, 50*time.Millisecond)}
	}
	rate, burst := within(published)
	if tenant.Rate > 0 {
		rate = tenant.Rate
	}
	if tenant.Burst > 0 {
		burst = tenant.Burst
	}
	window := time.Second
	for rate < 1 || (rate != math.Trunc(rate) && window < time.Minute) {
		rate, window = rate*10, window*10
	}
	return ratelimit.Limit{Rate: int(math.Round(rate)), Window: window, Burst: burst}
}

// An ATS that publishes no limit is asked this often.
const (
	cautiousRate  = 4.5
	cautiousBurst = config.WriteRequests
)

// within is a rate, a second, and a burst that keep within a published limit, with a little to spare for requests that
// take unequal times to arrive. Of a limit counted by windows, any window may see rate × window + burst.
func within(r ats.Rate) (rate float64, burst int) {
	if r.Requests == 0 {
		return cautiousRate, cautiousBurst
	}
	seconds := r.Window.Seconds()
	if r.Burst > 0 {
		return 0.95 * float64(r.Requests) / seconds, max(1, r.Burst/2)
	}
	burst = min(config.WriteRequests, max(1, r.Requests/10))
	return float64(r.Requests-burst-r.Requests/50) / seconds, burst
}
