package gateway_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/ats/atstest"
	"github.com/concord-ats/concord/pkg/ats/greenhouse"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/gateway"
)

const (
	pingSecret = "1uSUju2H6AohOE7OQVaxeLT3O8Uxxuas" // published by the recipient of the published ping
	oldSecret  = "the-old-one"
	token      = "token-1"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// door is a running gateway in front of a broker, whose network can be cut.
type door struct {
	t       *testing.T
	g       *gateway.Gateway
	url     string
	kafka   *kfake.Cluster
	schemas *wire.Schemas
	net     *cable
	cancel  context.CancelFunc
	done    chan error
	once    sync.Once
}

// cable is a network that can be cut: dials fail, and open connections break.
type cable struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func (c *cable) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return nil, errors.New("the network is cut")
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err == nil {
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	if cut {
		for _, conn := range c.conns {
			_ = conn.Close()
		}
		c.conns = nil
	}
}

var outputs = []string{topics.ATSChanges, topics.CandidateEvents, topics.ScreeningEvents, topics.DeadLetter(topics.ATSChanges), topics.DeadLetter(topics.ScreeningEvents), topics.GatewayUnresolved, topics.DeadLetter(topics.GatewayUnresolved)}

func open(t *testing.T, change func(*gateway.Config)) *door {
	t.Helper()
	d := &door{t: t, net: &cable{}, done: make(chan error, 1)}
	var err error
	if d.kafka, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, outputs...)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.kafka.Close)
	if d.schemas, err = wire.Open(wire.Config{}); err != nil {
		t.Fatal(err)
	}
	cfg := gateway.Config{
		Addr: "127.0.0.1:0", Schemas: d.schemas, Tokens: []string{"token-0", token}, Clock: func() time.Time { return now },
		Opts: []kgo.Opt{kgo.SeedBrokers(d.kafka.ListenAddrs()...), kgo.Dialer(d.net.dial)},
		Senders: []gateway.Sender{{
			Kind: "greenhouse", System: "gh-main", Letters: topics.ATSChanges,
			Webhooks: greenhouse.Webhooks{Mapping: greenhouse.Mapping(atstest.GreenhouseMapping("gh-main")), Secrets: []string{pingSecret, oldSecret}},
		}},
	}
	if change != nil {
		change(&cfg)
	}
	if d.g, err = gateway.New(cfg); err != nil {
		t.Fatal(err)
	}
	d.url = "http://" + d.g.Addr()
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	go func() { d.done <- d.g.Run(ctx) }()
	t.Cleanup(func() {
		if err := d.stop(); err != nil {
			t.Errorf("gateway: %v", err)
		}
	})
	return d
}

func (d *door) stop() (err error) {
	d.once.Do(func() {
		d.cancel()
		err = <-d.done
	})
	return err
}

type reply struct {
	status int
	text   string
	header http.Header
}

func (d *door) post(path, body string, header ...string) reply {
	d.t.Helper()
	r, err := d.send(path, body, header...)
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

func (d *door) send(path, body string, header ...string) (reply, error) {
	req, err := http.NewRequest(http.MethodPost, d.url+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, strings.TrimSpace(string(text)), resp.Header}, err
}

// webhook posts a body with a valid signature.
func (d *door) webhook(body, id string) reply {
	d.t.Helper()
	return d.post("/webhooks/greenhouse/gh-main", body, greenhouse.SignatureHeader, greenhouse.Sign([]byte(body), pingSecret), greenhouse.EventIDHeader, id)
}

// stored returns every record of the output topics, by topic and partition.
func (d *door) stored() []*kgo.Record {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(d.kafka.ListenAddrs()...), kgo.ConsumeTopics(outputs...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		d.t.Fatal(err)
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, outputs...)
	if err != nil {
		d.t.Fatal(err)
	}
	left := int64(0)
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	var out []*kgo.Record
	for int64(len(out)) < left {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			d.t.Fatalf("%d records read of %d", len(out), left)
		}
		out = append(out, fetches.Records()...)
	}
	return out
}

// nothing fails when anything was stored.
func (d *door) nothing() {
	d.t.Helper()
	for _, rec := range d.stored() {
		d.t.Errorf("a record was stored on %s", rec.Topic)
	}
}

func published(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "pkg", "ats", "greenhouse", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func headerOf(rec *kgo.Record, key string) string {
	for _, h := range rec.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func sign(body string) string { return greenhouse.Sign([]byte(body), pingSecret) }
