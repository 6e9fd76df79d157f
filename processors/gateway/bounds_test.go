package gateway_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/concord-ats/concord/pkg/ats/greenhouse"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/processors/gateway"
)

// What was acknowledged is stored, however often the network to Kafka breaks in between; what was not may be sent again.
func TestAcknowledgedIsStored(t *testing.T) {
	t.Parallel()
	d := open(t, func(cfg *gateway.Config) { cfg.AckTimeout = time.Second })
	body := published(t, "reject_candidate.json")
	stop := make(chan struct{})
	var weather sync.WaitGroup
	weather.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for cut := true; ; cut = !cut {
			select {
			case <-stop:
				d.net.set(false)
				return
			case <-tick.C:
				d.net.set(cut)
			}
		}
	})
	var mu sync.Mutex
	acknowledged, refused := map[string]bool{}, 0
	both := func() bool { // on a fast machine 25 are through before the weather changes
		mu.Lock()
		defer mu.Unlock()
		return len(acknowledged) > 0 && refused > 0
	}
	var workers sync.WaitGroup
	for w := range 8 {
		workers.Go(func() {
			for i := 0; i < 25 || !both() && i < 5_000; i++ {
				id := fmt.Sprintf("w%d-%d", w, i)
				r, err := d.send("/webhooks/greenhouse/gh-main", body, greenhouse.SignatureHeader, sign(body), greenhouse.EventIDHeader, id)
				mu.Lock()
				switch {
				case err == nil && r.status == http.StatusOK:
					acknowledged[id] = true
				case err == nil && r.status == http.StatusServiceUnavailable && r.header.Get("Retry-After") != "":
					refused++
				default:
					t.Errorf("%s: %d %s, %v", id, r.status, r.text, err)
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	close(stop)
	weather.Wait()
	stored := map[string]bool{}
	for _, rec := range d.stored() {
		id, _, _ := strings.Cut(headerOf(rec, "ce_id"), ".")
		stored[id] = true
	}
	for id := range acknowledged {
		if !stored[id] {
			t.Errorf("%s was acknowledged and is lost", id)
		}
	}
	if len(acknowledged) == 0 || refused == 0 {
		t.Errorf("%d acknowledged, %d refused: the network was never both there and away", len(acknowledged), refused)
	}
}

// The connection to Kafka dies between receipt and produce, and between produce and its acknowledgement: the sender is
// not told it is stored before it is.
func TestBrokerDiesAroundProduce(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]func(*door) (kmsg.Response, error, bool){
		"before it is written": func(*door) (kmsg.Response, error, bool) { return nil, errors.New("the broker dies"), true },
		"before it is answered": func(d *door) (kmsg.Response, error, bool) {
			d.net.set(true)
			return nil, nil, false
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t, quick)
			body := published(t, "reject_candidate.json")
			var deaths atomic.Int64
			d.kafka.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
				if deaths.Add(1) > 1 {
					return nil, nil, false
				}
				return lost(d)
			})
			r := d.webhook(body, "ev-1")
			n := 0
			for _, rec := range d.stored() {
				if rec.Topic == topics.ATSChanges {
					n++
				}
			}
			if deaths.Load() == 0 || r.status == http.StatusOK && n == 0 || r.status != http.StatusOK && r.status != http.StatusServiceUnavailable {
				t.Errorf("%d %s with %d records stored, %d deaths", r.status, r.text, n, deaths.Load())
			}
			d.net.set(false)
			d.accepted(body, "ev-1")
		})
	}
}

// dial opens a connection to the gateway and sends what it is given.
func (d *door) dial(text string) net.Conn {
	d.t.Helper()
	conn, err := net.Dial("tcp", d.g.Addr())
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		d.t.Fatal(err)
	}
	return conn
}

func head(length int) string {
	return fmt.Sprintf("POST /webhooks/greenhouse/gh-main HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", length)
}

// answerOf reads the status line of an answer.
func (d *door) answerOf(conn net.Conn) string {
	d.t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		d.t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(line)
}

func held(t *testing.T, registry *prometheus.Registry) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "concord_gateway_held_bytes" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("concord_gateway_held_bytes is missing")
	return 0
}

// heldIs waits until the bytes in hand are as a condition wants them.
func heldIs(t *testing.T, registry *prometheus.Registry, want func(float64) bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !want(held(t, registry)); {
		if time.Now().After(deadline) {
			t.Fatalf("%.0f bytes are in hand", held(t, registry))
		}
	}
}

