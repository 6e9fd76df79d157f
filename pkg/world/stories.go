package world

import (
	"maps"
	"time"

	"github.com/concord-ats/concord/pkg/wire"
)

// The waves.
const (
	prologue  = 0 // what must be known before the rest comes
	mainWave  = 1
	afterWave = 2 // people act on what the ATS shows now; what was late arrives
	epilogue  = 3
)

// story is one kind of truth. Weights are out of about 2,000.
type story struct {
	name   string
	weight int
	tell   func(*builder)
}

// turnsOnSteps are the stories that turn on what happened between two looks at the ATS, or on who did it.
var turnsOnSteps = map[string]bool{
	"clocks within the margin":        true,
	"older than the base":             true,
	"older than the base, with news":  true,
	"forbidden jump":                  true,
	"forbidden jump, overridden":      true,
	"rival robot, reverted once":      true,
	"rival robot, contested":          true,
	"webhook lost":                    true,
	"reject and unreject at one time": true,
	"field edited by a person":        true,
	"unmapped stage":                  true,
}

// happensAt reports whether a story's end is certain at an instance.
func (s *story) happensAt(in *Instance) bool {
	if in.Hints && turnsOnSteps[s.name] {
		return false
	}
	return s.name != undatedWebhook || in.greenhouse()
}

// undatedWebhook is the story that has a body of its own.
const undatedWebhook = "undated webhook"

// stories is the grammar. Each one fixes its own end, by construction.
func stories() []story {
	return append([]story{
		{"pass", 330, (*builder).pass},
		{"fail", 330, (*builder).fail},
		{"review", 60, (*builder).review},
		{"partial result the ATS refuses", 26, (*builder).partial},
		{"score without scale", 26, (*builder).unscaled},
		{"pass, offer, hire", 110, (*builder).passAndHire},
		{"pass, then rejected by a person", 50, (*builder).passThenReject},
		{"rejected by a person, then a late pass", 50, (*builder).rejectThenLatePass},
		{"advanced by a person, then a late fail", 50, (*builder).advanceThenLateFail},
		{"pass stamped before screening", 40, (*builder).earlyPass},
		{"webhook lost", 30, (*builder).lostWebhook},
		{"corrected score", 50, (*builder).correctedScore},
		{"pass corrected to fail after it acted", 40, (*builder).correctedTooLate},
		{"review corrected to pass", 40, (*builder).reviewedToPass},
		{"second attempt passes", 50, (*builder).secondAttempt},
		{"cancelled and ordered again", 30, (*builder).orderedAgain},
		{"unrejected by a person", 40, (*builder).unrejected},
		{"clock beyond the margin", 30, (*builder).wildClock},
		{"clocks within the margin", 40, (*builder).withinMargin},
	}, moreStories()...)
}

// pass: a person screens, the vendor says advance, nobody interferes: interviews.
func (b *builder) pass() { b.passIn(mainWave, b.recent()) }

// passIn tells a pass that ended some time ago.
func (b *builder) passIn(wave int, ago time.Duration) {
	done := b.ago(ago)
	from := done.Add(-b.between(20*time.Minute, 5*time.Hour))
	b.toScreening(wave, from)
	b.screening(wave, from, done, wire.RecommendationAdvance)
	b.end.Canonical, b.end.Stage = interviews, nativeInterviews
}

// fail: the same with reject: rejected, by Concord's own reason, at the stage it had.
func (b *builder) fail() {
	done := b.ago(b.recent())
	from := done.Add(-b.between(20*time.Minute, 5*time.Hour))
	b.toScreening(mainWave, from)
	b.screening(mainWave, from, done, wire.RecommendationReject)
	b.rejectedByVerdict()
}

func (b *builder) rejectedByVerdict() {
	b.end.Canonical, b.end.Status, b.end.Reason = rejected, "rejected", reasonByVerdict
}

// review: a result that asks people to look moves nobody.
func (b *builder) review() {
	done := b.ago(b.recent())
	from := done.Add(-b.between(20*time.Minute, 5*time.Hour))
	b.toScreening(mainWave, from)
	b.screening(mainWave, from, done, wire.RecommendationReview)
}

// partial: the option "partial" was removed from the ATS's field, so that it refuses the write. Nothing of it
// shows, and an incident says so.
func (b *builder) partial() {
	done := b.ago(b.recent())
	from := done.Add(-b.between(20*time.Minute, 5*time.Hour))
	b.toScreening(mainWave, from)
	order := b.newOrder()
	b.prelude(mainWave, order, 1, from, done)
	b.screen(mainWave, "screening.completed", done, order, 1, &wire.ScreeningResult{Status: wire.ResultStatusPartial, Revision: 1})
	b.end.Incident = "write_blocked"
}

