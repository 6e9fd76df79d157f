package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("STORE_TEST_OPEN"); dir != "" {
		_, err := Open(dir, Options{})
		fmt.Println(errors.Is(err, ErrLocked), err)
		return
	}
	goleak.VerifyTestMain(m)
}

var topic = [16]byte{1, 2, 3}

func open(t *testing.T, dir string, opt Options) *DB {
	t.Helper()
	if opt.MinFreeBytes == 0 {
		opt.MinFreeBytes = 1
	}
	db, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func take(t *testing.T, db *DB, n int32) (*Partition, *Batch) {
	t.Helper()
	p, err := db.Partition(topic, n)
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.NewBatch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, b
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func dues(t *testing.T, p *Partition, from int64) (out []string) {
	t.Helper()
	must(t, p.Due(from, func(due int64, key string) bool {
		out = append(out, fmt.Sprintf("%d %s", due, key))
		return true
	}))
	return out
}

func TestBatchIsAtomicWithItsMark(t *testing.T) {
	db := open(t, t.TempDir(), Options{})
	p, b := take(t, db, 3)
	must(t, b.Put("a", []byte("1"), 0, 50), b.Put("b", []byte("2"), 0, 40), b.Put("c", []byte("3"), 0, 0))
	if _, ok, err := p.Get(nil, "a"); ok || err != nil {
		t.Fatalf("visible before Apply: %v %v", ok, err)
	}
	m := Mark{Offset: 7, Stamp: 8, Now: 9}
	must(t, b.Apply(m))
	if got, ok, err := p.Get([]byte("x"), "a"); string(got) != "x1" || !ok || err != nil {
		t.Errorf("got %q %v %v", got, ok, err)
	}
	if p.Mark() != m {
		t.Errorf("mark %v", p.Mark())
	}
	if got := dues(t, p, 0); !slices.Equal(got, []string{"40 b", "50 a"}) {
		t.Errorf("due %v", got)
	}
	must(t, b.Put("a", []byte("4"), 50, 30), b.Delete("b", 40), b.Put("c", []byte("3"), 0, 60), b.Apply(Mark{Offset: 9}))
	if got := dues(t, p, 0); !slices.Equal(got, []string{"30 a", "60 c"}) {
		t.Errorf("due %v", got)
	}
	if got := dues(t, p, 31); !slices.Equal(got, []string{"60 c"}) {
		t.Errorf("due from 31: %v", got)
	}
	must(t, b.DropDue(60, "c"), b.Apply(Mark{Offset: 9}))
	if got := dues(t, p, 0); !slices.Equal(got, []string{"30 a"}) {
		t.Errorf("due %v", got)
	}
	var keys []string
	must(t, p.Scan(func(key string, value []byte) bool { keys = append(keys, key+"="+string(value)); return true }))
	if slices.Sort(keys); !slices.Equal(keys, []string{"a=4", "c=3"}) {
		t.Errorf("scan %v", keys)
	}
}

func TestPartitionsAreApart(t *testing.T) {
	db := open(t, t.TempDir(), Options{})
	for n := range int32(3) {
		_, b := take(t, db, n)
		must(t, b.Put("k", []byte{byte(n)}, 0, int64(n)+1), b.Apply(Mark{Offset: int64(n) + 10}))
	}
	p, _ := take(t, db, 1)
	must(t, p.Wipe())
	if p.Mark() != (Mark{}) {
		t.Errorf("mark of a wiped partition: %v", p.Mark())
	}
	offsets, err := db.Offsets(topic)
	must(t, err)
	if len(offsets) != 2 || offsets[0] != 10 || offsets[2] != 12 {
		t.Errorf("offsets %v", offsets)
	}
	for n, want := range []bool{true, false, true} {
		p, _ := take(t, db, int32(n))
		if _, ok, err := p.Get(nil, "k"); ok != want || err != nil {
			t.Errorf("partition %d: %v %v", n, ok, err)
		}
		if got := len(dues(t, p, 0)) == 1; got != want {
			t.Errorf("due of partition %d: %v", n, got)
		}
	}
}

func TestNewHandleMakesTheOlderStale(t *testing.T) {
	db := open(t, t.TempDir(), Options{})
	old, b := take(t, db, 0)
	must(t, b.Put("k", []byte("old"), 0, 0))
	p, nb := take(t, db, 0)
	if err := b.Apply(Mark{Offset: 1}); !errors.Is(err, ErrStale) {
		t.Errorf("Apply of the older handle: %v", err)
	}
	if _, _, err := old.Get(nil, "k"); !errors.Is(err, ErrStale) {
		t.Errorf("Get of the older handle: %v", err)
	}
	must(t, nb.Put("k", []byte("new"), 0, 0), nb.Apply(Mark{Offset: 2}))
	if got, _, err := p.Get(nil, "k"); string(got) != "new" || err != nil {
		t.Errorf("%q %v", got, err)
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, Options{})
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("second Open in this process: %v", err)
	}
	self, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), "STORE_TEST_OPEN="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "true ") || !strings.Contains(string(out), dir) {
		t.Errorf("second Open in another process: %v: %s", err, out)
	}
}

