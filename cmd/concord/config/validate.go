package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/ats/generic"
	"github.com/concord-ats/concord/pkg/strict"
	"github.com/concord-ats/concord/pkg/webhook"
)

// Validate checks every value and how values fit together, and returns all that is wrong as Faults,
// in the order of the struct, or nil.
func (c Config) Validate() error {
	v := &validator{}
	v.text("data_dir", c.DataDir, "give a folder")
	v.duration("start_timeout", c.StartTimeout, time.Second, time.Hour)
	v.duration("drain_timeout", c.DrainTimeout, 100*time.Millisecond, 10*time.Minute)
	if c.MemoryLimit != 0 {
		v.size("memory_limit", c.MemoryLimit, 128<<20, 1<<40)
	}
	v.between("local.kafka_port", c.Local.KafkaPort, 0, 65535)
	v.between("local.redis_port", c.Local.RedisPort, 0, 65535)
	v.between("local.registry_port", c.Local.RegistryPort, 0, 65535)
	v.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	v.listen("http.listen", c.HTTP.Listen, true)
	c.Kafka.validate(v)
	c.Registry.validate(v)
	c.Redis.validate(v)
	c.Stream.validate(v)
	c.Reconciler.validate(v)
	c.Writeback.validate(v)
	c.KPI.validate(v)
	c.Identity.validate(v)
	c.Poller.validate(v)
	c.Gateway.validate(v)
	if len(c.Policy.Archives) > 0 {
		v.text("policy.signers", c.Policy.Signers, "give the keys file: an archive is believed by its signatures alone")
	} else if c.Policy.Revoked != "" {
		v.text("policy.signers", c.Policy.Signers, "give the keys file, of which the revoked keys are part")
	}
	if c.Policy.Dev && !c.Embedded {
		v.fault("policy.dev", "true", "is for embedded mode alone; have bundles signed, and set policy.signers")
	}
	seen := map[string]bool{}
	for i, a := range c.ATS {
		a.validate(v, fmt.Sprintf("ats[%d].", i))
		if a.Instance != "" && seen[a.Instance] {
			v.fault(fmt.Sprintf("ats[%d].instance", i), a.Instance, "is there twice; give each instance a name of its own")
		}
		seen[a.Instance] = true
		if !a.Since.IsZero() && len(c.Policy.Archives) > 0 {
			v.fault(fmt.Sprintf("ats[%d].since", i), a.Since.Format(time.RFC3339), "is for the built-in policy; a bundle of policy.archives says by its effective_from since when the instance has an ATS")
		}
	}
	seen = map[string]bool{}
	for i, w := range c.Vendors {
		w.validate(v, fmt.Sprintf("vendors[%d].", i))
		if w.Instance != "" && seen[w.Instance] {
			v.fault(fmt.Sprintf("vendors[%d].instance", i), w.Instance, "is there twice; give each instance a name of its own")
		}
		seen[w.Instance] = true
	}
	return v.faults.err()
}

func (k Kafka) validate(v *validator) {
	if len(k.Brokers) == 0 {
		v.fault("kafka.brokers", "", "give at least one host:port")
	}
	for _, b := range k.Brokers {
		v.address("kafka.brokers", b)
	}
	v.text("kafka.client_id", k.ClientID, "give a name")
	k.TLS.validate(v, "kafka.tls.")
	v.oneOf("kafka.sasl.mechanism", k.SASL.Mechanism, "", "scram-sha-256", "scram-sha-512", "plain")
	if k.SASL.Mechanism == "plain" && !k.TLS.Enabled {
		v.fault("kafka.sasl.mechanism", "plain", "sends the password readable; set kafka.tls.enabled, or use scram-sha-512")
	}
	if k.SASL.Mechanism != "" {
		v.text("kafka.sasl.username", k.SASL.Username, "give the user of the mechanism "+k.SASL.Mechanism)
		v.text("kafka.sasl.password", k.SASL.Password.String(), "give it, or kafka.sasl.password_file")
	} else if k.SASL.Username != "" || k.SASL.Password != "" {
		v.fault("kafka.sasl.mechanism", "", "a user or a password is given; choose scram-sha-256, scram-sha-512 or plain")
	}
	v.between("kafka.partitions", k.Partitions, 1, 10_000)
	v.between("kafka.replication", k.Replication, 1, 9)
}

