package hiring_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/concord-ats/concord/pkg/hiring"
)

// history is what happened to one application, and what reaches us of it: every event at least once, some twice,
// observed at different times, some under an identity another event has.
type history struct {
	deliveries []hiring.Event
	polls      bool // it has snapshots without a version
}

// Times are drawn from few seconds, so that ties are frequent.
const historySeconds = 40

var stageIDs = []string{"1001", "1002", "71416", "1004", "1005", "2944102", "999"}

// drawHistory draws a history. With polls it may have snapshots without a version.
func drawHistory(t *rapid.T, polls bool) history {
	h := history{polls: polls}
	n := rapid.IntRange(1, 12).Draw(t, "events")
	for i := range n {
		e := drawEvent(t, i, polls)
		if i > 0 && rapid.IntRange(0, 11).Draw(t, "same identity") == 0 { // contradicts, unless the content is the same too
			other := h.deliveries[rapid.IntRange(0, len(h.deliveries)-1).Draw(t, "as")]
			if other.Type != hiring.EventOutcome && e.Type != hiring.EventOutcome && !acts(other.Type) && !acts(e.Type) {
				e.Source, e.ID = other.Source, other.ID
			}
		}
		e.Digest = contentDigest(&e)
		for range rapid.IntRange(1, 2).Draw(t, "deliveries") {
			d := e
			if seen := rapid.IntRange(-1, historySeconds+20).Draw(t, "observed"); seen >= 0 {
				d.ObservedAt = epoch + hiring.Micros(seen)*1e6
			}
			h.deliveries = append(h.deliveries, d)
		}
	}
	return h
}

// acts reports whether a control acts on the state rather than on the fold.
func acts(t hiring.EventType) bool { return t == hiring.EventErase || t == hiring.EventResync }

func drawTime(t *rapid.T) hiring.Micros {
	return epoch + hiring.Micros(rapid.IntRange(1, historySeconds).Draw(t, "second"))*1e6
}

func drawEvent(t *rapid.T, i int, polls bool) hiring.Event {
	e := hiring.Event{ID: fmt.Sprintf("e%02d", i), OccurredAt: drawTime(t)}
	e.ID = rapid.SampledFrom([]string{"a", "m", "z"}).Draw(t, "rank") + e.ID // ids do not follow time
	switch kind := rapid.IntRange(0, 19).Draw(t, "kind"); {
	case kind < 9:
		drawATS(t, &e, polls)
	case kind < 15:
		drawVendor(t, &e)
	case kind < 17:
		drawControl(t, &e)
	default:
		drawOutcome(t, &e)
	}
	return e
}

func drawLevel(t *rapid.T, e *hiring.Event) {
	e.Status = rapid.SampledFrom([]hiring.Status{hiring.StatusActive, hiring.StatusActive, hiring.StatusActive, hiring.StatusUnspecified, hiring.StatusRejected, hiring.StatusHired, hiring.StatusWithdrawn}).Draw(t, "status")
	if rapid.IntRange(0, 4).Draw(t, "with stage") > 0 {
		e.Stage = rapid.SampledFrom(stageIDs).Draw(t, "stage")
	}
}

