package atstest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/wire"
)

// unversioned: the same write again is not stopped by the version that the first one has changed.
func unversioned(c *ats.Capabilities) bool { return !c.CASVersion }

// races are humans who are faster.
func races() []testCase {
	compared := func(c *ats.Capabilities) bool { return c.CASStage || c.CASVersion }
	return []testCase{
		{name: "stale compare-and-set", run: func(r *rig) {
			expected := r.read().Tuple
			r.act(atssim.Action{Kind: "move", Stage: atssim.DefaultStages()[4].ID})
			r.clock.Advance(time.Second)
			err := r.client.Apply(r.Context(), r.id, expected, wire.Tuple{Stage: r.stage(3)})
			if compared(&r.caps) {
				r.fails("a move from a stage it has left", err, ats.NotExecuted, ats.CodeStaleVersion)
				if r.caps.CASVersion { // then every write but a note is
					for _, want := range []wire.Tuple{{Status: rejected}, element(fieldStatus, "passed")} {
						r.fails("a write of what has changed", r.client.Apply(r.Context(), r.id, expected, want), ats.NotExecuted, ats.CodeStaleVersion)
					}
				}
				r.untouched()
				return
			}
			if err != nil || r.truth().StageID != atssim.DefaultStages()[3].ID {
				r.Errorf("nothing is compared, by what is declared, yet: %v", err)
			}
		}, broken: map[string]broken{
			"claims the reverse": declares(func(c *ats.Capabilities) { c.CASStage, c.CASVersion = !compared(c), false }),
			"overwrites":         insists().only(compared),
			"hides it":           hidesFailures().only(compared),
			"calls it refused":   miscalls(calls(ats.Refused)).only(compared),
			"sends nothing":      pretendsToWrite(),
		}},
		{name: "a human in between", run: func(r *rig) {
			to := 0
			for i := range 2 { // the human may go where the client wants to, once
				expected := r.read().Tuple
				for i > 0 && (to == 0 || r.stage(to) == expected.Stage) {
					to++
				}
				r.clock.Advance(time.Second)
				r.fault(atssim.FaultHumanRace)
				err := r.client.Apply(r.Context(), r.id, expected, wire.Tuple{Stage: r.stage(to)})
				r.calm()
				if compared(&r.caps) {
					r.fails("a move a human was faster than", err, ats.NotExecuted, ats.CodeStaleVersion)
					r.untouched()
				} else if err != nil || r.changes() != strings.TrimSpace(strings.Repeat("move ", i+1)) {
					r.Errorf("%v after %q", err, r.changes())
				}
				if n := r.sent(); n != i+1 {
					r.Errorf("%d writes sent, want %d", n, i+1)
				}
			}
		}, broken: map[string]broken{
			"overwrites":       insists().only(compared),
			"writes twice":     writesTwice().only(unversioned),
			"hides it":         hidesFailures().only(compared),
			"sends nothing":    pretendsToWrite(),
			"says it is stale": {wrap: alwaysFails},
		}},
		{name: "200 on an archived candidate", run: func(r *rig) {
			expected := r.read().Tuple
			want := wire.Tuple{Stage: r.stage(3), Status: active}
			r.act(atssim.Action{Kind: "reject", Reason: reasonOther})
			r.clock.Advance(time.Second)
			err := r.client.Apply(r.Context(), r.id, expected, want)
			if (err == nil) != r.caps.Archived {
				r.Errorf("move of what a human has just rejected: %v; a 2xx is declared: %v", err, r.caps.Archived)
			}
			if err != nil && ats.ClassOf(err) == ats.Unknown {
				r.Errorf("refused for certain, yet: %v", err)
			}
			if a := r.truth(); a.Status != "rejected" || a.RejectionReasonID != reasonOther {
				r.Errorf("the human's rejection is gone: %+v", a)
			}
			if got := r.read().Tuple; got.Status != rejected || r.shows(want) {
				r.Errorf("read as %+v", got)
			}
		}, broken: map[string]broken{
			"takes the rejection back": insists().only(func(c *ats.Capabilities) bool { return c.Unreject }),
			"claims the reverse":       declares(func(c *ats.Capabilities) { c.Archived = !c.Archived }),
			"reads the stage only":     reads(func(r *ats.Reading) { r.Tuple.Status = active }),
		}},
	}
}

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

