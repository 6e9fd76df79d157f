package wire

import (
	"crypto/sha256"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/concord-ats/concord/pkg/wire/avro"
)

// Record is a top record of the contract. Every pointer to one implements it.
type Record interface {
	// RecordName returns the Avro name, without the namespace.
	RecordName() string
	// AppendAvro appends the Avro bytes, without framing.
	AppendAvro(dst []byte) []byte
	// DecodeAvro replaces the record by the one in src, without framing. The error is an [*Error].
	DecodeAvro(src []byte) error
	// Reset makes it the zero record.
	Reset()

	index() int
	set(name string, r *reader)
}

// Identified is a record that is recognised by its identity and content.
type Identified interface {
	Record
	// ContentDigest returns the first 16 bytes of a SHA-256 over the fields that are not at their default, in name
	// order, without observed_at. Two deliveries of one event have the same digest, also when one was encoded with
	// a newer schema that adds fields, reorders them or widens a number. It costs no allocation.
	ContentDigest() Digest
}

func symbolIndex(symbols []string, symbol string) (int, bool) {
	i := slices.Index(symbols, symbol)
	return max(i, 0), i >= 0
}

func errSymbol(enum string, symbols []string) error {
	list := strings.Join(symbols, ", ")
	return &ValueError{Want: "one of " + list, text: "read " + enum + ": no such symbol, give one of " + list}
}

var contentBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

func contentBuffer() *[]byte {
	b, ok := contentBuffers.Get().(*[]byte)
	if !ok {
		b = new([]byte)
	}
	*b = (*b)[:0]
	return b
}

// contentSum returns the digest of the buffer and gives it back; one that grew large is left to the collector.
func contentSum(b *[]byte) Digest {
	sum := sha256.Sum256(*b)
	if cap(*b) <= 64<<10 {
		contentBuffers.Put(b)
	}
	return Digest(sum[:16])
}

// exactInt bounds the integers a double holds exactly.
const exactInt = 1 << 53

// Kinds of numbers in a content digest.
const (
	contentInteger  = 'i'
	contentFraction = 'f'
)

// appendContentLong and appendContentDouble write one form for an integer of either type, since a later schema may
// promote int to long to double.
func appendContentLong(dst []byte, v int64) []byte {
	return avro.AppendLong(append(dst, contentInteger), v)
}

func appendContentDouble(dst []byte, v float64) []byte {
	if v == math.Trunc(v) && math.Abs(v) <= exactInt {
		return appendContentLong(dst, int64(v))
	}
	if math.IsNaN(v) {
		v = math.NaN()
	}
	return avro.AppendDouble(append(dst, contentFraction), v)
}