// TestCrashKeepsAPrefix cuts off what a crash of the machine can lose, with the
// log compacted meanwhile: what is left is exactly what some mark says.
func TestCrashKeepsAPrefix(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	db := open(t, dir, Options{SegmentBytes: 8 << 10, FlushInterval: time.Hour})
	_, b := take(t, db, 0)
	type want struct{ states, due map[string]string }
	model := map[int64]want{0: {}}
	states, due := map[string]string{}, map[string]int64{}
	for off := int64(1); off <= 3000; off++ {
		for range rng.IntN(4) {
			key := fmt.Sprintf("k%d", rng.IntN(50))
			if rng.IntN(5) == 0 {
				must(t, b.Delete(key, due[key]))
				delete(states, key)
				delete(due, key)
				continue
			}
			value := fmt.Sprintf("%d-%s", off, strings.Repeat("v", rng.IntN(100)))
			at := int64(rng.IntN(3))
			must(t, b.Put(key, []byte(value), due[key], at))
			states[key], due[key] = value, at
		}
		must(t, b.Apply(Mark{Offset: off}))
		w := want{maps.Clone(states), map[string]string{}}
		for k, at := range due {
			if at != 0 {
				w.due[k] = fmt.Sprint(at)
			}
		}
		model[off] = w
		switch {
		case off%300 == 150:
			must(t, db.flush())
		case off%300 != 0:
			continue
		}
		crashed := t.TempDir()
		db.log.Lock() // the compaction writes beside, and a crash is of one moment
		err := os.CopyFS(crashed, os.DirFS(dir))
		db.log.Unlock()
		must(t, err)
		segments, err := filepath.Glob(filepath.Join(crashed, "db", "*.log"))
		must(t, err)
		last := segments[len(segments)-1]
		info, err := os.Stat(last)
		must(t, err)
		var done checkpoint
		at := db.segmentAt(filepath.Base(last))
		if raw, err := os.ReadFile(filepath.Join(crashed, "db", checkpointFile)); err == nil {
			must(t, json.Unmarshal(raw, &done))
		}
		known := int64(0)
		if done.Seq == at {
			known = done.Size
		}
		must(t, os.Truncate(last, known+rng.Int64N(info.Size()-known+1)))
		again := open(t, crashed, Options{SegmentBytes: 8 << 10})
		if again.Heals() != 0 {
			t.Errorf("a crash at %d counts as corruption", off)
		}
		cp, _ := take(t, again, 0)
		got := map[string]string{}
		must(t, cp.Scan(func(key string, value []byte) bool { got[key] = string(value); return true }))
		is := cp.Mark().Offset
		t.Logf("crash at %d: store is at %d", off, is)
		if is == 0 && off > 300 {
			t.Errorf("nothing is left at offset %d", off)
		}
		if diff := cmp.Diff(model[is].states, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("store at %d: %s", is, diff)
		}
		hints := map[string]string{}
		must(t, cp.Due(0, func(due int64, key string) bool { hints[key] = fmt.Sprint(due); return true }))
		if diff := cmp.Diff(model[is].due, hints, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("due at %d: %s", is, diff)
		}
	}
	must(t, db.compact(t.Context()))
	must(t, db.flush()) // which removes what the compaction has emptied
	segments, err := filepath.Glob(filepath.Join(dir, "db", "*.log"))
	must(t, err)
	if len(segments) > 8 {
		t.Errorf("%d segments of 8 KiB for 50 short states: nothing compacts", len(segments))
	}
}

// segmentAt is the sequence number in the name of a segment.
func (db *DB) segmentAt(name string) (seq uint64) {
	_, _ = fmt.Sscanf(name, "%d.log", &seq)
	return seq
}

// TestKilledProcess opens what a process that was killed left behind, nothing of
// which was synced: all of it is there.
func TestKilledProcess(t *testing.T) {
	dir, killed := t.TempDir(), t.TempDir()
	db := open(t, dir, Options{FlushInterval: time.Hour, SegmentBytes: 4 << 10})
	_, b := take(t, db, 0)
	for n := range 500 {
		must(t, b.Put(fmt.Sprint(n), bytes.Repeat([]byte("v"), 40), 0, int64(n)), b.Apply(Mark{Offset: int64(n) + 1}))
	}
	must(t, os.CopyFS(killed, os.DirFS(dir)))
	p, _ := take(t, open(t, killed, Options{}), 0)
	if p.Mark().Offset != 500 {
		t.Errorf("store is at %d, want 500", p.Mark().Offset)
	}
	if got := dues(t, p, 0); len(got) != 499 { // 0 is no due time
		t.Errorf("%d due, want 499", len(got))
	}
}

