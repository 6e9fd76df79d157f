package stream

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestRefusedRecordsAreSentAgainSoon: a real coordinator that has not finished with a transaction refuses the first
// records of the next. That must cost moments, not the seconds after which a client may ask for the metadata by default.
func TestRefusedRecordsAreSentAgainSoon(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(w.config(w.store()), &counter{})
	w.produce(&kgo.Record{Topic: topicA, Key: []byte("key"), Value: []byte("x")})
	w.read(topicOut, 1) // the metadata of every topic has just been asked for
	// A busy machine holds up one record or another, the wait for the metadata would hold up each.
	took := time.Hour
	for n := 2; n < 8 && took > 2*time.Second; n++ {
		h := w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.ConcurrentTransactions, Count: 1, When: ours})
		sent := time.Now()
		w.produce(&kgo.Record{Topic: topicA, Key: []byte("key"), Value: []byte("x")})
		w.read(topicOut, n)
		took = time.Since(sent)
		if h.Hits() != 1 {
			t.Fatalf("%d requests were refused, want 1", h.Hits())
		}
	}
	if took > 2*time.Second {
		t.Errorf("a record that was refused once was committed after %v", took)
	}
}

// TestWaitsOneInterval: what comes while a transaction is being ended has waited when the next begins, and that counts
// against the interval, as does the end of its own. So everything is committed one interval after it came.
func TestWaitsOneInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval, end = time.Second, 200 * time.Millisecond
		w := bubble(t)
		cfg := w.config(w.store())
		cfg.CommitInterval, cfg.Sessions = interval, 1
		run := w.run(cfg, &counter{flush: func(tx *Tx[count]) error {
			time.Sleep(end / partitions)
			return nil
		}})
		time.Sleep(5 * time.Second)
		const sent = 1000
		go func() {
			for range sent {
				now := strconv.FormatInt(time.Now().UnixMicro(), 10)
				w.cl.Produce(context.Background(), &kgo.Record{Topic: topicA, Key: []byte(now)}, nil)
				time.Sleep(10 * time.Millisecond)
			}
		}()
		cl, err := kgo.NewClient(append(w.opts, kgo.ConsumeTopics(topicOut), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		slowest := time.Duration(0)
		for seen := 0; seen < sent; {
			for _, rec := range cl.PollFetches(t.Context()).Records() {
				us, err := strconv.ParseInt(string(rec.Key), 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				slowest = max(slowest, time.Since(time.UnixMicro(us)))
				seen++
			}
		}
		if slowest < interval-end/2 || slowest > interval+end/2 {
			t.Errorf("the slowest record was committed after %v, at an interval of %v and an end that takes %v", slowest, interval, end)
		}
		if err := run.stop(); err != nil {
			t.Error(err)
		}
	})
}