func drawATS(t *rapid.T, e *hiring.Event, polls bool) {
	e.Source, e.System = "greenhouse", atsSystem
	e.Type = rapid.SampledFrom([]hiring.EventType{
		hiring.EventCreated, hiring.EventStageChanged, hiring.EventStageChanged, hiring.EventStageChanged, hiring.EventRejected, hiring.EventUnrejected,
		hiring.EventHired, hiring.EventWithdrawn, hiring.EventTransferred, hiring.EventUpdated, hiring.EventDeleted, hiring.EventSnapshot, hiring.EventSnapshot,
	}).Draw(t, "type")
	drawLevel(t, e)
	switch e.Type {
	case hiring.EventRejected:
		e.Status, e.RejectReason = hiring.StatusRejected, "8"
	case hiring.EventUnrejected, hiring.EventStageChanged, hiring.EventCreated:
		e.Status = hiring.StatusActive
	}
	if rapid.IntRange(0, 3).Draw(t, "with requisition") == 0 {
		e.Requisition = hiring.Requisition{Type: rapid.SampledFrom([]string{"", "engineering"}).Draw(t, "type"), Region: rapid.SampledFrom([]string{"", "eu", "us"}).Draw(t, "region")}
	}
	e.Actor = rapid.SampledFrom([]hiring.ActorKind{hiring.ActorHuman, hiring.ActorUnknown, hiring.ActorIntegration, hiring.ActorSystem}).Draw(t, "actor")
	if e.Type == hiring.EventSnapshot {
		e.Basis, e.Source = hiring.BasisRecord, "poller"
		if polls && rapid.Bool().Draw(t, "unversioned") {
			e.Basis = hiring.BasisFetch
		}
	} else if rapid.IntRange(0, 2).Draw(t, "with previous") == 0 {
		e.PreviousStage = rapid.SampledFrom(stageIDs).Draw(t, "previous")
	}
	if rapid.IntRange(0, 9).Draw(t, "hint") == 0 {
		e.Basis = hiring.BasisReceipt
	}
	if rapid.IntRange(0, 3).Draw(t, "with element") == 0 {
		e.Elements = []hiring.Element{{Name: hiring.ElementScreeningScore, Value: rapid.SampledFrom([]string{"1", "2"}).Draw(t, "value")}}
	}
	e.Candidate = rapid.SampledFrom([]string{"", "", "c1", "c2"}).Draw(t, "candidate")
}

func drawVendor(t *rapid.T, e *hiring.Event) {
	e.Source = "vetting.example"
	e.System = rapid.SampledFrom([]string{vendorSystem, vendorSystem, "other-vendor"}).Draw(t, "vendor")
	e.Order = rapid.SampledFrom([]string{"o1", "o1", "o2", ""}).Draw(t, "order")
	e.Attempt = rapid.Int32Range(1, 2).Draw(t, "attempt")
	e.Type = rapid.SampledFrom([]hiring.EventType{
		hiring.EventScreeningOrdered, hiring.EventScreeningStarted, hiring.EventScreeningCompleted, hiring.EventScreeningCompleted, hiring.EventScreeningCompleted,
		hiring.EventScreeningCorrected, hiring.EventScreeningCancelled,
	}).Draw(t, "type")
	if e.Type == hiring.EventScreeningCompleted || e.Type == hiring.EventScreeningCorrected {
		e.HasResult, e.FinishedAt = true, e.OccurredAt
		e.ResultRevision = rapid.Int32Range(0, 1).Draw(t, "revision")
		e.Verdict = rapid.SampledFrom([]hiring.Verdict{hiring.VerdictAdvance, hiring.VerdictAdvance, hiring.VerdictReject, hiring.VerdictReview}).Draw(t, "verdict")
		if rapid.IntRange(0, 3).Draw(t, "with a given score") == 0 {
			e.Score = &hiring.Score{Value: float64(rapid.IntRange(0, 10).Draw(t, "points")), Max: 10, Scale: rapid.SampledFrom([]string{"", "points"}).Draw(t, "scale")}
		} else if rapid.IntRange(0, 3).Draw(t, "with score") > 0 {
			e.Elements = []hiring.Element{{Name: hiring.ElementScreeningScore, Value: rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "score")}}
		}
	}
}

func drawControl(t *rapid.T, e *hiring.Event) {
	e.Source, e.System = "concord/control", hiring.ControlSystem
	e.Type = rapid.SampledFrom([]hiring.EventType{
		hiring.EventOverride, hiring.EventOverride, hiring.EventOverride, hiring.EventHold, hiring.EventHold, hiring.EventRelease, hiring.EventRelease,
		hiring.EventResync, hiring.EventMerge, hiring.EventMarkDuplicate, hiring.EventAnonymize,
	}).Draw(t, "type")
	switch e.Type {
	case hiring.EventOverride:
		e.Stage = rapid.SampledFrom([]string{"apply", "screening", "interviews", "offer", "rejected", "limbo"}).Draw(t, "to")
		if rapid.IntRange(0, 3).Draw(t, "for a time") == 0 {
			e.ExpiresAt = e.OccurredAt.Add(10 * time.Second)
		}
	case hiring.EventMerge:
		e.Candidate = "c3"
	case hiring.EventHold:
		if rapid.Bool().Draw(t, "expires") {
			e.ExpiresAt = e.OccurredAt.Add(time.Hour)
		}
		e.Scope = rapid.SampledFrom([]string{"", "", hiring.ScopeStage, hiring.ScopeElements, hiring.ElementScreeningScore}).Draw(t, "scope")
	case hiring.EventRelease:
		e.Scope = rapid.SampledFrom([]string{"", "", hiring.ScopeStage, "missing_field", "unconsumed_result", hiring.ElementScreeningScore}).Draw(t, "scope")
	}
}

