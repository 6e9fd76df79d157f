package redislink

import (
	"sync"
	"time"
)

// Circuit keeps a server that does not answer from costing its timeout at every
// call. A failure opens it for a while; when that is over exactly one caller is let
// through as a probe while the others still go without. A successful probe closes
// it, a failed one opens it for twice as long, up to a bound.
//
// The zero value is closed with the default times. Safe for concurrent use.
type Circuit struct {
	// First is how long the first failure opens the circuit; zero means 500 ms.
	First time.Duration
	// Longest bounds the doubling; zero means 15 s.
	Longest time.Duration

	mu      sync.Mutex
	open    bool
	probing bool
	until   time.Time
	pause   time.Duration
}

// Allow reports whether a call may be tried at now. Whoever is allowed must report
// back with exactly one of Succeeded, Failed or Abandoned.
func (c *Circuit) Allow(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open {
		return true
	}
	if c.probing || now.Before(c.until) {
		return false
	}
	c.probing = true
	return true
}

// Succeeded reports that the server answered.
func (c *Circuit) Succeeded() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open, c.probing, c.pause = false, false, 0
}

// Failed reports that the server did not answer.
func (c *Circuit) Failed(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open && !c.probing {
		// Several calls were under way when the first of them failed; they are one
		// failure, not a reason to double the pause several times.
		return
	}
	first, longest := c.First, c.Longest
	if first <= 0 {
		first = 500 * time.Millisecond
	}
	if longest <= 0 {
		longest = 15 * time.Second
	}
	c.pause = min(max(2*c.pause, first), longest)
	c.open, c.probing = true, false
	c.until = now.Add(c.pause)
}

// Abandoned reports that the caller gave up for a reason of its own, which says
// nothing about the server.
func (c *Circuit) Abandoned() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probing = false
}

// Open reports whether the server is held to be away.
func (c *Circuit) Open() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}
