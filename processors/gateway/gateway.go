package gateway

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
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

	"github.com/concord-ats/concord/pkg/ats/greenhouse"
	"github.com/concord-ats/concord/pkg/wire"
)

// Greenhouse is one Greenhouse tenant that may send webhooks.
type Greenhouse struct {
	Mapping greenhouse.Mapping
	Secrets []string // the present one and, while it is being changed, the old one
}

// Config is what a Gateway needs. Zero bounds take the default named beside the field.
type Config struct {
	Addr       string // host:port to listen on; port 0 picks one
	Opts       []kgo.Opt
	Schemas    *wire.Schemas
	Greenhouse []Greenhouse
	Tokens     []string      // bearer tokens of /events; none closes the endpoint
	MaxBody    int64         // bytes of one request (1 MiB)
	MaxWaiting int           // requests waiting for Kafka at once (1,000)
	AckTimeout time.Duration // how long Kafka may take to acknowledge (4 s: senders want an answer within 5)
	Clock      func() time.Time
	Registry   prometheus.Registerer // may be nil
	Logger     *zap.Logger           // may be nil
}

// Gateway serves the door. Safe for concurrent use.
type Gateway struct {
	cfg      Config
	tenants  []Greenhouse
	client   *kgo.Client
	slots    chan struct{}
	requests *prometheus.CounterVec
	failing  atomic.Bool
	listener net.Listener
}

// New checks the configuration, opens the listener and returns a gateway that does not serve yet.
func New(cfg Config) (*Gateway, error) {
	if cfg.MaxBody == 0 {
		cfg.MaxBody = 1 << 20
	}
	if cfg.MaxWaiting == 0 {
		cfg.MaxWaiting = 1000
	}
	if cfg.AckTimeout == 0 {
		cfg.AckTimeout = 4 * time.Second
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	var faults []error
	if cfg.Schemas == nil {
		faults = append(faults, errors.New("schemas: missing"))
	}
	for i := range cfg.Greenhouse {
		t := &cfg.Greenhouse[i]
		if err := t.Mapping.Validate(); err != nil {
			faults = append(faults, fmt.Errorf("greenhouse %q: %w", t.Mapping.System, err))
		}
		if len(t.Secrets) == 0 || slices.Contains(t.Secrets, "") {
			faults = append(faults, fmt.Errorf("greenhouse %q: secrets: at least one, and none empty", t.Mapping.System))
		}
	}
	if slices.Contains(cfg.Tokens, "") {
		faults = append(faults, errors.New("tokens: one is empty"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	opts := append(slices.Clone(cfg.Opts), kgo.RecordDeliveryTimeout(cfg.AckTimeout), kgo.MaxBufferedRecords(2*cfg.MaxWaiting),
		kgo.RetryBackoffFn(func(fails int) time.Duration { return min(50*time.Millisecond<<min(fails, 10), cfg.AckTimeout/8) }), // no longer than a sender waits
		kgo.MetadataMinAge(250*time.Millisecond),
		kgo.AllowIdempotentProduceCancellation(), // a record on its way to a silent broker must not outlast AckTimeout: the sender sends again
		kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()))
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("gateway: kafka client: %w", err)
	}
	listener, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("gateway: listen on %s: %w", cfg.Addr, err)
	}
	g := &Gateway{
		cfg: cfg, tenants: cfg.Greenhouse, client: client, listener: listener, slots: make(chan struct{}, cfg.MaxWaiting),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "concord_gateway_requests_total", Help: "Requests by endpoint and answer."}, []string{"endpoint", "result"}),
	}
	if cfg.Registry != nil {
		cfg.Registry.MustRegister(g.requests)
	}
	return g, nil
}

// Addr is the address the gateway listens on.
func (g *Gateway) Addr() string { return g.listener.Addr().String() }

// Run serves until ctx ends; requests in hand are finished.
func (g *Gateway) Run(ctx context.Context) error {
	defer g.client.Close()
	probeCtx, stopProbe := context.WithCancel(ctx)
	var probing sync.WaitGroup
	probing.Go(func() { g.probe(probeCtx) })
	defer probing.Wait()
	defer stopProbe()
	srv := &http.Server{Handler: g.Handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 15 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 32 << 10}
	stopped := make(chan error, 1)
	go func() { stopped <- srv.Serve(g.listener) }()
	select {
	case err := <-stopped:
		return fmt.Errorf("gateway: serve: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := srv.Shutdown(drain); err != nil {
		return fmt.Errorf("gateway: drain: %w", err)
	}
	if err := <-stopped; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("gateway: serve: %w", err)
	}
	return nil
}

// Ready returns, in words, what keeps the gateway from accepting; empty means ready.
func (g *Gateway) Ready() []string {
	if g.failing.Load() {
		return []string{"gateway: kafka does not acknowledge records"}
	}
	return nil
}

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

// Handler returns the HTTP routes.
func (g *Gateway) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /webhooks/greenhouse/{system}", g.counted("greenhouse", g.greenhouse))
	mux.HandleFunc("POST /events", g.counted("events", g.events))
	return mux
}

// answer is how a request ends.
type answer struct {
	status int
	result string // closed: the metric label
	text   string // for the sender; names the field and the fix
}

func (g *Gateway) counted(endpoint string, handle func(*http.Request, []byte) answer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a := g.serve(w, r, handle)
		g.requests.WithLabelValues(endpoint, a.result).Inc()
		if a.status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "5")
		}
		if a.status >= 400 {
			g.cfg.Logger.Warn("request refused", zap.String("endpoint", endpoint), zap.String("result", a.result), zap.Int("status", a.status))
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.text+"\n") // the sender is gone: it will send again
	}
}

// serve bounds what is in hand and reads the body whole, as signatures are over the raw bytes.
func (g *Gateway) serve(w http.ResponseWriter, r *http.Request, handle func(*http.Request, []byte) answer) answer {
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	default:
		return answer{http.StatusServiceUnavailable, "busy", "too many requests wait for Kafka; send again later"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, g.cfg.MaxBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return answer{http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit)}
		}
		return answer{http.StatusBadRequest, "unreadable", "the body could not be read"}
	}
	return handle(r, body)
}

// publish produces records and waits until all of them are acknowledged. Every error says that Kafka is failing,
// save that of a sender who went away.
func (g *Gateway) publish(sender context.Context, recs []*kgo.Record) error {
	ctx, cancel := context.WithTimeout(sender, g.cfg.AckTimeout)
	defer cancel()
	err := g.client.ProduceSync(ctx, recs...).FirstErr()
	if err == nil || sender.Err() == nil {
		g.failing.Store(err != nil)
	}
	return err
}

func (g *Gateway) published(ctx context.Context, recs []*kgo.Record) answer {
	if err := g.publish(ctx, recs); err != nil {
		g.cfg.Logger.Warn("kafka did not acknowledge", zap.Error(err))
		return answer{http.StatusServiceUnavailable, "kafka_away", "the event could not be stored; send again later"}
	}
	return answer{http.StatusOK, "accepted", "accepted"}
}

// authorised checks a bearer token in constant time.
func (g *Gateway) authorised(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	match := 0
	for _, t := range g.cfg.Tokens {
		match |= subtle.ConstantTimeCompare([]byte(token), []byte(t))
	}
	return ok && match == 1
}