// TestDamage breaks a byte anywhere in a closed database: it is noticed, at the
// open or by the first read, and never read as something else.
func TestDamage(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	db, err := Open(dir, Options{SegmentBytes: 4 << 10, FlushInterval: time.Hour, MinFreeBytes: 1})
	must(t, err)
	p, err := db.Partition(topic, 0)
	must(t, err)
	b, err := p.NewBatch()
	must(t, err)
	const keys = 200
	for n := range keys {
		must(t, b.Put(fmt.Sprint(n), fmt.Appendf(nil, "value of %d", n), 0, 0), b.Apply(Mark{Offset: int64(n) + 1}))
	}
	must(t, db.compact(t.Context()), db.Close())
	for range 100 {
		damaged := t.TempDir()
		must(t, os.CopyFS(damaged, os.DirFS(dir)))
		files, err := filepath.Glob(filepath.Join(damaged, "db", "*"))
		must(t, err)
		path := files[rng.IntN(len(files))]
		raw, err := os.ReadFile(path)
		must(t, err)
		at := rng.IntN(len(raw))
		raw[at] ^= byte(1 + rng.IntN(255))
		must(t, os.WriteFile(path, raw, 0o600))
		db, err := Open(damaged, Options{FlushInterval: time.Hour, MinFreeBytes: 1})
		must(t, err)
		p, err := db.Partition(topic, 0)
		must(t, err)
		if p.Mark().Offset == keys {
			for n := range keys {
				got, ok, err := p.Get(nil, fmt.Sprint(n))
				switch {
				case errors.Is(err, ErrCorrupt):
					if !errors.Is(db.Check(), ErrCorrupt) {
						t.Errorf("%s at %d: damage was read and not noted", filepath.Base(path), at)
					}
				case err != nil || !ok || string(got) != fmt.Sprintf("value of %d", n):
					t.Fatalf("%s at %d: %d is %q %v %v", filepath.Base(path), at, n, got, ok, err)
				}
			}
		} else if db.Heals() == 0 {
			t.Errorf("%s at %d: the store fell back to %d and nobody was told", filepath.Base(path), at, p.Mark().Offset)
		}
		must(t, db.Close())
	}
}

// TestConcurrentUse reads, writes, compacts and flushes at once.
func TestConcurrentUse(t *testing.T) {
	db := open(t, t.TempDir(), Options{SegmentBytes: 16 << 10, FlushInterval: time.Millisecond})
	var g errgroup.Group
	for n := range int32(4) {
		p, b := take(t, db, n)
		g.Go(func() error {
			last := map[string]string{}
			for i := range 3000 {
				key := fmt.Sprint(i * 7 % 100)
				if got, ok, err := p.Get(nil, key); err != nil || ok != (last[key] != "") || string(got) != last[key] {
					return fmt.Errorf("%s is %q %v %w, want %q", key, got, ok, err, last[key])
				}
				last[key] = fmt.Sprintf("%d of %d", i, n)
				if err := errors.Join(b.Put(key, []byte(last[key]), 0, 0), b.Apply(Mark{Offset: int64(i)})); err != nil {
					return err
				}
			}
			seen := 0
			err := p.Scan(func(key string, value []byte) bool {
				if seen++; last[key] != string(value) {
					t.Errorf("%s is %q, want %q", key, value, last[key])
				}
				return true
			})
			if seen != len(last) {
				t.Errorf("%d keys of %d", seen, len(last))
			}
			return err
		})
	}
	must(t, g.Wait())
}

func TestLargeEntries(t *testing.T) {
	db := open(t, t.TempDir(), Options{})
	p, b := take(t, db, 0)
	for _, n := range []int{0, 1, 39, 40, 41, 32 << 10, 33 << 10, 3 << 20} {
		key := fmt.Sprint("k", n)
		must(t, b.Put(key, bytes.Repeat([]byte{'v'}, n), 0, 0), b.Put("other", nil, 0, 0), b.Apply(Mark{Offset: 1}))
		if got, ok, err := p.Get([]byte("x"), key); len(got) != n+1 || !ok || err != nil {
			t.Errorf("%d bytes came back as %d: %v %v", n, len(got)-1, ok, err)
		}
	}
}

func TestFlushesByItself(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, Options{FlushInterval: 10 * time.Millisecond})
	_, b := take(t, db, 0)
	must(t, b.Put("k", bytes.Repeat([]byte("v"), 1000), 0, 0), b.Apply(Mark{Offset: 1}))
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 10_000 {
		if _, err := os.Stat(filepath.Join(dir, "db", checkpointFile)); err == nil {
			return
		}
		<-tick.C
	}
	t.Error("nothing was synced to the disk")
}

