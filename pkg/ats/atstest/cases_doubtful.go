package atstest

import (
	"context"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/wire"
)

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
