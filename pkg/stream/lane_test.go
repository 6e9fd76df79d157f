package stream

import (
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestOldestRecordGoesFirst is the rule of the lanes by itself: who is next, and who waits for whom.
func TestOldestRecordGoesFirst(t *testing.T) {
	t.Parallel()
	at := func(seconds ...int) []*kgo.Record {
		var recs []*kgo.Record
		for _, s := range seconds {
			recs = append(recs, &kgo.Record{Timestamp: time.Unix(int64(s), 0)})
		}
		return recs
	}
	const first, second, none = 0, 1, -1
	tests := map[string]struct {
		lanes [2]lane
		waits time.Duration // since the wait began
		want  int
	}{
		"the older":                   {[2]lane{{waiting: at(2)}, {waiting: at(1, 3)}}, 0, second},
		"of equals the first":         {[2]lane{{waiting: at(1)}, {waiting: at(1)}}, 0, first},
		"the other is at its end":     {[2]lane{{waiting: at(2)}, {polled: 7, end: 7}}, 0, first},
		"the other has a little more": {[2]lane{{waiting: at(2)}, {polled: 7, end: 7 + backlog}}, 0, first},
		"the other has a backlog":     {[2]lane{{waiting: at(2)}, {polled: 7, end: 8 + backlog}}, 0, none},
		"not for ever":                {[2]lane{{waiting: at(2)}, {polled: 7, end: 8 + backlog}}, laneWait, first},
		"nothing waits":               {[2]lane{{}, {polled: 7, end: 8 + backlog}}, 0, none},
		"both have records":           {[2]lane{{waiting: at(2), end: 9999}, {waiting: at(3), end: 9999}}, 0, first},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &Partition[count]{lanes: tc.lanes[:]}
			now := time.Unix(1000, 0)
			got := p.oldest(now)
			if tc.waits > 0 {
				if got != nil {
					t.Fatal("it did not wait at all")
				}
				if p.oldest(now.Add(tc.waits-1)) != nil {
					t.Error("it did not wait long enough")
				}
				got = p.oldest(now.Add(tc.waits))
				if p.oldest(now.Add(tc.waits)) != got {
					t.Error("it waits twice for the same")
				}
			}
			want := (*lane)(nil)
			if tc.want != none {
				want = &p.lanes[tc.want]
			}
			if got != want {
				t.Errorf("next is %v, want lane %d", got, tc.want)
			}
		})
	}
}

// TestBacklogIsHandledAsItHappened reads two inputs of which one is much denser in time: in each partition the records
// are handled in the order of their times, and no input gets far ahead in memory.
func TestBacklogIsHandledAsItHappened(t *testing.T) {
	t.Parallel()
	const n = 60_000 // of each input
	w := newWorld(t)
	db := w.store()
	start := time.Unix(1_700_000_000, 0)
	want := make(map[string]int64)
	var recs []*kgo.Record
	add := func(topic string, i int, at int) {
		key := strconv.Itoa(i % 50)
		want[key]++
		recs = append(recs, &kgo.Record{Topic: topic, Key: []byte(key), Value: make([]byte, 20), Timestamp: start.Add(time.Duration(at) * time.Second)})
	}
	for i := range n {
		add(topicA, i, i)
		add(topicB, i, n*9/10+i/10)
		if len(recs) >= 2_000 {
			w.produce(recs...) // in batches that are small beside a lane
			recs = recs[:0]
		}
	}
	ends := make(map[int32]int64)
	for _, rec := range w.read(topicA, n) {
		ends[rec.Partition] = rec.Offset + 1
	}
	var (
		mu      sync.Mutex
		last    = make(map[int32]time.Time)
		wrong   int
		longest int
	)
	cfg := w.config(db)
	cfg.Opts = append(cfg.Opts, kgo.FetchMaxPartitionBytes(16<<10))
	run := w.run(cfg, &counter{handle: func(tx *Tx[count], rec *kgo.Record) error {
		mu.Lock()
		defer mu.Unlock()
		// The last records of an input are not worth waiting for.
		if rec.Timestamp.Before(last[rec.Partition]) && rec.Offset < ends[rec.Partition]-backlog {
			wrong++
		}
		last[rec.Partition] = rec.Timestamp
		for _, l := range tx.p.lanes {
			longest = max(longest, len(l.waiting))
		}
		return nil
	}})
	w.read(topicOut, 2*n)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, db)
	if wrong > 0 {
		t.Errorf("%d records were handled after later ones", wrong)
	}
	if bound := maxLane + 4_000; longest < maxLane || longest > bound {
		t.Errorf("up to %d records of an input waited, want %d to %d", longest, maxLane, bound)
	}
	w.check(want)
}

// TestAbortsWithRecordsWaiting aborts every other transaction while far more is polled than a transaction takes: what
// waits is handled once, and no offset is committed of what was only polled. The process stops and starts in between.
func TestAbortsWithRecordsWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rng := seeded(t)
	want := w.send(rng, 40, 6_000)
	for round := range 3 {
		db := w.store()
		cfg := w.config(db)
		cfg.MaxBatchRecords = 300
		cfg.Faults.AbortEvery = 2
		var mu sync.Mutex
		handled := 0
		run := w.run(cfg, &counter{
			handle: func(*Tx[count], *kgo.Record) error {
				mu.Lock()
				defer mu.Unlock()
				if handled++; handled%700 == 0 {
					return errors.New("once in a while it fails")
				}
				return nil
			},
		})
		w.read(topicOut, 2_000*(round+1))
		if err := run.stop(); err != nil {
			t.Fatal(err)
		}
		closeStore(t, db)
		if round == 1 {
			w.dir = t.TempDir() // from the changelog alone
		}
	}
	w.check(want)
}

// TestAnInputThatCannotBeReadHoldsNothingUp has one input with a backlog that no fetch brings: the other goes on, and the
// first follows once it can be read.
func TestAnInputThatCannotBeReadHoldsNothingUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.store()
	const n = 4_000
	var recs []*kgo.Record
	want := make(map[string]int64)
	for i := range n {
		key := strconv.Itoa(i % 40)
		recs = append(recs, &kgo.Record{Topic: topicA, Key: []byte(key)}, &kgo.Record{Topic: topicB, Key: []byte(key)})
		want[key] += 2
	}
	w.produce(recs...)
	away := w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: topicB, Err: kerr.LeaderNotAvailable, Count: -1})
	run := w.run(w.config(db), &counter{})
	w.read(topicOut, n)
	if away.Hits() == 0 {
		t.Error("the second input was read")
	}
	away.Remove()
	w.read(topicOut, 2*n)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, db)
	w.check(want)
}
