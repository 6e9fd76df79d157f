package hiring

import "time"

// Micros is a point in time: microseconds since the Unix epoch, UTC. Zero means not known.
type Micros int64

// Add returns t moved by d, truncated to microseconds.
func (t Micros) Add(d time.Duration) Micros { return t + Micros(d/time.Microsecond) }

// Sub returns t-u.
func (t Micros) Sub(u Micros) time.Duration { return time.Duration(t-u) * time.Microsecond }

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
