package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestPoisonAndPanicBecomeDeadLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.store()
	want := map[string]int64{"a": 2, "b": 1}
	w.produce(
		&kgo.Record{Topic: topicA, Key: []byte("a"), Value: []byte("x")},
		&kgo.Record{Topic: topicA, Key: []byte("a"), Value: []byte("poison"), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}}},
		&kgo.Record{Topic: topicB, Key: []byte("b"), Value: []byte("panic")},
		&kgo.Record{Topic: topicB, Key: []byte("b"), Value: []byte("x")},
		&kgo.Record{Topic: topicA, Key: []byte("a"), Value: []byte("x")},
	)
	run := w.run(w.config(db), &counter{})
	w.read(topicOut, 3)
	for topic, cause := range map[string]string{topicA: "bad", topicB: "fold_panic"} {
		dead := w.read(topic+".dlq", 1)
		if len(dead) != 1 || string(dead[0].Headers[0].Value) != cause {
			t.Fatalf("dead letters of %s: %v, want one with cause %s", topic, dead, cause)
		}
		for _, rec := range w.read(topic, 1) {
			if string(rec.Value) == string(dead[0].Value) && rec.Partition != dead[0].Partition {
				t.Errorf("dead letter went from partition %d to %d", rec.Partition, dead[0].Partition)
			}
		}
		if strings.Contains(string(dead[0].Headers[1].Value), "handler broke") {
			t.Errorf("the panic's own words, which may hold anything, are in a header")
		}
	}
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, db)
	w.check(want)
}

func TestRetryableErrorIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.store()
	var (
		mu    sync.Mutex
		fails = 3
	)
	var run *running
	seen := make(chan []string, 10)
	want := w.send(seeded(t), 10, 200)
	cfg := w.config(db)
	run = w.run(cfg, &counter{prepare: func([]*kgo.Record) error {
		mu.Lock()
		defer mu.Unlock()
		if fails > 0 {
			fails--
			return errors.New("the other system is away")
		}
		select {
		case seen <- run.r.Ready():
		default:
		}
		return nil
	}})
	w.read(topicOut, 200)
	if reasons := strings.Join(<-seen, "; "); !strings.Contains(reasons, "the other system is away") {
		t.Errorf("Ready did not name the reason: %q", reasons)
	}
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, db)
	w.check(want)
}

func TestFatalErrorStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.store()
	defer closeStore(t, db)
	errBroken := errors.New("broken for good")
	w.send(seeded(t), 10, 10)
	run := w.run(w.config(db), &counter{handle: func(*Tx[count], *kgo.Record) error { return Fatal(errBroken) }})
	if err := run.wait(); !errors.Is(err, errBroken) {
		t.Fatalf("Run returned %v", err)
	}
	if out := w.read(topicOut, 0); len(out) != 0 {
		t.Errorf("%d outputs of an aborted transaction are visible", len(out))
	}
}

// TestSubmitAndOnCommit has every record start an effect after its commit,
// whose result comes back through Submit, while transactions are aborted.
func TestSubmitAndOnCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.store()
	const n = 300
	var (
		mu      sync.Mutex
		effects = make(map[string]int)
		workers sync.WaitGroup
	)
	proc := &counter{handle: func(tx *Tx[count], rec *kgo.Record) error {
		id := fmt.Sprintf("%s/%d/%d", rec.Topic, rec.Partition, rec.Offset)
		p, key := tx.Partition(), string(rec.Key)
		tx.OnCommit(func() {
			mu.Lock()
			effects[id]++
			mu.Unlock()
			workers.Go(func() {
				err := p.Submit(context.Background(), func(tx *Tx[count]) error {
					emit(tx, key, "fired:effect")
					return nil
				})
				if err != nil && !errors.Is(err, ErrGone) {
					t.Errorf("Submit: %v", err)
				}
			})
		})
		return nil
	}}
	cfg := w.config(db)
	cfg.Sessions = 1 // no rebalance drops an effect's result
	cfg.Faults.AbortEvery = 3
	cfg.MaxBatchRecords = 10
	want := w.send(seeded(t), 20, n)
	run := w.run(cfg, proc)
	out := w.read(topicOut, 2*n)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	workers.Wait()
	if results := len(out) - n; results != n {
		t.Errorf("%d results of %d effects are visible", results, n)
	}
	if len(effects) != n {
		t.Errorf("%d of %d effects started", len(effects), n)
	}
	for id, times := range effects {
		if times != 1 {
			t.Errorf("effect %s started %d times", id, times)
		}
	}
	closeStore(t, db)
	w.check(want)
}

