//go:build e2e

package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/concord-ats/concord/e2e/cluster"
)

// One broker, the registry and Redis: each answers, is killed, comes back on its port, and keeps or loses what it says it does.
func TestServicesComeBackWhereTheyWere(t *testing.T) {
	c, err := cluster.Start(t.Context(), cluster.Config{Dir: t.TempDir(), Registry: true, Redis: true, Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})

	cl := client(t, c)
	produce(t, cl, "smoke", 1)
	registry, err := sr.NewClient(sr.URLs(c.Registry()))
	if err != nil {
		t.Fatal(err)
	}
	schema, err := registry.CreateSchema(t.Context(), "smoke", sr.Schema{Schema: `"string"`})
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: c.Redis()})
	defer rdb.Close()
	if err := rdb.Set(t.Context(), "smoke", "1", 0).Err(); err != nil {
		t.Fatal(err)
	}

	node := c.Node(0)
	for _, p := range []*cluster.Process{node.Process, c.RegistryServer(), c.RedisServer()} {
		pid := p.PID()
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		if p.PID() != 0 {
			t.Errorf("%s has a pid after kill -9", p.Name())
		}
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p.PID() == pid || p.PID() == 0 {
			t.Errorf("%s: pid %d after a restart, %d before", p.Name(), p.PID(), pid)
		}
	}
	if got := consume(t, c, "smoke", 1); !slices.Equal(got, []string{"0"}) {
		t.Errorf("records after kill -9: %v", got)
	}
	if again, err := registry.SchemaByID(t.Context(), schema.ID); err != nil || again.Schema != `"string"` {
		t.Errorf("schema %d after kill -9: %v, %v", schema.ID, again, err)
	}
	if err := rdb.Get(t.Context(), "smoke").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("redis after kill -9: %v, want it empty", err)
	}

	// Frozen: the connection stays and nothing answers.
	if err := c.RegistryServer().Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Registry()+"/subjects", nil)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := http.DefaultClient.Do(request); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen registry: %v, %v, want no answer", response, err)
	}
	if err := c.RegistryServer().Continue(); err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Subjects(t.Context()); err != nil {
		t.Errorf("after going on: %v", err)
	}

	if err := c.RedisServer().Stop(); err != nil {
		t.Fatal(err)
	}
	if err := c.RedisServer().Start(t.Context(), "--maxmemory", "1mb"); err != nil {
		t.Fatal(err)
	}
	if got := rdb.ConfigGet(t.Context(), "maxmemory").Val()["maxmemory"]; got != "1048576" {
		t.Errorf("maxmemory = %q after a start with --maxmemory 1mb", got)
	}

	out, err := c.Tool(t.Context(), "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", c.Brokers()[0],
		"--topic", "smoke", "--from-beginning", "--max-messages", "1", "--isolation-level", "read_committed")
	if err != nil || strings.TrimSpace(out) != "0" {
		t.Errorf("the console consumer printed %q, %v", out, err)
	}

	// A clean stop, then what runs is found by nobody.
	if err := node.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := node.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Three brokers that speak TLS with each other: with one of them dead, acknowledged records are there and new ones are taken.
func TestThreeSecuredNodesSurviveOne(t *testing.T) {
	dir := t.TempDir()
	c, err := cluster.Start(t.Context(), cluster.Config{Dir: dir, Nodes: 3, Security: &cluster.Security{}, Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	cl := client(t, c)
	produce(t, cl, "smoke", 3)
	for i := range 3 {
		if err := c.Node(i).Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "smoke", Value: fmt.Append(nil, 3+i)}).FirstErr(); err != nil {
			t.Fatalf("with node %d dead: %v", i, err)
		}
		if err := c.Node(i).Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := consume(t, c, "smoke", 6); len(got) != 6 {
		t.Errorf("records %v, want 0 to 5", got)
	}
	if running, err := cluster.Running(dir); err != nil || len(running) != 3 {
		t.Errorf("running: %v, %v, want three", running, err)
	}
	if _, err := cluster.Start(t.Context(), cluster.Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "kafka-1") {
		t.Errorf("a second cluster in the same folder: %v, want it refused", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if running, err := cluster.Running(dir); err != nil || len(running) != 0 {
		t.Errorf("running after Close: %v, %v", running, err)
	}
}

func client(t *testing.T, c *cluster.Cluster) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(c.Options()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// produce creates a topic and writes the numbers from 0 to n-1 to it.
func produce(t *testing.T, cl *kgo.Client, topic string, n int) {
	t.Helper()
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 1, -1, nil, topic); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// consume reads n records from the start of a topic.
func consume(t *testing.T, c *cluster.Cluster, topic string, n int) []string {
	t.Helper()
	cl, err := kgo.NewClient(append(c.Options(), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out []string
	for len(out) < n {
		fetches := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			t.Fatalf("%d of %d records of %s: %v", len(out), n, topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { out = append(out, string(r.Value)) })
	}
	return out
}
