package stream

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestBrokenRequests breaks the n-th request of each kind, before the broker
// has acted on it and after, while records are counted.
func TestBrokenRequests(t *testing.T) {
	keys := []kmsg.Key{
		kmsg.EndTxn, kmsg.TxnOffsetCommit, kmsg.Produce, kmsg.InitProducerID, kmsg.OffsetFetch,
		kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.ListOffsets, kmsg.Fetch,
	}
	for _, key := range keys {
		actions := []action{cutBefore, cutAfter}
		if key == kmsg.EndTxn {
			actions = append(actions, unknownAfter)
		}
		for _, act := range actions {
			for _, nth := range occasions() {
				t.Run(fmt.Sprintf("%s %d %s", key.Name(), nth, act), func(t *testing.T) {
					t.Parallel()
					f := &faultyNet{key: key, plan: func(n int) action {
						if n%10 == nth {
							return act
						}
						return pass
					}}
					w := newWorld(t)
					countUnderFault(t, w, f.dialer(), func() {})
					if f.broke() == 0 && nth == 1 {
						t.Errorf("no %s was broken", key.Name())
					}
				})
			}
		}
	}
}

// occasions are the requests of ten that are broken: an early and a later one, or under the race detector, where a run
// costs ten times as much, one of them by chance, so that every kind of fault is still there.
func occasions() []int {
	all := []int{1, 4}
	if raceEnabled {
		n := rand.IntN(len(all))
		return all[n : n+1]
	}
	return all
}

// TestBrokerErrors has the broker refuse requests in the ways of a coordinator
// that moves, is busy, or has forgotten the member.
func TestBrokerErrors(t *testing.T) {
	refuse := map[kmsg.Key][]*kerr.Error{
		kmsg.EndTxn: {
			kerr.NotCoordinator, kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress, kerr.ConcurrentTransactions,
			kerr.UnknownServerError, kerr.TransactionAbortable, kerr.RequestTimedOut,
		},
		kmsg.TxnOffsetCommit: {
			kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.ConcurrentTransactions, kerr.IllegalGeneration,
			kerr.UnknownMemberID, kerr.RebalanceInProgress, kerr.UnknownServerError, kerr.TransactionAbortable,
		},
		kmsg.Produce:        {kerr.NotLeaderForPartition, kerr.ConcurrentTransactions, kerr.TransactionAbortable, kerr.NotEnoughReplicasAfterAppend},
		kmsg.InitProducerID: {kerr.NotCoordinator, kerr.ConcurrentTransactions, kerr.CoordinatorLoadInProgress},
		kmsg.Heartbeat:      {kerr.UnknownMemberID, kerr.RebalanceInProgress, kerr.IllegalGeneration},
		kmsg.OffsetFetch:    {kerr.UnstableOffsetCommit, kerr.NotCoordinator},
	}
	for _, key := range []kmsg.Key{kmsg.EndTxn, kmsg.TxnOffsetCommit, kmsg.Produce, kmsg.InitProducerID, kmsg.Heartbeat, kmsg.OffsetFetch} {
		for _, refusal := range refuse[key] {
			t.Run(key.Name()+" "+refusal.Message, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				n := 0
				turn := func() bool { n++; return n%3 == 2 }
				h := w.kafka.Fault(kfake.Fault{
					Keys: []kmsg.Key{key}, Err: refusal, Count: 3,
					When: func(req kmsg.Request) bool { return ours(req) && turn() },
				}, kfake.Fault{
					Keys: []kmsg.Key{key}, Err: refusal, Count: 3, TopLevel: true,
					When: func(req kmsg.Request) bool { return ours(req) && turn() },
				})
				countUnderFault(t, w, nil, func() {})
				if h.Hits() == 0 && key != kmsg.Heartbeat {
					t.Errorf("nothing was refused")
				}
			})
		}
	}
}

// ours leaves the records that the test itself sends alone.
func ours(req kmsg.Request) bool {
	p, ok := req.(*kmsg.ProduceRequest)
	return !ok || p.TransactionID != nil
}

func TestCoordinatorMoves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kfake.NumBrokers(3))
	countUnderFault(t, w, nil, func() { w.kafka.RehashCoordinators(); w.kafka.ShufflePartitionLeaders() })
}

// countUnderFault counts some thousand records in rounds with a fault under
// way, disturbing between rounds, and lets the oracle judge.
func countUnderFault(t *testing.T, w *world, opt kgo.Opt, disturb func()) {
	t.Helper()
	rng := seeded(t)
	db := w.store()
	cfg := w.config(db)
	if opt != nil {
		cfg.Opts = append([]kgo.Opt{opt}, cfg.Opts...)
	}
	cfg.Opts = append(cfg.Opts, kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond }))
	run := w.run(cfg, &counter{})
	want := make(map[string]int64)
	total := 0
	for range 8 {
		for key, n := range w.send(rng, 20, 100) {
			want[key] += n
		}
		total += 100
		w.read(topicOut, total-50)
		disturb()
	}
	w.read(topicOut, total)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, db)
	w.check(want)
}
