package hiring_test

import (
	"fmt"
	"strconv"
	"time"

	"github.com/concord-ats/concord/pkg/hiring"
)

// simVerdict is a result as it truly was.
type simVerdict struct {
	id      string
	order   string
	at      hiring.Micros
	verdict hiring.Verdict
}

// simVendor screens; its clock is skewed.
type simVendor struct {
	a        *simApp
	skew     time.Duration
	events   int
	verdicts []simVerdict // in true order
}

func newSimVendor(a *simApp) *simVendor {
	v := &simVendor{a: a}
	// Against the ATS, within the declared margin; a few are beyond it.
	v.skew = a.ats.offset + a.between(-simMargin, simMargin)
	if a.chance(3) {
		v.skew = a.ats.offset + a.between(simMargin, 5*time.Minute)
	}
	return v
}

// beyond reports whether the clock is off by more than was declared.
func (v *simVendor) beyond() bool { return v.skew-v.a.ats.offset > simMargin }

// plan sets one screening, sometimes two, and returns when the first result comes.
func (v *simVendor) plan(entered time.Duration) time.Duration {
	a := v.a
	result := entered + a.between(20*time.Second, 10*time.Minute)
	a.after(entered+a.between(time.Second, 10*time.Second), func() { v.say(hiring.EventScreeningOrdered, "order-1", 0, hiring.VerdictNone) })
	verdict := hiring.VerdictAdvance
	switch {
	case a.chance(45):
		verdict = hiring.VerdictReject
	case a.chance(8):
		verdict = hiring.VerdictReview
	}
	if a.chance(95) {
		a.after(result, func() { v.say(hiring.EventScreeningCompleted, "order-1", 1, verdict) })
		if a.chance(8) {
			a.after(result+a.between(5*time.Second, 10*time.Minute), func() {
				v.say(hiring.EventScreeningCorrected, "order-1", 2, hiring.VerdictAdvance+hiring.VerdictReject-verdict)
			})
		}
	}
	if a.chance(4) {
		at := result + a.between(time.Minute, 15*time.Minute)
		a.after(at, func() { v.say(hiring.EventScreeningOrdered, "order-2", 0, hiring.VerdictNone) })
		a.after(at+a.between(20*time.Second, 5*time.Minute), func() { v.say(hiring.EventScreeningCompleted, "order-2", 1, hiring.VerdictAdvance) })
	}
	return result
}

// say stamps an event with the vendor's clock and sends it; a vendor retries until it is taken.
func (v *simVendor) say(kind hiring.EventType, order string, revision int32, verdict hiring.Verdict) {
	a := v.a
	v.events++
	stamp := a.now.Add(v.skew)
	e := hiring.Event{
		Source: "vendor", ID: fmt.Sprintf("screening-%d", v.events), Type: kind, System: "vendor", OccurredAt: stamp, Order: order, Attempt: 1,
	}
	if revision > 0 {
		e.HasResult, e.ResultRevision, e.Verdict, e.FinishedAt = true, revision, verdict, stamp
		e.Elements = []hiring.Element{
			{Name: hiring.ElementScreeningRecommendation, Value: verdict.String()}, {Name: hiring.ElementScreeningStatus, Value: "complete"},
		}
		if a.chance(90) {
			score := hiring.Element{Name: hiring.ElementScreeningScore, Value: strconv.Itoa(10 * a.rng.IntN(10))}
			e.Elements = []hiring.Element{e.Elements[0], score, e.Elements[1]}
		}
		v.verdicts = append(v.verdicts, simVerdict{id: e.ID, order: order, at: a.now, verdict: verdict})
	}
	e.Digest = hiring.IdentityKey(e.ID, "")
	a.send(&e, 0)
}

// verdict returns the result with that event id, or nil.
func (v *simVendor) verdict(id string) *simVerdict {
	for i := range v.verdicts {
		if v.verdicts[i].id == id {
			return &v.verdicts[i]
		}
	}
	return nil
}

// counts returns the result that counts in the end: the newest of the newest order. Nil = there is none.
func (v *simVendor) counts() *simVerdict {
	var best *simVerdict
	for i := range v.verdicts {
		if w := &v.verdicts[i]; best == nil || w.order >= best.order {
			best = w
		}
	}
	return best
}
