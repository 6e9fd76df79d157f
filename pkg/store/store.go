package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
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
	CacheBytes    int64         // block cache (64 MiB)
	MemTableBytes uint64        // bound of one memtable (32 MiB); three at most are held
	FlushInterval time.Duration // how often written data reaches the disk (5 s)
	MinFreeBytes  uint64        // refuse to commit with less disk space left (64 MiB)
	Logger        *zap.Logger   // nil logs nothing; keys and values never reach it

	fs vfs.FS // replaced by tests that need a failing disk
}

func (o *Options) setDefaults() {
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 32 << 20
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
	if o.fs == nil {
		o.fs = vfs.Default
	}
}

// DB is one local database. It is safe for concurrent use.
type DB struct {
	dir  string // holds the lock; the database is in dir/db
	opt  Options
	lock *pebble.Lock

	heals   atomic.Int64
	failure atomic.Pointer[error] // what Check returns
	dirty   atomic.Bool           // written since the last flush

	mu      sync.Mutex
	pdb     *pebble.DB // nil while resetting and after Close
	refs    sync.WaitGroup
	closed  bool
	handles map[partitionID]*Partition

	stop    context.CancelFunc
	stopped chan struct{}
}

// Open opens or creates the database in dir and locks it. A directory in use
// by another process is refused with [ErrLocked]. A corrupt database is wiped,
// which [DB.Heals] counts.
func Open(dir string, opt Options) (*DB, error) {
	opt.setDefaults()
	if err := opt.fs.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	lock, err := pebble.LockDirectory(dir, opt.fs)
	switch {
	case errors.Is(err, fs.ErrPermission) && !isHeld(err):
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	case err != nil:
		return nil, fmt.Errorf("lock data directory %s: %w (%w)", dir, ErrLocked, err)
	}
	db := &DB{dir: dir, opt: opt, lock: lock, handles: make(map[partitionID]*Partition)}
	if err := db.open(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	db.stop, db.stopped = cancel, make(chan struct{})
	go db.maintain(ctx)
	return db, nil
}

// isHeld says that a lock failed because somebody holds it (fcntl may answer
// EACCES as well as EAGAIN).
func isHeld(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES)
}

func (db *DB) path() string { return db.opt.fs.PathJoin(db.dir, "db") }

// open opens the database, wiping it once when it does not open for a reason
// that wiping cures.
func (db *DB) open() error {
	pdb, err := pebble.Open(db.path(), db.pebbleOptions())
	if err != nil && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, fs.ErrPermission) {
		db.opt.Logger.Warn("store does not open: wiping it, the changelog rebuilds it", zap.Error(err))
		db.heals.Add(1)
		if err := db.opt.fs.RemoveAll(db.path()); err != nil {
			return fmt.Errorf("wipe corrupt store: %w", err)
		}
		pdb, err = pebble.Open(db.path(), db.pebbleOptions())
	}
	if err != nil {
		return fmt.Errorf("open store %s: %w", filepath.Clean(db.dir), err)
	}
	db.pdb = pdb
	db.failure.Store(nil)
	db.checkSpace()
	return nil
}

func (db *DB) pebbleOptions() *pebble.Options {
	o := &pebble.Options{
		FS:                          db.opt.fs,
		DisableWAL:                  true,
		CacheSize:                   db.opt.CacheBytes,
		MemTableSize:                db.opt.MemTableBytes,
		MemTableStopWritesThreshold: 3,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       64,
		FormatMajorVersion:          pebble.FormatNewest,
		Logger:                      logger{db.opt.Logger.Sugar()},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { db.fail(err) },
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				db.fail(fmt.Errorf("%w: %w", ErrCorrupt, info.Details))
			},
		},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		// A state is read about as often as it is written, and both wait for it; the disk is the cheaper good.
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	}
	return o
}

// logger keeps Pebble's own lines at debug level. Fatalf must not return:
// Pebble calls it when its files and its memory no longer agree.
type logger struct{ z *zap.SugaredLogger }

func (l logger) Infof(format string, args ...any)  { l.z.Debugf(format, args...) }
func (l logger) Errorf(format string, args ...any) { l.z.Warnf(format, args...) }
func (l logger) Fatalf(format string, args ...any) {
	panic("store: " + fmt.Sprintf(format, args...))
}