func (r Registry) validate(v *validator) {
	if !r.Static {
		v.http("registry.url", r.URL, r.Username != "")
	}
	if r.Password != "" && r.Username == "" {
		v.fault("registry.username", "", "a password is given; give its user")
	}
	r.TLS.validate(v, "registry.tls.")
}

func (r Redis) validate(v *validator) {
	v.address("redis.addr", r.Addr)
	v.between("redis.db", r.DB, 0, 1<<16)
	if r.Username != "" && r.Password == "" {
		v.fault("redis.password", "", "a user is given; give its password, or redis.password_file")
	}
	r.TLS.validate(v, "redis.tls.")
	v.duration("redis.timeout", r.Timeout, time.Millisecond, time.Minute)
	v.between("redis.processes", r.Processes, 1, 1000)
}

func (t TLS) validate(v *validator, prefix string) {
	if !t.Enabled {
		for _, f := range []struct{ key, value string }{
			{"ca_file", t.CAFile}, {"cert_file", t.CertFile}, {"key_file", t.KeyFile}, {"server_name", t.ServerName},
		} {
			if f.value != "" {
				v.fault(prefix+f.key, f.value, "has no effect; set "+prefix+"enabled")
			}
		}
		return
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		v.fault(prefix+"cert_file", t.CertFile, "give "+prefix+"cert_file and "+prefix+"key_file together")
	}
	for _, f := range []struct{ key, path string }{{"ca_file", t.CAFile}, {"cert_file", t.CertFile}, {"key_file", t.KeyFile}} {
		if f.path == "" {
			continue
		}
		if _, err := os.Stat(f.path); err != nil {
			v.fault(prefix+f.key, f.path, "cannot be opened; give the path of a PEM file")
		}
	}
}

func (s Stream) validate(v *validator) {
	v.between("stream.sessions", s.Sessions, 1, 256)
	v.duration("stream.commit_interval", s.CommitInterval, time.Millisecond, 10*time.Second)
	v.duration("stream.session_timeout", s.SessionTimeout, time.Second, 30*time.Minute)
	v.duration("stream.rebalance_timeout", s.RebalanceTimeout, time.Second, 30*time.Minute)
	v.duration("stream.transaction_timeout", s.TransactionTimeout, time.Second, 15*time.Second)
	if s.TransactionTimeout >= s.SessionTimeout {
		v.fault("stream.transaction_timeout", s.TransactionTimeout.String(),
			"keep it below stream.session_timeout ("+s.SessionTimeout.String()+"), or a new owner meets the old one's open transaction")
	}
	if s.CommitInterval*2 > s.TransactionTimeout {
		v.fault("stream.commit_interval", s.CommitInterval.String(), "keep it below half of stream.transaction_timeout ("+s.TransactionTimeout.String()+")")
	}
	v.size("stream.cache_bytes", s.CacheBytes, 1<<20, 1<<40)
}

func (r Reconciler) validate(v *validator) {
	v.text("reconciler.group", r.Group, "give a name")
	v.duration("reconciler.horizon", r.Horizon, time.Second, 90*24*time.Hour)
	v.between("reconciler.tail_cap", r.TailCap, 8, 4096)
	v.between("reconciler.ring_size", r.RingSize, 8, 4096)
	v.duration("reconciler.grace", r.Grace, time.Millisecond, time.Hour)
	v.duration("reconciler.settle", r.Settle, time.Millisecond, time.Hour)
	if r.Settle < r.Grace {
		v.fault("reconciler.settle", r.Settle.String(), "give at least reconciler.grace ("+r.Grace.String()+")")
	}
	v.duration("reconciler.refresh_coalescing", r.RefreshCoalescing, time.Millisecond, time.Hour)
	v.duration("reconciler.dedupe_ttl", r.DedupeTTL, time.Second, 365*24*time.Hour)
	if r.DedupeTTL < r.Horizon {
		v.fault("reconciler.dedupe_ttl", r.DedupeTTL.String(), "give at least reconciler.horizon ("+r.Horizon.String()+")")
	}
}

