package atstest

import (
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/wire"
)

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
