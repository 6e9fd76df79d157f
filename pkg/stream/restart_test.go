package stream

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/store"
)

func clockAt(us int64) func() time.Time { return func() time.Time { return time.UnixMicro(us) } }

// TestRestartStores restarts with the store kept, wiped, copied while it was
// being written, and damaged; each ends in the same state bytes.
func TestRestartStores(t *testing.T) {
	t.Parallel()
	tests := map[string]func(t *testing.T, w *world, copied string){
		"kept":   func(*testing.T, *world, string) {},
		"wiped":  func(t *testing.T, w *world, _ string) { w.dir = t.TempDir() },
		"copied": func(_ *testing.T, w *world, copied string) { w.dir = copied },
		"damaged": func(t *testing.T, w *world, _ string) {
			damage(t, w.dir, "*.log", "CHECKPOINT")
		},
		"damaged tables": func(t *testing.T, w *world, _ string) {
			damage(t, w.dir, "*.log") // found by the first read, not by the open
		},
	}
	for name, between := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			rng := seeded(t)
			want := w.send(rng, 40, 500)
			db := w.store()
			run := w.run(w.config(db), &counter{})
			w.read(topicOut, 500)
			copied := t.TempDir()
			copyStore(t, w.dir, copied)
			for key, n := range w.send(rng, 40, 500) {
				want[key] += n
			}
			w.read(topicOut, 1000)
			if err := run.stop(); err != nil {
				t.Fatal(err)
			}
			closeStore(t, db)
			w.check(want)

			between(t, w, copied)
			db = w.store()
			for key, n := range w.send(rng, 40, 500) {
				want[key] += n
			}
			run = w.run(w.config(db), &counter{})
			w.read(topicOut, 1500)
			if err := run.stop(); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(name, "damaged") && db.Heals() == 0 {
				t.Error("damage was not noticed")
			}
			closeStore(t, db)
			w.check(want)
		})
	}
}

