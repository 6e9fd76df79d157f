package store

import "encoding/binary"

// Key layout. Everything of a partition has one prefix, so a range deletion
// wipes it; states and due times each sort within it.
//
//	0x00 name                                  meta
//	0x01 topic id (16) partition (4 BE) ...    a partition:
//	     0x00                                  mark: offset, stamp, now
//	     0x01 due (8 BE) key                   due index, value empty
//	     0x02 key                              state bytes
const (
	spaceMeta      = 0x00
	spacePartition = 0x01

	kindMark  = 0x00
	kindDue   = 0x01
	kindState = 0x02
	kindEnd   = 0x03

	prefixLen = 1 + 16 + 4
)

type partitionID struct {
	topic [16]byte
	n     int32
}

func metaKey(name string) []byte { return append([]byte{spaceMeta}, name...) }

func (id partitionID) prefix() []byte {
	b := make([]byte, 0, prefixLen)
	b = append(b, spacePartition)
	b = append(b, id.topic[:]...)
	return binary.BigEndian.AppendUint32(b, uint32(id.n))
}

func appendKey(dst, prefix []byte, kind byte, key string) []byte {
	dst = append(dst, prefix...)
	dst = append(dst, kind)
	return append(dst, key...)
}

func appendDue(dst, prefix []byte, due int64, key string) []byte {
	dst = append(dst, prefix...)
	dst = append(dst, kindDue)
	dst = binary.BigEndian.AppendUint64(dst, uint64(due))
	return append(dst, key...)
}

// Mark says how current a partition is.
type Mark struct {
	// Offset is the next changelog offset to apply; 0 is an empty partition.
	Offset int64
	// Stamp is when the partition was last known to be current, microseconds
	// since the epoch.
	Stamp int64
	// Now is the highest time any handler of the partition has seen,
	// microseconds since the epoch.
	Now int64
}

const markLen = 24

func (m Mark) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.Offset))
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.Stamp))
	return binary.BigEndian.AppendUint64(dst, uint64(m.Now))
}

func parseMark(b []byte) (Mark, bool) {
	if len(b) != markLen {
		return Mark{}, false
	}
	return Mark{
		Offset: int64(binary.BigEndian.Uint64(b)),
		Stamp:  int64(binary.BigEndian.Uint64(b[8:])),
		Now:    int64(binary.BigEndian.Uint64(b[16:])),
	}, true
}
