package dedupe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/concord-ats/concord/pkg/redislink/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is the circuit's clock, moved by hand.
type clock struct{ us atomic.Int64 }

func (c *clock) now() time.Time       { return time.UnixMicro(c.us.Load()) }
func (c *clock) pass(d time.Duration) { c.us.Add(d.Microseconds()) }
func owner(p int32, offset int64) Owner {
	return Owner{Cluster: "c", Group: "g", Topic: [16]byte{7}, Partition: p, Offset: offset, Digest: [16]byte{1}}
}

func open(t *testing.T, opts *redis.Options, cfg Config) *Claimer {
	t.Helper()
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second // nothing here may depend on a busy machine
	}
	c := New(opts, cfg)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

// value reads a counter or a gauge.
func value(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.GetCounter().GetValue() + out.GetGauge().GetValue()
}

func verdicts(results []Result) []Verdict {
	var v []Verdict
	for _, r := range results {
		v = append(v, r.Verdict)
	}
	return v
}

func expect(t *testing.T, what string, got []Result, want ...Verdict) {
	t.Helper()
	if !slices.Equal(verdicts(got), want) {
		t.Fatalf("%s: got %v, want %v", what, verdicts(got), want)
	}
}

func TestOwnership(t *testing.T) {
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := open(t, s.Options(), Config{})
		id, other := IdentityOf("greenhouse", "e1"), IdentityOf("greenhouse", "e2")
		first, copied := owner(0, 10), owner(3, 4)
		copied.Digest = [16]byte{2}

		expect(t, "first sight", c.Claim(t.Context(), []Claim{{id, first}, {other, owner(0, 11)}}), Fresh, Fresh)
		expect(t, "redelivery", c.Claim(t.Context(), []Claim{{id, first}}), Mine)
		got := c.Claim(t.Context(), []Claim{{id, copied}})
		expect(t, "other coordinates", got, Other)
		if got[0].Owner != first || got[0].Owner.SameContent(copied) {
			t.Errorf("owner = %+v, want %+v with other content", got[0].Owner, first)
		}
		for name, o := range map[string]Owner{
			"cluster": {Cluster: "d", Group: "g", Topic: [16]byte{7}, Offset: 10, Digest: [16]byte{1}},
			"group":   {Cluster: "c", Group: "h", Topic: [16]byte{7}, Offset: 10, Digest: [16]byte{1}},
			"topic":   {Cluster: "c", Group: "g", Topic: [16]byte{8}, Offset: 10, Digest: [16]byte{1}},
			"offset":  owner(0, 12),
		} {
			expect(t, "another "+name, c.Claim(t.Context(), []Claim{{id, o}}), Other)
		}
		expect(t, "no claims", c.Claim(t.Context(), nil))
	})
}

func TestSamePollIsResolvedInOrder(t *testing.T) {
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := open(t, s.Options(), Config{})
		id := IdentityOf("s", "1")
		got := c.Claim(t.Context(), []Claim{{id, owner(0, 1)}, {id, owner(0, 2)}, {id, owner(0, 1)}})
		expect(t, "one poll", got, Fresh, Other, Mine)
		if got[1].Owner != owner(0, 1) {
			t.Errorf("owner = %+v", got[1].Owner)
		}
	})
}

// A consumer marks, works, commits. It is killed between mark and commit, and the record
// is delivered again. The naive consumer shows that the schedule would lose it.
func TestMarkCrashRedeliverIsProcessed(t *testing.T) {
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		type mark func(o Owner) (process bool)
		run := func(m mark) (processed []int64) {
			committed := int64(0)
			crash := map[int64]bool{1: true, 2: true}
			for committed < 4 {
				offset := committed
				process := m(owner(0, offset))
				if crash[offset] {
					delete(crash, offset) // dies here: nothing worked, nothing committed
					continue
				}
				if process {
					processed = append(processed, offset)
				}
				committed++
			}
			return processed
		}
		id := func(offset int64) Identity { return IdentityOf("s", string(binary.AppendVarint(nil, offset))) }
		owning := run(func(o Owner) bool {
			c := open(t, s.Options(), Config{}) // a new process each time
			return c.Claim(t.Context(), []Claim{{id(o.Offset), o}})[0].Verdict != Other
		})
		if want := []int64{0, 1, 2, 3}; !slices.Equal(owning, want) {
			t.Errorf("processed %v, want %v", owning, want)
		}
		s.Flush()
		naive := run(func(o Owner) bool {
			c := open(t, s.Options(), Config{})
			return c.Claim(t.Context(), []Claim{{id(o.Offset), o}})[0].Verdict == Fresh
		})
		if want := []int64{0, 3}; !slices.Equal(naive, want) {
			t.Errorf("the schedule does not bite: mark and drop processed %v, want %v", naive, want)
		}
	})
}

