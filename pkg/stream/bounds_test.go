package stream

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestLargeTransactionEndsEarly: bytes end a transaction before its time is over.
func TestLargeTransactionEndsEarly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := w.config(w.store())
	cfg.Sessions, cfg.MaxBatchBytes = 1, 1000
	cfg.CommitInterval, cfg.TransactionTimeout, cfg.SessionTimeout = 10*time.Second, 14*time.Second, 30*time.Second
	committed := make(chan time.Duration, 1)
	w.run(cfg, &counter{handle: func(tx *Tx[count], _ *kgo.Record) error {
		began := time.Now()
		tx.OnCommit(func() { committed <- time.Since(began) })
		return nil
	}})
	w.produce(&kgo.Record{Topic: topicA, Key: []byte("k"), Value: []byte(strings.Repeat("x", 1000))})
	if took := <-committed; took > cfg.CommitInterval/2 {
		t.Errorf("committed after %v, want at once: the transaction is as large as it may be", took)
	}
}

// TestInflatedChangelogIsNotTaken: a batch of the changelog that would fill the memory is not decompressed, and what the
// session waits for is told.
func TestInflatedChangelogIsNotTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cl, err := kgo.NewClient(append(w.opts, kgo.ProducerBatchCompression(kgo.GzipCompression().WithLevel(1)),
		kgo.ProducerBatchMaxBytes(2*maxDecompressedBatch), kgo.BrokerMaxWriteBytes(4*maxDecompressedBatch), kgo.BrokerMaxReadBytes(4*maxDecompressedBatch))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	huge := &kgo.Record{Topic: topicLog, Key: []byte("k"), Value: make([]byte, maxDecompressedBatch+1)}
	if err := cl.ProduceSync(t.Context(), huge).FirstErr(); err != nil {
		t.Fatal(err)
	}
	cfg := w.config(w.store())
	cfg.Sessions = 1
	run := w.run(cfg, &counter{})
	deadline := time.Now().Add(20 * time.Second)
	for !strings.Contains(strings.Join(run.r.Ready(), "; "), "restore: fetch "+topicLog) {
		select {
		case err := <-run.done:
			run.done <- err
			t.Fatalf("the batch was taken: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("not told: %q", run.r.Ready())
		}
	}
}

// TestIncompleteAssignmentIsFatal: a partition of some inputs alone is paused, and the session ends when that is not
// over after the rebalance timeout (rule D1).
func TestIncompleteAssignmentIsFatal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := w.config(w.store())
	r, err := New(cfg, countCodec(), func(Env) (Processor[count], error) { return &counter{}, nil })
	if err != nil {
		t.Fatal(err)
	}
	s := r.newSession(0)
	s.env = Env{Partitions: partitions}
	s.owned = make(map[int32]*Partition[count])
	s.stamped = time.Now()
	defer s.dropAll()

	s.onAssigned(context.Background(), w.cl, map[string][]int32{topicA: {0, 1}, topicB: {1}})
	if len(s.owned) != 1 || s.owned[1] == nil {
		t.Errorf("%d partitions are worked on, want number 1 alone", len(s.owned))
	}
	if err := s.housekeep(); err != nil {
		t.Errorf("within the rebalance timeout: %v", err)
	}
	s.cfg.RebalanceTimeout = 0
	if err := s.housekeep(); !errors.Is(err, ErrAssignment) || !isFatal(err) {
		t.Errorf("after the rebalance timeout: %v, want a fatal %q", err, ErrAssignment)
	}
	s.onAssigned(context.Background(), w.cl, map[string][]int32{topicA: {0, 1}, topicB: {0, 1}})
	if err := s.housekeep(); err != nil || len(s.owned) != 2 {
		t.Errorf("complete at last: %v, %d partitions", err, len(s.owned))
	}
}