func (db *DB) fail(err error) {
	switch {
	case errors.Is(err, ErrCorrupt):
	case pebble.IsCorruptionError(err):
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	default:
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
	usage, err := db.opt.fs.GetDiskUsage(db.dir)
	if err != nil {
		return // not every file system can tell; a failing flush still will
	}
	if usage.AvailBytes < db.opt.MinFreeBytes {
		db.fail(fmt.Errorf("%w: %d bytes free, %d needed", errNoSpace, usage.AvailBytes, db.opt.MinFreeBytes))
		return
	}
	if err := db.failure.Load(); err != nil && errors.Is(*err, errNoSpace) {
		db.failure.CompareAndSwap(err, nil)
	}
}

func (db *DB) maintain(ctx context.Context) {
	defer close(db.stopped)
	tick := time.NewTicker(min(db.opt.FlushInterval, time.Second))
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			db.checkSpace()
			if now.Sub(last) < db.opt.FlushInterval || !db.dirty.Swap(false) {
				continue
			}
			last = now
			if err := db.flush(); err != nil && !errors.Is(err, ErrStale) {
				db.fail(err)
			}
		}
	}
}

func (db *DB) flush() error {
	pdb, err := db.acquire()
	if err != nil {
		return err
	}
	defer db.refs.Done()
	return pdb.Flush()
}

// acquire pins the open database until refs.Done.
func (db *DB) acquire() (*pebble.DB, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	switch {
	case db.closed:
		return nil, ErrClosed
	case db.pdb == nil:
		return nil, ErrStale
	}
	db.refs.Add(1)
	return db.pdb, nil
}

// detach makes every handle stale and waits until nothing uses the database.
// It returns nil when another call is already at it.
func (db *DB) detach(closing bool) *pebble.DB {
	db.mu.Lock()
	pdb := db.pdb
	db.pdb = nil
	db.closed = db.closed || closing
	for _, p := range db.handles {
		p.stale.Store(true)
	}
	clear(db.handles)
	db.mu.Unlock()
	if pdb != nil {
		db.refs.Wait()
	}
	return pdb
}

// Reset wipes a corrupt database. Every partition handle becomes stale; its
// owners take new ones and restore from offset 0. It counts as a heal.
func (db *DB) Reset() error {
	pdb := db.detach(false)
	if pdb == nil {
		return nil
	}
	if err := pdb.Close(); err != nil {
		db.opt.Logger.Warn("close of the corrupt store", zap.Error(err))
	}
	if err := db.opt.fs.RemoveAll(db.path()); err != nil {
		return fmt.Errorf("wipe corrupt store: %w", err)
	}
	db.heals.Add(1)
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.open()
}

// Heals is how often the database has been wiped for corruption since Open.
func (db *DB) Heals() int64 { return db.heals.Load() }

// Close flushes and closes the database and releases the directory.
func (db *DB) Close() error {
	db.stop()
	<-db.stopped
	pdb := db.detach(true)
	if pdb == nil {
		return nil
	}
	return errors.Join(pdb.Flush(), pdb.Close(), db.lock.Close())
}

// Meta returns a value kept beside the partitions, and whether there is one.
func (db *DB) Meta(name string) ([]byte, bool, error) {
	pdb, err := db.acquire()
	if err != nil {
		return nil, false, err
	}
	defer db.refs.Done()
	return get(pdb, nil, metaKey(name))
}

// SetMeta keeps a value beside the partitions. It is on disk when SetMeta
// returns; not for anything frequent.
func (db *DB) SetMeta(name string, value []byte) error {
	pdb, err := db.acquire()
	if err != nil {
		return err
	}
	defer db.refs.Done()
	if err := pdb.Set(metaKey(name), value, pebble.NoSync); err != nil {
		return db.classify(err)
	}
	return db.classify(pdb.Flush())
}

// classify turns a Pebble error into one a caller can branch on.
func (db *DB) classify(err error) error {
	switch {
	case err == nil:
		return nil
	case pebble.IsCorruptionError(err):
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w: %w", ErrWrite, err)
	}
	return err
}

func get(pdb *pebble.DB, dst, key []byte) ([]byte, bool, error) {
	value, closer, err := pdb.Get(key)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return dst, false, nil
	case pebble.IsCorruptionError(err):
		return dst, false, fmt.Errorf("%w: %w", ErrCorrupt, err)
	case err != nil:
		return dst, false, err
	}
	dst = append(dst, value...)
	return dst, true, closer.Close()
}
