package wire

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Causes of a payload that is not a record. They are wrapped in an [*Error] with [CauseUndecodable].
var (
	errTruncated = errors.New("the payload ends inside a value")
	errVarint    = errors.New("a number has too many bytes")
	errRange     = errors.New("an int is out of range")
	errLength    = errors.New("a length is negative or beyond the payload")
	errCount     = errors.New("an array has more items than the payload can hold")
	errUTF8      = errors.New("a string is not UTF-8")
	errEnum      = errors.New("an enum has no such symbol")
	errBool      = errors.New("a boolean is neither 0 nor 1")
	errUnion     = errors.New("a union has no such branch")
	errTrailing  = errors.New("bytes follow the record")
)

// decoder reads one Avro payload. The payload is held as one string, so that decoded strings are parts of it and cost
// no allocation. The first error sticks: every later read returns a zero value, and no loop goes on.
type decoder struct {
	s   string
	p   int
	err error
}

// finish returns the first error, or one for bytes that follow the record.
func (d *decoder) finish(record string) error {
	if d.err == nil && d.p != len(d.s) {
		d.err = errTrailing
	}
	if d.err == nil {
		return nil
	}
	return &Error{Cause: CauseUndecodable, Err: &decodeError{record: record, at: d.p, err: d.err}}
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.s = d.s[:d.p] // nothing is left to read
}

func (d *decoder) long() int64 {
	if d.p < len(d.s) {
		if b := d.s[d.p]; b < 0x80 {
			d.p++
			return int64(b>>1) ^ -int64(b&1)
		}
	}
	return d.longSlow()
}

func (d *decoder) longSlow() int64 {
	var u uint64
	for i := range binary.MaxVarintLen64 {
		if d.p+i >= len(d.s) {
			d.fail(errTruncated)
			return 0
		}
		b := d.s[d.p+i]
		if i == binary.MaxVarintLen64-1 && b > 1 {
			break
		}
		u |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			d.p += i + 1
			return int64(u>>1) ^ -int64(u&1)
		}
	}
	d.fail(errVarint)
	return 0
}

func (d *decoder) int() int32 {
	v := d.long()
	if v != int64(int32(v)) {
		d.fail(errRange)
		return 0
	}
	return int32(v)
}

// span returns the next bytes of a length-prefixed value.
func (d *decoder) span() string {
	n := d.long()
	if n < 0 || n > int64(len(d.s)-d.p) {
		d.fail(errLength)
		return ""
	}
	v := d.s[d.p : d.p+int(n)]
	d.p += int(n)
	return v
}

func (d *decoder) string() string {
	v := d.span()
	if !utf8.ValidString(v) {
		d.fail(errUTF8)
		return ""
	}
	return v
}

func (d *decoder) bytes(dst []byte) []byte { return append(dst[:0], d.span()...) }

func (d *decoder) bool() bool {
	if d.p >= len(d.s) {
		d.fail(errTruncated)
		return false
	}
	b := d.s[d.p]
	if b > 1 {
		d.fail(errBool)
		return false
	}
	d.p++
	return b == 1
}

func (d *decoder) double() float64 {
	if len(d.s)-d.p < 8 {
		d.fail(errTruncated)
		return 0
	}
	s := d.s[d.p : d.p+8]
	d.p += 8
	return math.Float64frombits(uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56)
}

func (d *decoder) fixed(dst []byte) {
	if len(d.s)-d.p < len(dst) {
		d.fail(errTruncated)
		return
	}
	d.p += copy(dst, d.s[d.p:])
}

// enum returns the index of one of n symbols.
func (d *decoder) enum(n int64) uint8 {
	v := d.long()
	if v < 0 || v >= n {
		d.fail(errEnum)
		return 0
	}
	return uint8(v)
}

// present reads the branch of a ["null", R] union.
func (d *decoder) present() bool {
	switch v := d.long(); {
	case d.err != nil || v == 0:
		return false
	case v == 1:
		return true
	}
	d.fail(errUnion)
	return false
}

// block returns the number of items in the next block of an array whose items take at least minSize bytes; 0 ends it.
// A count beyond what the rest of the payload can hold is an error, so that nothing is allocated for it.
func (d *decoder) block(minSize int) int {
	n := d.long()
	if n < 0 {
		if n == math.MinInt64 {
			d.fail(errCount)
			return 0
		}
		n = -n
		if size := d.long(); size < 0 || size > int64(len(d.s)-d.p) {
			d.fail(errLength)
			return 0
		}
	}
	if n > int64((len(d.s)-d.p)/minSize) {
		d.fail(errCount)
		return 0
	}
	return int(n)
}

// extend lengthens s by n items and keeps what the items within its capacity hold, so that their slices are reused.
func extend[T any](s []T, n int) []T {
	have := len(s)
	return slices.Grow(s[:have:cap(s)], n)[:have+n]
}

func appendLong(dst []byte, v int64) []byte {
	u := uint64(v<<1) ^ uint64(v>>63)
	for u >= 0x80 {
		dst = append(dst, byte(u)|0x80)
		u >>= 7
	}
	return append(dst, byte(u))
}

// appendString writes a string; what is not UTF-8 in it becomes U+FFFD, so that whatever is written can be read.
func appendString(dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return append(appendLong(dst, int64(len(s))), s...)
}

func appendBytes(dst, b []byte) []byte {
	return append(appendLong(dst, int64(len(b))), b...)
}

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendDouble(dst []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
}

// appendEnum writes the index of one of n symbols; a value that is no symbol is written as the first, the default.
func appendEnum(dst []byte, v uint8, n uint8) []byte {
	if v >= n {
		v = 0
	}
	return appendLong(dst, int64(v))
}
