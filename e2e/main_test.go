//go:build e2e && unix

// Package e2e runs the real binary on a real Kafka, registry and Redis, breaks all of them in every way it can, and
// audits what is left. `make e2e` runs it; every run prints its seed.
//
// A test borrows services ([services]) or starts its own, prepares a [run], starts role
// processes, sends a world through them while it does its damage, and ends with [run.finish]: everything settled, every
// process drained, the audit and the history check clean.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/concord-ats/concord/e2e/cluster"
)

var (
	seedFlag = flag.Uint64("seed", 1, "decides the population, the faults and when processes die")
	longFlag = flag.Bool("long", false, "larger populations and more faults, as the end of `make e2e LONG=1`")
	concord  = flag.String("concord", "", "the binary to test; default: build it")
	keepFlag = flag.String("keep", "", "folder to keep logs, worlds and service data in; default: a temporary one")
)

// scratch is where everything of this test run lies, binary the concord under test.
var scratch, binary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runAll(m))
}

func runAll(m *testing.M) int {
	var err error
	if scratch = *keepFlag; scratch == "" {
		if scratch, err = os.MkdirTemp("", "concord-e2e-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(scratch) }()
	} else if err = os.MkdirAll(scratch, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if binary = *concord; binary == "" {
		binary = filepath.Join(scratch, "concord")
		build := exec.Command("go", "build", "-trimpath", "-o", binary, "../cmd/concord")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build concord: %v\n%s", err, out)
			return 1
		}
	}
	fmt.Printf("seed %d\n", *seedFlag)
	code := m.Run()
	for _, c := range shared.idle {
		if err := c.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// props let the tests have short timeouts; they change no other behaviour of a broker.
var props = map[string]string{"group.min.session.timeout.ms": "1000"}

// shared are the services that tests use one after the other; there are as many as tests run at once.
var shared struct {
	mu   sync.Mutex
	made int
	idle []*cluster.Cluster
	lent map[string]*cluster.Cluster // by test
}

// services returns one broker, one registry and one Redis, which are the test's own until it ends. A test that stopped one
// of them starts it again; those of a test that failed are not used again.
func services(t *testing.T) *cluster.Cluster {
	t.Helper()
	shared.mu.Lock()
	if c := shared.lent[t.Name()]; c != nil {
		shared.mu.Unlock()
		return c
	}
	var c *cluster.Cluster
	if n := len(shared.idle); n > 0 {
		c, shared.idle = shared.idle[n-1], shared.idle[:n-1]
	} else {
		shared.made++
	}
	dir := filepath.Join(scratch, fmt.Sprintf("services-%d", shared.made))
	shared.mu.Unlock()
	if c == nil {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		var err error
		c, err = cluster.Start(ctx, cluster.Config{Dir: dir, Nodes: 1, Registry: true, Redis: true, Props: props, Log: os.Stderr})
		if err != nil {
			t.Fatalf("start the services: %v", err)
		}
	}
	lend(t, c)
	return c
}

// lend gives services to a test until it ends.
func lend(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	name := t.Name()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.lent == nil {
		shared.lent = make(map[string]*cluster.Cluster)
	}
	shared.lent[name] = c
	t.Cleanup(func() {
		shared.mu.Lock()
		delete(shared.lent, name)
		if !t.Failed() {
			shared.idle = append(shared.idle, c)
		}
		shared.mu.Unlock()
		if !t.Failed() {
			return
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// long chooses by the length of the run.
func long[T any](short, long T) T {
	if *longFlag {
		return long
	}
	return short
}
