package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/contact"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
)

// Sender is one that may send webhooks, to /webhooks/{Kind}/{System}.
type Sender struct {
	Kind     string // the dialect: "greenhouse"
	System   string // the ATS or vendor instance
	Webhooks webhook.Sender
	// Region, such as DE, is the country of phone numbers that say none.
	Region string
	// Letters is the input topic whose dead letters take what can become no event.
	Letters string
}

// Config is what a Gateway needs. Zero bounds take the default named beside the field.
type Config struct {
	Addr    string // host:port to listen on; port 0 picks one
	Opts    []kgo.Opt
	Schemas *wire.Schemas
	Senders []Sender
	Tokens  []string // bearer tokens of /events; none closes the endpoint
	// Resolve looks up whom a webhook is about that names no application. Nil dead-letters it at once.
	Resolve *Resolve
	// Contacts is the key under which contacts that webhooks show are hashed for the identity processor; none drops them.
	Contacts contact.Key

	MaxBody        int64         // bytes of one body (1 MiB)
	MaxHeld        int64         // bytes of all bodies in hand (32 MiB)
	MaxConnections int           // connections at once (4,096)
	MaxWaiting     int           // requests that wait for Kafka at once (1,000)
	Rate           float64       // requests a second of one sender, with a burst of one second (1,000)
	RequestTimeout time.Duration // for a request to come in whole, however slowly it is sent (5 s)
	AckTimeout     time.Duration // how long Kafka may take to acknowledge (4 s: senders want an answer within 5)

	Clock    func() time.Time
	Registry prometheus.Registerer // may be nil
	Logger   *zap.Logger           // may be nil
}

func (c *Config) setDefaults() {
	set := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	set(&c.MaxBody, 1<<20)
	set(&c.MaxHeld, 32<<20)
	if c.MaxConnections == 0 {
		c.MaxConnections = 4096
	}
	if c.MaxWaiting == 0 {
		c.MaxWaiting = 1000
	}
	if c.Rate == 0 {
		c.Rate = 1000
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = 5 * time.Second
	}
	if c.AckTimeout == 0 {
		c.AckTimeout = 4 * time.Second
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
}

func (c *Config) validate() error {
	var faults []error
	if c.Schemas == nil {
		faults = append(faults, errors.New("schemas: missing"))
	}
	seen := map[string]bool{}
	for _, s := range c.Senders {
		path := s.Kind + "/" + s.System
		if s.Kind == "" || s.System == "" || strings.ContainsAny(s.Kind+s.System, "/ \t\n") || s.Webhooks == nil || s.Letters == "" {
			faults = append(faults, fmt.Errorf("sender %q: give kind and system without slash or space, its webhooks and the topic of its dead letters", path))
		}
		if seen[path] {
			faults = append(faults, fmt.Errorf("sender %q: is there twice", path))
		}
		seen[path] = true
	}
	if slices.Contains(c.Tokens, "") {
		faults = append(faults, errors.New("tokens: one is empty"))
	}
	if c.MaxHeld < 2*c.MaxBody {
		faults = append(faults, fmt.Errorf("bodies in hand: %d bytes: give at least twice the %d of one", c.MaxHeld, c.MaxBody))
	}
	if c.Resolve != nil {
		faults = append(faults, c.Resolve.validate())
	}
	return errors.Join(faults...)
}

// Gateway serves the door. Safe for concurrent use.
type Gateway struct {
	cfg      Config
	doors    map[string]*door // by path below /webhooks/
	events   *door
	client   *kgo.Client
	held     budget
	waiting  chan struct{}
	metrics  *metrics
	failing  atomic.Bool
	listener net.Listener
	resolver *resolver // nil without Resolve
}

// New checks the configuration, opens the listener and returns a gateway that does not serve yet.
func New(cfg Config) (*Gateway, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	opts := append(slices.Clone(cfg.Opts), kgo.RecordDeliveryTimeout(cfg.AckTimeout), kgo.MaxBufferedRecords(max(2*cfg.MaxWaiting, maxBatch)),
		kgo.MaxBufferedBytes(int(cfg.MaxHeld)), // also what no sender waits for any more
		kgo.RetryBackoffFn(func(fails int) time.Duration { return min(50*time.Millisecond<<min(fails, 10), cfg.AckTimeout/8) }), // no longer than a sender waits
		kgo.MetadataMinAge(250*time.Millisecond),
		kgo.AllowIdempotentProduceCancellation(), // a record on its way to a silent broker must not outlast AckTimeout: the sender sends again
		kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()))
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	listener, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("listen on %s: %w", cfg.Addr, err)
	}
	g := &Gateway{
		cfg: cfg, doors: map[string]*door{}, events: newDoor("events", "", cfg.Rate), client: client,
		waiting: make(chan struct{}, cfg.MaxWaiting), metrics: newMetrics(),
	}
	g.held.left.Store(cfg.MaxHeld)
	g.listener = &boundedListener{Listener: listener, room: make(chan struct{}, cfg.MaxConnections), refused: g.metrics.refused}
	for i := range cfg.Senders {
		s := &cfg.Senders[i]
		d := newDoor(s.Kind, s.System, cfg.Rate)
		d.sender = s
		g.doors[s.Kind+"/"+s.System] = d
		g.metrics.requests.WithLabelValues(s.Kind, s.System, "accepted") // from 0 on: what is silent has a series too
	}
	g.metrics.held = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "concord_gateway_held_bytes", Help: "Bytes of request bodies in hand; bounded by gateway.max_held.",
	}, func() float64 { return float64(cfg.MaxHeld - g.held.left.Load()) })
	if cfg.Resolve != nil {
		g.resolver = newResolver(g, *cfg.Resolve)
	}
	if cfg.Registry != nil {
		cfg.Registry.MustRegister(g.metrics.collectors()...)
	}
	return g, nil
}

