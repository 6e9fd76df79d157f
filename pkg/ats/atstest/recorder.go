package atstest

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// notices reports whether a case fails with a broken client.
func notices(t *testing.T, a Adapter, c testCase, broken broken) bool {
	rec := &recorder{ctx: t.Context()}
	done := make(chan struct{})
	applies := true
	var panicked any
	go func() {
		defer close(done)
		defer func() {
			if v := recover(); v != nil {
				panicked = v
			}
		}()
		r := newRig(rec, a, c, broken.wrap)
		if broken.when != nil {
			caps := r.client.Capabilities()
			applies = broken.when(&caps)
		}
		if applies {
			c.run(r)
		}
	}()
	<-done
	rec.cleanup()
	if panicked != nil && !broken.panics {
		t.Errorf("the case falls over with a broken client: %v", panicked)
	}
	return !applies || rec.failed || panicked != nil && broken.panics
}

// recorder is a test that only remembers whether it failed. One goroutine uses it.
type recorder struct {
	ctx      context.Context
	mu       sync.Mutex
	failed   bool
	cleanups []func()
}

func (*recorder) Helper() {}

// Errorf notes a failure.
func (r *recorder) Errorf(string, ...any) {
	r.mu.Lock()
	r.failed = true
	r.mu.Unlock()
}

// Fatalf notes a failure and ends the goroutine.
func (r *recorder) Fatalf(string, ...any) {
	r.Errorf("")
	runtime.Goexit()
}

// Cleanup keeps a function for the end.
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

// Context is the test's.
func (r *recorder) Context() context.Context { return r.ctx }

func (r *recorder) cleanup() {
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
}