// unscaled: a bare score is not comparable: the field stays empty, the rest is written.
func (b *builder) unscaled() {
	done := b.ago(b.recent())
	from := done.Add(-b.between(20*time.Minute, 5*time.Hour))
	b.toScreening(mainWave, from)
	order := b.newOrder()
	b.prelude(mainWave, order, 1, from, done)
	r, fields := b.result(wire.RecommendationAdvance, 1)
	r.Score = &wire.Score{Value: 81}
	fields[fieldScore] = ""
	b.screen(mainWave, "screening.completed", done, order, 1, r)
	b.end.Fields, b.end.Canonical, b.end.Stage, b.end.Incident = fields, interviews, nativeInterviews, "missing_field"
}

// passAndHire: people go on from where Concord brought the candidate.
func (b *builder) passAndHire() {
	b.passIn(mainWave, b.recent())
	b.moveWhen(afterWave, time.Time{}, nativeOffer, &Shown{nativeInterviews, "active"})
	b.hire(epilogue, time.Time{}, &Shown{nativeOffer, "active"})
	b.end.Canonical = hired
}

// passThenReject: a person rejects after the pass was written.
func (b *builder) passThenReject() {
	b.passIn(mainWave, b.recent())
	b.reject(afterWave, time.Time{}, reasonByHuman, &Shown{nativeInterviews, "active"})
	b.end.Canonical = rejected
}

// rejectThenLatePass: the pass is older than the person's rejection and arrives after it. The rejection stands.
func (b *builder) rejectThenLatePass() {
	done := b.ago(b.between(90*time.Minute, 4*time.Hour))
	from := done.Add(-b.between(20*time.Minute, 5*time.Hour))
	b.toScreening(mainWave, from)
	b.reject(mainWave, done.Add(b.between(20*time.Minute, time.Hour)), reasonByHuman, nil)
	b.lateResult(from, done, wire.RecommendationAdvance)
	b.end.Canonical = rejected
}

// advanceThenLateFail: a person advanced the candidate after the screening had failed, before anyone knew. The
// person stands.
func (b *builder) advanceThenLateFail() {
	done := b.ago(b.between(90*time.Minute, 4*time.Hour))
	from := done.Add(-b.between(20*time.Minute, 5*time.Hour))
	b.toScreening(mainWave, from)
	b.move(mainWave, done.Add(b.between(20*time.Minute, time.Hour)), nativeInterviews)
	b.lateResult(from, done, wire.RecommendationReject)
	b.end.Canonical = interviews
}

// lateResult tells a screening whose result comes a wave late.
func (b *builder) lateResult(from, done time.Time, rec wire.Recommendation) {
	order := b.newOrder()
	b.prelude(mainWave, order, 1, from, done)
	r, fields := b.result(rec, 1)
	b.screen(afterWave, "screening.completed", done, order, 1, r)
	b.w.Steps[len(b.w.Steps)-1].Late = true
	b.end.Fields = fields
}

// earlyPass: the result comes before the person moves the candidate into screening: a verdict is a level.
func (b *builder) earlyPass() {
	done := b.ago(b.between(90*time.Minute, 4*time.Hour))
	from := done.Add(-b.between(20*time.Minute, 3*time.Hour))
	b.history(prologue, from, nativeTriage)
	b.screening(mainWave, from, done, wire.RecommendationAdvance)
	b.move(afterWave, time.Time{}, nativeScreening)
	b.end.Canonical, b.end.Stage = interviews, nativeInterviews
}

// lostWebhook: a person took the candidate back to triage after the screening had ended, and nobody was told. The
// write finds it out, and the person stands.
func (b *builder) lostWebhook() {
	done := b.ago(b.between(90*time.Minute, 4*time.Hour))
	from := done.Add(-b.between(20*time.Minute, 3*time.Hour))
	b.toScreening(prologue, from)
	at := done.Add(b.between(20*time.Minute, time.Hour))
	b.fact(at, "human", "moved to %d, unheard of", nativeTriage)
	b.act(prologue, at, nil, Action{Kind: "move", Stage: nativeTriage, Silent: true})
	b.screening(mainWave, from, done, wire.RecommendationAdvance)
	b.end.Canonical, b.end.Stage, b.end.Incident = triage, nativeTriage, "verdict_overridden"
}

