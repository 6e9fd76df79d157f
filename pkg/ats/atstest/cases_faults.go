package atstest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/wire"
)

// unanswered are writes whose outcome nobody knows.
func unanswered() []testCase {
	return []testCase{
		{name: "timeout before effect", run: func(r *rig) {
			want := wire.Tuple{Stage: r.stage(3)}
			r.fails("a move that was lost", r.timesOut(atssim.FaultTimeoutBefore, want), ats.Unknown, ats.CodeTimeout)
			if r.shows(want) || r.sent() != 1 {
				r.Errorf("%d sent, %q done", r.sent(), r.changes())
			}
			r.untouched()
		}, broken: map[string]broken{
			"sends it again":     writesTwice(),
			"says it is done":    hidesFailures(),
			"says it is refused": miscalls(calls(ats.Refused)),
		}},
		{name: "timeout after effect", run: func(r *rig) {
			for _, want := range []wire.Tuple{{Stage: r.stage(3)}, {Status: rejected, Reason: r.reason(reasonOther)}} {
				r.fails("a write without an answer", r.timesOut(atssim.FaultTimeoutAfter, want), ats.Unknown, ats.CodeTimeout)
				r.confirmed(want)
			}
			if r.changes() != "move reject" || r.sent() != 2 {
				r.Errorf("%d sent, %q done", r.sent(), r.changes())
			}
		}, broken: map[string]broken{
			"sends it again":           writesTwice().only(unversioned),
			"says it was not executed": miscalls(calls(ats.NotExecuted)),
			"does not read it back":    remembers(),
		}},
		{name: "server error", run: func(r *rig) {
			want := ats.Unknown
			if r.caps.ServerErrorNotExecuted {
				want = ats.NotExecuted
			}
			r.fault(atssim.FaultServerErrorBefore)
			_, err := r.client.Read(r.Context(), r.id)
			r.fails("read", err, ats.NotExecuted, ats.CodeServerError)
			r.calm()
			expected := r.read().Tuple
			for i, f := range []atssim.Fault{atssim.FaultServerErrorBefore, atssim.FaultServerErrorAfter} {
				r.fault(f, writes...)
				r.fails(string(f), r.client.Apply(r.Context(), r.id, expected, wire.Tuple{Stage: r.stage(3)}), want, ats.CodeServerError)
				r.calm()
				if n := r.sent(); n != i+1 {
					r.Errorf("%s: %d sent so far, want %d", f, n, i+1)
				}
			}
			r.confirmed(wire.Tuple{Stage: r.stage(3)})
		}, broken: map[string]broken{
			"says it was not executed": miscalls(calls(ats.NotExecuted)).only(func(c *ats.Capabilities) bool { return !c.ServerErrorNotExecuted }),
			"sends it again":           writesTwice(),
			"makes something up":       pretendsToRead(),
		}},
	}
}

