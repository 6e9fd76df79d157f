package hiring

import (
	"math"
	"time"
)

// Micros is a point in time: microseconds since the Unix epoch, UTC. Zero means not known.
type Micros int64

// Add returns t moved by d, truncated to microseconds.
func (t Micros) Add(d time.Duration) Micros { return t + Micros(d/time.Microsecond) }

// Sub returns t-u, or the longest time.Duration (292 years) of that sign where it does not fit.
func (t Micros) Sub(u Micros) time.Duration {
	d := t - u
	switch {
	case u > 0 && d > t: // wrapped
		return math.MinInt64
	case u < 0 && d < t, d > math.MaxInt64/1000:
		return math.MaxInt64
	case d < math.MinInt64/1000:
		return math.MinInt64
	}
	return time.Duration(d) * time.Microsecond
}

// Time returns t as a time.Time in UTC.
func (t Micros) Time() time.Time { return time.UnixMicro(int64(t)).UTC() }

// FromTime returns t as Micros; the zero time.Time gives zero.
func FromTime(t time.Time) Micros {
	if t.IsZero() {
		return 0
	}
	return Micros(t.UnixMicro())
}

// Digest is the first 16 bytes of a SHA-256.
type Digest [16]byte
