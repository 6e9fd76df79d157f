// Package avro is Avro's binary encoding, both ways: what the generated code of pkg/wire is made of.
package avro

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// What is wrong with a payload that is not a record.
var (
	ErrUTF8     = errors.New("a string is not UTF-8")
	ErrTrailing = errors.New("bytes follow the record")

	errTruncated = errors.New("the payload ends inside a value")
	errVarint    = errors.New("a number has too many bytes")
	errRange     = errors.New("an int is out of range")
	errLength    = errors.New("a length is negative or beyond the payload")
	errCount     = errors.New("an array has more items than the payload can hold")
	errEnum      = errors.New("an enum has no such symbol")
	errBool      = errors.New("a boolean is neither 0 nor 1")
	errUnion     = errors.New("a union has no such branch")
)

// Decoder reads one Avro payload. The payload is held as one string, so that decoded strings are parts of it and cost
// no allocation. The first error sticks: every later read returns a zero value, and no loop goes on.
type Decoder struct {
	s   string
	p   int
	err error
}

// NewDecoder returns a decoder of one payload.
func NewDecoder(payload string) Decoder { return Decoder{s: payload} }

// Finish returns the first error, or one for bytes that follow the record, and at which byte it was found.
func (d *Decoder) Finish() (at int, err error) {
	if d.err == nil && d.p != len(d.s) {
		d.err = ErrTrailing
	}
	return d.p, d.err
}

// Err returns the first error.
func (d *Decoder) Err() error { return d.err }

func (d *Decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.s = d.s[:d.p] // nothing is left to read
}

// Long reads an int or a long.
func (d *Decoder) Long() int64 {
	if d.p < len(d.s) {
		if b := d.s[d.p]; b < 0x80 {
			d.p++
			return int64(b>>1) ^ -int64(b&1)
		}
	}
	return d.longSlow()
}

func (d *Decoder) longSlow() int64 {
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

// Int reads an int: a number past 32 bits is an error.
func (d *Decoder) Int() int32 {
	v := d.Long()
	if v != int64(int32(v)) {
		d.fail(errRange)
		return 0
	}
	return int32(v)
}

// Text is String without the check of its bytes, for what this program has written and checked before.
func (d *Decoder) Text() string {
	n := d.Long()
	if n < 0 || n > int64(len(d.s)-d.p) {
		d.fail(errLength)
		return ""
	}
	v := d.s[d.p : d.p+int(n)]
	d.p += int(n)
	return v
}

// String reads a string: what is not UTF-8 is an error.
func (d *Decoder) String() string {
	v := d.Text()
	if !utf8.ValidString(v) {
		d.fail(ErrUTF8)
		return ""
	}
	return v
}

// Bytes reads bytes into dst, of which nothing is kept.
func (d *Decoder) Bytes(dst []byte) []byte { return append(dst[:0], d.Text()...) }

// Bool reads a boolean.
func (d *Decoder) Bool() bool {
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

// Double reads a double.
func (d *Decoder) Double() float64 {
	if len(d.s)-d.p < 8 {
		d.fail(errTruncated)
		return 0
	}
	s := d.s[d.p : d.p+8]
	d.p += 8
	return math.Float64frombits(uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56)
}

// Fixed reads as many bytes as dst has.
func (d *Decoder) Fixed(dst []byte) {
	if len(d.s)-d.p < len(dst) {
		d.fail(errTruncated)
		return
	}
	d.p += copy(dst, d.s[d.p:])
}

// Enum returns the index of one of n symbols.
func (d *Decoder) Enum(n int64) uint8 {
	v := d.Long()
	if v < 0 || v >= n {
		d.fail(errEnum)
		return 0
	}
	return uint8(v)
}

// Present reads the branch of a ["null", R] union.
func (d *Decoder) Present() bool {
	switch v := d.Long(); {
	case d.err != nil || v == 0:
		return false
	case v == 1:
		return true
	}
	d.fail(errUnion)
	return false
}

// Block returns the number of items in the next block of an array whose items take at least minSize bytes; 0 ends it.
// A count beyond what the rest of the payload can hold is an error, so that nothing is allocated for it.
func (d *Decoder) Block(minSize int) int {
	n := d.Long()
	if n < 0 {
		if n == math.MinInt64 {
			d.fail(errCount)
			return 0
		}
		n = -n
		if size := d.Long(); size < 0 || size > int64(len(d.s)-d.p) {
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

// Extend lengthens s by n items and keeps what the items within its capacity hold, so that their slices are reused.
func Extend[T any](s []T, n int) []T {
	have := len(s)
	return slices.Grow(s[:have:cap(s)], n)[:have+n]
}

// AppendLong writes an int or a long.
func AppendLong(dst []byte, v int64) []byte {
	u := uint64(v<<1) ^ uint64(v>>63)
	for u >= 0x80 {
		dst = append(dst, byte(u)|0x80)
		u >>= 7
	}
	return append(dst, byte(u))
}

// AppendString writes a string; what is not UTF-8 in it becomes U+FFFD, so that whatever is written can be read.
func AppendString(dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return append(AppendLong(dst, int64(len(s))), s...)
}

// AppendText is AppendString without the check, for text that was read with one.
func AppendText(dst []byte, s string) []byte { return append(AppendLong(dst, int64(len(s))), s...) }

// AppendBytes writes bytes.
func AppendBytes(dst, b []byte) []byte {
	return append(AppendLong(dst, int64(len(b))), b...)
}

// AppendBool writes a boolean.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// AppendDouble writes a double.
func AppendDouble(dst []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
}

// AppendEnum writes the index of one of n symbols; a value that is no symbol is written as the first, the default.
func AppendEnum(dst []byte, v uint8, n uint8) []byte {
	if v >= n {
		v = 0
	}
	return AppendLong(dst, int64(v))
}
