package stream

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/store"
)

// bubble is a world on a fake clock and a network in memory.
func bubble(t *testing.T) *world {
	t.Helper()
	var network kfake.VirtualNetwork
	kafka, err := kfake.NewCluster(
		kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(100*time.Millisecond), kfake.Ports(9092), kfake.ListenFn(network.Listen),
		kfake.SeedTopics(partitions, topicA, topicB, topicOut, topicLog, topicA+".dlq", topicB+".dlq"),
	)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, kafka: kafka, dir: t.TempDir(), opts: []kgo.Opt{
		kgo.SeedBrokers(kafka.ListenAddrs()...), kgo.Dialer(network.DialContext),
	}}
	w.start()
	return w
}

func dueAt(key string, at time.Time) *kgo.Record {
	return &kgo.Record{Topic: topicA, Key: []byte(key), Value: fmt.Appendf(nil, "due:%d", at.UnixMicro())}
}

// fired returns the firings among the outputs, as "key:due", by partition.
func fired(recs []*kgo.Record) map[string][]*kgo.Record {
	out := make(map[string][]*kgo.Record)
	for _, rec := range recs {
		if strings.HasPrefix(string(rec.Value), "fired:") {
			out[string(rec.Key)] = append(out[string(rec.Key)], rec)
		}
	}
	return out
}

// TestTimersFireOnTime sets timers minutes ahead and waits for them on a fake
// clock: each fires once, not early, at most two commits late.
func TestTimersFireOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := bubble(t)
		db := w.store()
		cfg := w.config(db)
		cfg.CommitInterval = 100 * time.Millisecond
		start := time.Now()
		minutes := []int{5, 1, 3, 1, 8}
		run := w.run(cfg, &counter{})
		for i, h := range minutes {
			w.produce(dueAt(fmt.Sprintf("k%d", i), start.Add(time.Duration(h)*time.Minute)))
		}
		// A later record moves the first timer: only the new time counts.
		w.produce(dueAt("k0", start.Add(2*time.Minute)))
		minutes[0] = 2
		time.Sleep(12 * time.Minute)
		got := fired(w.read(topicOut, len(minutes)+1+len(minutes)))
		for i, h := range minutes {
			recs := got[fmt.Sprintf("k%d", i)]
			if len(recs) != 1 {
				t.Errorf("timer %d fired %d times", i, len(recs))
				continue
			}
			due := start.Add(time.Duration(h) * time.Minute)
			if want := fmt.Sprintf("fired:%d", due.UnixMicro()); string(recs[0].Value) != want {
				t.Errorf("timer %d says %s, want %s", i, recs[0].Value, want)
			}
			if late := recs[0].Timestamp.Sub(due.Truncate(time.Millisecond)); late < 0 || late > time.Second {
				t.Errorf("timer %d fired %v late", i, late)
			}
		}
		if err := run.stop(); err != nil {
			t.Fatal(err)
		}
		closeStore(t, db)
	})
}

// TestTimersSurviveRestart stops before timers are due; they fire after the
// restart, once, whether the store was kept or is rebuilt from the changelog.
func TestTimersSurviveRestart(t *testing.T) {
	for _, wiped := range []bool{false, true} {
		t.Run(fmt.Sprintf("wiped=%v", wiped), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := bubble(t)
				db := w.store()
				start := time.Now()
				var recs []*kgo.Record
				for i := range 20 {
					// Two records a key, so that a rebuilt index has stale hints.
					recs = append(recs, dueAt(fmt.Sprintf("k%d", i), start.Add(90*time.Second)),
						dueAt(fmt.Sprintf("k%d", i), start.Add(time.Minute)))
				}
				cfg := w.config(db)
				run := w.run(cfg, &counter{})
				for _, rec := range recs {
					w.produce(rec)
				}
				w.read(topicOut, 40)
				if err := run.stop(); err != nil {
					t.Fatal(err)
				}
				closeStore(t, db)
				if wiped {
					w.dir = t.TempDir()
				}
				db = w.store()
				cfg.Store = db
				run = w.run(cfg, &counter{})
				time.Sleep(3 * time.Minute)
				got := fired(w.read(topicOut, 60))
				for i := range 20 {
					if n := len(got[fmt.Sprintf("k%d", i)]); n != 1 {
						t.Errorf("timer %d fired %d times", i, n)
					}
				}
				if err := run.stop(); err != nil {
					t.Fatal(err)
				}
				closeStore(t, db)
			})
		})
	}
}

// TestTimersWaitForTheBacklog restarts long after a timer was due, with the
// record that moves it waiting in the input: it must not fire.
func TestTimersWaitForTheBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := bubble(t)
		db := w.store()
		start := time.Now()
		cfg := w.config(db)
		run := w.run(cfg, &counter{})
		w.produce(dueAt("k", start.Add(time.Minute)))
		w.read(topicOut, 1)
		if err := run.stop(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		for range 200 {
			w.produce(&kgo.Record{Topic: topicA, Key: []byte("k"), Value: []byte("x")})
		}
		w.produce(dueAt("k", start.Add(30*24*time.Hour)))
		cfg.MaxBatchRecords = 10
		run = w.run(cfg, &counter{})
		if got := fired(w.read(topicOut, 202)); len(got) > 0 {
			t.Errorf("fired before the backlog was read: %v", got)
		}
		if err := run.stop(); err != nil {
			t.Fatal(err)
		}
		closeStore(t, db)
	})
}

