package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/gateway"
)

// asGateway makes the test binary a gateway, in front of the brokers it names: what it holds is then its own and not the
// test's.
const asGateway = "CONCORD_TEST_AS_GATEWAY"

// floodFor is how long TestFlood floods: a duration, else the short form.
const floodFor = "CONCORD_TEST_FLOOD"

// floodBound is what a gateway with the default bounds may come to hold under any traffic, the Go runtime included.
const floodBound = 256 << 20

func TestMain(m *testing.M) {
	if brokers := os.Getenv(asGateway); brokers != "" {
		if err := serveFlooded(strings.Split(brokers, ",")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// serveFlooded is a gateway with the default bounds until standard input ends. It prints its address.
func serveFlooded(brokers []string) error {
	schemas, err := wire.Open(wire.Config{})
	if err != nil {
		return err
	}
	g, err := gateway.New(gateway.Config{
		Addr: "127.0.0.1:0", Schemas: schemas, Senders: senders(), Opts: []kgo.Opt{kgo.SeedBrokers(brokers...)},
		Rate: 1e6, // the flood comes from few senders; the other bounds are what is tried
	})
	if err != nil {
		return err
	}
	fmt.Println(g.Addr())
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends when the test closes it, or dies
		stop()
	}()
	return g.Run(ctx)
}

// flood is a gateway process and what was sent to it.
type flood struct {
	t     *testing.T
	addr  string
	until time.Time
	// answers by kind of traffic and status; 0 is a connection that was closed.
	mu      sync.Mutex
	answers map[string]map[int]int64
	sent    atomic.Int64
}

// raw renders a request as it goes over the wire.
func raw(q request) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: gateway\r\nContent-Length: %d\r\n", q.path, len(q.body))
	for name, values := range q.header {
		fmt.Fprintf(&b, "%s: %s\r\n", name, values[0])
	}
	b.WriteString("\r\n")
	b.WriteString(q.body)
	return b.Bytes()
}

// status reads one answer and returns its status.
func status(r *bufio.Reader) (int, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	code, length := 0, 0
	if len(line) > 12 {
		code, _ = strconv.Atoi(string(line[9:12]))
	}
	for {
		if line, err = r.ReadSlice('\n'); err != nil {
			return 0, err
		}
		if len(line) <= 2 {
			break
		}
		if name, value, ok := bytes.Cut(line, []byte(": ")); ok && string(name) == "Content-Length" {
			length, _ = strconv.Atoi(string(bytes.TrimSpace(value)))
		}
	}
	_, err = r.Discard(length)
	return code, err
}

// pump sends requests over connections it keeps, a few at a time, and counts the answers.
func (f *flood) pump(kind string, connections, ahead int, render func(n int) []byte) *sync.WaitGroup {
	var all sync.WaitGroup
	for c := range connections {
		all.Go(func() {
			local := map[int]int64{}
			n := c
			for time.Now().Before(f.until) {
				conn, err := net.Dial("tcp", f.addr)
				if err != nil {
					local[0]++
					continue
				}
				r := bufio.NewReader(conn)
				for time.Now().Before(f.until) {
					var batch []byte
					for range ahead {
						batch = append(batch, render(n)...)
						n += connections
					}
					if _, err = conn.Write(batch); err != nil {
						break
					}
					for range ahead {
						var code int
						if code, err = status(r); err != nil {
							break
						}
						local[code]++
						f.sent.Add(1)
					}
					if err != nil {
						break
					}
				}
				if err != nil {
					local[0]++
				}
				_ = conn.Close()
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.answers[kind] == nil {
				f.answers[kind] = map[int]int64{}
			}
			for code, n := range local {
				f.answers[kind][code] += n
			}
		})
	}
	return &all
}

// drip opens connections that announce a body as large as may be, send a part of it at once and the rest byte by byte, for
// as long as the gateway lets them.
func (f *flood) drip(connections, at int) *sync.WaitGroup {
	part := strings.Repeat(" ", at)
	var all sync.WaitGroup
	for range connections {
		all.Go(func() {
			for time.Now().Before(f.until) {
				conn, err := net.Dial("tcp", f.addr)
				if err != nil {
					continue
				}
				if err = conn.SetDeadline(f.until); err != nil {
					f.t.Error(err)
				}
				_, err = io.WriteString(conn, head(1<<20)+part)
				tick := time.NewTicker(50 * time.Millisecond)
				for err == nil && time.Now().Before(f.until) {
					<-tick.C
					_, err = io.WriteString(conn, " ")
				}
				tick.Stop()
				_ = conn.Close()
			}
		})
	}
	return &all
}

// resident is the peak of what a process had in memory.
func resident(t *testing.T, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

// A gateway under valid and hostile traffic at once stays within its memory, takes nothing that is not signed, and has
// stored what it acknowledged. `CONCORD_TEST_FLOOD=30s go test -run TestFlood -v` is the long form, which prints the rate.
func TestFlood(t *testing.T) {
	length := 1500 * time.Millisecond
	if text := os.Getenv(floodFor); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", floodFor, err)
		}
	}
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(12, outputs...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), asGateway+"="+strings.Join(kafka.ListenAddrs(), ","))
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}

	body := published(t, "reject_candidate.json")
	// Greenhouse signs the body alone: one signature does for all, and each has an id of its own.
	before, after, _ := strings.Cut(string(raw(signed("greenhouse", body, "EVENT", current, now))), "EVENT")
	valid := func(n int) []byte { return []byte(before + "ev-" + strconv.Itoa(n) + after) }
	forged := raw(signed("greenhouse", body, "ev", "of a stranger", now))
	deep := raw(request{path: "/webhooks/lever/lv-main", body: strings.Repeat(`{"a":`, 4000), header: http.Header{}})
	oversize := []byte(head(2 << 20))
	started := time.Now()
	f := &flood{t: t, addr: strings.TrimSpace(addr), until: started.Add(length), answers: map[string]map[int]int64{}}
	for _, running := range []*sync.WaitGroup{
		f.pump("valid", 96, 4, valid),
		f.pump("forged", 16, 16, func(int) []byte { return forged }),
		f.pump("deep", 8, 4, func(int) []byte { return deep }),
		f.pump("oversize", 4, 1, func(int) []byte { return oversize }),
		f.drip(200, 1),
		f.drip(40, 900<<10), // more than there is room for: they must not crowd the small ones out
	} {
		running.Wait()
	}
	took := time.Since(started)
	peak := resident(t, child.Process.Pid)
	if err := errors.Join(in.Close(), child.Wait()); err != nil {
		t.Errorf("the gateway ended: %v", err)
	}
	t.Logf("%.0f requests/s over %s, resident at most %d MiB, answers %v", float64(f.sent.Load())/took.Seconds(), took.Round(time.Millisecond), peak>>20, f.answers)
	if peak > floodBound {
		t.Errorf("resident at most %d MiB, bound %d MiB", peak>>20, floodBound>>20)
	}
	allowed := map[string][]int{
		"valid": {http.StatusOK, http.StatusServiceUnavailable, 0}, "forged": {http.StatusUnauthorized, http.StatusServiceUnavailable, 0},
		"deep": {http.StatusUnauthorized, http.StatusServiceUnavailable, 0}, "oversize": {http.StatusRequestEntityTooLarge, 0},
	}
	for kind, codes := range f.answers {
		for code, n := range codes {
			if !slices.Contains(allowed[kind], code) {
				t.Errorf("%s: %d answered %d", kind, n, code)
			}
		}
	}
	acknowledged := f.answers["valid"][http.StatusOK]
	if again := f.answers["valid"][http.StatusServiceUnavailable]; again > acknowledged/10 {
		t.Errorf("%d valid requests were told to come again, %d taken", again, acknowledged)
	}
	if acknowledged == 0 || f.answers["forged"][http.StatusUnauthorized] == 0 || f.answers["oversize"][http.StatusRequestEntityTooLarge] == 0 {
		t.Errorf("some traffic never got through: %v", f.answers)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(kafka.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(t.Context(), outputs...)
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]int64{}
	ends.Each(func(o kadm.ListedOffset) { stored[o.Topic] += o.Offset })
	if stored[topics.ATSChanges] < acknowledged || len(stored) == 0 {
		t.Errorf("%d acknowledged, %d stored", acknowledged, stored[topics.ATSChanges])
	}
	for topic, n := range stored {
		if topic != topics.ATSChanges && n != 0 {
			t.Errorf("%d records of hostile traffic on %s", n, topic)
		}
	}
}
