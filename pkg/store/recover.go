package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
)

// checkpoint says how far the log is known to be on disk: what stands before is
// complete or damaged, what stands behind it may have been torn by a crash of
// the machine and is cut off there.
type checkpoint struct {
	Seq  uint64 `json:"segment"`
	Size int64  `json:"size"`
}

const checkpointFile = "CHECKPOINT"

// recover reads the log into the index. An error but of the disk means that the
// log is damaged.
func (db *DB) recover() error {
	if err := os.MkdirAll(db.path(), 0o700); err != nil {
		return err
	}
	db.mu.Lock()
	db.shards, db.handles, db.meta = make(map[partitionID]*shard), make(map[partitionID]*Partition), make(map[string][]byte)
	db.mu.Unlock()
	db.segments = new([1 << placeBits]atomic.Pointer[segment])
	db.free, db.inOrder, db.emptied, db.active, db.lastSeq = db.free[:0], nil, nil, nil, 0
	for place := range len(db.segments) {
		db.free = append(db.free, place)
	}
	var done checkpoint
	if err := db.readFile(checkpointFile, &done); err != nil {
		return err
	}
	if err := db.readFile(metaFile, &db.meta); err != nil {
		return err
	}
	paths, err := db.listSegments()
	if err != nil {
		return err
	}
	torn := false
	for _, path := range paths {
		if torn {
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		if torn, err = db.load(path, done); err != nil {
			return err
		}
	}
	for i, g := range db.inOrder {
		if g.sealed = i < len(db.inOrder)-1 || g.frames == nil; !g.sealed {
			db.active = g
		}
	}
	db.wake()
	if done.Seq > db.lastSeq {
		return fmt.Errorf("%w: segment %d is missing", ErrCorrupt, done.Seq)
	}
	return db.loadDue()
}

func (db *DB) readFile(name string, v any) error {
	b, err := os.ReadFile(filepath.Join(db.path(), name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrCorrupt, name, err)
	}
	return nil
}

// listSegments returns the paths of the segments, oldest first.
func (db *DB) listSegments() ([]string, error) {
	entries, err := os.ReadDir(db.path())
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasSuffix(name, ".log"):
			out = append(out, filepath.Join(db.path(), name))
		case name == checkpointFile, name == metaFile, strings.HasSuffix(name, ".index"), strings.HasSuffix(name, ".new"):
		default:
			return nil, fmt.Errorf("%w: %s is of another version", ErrCorrupt, name)
		}
	}
	slices.Sort(out)
	return out, nil
}

