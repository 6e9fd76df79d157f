package stream

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// lender is a pool that counts the records it has lent and got back.
type lender struct {
	fetchPool
	lent, back atomic.Int64
}

func (l *lender) GetRecords(n int) []kgo.Record {
	l.lent.Add(int64(n))
	return l.fetchPool.GetRecords(n)
}

func (l *lender) PutRecords(recs []kgo.Record) {
	l.back.Add(int64(len(recs)))
	l.fetchPool.PutRecords(recs)
}

// TestRecordsLastUntilTheEnd: what a handler was given stays as it is until its transaction has ended, with aborted ones in
// between, and then goes back to where the client takes memory from.
func TestRecordsLastUntilTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.store()
	const n = 400
	said := func(rec *kgo.Record) string {
		return fmt.Sprintf("%s/%d@%d %s=%s", rec.Topic, rec.Partition, rec.Offset, rec.Key, rec.Value)
	}
	var committed atomic.Int64
	want := w.send(seeded(t), 10, n)
	cfg := w.config(db)
	cfg.MaxBatchRecords = 50
	cfg.Faults.AbortEvery = 3
	var pool lender
	cfg.pool = &pool
	run := w.run(cfg, &counter{handle: func(tx *Tx[count], rec *kgo.Record) error {
		was := said(rec)
		tx.OnCommit(func() {
			if is := said(rec); is != was {
				t.Errorf("a record became %q before its transaction had ended, it was %q", is, was)
			}
			committed.Add(1)
		})
		return nil
	}})
	w.read(topicOut, n)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	if committed.Load() == 0 || pool.back.Load() == 0 || pool.back.Load() > pool.lent.Load() {
		t.Errorf("of %d records that were lent %d came back, and %d were committed", pool.lent.Load(), pool.back.Load(), committed.Load())
	}
	closeStore(t, db)
	w.check(want)
}

// TestMemoryIsLentBySize: a small batch never gets the memory of a large one, which would have to be cleared for it.
func TestMemoryIsLentBySize(t *testing.T) {
	t.Parallel()
	var p fetchPool
	for _, size := range []int{1, 2, 3, 1000, 1024, 1025, 1 << 20, 1<<maxLent - 1, 1 << maxLent} {
		b := lend[byte](&p.bytes, size)
		if len(b) != 0 || cap(b) < size || cap(b) >= 2*size {
			t.Errorf("%d bytes: lent %d with room for %d", size, len(b), cap(b))
		}
		takeBack(&p.bytes, append(b[:size:size], 0)) // grown: of any capacity
	}
	if b := lend[byte](&p.bytes, 1<<maxLent+1); b != nil {
		t.Errorf("more than the largest size: lent %d bytes", cap(b))
	}
	p.PutDecompressBytes(nil)
	for _, size := range []int{1, 3, 1000} {
		for range 100 {
			if b := lend[byte](&p.bytes, size); cap(b) < size || cap(b) >= 2*size {
				t.Fatalf("%d bytes again: lent room for %d", size, cap(b))
			}
		}
	}
}
