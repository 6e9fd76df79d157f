package atssim

import (
	"errors"
	"fmt"
	"time"
)

// RateLimit is what a tenant may ask for; 0 = no such limit.
type RateLimit struct {
	// Requests in each Window, counted from its start. With a Burst it is a bucket instead, which holds Burst and
	// is refilled evenly.
	Requests int
	Window   time.Duration
	Burst    int
	// Concurrent bounds the requests at once, Lists those among them that list, Daily those of a calendar day of the
	// ATS, UTC.
	Concurrent int
	Lists      int
	Daily      int
}

func (l RateLimit) validate() error {
	var faults []error
	if l.Requests < 0 || (l.Requests > 0) != (l.Window > 0) {
		faults = append(faults, errors.New("rate limit: requests and window go together"))
	}
	if l.Burst < 0 || l.Concurrent < 0 || l.Lists < 0 || l.Daily < 0 || l.Burst > 0 && l.Requests == 0 {
		faults = append(faults, fmt.Errorf("rate limit %+v: burst needs requests, and none is negative", l))
	}
	return errors.Join(faults...)
}

// limitState is where the limits stand after a request was counted.
type limitState struct {
	RateLimit
	// Left of the window or bucket, and of the day. Running counts the requests at once, this one included.
	Left, LeftToday, Running int
	// Reset is when the limit that stands nearest is full again, in the ATS's time; Wait how long until one more
	// request is admitted, 0 when this one was.
	Reset time.Time
	Wait  time.Duration
	// Over: this request is above a limit. Crowded: above the one of requests at once.
	Over, Crowded bool
}

// meter counts requests against a limit. The server's lock guards it.
type meter struct {
	window time.Time // start of the window; when the bucket was last looked at
	used   int
	bucket float64
	day    int64
	today  int
}

// count counts a request. Now is the true time, at the ATS's own.
func (m *meter) count(l RateLimit, running int, now, at time.Time) limitState {
	s := limitState{RateLimit: l, Running: running, Reset: at}
	over := func(wait time.Duration) {
		s.Over = true
		s.Wait = max(s.Wait, wait)
		s.Reset = at.Add(s.Wait)
	}
	if l.Concurrent > 0 && running > l.Concurrent {
		s.Crowded = true
		over(0)
	}
	if l.Daily > 0 {
		if day := at.Unix() / 86400; day != m.day {
			m.day, m.today = day, 0
		}
		m.today++
		s.LeftToday = max(0, l.Daily-m.today)
		if m.today > l.Daily {
			over(at.Truncate(24 * time.Hour).Add(24 * time.Hour).Sub(at))
		}
	}
	switch {
	case l.Requests == 0:
	case l.Burst > 0:
		interval := l.Window / time.Duration(l.Requests)
		if m.window.IsZero() || now.Before(m.window) {
			m.bucket = float64(l.Burst)
		} else {
			m.bucket = min(m.bucket+float64(now.Sub(m.window))/float64(interval), float64(l.Burst))
		}
		m.window = now
		if m.bucket < 1 {
			over(time.Duration((1 - m.bucket) * float64(interval)))
		} else {
			m.bucket--
		}
		s.Left = int(m.bucket)
	default:
		if now.Sub(m.window) >= l.Window || now.Before(m.window) {
			m.window, m.used = now, 0
		}
		m.used++
		s.Left = max(0, l.Requests-m.used)
		left := m.window.Add(l.Window).Sub(now)
		s.Reset = at.Add(left)
		if m.used > l.Requests {
			over(left)
		}
	}
	return s
}
