package ats

import (
	"sync"
	"time"
)

// How long what was looked up is kept, how long that there was nothing to find is, and of how many.
const (
	KeptLife  = 10 * time.Minute
	KeptPause = time.Minute
	maxKept   = 10_000
)

// Kept holds what was looked up, by id, each for a time. The zero value is empty. It is safe for concurrent use.
type Kept[T any] struct {
	mu   sync.Mutex
	byID map[string]kept[T]
}

type kept[T any] struct {
	value T
	until time.Time
}

// Get is what is kept of an id; false when nothing is, or no longer.
func (k *Kept[T]) Get(id string, now time.Time) (T, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	v, ok := k.byID[id]
	return v.value, ok && now.Before(v.until)
}

// Put keeps a value of an id until a time.
func (k *Kept[T]) Put(id string, value T, until time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byID == nil || len(k.byID) >= maxKept {
		k.byID = map[string]kept[T]{}
	}
	k.byID[id] = kept[T]{value, until}
}