func TestForgetting(t *testing.T) {
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := open(t, s.Options(), Config{TTL: 300 * time.Millisecond})
		id := IdentityOf("s", "1")
		expect(t, "first", c.Claim(t.Context(), []Claim{{id, owner(0, 1)}}), Fresh)
		s.Pass(400 * time.Millisecond)
		expect(t, "after its time", c.Claim(t.Context(), []Claim{{id, owner(0, 2)}}), Fresh)
		s.Flush()
		expect(t, "after FLUSHALL", c.Claim(t.Context(), []Claim{{id, owner(0, 3)}}), Fresh)
	})
}

func TestAClaimDoesNotProlongTheFirst(t *testing.T) {
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := open(t, s.Options(), Config{TTL: time.Second})
		id := IdentityOf("s", "1")
		expect(t, "first", c.Claim(t.Context(), []Claim{{id, owner(0, 1)}}), Fresh)
		s.Pass(600 * time.Millisecond)
		c.Claim(t.Context(), []Claim{{id, owner(0, 2)}})
		s.Pass(600 * time.Millisecond)
		expect(t, "expired", c.Claim(t.Context(), []Claim{{id, owner(0, 2)}}), Fresh)
	})
}

func TestOutOfMemory(t *testing.T) {
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		m := NewMetrics()
		c := open(t, s.Options(), Config{Metrics: m})
		id := IdentityOf("s", "1")
		expect(t, "warm", c.Claim(t.Context(), []Claim{{id, owner(0, 1)}}), Fresh)
		s.Full()
		expect(t, "full", c.Claim(t.Context(), []Claim{{id, owner(0, 1)}, {IdentityOf("s", "2"), owner(0, 2)}}), Unknown, Unknown)
		if got := value(t, m.failures.WithLabelValues("oom")); got != 1 {
			t.Errorf("failures{oom} = %v", got)
		}
		if got := value(t, m.unavailable); got != 1 {
			t.Errorf("unavailable = %v while full", got)
		}
		s.Roomy()
		expect(t, "roomy, without a pause", c.Claim(t.Context(), []Claim{{id, owner(0, 1)}}), Mine)
		if got := value(t, m.unavailable); got != 0 {
			t.Errorf("unavailable = %v afterwards", got)
		}
		if c.Away() {
			t.Error("says that it is away afterwards")
		}
	})
}

func TestStoppedAndBack(t *testing.T) {
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		var clk clock
		m := NewMetrics()
		c := open(t, s.Options(), Config{Metrics: m, Now: clk.now, ProbeAfter: time.Second, ProbeAtMost: 4 * time.Second})
		id := IdentityOf("s", "1")
		claim := []Claim{{id, owner(0, 1)}}
		expect(t, "up", c.Claim(t.Context(), claim), Fresh)
		s.Stop()
		// A connection that died idle may answer first; then the dial fails.
		for range 3 {
			expect(t, "down", c.Claim(t.Context(), claim), Unknown)
		}
		if got := value(t, m.failures.WithLabelValues("skipped")); got != 2 {
			t.Errorf("skipped %v polls, want the 2 after the first", got)
		}
		if !c.Away() {
			t.Error("does not say that it is away")
		}
		clk.pass(time.Second)
		expect(t, "probe fails", c.Claim(t.Context(), claim), Unknown)
		clk.pass(time.Second)
		expect(t, "pause has doubled", c.Claim(t.Context(), claim), Unknown)
		if got := value(t, m.failures.WithLabelValues("skipped")); got != 3 {
			t.Errorf("skipped %v polls, want 3", got)
		}
		s.Start()
		clk.pass(time.Second)
		expect(t, "back and empty", c.Claim(t.Context(), claim), Fresh)
		expect(t, "closed again", c.Claim(t.Context(), claim), Mine)
		if got := value(t, m.unavailable); got != 0 {
			t.Errorf("unavailable = %v afterwards", got)
		}
	})
}

