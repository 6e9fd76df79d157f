package ratelimit

import (
	"context"
	"errors"
	"testing"
	"time"
)

// Wait takes as soon as there is something to take, and ends with its context.
func TestWait(t *testing.T) {
	t.Parallel()
	l, err := New(nil, Config{Limit: Limit{Rate: 50, Window: time.Second, Burst: 1}})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 3 {
		if err := l.Wait(t.Context(), "k", 1); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < 2*20*time.Millisecond {
		t.Errorf("three units of 50 a second took %v", took)
	}
	if err := l.Block(t.Context(), "k", time.Minute); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Wait(ended, "k", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if err := l.Wait(t.Context(), "k", 2); !errors.Is(err, ErrNeverFits) {
		t.Errorf("two units of a burst of one: %v", err)
	}
}
