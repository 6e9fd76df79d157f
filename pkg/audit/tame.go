package audit

import (
	"fmt"
	"math"

	"github.com/concord-ats/concord/pkg/wire"
)

// elsewhere names the reasons that a run cannot bring, why, and what reaches them: folder, then test.
var elsewhere = map[wire.Reason]string{
	wire.ReasonUnspecified:     "no decision has it",
	wire.ReasonNotErased:       "needs a legal hold, and the default policy has none",
	wire.ReasonShadowed:        "needs a policy in shadow mode: processors/writeback TestShadowAndExpiredAreNotSent",
	wire.ReasonCompacted:       "needs 72 h after closing: pkg/hiring TestScenarios",
	wire.ReasonSlaDueSoon:      "needs a policy that warns: pkg/hiring TestScenarios",
	wire.ReasonPaused:          "needs a policy that pauses a region: pkg/hiring TestScenarios",
	wire.ReasonOrdered:         "needs a policy that orders screenings: pkg/hiring TestScenarios",
	wire.ReasonOverrideExpired: "needs an override with an expiry: pkg/hiring TestScenarios",
	wire.ReasonResumed:         "needs a policy that pauses a region: pkg/hiring TestScenarios",
	wire.ReasonMigrated:        "needs a policy that drops a stage: processors/reconciler TestMigrated",
	wire.ReasonRejudged:        "needs a policy that is published: processors/reconciler TestPublished",
	wire.ReasonPolicyActivated: "needs a policy that is published: processors/reconciler TestPublished",
	wire.ReasonPolicyRefused:   "needs a policy that does not hold: processors/reconciler TestRefused",
	wire.ReasonFailed:          "needs a command older than a week: processors/writeback TestShadowAndExpiredAreNotSent",
}

// causesElsewhere are the dead-letter causes a run cannot bring.
var causesElsewhere = map[wire.Cause]string{
	wire.CauseFoldPanic:      "needs a broken program: pkg/stream TestPoisonAndPanicBecomeDeadLetters",
	wire.CauseWrongPartition: "needs a client with another partitioner: processors/reconciler TestMalformed",
	wire.CauseUnresolved:     "needs a webhook about a candidate that no application has: processors/gateway TestUnresolved",
}

// faultsElsewhere are the faults of a simulator a run cannot bring.
var faultsElsewhere = map[string]string{
	"page_expired": "needs walks that stop between two pages: pkg/ats/greenhouse TestConformance",
}

// certain is how many of n deliveries, each drawn with a chance in percent, there are but for one run in about a thousand:
// three standard deviations below what is expected. The fewer there are, the wider chance spreads.
func certain(n, percent int) int {
	share := float64(percent) / 100
	return max(0, int(float64(n)*share-3*math.Sqrt(float64(n)*share*(1-share))))
}

// checkTame finds what did not happen often enough to prove anything.
func (a *auditor) checkTame() {
	r := a.rep
	share := func(name string, n, percent int) {
		r.Fired = append(r.Fired, Fired{Kind: "share", Name: name, Times: n, Want: certain(r.Deliveries, percent)})
	}
	share("duplicates", r.Duplicates, 10)
	share("reordered", r.Reordered, 10)
	share("late", r.Late, 2)
	for _, fault := range sortedKeys(a.ev.Fired) {
		f := Fired{Kind: "fault", Name: fault, Times: int(a.ev.Fired[fault]), Want: a.opt.Fired}
		if note := faultsElsewhere[fault]; note != "" {
			f.Want, f.Note = 0, note
		}
		r.Fired = append(r.Fired, f)
	}
	for _, cause := range wire.Causes() {
		f := Fired{Kind: "cause", Name: string(cause), Times: r.DeadLetters[string(cause)], Want: a.opt.Fired}
		if note := causesElsewhere[cause]; note != "" {
			f.Want, f.Note = 0, note
		}
		r.Fired = append(r.Fired, f)
	}
	for reason := wire.ReasonUnspecified; reason <= wire.ReasonPolicyRefused; reason++ {
		f := Fired{Kind: "reason", Name: reason.String(), Times: r.Reasons[reason.String()], Want: a.opt.Fired}
		if note := elsewhere[reason]; note != "" {
			f.Want, f.Note = 0, note
		}
		r.Fired = append(r.Fired, f)
	}
	if a.opt.Fired == 0 {
		return
	}
	for _, f := range r.Fired {
		if f.Times < f.Want {
			a.found.add(Tame, fmt.Sprintf("%s %s: %d, want at least %d", f.Kind, f.Name, f.Times, f.Want), f.Name)
		}
	}
}