// refused are requests the ATS does not even look at.
func refused() []testCase {
	limited := func(r *rig, f atssim.Fault, after time.Duration) {
		expected := r.read().Tuple
		r.fault(f)
		_, err := r.client.Read(r.Context(), r.id)
		r.fails("read", err, ats.NotExecuted, ats.CodeRateLimited)
		if got := retryAfter(err); got != after {
			r.Errorf("read: wait %v, want %v", got, after)
		}
		r.fault(f, writes...)
		err = r.client.Apply(r.Context(), r.id, expected, wire.Tuple{Stage: r.stage(3)})
		r.fails("move", err, ats.NotExecuted, ats.CodeRateLimited)
		if got := retryAfter(err); got != after {
			r.Errorf("move: wait %v, want %v", got, after)
		}
		if n := r.sent(); n != 1 {
			r.Errorf("%d writes sent, want 1", n)
		}
		r.untouched()
		r.calm()
		r.write(wire.Tuple{Stage: r.stage(3)})
	}
	return []testCase{
		{name: "429 with Retry-After", run: func(r *rig) { limited(r, atssim.FaultRateLimited, 3*time.Second) }, broken: map[string]broken{
			"forgets how long":    miscalls(func(e *ats.Error) { e.RetryAfter = 0 }),
			"forgets it in reads": misreads(func(e *ats.Error) { e.RetryAfter = 0 }),
			"tries again at once": writesTwice(),
			"calls it unknown":    miscalls(calls(ats.Unknown)),
		}},
		{name: "429 without Retry-After", run: func(r *rig) { limited(r, atssim.FaultRateLimitedBare, 0) }, broken: map[string]broken{
			"makes a wait up":     miscalls(func(e *ats.Error) { e.RetryAfter = time.Minute }),
			"tries again at once": writesTwice(),
			"calls it refused":    miscalls(calls(ats.Refused)),
		}},
		{name: "concurrency cap", run: concurrencyCap, sim: func(c *atssim.Config) { c.RateLimit = atssim.RateLimit{Concurrent: 1} }, broken: map[string]broken{
			"calls it refused":   misreads(calls(ats.Refused)),
			"makes something up": pretendsToRead(),
		}},
		{name: "daily quota", run: dailyQuota, sim: func(c *atssim.Config) { c.RateLimit = atssim.RateLimit{Daily: 12} }, broken: map[string]broken{
			"says it is done":    hidesFailures(),
			"calls it unknown":   miscalls(calls(ats.Unknown)),
			"makes something up": pretendsToRead(),
		}},
		{name: "limits are declared", run: func(r *rig) {
			l := r.dialect.Limits()
			want := ats.Rate{Requests: l.Requests, Window: l.Window, Burst: l.Burst, Concurrent: l.Concurrent, Daily: l.Daily}
			if r.caps.Rate != want {
				r.Errorf("%+v declared, %+v documented", r.caps.Rate, want)
			}
			if r.caps.ReadLag <= 0 || r.caps.Name != r.dialect.Name() {
				r.Errorf("read lag %v, name %q", r.caps.ReadLag, r.caps.Name)
			}
		}, broken: map[string]broken{
			"declares more":     declares(func(c *ats.Capabilities) { c.Rate.Requests++ }),
			"declares no lag":   declares(func(c *ats.Capabilities) { c.ReadLag = 0 }),
			"forgets the burst": declares(func(c *ats.Capabilities) { c.Rate.Burst++ }),
		}},
		{name: "token expiry", run: tokenExpiry, broken: map[string]broken{
			"gives up at once": {wrap: alwaysFails},
			"writes twice":     writesTwice().only(unversioned),
		}},
		{name: "revoked credentials", run: func(r *rig) {
			expected := r.read().Tuple
			yes, no := true, false
			for _, s := range []struct {
				name string
				on   atssim.FaultState
				off  atssim.FaultState
				code ats.Code
			}{
				{"revoked", atssim.FaultState{Revoked: &yes}, atssim.FaultState{Revoked: &no}, ats.CodeUnauthorised},
				{"denied", atssim.FaultState{Denied: &yes}, atssim.FaultState{Denied: &no}, ats.CodeForbidden},
			} {
				if err := r.sim.SetFaults(s.on); err != nil {
					r.Fatalf("%v", err)
				}
				class, code := ats.NotExecuted, s.code
				if s.name == "denied" && r.caps.NotFoundMayMeanDenied {
					class, code = ats.Refused, ats.CodeNotFound
				}
				before := r.sent("read")
				_, err := r.client.Read(r.Context(), r.id)
				r.fails(s.name+": read", err, class, code)
				r.fails(s.name+": move", r.client.Apply(r.Context(), r.id, expected, wire.Tuple{Stage: r.stage(3)}), class, code)
				if n := r.sent("read") - before; n > 2 {
					r.Errorf("%s: %d reads sent for one", s.name, n)
				}
				r.untouched()
				if err := r.sim.SetFaults(s.off); err != nil {
					r.Fatalf("%v", err)
				}
			}
			r.write(wire.Tuple{Stage: r.stage(3)})
		}, broken: map[string]broken{
			"calls it refused":              miscalls(calls(ats.Refused)),
			"takes a denial for a deletion": misreads(func(e *ats.Error) { e.Class, e.Code = ats.Refused, ats.CodeNotFound }),
			"hides it":                      hidesFailures(),
		}},
	}
}

// concurrencyCap holds the one place with a read that gets no answer.
func concurrencyCap(r *rig) {
	expected := r.read().Tuple
	reads := r.sent("read")
	r.fault(atssim.FaultTimeoutBefore)
	ctx, cancel := context.WithCancel(r.Context())
	var held sync.WaitGroup
	held.Go(func() { _, _ = r.client.Read(ctx, r.id) })
	r.until("the first request is under way", func() bool { return r.sent("read") > reads })
	r.calm()
	_, err := r.client.Read(r.Context(), r.id)
	r.fails("a second read at once", err, ats.NotExecuted, ats.CodeRateLimited)
	r.fails("a move at once", r.client.Apply(r.Context(), r.id, expected, wire.Tuple{Stage: r.stage(3)}), ats.NotExecuted, ats.CodeRateLimited)
	r.untouched()
	cancel()
	held.Wait()
	r.until("the place is free again", func() bool {
		_, err := r.client.Read(r.Context(), r.id)
		return err == nil
	})
}

// dailyQuota spends the day's requests with reads.
func dailyQuota(r *rig) {
	expected := r.read().Tuple
	var err error
	for range 20 {
		if _, err = r.client.Read(r.Context(), r.id); err != nil {
			break
		}
	}
	r.fails("read", err, ats.NotExecuted, ats.CodeRateLimited)
	r.fails("move", r.client.Apply(r.Context(), r.id, expected, wire.Tuple{Stage: r.stage(3)}), ats.NotExecuted, ats.CodeRateLimited)
	r.untouched()
	r.clock.Advance(24 * time.Hour)
	r.write(wire.Tuple{Stage: r.stage(3)})
}

// tokenExpiry takes the access tokens away while many callers run. An ATS without them has nothing to take.
func tokenExpiry(r *rig) {
	r.read()
	granted := r.sent("token")
	r.sim.ExpireTokens()
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = r.client.Read(r.Context(), r.id) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		r.Errorf("reads after the token was gone: %v", err)
	}
	if n := r.sent("token") - granted; granted > 0 && n != 1 {
		r.Errorf("%d tokens asked for by 8 callers, want 1", n)
	}
	want := wire.Tuple{Stage: r.stage(3), Elements: []wire.Element{{Name: fieldStatus, Value: "passed"}}}
	expected := r.read().Tuple
	r.clock.Advance(time.Second)
	r.sim.ExpireTokens()
	if err := r.client.Apply(r.Context(), r.id, expected, want); err != nil {
		r.Errorf("apply after the token was gone: %v", err)
	}
	r.confirmed(want)
	if r.changes() != "edit move" {
		r.Errorf("%q done", r.changes())
	}
}
