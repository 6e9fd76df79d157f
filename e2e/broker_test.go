//go:build e2e && unix

package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/e2e/cluster"
	"github.com/concord-ats/concord/pkg/topics"
)

// The one broker is stopped cleanly and started again, then killed with kill -9, under load.
func TestBrokerRestarts(t *testing.T) {
	t.Parallel()
	c := services(t)
	r := newRun(t, config{Applications: long(250, 1000)})
	r.up("gateway", 1)
	r.up("reconciler", 2)
	r.up("writeback", 2)
	r.up("kpi", 1)
	r.ready()
	broker := c.Node(0)
	left, err := watchMarkers(broker, r.kafka)
	must(t, err)
	r.during(30*time.Second, func(ctx context.Context) error {
		for range long(1, 3) {
			for _, end := range []func() error{broker.Stop, broker.Kill} {
				if err := pause(ctx, 3*time.Second); err != nil {
					return err
				}
				from := time.Now()
				if err := end(); err != nil {
					return err
				}
				if err := pause(ctx, time.Second); err != nil {
					return err
				}
				if err := broker.Start(context.WithoutCancel(ctx)); err != nil {
					return err
				}
				t.Logf("the broker was away for %s", time.Since(from).Round(time.Millisecond))
				r.interrupt(from, time.Now().Add(20*time.Second))
				var mending error
				if err := eventually(ctx, 2*time.Minute, func() bool {
					mending = left.mend(ctx)
					return mending != nil || !slices.ContainsFunc(r.procs, func(p *process) bool {
						ready, err := p.readyz(ctx)
						return err != nil || !ready.Ready
					})
				}); errors.Join(mending, err) != nil {
					return fmt.Errorf("after the broker's restart: %w", errors.Join(mending, err))
				}
			}
		}
		return nil
	})
	t.Logf("Kafka left out the markers of %d transactions", left.mended)
	r.finish()
}

// Of three brokers the leader of a busy partition is killed with kill -9; once that is back, the leader it has then; and the
// next one is stopped cleanly.
func TestLeadersDie(t *testing.T) {
	t.Parallel()
	own, err := cluster.Start(t.Context(), cluster.Config{Dir: filepath.Join(scratch, "three"), Nodes: 3, Props: props, Log: t.Output()})
	must(t, err)
	t.Cleanup(func() {
		if err := own.Close(); err != nil {
			t.Error(err)
		}
	})
	r := newRun(t, config{Applications: long(250, 1000), Cluster: own})
	r.up("gateway", 1)
	r.up("reconciler", 2)
	r.up("writeback", 2)
	r.up("kpi", 1)
	r.ready()
	client, err := kgo.NewClient(append(r.kafka[:len(r.kafka):len(r.kafka)], kgo.MetadataMinAge(100*time.Millisecond))...)
	must(t, err)
	defer client.Close()
	admin := kadm.NewClient(client)
	r.during(25*time.Second, func(ctx context.Context) error {
		for n := range long(3, 6) {
			leader, err := leaderOf(ctx, admin, topics.HiringDecisions, 0)
			if err != nil {
				return err
			}
			node, from := own.Node(int(leader)-1), time.Now()
			end, lasts := node.Kill, 4*time.Second
			if n%3 == 2 {
				end, lasts = node.Stop, time.Second
			}
			t.Logf("end %d: node %d, which leads %s/0", n, leader, topics.HiringDecisions)
			if err := end(); err != nil {
				return err
			}
			if err := pause(ctx, lasts); err != nil {
				return err
			}
			if err := node.Start(context.WithoutCancel(ctx)); err != nil {
				return err
			}
			r.interrupt(from, time.Now().Add(20*time.Second))
			// With one replica behind, the next death would leave too few to acknowledge.
			if err := eventually(ctx, time.Minute, func() bool { return inSync(ctx, admin, 3) == nil }); err != nil {
				return fmt.Errorf("the replicas of node %d do not catch up: %w", leader, inSync(ctx, admin, 3))
			}
		}
		return nil
	})
	r.finish()
}

func leaderOf(ctx context.Context, admin *kadm.Client, topic string, partition int32) (int32, error) {
	meta, err := admin.Metadata(ctx, topic)
	if err != nil {
		return 0, err
	}
	p, ok := meta.Topics[topic].Partitions[partition]
	if !ok || p.Leader <= 0 {
		return 0, fmt.Errorf("%s/%d has no leader", topic, partition)
	}
	return p.Leader, nil
}

// inSync says which partition has fewer replicas in sync than n.
func inSync(ctx context.Context, admin *kadm.Client, n int) error {
	meta, err := admin.Metadata(ctx)
	if err != nil {
		return err
	}
	for _, topic := range meta.Topics {
		for _, p := range topic.Partitions {
			if len(p.ISR) < min(n, len(p.Replicas)) {
				return fmt.Errorf("%s/%d has %d of %d replicas in sync", topic.Topic, p.Partition, len(p.ISR), len(p.Replicas))
			}
		}
	}
	return nil
}
