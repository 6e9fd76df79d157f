package stream

import (
	"math/bits"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// fetchPool lends the client memory for what it fetches: a batch comes back when the last of its records is recycled,
// once it is committed. Of a backlog that is more memory than anything else takes. Lent by size, as a returned slice is
// cleared as a whole. Safe for concurrent use; clients share it.
type fetchPool struct {
	bytes   [maxLent + 1]sync.Pool // of *[]byte with room for 2^n
	records [maxLent + 1]sync.Pool // of *[]kgo.Record with room for 2^n
}

var fetched fetchPool

// maxLent is the logarithm of the largest slice that is kept.
const maxLent = 22

// GetDecompressBytes implements [kgo.PoolDecompressBytes]. Events compress to a third, or less.
func (p *fetchPool) GetDecompressBytes(compressed []byte, _ kgo.CompressionCodecType) []byte {
	return lend[byte](&p.bytes, 4*len(compressed))
}

// PutDecompressBytes implements [kgo.PoolDecompressBytes].
func (p *fetchPool) PutDecompressBytes(b []byte) { takeBack(&p.bytes, b) }

// GetRecords implements [kgo.PoolRecords].
func (p *fetchPool) GetRecords(n int) []kgo.Record { return lend[kgo.Record](&p.records, n) }

// PutRecords implements [kgo.PoolRecords].
func (p *fetchPool) PutRecords(recs []kgo.Record) {
	clear(recs) // of a batch whose end was cut off, or of which a part had been read before
	takeBack(&p.records, recs)
}

func lend[T any](pools *[maxLent + 1]sync.Pool, n int) []T {
	class := bits.Len(uint(max(n, 1) - 1))
	if class > maxLent {
		return nil // the client makes what it needs
	}
	if s, ok := pools[class].Get().(*[]T); ok {
		return *s
	}
	return make([]T, 0, 1<<class)
}

func takeBack[T any](pools *[maxLent + 1]sync.Pool, s []T) {
	if class := bits.Len(uint(cap(s))) - 1; class >= 0 && class <= maxLent {
		s = s[:0]
		pools[class].Put(&s)
	}
}
