package store

import (
	"bytes"
	"errors"
	"fmt"
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

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.uber.org/goleak"
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
	if !slices.Equal(keys, []string{"a=4", "c=3"}) {
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

// TestCrashKeepsAPrefix drops what was not flushed, as kill -9 does: what is
// left is exactly what some mark says.
func TestCrashKeepsAPrefix(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	mem := vfs.NewCrashableMem()
	db := open(t, "data", Options{fs: mem, MemTableBytes: 64 << 10, FlushInterval: time.Hour})
	for _, dir := range []string{"/", "data"} { // or the crash loses the directory itself
		d, err := mem.OpenDir(dir)
		must(t, err, d.Sync(), d.Close())
	}
	_, b := take(t, db, 0)
	model := map[int64]map[string]string{0: {}}
	state := map[string]string{}
	for off := int64(1); off <= 3000; off++ {
		for range rng.IntN(4) {
			key := fmt.Sprintf("k%d", rng.IntN(50))
			if rng.IntN(5) == 0 {
				delete(state, key)
				must(t, b.Delete(key, 0))
				continue
			}
			value := fmt.Sprintf("%d-%s", off, strings.Repeat("v", rng.IntN(100)))
			state[key] = value
			must(t, b.Put(key, []byte(value), 0, 0))
		}
		must(t, b.Apply(Mark{Offset: off}))
		copied := make(map[string]string, len(state))
		for k, v := range state {
			copied[k] = v
		}
		model[off] = copied
		if off%1000 != 0 {
			continue
		}
		crashed := open(t, "data", Options{fs: mem.CrashClone(vfs.CrashCloneCfg{})})
		if crashed.Heals() != 0 {
			t.Errorf("a crash at %d counts as corruption", off)
		}
		cp, _ := take(t, crashed, 0)
		got := map[string]string{}
		must(t, cp.Scan(func(key string, value []byte) bool { got[key] = string(value); return true }))
		at := cp.Mark().Offset
		t.Logf("crash at %d: store is at %d", off, at)
		if at == 0 {
			t.Errorf("nothing was ever flushed by offset %d", off)
		}
		if want := model[at]; len(got) != len(want) {
			t.Errorf("store at %d has %d keys, want %d", at, len(got), len(want))
		}
		for k, v := range model[at] {
			if got[k] != v {
				t.Errorf("store at %d: %s is %q, want %q", at, k, got[k], v)
			}
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
		if names, err := filepath.Glob(filepath.Join(dir, "db", "*.sst")); err == nil && len(names) > 0 {
			return
		}
		<-tick.C
	}
	t.Error("nothing reached the disk")
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

// TestFailingFlush has the disk refuse new files: the database says so before
// anything relies on it.
func TestFailingFlush(t *testing.T) {
	var full atomic.Bool
	inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind == errorfs.OpFileWrite && strings.HasSuffix(op.Path, ".sst") {
			return syscall.ENOSPC
		}
		return nil
	})
	db := open(t, "data", Options{fs: errorfs.Wrap(vfs.NewMem(), inj), FlushInterval: time.Hour})
	_, b := take(t, db, 0)
	full.Store(true)
	must(t, b.Put("k", []byte("v"), 0, 0), b.Apply(Mark{Offset: 1}))
	pdb, err := db.acquire()
	must(t, err)
	if _, err := pdb.AsyncFlush(); err != nil {
		t.Fatal(err)
	}
	db.refs.Done()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 10_000 {
		if err := db.Check(); err != nil {
			if !errors.Is(err, ErrWrite) {
				t.Errorf("Check: %v", err)
			}
			full.Store(false) // so that the flush, which is tried again, ends
			return
		}
		<-tick.C
	}
	full.Store(false)
	t.Error("a failing flush was not noticed")
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
