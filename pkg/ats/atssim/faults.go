package atssim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
)

// Fault is a kind of misbehaviour, also the name it is configured, counted and journalled by.
type Fault string

// The faults. A request meets at most one of those that stand before its effect, and one of those after it.
const (
	FaultRateLimited       Fault = "rate_limited"        // 429 with Retry-After; not executed
	FaultRateLimitedBare   Fault = "rate_limited_bare"   // 429 without; not executed
	FaultTokenExpired      Fault = "token_expired"       // 401, and the token is gone; not executed
	FaultServerErrorBefore Fault = "server_error_before" // 500; not executed
	FaultResetBefore       Fault = "reset_before"        // connection broken; not executed
	FaultTimeoutBefore     Fault = "timeout_before"      // no answer; not executed
	FaultFailureIn200      Fault = "failure_in_200"      // 200 whose body says success: false; not executed
	FaultHumanRace         Fault = "human_race"          // a human moves the candidate just before the write
	FaultLostWrite         Fault = "lost_write"          // 2xx; nothing changed
	FaultServerErrorAfter  Fault = "server_error_after"  // 500; executed
	FaultTimeoutAfter      Fault = "timeout_after"       // no answer; executed
	FaultResetAfter        Fault = "reset_after"         // connection broken; executed
	FaultStaleRead         Fault = "stale_read"          // executed; reads show the state before for the read lag
	FaultEmptyAnswer       Fault = "empty_answer"        // 2xx with an empty body, to reads and writes; executed
	FaultBlankAnswer       Fault = "blank_answer"        // executed; the answer to a write leaves names and the like empty
	FaultLatency           Fault = "latency"             // a slow answer, to reads and writes
	FaultPageExpired       Fault = "page_expired"        // the token of a list's next page is refused as one not handed out
)

// Faults lists every kind, in a fixed order.
func Faults() []Fault {
	return []Fault{
		FaultRateLimited, FaultRateLimitedBare, FaultTokenExpired, FaultServerErrorBefore, FaultResetBefore, FaultTimeoutBefore,
		FaultFailureIn200, FaultHumanRace, FaultLostWrite, FaultServerErrorAfter, FaultTimeoutAfter, FaultResetAfter, FaultStaleRead,
		FaultEmptyAnswer, FaultBlankAnswer, FaultLatency, FaultPageExpired,
	}
}

// before are the faults that keep a request from being executed; those that can hit reads come first.
var before = []Fault{FaultTokenExpired, FaultRateLimited, FaultRateLimitedBare, FaultServerErrorBefore, FaultResetBefore, FaultTimeoutBefore, FaultFailureIn200}

// after are the faults that spoil the answer to an executed write.
var after = []Fault{FaultServerErrorAfter, FaultTimeoutAfter, FaultResetAfter}

// Rates is how often each fault hits a request it can hit, between 0 and 1. A missing kind never does.
type Rates map[Fault]float64

// Validate returns every fault of the rates at once, in a fixed order.
func (r Rates) Validate() error {
	var faults []error
	known := Faults()
	var names []string
	for k := range r {
		names = append(names, string(k))
	}
	slices.Sort(names)
	for _, n := range names {
		if v := r[Fault(n)]; !slices.Contains(known, Fault(n)) {
			faults = append(faults, fmt.Errorf("fault %q: not one of %v", n, known))
		} else if !(v >= 0 && v <= 1) {
			faults = append(faults, fmt.Errorf("fault %s: rate %v is not between 0 and 1", n, v))
		}
	}
	return errors.Join(faults...)
}

// Mild are rates at which a run of a few thousand writes meets the faults of every ATS and still gets on. Those that
// only some vendors show are left out.
func Mild() Rates {
	return Rates{
		FaultRateLimited: 0.01, FaultRateLimitedBare: 0.01, FaultTokenExpired: 0.005, FaultServerErrorBefore: 0.01,
		FaultResetBefore: 0.005, FaultHumanRace: 0.01, FaultLostWrite: 0.01, FaultServerErrorAfter: 0.01,
		FaultTimeoutAfter: 0.01, FaultResetAfter: 0.01, FaultStaleRead: 0.05, FaultLatency: 0.02,
	}
}

// chance is a number in [0,1) that depends on nothing but its arguments.
func chance(seed uint64, what string, id int64, n uint64) float64 {
	return float64(draw(seed, what, id, n)>>11) / (1 << 53)
}

func draw(seed uint64, what string, id int64, n uint64) uint64 {
	h := fnv.New64a()
	var b [24]byte
	binary.LittleEndian.PutUint64(b[0:], seed)
	binary.LittleEndian.PutUint64(b[8:], uint64(id))
	binary.LittleEndian.PutUint64(b[16:], n)
	_, _ = h.Write(b[:])
	_, _ = h.Write([]byte(what))
	x := h.Sum64() // FNV mixes its high bits poorly: finish as SplitMix64 does
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// hits decides whether a fault fires at an application's n-th request, and counts it. The lock is held.
func (s *Server) hits(f Fault, id int64, n uint64) bool {
	rate := s.rates[f]
	if len(s.only) > 0 && !slices.Contains(s.only, s.current) {
		return false
	}
	if rate <= 0 || chance(s.cfg.Seed, string(f), id, n) >= rate {
		return false
	}
	s.fired[f]++
	return true
}

// expired decides whether the token of a list's next page is taken no more. The lock is held.
func (s *Server) expired(c *call) bool {
	if !s.hits(FaultPageExpired, 0, c.n) {
		return false
	}
	c.fault = FaultPageExpired
	return true
}

// firstOf returns the first of kinds that fires, or "".
func (s *Server) firstOf(kinds []Fault, id int64, n uint64) Fault {
	for _, f := range kinds {
		if s.hits(f, id, n) {
			return f
		}
	}
	return ""
}
