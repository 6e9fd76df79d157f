package writeback

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/wire"
)

// Nothing is written to a person the ATS shows as anonymised, and the person's applications get the mark: by the write that
// met it, and by a mere look.
func TestNothingIsWrittenToAnAnonymisedPerson(t *testing.T) {
	t.Parallel()
	for _, d := range []atssim.Dialect{atssim.Lever{}, atssim.Workable{}} {
		t.Run(d.Name(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			gh := newSystem(t, "gh", d)
			w.systems["gh"] = gh
			gh.seed(t, 1, 2)
			for _, n := range []int64{5001, 5002} {
				if r := gh.sim.Act(atssim.Action{Kind: "anonymize", Candidate: n, Silent: true}); !r.OK {
					t.Fatal(r.Error)
				}
			}
			w.run(nil)
			write, look := w.command("gh", 1, 1, toInterviews), w.command("gh", 2, 1, wire.Tuple{})
			look.Kind = wire.CommandKindRefresh
			w.send(write, look)
			wantOutcome(t, w.terminal(write.ID), wire.OutcomeKindNotApplicable, DetailAnonymized)
			wantOutcome(t, w.terminal(look.ID), wire.OutcomeKindConfirmed, DetailNone)
			w.unwritten(1, write.ID)
			w.until("both persons are marked", func() bool { return len(w.people) >= 2 })
			w.locked(func() {
				marked := map[string]bool{}
				for _, e := range w.people {
					if e.Type != "candidate.anonymized" || e.System != "gh" || e.CandidateID == "" || e.OccurredAt == 0 || len(e.ApplicationIDs) != 1 {
						t.Errorf("told %+v", e)
					}
					marked[e.ApplicationIDs[0]] = true
				}
				if !marked[write.ApplicationID] || !marked[look.ApplicationID] {
					t.Errorf("marked %v", marked)
				}
			})
		})
	}
}

// One who is anonymised between the first read and the write is seen by the read right before it.
func TestOneWhoIsAnonymisedMeanwhileIsNotWrittenTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := newSystem(t, "gh", atssim.Lever{})
	w.systems["gh"] = gh
	gh.seed(t, 1)
	gh.client.afterFirstRead(func() {
		if r := gh.sim.Act(atssim.Action{Kind: "anonymize", Candidate: 5001, Silent: true}); !r.OK {
			t.Error(r.Error)
		}
	})
	w.run(nil)
	cmd := w.command("gh", 1, 1, toReject)
	w.send(cmd)
	wantOutcome(t, w.terminal(cmd.ID), wire.OutcomeKindNotApplicable, DetailAnonymized)
	if n := len(gh.mutations(1)); n != 0 {
		t.Errorf("%d mutations of an anonymised person", n)
	}
}

// An application that two reads do not find is gone, and the reconciler hears it: from a write, and from a mere look after a
// hint. Where a 404 may mean "denied", nothing is concluded.
func TestAnApplicationThatIsGoneIsMarked(t *testing.T) {
	t.Parallel()
	for _, d := range []atssim.Dialect{atssim.Greenhouse{}, atssim.Lever{}, atssim.Ashby{}, atssim.Workable{}, atssim.SmartRecruiters{}, atssim.Inhouse{}} {
		t.Run(d.Name(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			gh := newSystem(t, "gh", d)
			w.systems["gh"] = gh
			gh.seed(t, 1, 2)
			write, look := w.command("gh", 1, 1, toReject), w.command("gh", 2, 1, wire.Tuple{})
			look.Kind = wire.CommandKindRefresh
			for n := range int64(2) {
				if r := gh.sim.Act(atssim.Action{Kind: "delete", Application: n + 1, Silent: true}); !r.OK {
					t.Fatal(r.Error)
				}
			}
			w.run(nil)
			w.send(write, look)
			caps := gh.client.Capabilities()
			if caps.NotFoundMayMeanDenied {
				wantOutcome(t, w.terminal(write.ID), wire.OutcomeKindRefused, Detail(ats.CodeNotFound))
				wantOutcome(t, w.terminal(look.ID), wire.OutcomeKindFailed, Detail(ats.CodeNotFound))
				w.locked(func() {
					if len(w.changes) != 0 {
						t.Errorf("concluded %+v", w.changes)
					}
				})
				return
			}
			wantOutcome(t, w.terminal(write.ID), wire.OutcomeKindNotApplicable, Detail(ats.CodeNotFound))
			wantOutcome(t, w.terminal(look.ID), wire.OutcomeKindFailed, Detail(ats.CodeNotFound))
			w.until("both are marked", func() bool { return len(w.changes) >= 2 })
			w.locked(func() {
				for _, c := range w.changes {
					if c.Type != "application.deleted" || c.TimeBasis != wire.TimeBasisFetch || c.OccurredAt == 0 || c.ApplicationID != write.ApplicationID && c.ApplicationID != look.ApplicationID {
						t.Errorf("told %+v", c)
					}
				}
			})
		})
	}
}

// A read that does not find it proves nothing, nor do two of one moment: reads may lag.
func TestAnApplicationThatIsFoundAgainIsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1)
	var mu sync.Mutex
	var lag time.Time // until then reads do not show it
	gh.client.onRead(func(_ context.Context, _ string, real func() (ats.Reading, error)) (ats.Reading, error) {
		mu.Lock()
		defer mu.Unlock()
		if lag.IsZero() {
			lag = time.Now().Add(gh.client.Capabilities().ReadLag)
		}
		if time.Now().Before(lag) {
			return ats.Reading{}, &ats.Error{Class: ats.Refused, Code: ats.CodeNotFound, Op: "read"}
		}
		return real()
	})
	w.run(nil)
	cmd := w.command("gh", 1, 1, toReject)
	w.send(cmd)
	wantOutcome(t, w.terminal(cmd.ID), wire.OutcomeKindConfirmed, DetailNone)
	w.locked(func() {
		if len(w.changes) != 0 {
			t.Errorf("concluded %+v", w.changes)
		}
	})
}
