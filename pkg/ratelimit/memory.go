package ratelimit

import (
	"slices"
	"sync"
	"time"
)

// memory keeps the state of keys in this process. All times are microseconds.
type memory struct {
	mu    sync.Mutex
	cells map[string]cell
	sweep int64 // when forgotten cells are next removed
}

type cell struct {
	tat, blocked int64
	// taken are the times of the units of the last window, where they are counted, in order; of those in use a time to come.
	// tat is then when all of them are out of the window.
	taken []int64
}

// sweepEvery is how often cells that no longer say anything are removed.
const sweepEvery = int64(time.Minute / time.Microsecond)

func newMemory() *memory { return &memory{cells: make(map[string]cell)} }

func (m *memory) take(key string, l Limit, ask want, now time.Time) (wait time.Duration, at int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	us := now.UnixMicro()
	m.forget(us)
	c := m.cells[key]
	var pause int64
	next := c
	if l.counted() {
		pause = count(&next, l, ask, us)
	} else {
		pause, next.tat = decide(c, l, ask, us)
	}
	at = us + ask.hold.Microseconds()
	if pause == 0 && ask.n > 0 {
		if l.counted() {
			next.add(l, ask.n, at)
		}
		m.cells[key] = next
	}
	return time.Duration(pause) * time.Microsecond, at
}

// settle ends units that were taken at a time: unused ones go back, used ones count from now on.
func (m *memory) settle(key string, l Limit, unused, used int, at int64, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.cells[key]
	if !ok {
		return // long ago
	}
	if !l.counted() {
		c.tat -= int64(unused) * l.interval()
		m.cells[key] = c
		return
	}
	us, n := now.UnixMicro(), unused+used
	c.taken = slices.DeleteFunc(slices.Clone(c.taken), func(t int64) bool {
		if t != at || n == 0 {
			return false
		}
		n--
		return true
	})
	for range used {
		c.taken = append(c.taken, us)
		c.tat = max(c.tat, us+l.Window.Microseconds())
	}
	slices.Sort(c.taken)
	m.cells[key] = c
}

func (m *memory) block(key string, d time.Duration, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.cells[key]
	c.blocked = max(c.blocked, now.UnixMicro()+d.Microseconds())
	m.cells[key] = c
}

// forget removes the cells that act like absent ones, so that memory follows the keys in use.
func (m *memory) forget(now int64) {
	if now < m.sweep {
		return
	}
	m.sweep = now + sweepEvery
	for key, c := range m.cells {
		if c.tat <= now && c.blocked <= now {
			delete(m.cells, key)
		}
	}
}

// decide is the rule itself: how long to wait, and the new TAT if that is zero. Whatever is taken here puts off who waits.
func decide(c cell, l Limit, ask want, now int64) (wait, tat int64) {
	if c.blocked > now {
		return c.blocked - now, c.tat
	}
	interval := l.interval()
	tat = max(c.tat, now) + int64(ask.n)*interval
	if early := tat - interval*int64(l.Burst) - now; early > 0 && ask.n > 0 {
		return early, c.tat
	}
	if ask.behind > 0 {
		return look, c.tat
	}
	return 0, tat
}

// add adds n units of a time.
func (c *cell) add(l Limit, n int, at int64) {
	c.taken = slices.Clone(c.taken)
	for range n {
		c.taken = append(c.taken, at)
	}
	slices.Sort(c.taken)
	c.tat = max(c.tat, at+l.Window.Microseconds())
}

// count is the rule of a limit that is counted: how long to wait. It drops what has left the window.
func count(c *cell, l Limit, ask want, now int64) (wait int64) {
	if c.blocked > now {
		return c.blocked - now
	}
	window := l.Window.Microseconds()
	for len(c.taken) > 0 && c.taken[0] <= now-window {
		c.taken = c.taken[1:]
	}
	over := len(c.taken) + ask.n - l.Rate
	if ask.n == 0 || over <= 0 && ask.behind == 0 {
		return 0
	}
	if over <= 0 { // if more leave the window at once than are waited for
		over = len(c.taken) + ask.behind - l.Rate
		if last := over - 1 + ask.n; over > 0 && last < len(c.taken) && c.taken[last] <= min(now, c.taken[over-1]+window/atOnce) {
			return 0
		}
		over = max(over, 1)
	}
	if len(c.taken) < over || c.taken[over-1] > now { // in use: nobody knows for how long
		return look
	}
	return c.taken[over-1] + window - now
}

const (
	// look is after how many microseconds to ask again for units that are in use.
	look = 20_000
	// atOnce is the part of a window in which units leave it at once.
	atOnce = 100
)
