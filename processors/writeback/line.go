package writeback

import (
	"slices"
	"sync"
)

// line is the line before an ATS: who is first in it asks for permission, and nobody else. So a call of many requests is
// not passed by calls of one, for which there is room more often. Safe for concurrent use.
type line struct {
	mu      sync.Mutex
	waiting []*place // by rank, of one rank first come first
}

// place is a place in the line. A turn comes when it may have become the first.
type place struct {
	rank rank
	turn chan struct{}
}

func (l *line) join(r rank) *place {
	p := &place{rank: r, turn: make(chan struct{}, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	i, _ := slices.BinarySearchFunc(l.waiting, r+1, func(p *place, r rank) int { return int(p.rank - r) })
	l.waiting = slices.Insert(l.waiting, i, p)
	return p
}

func (l *line) first(p *place) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting[0] == p
}

func (l *line) leave(p *place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = slices.DeleteFunc(l.waiting, func(q *place) bool { return q == p })
	if len(l.waiting) > 0 {
		select {
		case l.waiting[0].turn <- struct{}{}:
		default: // it knows
		}
	}
}