func TestOnePollIsOneRoundTrip(t *testing.T) {
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		var wire turns
		opts := s.Options()
		opts.Dialer = wire.dial
		c := open(t, opts, Config{Timeout: 20 * time.Second})
		c.Claim(t.Context(), []Claim{{IdentityOf("s", "warm"), owner(0, 0)}})
		for _, n := range []int{1, 500, 20_000} {
			claims := make([]Claim, n)
			for i := range claims {
				claims[i] = Claim{IdentityOf("s", string(binary.AppendVarint([]byte{byte(n)}, int64(i)))), owner(0, int64(i))}
			}
			for _, want := range []Verdict{Fresh, Mine} {
				wire.count.Store(0)
				for i, r := range c.Claim(t.Context(), claims) {
					if r.Verdict != want {
						t.Fatalf("%d claims: claim %d is %v, want %v", n, i, r.Verdict, want)
					}
				}
				if got := wire.count.Load(); got != 1 {
					t.Errorf("%d claims took %d round trips", n, got)
				}
			}
		}
	})
}

// turns counts how often a connection goes from writing to reading: its round trips.
type turns struct{ count atomic.Int64 }

func (w *turns) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &turnsConn{Conn: conn, turns: w}, nil
}

type turnsConn struct {
	net.Conn
	turns *turns
	wrote atomic.Bool
}

func (c *turnsConn) Write(b []byte) (int, error) {
	c.wrote.Store(true)
	return c.Conn.Write(b)
}

func (c *turnsConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && c.wrote.Swap(false) {
		c.turns.count.Add(1)
	}
	return n, err
}

func TestKeysAndValuesAreOpaque(t *testing.T) {
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := open(t, s.Options(), Config{})
		c.Claim(t.Context(), []Claim{{IdentityOf("mail", "jane.doe@example.org"), owner(0, 1)}})
		keys, ok := s.Do("KEYS", "*").([]any)
		if !ok || len(keys) != 1 {
			t.Fatalf("keys = %v", keys)
		}
		key := keys[0].(string)
		value := s.Do("GET", key).(string)
		if strings.Contains(key+value, "jane") || !strings.HasPrefix(key, "concord:d:") || len(key) > 40 || len(value) > 64 {
			t.Errorf("key %q of %d bytes, value of %d bytes", key, len(key), len(value))
		}
	})
}

func TestStartCheck(t *testing.T) {
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := open(t, s.Options(), Config{})
		if h := c.Check(t.Context()); len(h.Warnings) != 0 {
			t.Errorf("healthy server warned of: %v", h.Warnings)
		}
		if s.Real() {
			s.Do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
			h := c.Check(t.Context())
			if len(h.Warnings) != 1 || !strings.Contains(h.Warnings[0], "allkeys-lru") {
				t.Errorf("evicting server: %+v", h)
			}
		}
		s.Stop()
		defer s.Start()
		if h := c.Check(t.Context()); len(h.Warnings) == 0 {
			t.Error("an absent server is no warning")
		}
	})
}

func TestSilentServerCostsOneTimeout(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 8)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	var clk clock
	m := NewMetrics()
	c := open(t, &redis.Options{Addr: ln.Addr().String()}, Config{Timeout: 50 * time.Millisecond, Metrics: m, Now: clk.now})
	claim := []Claim{{IdentityOf("s", "1"), owner(0, 1)}}
	start := time.Now()
	for range 100 {
		expect(t, "silent", c.Claim(t.Context(), claim), Unknown)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("100 polls of a silent server took %s", took)
	}
	if got := value(t, m.failures.WithLabelValues("skipped")); got != 99 {
		t.Errorf("skipped %v of 100", got)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	<-done
	close(accepted)
	for conn := range accepted {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestCancelledCallerSaysNothingOfTheServer(t *testing.T) {
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := open(t, s.Options(), Config{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		claim := []Claim{{IdentityOf("s", "1"), owner(0, 1)}}
		expect(t, "cancelled", c.Claim(ctx, claim), Unknown)
		expect(t, "afterwards", c.Claim(t.Context(), claim), Fresh)
	})
}

func TestTLSAndPasswordPassThrough(t *testing.T) {
	cert := httptest.NewTLSServer(nil)
	defer cert.Close()
	m := miniredis.NewMiniRedis()
	m.RequireUserAuth("concord", "secret")
	if err := m.StartTLS(&tls.Config{Certificates: cert.TLS.Certificates}); err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	roots := x509.NewCertPool()
	roots.AddCert(cert.Certificate())
	opts := &redis.Options{
		Addr: m.Addr(), Username: "concord", Password: "secret",
		TLSConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"},
	}
	claim := []Claim{{IdentityOf("s", "1"), owner(0, 1)}}
	expect(t, "right password", open(t, opts, Config{}).Claim(t.Context(), claim), Fresh)
	wrong := *opts
	wrong.Password = "guess"
	expect(t, "wrong password", open(t, &wrong, Config{}).Claim(t.Context(), claim), Unknown)
}