// correctedScore: the verdict stays, the score changes.
func (b *builder) correctedScore() {
	b.passIn(mainWave, b.between(time.Hour, 2*time.Hour))
	r, fields := b.result(wire.RecommendationAdvance, 2)
	b.screen(afterWave, "screening.corrected", b.ago(b.between(time.Minute, 20*time.Minute)), b.lastOrder(), 1, r)
	b.end.Fields = fields
}

// correctedTooLate: the pass has acted; its correction to a fail moves nobody by itself and becomes an incident.
func (b *builder) correctedTooLate() {
	b.passIn(mainWave, b.between(time.Hour, 2*time.Hour))
	r, fields := b.result(wire.RecommendationReject, 2)
	b.screen(afterWave, "screening.corrected", b.ago(b.between(time.Minute, 20*time.Minute)), b.lastOrder(), 1, r)
	b.end.Fields, b.end.Incident = fields, "unconsumed_result"
}

// reviewedToPass: the vendor's reviewer decides after all.
func (b *builder) reviewedToPass() {
	done := b.ago(b.between(time.Hour, 3*time.Hour))
	from := done.Add(-b.between(20*time.Minute, 5*time.Hour))
	b.toScreening(mainWave, from)
	b.screening(mainWave, from, done, wire.RecommendationReview)
	r, fields := b.result(wire.RecommendationAdvance, 2)
	b.screen(afterWave, "screening.reviewed", b.ago(b.between(time.Second, 40*time.Minute)), b.lastOrder(), 1, r)
	b.end.Fields, b.end.Canonical, b.end.Stage = fields, interviews, nativeInterviews
}

// secondAttempt: the first attempt expired, the second one passes.
func (b *builder) secondAttempt() {
	done := b.ago(b.recent())
	from := done.Add(-b.between(4*time.Hour, 9*time.Hour))
	b.toScreening(mainWave, from)
	order, mid := b.newOrder(), from.Add(2*time.Hour)
	b.prelude(mainWave, order, 1, from, mid)
	b.screen(mainWave, "screening.expired", mid, order, 1, nil)
	b.screen(mainWave, "screening.invited", mid.Add(30*time.Minute), order, 2, nil)
	r, fields := b.result(wire.RecommendationAdvance, 1)
	b.screen(mainWave, "screening.completed", done, order, 2, r)
	b.end.Fields, b.end.Canonical, b.end.Stage = fields, interviews, nativeInterviews
}

// orderedAgain: the first order was cancelled without a result.
func (b *builder) orderedAgain() {
	done := b.ago(b.recent())
	from := done.Add(-b.between(6*time.Hour, 9*time.Hour))
	b.toScreening(mainWave, from)
	first := b.newOrder()
	b.prelude(mainWave, first, 1, from, from.Add(time.Hour))
	b.screen(mainWave, "screening.cancelled", from.Add(2*time.Hour), first, 1, nil)
	b.screening(mainWave, from.Add(3*time.Hour), done, wire.RecommendationAdvance)
	b.end.Canonical, b.end.Stage = interviews, nativeInterviews
}

// unrejected: a person reopens what a verdict had closed. The old verdict never acts again.
func (b *builder) unrejected() {
	b.fail()
	b.unreject(epilogue, time.Time{}, &Shown{nativeScreening, "rejected"})
	b.end.Canonical = screening
}

// wildClock: a vendor whose clock is off by more than is declared, where no one else's time is near.
func (b *builder) wildClock() {
	b.vendor = wild[b.rng.IntN(len(wild))]
	b.passIn(mainWave, b.between(30*time.Minute, 2*time.Hour))
}

// withinMargin: the vendor passed the candidate between two moves of a person, twenty seconds apart. Nobody can
// know the order: interviews is the truth, screening is right too where an incident says that the verdict gave way.
func (b *builder) withinMargin() {
	done := b.ago(b.between(time.Hour, 3*time.Hour))
	from := done.Add(-b.between(20*time.Minute, 5*time.Hour))
	b.toScreening(mainWave, from)
	b.move(mainWave, done.Add(-10*time.Second), nativeTriage)
	b.move(mainWave, done.Add(10*time.Second), nativeScreening)
	b.screening(mainWave, from, done, wire.RecommendationAdvance)
	b.app.Ambiguous = true
	other := b.end
	other.Fields = maps.Clone(b.end.Fields)
	other.Canonical, other.Stage, other.Incident = screening, nativeScreening, "verdict_overridden"
	b.app.Ends = append(b.app.Ends, other)
	b.end.Canonical, b.end.Stage = interviews, nativeInterviews
}
