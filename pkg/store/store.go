package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// Errors a caller may branch on with [errors.Is].
var (
	// ErrLocked says that the data directory is already open, usually in
	// another process.
	ErrLocked = errors.New("data directory is in use by another process")
	// ErrCorrupt says that stored bytes are damaged. The database has to be
	// reset and rebuilt; see [DB.Reset].
	ErrCorrupt = errors.New("store is corrupt")
	// ErrStale says that the partition handle was replaced by a newer one, or
	// that the database was reset. Nothing was written.
	ErrStale = errors.New("store partition handle is stale")
	// ErrWrite says that the database cannot write to its disk.
	ErrWrite = errors.New("store cannot write to its disk")
	// ErrClosed says that the database has been closed.
	ErrClosed = errors.New("store is closed")
)

// Options of a database. The zero value takes the defaults named.
type Options struct {
	SegmentBytes  int64         // size of one file of the log (64 MiB)
	FlushInterval time.Duration // how often written data is synced to the disk (5 s)
	MinFreeBytes  uint64        // refuse to commit with less disk space left (64 MiB)
	Logger        *zap.Logger   // nil logs nothing; keys and values never reach it

	// write is File.WriteAt; tests replace it by a disk that fails.
	write func(f *os.File, b []byte, at int64) (int, error)
}

func (o *Options) setDefaults() {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 64 << 20
	}
	if o.FlushInterval == 0 {
		o.FlushInterval = 5 * time.Second
	}
	if o.MinFreeBytes == 0 {
		o.MinFreeBytes = 64 << 20
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.write == nil {
		o.write = (*os.File).WriteAt
	}
}

// DB is one local database. It is safe for concurrent use.
type DB struct {
	dir  string // holds the lock; the database is in dir/db
	opt  Options
	lock *os.File

	heals   atomic.Int64
	failure atomic.Pointer[error] // what Check returns
	dirty   atomic.Bool           // written since the last flush

	// life is held by whoever uses the log or an index, and taken away from all
	// of them by Reset and Close.
	life   sync.RWMutex
	opened bool // guarded by life
	closed bool // guarded by life

	mu      sync.Mutex
	shards  map[partitionID]*shard
	handles map[partitionID]*Partition
	meta    map[string][]byte

	// log guards what follows, but for loads of segments. It is taken after
	// shard.apply, never before.
	log      sync.Mutex
	segments *[1 << placeBits]atomic.Pointer[segment]
	free     []int      // places without a segment
	inOrder  []*segment // oldest first
	active   *segment
	lastSeq  uint64
	emptied  []*segment // to be removed at the next flush

	upkeep  sync.Mutex // one flush or rewrite at a time
	stop    context.CancelFunc
	stopped chan struct{}
	work    chan struct{} // a segment was sealed
}

// Open opens or creates the database in dir and locks it. A directory in use
// by another process is refused with [ErrLocked]. A corrupt database is wiped,
// which [DB.Heals] counts.
func Open(dir string, opt Options) (*DB, error) {
	opt.setDefaults()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	lock, err := LockFile(filepath.Join(dir, "LOCK"))
	if err != nil {
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	db := &DB{dir: dir, opt: opt, lock: lock, work: make(chan struct{}, 1)}
	if err := db.open(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	db.stop, db.stopped = cancel, make(chan struct{})
	go db.maintain(ctx)
	return db, nil
}

func (db *DB) path() string { return filepath.Join(db.dir, "db") }

// open opens the database, wiping it once when it does not open for a reason
// that wiping cures. The caller holds life, or is alone.
func (db *DB) open() error {
	err := db.recover()
	if err != nil && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, fs.ErrPermission) {
		db.opt.Logger.Warn("store does not open: wiping it, the changelog rebuilds it", zap.Error(err))
		db.heals.Add(1)
		db.closeFiles()
		if err := os.RemoveAll(db.path()); err != nil {
			return fmt.Errorf("wipe corrupt store: %w", err)
		}
		err = db.recover()
	}
	if err != nil {
		db.closeFiles()
		return fmt.Errorf("open store %s: %w", filepath.Clean(db.dir), err)
	}
	db.opened = true
	db.failure.Store(nil)
	db.checkSpace()
	return nil
}

func (db *DB) closeFiles() {
	for _, g := range append(db.inOrder, db.emptied...) {
		if err := g.file.Close(); err != nil {
			db.opt.Logger.Warn("close a segment of the store", zap.Error(err))
		}
	}
	db.inOrder, db.emptied, db.active = nil, nil, nil
}

func (db *DB) fail(err error) {
	if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrWrite) {
		err = fmt.Errorf("%w: %w", ErrWrite, err)
	}
	db.failure.CompareAndSwap(nil, &err)
}