// drawOutcome draws a write of ours that an outcome tells. Its content is fixed: the revision may be that of some
// command of this run or of none.
func drawOutcome(t *rapid.T, e *hiring.Event) {
	e.Source, e.Type = "concord/writeback", hiring.EventOutcome
	o := &hiring.Outcome{
		Revision: rapid.SampledFrom([]int64{-1, -1, 1, 2, 3}).Draw(t, "revision"), FinishedAt: e.OccurredAt,
		Outcome: rapid.SampledFrom([]hiring.OutcomeKind{hiring.OutcomeConfirmed, hiring.OutcomeConfirmed, hiring.OutcomeConfirmed, hiring.OutcomeAttempt, hiring.OutcomeSuperseded, hiring.OutcomeBlocked, hiring.OutcomeDeferred}).Draw(t, "outcome"),
		Cause:   hiring.Cause{Source: "vetting.example", ID: rapid.SampledFrom([]string{"a", "m", "z"}).Draw(t, "cause rank") + fmt.Sprintf("e%02d", rapid.IntRange(0, 11).Draw(t, "cause"))},
	}
	o.Cause.EffectiveAt = drawTime(t)
	o.VersionAfter = int64(drawTime(t))
	if rapid.Bool().Draw(t, "with before") {
		o.VersionBefore = o.VersionAfter - rapid.Int64Range(0, 5).Draw(t, "before")*1e6
	}
	o.Written = hiring.Tuple{Stage: rapid.SampledFrom(stageIDs[:5]).Draw(t, "wrote"), Status: hiring.StatusActive}
	if rapid.IntRange(0, 3).Draw(t, "closing") == 0 {
		o.Written = hiring.Tuple{Status: hiring.StatusRejected, Reason: "8"}
	}
	if rapid.Bool().Draw(t, "read back") {
		seen := o.Written
		seen.Version = o.VersionAfter
		o.Observed = &seen
	}
	e.Outcome = o
}

// byRevision gives every word of the ATS, and every outcome, a small revision, and makes rules order that ATS by it.
func byRevision(t *rapid.T, h *history, rules *hiring.Rules) {
	of := map[string]int64{}
	for i := range h.deliveries {
		e := &h.deliveries[i]
		id := fmt.Sprintf("%s %x", e.ID, e.Digest)
		if of[id] == 0 {
			of[id] = rapid.Int64Range(1, 8).Draw(t, "revision")
		}
		if e.Type.ATS() {
			e.Revision = of[id]
		}
		if e.Outcome != nil {
			o := *e.Outcome
			o.VersionAfter, o.VersionBefore = of[id], 0
			if o.Observed != nil {
				seen := *o.Observed
				seen.Version = of[id]
				o.Observed = &seen
			}
			e.Outcome = &o
		}
	}
	for i := range h.deliveries {
		h.deliveries[i].Digest = contentDigest(&h.deliveries[i])
	}
	for _, bundle := range rules.Bundles {
		everywhere(bundle, func(b *hiring.Bundle) {
			system := b.System
			b.System = func(name string) (hiring.System, bool) {
				s, ok := system(name)
				s.ByRevision = name == atsSystem
				return s, ok
			}
		})
	}
}