// doubtful are answers that do not mean what they seem to.
func doubtful() []testCase {
	verdict := func(c *ats.Capabilities) bool { return c.Answer == ats.AnswerVerdict }
	return []testCase{
		{name: "200 with success false", run: func(r *rig) {
			want := wire.Tuple{Stage: r.stage(3)}
			expected := r.read().Tuple
			r.fault(atssim.FaultFailureIn200)
			_, err := r.client.Read(r.Context(), r.id)
			r.fails("read", err, ats.NotExecuted)
			r.fault(atssim.FaultFailureIn200, writes...)
			err = r.client.Apply(r.Context(), r.id, expected, want)
			r.calm()
			if verdict(&r.caps) && (err == nil || ats.ClassOf(err) == ats.Unknown) {
				r.Errorf("an answer that says it failed is proof: %v", err)
			}
			if r.shows(want) {
				r.Errorf("it shows what was not done")
			}
			r.untouched()
		}, broken: map[string]broken{
			"takes it for a reading": pretendsToRead(),
			"takes 200 for done":     hidesFailures().only(verdict),
			"claims a verdict":       declares(func(c *ats.Capabilities) { c.Answer = ats.AnswerVerdict }).only(func(c *ats.Capabilities) bool { return c.Answer != ats.AnswerVerdict }),
			"trusts its own write":   {wrap: trustsItself},
		}},
		{name: "200 with an empty body", run: func(r *rig) {
			want := wire.Tuple{Stage: r.stage(3)}
			expected := r.read().Tuple
			r.fault(atssim.FaultEmptyAnswer)
			_, err := r.client.Read(r.Context(), r.id)
			r.fails("read", err, ats.NotExecuted, ats.CodeBadResponse)
			_, err = r.client.ListChanged(r.Context(), ats.Cursor{})
			r.fails("list", err, ats.NotExecuted, ats.CodeBadResponse)
			r.fault(atssim.FaultEmptyAnswer, writes...)
			if err := r.client.Apply(r.Context(), r.id, expected, want); err != nil && ats.ClassOf(err) != ats.Unknown {
				r.Errorf("a write that was executed: %v", err)
			}
			r.calm()
			r.confirmed(want)
			if r.changes() != "move" || r.sent() != 1 {
				r.Errorf("%d sent, %q done", r.sent(), r.changes())
			}
		}, broken: map[string]broken{
			"takes it for a reading":   pretendsToRead(),
			"sends it again":           writesTwice().only(unversioned),
			"says it was not executed": {wrap: alwaysFails},
			"takes it for an empty page": {wrap: func(c ats.Client) ats.Client {
				return &bent{Client: c, list: func(ctx context.Context, from ats.Cursor) (ats.Page, error) {
					p, _ := c.ListChanged(ctx, from)
					return p, nil
				}}
			}},
		}},
		{name: "a mirror that lags", run: func(r *rig) {
			want := wire.Tuple{Stage: r.stage(3)}
			r.fault(atssim.FaultStaleRead)
			r.write(want)
			if ats.Shows(r.read().Tuple, want) {
				r.Errorf("the ATS shows the write at once: the fault did nothing")
			}
			r.confirmed(want)
		}, broken: map[string]broken{
			"remembers reads":        remembers(),
			"trusts its own write":   {wrap: trustsItself},
			"declares no lag at all": declares(func(c *ats.Capabilities) { c.ReadLag = 1 }),
		}},
		{name: "an answer that blanks names", run: func(r *rig) {
			want := wire.Tuple{Stage: r.stage(3), Elements: []wire.Element{{Name: fieldStatus, Value: "passed"}}}
			before := r.read()
			r.fault(atssim.FaultBlankAnswer)
			r.write(want)
			r.calm()
			after := r.read()
			if !ats.Shows(after.Tuple, want) || after.CandidateID != before.CandidateID || after.Requisition != before.Requisition {
				r.Errorf("%+v", after)
			}
		}, broken: map[string]broken{
			"takes the answer for a reading": {wrap: takesAnswers},
			"sends nothing":                  pretendsToWrite(),
		}},
	}
}

// alwaysFails says of every write and read that it was not executed.
func alwaysFails(c ats.Client) ats.Client {
	first := true
	var mu sync.Mutex
	return &bent{
		Client: c,
		read: func(ctx context.Context, id string) (ats.Reading, error) {
			r, err := c.Read(ctx, id)
			mu.Lock()
			defer mu.Unlock()
			if first { // so that a case gets as far as its write
				first = false
				return r, err
			}
			return r, &ats.Error{Class: ats.NotExecuted, Code: ats.CodeUnauthorised, Op: "read"}
		},
		apply: func(ctx context.Context, id string, expected, desired wire.Tuple) error {
			_ = c.Apply(ctx, id, expected, desired)
			return &ats.Error{Class: ats.NotExecuted, Code: ats.CodeUnauthorised, Op: "move"}
		},
	}
}

// trustsItself reads what it wrote, not what the ATS shows.
func trustsItself(c ats.Client) ats.Client {
	wrote := map[string]wire.Tuple{}
	return &bent{
		Client: c,
		apply: func(ctx context.Context, id string, expected, desired wire.Tuple) error {
			wrote[id] = desired
			return c.Apply(ctx, id, expected, desired)
		},
		read: func(ctx context.Context, id string) (ats.Reading, error) {
			r, err := c.Read(ctx, id)
			if d, ok := wrote[id]; ok && d.Stage != "" {
				r.Tuple.Stage = d.Stage
			}
			return r, err
		},
	}
}

// takesAnswers reads what a blanked answer holds after a write.
func takesAnswers(c ats.Client) ats.Client {
	wrote := false
	return &bent{
		Client: c,
		apply: func(ctx context.Context, id string, expected, desired wire.Tuple) error {
			wrote = true
			return c.Apply(ctx, id, expected, desired)
		},
		read: func(ctx context.Context, id string) (ats.Reading, error) {
			r, err := c.Read(ctx, id)
			if wrote {
				r.CandidateID = ""
			}
			return r, err
		},
	}
}
