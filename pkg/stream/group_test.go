package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/concord-ats/concord/pkg/store"
)

// TestRebalancesUnderLoad has processes come and go while records are counted.
func TestRebalancesUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rng := seeded(t)
	want := make(map[string]int64)
	total := 0
	type process struct {
		run *running
		db  *store.DB
	}
	start := func(n int) process {
		dir := w.dir
		if n > 0 {
			dir = t.TempDir()
		}
		db, err := store.Open(dir, store.Options{MinFreeBytes: 1})
		if err != nil {
			t.Fatal(err)
		}
		cfg := w.config(db)
		cfg.TransactionalID = fmt.Sprintf("counting-%d", n)
		cfg.MaxBatchRecords = 20
		return process{w.run(cfg, &counter{}), db}
	}
	stop := func(p process) {
		if err := p.run.stop(); err != nil {
			t.Error(err)
		}
		closeStore(t, p.db)
	}
	send := func() {
		for key, n := range w.send(rng, 30, 500) {
			want[key] += n
		}
		total += 500
	}
	first := start(0)
	for n := 1; n <= 4; n++ {
		send()
		p := start(n)
		send()
		w.read(topicOut, total-400)
		stop(p)
	}
	w.read(topicOut, total)
	first.run.ready()
	stop(first)
	w.check(want)
}

// TestRebalanceDoesNotDawdle has a second process join an idle group, on a fake
// clock: partitions whose stores are kept start as soon as they are assigned, and
// what is sent at that moment is handled at once.
func TestRebalanceDoesNotDawdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := bubble(t)
		var (
			mu    sync.Mutex
			slow  time.Duration
			joins int
		)
		proc := &counter{
			assigned: func(p *Partition[count]) error {
				mu.Lock()
				defer mu.Unlock()
				joins++
				slow = max(slow, time.Since(p.AssignedAt()))
				w.cl.Produce(context.Background(), &kgo.Record{Topic: topicB, Key: []byte(strconv.FormatInt(time.Now().UnixMicro(), 10))}, nil)
				return nil
			},
		}
		db := w.store()
		first := w.run(w.config(db), proc)
		time.Sleep(30 * time.Second)
		other, err := store.Open(t.TempDir(), store.Options{MinFreeBytes: 1})
		if err != nil {
			t.Fatal(err)
		}
		cfg := w.config(other)
		cfg.TransactionalID = "counting-1"
		second := w.run(cfg, proc)
		time.Sleep(30 * time.Second)
		mu.Lock()
		sent := joins
		if slow > 200*time.Millisecond || joins < 2*partitions {
			t.Errorf("of %d partitions one started %v after it was assigned", joins, slow)
		}
		mu.Unlock()
		for _, rec := range w.read(topicOut, sent) {
			us, err := strconv.ParseInt(string(rec.Key), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if d := rec.Timestamp.Sub(time.UnixMicro(us)); d > time.Second {
				t.Errorf("a record was handled %v after it was sent", d)
			}
		}
		if err := errors.Join(first.stop(), second.stop()); err != nil {
			t.Error(err)
		}
		closeStore(t, db)
		closeStore(t, other)
	})
}

// TestInputsStayTogether checks that one session handles partition p of all
// inputs, and that members with other inputs are refused, not mixed in.
func TestInputsStayTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.store()
	var (
		mu     sync.Mutex
		owners = make(map[int32]map[*Partition[count]]bool)
	)
	w.send(seeded(t), 50, 500)
	run := w.run(w.config(db), &counter{handle: func(tx *Tx[count], rec *kgo.Record) error {
		mu.Lock()
		defer mu.Unlock()
		if tx.Partition().Number() != rec.Partition {
			return Fatal(fmt.Errorf("record of partition %d handled as %d", rec.Partition, tx.Partition().Number()))
		}
		if owners[rec.Partition] == nil {
			owners[rec.Partition] = make(map[*Partition[count]]bool)
		}
		owners[rec.Partition][tx.Partition()] = true
		return nil
	}})
	w.read(topicOut, 500)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, db)
	if len(owners) != partitions {
		t.Errorf("%d partitions were handled", len(owners))
	}
}

func TestAssign(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		n      int32
		stored []map[int32]int64
		want   []int
	}{
		"nobody":                  {4, nil, nil},
		"no stores":               {4, []map[int32]int64{{}, {}}, []int{0, 1, 0, 1}},
		"more members":            {2, []map[int32]int64{{}, {}, {}}, []int{0, 1}},
		"stores decide":           {4, []map[int32]int64{{2: 10, 3: 10}, {0: 10, 1: 10}}, []int{1, 1, 0, 0}},
		"the fresher store":       {2, []map[int32]int64{{0: 5, 1: 9}, {0: 9, 1: 5}}, []int{1, 0}},
		"even share":              {4, []map[int32]int64{{0: 1, 1: 1, 2: 1, 3: 1}, {}}, []int{0, 0, 1, 1}},
		"one store, two sessions": {4, []map[int32]int64{{0: 7, 1: 7, 2: 7, 3: 7}, {0: 7, 1: 7, 2: 7, 3: 7}}, []int{0, 1, 0, 1}},
		"uneven":                  {5, []map[int32]int64{{}, {4: 3}}, []int{0, 0, 1, 0, 1}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := assign(tc.n, tc.stored)
			if name == "uneven" {
				// Who gets the odd one is open; the store's owner and the shares are not.
				load := []int{0, 0}
				for _, m := range got {
					load[m]++
				}
				slices.Sort(load)
				if got[4] != 1 || !slices.Equal(load, []int{2, 3}) {
					t.Errorf("assigned %v", got)
				}
				return
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("assigned %v, want %v", got, tc.want)
			}
		})
	}
}

