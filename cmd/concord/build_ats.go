package main

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

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
// publishes; what it may use of it is limit's.
func (a *app) atsClient(tenant config.ATS, mapping ats.Mapping, timeout time.Duration) (ats.Client, error) {
	http := ats.HTTPConfig{Timeout: timeout, PrivateNetwork: tenant.PrivateNetwork}
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

// limiter is a tenant's rate limit, shared by all processes.
func (a *app) limiter(shared redis.UniversalClient, tenant config.ATS, client ats.Client) (*ratelimit.Limiter, error) {
	l, err := ratelimit.New(shared, ratelimit.Config{
		Limit: limit(tenant, client.Capabilities().Rate), Prefix: a.cfg.Redis.KeyPrefix + "r:", Timeout: a.cfg.Redis.Timeout,
	})
	if err != nil {
		return nil, fmt.Errorf("ats %s: %w", tenant.Instance, err)
	}
	return l, nil
}

// limit is a tenant's rate as whole requests in a window: fractions become a longer window. What is not configured
// follows from what the vendor publishes.
func limit(tenant config.ATS, published ats.Rate) ratelimit.Limit {
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