// Bodies in hand are bounded together, a sender holds what it has sent and not what it has announced, and large bodies
// leave room for small ones.
func TestBodiesInHandAreBounded(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	d := open(t, func(cfg *gateway.Config) { cfg.MaxBody, cfg.MaxHeld, cfg.Registry = 256<<10, 512<<10, registry })
	slow := d.dial(head(250<<10) + "{")
	heldIs(t, registry, func(n float64) bool { return n == 4<<10 })
	if _, err := io.WriteString(slow, strings.Repeat(" ", 200<<10)); err != nil {
		t.Fatal(err)
	}
	heldIs(t, registry, func(n float64) bool { return n > 200<<10 })
	body := published(t, "reject_candidate.json")
	large := body + strings.Repeat(" ", 200<<10)
	r := d.webhook(large, "large")
	if r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d %s", r.status, r.text)
	}
	if r := d.webhook(body, "small"); r.status != http.StatusOK {
		t.Errorf("a small one has room: %d %s", r.status, r.text)
	}
	_ = slow.Close()
	heldIs(t, registry, func(n float64) bool { return n == 0 })
	if r := d.webhook(large, "large"); r.status != http.StatusOK {
		t.Errorf("room again: %d %s", r.status, r.text)
	}
	heldIs(t, registry, func(n float64) bool { return n == 0 })
}

// A sender that goes on sending, a little at a time, has the time for a whole request and no more; what it held is free again, and
// so is its connection. Another that sends slowly within that time is answered.
func TestSlowBodiesEnd(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	d := open(t, func(cfg *gateway.Config) {
		cfg.RequestTimeout, cfg.MaxConnections, cfg.Registry = 500*time.Millisecond, 1, registry
	})
	drips := d.dial(head(200_000))
	cut := make(chan struct{})
	go func() {
		defer close(cut)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for range tick.C { // it never stops: the gateway does
			if _, err := io.WriteString(drips, " "); err != nil {
				return
			}
		}
	}()
	heldIs(t, registry, func(n float64) bool { return n > 0 })
	select {
	case <-cut:
	case <-time.After(10 * time.Second):
		t.Error("a sender may drip for ever")
	}
	heldIs(t, registry, func(n float64) bool { return n == 0 })
	if n := counted(t, registry, "concord_gateway_requests_total", "unreadable"); n != 1 {
		t.Errorf("%v requests are counted as unreadable", n)
	}
	body := published(t, "reject_candidate.json")
	for deadline := time.Now().Add(10 * time.Second); ; { // until the one connection is free
		r, err := d.send("/webhooks/greenhouse/gh-main", body, greenhouse.SignatureHeader, sign(body), greenhouse.EventIDHeader, "ev-1")
		if err == nil && r.status == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the connection is not free again: %d %s, %v", r.status, r.text, err)
		}
	}
}

// A body that is announced too large is refused before a byte of it is sent; one that turns out too large is cut off.
func TestOversizeIsNotRead(t *testing.T) {
	t.Parallel()
	d := open(t, func(cfg *gateway.Config) { cfg.MaxBody = 8 << 10 })
	if got := d.answerOf(d.dial(head(8<<10 + 1))); !strings.Contains(got, "413") {
		t.Errorf("announced: %s", got)
	}
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 8<<10, strings.Repeat(" ", 8<<10))
	if got := d.answerOf(d.dial("POST /webhooks/greenhouse/gh-main HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + chunk)); !strings.Contains(got, "413") {
		t.Errorf("in chunks: %s", got)
	}
	d.nothing()
}

// Connections are bounded: one more is closed as it comes, and there is room again when one goes.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	d := open(t, func(cfg *gateway.Config) { cfg.MaxConnections = 2 })
	first, second := d.dial("POST "), d.dial("POST ")
	for deadline := time.Now().Add(time.Minute); ; {
		if got := d.answerOf(d.dial("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); !strings.Contains(got, "HTTP/1.1") {
			break // closed: the two are in
		}
		if time.Now().After(deadline) {
			t.Fatal("a third connection is served")
		}
	}
	_, _ = first.Close(), second.Close()
	for deadline := time.Now().Add(time.Minute); ; {
		if got := d.answerOf(d.dial("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); strings.Contains(got, "404") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("there is no room again")
		}
	}
}
