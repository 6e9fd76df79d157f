package wire

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Micros is a time in microseconds since the Unix epoch, UTC; 0 = not known.
type Micros int64

// MicrosOf returns t in microseconds; the zero time is 0.
func MicrosOf(t time.Time) Micros {
	if t.IsZero() {
		return 0
	}
	return Micros(t.UnixMicro())
}

// Time returns m as a time in UTC; 0 is the zero time.
func (m Micros) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(m)).UTC()
}

// String returns RFC 3339 with microseconds in UTC, or "" for 0. Times outside the years 0 to 9999 are plain numbers.
func (m Micros) String() string {
	if m == 0 {
		return ""
	}
	t := m.Time()
	if y := t.Year(); y < 0 || y > 9999 {
		return strconv.FormatInt(int64(m), 10)
	}
	return t.Format(time.RFC3339Nano)
}

// MarshalJSON writes [Micros.String]; a time outside the years 0 to 9999 is a number of microseconds.
func (m Micros) MarshalJSON() ([]byte, error) {
	s := m.String()
	if s == "" || strings.Contains(s, "T") {
		return []byte(`"` + s + `"`), nil
	}
	return []byte(s), nil
}

// ValueError says that a text or JSON value does not fit its field. It never repeats the value.
type ValueError struct {
	// Want is the kind of value that fits, as in "an RFC 3339 time".
	Want string
	text string
}

func (e *ValueError) Error() string { return e.text }

var errMicros = &ValueError{Want: "an RFC 3339 time or a number of microseconds", text: "read time: neither RFC 3339 nor a number of microseconds"}

// UnmarshalJSON reads an RFC 3339 time, cut to the microsecond, "" or null for 0, or a number of microseconds.
func (m *Micros) UnmarshalJSON(b []byte) error {
	s := string(b)
	if s == `""` || s == "null" {
		*m = 0
		return nil
	}
	if text, err := strconv.Unquote(s); err == nil && s[0] == '"' {
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return errMicros
		}
		*m = Micros(t.UnixMicro())
		return nil
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return errMicros
	}
	*m = Micros(v)
	return nil
}

// Digest is the first 16 bytes of a SHA-256. The zero digest means none.
type Digest [16]byte

// IsZero reports whether there is no digest.
func (d Digest) IsZero() bool { return d == Digest{} }

// String returns lower-case hex.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText writes lower-case hex, or "" for the zero digest.
func (d Digest) MarshalText() ([]byte, error) {
	if d.IsZero() {
		return []byte{}, nil
	}
	return hex.AppendEncode(nil, d[:]), nil
}

// UnmarshalText reads 32 hex digits, or "" for the zero digest.
func (d *Digest) UnmarshalText(b []byte) error { return unhex(d[:], b) }

// ShortDigest is the first 8 bytes of a SHA-256: enough to tell the events of one application apart. The zero digest means
// none.
type ShortDigest [8]byte

// IsZero reports whether there is no digest.
func (d ShortDigest) IsZero() bool { return d == ShortDigest{} }

// MarshalText writes lower-case hex, or "" for the zero digest.
func (d ShortDigest) MarshalText() ([]byte, error) {
	if d.IsZero() {
		return []byte{}, nil
	}
	return hex.AppendEncode(nil, d[:]), nil
}

// UnmarshalText reads 16 hex digits, or "" for the zero digest.
func (d *ShortDigest) UnmarshalText(b []byte) error { return unhex(d[:], b) }

func errDigest(dst []byte, got string) error {
	want := strconv.Itoa(2*len(dst)) + " hex digits"
	return &ValueError{Want: want, text: "read digest: " + got + ", want " + want}
}

// unhex reads as many bytes as dst has, or "" for zeros.
func unhex(dst, text []byte) error {
	clear(dst)
	if len(text) == 0 {
		return nil
	}
	if len(text) != 2*len(dst) {
		return errDigest(dst, fmt.Sprintf("%d characters", len(text)))
	}
	if _, err := hex.Decode(dst, text); err != nil {
		return errDigest(dst, "other characters")
	}
	return nil
}