// Addr is the address the gateway listens on.
func (g *Gateway) Addr() string { return g.listener.Addr().String() }

// Run serves until ctx ends; requests in hand are finished.
func (g *Gateway) Run(ctx context.Context) error {
	defer g.client.Close()
	beside, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { g.probe(beside) })
	resolving := make(chan error, 1)
	running.Go(func() { resolving <- g.resolver.run(beside) })
	defer running.Wait()
	defer stop()
	srv := &http.Server{
		Handler: g.Handler(), ReadHeaderTimeout: g.cfg.RequestTimeout, ReadTimeout: g.cfg.RequestTimeout, WriteTimeout: g.answerTimeout(),
		IdleTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: zap.NewStdLog(zap.NewNop()), // what strangers send is no news
	}
	stopped := make(chan error, 1)
	go func() { stopped <- srv.Serve(g.listener) }()
	select {
	case err := <-stopped:
		return fmt.Errorf("serve: %w", err)
	case err := <-resolving:
		if ctx.Err() == nil && g.resolver != nil {
			return errors.Join(fmt.Errorf("resolver: %w", err), srv.Close())
		}
		<-ctx.Done()
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := srv.Shutdown(drain); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	if err := <-stopped; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// answerTimeout is how long after a request's header its answer may go out: once the body is there and Kafka has had its time,
// with a second for a sender that is slow to take it. An answer to what is stored is never cut off by it.
func (g *Gateway) answerTimeout() time.Duration {
	return g.cfg.RequestTimeout + g.cfg.AckTimeout + g.cfg.AckTimeout/8 + time.Second
}

// Ready returns, in words, what keeps the gateway from accepting; empty means ready.
func (g *Gateway) Ready() []string {
	if g.failing.Load() {
		return []string{"kafka does not acknowledge records"}
	}
	return nil
}

// Degraded returns, in words, what the gateway goes on without.
func (g *Gateway) Degraded() []string { return g.resolver.degraded() }

// probe asks Kafka while it is failing, as a gateway that is not ready may get no request to notice by that Kafka
// is back.
func (g *Gateway) probe(ctx context.Context) {
	tick := time.NewTicker(min(g.cfg.AckTimeout, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !g.failing.Load() {
			continue
		}
		ping, cancel := context.WithTimeout(ctx, g.cfg.AckTimeout)
		if g.client.Ping(ping) == nil {
			g.failing.Store(false)
		}
		cancel()
	}
}
