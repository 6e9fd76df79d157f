package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
)

// segment is one file of the log. What is not said to be otherwise is guarded by
// DB.log.
type segment struct {
	seq   uint64
	place int // in DB.segments
	path  string
	file  *os.File
	size  int64
	live  atomic.Int64 // bytes that the index still points to, by size class

	synced int64 // bytes known to be on disk
	sealed bool
	frames []indexed // what the file holds, until the file's index is written
}

// indexed is what a frame brings to the index.
type indexed struct {
	frame
	slots []indexedEntry
}

type indexedEntry struct {
	slot    slot
	due     int64
	deleted bool
}

func segmentName(seq uint64) string { return fmt.Sprintf("%012d.log", seq) }

// newSegment begins a segment. The caller holds DB.log.
func (db *DB) newSegment() (*segment, error) {
	if len(db.free) == 0 {
		return nil, errors.New("too many segments")
	}
	db.lastSeq++
	g := &segment{seq: db.lastSeq, path: filepath.Join(db.path(), segmentName(db.lastSeq)), size: segmentHeader}
	f, err := os.OpenFile(g.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	g.file = f
	head := binary.LittleEndian.AppendUint64([]byte(segmentMagic), g.seq)
	if _, err := db.opt.write(f, head, 0); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(g.path))
	}
	db.adopt(g)
	return g, nil
}

// adopt gives a segment its place.
func (db *DB) adopt(g *segment) {
	g.place = db.free[len(db.free)-1]
	db.free = db.free[:len(db.free)-1]
	db.segments[g.place].Store(g)
	db.inOrder = append(db.inOrder, g)
}

// append writes a frame to the log, gives its entries their places, and returns
// what it brings to the index.
func (db *DB) append(b []byte, f frame, ops []op) (indexed, error) {
	db.log.Lock()
	defer db.log.Unlock()
	if len(b) > maxFrame {
		return indexed{}, fmt.Errorf("a batch of %d bytes is more than %d", len(b), maxFrame)
	}
	g := db.active
	if g == nil || g.size > segmentHeader && g.size+int64(len(b)) > db.opt.SegmentBytes {
		next, err := db.newSegment()
		if err != nil {
			return indexed{}, err
		}
		if g != nil {
			g.sealed = true
			db.wake()
		}
		g, db.active = next, next
	}
	start := g.size
	if _, err := db.opt.write(g.file, b, start); err != nil {
		return indexed{}, err // what was written is written over
	}
	g.size += int64(len(b))
	db.dirty.Store(true)
	in := indexed{frame: f, slots: make([]indexedEntry, 0, f.entries)}
	for i := range ops {
		if o := &ops[i]; o.at > 0 {
			in.slots = append(in.slots, indexedEntry{o.slot.located(g.place, start+int64(o.at), o.size), o.due, o.deleted})
		}
	}
	g.frames = append(g.frames, in)
	return in, nil
}

// read reads the entry a slot points to, into the room behind dst. The entry is
// valid until dst is used again.
func (db *DB) read(s slot, dst []byte) (entry, []byte, error) {
	g := db.segments[s.ref.place()].Load()
	if g == nil {
		return entry{}, dst, db.damaged("an index points to no segment")
	}
	want := s.ref.class() * classUnit
	for {
		if cap(dst) < want {
			dst = make([]byte, want, want+want/4)
		}
		dst = dst[:want]
		n, err := g.file.ReadAt(dst, s.ref.at())
		if err != nil && !errors.Is(err, io.EOF) {
			return entry{}, dst, fmt.Errorf("read %s: %w", filepath.Base(g.path), err)
		}
		size, ok := entrySize(dst[:n])
		if ok && size > n && s.ref.class() == maxClass && want < size {
			want = size
			continue
		}
		e, ok := parseEntry(dst[:n])
		if !ok {
			return entry{}, dst, db.damaged(fmt.Sprintf("entry at %d of %s", s.ref.at(), filepath.Base(g.path)))
		}
		return e, dst, nil
	}
}

// damaged notes that stored bytes are not what was written.
func (db *DB) damaged(what string) error {
	err := fmt.Errorf("%w: %s", ErrCorrupt, what)
	db.fail(err)
	return err
}