// drawRules draws the default policy or two that use everything a bundle can say. The caller owns the bundles.
func drawRules(t *rapid.T) *hiring.Rules {
	rules := defaultRules()
	if rapid.Bool().Draw(t, "rich policy") {
		rich(rules.Bundles[0])
		next := defaultBundle()
		rich(next)
		next.EffectiveAt, next.Mode, next.Waves, next.Paused = epoch+historySeconds/2*1e6, hiring.ModeWrite, nil, []string{"us"}
		rules.Bundles = append(rules.Bundles, next)
	}
	return rules
}

// rich makes b use everything a bundle can say, for some applications otherwise than for others.
func rich(b *hiring.Bundle) {
	b.Jumps = []hiring.JumpRule{
		{From: hiring.StageApply, To: hiring.StageOffer, Forbidden: hiring.JumpRevert},
		{From: hiring.StageTriage, Forbidden: hiring.JumpRecord, Unauthorised: hiring.JumpHold},
		{From: hiring.StageInterviews, To: hiring.StageScreening, Unauthorised: hiring.JumpRecord},
		{From: hiring.StageInterviews, Forbidden: hiring.JumpRevert, Unauthorised: hiring.JumpHold},
	}
	b.Stages = slices.Clone(b.Stages)
	for i := range b.Stages {
		if r := &b.Stages[i]; !r.Closed {
			r.SLA, r.WarnBefore, r.Business = 300*time.Second, 100*time.Second, i%2 == 0
		}
	}
	b.Calendar = hiring.NewCalendar([]hiring.Opening{{From: epoch, Until: epoch + 30e6}, {From: epoch + 200e6, Until: epoch + 900e6}})
	b.Mode = hiring.ModeShadow
	b.Waves = []hiring.Wave{
		{Name: "engineers", Selector: hiring.Selector{Type: "engineering"}, Percent: 100, Mode: hiring.ModeObserve},
		{Name: "here", Selector: hiring.Selector{System: "gh-*"}, Percent: 50, Mode: hiring.ModeWrite, NewOnly: true},
	}
	b.Elements = []hiring.ElementRule{
		{Name: "note", Golden: []string{"gh-*"}},
		{Name: hiring.ElementScreeningScore, Conflict: hiring.ConflictLatest, Number: true, Tolerance: 1, WriteBack: true, Mandatory: true, Within: 200 * time.Second},
	}
	_ = remap(b, func(m *hiring.Mapping) { m.Withdrawn = []string{"8"} })
	b.Elements[1].Scale = &hiring.Scale{Code: "points", Max: 10, ValidFor: 25 * time.Second}
	b.CutOffs = []hiring.CutOff{{Selector: hiring.Selector{Type: "engineering"}, Element: hiring.ElementScreeningScore, Advance: 7, Reject: 3}}
	b.Orders = []hiring.OrderRule{{Stage: hiring.StageScreening, Vendor: vendorSystem, Test: "coding", Within: 100 * time.Second}}
	eu := *b
	_ = remap(&eu, func(m *hiring.Mapping) {
		m.Stages["999"] = hiring.StageTriage
		delete(m.Native, hiring.StageInterviews)
	})
	eu.Calendar, eu.Elements = nil, []hiring.ElementRule{{Name: hiring.ElementScreeningScore, Conflict: hiring.ConflictHold, WriteBack: true, Within: time.Second}}
	eu.Jumps = []hiring.JumpRule{{From: hiring.StageApply, Forbidden: hiring.JumpRecord, Unauthorised: hiring.JumpRecord}}
	b.Variants = []hiring.Variant{{Selector: hiring.Selector{Region: "eu"}, Bundle: &eu}}
}

// readBack gives an outcome what a confirmation always has: what the ATS showed. Its echo is found at once, and does
// not wait for a record that may come after the horizon.
func readBack(e *hiring.Event) {
	if e.Outcome != nil {
		o := *e.Outcome
		seen := o.Written
		seen.Version = o.VersionAfter
		o.Observed = &seen
		e.Outcome = &o
	}
}