// copyStore copies a database that is being written, as a careless backup does.
func copyStore(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// damage overwrites files of a store.
func damage(t *testing.T, dir string, patterns ...string) {
	t.Helper()
	hit := 0
	for _, pattern := range patterns {
		names, err := filepath.Glob(filepath.Join(dir, "db", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for i := range b {
				b[i] ^= 0x5a
			}
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
			hit++
		}
	}
	if hit == 0 {
		t.Fatal("nothing to damage")
	}
}

// TestCorruptionUnderWay damages a value so that it no longer decodes while the
// runner is up: the store is wiped, rebuilt, and counted.
func TestCorruptionUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.store()
	want := w.send(seeded(t), 1, 10)
	run := w.run(w.config(db), &counter{})
	w.read(topicOut, 10)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	for num := range int32(partitions) {
		p, err := db.Partition(w.topicID(topicLog), num)
		if err != nil {
			t.Fatal(err)
		}
		b, err := p.NewBatch()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok, err := p.Get(nil, "key-000"); err != nil {
			t.Fatal(err)
		} else if ok {
			if err := b.Put("key-000", []byte("garbage"), 0, 0); err != nil {
				t.Fatal(err)
			}
			if err := b.Apply(p.Mark()); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for key, n := range w.send(seeded(t), 1, 10) {
		want[key] += n
	}
	run = w.run(w.config(db), &counter{})
	w.read(topicOut, 20)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	if db.Heals() != 1 {
		t.Errorf("%d heals, want 1", db.Heals())
	}
	closeStore(t, db)
	w.check(want)
}

// TestOldStoreIsRebuilt restarts after more than half of delete.retention.ms.
// A key deleted meanwhile, whose tombstone is compacted away, must not return.
func TestOldStoreIsRebuilt(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		away  time.Duration
		heals float64
	}{
		"young": {11 * time.Hour, 0},
		"old":   {13 * time.Hour, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			db := w.store()
			start := time.Now()
			cfg := w.config(db)
			cfg.Sessions = 1
			w.send(seeded(t), 1, 10)
			run := w.run(cfg, &counter{})
			w.read(topicOut, 10)
			if err := run.stop(); err != nil {
				t.Fatal(err)
			}
			cfg.Clock = func() time.Time { return start.Add(tc.away) }
			cfg.Metrics = NewMetrics(group)
			run = w.run(cfg, &counter{})
			run.ready()
			if err := run.stop(); err != nil {
				t.Fatal(err)
			}
			closeStore(t, db)
			if got := metricValue(t, cfg.Metrics.heals.WithLabelValues("store_old")); got != tc.heals {
				t.Errorf("rebuilt %v stores, want %v", got, tc.heals)
			}
		})
	}
}

// TestStoreAheadOfChangelog has a store claim more than the changelog holds.
func TestStoreAheadOfChangelog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.store()
	want := w.send(seeded(t), 5, 50)
	p, err := db.Partition(w.topicID(topicLog), 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.NewBatch()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Put("ghost", make([]byte, 16), 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := b.Apply(store.Mark{Offset: 1_000_000, Stamp: time.Now().UnixMicro()}); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	run := w.run(w.config(db), &counter{})
	w.read(topicOut, 50)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, db)
	w.check(want)
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		broker  []kfake.Opt
		prepare func(w *world, cfg *Config)
		want    error
		words   string
	}{
		"unequal partitions": {
			broker: []kfake.Opt{kfake.SeedTopics(3, topicLog)},
			want:   ErrPartitionCount, words: "log=3",
		},
		"old transaction version": {
			broker: []kfake.Opt{kfake.BrokerConfigs(nil)},
			prepare: func(w *world, _ *Config) {
				adm := kadm.NewClient(w.cl)
				if _, err := adm.UpdateFeatures(w.t.Context(), false, kadm.FeatureUpdate{Feature: transactionFeature, MaxVersionLevel: 1, UpgradeType: 3}); err != nil {
					w.t.Fatal(err)
				}
			},
			want: ErrOldBroker, words: "transaction.version",
		},
		"missing topic": {
			prepare: func(_ *world, cfg *Config) { cfg.Outputs = append(cfg.Outputs, "nowhere") },
			want:    ErrTopicsMissing, words: "nowhere",
		},
		"no broker": {
			prepare: func(w *world, cfg *Config) {
				w.kafka.Close()
				cfg.StartTimeout = 300 * time.Millisecond
			},
			want: ErrStartTimeout,
		},
		"expired offsets": {
			prepare: func(w *world, cfg *Config) {
				w.firstRun(*cfg)
				if _, err := kadm.NewClient(w.cl).DeleteGroup(w.t.Context(), group); err != nil {
					w.t.Fatal(err)
				}
			},
			want: ErrDataLoss, words: "no input of it has a committed offset",
		},
		"offsets of one input deleted": {
			prepare: func(w *world, cfg *Config) {
				w.firstRun(*cfg)
				w.forgetOffsets(topicB)
			},
			want: ErrDataLoss, words: "in.b has no committed offset in partition",
		},
		// A partition may have read one of its inputs only: the other one's place is known all the same.
		"offsets of an input never read deleted": {
			prepare: func(w *world, cfg *Config) {
				w.firstRunOn(*cfg, topicA)
				w.forgetOffsets(topicB)
			},
			want: ErrDataLoss, words: "in.b has no committed offset in partition",
		},
		"truncated input": {
			prepare: func(w *world, cfg *Config) {
				w.firstRun(*cfg)
				for num := range int32(partitions) {
					w.send(seeded(w.t), 50, 100)
					info := w.kafka.PartitionInfo(topicA, num)
					if err := w.kafka.DeleteRecords(topicA, num, info.HighWatermark); err != nil {
						w.t.Fatal(err)
					}
				}
			},
			want: ErrDataLoss, words: topicA,
		},
		"recreated input": {
			prepare: func(w *world, cfg *Config) {
				w.firstRun(*cfg)
				if err := errors.Join(w.kafka.DeleteTopic(topicA), w.kafka.CreateTopic(topicA, partitions, nil)); err != nil {
					w.t.Fatal(err)
				}
			},
			want: ErrDataLoss, words: "deleted and created again",
		},
		"all topics grown": {
			prepare: func(w *world, cfg *Config) {
				w.firstRun(*cfg)
				adm := kadm.NewClient(w.cl)
				if _, err := adm.UpdatePartitions(w.t.Context(), partitions+1, topicA, topicB, topicOut, topicLog); err != nil {
					w.t.Fatal(err)
				}
			},
			want: ErrPartitionCount, words: "built with 4",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tc.broker...)
			db := w.store()
			defer closeStore(t, db)
			cfg := w.config(db)
			if tc.prepare != nil {
				tc.prepare(w, &cfg)
			}
			err := w.run(cfg, &counter{}).wait()
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.words) {
				t.Errorf("Run returned %v, want %v with %q", err, tc.want, tc.words)
			}
		})
	}
}

