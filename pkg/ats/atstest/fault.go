package atstest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/wire"
)

// writes are the kinds of requests that change something.
var writes = []string{"move", "reject", "unreject", "hire", "edit", "note"}

// fault makes every request of some kinds meet a fault, of all when none is given; calm ends all faults.
func (r *rig) fault(f atssim.Fault, kinds ...string) {
	r.Helper()
	r.calm()
	r.faults = append(r.faults, f)
	if err := r.sim.SetFaults(atssim.FaultState{Rates: atssim.Rates{f: 1}, Only: append([]string{}, kinds...)}); err != nil {
		r.Fatalf("%v", err)
	}
}

// met fails unless the journal shows every fault the case asked for: without it the case would prove nothing.
func (r *rig) met() {
	r.Helper()
	for _, f := range r.faults {
		if !slices.ContainsFunc(r.sim.Journal(0), func(e atssim.Entry) bool { return e.Fault == f }) {
			r.Errorf("the journal shows no %s: the fault did not happen", f)
		}
	}
}

func (r *rig) calm() {
	r.Helper()
	none := atssim.Rates{}
	for _, f := range atssim.Faults() {
		none[f] = 0
	}
	if err := r.sim.SetFaults(atssim.FaultState{Rates: none}); err != nil {
		r.Fatalf("%v", err)
	}
}

// fails checks an error's class and code.
func (r *rig) fails(what string, err error, class ats.Class, codes ...ats.Code) {
	r.Helper()
	var e *ats.Error
	if !errors.As(err, &e) {
		r.Errorf("%s: %v, want an *ats.Error", what, err)
		return
	}
	if e.Class != class || len(codes) > 0 && !slices.Contains(codes, e.Code) {
		r.Errorf("%s: %v, want %s %v", what, err, class, codes)
	}
	for _, secret := range []string{clientSecret, "candidate-9@example.com", "Candidate 9"} {
		if strings.Contains(err.Error(), secret) {
			r.Errorf("%s: the error holds %q", what, secret)
		}
	}
}

func retryAfter(err error) time.Duration {
	var e *ats.Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return -1
}

// untouched fails if the client changed anything.
func (r *rig) untouched() {
	r.Helper()
	if made := r.changes(); made != "" {
		r.Errorf("the client changed something: %s", made)
	}
}

// until polls a condition.
func (r *rig) until(what string, ok func() bool) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			r.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

// late is a context whose deadline passes when it is told to.
type late struct {
	context.Context
	done chan struct{}
}

func newLate(ctx context.Context) *late { return &late{ctx, make(chan struct{})} }

// Done is closed when the deadline has passed.
func (l *late) Done() <-chan struct{} { return l.done }

// Err is DeadlineExceeded once it has.
func (l *late) Err() error {
	select {
	case <-l.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// timesOut applies while requests hang, and lets the deadline pass as soon as the ATS has taken the write.
func (r *rig) timesOut(f atssim.Fault, desired wire.Tuple) error {
	r.Helper()
	expected := r.read().Tuple
	r.clock.Advance(time.Second)
	before := r.sent()
	r.fault(f, writes...)
	ctx := newLate(r.Context())
	failed := make(chan error, 1)
	go func() { failed <- r.client.Apply(ctx, r.id, expected, desired) }()
	answered := false
	var err error
	r.until("the write reached the ATS", func() bool {
		select {
		case err = <-failed:
			answered = true
		default:
		}
		return answered || r.sent() > before
	})
	r.calm() // what hangs goes on hanging
	close(ctx.done)
	if !answered {
		err = <-failed
	}
	return err
}
