package store

import (
	"encoding/binary"
	"hash/crc32"
)

// A segment is a header and then frames; a frame is a header and then entries,
// each of which begins at a multiple of 8 bytes. Numbers are little-endian.
//
//	segment   magic (8) sequence number (8)
//	frame     crc (4) length of what follows the header (4)
//	          topic id (16) partition (4) entries (4) generation (8)
//	          mark: offset (8) stamp (8) now (8)
//	entry     crc (4) length of the key (4) length of the value + 1, 0 for a
//	          deleted key (4) zero (4) due (8) key value
//
// A checksum covers what follows it: the rest of a frame's header, or the rest
// of an entry. The generation of a partition grows with each wipe: what stands
// before the first frame of a higher one is gone.
const (
	segmentMagic  = "concord1"
	segmentHeader = 16
	frameHeader   = 64
	entryHeader   = 24
	align         = 8

	// maxFrame is how far into a segment an entry can be addressed.
	maxFrame = 1<<24*align - segmentHeader
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// frame is a decoded frame header.
type frame struct {
	id      partitionID
	gen     uint64
	mark    Mark
	body    int // bytes of its entries
	entries int
}

func (f *frame) put(b []byte) {
	le := binary.LittleEndian
	le.PutUint32(b[4:], uint32(f.body))
	copy(b[8:], f.id.topic[:])
	le.PutUint32(b[24:], uint32(f.id.n))
	le.PutUint32(b[28:], uint32(f.entries))
	le.PutUint64(b[32:], f.gen)
	le.PutUint64(b[40:], uint64(f.mark.Offset))
	le.PutUint64(b[48:], uint64(f.mark.Stamp))
	le.PutUint64(b[56:], uint64(f.mark.Now))
	le.PutUint32(b, checksum(b[4:frameHeader]))
}

// parseFrame decodes a frame header and checks it.
func parseFrame(b []byte) (f frame, ok bool) {
	le := binary.LittleEndian
	if len(b) < frameHeader || le.Uint32(b) != checksum(b[4:frameHeader]) {
		return f, false
	}
	f.body = int(le.Uint32(b[4:]))
	copy(f.id.topic[:], b[8:])
	f.id.n = int32(le.Uint32(b[24:]))
	f.entries = int(le.Uint32(b[28:]))
	f.gen = le.Uint64(b[32:])
	f.mark = Mark{Offset: int64(le.Uint64(b[40:])), Stamp: int64(le.Uint64(b[48:])), Now: int64(le.Uint64(b[56:]))}
	return f, true
}

// entry is a decoded entry; key and value are parts of what it was read from.
type entry struct {
	key, value []byte
	deleted    bool
	due        int64
}

// appendEntry appends an entry and its padding.
func appendEntry(b []byte, key string, value []byte, deleted bool, due int64) []byte {
	at := len(b)
	var h [entryHeader]byte
	le := binary.LittleEndian
	le.PutUint32(h[4:], uint32(len(key)))
	if !deleted {
		le.PutUint32(h[8:], uint32(len(value))+1)
	}
	le.PutUint64(h[16:], uint64(due))
	b = append(b, h[:]...)
	b = append(b, key...)
	b = append(b, value...)
	le.PutUint32(b[at:], checksum(b[at+4:]))
	return append(b, zeros[:padding(len(b)-at)]...)
}

var zeros [align]byte

func padding(n int) int { return -n & (align - 1) }

// entrySize is what the entry at the start of b takes, padding included, as far
// as its header can be trusted.
func entrySize(b []byte) (size int, ok bool) {
	if len(b) < entryHeader {
		return 0, false
	}
	n := uint64(entryHeader) + uint64(binary.LittleEndian.Uint32(b[4:]))
	if v := binary.LittleEndian.Uint32(b[8:]); v > 0 {
		n += uint64(v) - 1
	}
	if n > maxFrame {
		return 0, false
	}
	return int(n) + padding(int(n)), true
}

// parseEntry decodes the entry at the start of b and checks it.
func parseEntry(b []byte) (e entry, ok bool) {
	if _, ok := entrySize(b); !ok {
		return e, false
	}
	le := binary.LittleEndian
	klen, vlen := int(le.Uint32(b[4:])), le.Uint32(b[8:])
	end := entryHeader + klen
	if vlen > 0 {
		end += int(vlen) - 1
	}
	if end > len(b) || le.Uint32(b) != checksum(b[4:end]) {
		return e, false
	}
	return entry{
		key: b[entryHeader : entryHeader+klen], value: b[entryHeader+klen : end : end],
		deleted: vlen == 0, due: int64(le.Uint64(b[16:])),
	}, true
}