// forgetOffsets deletes what the group has committed of a topic.
func (w *world) forgetOffsets(topic string) {
	w.t.Helper()
	var set kadm.TopicsSet
	for num := range int32(partitions) {
		set.Add(topic, num)
	}
	got, err := kadm.NewClient(w.cl).DeleteOffsets(w.t.Context(), group, set)
	if err == nil {
		err = got.Error()
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// firstRunOn counts records of one input and stops.
func (w *world) firstRunOn(cfg Config, topic string) {
	w.t.Helper()
	run := w.run(cfg, &counter{})
	for i := range 40 {
		w.produce(&kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "key-%03d", i), Value: []byte("x")})
	}
	w.read(topicOut, 40)
	if err := run.stop(); err != nil {
		w.t.Fatal(err)
	}
}

// TestInputReadAloneStartsAgain restarts where only one input has ever had
// records, with the store wiped too.
func TestInputReadAloneStartsAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.store()
	w.firstRunOn(w.config(db), topicA)
	closeStore(t, db)
	w.dir = t.TempDir()
	run := w.run(w.config(w.store()), &counter{})
	w.produce(&kgo.Record{Topic: topicB, Key: []byte("key-000"), Value: []byte("x")})
	w.read(topicOut, 41)
	if err := run.stop(); err != nil {
		t.Error(err)
	}
}

// firstRun counts something and stops.
func (w *world) firstRun(cfg Config) {
	w.t.Helper()
	w.send(seeded(w.t), 50, 100)
	run := w.run(cfg, &counter{})
	w.read(topicOut, 100)
	if err := run.stop(); err != nil {
		w.t.Fatal(err)
	}
}

func TestDataLossByFlag(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.store()
	defer closeStore(t, db)
	cfg := w.config(db)
	w.firstRun(cfg)
	if _, err := kadm.NewClient(w.cl).DeleteGroup(t.Context(), group); err != nil {
		t.Fatal(err)
	}
	cfg.AllowDataLoss = true
	run := w.run(cfg, &counter{})
	w.read(topicOut, 200)
	if err := run.stop(); err != nil {
		t.Error(err)
	}
}

func TestConfigNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := New(Config{TransactionTimeout: time.Minute}, countCodec(), nil)
	for _, words := range []string{"group", "transactional id", "inputs", "changelog", "store", "dead letter", "transaction timeout"} {
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q is not among the faults: %v", words, err)
		}
	}
}

// TestSmallCache counts with room for hardly any decoded state.
func TestSmallCache(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.store()
	cfg := w.config(db)
	cfg.CacheBytes = 2000
	cfg.Metrics = NewMetrics(group)
	prometheus.NewPedanticRegistry().MustRegister(cfg.Metrics)
	want := w.send(seeded(t), 200, 1000)
	run := w.run(cfg, &counter{})
	w.read(topicOut, 1000)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	if used := metricValue(t, cfg.Metrics.cacheBytes.WithLabelValues("0")) + metricValue(t, cfg.Metrics.cacheBytes.WithLabelValues("1")); used > 2000 {
		t.Errorf("cache holds %v bytes after the last commit, bound is 2000", used)
	}
	closeStore(t, db)
	w.check(want)
}

// TestUnpoliteEnd crashes sessions between Prepare and the commit.
func TestUnpoliteEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.store()
	cfg := w.config(db)
	var crashes atomic.Int64
	cfg.Faults.CrashAfterPrepare = func(n int) bool {
		if n%4 == 2 && crashes.Load() < 4 {
			crashes.Add(1)
			return true
		}
		return false
	}
	cfg.Faults.AbortEvery = 5
	cfg.MaxBatchRecords = 50
	want := w.send(seeded(t), 30, 2000)
	run := w.run(cfg, &counter{})
	w.read(topicOut, 2000)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	if crashes.Load() == 0 {
		t.Error("nothing crashed")
	}
	closeStore(t, db)
	w.check(want)
}

// TestUnsafeStoreIsNoticed shows that the oracle bites: with the store written
// before the commit, aborts leave counts behind.
func TestUnsafeStoreIsNoticed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.store()
	cfg := w.config(db)
	cfg.Sessions = 1
	cfg.Faults = Faults{UnsafeWriteStoreBeforeCommit: true, AbortEvery: 2}
	cfg.MaxBatchRecords = 20
	w.produce(func() (recs []*kgo.Record) {
		for range 200 {
			recs = append(recs, &kgo.Record{Topic: topicA, Key: []byte("k"), Value: []byte("x")})
		}
		return recs
	}()...)
	run := w.run(cfg, &counter{})
	out := w.read(topicOut, 200)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, db)
	if last := string(out[len(out)-1].Value); last == "200" {
		t.Error("counts are right although the store was written before the commit")
	}
}