func TestResetWipesAndGoesOn(t *testing.T) {
	db := open(t, t.TempDir(), Options{})
	p, b := take(t, db, 0)
	must(t, b.Put("k", []byte("v"), 0, 0), b.Apply(Mark{Offset: 5}), db.SetMeta("m", []byte("x")))
	must(t, db.Reset())
	if _, _, err := p.Get(nil, "k"); !errors.Is(err, ErrStale) {
		t.Errorf("a handle outlived the reset: %v", err)
	}
	p, _ = take(t, db, 0)
	if p.Mark().Offset != 0 || db.Heals() != 1 {
		t.Errorf("offset %d, heals %d", p.Mark().Offset, db.Heals())
	}
	if _, ok, err := db.Meta("m"); ok || err != nil {
		t.Errorf("meta outlived the reset: %v %v", ok, err)
	}
}

func TestMetaIsKept(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(dir, Options{MinFreeBytes: 1})
	must(t, err)
	must(t, db.SetMeta("m", []byte("x")), db.Close())
	db = open(t, dir, Options{})
	if got, ok, err := db.Meta("m"); string(got) != "x" || !ok || err != nil {
		t.Errorf("%q %v %v", got, ok, err)
	}
}

func TestFullDisk(t *testing.T) {
	db := open(t, t.TempDir(), Options{MinFreeBytes: 1 << 62})
	if err := db.Check(); !errors.Is(err, ErrWrite) {
		t.Errorf("Check with too little space: %v", err)
	}
}

// TestFailingDisk has the disk refuse a write: the database says so before
// anything else relies on it, and what stood there before is intact.
func TestFailingDisk(t *testing.T) {
	var full atomic.Bool
	db := open(t, t.TempDir(), Options{FlushInterval: time.Hour, write: func(f *os.File, b []byte, at int64) (int, error) {
		if full.Load() {
			n, err := f.WriteAt(b[:len(b)/2], at)
			return n, errors.Join(err, syscall.ENOSPC)
		}
		return f.WriteAt(b, at)
	}})
	p, b := take(t, db, 0)
	must(t, b.Put("k", []byte("before"), 0, 0), b.Apply(Mark{Offset: 1}))
	full.Store(true)
	must(t, b.Put("k", []byte("after"), 0, 0))
	if err := b.Apply(Mark{Offset: 2}); !errors.Is(err, ErrWrite) {
		t.Errorf("Apply: %v", err)
	}
	if err := db.Check(); !errors.Is(err, ErrWrite) {
		t.Errorf("Check: %v", err)
	}
	if got, _, err := p.Get(nil, "k"); string(got) != "before" || err != nil || p.Mark().Offset != 1 {
		t.Errorf("%q %v at %d", got, err, p.Mark().Offset)
	}
}

func TestClosed(t *testing.T) {
	db, err := Open(t.TempDir(), Options{MinFreeBytes: 1})
	must(t, err)
	p, err := db.Partition(topic, 0)
	must(t, err, db.Close())
	if _, _, err := p.Get(nil, "k"); !errors.Is(err, ErrClosed) {
		t.Errorf("Get after Close: %v", err)
	}
	if _, err := db.Partition(topic, 0); !errors.Is(err, ErrClosed) {
		t.Errorf("Partition after Close: %v", err)
	}
}

// TestATornHeaderIsNoSegment cuts the newest segment within its header: the bytes missing are zeros, as those of its number
// are, so that what is left reads like a whole one.
func TestATornHeaderIsNoSegment(t *testing.T) {
	for size := range int64(segmentHeader) {
		dir := t.TempDir()
		db := open(t, dir, Options{SegmentBytes: 8 << 10, FlushInterval: time.Hour})
		_, b := take(t, db, 0)
		must(t, b.Put("a", []byte("1"), 0, 0))
		must(t, b.Apply(Mark{Offset: 1}))
		must(t, db.flush())
		db.log.Lock()
		g, err := db.newSegment()
		db.log.Unlock()
		must(t, err)
		must(t, os.Truncate(g.path, size))
		crashed := t.TempDir()
		must(t, os.CopyFS(crashed, os.DirFS(dir)))

		again := open(t, crashed, Options{SegmentBytes: 8 << 10})
		p, b := take(t, again, 0)
		if again.Heals() != 0 || p.Mark().Offset != 1 {
			t.Fatalf("cut to %d bytes: %d heals, at %d", size, again.Heals(), p.Mark().Offset)
		}
		must(t, b.Put("b", []byte("2"), 0, 0))
		must(t, b.Apply(Mark{Offset: 2}))
		must(t, p.Scan(func(string, []byte) bool { return true }))
	}
}