// Check returns nil while the database can be written. It returns an error
// that is [ErrWrite] when the disk is full or a flush failed, and
// [ErrCorrupt] when damage was found. It costs one atomic load, so that it can
// be asked before every commit.
func (db *DB) Check() error {
	if err := db.failure.Load(); err != nil {
		return *err
	}
	return nil
}

var errNoSpace = errors.New("disk is nearly full")

// checkSpace fails the database while the disk has too little space, and
// forgives it when space came back.
func (db *DB) checkSpace() {
	left, err := freeBytes(db.dir)
	if err != nil {
		return // not every file system can tell; a failing write still will
	}
	if left < db.opt.MinFreeBytes {
		db.fail(fmt.Errorf("%w: %d bytes free, %d needed", errNoSpace, left, db.opt.MinFreeBytes))
		return
	}
	if err := db.failure.Load(); err != nil && errors.Is(*err, errNoSpace) {
		db.failure.CompareAndSwap(err, nil)
	}
}

func (db *DB) wake() {
	select {
	case db.work <- struct{}{}:
	default:
	}
}

// maintain syncs and compacts the log until ctx ends.
func (db *DB) maintain(ctx context.Context) {
	defer close(db.stopped)
	tick := time.NewTicker(min(db.opt.FlushInterval, time.Second))
	defer tick.Stop()
	last := time.Now()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-db.work:
			err = db.compact(ctx)
		case now := <-tick.C:
			db.checkSpace()
			if now.Sub(last) < db.opt.FlushInterval || !db.dirty.Swap(false) {
				continue
			}
			last = now
			err = db.flush()
		}
		if err != nil && !errors.Is(err, ErrStale) && !errors.Is(err, ErrClosed) {
			db.fail(err)
		}
	}
}

// acquire pins the open database until release.
func (db *DB) acquire() error {
	db.life.RLock()
	switch {
	case db.opened:
		return nil
	case db.closed:
		db.life.RUnlock()
		return ErrClosed
	}
	db.life.RUnlock()
	return ErrStale
}

func (db *DB) release() { db.life.RUnlock() }

// detach makes every handle stale. The caller holds life.
func (db *DB) detach() {
	db.opened = false
	for _, p := range db.handles {
		p.stale.Store(true)
	}
}

// Reset wipes a corrupt database. Every partition handle becomes stale; its
// owners take new ones and restore from offset 0. It counts as a heal.
func (db *DB) Reset() error {
	db.life.Lock()
	defer db.life.Unlock()
	if !db.opened {
		return nil
	}
	db.detach()
	db.closeFiles()
	if err := os.RemoveAll(db.path()); err != nil {
		return fmt.Errorf("wipe corrupt store: %w", err)
	}
	db.heals.Add(1)
	return db.open()
}

// Heals is how often the database has been wiped for corruption since Open.
func (db *DB) Heals() int64 { return db.heals.Load() }

// Close flushes and closes the database and releases the directory.
func (db *DB) Close() error {
	db.stop()
	<-db.stopped
	err := db.flush()
	db.life.Lock()
	defer db.life.Unlock()
	if db.closed {
		return nil
	}
	db.detach()
	db.closed = true
	db.closeFiles()
	return errors.Join(err, db.lock.Close())
}

const metaFile = "META"

// Meta returns a value kept beside the partitions, and whether there is one.
func (db *DB) Meta(name string) ([]byte, bool, error) {
	if err := db.acquire(); err != nil {
		return nil, false, err
	}
	defer db.release()
	db.mu.Lock()
	defer db.mu.Unlock()
	value, ok := db.meta[name]
	return value, ok, nil
}

// SetMeta keeps a value beside the partitions. It is on disk when SetMeta
// returns; not for anything frequent.
func (db *DB) SetMeta(name string, value []byte) error {
	if err := db.acquire(); err != nil {
		return err
	}
	defer db.release()
	db.mu.Lock()
	defer db.mu.Unlock()
	db.meta[name] = value
	b, err := json.Marshal(db.meta)
	if err != nil {
		return fmt.Errorf("encode %s: %w", metaFile, err)
	}
	return db.classify(db.replaceFile(metaFile, b))
}

// replaceFile replaces a small file of the database; it is on disk when it returns.
func (db *DB) replaceFile(name string, b []byte) error {
	path := filepath.Join(db.path(), name)
	f, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return db.syncDir()
}

func (db *DB) syncDir() error {
	d, err := os.Open(db.path())
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// classify turns an error of the disk into one a caller can branch on.
func (db *DB) classify(err error) error {
	if err == nil || errors.Is(err, ErrWrite) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrWrite, err)
}
