package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// process is a part whose readiness and end a test decides.
type process struct {
	reasons atomic.Pointer[[]string]
	fail    chan error
	drain   chan struct{} // closed to let it finish draining
	stopped atomic.Bool
}

func newProcess() *process { return &process{fail: make(chan error, 1), drain: make(chan struct{})} }

func (p *process) Run(ctx context.Context) error {
	defer p.stopped.Store(true)
	select {
	case err := <-p.fail:
		return err
	case <-ctx.Done():
		<-p.drain
		return nil
	}
}

func (p *process) Ready() []string {
	if r := p.reasons.Load(); r != nil {
		return *r
	}
	return nil
}

// buffer is a log that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// freeAddress is an address nobody listens on, for a server that must have the same one after a restart. It lies
// below the ports the system gives to outgoing connections, which would take it in the meantime.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(10_000+rand.IntN(20_000)))
		if l, err := net.Listen("tcp", address); err == nil {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}

// serving is an app with its configuration loaded, and the base URL of its operations server.
func serving(t *testing.T, more ...string) (*app, string, *buffer) {
	t.Helper()
	address, log := freeAddress(t), &buffer{}
	a := &app{env: append(more, "CONCORD_HTTP_LISTEN="+address), stdin: strings.NewReader(""), stdout: io.Discard, stderr: log}
	if err := a.load(a.root()); err != nil {
		t.Fatal(err)
	}
	return a, "http://" + address, log
}

func get(t *testing.T, address string) (int, string) {
	t.Helper()
	response, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestReadinessIsProgressAndOutlivesTheParts(t *testing.T) {
	t.Parallel()
	a, address, _ := serving(t)
	stuck, fine := newProcess(), newProcess()
	close(fine.drain)
	stuck.reasons.Store(&[]string{"partition 3 restores"})
	ctx, stop := context.WithCancel(t.Context())
	asked, built, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- a.serve(ctx, func(context.Context) ([]part, error) {
			<-asked
			close(built)
			return []part{{"reconciler", stuck}, {"kpi", fine}}, nil
		})
	}()
	await(t, func() bool { // the server answers before the services do
		response, err := http.Get(address + "/healthz")
		return err == nil && response.Body.Close() == nil && response.StatusCode == http.StatusOK
	})
	if status, body := get(t, address+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "starting") {
		t.Errorf("before the start: %d %s", status, body)
	}
	close(asked)
	<-built
	await(t, func() bool { _, body := get(t, address+"/readyz"); return strings.Contains(body, "reconciler") })
	status, body := get(t, address+"/readyz")
	var r readiness
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		t.Fatal(err)
	}
	if status != http.StatusServiceUnavailable || r.Ready || r.Parts[0].Reasons[0] != "partition 3 restores" || !r.Parts[1].Ready {
		t.Errorf("one part without progress: %d %s", status, body)
	}
	stuck.reasons.Store(&[]string{})
	if status, body := get(t, address+"/readyz"); status != http.StatusOK {
		t.Errorf("all parts with progress: %d %s", status, body)
	}
	a.health.doubt(func() []string { return []string{"redis does not answer"} })
	if status, body := get(t, address+"/readyz"); status != http.StatusOK || !strings.Contains(body, `"degraded":["redis does not answer"]`) {
		t.Errorf("a service it goes on without: %d %s", status, body)
	}
	if _, body := get(t, address+"/metrics"); !strings.Contains(body, "go_goroutines") {
		t.Error("no metrics")
	}

	stop()
	await(t, func() bool { return fine.stopped.Load() })
	if status, _ := get(t, address+"/metrics"); status != http.StatusOK || stuck.stopped.Load() {
		t.Errorf("/metrics went before the drain: %d", status)
	}
	close(stuck.drain)
	if err := <-ended; err != nil {
		t.Errorf("a clean stop = %v", err)
	}
	if _, err := http.Get(address + "/healthz"); err == nil {
		t.Error("the server outlived the process")
	}
}

func TestOneFailingPartStopsTheOthersAndItsErrorIsTheResult(t *testing.T) {
	t.Parallel()
	a, _, log := serving(t)
	bad, good := newProcess(), newProcess()
	close(good.drain)
	var order []string
	bad.fail <- errRefused
	err := a.serve(t.Context(), func(context.Context) ([]part, error) {
		a.closeLast("first opened", func() error { order = append(order, "first"); return nil })
		a.closeLast("second opened", func() error { order = append(order, "second"); return errors.New("still busy") })
		return []part{{"writeback", bad}, {"kpi", good}}, nil
	})
	if code(err) != exitRefused || !strings.Contains(err.Error(), "writeback: ") {
		t.Errorf("serve = %v, want the part's own error", err)
	}
	if !good.stopped.Load() {
		t.Error("the other part still runs")
	}
	if strings.Join(order, " ") != "second first" {
		t.Errorf("closed %v, want the last opened first", order)
	}
	if !strings.Contains(err.Error(), "close second opened: still busy") {
		t.Errorf("an error at close is lost: %v", err)
	}
	if !strings.Contains(log.String(), `"part":"writeback"`) {
		t.Errorf("the log does not name the part:\n%s", log)
	}
}

func TestKafkaAwayAtStart(t *testing.T) {
	t.Parallel()
	address, log := freeAddress(t), &buffer{}
	// Nobody listens at the registry's or the brokers' address.
	away := freeAddress(t)
	env := []string{
		"CONCORD_HTTP_LISTEN=" + address, "CONCORD_KAFKA_BROKERS=" + away, "CONCORD_REGISTRY_STATIC=true",
		"CONCORD_START_TIMEOUT=2s", "CONCORD_DATA_DIR=" + t.TempDir(), "CONCORD_INSTANCE=test",
	}
	ended := make(chan int, 1)
	go func() {
		ended <- run(t.Context(), []string{"run", "reconciler"}, env, strings.NewReader(""), io.Discard, log)
	}()
	await(t, func() bool {
		response, err := http.Get("http://" + address + "/readyz")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return err == nil && response.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(body), "kafka: ")
	})
	if c := <-ended; c != exitStart {
		t.Errorf("exit %d, want %d\n%s", c, exitStart, log)
	}
	if !strings.Contains(log.String(), "waiting for kafka") || !strings.Contains(log.String(), "connection refused") {
		t.Errorf("the log does not say what it waits for and why:\n%s", log)
	}
}

func TestHealthCommand(t *testing.T) {
	t.Parallel()
	a, address, _ := serving(t)
	p := newProcess()
	close(p.drain)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- a.serve(ctx, func(context.Context) ([]part, error) { return []part{{"kpi", p}}, nil })
	}()
	env := []string{"CONCORD_HTTP_LISTEN=" + strings.TrimPrefix(address, "http://")}
	await(t, func() bool { return concord(t, env, "", "health").code == exitOK })
	p.reasons.Store(&[]string{"no partitions yet"})
	if got := concord(t, env, "", "health"); got.code != exitFailure || !strings.Contains(got.stdout, "no partitions yet") {
		t.Errorf("exit %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := concord(t, env, "", "health"); got.code != exitFailure {
		t.Errorf("nobody there: exit %d", got.code)
	}
}

// await polls until a condition holds.
func await(t *testing.T, holds func() bool) {
	t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-limit.C:
			t.Fatal("it did not happen within 20 s")
		case <-tick.C:
		}
	}
}