func (w Writeback) validate(v *validator) {
	v.text("writeback.group", w.Group, "give a name")
	v.duration("writeback.session_timeout", w.SessionTimeout, time.Second, 5*time.Minute)
	v.between("writeback.window", w.Window, 1, 1_000_000)
	v.duration("writeback.defer_after", w.DeferAfter, 10*time.Millisecond, 24*time.Hour)
	v.duration("writeback.http_timeout", w.HTTPTimeout, 10*time.Millisecond, 5*time.Minute)
	if w.HTTPTimeout >= w.SessionTimeout {
		v.fault("writeback.http_timeout", w.HTTPTimeout.String(),
			"keep it below writeback.session_timeout ("+w.SessionTimeout.String()+"), or a lost partition could still write")
	}
	v.between("writeback.concurrency", w.Concurrency, 1, 10_000)
}

func (k KPI) validate(v *validator) {
	v.text("kpi.group", k.Group, "give a name")
	v.duration("kpi.window", k.Window, time.Second, 31*24*time.Hour)
}

func (p Poller) validate(v *validator) {
	v.text("poller.group", p.Group, "give a name")
	v.duration("poller.every", p.Every, time.Second, 24*time.Hour)
	v.duration("poller.settle", p.Settle, 0, time.Hour)
	if !(p.Share > 0 && p.Share <= 1) {
		v.fault("poller.share", strconv.FormatFloat(p.Share, 'g', -1, 64), "give a part of the rate above 0, at most 1")
	}
}

func (i Identity) validate(v *validator) { v.text("identity.group", i.Group, "give a name") }

func (g Gateway) validate(v *validator) {
	v.listen("gateway.listen", g.Listen, false)
	v.size("gateway.max_body", g.MaxBody, 1<<10, 64<<20)
	v.size("gateway.max_held", g.MaxHeld, 2*g.MaxBody, 64<<30)
	v.between("gateway.max_connections", g.MaxConnections, 1, 1_000_000)
	v.between("gateway.max_waiting", g.MaxWaiting, 1, 1_000_000)
	if g.Rate < 1 || g.Rate > 1_000_000 {
		v.fault("gateway.rate", strconv.FormatFloat(g.Rate, 'g', -1, 64), "give requests a second, 1 to 1000000")
	}
	v.duration("gateway.ack_timeout", g.AckTimeout, time.Second, 10*time.Second) // with the body, within the time the server writes an answer
	v.text("gateway.group", g.Group, "give a name")
	v.duration("gateway.resolve_every", g.ResolveEvery, 10*time.Millisecond, time.Hour)
	v.duration("gateway.resolve_for", g.ResolveFor, g.ResolveEvery, 7*24*time.Hour)
}

func (a ATS) validate(v *validator, prefix string) {
	v.text(prefix+"instance", a.Instance, "give the part of an application id before the slash, such as gh-main")
	if strings.ContainsAny(a.Instance, "/ \t\n") {
		v.fault(prefix+"instance", a.Instance, "leave out slashes and spaces")
	}
	v.oneOf(prefix+"kind", a.Kind, "greenhouse", "lever", "ashby", "workable", "smartrecruiters", "generic", KindNone)
	if a.Kind == KindNone {
		a.validateNone(v, prefix)
		return
	}
	a.described(v, prefix+"description")
	v.http(prefix+"url", a.URL, a.ClientSecret != "")
	if a.TokenURL != "" {
		v.http(prefix+"token_url", a.TokenURL, a.ClientSecret != "")
	}
	if !slices.Contains(keyed, a.Kind) {
		v.text(prefix+"client_id", a.ClientID, "give the OAuth2 client")
	}
	if a.Kind == "workable" {
		v.text(prefix+"user_id", a.UserID, "give the id of the member who makes the changes, as GET /spi/v3/members lists it")
	}
	v.text(prefix+"client_secret", a.ClientSecret.String(), "give it, or "+prefix+"client_secret_file")
	v.duration(prefix+"read_lag", a.ReadLag, 0, 10*time.Minute)
	if !(a.Rate >= 0 && a.Rate <= 100_000) {
		v.fault(prefix+"rate", strconv.FormatFloat(a.Rate, 'g', -1, 64), "give requests a second, or 0 for the vendor's")
	}
	if a.Burst != 0 {
		v.between(prefix+"burst", a.Burst, WriteRequests, 100_000)
	}
}

// validateNone tells of what belongs to an ATS where there is none.
func (a ATS) validateNone(v *validator, prefix string) {
	for _, given := range []struct {
		key string
		is  bool
	}{
		{"url", a.URL != ""},
		{"token_url", a.TokenURL != ""},
		{"client_id", a.ClientID != ""},
		{"client_secret", a.ClientSecret != ""},
		{"webhook_secrets", len(a.WebhookSecrets) > 0},
		{"user_id", a.UserID != ""},
		{"since", !a.Since.IsZero()},
		{"description", a.Description != ""},
	} {
		if given.is {
			v.fault(prefix+given.key, cut, "belongs to an ATS, and kind: none is a team without one; leave it out, or give the ATS's kind")
		}
	}
}

