package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/concord-ats/concord/cmd/concord/config"
	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/writeback"
)

// liveClient reads an ATS by what the policy in force calls things at the time of each call.
type liveClient struct {
	current func() (ats.Client, meaning, error)
	dated   func(ats.Reading, meaning) ats.Reading
	first   ats.Client // as it was at the start
}

// liveClient returns the client of a tenant, and the first of its tongues; nil where the tenant cannot be read.
func (a *app) liveClient(tenant config.ATS, pay ats.Pay) (ats.Client, error) {
	clients := a.clients(tenant, pay)
	current := func() (ats.Client, meaning, error) {
		means := a.mappings.now(tenant.Instance, time.Now())
		c, err := clients.as(means)
		return c, means, err
	}
	first, err := clients.as(a.mappings.proved(tenant.Instance, time.Now()))
	if err != nil || first == nil {
		return nil, err
	}
	return &liveClient{current, func(r ats.Reading, means meaning) ats.Reading {
		return a.mappings.dated(tenant.Instance, r, means.Mapping)
	}, first}, nil
}

func (a *app) clients(tenant config.ATS, pay ats.Pay) *tongues[ats.Client] {
	return newTongues(func(m ats.Mapping) (ats.Client, error) {
		return a.atsClient(tenant, m, a.cfg.Writeback.HTTPTimeout, pay)
	})
}

// client is the client of now and what it calls things, or an error in the words of one.
func (l *liveClient) client() (ats.Client, meaning, error) {
	c, means, err := l.current()
	if err != nil {
		if held := (*heldError)(nil); !errors.As(err, &held) {
			err = fmt.Errorf("the policy in force: %w", err)
		}
		return nil, means, &ats.Error{Class: ats.Refused, Code: ats.CodeUnsupported, Op: "read", Err: err}
	}
	return c, means, nil
}

// Capabilities implements ats.Client.
func (l *liveClient) Capabilities() ats.Capabilities {
	if c, _, err := l.current(); err == nil {
		return c.Capabilities()
	}
	return l.first.Capabilities()
}

// Read implements ats.Client.
func (l *liveClient) Read(ctx context.Context, applicationID string) (ats.Reading, error) {
	c, means, err := l.client()
	if err != nil {
		return ats.Reading{}, err
	}
	r, err := c.Read(ctx, applicationID)
	return l.dated(r, means), err
}

// Apply implements ats.Client. A write belongs to a command, and so to the policy of that.
func (l *liveClient) Apply(context.Context, string, wire.Tuple, wire.Tuple) error {
	return &ats.Error{Class: ats.Refused, Code: ats.CodeUnsupported, Op: "write"}
}

// ListChanged implements ats.Client.
func (l *liveClient) ListChanged(ctx context.Context, from ats.Cursor) (ats.Page, error) {
	c, means, err := l.client()
	if err != nil {
		return ats.Page{}, err
	}
	page, err := c.ListChanged(ctx, from)
	for i := range page.Changed {
		page.Changed[i].Reading = l.dated(page.Changed[i].Reading, means)
	}
	return page, err
}

// liveSender reads an ATS's webhooks by what the policy in force calls things when they come.
type liveSender struct {
	webhook.Sender                                // as it was at the start: signatures and answers depend on no policy
	current        func() (webhook.Sender, error) // the error is a *heldError
}

// liveWebhooks reads the webhooks of a tenant.
func (a *app) liveWebhooks(tenant config.ATS) (webhook.Sender, error) {
	senders := newTongues(func(m ats.Mapping) (webhook.Sender, error) { return a.atsWebhooks(tenant, m) })
	first, err := senders.as(a.mappings.proved(tenant.Instance, time.Now()))
	if err != nil || !readByMapping(tenant.Kind) {
		return first, err
	}
	return liveSender{first, func() (webhook.Sender, error) {
		var held *heldError
		switch s, err := senders.as(a.mappings.now(tenant.Instance, time.Now())); {
		case err == nil:
			return s, nil
		case errors.As(err, &held):
			return nil, held
		}
		return first, nil // no policy knows the instance any more; the one of the start did
	}}, nil
}

// Parse implements webhook.Sender.
func (l liveSender) Parse(header http.Header, body []byte, now time.Time) ([]webhook.Event, error) {
	s, err := l.current()
	if err != nil {
		return nil, &webhook.Error{Sender: "any", Problem: webhook.ProblemPolicy, Err: err}
	}
	return s.Parse(header, body, now)
}

// voices tell write-back how a tenant is spoken to under the policy of a command.
func (a *app) voices(tenant config.ATS, clients *tongues[ats.Client]) (
	under func(context.Context, wire.Digest) (writeback.Voice, error), again func(wire.Digest) (writeback.Voice, bool),
) {
	m := a.mappings
	voice := func(p *policy.Policy) (writeback.Voice, error) {
		m.mu.Lock()
		means := m.of(p, tenant.Instance)
		m.mu.Unlock()
		client, err := clients.as(means)
		if err != nil {
			return writeback.Voice{}, &writeback.PolicyError{Err: fmt.Errorf("%s: %w", tenant.Instance, err)}
		}
		codes, ok := regionCodes(p, tenant.Region)
		if !ok {
			return writeback.Voice{}, &writeback.PolicyError{Err: fmt.Errorf("%s is pinned to region %s, which the policy does not have", tenant.Instance, tenant.Region)}
		}
		dated := func(r ats.Reading) ats.Reading { return m.dated(tenant.Instance, r, means.Mapping) }
		return writeback.Voice{Client: client, Mapping: means.digest, Regions: codes, Dated: dated}, nil
	}
	return func(ctx context.Context, d wire.Digest) (writeback.Voice, error) {
			p, err := m.under(ctx, hiring.Digest(d))
			if err != nil {
				return writeback.Voice{}, err
			}
			return voice(p)
		}, func(mapping wire.Digest) (writeback.Voice, bool) {
			p := m.known(tenant.Instance, mapping)
			if p == nil {
				return writeback.Voice{}, false
			}
			v, err := voice(p)
			return v, err == nil
		}
}
