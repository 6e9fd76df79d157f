package writeback

import (
	"slices"
	"sync"
)

// line is the line before an ATS: who is first in it asks for permission. So a call of many requests is not passed by calls of
// one, for which there is room more often. While the rate holds it up one that needs less may ask for what the first one
// cannot use yet, so that nothing is left over. Safe for concurrent use.
type line struct {
	mu      sync.Mutex
	waiting []*place // by rank, of one rank first come first
	less    int      // while the rate holds the first one up: who needs less than that may ask
}

// place is a place in the line. A turn comes when it may have become time to ask.
type place struct {
	rank rank
	n    int // requests
	turn chan struct{}
}

func (p *place) wake() {
	select {
	case p.turn <- struct{}{}:
	default: // it knows
	}
}

func (l *line) join(r rank, n int) *place {
	p := &place{rank: r, n: n, turn: make(chan struct{}, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	i, _ := slices.BinarySearchFunc(l.waiting, r+1, func(p *place, r rank) int { return int(p.rank - r) })
	l.waiting = slices.Insert(l.waiting, i, p)
	if i == 0 {
		l.less = 0
	}
	return p
}

// turn reports whether a place may ask now, and behind how many requests that the first one waits for; 0 for the first.
func (l *line) turn(p *place) (behind int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting[0] == p {
		return 0, true
	}
	return l.waiting[0].n, l.next() == p
}

// next is the place that may ask besides the first, nil for none. The caller holds the lock.
func (l *line) next() *place {
	i := slices.IndexFunc(l.waiting, func(p *place) bool { return p.n < l.less })
	if i <= 0 {
		return nil
	}
	return l.waiting[i]
}

// refused tells that a place has asked and was refused, for the rate or for what holds up all.
func (l *line) refused(p *place, rate bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !rate:
		l.less = 0
	case l.waiting[0] == p:
		l.less = p.n
	default: // who needs as much would be refused too
		l.less = min(l.less, p.n)
	}
	l.wakeNext()
}

func (l *line) wakeNext() {
	if p := l.next(); p != nil {
		p.wake()
	}
}

// stir has the first one ask again, and then others, as requests were given back or have left the window.
func (l *line) stir() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.less > 0 && len(l.waiting) > 0 {
		l.waiting[0].wake()
	}
}

func (l *line) leave(p *place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.waiting[0] == p
	l.waiting = slices.DeleteFunc(l.waiting, func(q *place) bool { return q == p })
	switch {
	case len(l.waiting) == 0:
		l.less = 0
	case first:
		l.less = 0
		l.waiting[0].wake()
	default:
		l.wakeNext()
	}
}