// described checks the description of an ATS of one's own: each fault of the file is one of the configuration.
func (a ATS) described(v *validator, key string) {
	switch {
	case a.Kind != "generic" && a.Description != "":
		v.fault(key, a.Description, "is for kind generic; remove it, or choose that kind")
	case a.Kind == "generic" && a.Description == "":
		v.fault(key, "", "give the file that describes the ATS; `concord ats init` writes one to start from")
	case a.Kind == "generic":
		_, err := generic.Load(a.Description)
		var wrong strict.Faults
		if err != nil && !errors.As(err, &wrong) {
			v.fault(key, a.Description, "cannot be opened; give the path of a YAML file")
		}
		for _, f := range wrong {
			v.fault(key, a.Description, f.String())
		}
	}
}

func (w Vendor) validate(v *validator, prefix string) {
	v.text(prefix+"instance", w.Instance, "give the name the policy knows it by, such as checkr-us")
	if strings.ContainsAny(w.Instance, "/ \t\n") {
		v.fault(prefix+"instance", w.Instance, "leave out slashes and spaces")
	}
	v.oneOf(prefix+"kind", w.Kind, "checkr", "standard")
	v.text(prefix+"webhook_secrets", w.WebhookSecrets.String(), "give at least one, or "+prefix+"webhook_secrets_file")
	if w.Kind != "standard" {
		return
	}
	for _, s := range w.WebhookSecrets {
		if _, ok := webhook.StandardSecret(s.Reveal()); !ok {
			v.fault(prefix+"webhook_secrets", cut, "give each as its sender shows it, whsec_ and base64")
			return
		}
	}
}

// keyed are the dialects that take an API key or an access token.
var keyed = []string{"lever", "ashby", "workable", "smartrecruiters", "generic"}

// WriteRequests is how many requests one write takes at most: a second look, elements, stage and status. A smaller burst
// could never grant them together.
const WriteRequests = 4

// validator gathers faults; each check adds at most one.
type validator struct{ faults Faults }

func (v *validator) fault(key, value, fix string) {
	v.faults = append(v.faults, Fault{key, value, fix})
}

func (v *validator) text(key, value, fix string) {
	if value == "" {
		v.fault(key, "", fix)
	}
}

func (v *validator) oneOf(key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		allowed = slices.DeleteFunc(allowed, func(s string) bool { return s == "" })
		v.fault(key, value, "give "+strings.Join(allowed, ", "))
	}
}

func (v *validator) duration(key string, value, low, high time.Duration) {
	if value < low || value > high {
		v.fault(key, value.String(), fmt.Sprintf("give %s to %s", low, high))
	}
}

func (v *validator) between(key string, value, low, high int) {
	if value < low || value > high {
		v.fault(key, strconv.Itoa(value), fmt.Sprintf("give %d to %d", low, high))
	}
}

func (v *validator) size(key string, value, low, high Bytes) {
	if value < low || value > high {
		v.fault(key, value.String(), fmt.Sprintf("give %s to %s", low, high))
	}
}

func (v *validator) address(key, value string) {
	host, port, err := net.SplitHostPort(value)
	if err != nil || host == "" || !portNumber(port) {
		v.fault(key, value, "give host:port")
	}
}

func (v *validator) listen(key, value string, optional bool) {
	if value == "" && optional {
		return
	}
	if _, port, err := net.SplitHostPort(value); err != nil || !portNumber(port) {
		v.fault(key, value, "give host:port, or :port for every interface")
	}
}

func portNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

// http checks a base URL; with credentials it must not send them readable over a network.
func (v *validator) http(key, value string, credentials bool) {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		v.fault(key, value, "give a URL, http:// or https://")
	case u.User != nil:
		v.fault(key, cut, "give user and password by their own keys, not in the URL")
	case credentials && u.Scheme == "http" && !local(u.Hostname()):
		v.fault(key, value, "sends credentials readable; use https://")
	}
}

// local says whether a host stays inside the machine or a private container network: loopback, or a name
// without a dot.
func local(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	return !strings.Contains(host, ".")
}