// TestManyTimersAreBounded has more timers due at once than one transaction may
// fire.
func TestManyTimersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := bubble(t)
		db := w.store()
		cfg := w.config(db)
		cfg.MaxTimers = 7
		cfg.Faults.AbortEvery = 5
		perTx, most := 0, 0
		proc := &counter{
			fire: func(tx *Tx[count], key string, due int64) error {
				perTx++
				most = max(most, perTx)
				n, _, err := tx.Get(key)
				if err != nil {
					return err
				}
				n.Due = 0
				emit(tx, key, "fired:")
				return tx.Put(key, n)
			},
			flush: func(*Tx[count]) error { perTx = 0; return nil },
		}
		cfg.Sessions = 1
		start := time.Now()
		run := w.run(cfg, proc)
		for i := range 100 {
			w.produce(dueAt(fmt.Sprintf("k%d", i), start.Add(time.Minute)))
		}
		time.Sleep(10 * time.Minute)
		got := fired(w.read(topicOut, 200))
		for i := range 100 {
			if n := len(got[fmt.Sprintf("k%d", i)]); n != 1 {
				t.Errorf("timer %d fired %d times", i, n)
			}
		}
		if err := run.stop(); err != nil {
			t.Fatal(err)
		}
		if most > 7 {
			t.Errorf("%d timers in one transaction, bound is 7", most)
		}
		closeStore(t, db)
	})
}

// TestBrokenTimersArePut aside: a panic, a poison error, or a due time that
// stays as it was must not spin, nor hold the partition.
func TestBrokenTimersArePutAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := bubble(t)
		db := w.store()
		cfg := w.config(db)
		calls := make(map[string]int)
		cfg.Sessions = 1
		run := w.run(cfg, &counter{fire: func(tx *Tx[count], key string, _ int64) error {
			calls[key]++
			switch key {
			case "panic":
				panic("timer broke")
			case "poison":
				return Poison("bad", errors.New("no"))
			case "retry":
				if calls[key] < 3 {
					return errors.New("not now")
				}
			case "stuck":
				return nil
			}
			n, _, err := tx.Get(key)
			if err != nil {
				return err
			}
			n.Due = 0
			emit(tx, key, "fired:")
			return tx.Put(key, n)
		}})
		start := time.Now()
		keys := []string{"panic", "poison", "stuck", "retry", "good"}
		for _, key := range keys {
			w.produce(dueAt(key, start.Add(time.Minute)))
		}
		time.Sleep(10 * time.Minute)
		got := fired(w.read(topicOut, len(keys)+2))
		if len(got["good"]) != 1 || len(got["retry"]) != 1 || len(got) != 2 {
			t.Errorf("fired %v, want good and retry once each", got)
		}
		if err := run.stop(); err != nil {
			t.Fatal(err)
		}
		// An abort for "retry" may repeat the others; nothing may spin.
		for _, key := range keys {
			if calls[key] > 6 {
				t.Errorf("%s was fired %d times", key, calls[key])
			}
		}
		closeStore(t, db)
	})
}

// TestFrozenSessionStartsAgain lets the coordinator time a transaction out, as
// when a process is stopped and continued: that is no fence by another process.
func TestFrozenSessionStartsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := bubble(t)
		db := w.store()
		cfg := w.config(db)
		cfg.Sessions = 1
		cfg.SessionTimeout = 30 * time.Second
		cfg.TransactionTimeout = 5 * time.Second
		frozen := false
		run := w.run(cfg, &counter{flush: func(tx *Tx[count]) error {
			if !frozen {
				frozen = true
				time.Sleep(20 * time.Second)
			}
			return nil
		}})
		want := map[string]int64{}
		for i := range 50 {
			key := fmt.Sprintf("k%d", i%5)
			w.produce(&kgo.Record{Topic: topicA, Key: []byte(key), Value: []byte("x")})
			want[key]++
		}
		time.Sleep(time.Minute)
		w.read(topicOut, 50)
		if err := run.stop(); err != nil {
			t.Fatal(err)
		}
		closeStore(t, db)
		w.check(want)
	})
}

// TestDrain ends Run in the middle of a long transaction: what is in hand is
// committed, well before the interval is over.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := bubble(t)
		db := w.store()
		cfg := w.config(db)
		cfg.CommitInterval = 2 * time.Second
		handled := make(chan struct{}, 100)
		run := w.run(cfg, &counter{handle: func(*Tx[count], *kgo.Record) error { handled <- struct{}{}; return nil }})
		run.ready()
		w.produce(&kgo.Record{Topic: topicA, Key: []byte("k"), Value: []byte("x")})
		<-handled
		started := time.Now()
		if err := run.stop(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(started); took > time.Second {
			t.Errorf("drain took %v", took)
		}
		closeStore(t, db)
		w.check(map[string]int64{"k": 1})
		if members := w.kafka.GroupInfo(group).Members; len(members) != 0 {
			t.Errorf("%d members are still in the group", len(members))
		}
	})
}

// TestDiskFull stops before the commit when the store cannot take the writes.
func TestDiskFull(t *testing.T) {
	w := newWorld(t)
	db, err := store.Open(w.dir, store.Options{MinFreeBytes: 1 << 62})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, db)
	w.send(seeded(t), 5, 50)
	err = w.run(w.config(db), &counter{}).wait()
	if !errors.Is(err, ErrStore) || !errors.Is(err, store.ErrWrite) {
		t.Errorf("Run returned %v", err)
	}
	if out := w.read(topicOut, 0); len(out) > 0 {
		t.Errorf("%d outputs were committed", len(out))
	}
}