// load brings a segment to the index. torn says that its end was cut off, and
// that what was written later is of no use.
func (db *DB) load(path string, done checkpoint) (torn bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	info, err := f.Stat()
	if err != nil {
		return false, errors.Join(err, f.Close())
	}
	g := &segment{path: path, file: f, size: info.Size()}
	var head [segmentHeader]byte
	_, err = f.ReadAt(head[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, errors.Join(err, f.Close())
	}
	if _, err := fmt.Sscanf(filepath.Base(path), "%d.log", &g.seq); err != nil {
		return false, errors.Join(fmt.Errorf("%w: name of %s: %w", ErrCorrupt, path, err), f.Close())
	}
	known := int64(0) // bytes that were on disk
	switch {
	case g.seq < done.Seq:
		known = g.size
	case g.seq == done.Seq:
		known = done.Size
	}
	if known == 0 && (g.size < segmentHeader || head == [segmentHeader]byte{}) { // begun, and nothing of it was on disk for certain
		return true, errors.Join(f.Close(), os.Remove(path))
	}
	if g.size < segmentHeader || string(head[:8]) != segmentMagic || binary.LittleEndian.Uint64(head[8:]) != g.seq {
		return false, errors.Join(fmt.Errorf("%w: header of %s", ErrCorrupt, filepath.Base(path)), f.Close())
	}
	db.adopt(g)
	db.lastSeq = g.seq
	frames, ok := g.readIndex()
	if ok && g.seq < done.Seq {
		for i := range frames {
			frames[i].relocate(g.place)
			db.replay(&frames[i])
		}
		g.synced = g.size
		return false, nil
	}
	g.frames = []indexed{}
	end, err := g.scan(func(in indexed) {
		db.replay(&in)
		g.frames = append(g.frames, in)
	})
	if err != nil {
		return false, err
	}
	if end < known {
		return false, fmt.Errorf("%w: %s at %d of %d", ErrCorrupt, filepath.Base(path), end, known)
	}
	if torn = end < g.size; torn {
		if err := f.Truncate(end); err != nil {
			return false, err
		}
		g.size = end
	}
	return torn, nil
}

// scan reads the frames of a segment one after the other and returns where the
// last whole one ends.
func (g *segment) scan(fn func(indexed)) (int64, error) {
	var head [frameHeader]byte
	var body []byte
	for at := int64(segmentHeader); ; {
		n, err := g.file.ReadAt(head[:], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return at, err
		}
		f, ok := parseFrame(head[:n])
		if !ok || at+frameHeader+int64(f.body) > g.size {
			return at, nil
		}
		body = slices.Grow(body[:0], f.body)[:f.body]
		if n, err = g.file.ReadAt(body, at+frameHeader); n < f.body {
			if err != nil && !errors.Is(err, io.EOF) {
				return at, err
			}
			return at, nil
		}
		in := indexed{frame: f, slots: make([]indexedEntry, 0, f.entries)}
		for rest := body; len(rest) > 0; {
			e, ok := parseEntry(rest)
			if !ok {
				return at, nil
			}
			size, _ := entrySize(rest)
			if size > len(rest) {
				return at, nil
			}
			key := identify(string(e.key)).located(g.place, at+frameHeader+int64(f.body-len(rest)), size)
			in.slots = append(in.slots, indexedEntry{key, e.due, e.deleted})
			rest = rest[size:]
		}
		if len(in.slots) != f.entries {
			return at, nil
		}
		fn(in)
		at += frameHeader + int64(f.body)
	}
}

// replay brings a frame to the index, without its due times.
func (db *DB) replay(in *indexed) {
	s := db.shard(in.id)
	if in.gen > s.gen {
		s.clear()
		s.gen = in.gen
	}
	for i := range in.slots {
		s.index(&in.slots[i])
	}
	m := in.mark
	s.mark.Store(&m)
}

// loadDue fills the due indexes with what is live.
func (db *DB) loadDue() error {
	for _, g := range db.inOrder {
		frames, err := g.contents()
		if err != nil {
			return err
		}
		for i := range frames {
			s := db.shard(frames[i].id)
			for _, e := range frames[i].slots {
				if at, ok := s.table.get(e.slot); ok && at == e.slot {
					s.due.add(e.due, e.slot.hash)
				}
			}
		}
	}
	return nil
}

// contents is what a segment holds.
func (g *segment) contents() ([]indexed, error) {
	if g.frames != nil {
		return g.frames, nil
	}
	if frames, ok := g.readIndex(); ok {
		for i := range frames {
			frames[i].relocate(g.place)
		}
		return frames, nil
	}
	var frames []indexed
	end, err := g.scan(func(in indexed) { frames = append(frames, in) })
	if err == nil && end < g.size {
		err = fmt.Errorf("%w: %s at %d of %d", ErrCorrupt, filepath.Base(g.path), end, g.size)
	}
	return frames, err
}

// relocate gives the entries of a frame the place that their segment has now.
func (in *indexed) relocate(place int) {
	for i := range in.slots {
		e := &in.slots[i]
		e.slot.ref = e.slot.ref&^segMask | ref(place)<<segShift
	}
}

// The index of a sealed segment stands in a file beside it, so that an open need
// not read the states. Where it is missing or damaged the segment is read.
const (
	indexedBytes = 24
	deletedDue   = math.MinInt64
)

func (g *segment) indexPath() string { return strings.TrimSuffix(g.path, ".log") + ".index" }

// writeIndex writes the index of a sealed segment.
func (g *segment) writeIndex(frames []indexed) error {
	le := binary.LittleEndian
	b := make([]byte, 16)
	le.PutUint64(b[8:], uint64(g.size))
	for i := range frames {
		in := &frames[i]
		at := len(b)
		b = append(b, make([]byte, frameHeader)...)
		in.put(b[at:])
		for _, e := range in.slots {
			b = le.AppendUint64(b, e.slot.hash)
			b = le.AppendUint64(b, uint64(e.slot.ref))
			due := e.due
			if e.deleted {
				due = deletedDue
			}
			b = le.AppendUint64(b, uint64(due))
		}
	}
	le.PutUint32(b, checksum(b[4:]))
	return os.WriteFile(g.indexPath(), b, 0o600)
}

// readIndex reads what writeIndex wrote of the segment as it is.
func (g *segment) readIndex() ([]indexed, bool) {
	le := binary.LittleEndian
	b, err := os.ReadFile(g.indexPath())
	if err != nil || len(b) < 16 || le.Uint32(b) != checksum(b[4:]) || int64(le.Uint64(b[8:])) != g.size {
		return nil, false
	}
	frames := []indexed{}
	for b = b[16:]; len(b) > 0; {
		f, ok := parseFrame(b)
		if b = b[min(frameHeader, len(b)):]; !ok || len(b) < f.entries*indexedBytes {
			return nil, false
		}
		in := indexed{frame: f, slots: make([]indexedEntry, f.entries)}
		for i := range in.slots {
			e := indexedEntry{slot: slot{le.Uint64(b), ref(le.Uint64(b[8:]))}, due: int64(le.Uint64(b[16:]))}
			if e.due == deletedDue {
				e.due, e.deleted = 0, true
			}
			in.slots[i] = e
			b = b[indexedBytes:]
		}
		frames = append(frames, in)
	}
	return frames, true
}