func TestStoredOffsetsTravel(t *testing.T) {
	t.Parallel()
	want := map[int32]int64{0: 1, 3: 1 << 40}
	got := decodeStored(encodeStored(want))
	if len(got) != 2 || got[0] != 1 || got[3] != 1<<40 {
		t.Errorf("got %v", got)
	}
	for _, junk := range [][]byte{nil, {9, 9, 9}, {storedVersion, 1, 2, 3}} {
		if got := decodeStored(junk); len(got) != 0 {
			t.Errorf("junk %v reads as %v", junk, got)
		}
	}
}

// TestSecondProcessFencesTheFirst starts a process with the transactional id of
// another: the older exits and says why, nothing is counted twice.
func TestSecondProcessFencesTheFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rng := seeded(t)
	db := w.store()
	cfg := w.config(db)
	cfg.Sessions = 1
	want := w.send(rng, 10, 100)
	old := w.run(cfg, &counter{})
	w.read(topicOut, 100)

	// The newcomer, played by hand: it takes the id over in the middle of a
	// transaction of the first.
	newcomer, err := kgo.NewClient(append(w.opts, kgo.TransactionalID("counting-0-0"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer newcomer.Close()
	if _, _, err := newcomer.ProducerID(t.Context()); err != nil {
		t.Fatal(err)
	}
	for key, n := range w.send(rng, 10, 100) {
		want[key] += n
	}
	err = old.wait()
	if !errors.Is(err, ErrFenced) {
		t.Fatalf("the older process ended with %v", err)
	}
	run := w.run(cfg, &counter{})
	w.read(topicOut, 200)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, db)
	w.check(want)
}

// TestClaimFailsWithoutOwnership checks that a transaction that read nothing
// (a submitted function) cannot commit once the group has moved on.
func TestClaimFailsWithoutOwnership(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.store()
	cfg := w.config(db)
	cfg.Sessions = 1
	parts := make(chan *Partition[count], partitions)
	run := w.run(cfg, &counter{assigned: func(p *Partition[count]) error {
		select {
		case parts <- p:
		default:
		}
		return nil
	}})
	run.ready()
	claims := w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.IllegalGeneration, Count: 2})
	p := <-parts
	tries := 0
	if err := p.Submit(t.Context(), func(tx *Tx[count]) error {
		tries++
		emit(tx, "k", "fired:once")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if out := w.read(topicOut, 1); len(out) != 1 {
		t.Errorf("%d outputs, want 1", len(out))
	}
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, db)
	if claims.Hits() != 2 || tries != 3 {
		t.Errorf("the group refused %d claims in %d tries, want 2 in 3", claims.Hits(), tries)
	}
}

// TestRefusedJoinIsVisible asks for a session timeout the group does not allow.
func TestRefusedJoinIsVisible(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kfake.GroupMinSessionTimeout(time.Hour))
	cfg := w.config(w.store())
	run := w.run(cfg, &counter{})
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 20_000 {
		if strings.Contains(strings.Join(run.r.Ready(), "; "), kerr.InvalidSessionTimeout.Message) {
			return
		}
		<-tick.C
	}
	t.Errorf("Ready says %v", run.r.Ready())
}

// TestEverySessionNamesKafkaThatIsAway: not the group or the address of a broker, which mean nothing to who is asked at night.
func TestEverySessionNamesKafkaThatIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := w.config(w.store())
	cfg.DrainTimeout = time.Second
	run := w.run(cfg, &counter{})
	run.ready()
	w.kafka.Close()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 4_000 {
		named := make(map[string]bool)
		for _, reason := range run.r.Ready() {
			if session, _, ok := strings.Cut(reason, ":"); ok && strings.Contains(reason, "Kafka does not answer: ") {
				named[session] = true
			}
		}
		if len(named) == cfg.Sessions {
			if err := run.stop(); err != nil {
				t.Error(err)
			}
			return
		}
		<-tick.C
	}
	t.Errorf("Ready says %v", run.r.Ready())
}

// TestStopWithoutKafka ends a runner whose broker is gone, with work in hand.
func TestStopWithoutKafka(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := w.config(w.store())
	cfg.DrainTimeout = 2 * time.Second
	run := w.run(cfg, &counter{})
	run.ready()
	w.send(seeded(t), 10, 100)
	w.kafka.Close()
	started := time.Now()
	if err := run.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("stopping took %v", took)
	}
}
