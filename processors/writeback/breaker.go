package writeback

import (
	"time"

	"github.com/concord-ats/concord/pkg/ats"
)

// breaker keeps a system that does not work from being called: closed, open until a time, or half open with one
// call out as a probe. It reads no clock and is not safe for concurrent use; its tenant locks it.
type breaker struct {
	first, max time.Duration
	limit      int

	failures int // in a row
	open     bool
	until    time.Time // open: when the next probe may go
	hold     time.Duration
	probing  bool
	code     ats.Code // why it opened
	byWrite  bool     // what opened it was a write
}

// allow reports whether a call may go now. When it may not, wait is how long nothing will change; 0 means that a
// probe is out. A half-open breaker lets one call go, which must be recorded or abandoned.
func (b *breaker) allow(now time.Time) (wait time.Duration, ok bool) {
	switch {
	case !b.open:
		return 0, true
	case b.probing:
		return 0, false
	case now.Before(b.until):
		return b.until.Sub(now), false
	}
	b.probing = true
	return 0, true
}

// abandon takes back a call that was allowed and not made.
func (b *breaker) abandon(probe bool) {
	if probe {
		b.probing = false
	}
}

// transition is what a call's result did to the breaker.
type transition uint8

const (
	unchanged transition = iota
	opened
	closed
)

// record takes the result of a call that was allowed. Jitter is in [0,1).
func (b *breaker) record(now time.Time, probe, write bool, err error, jitter float64) transition {
	if probe {
		b.probing = false
	}
	broken, atOnce := fault(err)
	if !broken {
		b.failures = 0
		if !b.open {
			if write || !b.byWrite {
				b.hold = 0
			}
			return unchanged
		}
		if !probe {
			return unchanged // begun before it opened
		}
		b.open = false
		return closed
	}
	b.failures++
	if b.open && !probe || !b.open && !atOnce && b.failures < b.limit {
		return unchanged
	}
	was := b.open
	b.hold = min(max(2*b.hold, b.first), b.max)
	b.open, b.code, b.byWrite = true, ats.CodeOf(err), write
	b.until = now.Add(b.hold + time.Duration(jitter*float64(b.hold)/4))
	if was {
		return unchanged
	}
	return opened
}

// fault reports whether an error speaks against the system as a whole, and whether one such is enough.
func fault(err error) (broken, atOnce bool) {
	if err == nil {
		return false, false
	}
	switch ats.CodeOf(err) {
	case ats.CodeUnauthorised, ats.CodeForbidden:
		return true, true
	case ats.CodeConnectionRefused, ats.CodeServerError, ats.CodeTimeout, ats.CodeReset, ats.CodeBadResponse, "":
		return true, false
	case ats.CodeRateLimited, ats.CodeStaleVersion, ats.CodeInvalid, ats.CodeNotApplicable, ats.CodeUnsupported, ats.CodeNotFound, ats.CodeCancelled:
	}
	return false, false
}
