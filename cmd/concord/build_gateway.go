package main

import (
	"fmt"
	"slices"

	"github.com/concord-ats/concord/cmd/concord/config"
	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/ashby"
	"github.com/concord-ats/concord/pkg/ats/generic"
	"github.com/concord-ats/concord/pkg/ats/greenhouse"
	"github.com/concord-ats/concord/pkg/ats/lever"
	"github.com/concord-ats/concord/pkg/ats/smartrecruiters"
	"github.com/concord-ats/concord/pkg/ats/workable"
	"github.com/concord-ats/concord/pkg/contact"
	"github.com/concord-ats/concord/pkg/screening/checkr"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/gateway"
)

func (a *app) buildGateway(schemas *wire.Schemas) (processor, error) {
	opts, err := a.cfg.Kafka.Options()
	if err != nil {
		return nil, err
	}
	c := a.cfg.Gateway
	cfg := gateway.Config{
		Addr: c.Listen, Opts: append(opts, batchBytes()), Schemas: schemas, Tokens: c.EventsTokens.Reveal(),
		MaxBody: int64(c.MaxBody), MaxHeld: int64(c.MaxHeld), MaxConnections: c.MaxConnections, MaxWaiting: c.MaxWaiting,
		Contacts: contact.Key(a.cfg.Identity.ContactKey.Reveal()),
		Rate:     c.Rate, AckTimeout: c.AckTimeout, Registry: a.metrics, Logger: a.log.Named("gateway"),
	}
	var instances []string
	for _, tenant := range a.cfg.ATS {
		instances = append(instances, tenant.Instance)
		if len(tenant.WebhookSecrets) > 0 {
			webhooks, err := a.liveWebhooks(tenant)
			if err != nil {
				return nil, err
			}
			cfg.Senders = append(cfg.Senders, gateway.Sender{
				Kind: tenant.Kind, System: tenant.Instance, Webhooks: webhooks, Letters: topics.ATSChanges,
				Region: tenant.PhoneRegion,
			})
		}
	}
	for _, vendor := range a.cfg.Vendors {
		cfg.Senders = append(cfg.Senders, gateway.Sender{
			Kind: vendor.Kind, System: vendor.Instance, Webhooks: vendorWebhooks(vendor, instances), Letters: topics.ScreeningEvents,
		})
	}
	if cfg.Resolve, err = a.resolve(); err != nil {
		return nil, err
	}
	g, err := gateway.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	a.health.doubt(g.Degraded)
	return g, nil
}

// atsWebhooks reads the webhooks of a tenant.
func (a *app) atsWebhooks(tenant config.ATS, mapping ats.Mapping) (webhook.Sender, error) {
	secrets := tenant.WebhookSecrets.Reveal()
	switch tenant.Kind {
	case "lever":
		return lever.Webhooks{System: tenant.Instance, Secrets: secrets}, nil
	case "ashby":
		return ashby.Webhooks{Mapping: mapping, Secrets: secrets}, nil
	case "smartrecruiters":
		return smartrecruiters.Webhooks{System: tenant.Instance, Secrets: secrets}, nil
	case "workable":
		return workable.Webhooks{System: tenant.Instance, Secrets: secrets}, nil
	case "generic":
		description, err := a.described.of(tenant)
		if err != nil {
			return nil, err
		}
		return generic.NewSender(description, mapping, secrets...)
	default:
		return greenhouse.Webhooks{Mapping: greenhouse.Mapping(mapping), Secrets: secrets}, nil
	}
}

// readByMapping reports whether what webhooks of a kind say depends on what the policy calls things.
func readByMapping(kind string) bool {
	return !slices.Contains([]string{"lever", "smartrecruiters", "workable"}, kind)
}

// vendorWebhooks reads the webhooks of a vendor. The configuration has checked the secrets.
func vendorWebhooks(vendor config.Vendor, instances []string) webhook.Sender {
	secrets := vendor.WebhookSecrets.Reveal()
	if vendor.Kind == "checkr" {
		return checkr.Webhooks{System: vendor.Instance, Instances: instances, Secrets: secrets}
	}
	for i, shown := range secrets {
		secrets[i], _ = webhook.StandardSecret(shown)
	}
	return gateway.Standard{System: vendor.Instance, Keys: secrets}
}

// resolve is the look-up of webhooks that name no application, in every ATS that can be read; nil where there is none. It
// walks over what changed, as the poller does, within the part of the rate that walks have.
func (a *app) resolve() (*gateway.Resolve, error) {
	c := a.cfg.Gateway
	out := &gateway.Resolve{Group: c.Group, Every: c.ResolveEvery, For: c.ResolveFor, Systems: map[string]gateway.Directory{}}
	for _, tenant := range a.systems() {
		if len(tenant.WebhookSecrets) == 0 {
			continue
		}
		system, err := a.polled(tenant)
		if err != nil {
			return nil, err
		}
		if system != nil {
			out.Systems[tenant.Instance] = gateway.Directory{Client: system.Client, Allow: system.Allow}
		}
	}
	if len(out.Systems) == 0 {
		return nil, nil
	}
	return out, nil
}