// A submitted function that writes nothing, as the first of a partition, leaves no place in the inputs; what is read first after it
// leaves one in all, so that a restart goes on.
func TestASubmitThatWritesNothingTakesNoPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.store()
	cfg := w.config(db)
	cfg.Sessions = 1
	var done sync.WaitGroup
	done.Add(partitions)
	first := &counter{assigned: func(p *Partition[count]) error {
		return p.Submit(t.Context(), func(tx *Tx[count]) error {
			_, _, err := tx.Get("k")
			tx.OnCommit(done.Done)
			return err
		})
	}}
	run := w.run(cfg, first)
	done.Wait()
	w.produce(&kgo.Record{Topic: topicA, Key: []byte("k"), Value: []byte("x")})
	w.read(topicOut, 1)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	run = w.run(cfg, &counter{})
	w.produce(&kgo.Record{Topic: topicB, Key: []byte("k"), Value: []byte("x")})
	w.read(topicOut, 2)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, db)
	w.check(map[string]int64{"k": 2})
}

func TestGonePartitionRefusesSubmit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.store()
	parts := make(chan *Partition[count], partitions)
	cfg := w.config(db)
	cfg.Sessions = 1
	run := w.run(cfg, &counter{assigned: func(p *Partition[count]) error { parts <- p; return nil }})
	p := <-parts
	if p.OwnedUntil().IsZero() {
		t.Error("an owned partition has no end of ownership")
	}
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	if p.Context().Err() == nil {
		t.Error("context of a partition outlives its session")
	}
	if err := p.Submit(t.Context(), func(*Tx[count]) error { return nil }); !errors.Is(err, ErrGone) {
		t.Errorf("Submit to a partition that is gone: %v", err)
	}
	if !p.OwnedUntil().IsZero() {
		t.Error("a partition that is gone is owned until some time")
	}
	closeStore(t, db)
}

// TestLastWriteOfATransaction checks that a key written often in a transaction
// is one changelog record, and that a deleted one leaves a tombstone.
func TestLastWriteOfATransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.store()
	var recs []*kgo.Record
	for range 100 {
		recs = append(recs, &kgo.Record{Topic: topicA, Key: []byte("busy"), Value: []byte("x")})
	}
	recs = append(recs, &kgo.Record{Topic: topicA, Key: []byte("gone"), Value: []byte("x")})
	w.produce(recs...)
	cfg := w.config(db)
	run := w.run(cfg, &counter{})
	w.read(topicOut, 101)
	w.produce(&kgo.Record{Topic: topicA, Key: []byte("gone"), Value: []byte("forget")})
	log := w.read(topicLog, 3)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, db)
	var busy, gone [][]byte
	for _, rec := range log {
		if string(rec.Key) == "busy" {
			busy = append(busy, rec.Value)
		} else {
			gone = append(gone, rec.Value)
		}
	}
	if len(busy) > 10 {
		t.Errorf("100 writes of one key made %d changelog records", len(busy))
	}
	if len(gone) != 2 || gone[1] != nil {
		t.Errorf("a deleted key left %v", gone)
	}
	w.checkStore(log)
}

// TestNowNeverFalls turns the clock back under a running processor and over a
// restart with a wiped store.
func TestNowNeverFalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var (
		mu   sync.Mutex
		nows = make(map[int32][]int64)
	)
	proc := &counter{handle: func(tx *Tx[count], _ *kgo.Record) error {
		mu.Lock()
		defer mu.Unlock()
		nows[tx.Partition().Number()] = append(nows[tx.Partition().Number()], tx.Now())
		return nil
	}}
	total := 0
	for _, clock := range []int64{2_000_000_000_123_456, 1_900_000_000_000_000} {
		db := w.store()
		cfg := w.config(db)
		cfg.Clock = clockAt(clock)
		w.send(seeded(t), 20, 100)
		total += 100
		run := w.run(cfg, proc)
		w.read(topicOut, total)
		if err := run.stop(); err != nil {
			t.Fatal(err)
		}
		closeStore(t, db)
		w.dir = t.TempDir()
	}
	for num, seen := range nows {
		if !slices.IsSorted(seen) {
			t.Errorf("time falls in partition %d: %v", num, seen)
		}
	}
}
