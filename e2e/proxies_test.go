//go:build e2e && unix

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/concord-ats/concord/e2e/cluster"
)

// network puts a proxy between Concord and each of its services.
type network struct {
	t      *testing.T
	server *toxiproxy.ApiServer
	links  map[string]*toxiproxy.Proxy // kafka-1…, redis, registry, ats
}

// newNetwork starts the proxies and fills in the addresses a run's processes are told.
func newNetwork(t *testing.T, c *cluster.Cluster, nodes int, cfg *config) *network {
	t.Helper()
	n := &network{t: t, server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), links: make(map[string]*toxiproxy.Proxy)}
	t.Cleanup(func() {
		for _, p := range n.links {
			p.Stop()
		}
	})
	for i := range nodes {
		listen, upstream := c.Node(i).Proxy()
		cfg.Brokers = append(cfg.Brokers, n.link(fmt.Sprintf("kafka-%d", i+1), listen, upstream))
	}
	cfg.Redis = n.link("redis", "127.0.0.1:0", c.Redis())
	registry, err := url.Parse(c.Registry())
	must(t, err)
	registry.Host = n.link("registry", "127.0.0.1:0", registry.Host)
	cfg.Registry = registry.String()
	cfg.ATS = func(addr string) string { return n.link("ats", "127.0.0.1:0", addr) }
	return n
}

// link starts one proxy and returns where it listens.
func (n *network) link(name, listen, upstream string) string {
	n.t.Helper()
	p := toxiproxy.NewProxy(n.server, name, listen, upstream)
	must(n.t, p.Start())
	n.links[name] = p
	return p.Listen
}

// toxic is a fault of a link, in toxiproxy's words.
type toxic struct {
	Type       string         `json:"type"`
	Stream     string         `json:"stream"` // upstream: what Concord sends; downstream: what it is answered
	Attributes map[string]int `json:"attributes"`
}

var (
	// slow delays every packet; cut resets connections at the next byte that comes from the service; halfOpen keeps the
	// connection and lets nothing pass; slowClose holds the end of a connection back.
	slow      = []toxic{{"latency", "downstream", map[string]int{"latency": 120, "jitter": 80}}, {"latency", "upstream", map[string]int{"latency": 40, "jitter": 40}}}
	cut       = []toxic{{"reset_peer", "downstream", map[string]int{"timeout": 0}}}
	halfOpen  = []toxic{{"timeout", "downstream", map[string]int{"timeout": 0}}, {"timeout", "upstream", map[string]int{"timeout": 0}}}
	slowClose = []toxic{{"slow_close", "downstream", map[string]int{"delay": 1500}}, {"slow_close", "upstream", map[string]int{"delay": 1500}}}
)

// poison adds toxics to the links whose name starts so.
func (n *network) poison(prefix string, toxics []toxic) error {
	for name, p := range n.links {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		for _, x := range toxics {
			body, err := json.Marshal(x)
			if err != nil {
				return err
			}
			if _, err := p.Toxics.AddToxicJson(strings.NewReader(string(body))); err != nil {
				return fmt.Errorf("poison %s with %s: %w", name, x.Type, err)
			}
		}
	}
	return nil
}

// heal takes every toxic away.
func (n *network) heal(ctx context.Context) {
	for _, p := range n.links {
		p.Toxics.ResetToxics(ctx)
	}
}

// away takes services away as a dead host does: connections end and none is taken. back brings them back.
func (n *network) away(prefix string) {
	for name, p := range n.links {
		if strings.HasPrefix(name, prefix) {
			p.Stop()
		}
	}
}

func (n *network) back(prefix string) error {
	for name, p := range n.links {
		if strings.HasPrefix(name, prefix) {
			if err := p.Start(); err != nil {
				return fmt.Errorf("bring %s back: %w", name, err)
			}
		}
	}
	return nil
}