// shift moves everything a delivery says by d, and renames it.
func shift(e hiring.Event, d time.Duration, name string) hiring.Event {
	move := func(t *hiring.Micros) {
		if *t != 0 {
			*t = t.Add(d)
		}
	}
	e.ID = name + e.ID
	move(&e.OccurredAt)
	move(&e.ObservedAt)
	move(&e.FinishedAt)
	move(&e.ExpiresAt)
	if e.Outcome != nil {
		o := *e.Outcome
		o.Cause.ID = name + o.Cause.ID
		move(&o.Cause.EffectiveAt)
		move(&o.FinishedAt)
		o.VersionAfter += d.Microseconds()
		if o.VersionBefore != 0 {
			o.VersionBefore += d.Microseconds()
		}
		if o.Observed != nil {
			seen := *o.Observed
			seen.Version += d.Microseconds()
			o.Observed = &seen
		}
		e.Outcome = &o
	}
	e.Digest = contentDigest(&e)
	return e
}

// deliver decides deliveries in an order, a second apart, timers between, and then lets every timer run.
func deliver(rules *hiring.Rules, deliveries []hiring.Event, order []int, watch func(prior *hiring.State, e *hiring.Event, now hiring.Micros, d *hiring.Decision)) *hiring.State {
	s := hiring.NewState("gh-main/1")
	now := epoch + 100e6
	run := func(e *hiring.Event, now hiring.Micros) {
		d := hiring.Decide(rules, s, e, now)
		if watch != nil {
			watch(s, e, now, &d)
		}
		s = d.State
	}
	fire := func(until hiring.Micros) {
		for n := 0; s.NextDue != 0 && s.NextDue <= until; n++ {
			due := s.NextDue
			run(&hiring.Event{Type: hiring.EventTimer}, due)
			if s.NextDue != 0 && s.NextDue <= due || n > 5000 {
				panic(fmt.Sprintf("livelock: the timer due at %s is followed by one at %s", clock(due), clock(s.NextDue)))
			}
		}
	}
	for _, i := range order {
		now = max(now+1e6, deliveries[i].ObservedAt)
		fire(now)
		e := deliveries[i]
		run(&e, now)
	}
	fire(epoch + hiring.FromTime(time.Unix(40*86400, 0)))
	return s
}

// end is what I12 compares. Whether a write was blocked, and so whether a field diverges from it or is overdue, depends on
// which revision an outcome met, and is left out.
func end(s *hiring.State) string {
	var kept []string
	for line := range strings.SplitSeq(describe(s), "\n") {
		if !strings.HasPrefix(line, "incident: write_blocked") && !strings.HasPrefix(line, "incident: field_divergence") &&
			!strings.HasPrefix(line, "incident: stuck "+hiring.ElementScreeningScore) && !strings.HasPrefix(line, "incident: stuck order") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

func identityOrder(n int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	return order
}

// drawOrder draws a permutation of n deliveries with some of them twice.
func drawOrder(t *rapid.T, n int) []int {
	order := identityOrder(n)
	for range rapid.IntRange(0, n).Draw(t, "again") {
		order = append(order, rapid.IntRange(0, n-1).Draw(t, "which"))
	}
	return rapid.Permutation(order).Draw(t, "order")
}

func show(deliveries []hiring.Event, order []int) string {
	var b strings.Builder
	for _, i := range order {
		e := &deliveries[i]
		fmt.Fprintf(&b, "%2d %s %s/%s at %s observed %s stage %q<-%q %s actor %d basis %d order %s/%d/%d result %t %s %v candidate %q\n", i, e.Type, e.System, e.ID, clock(e.OccurredAt), clock(e.ObservedAt),
			e.Stage, e.PreviousStage, e.Status, e.Actor, e.Basis, e.Order, e.Attempt, e.ResultRevision, e.HasResult, e.Verdict, e.Elements, e.Candidate)
		if o := e.Outcome; o != nil {
			fmt.Fprintf(&b, "     outcome %d r%d wrote %+v cause %s eff %s version %s before %s read %t\n", o.Outcome, o.Revision, o.Written, o.Cause.ID, clock(o.Cause.EffectiveAt), clock(hiring.Micros(o.VersionAfter)), clock(hiring.Micros(o.VersionBefore)), o.Observed != nil)
		}
	}
	return b.String()
}
