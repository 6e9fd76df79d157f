//go:build e2e && unix

// Package e2e runs the real binary on a real Kafka, registry and Redis, breaks all of them in every way it can, and
// audits what is left. `make e2e` runs it; every run prints its seed.
//
// A test starts the services it shares with the others ([services]) or its own, prepares a [run], starts role
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
	if shared.cluster != nil {
		if err := shared.cluster.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// props let the tests have short timeouts; they change no other behaviour of a broker.
var props = map[string]string{"group.min.session.timeout.ms": "1000"}

var shared struct {
	once    sync.Once
	cluster *cluster.Cluster
	err     error
}

// services returns one broker, one registry and one Redis, which all tests share, one after the other. A test that
// stopped one of them starts it again.
func services(t *testing.T) *cluster.Cluster {
	t.Helper()
	shared.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		shared.cluster, shared.err = cluster.Start(ctx, cluster.Config{
			Dir: filepath.Join(scratch, "services"), Nodes: 1, Registry: true, Redis: true, Props: props, Log: os.Stderr,
		})
	})
	if shared.err != nil {
		t.Fatalf("start the services: %v", shared.err)
	}
	return shared.cluster
}

// long chooses by the length of the run.
func long[T any](short, long T) T {
	if *longFlag {
		return long
	}
	return short
}
