package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// flush syncs the log, says so in the checkpoint, and removes the segments that
// were rewritten by then.
func (db *DB) flush() error {
	if err := db.acquire(); err != nil {
		return err
	}
	defer db.release()
	db.upkeep.Lock()
	defer db.upkeep.Unlock()
	type part struct {
		g    *segment
		size int64
	}
	db.log.Lock()
	var unsynced []part
	var done checkpoint
	for _, g := range db.inOrder {
		if g.synced < g.size {
			unsynced = append(unsynced, part{g, g.size})
		}
		done = checkpoint{g.seq, g.size}
	}
	emptied := db.emptied
	db.emptied = nil
	db.log.Unlock()
	if len(unsynced) > 0 {
		if err := db.syncDir(); err != nil {
			return db.classify(err)
		}
	}
	for _, u := range unsynced {
		if err := u.g.file.Sync(); err != nil {
			return db.classify(err)
		}
	}
	db.log.Lock()
	for _, u := range unsynced {
		u.g.synced = u.size
	}
	db.log.Unlock()
	if done.Seq > 0 {
		b, err := json.Marshal(done)
		if err != nil {
			return fmt.Errorf("encode %s: %w", checkpointFile, err)
		}
		if err := db.replaceFile(checkpointFile, b); err != nil {
			return db.classify(err)
		}
	}
	return db.removeSegments(emptied)
}

func (db *DB) removeSegments(gone []*segment) error {
	var errs []error
	for _, g := range gone {
		db.segments[g.place].Store(nil)
		errs = append(errs, g.file.Close(), os.Remove(g.path))
		if err := os.Remove(g.indexPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
		db.log.Lock()
		db.free = append(db.free, g.place)
		db.log.Unlock()
	}
	return errors.Join(errs...)
}

// minLive is the share of the log that stays live: below it the oldest segment
// is rewritten. A state is so written about 1.3 times, and takes up to twice its
// size on disk.
const minLive = 0.5

// compact writes the indexes of sealed segments, and rewrites segments until
// enough of the log is live.
func (db *DB) compact(ctx context.Context) error {
	for ctx.Err() == nil {
		again, err := db.compactOne()
		if err != nil || !again {
			return err
		}
	}
	return nil
}

func (db *DB) compactOne() (bool, error) {
	if err := db.acquire(); err != nil {
		return false, err
	}
	defer db.release()
	db.upkeep.Lock()
	defer db.upkeep.Unlock()
	var (
		size, live int64
		oldest     *segment
		fresh      []*segment
	)
	db.log.Lock()
	for i, g := range db.inOrder {
		size += g.size
		live += g.live.Load()
		if g.sealed && i == 0 {
			oldest = g
		}
		if g.sealed && g.frames != nil {
			fresh = append(fresh, g)
		}
	}
	db.log.Unlock()
	for _, g := range fresh { // nothing is added to a sealed segment
		if err := g.writeIndex(g.frames); err != nil {
			return false, db.classify(err)
		}
		db.log.Lock()
		g.frames = nil
		db.log.Unlock()
	}
	if oldest == nil || float64(live) >= minLive*float64(size) {
		return false, nil
	}
	return true, db.rewrite(oldest)
}

// rewriteBytes is how much is copied while a partition cannot be written.
const rewriteBytes = 256 << 10

// rewrite copies what is live in the oldest segment to the end of the log.
// Deletions are not copied, as there is nothing older for them to hide. The
// segment is removed at the next flush, when the copy is on disk.
func (db *DB) rewrite(g *segment) error {
	frames, err := g.contents()
	if err != nil {
		return err
	}
	entries := make(map[partitionID][]indexedEntry)
	for i := range frames {
		entries[frames[i].id] = append(entries[frames[i].id], frames[i].slots...)
	}
	for id, rest := range entries {
		db.mu.Lock()
		s := db.shard(id)
		db.mu.Unlock()
		// A frame without entries keeps the mark, which may stand nowhere else.
		for first := true; first || len(rest) > 0; first = false {
			if rest, err = s.move(rest); err != nil {
				return err
			}
		}
	}
	db.log.Lock()
	defer db.log.Unlock()
	db.inOrder = db.inOrder[1:]
	db.emptied = append(db.emptied, g)
	db.dirty.Store(true)
	return nil
}

// move appends a frame with those of the entries that are live, up to a bound,
// and returns the entries it has not looked at.
func (s *shard) move(entries []indexedEntry) ([]indexedEntry, error) {
	s.apply.Lock()
	defer s.apply.Unlock()
	buf := make([]byte, frameHeader, rewriteBytes)
	var ops []op
	var room []byte
	for len(entries) > 0 && len(buf) < rewriteBytes {
		e := entries[0]
		entries = entries[1:]
		s.mu.RLock()
		at, ok := s.table.get(e.slot)
		s.mu.RUnlock()
		if !ok || at != e.slot || e.deleted {
			continue // it was written again since
		}
		// Nobody else writes to the partition, so at stays right.
		got, b, err := s.db.read(at, room)
		room = b
		if err != nil {
			return nil, err
		}
		from := len(buf)
		buf = appendEntry(buf, string(got.key), got.value, false, got.due)
		ops = append(ops, op{slot: e.slot, at: from, size: len(buf) - from, oldDue: got.due, due: got.due})
	}
	return entries, s.write(buf, ops, *s.mark.Load())
}
