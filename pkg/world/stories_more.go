package world

import (
	"fmt"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/wire"
)

// moreStories are those of people, robots, operators and bad records.
func moreStories() []story {
	return []story{
		{"people alone, to a hire", 40, (*builder).peopleAlone},
		{"rejected in triage", 40, (*builder).rejectedInTriage},
		{"withdrawn", 40, (*builder).withdrawn},
		{"forbidden jump", 30, (*builder).forbiddenJump},
		{"forbidden jump, overridden", 26, (*builder).jumpOverridden},
		{"rival robot, reverted once", 26, (*builder).robotOnce},
		{"rival robot, contested", 34, (*builder).robotTwice},
		{"reject and unreject at one time", 30, (*builder).tie},
		{"two values of a field at one time", 30, (*builder).fieldTie},
		{"unmapped stage", 30, (*builder).unmapped},
		{"field edited by a person", 26, (*builder).fieldEdited},
		{"held", 26, (*builder).held},
		{"held, then released", 26, (*builder).heldReleased},
		{"held until it expires", 26, (*builder).heldExpired},
		{"overridden", 26, (*builder).overridden},
		{"override of a hire", 26, (*builder).overrideOfHire},
		{"stale override", 26, (*builder).overrideStale},
		{"resynced", 26, (*builder).resynced},
		{"erased", 26, (*builder).erased},
		{"anonymised", 26, (*builder).anonymised},
		{"merged", 26, (*builder).merged},
		{"marked as duplicate", 26, (*builder).marked},
		{"contradicted by a connector", 26, (*builder).contradictedChange},
		{"contradicted by a vendor", 26, (*builder).contradictedScreening},
		{undatedWebhook, 30, (*builder).undated},
		{"stuck", 40, (*builder).stuck},
		{"older than the base", 26, (*builder).olderThanBase},
		{"older than the base, with news", 26, (*builder).olderWithNews},
		{"oversize", 24, (*builder).oversize},
	}
}

// peopleAlone: no vendor at all.
func (b *builder) peopleAlone() {
	at := b.ago(b.between(time.Hour, 5*time.Hour))
	b.history(mainWave, at, nativeTriage, nativeScreening, nativeInterviews, nativeOffer)
	b.hire(mainWave, at.Add(30*time.Minute), nil)
	b.end.Canonical = hired
}

func (b *builder) rejectedInTriage() {
	at := b.ago(b.between(time.Hour, 5*time.Hour))
	b.history(mainWave, at, nativeTriage)
	b.reject(mainWave, at.Add(30*time.Minute), reasonByHuman, nil)
	b.end.Canonical = rejected
}

// withdrawn: in this ATS a withdrawal is a rejection with a reason of its own.
func (b *builder) withdrawn() {
	at := b.ago(b.between(time.Hour, 5*time.Hour))
	b.toScreening(mainWave, at)
	b.reject(mainWave, at.Add(30*time.Minute), reasonWithdrawn, nil)
	b.end.Canonical = withdrawn
}

// forbiddenJump: a person goes from apply to offer. The canonical stage stays, the ATS is left alone.
func (b *builder) forbiddenJump() {
	at := b.ago(b.between(time.Hour, 5*time.Hour))
	b.history(mainWave, at)
	b.move(mainWave, at.Add(30*time.Minute), nativeOffer)
	b.end.Canonical, b.end.Incident = apply, "forbidden_jump"
}

// jumpOverridden: the jump, and a person who takes it upon themself.
func (b *builder) jumpOverridden() {
	b.forbiddenJump()
	b.control(afterWave, "control.override", b.ago(time.Minute), func(c *wire.Control) { c.Stage = offer })
	b.end.Canonical, b.end.Incident = offer, ""
}

// robotOnce: another integration moves without authority; Concord moves back, once.
func (b *builder) robotOnce() {
	at := b.ago(b.between(2*time.Hour, 5*time.Hour))
	b.toScreening(mainWave, at)
	b.robot(mainWave, at.Add(time.Hour), nativeScreening, nativeInterviews, nil)
	b.end.Canonical, b.end.Stage = screening, nativeScreening
}

// robotTwice: the robot does it again, and then there is silence until a person acts.
func (b *builder) robotTwice() {
	b.robotOnce()
	b.robot(epilogue, time.Time{}, nativeScreening, nativeInterviews, &Shown{nativeScreening, "active"})
	b.end.Stage, b.end.Incident = nativeInterviews, "unauthorised"
}

// tie: two opposite webhooks of one instant. The ATS's own state decides.
func (b *builder) tie() {
	at := b.ago(b.between(time.Hour, 5*time.Hour))
	b.history(mainWave, at, nativeTriage)
	both := at.Add(30 * time.Minute)
	b.reject(mainWave, both, reasonByHuman, nil)
	b.unreject(mainWave, both, nil)
	b.end.Canonical = triage
}

// fieldTie: a connector tells two values of one field for one instant, under two ids.
func (b *builder) fieldTie() {
	at := b.ago(b.between(3*time.Hour, 5*time.Hour))
	b.history(prologue, at, nativeTriage)
	for i, value := range []string{"4711", "4712"} {
		b.fact(at.Add(time.Hour), "robot", "set cost_center to %s", value)
		b.send(mainWave, "ats.changes", &wire.AtsChange{
			ID: fmt.Sprintf("connector-%d-%d", b.app.Native, i), Source: "connector/" + b.in.System, Type: "application.updated", System: b.in.System,
			OccurredAt: wire.MicrosOf(at.Add(time.Hour)), TimeBasis: wire.TimeBasisEvent, ApplicationID: b.app.ID,
			Elements: []wire.Element{{Name: "cost_center", Value: value}},
		}, false)
	}
	b.end.Incident = "tie"
}

// unmapped: a person moves to a stage nobody mapped. Nothing is known of it, so nothing is done.
func (b *builder) unmapped() {
	at := b.ago(b.between(time.Hour, 5*time.Hour))
	b.history(mainWave, at, nativeTriage)
	b.move(mainWave, at.Add(30*time.Minute), nativeUnmapped)
	b.end.Canonical, b.end.Incident = triage, "unmapped"
}

// fieldEdited: a person overwrites a written field; it is an incident, not a fight.
func (b *builder) fieldEdited() {
	b.passIn(mainWave, b.recent())
	b.edit(afterWave, time.Time{}, &Shown{nativeInterviews, "active"}, fieldScore, "101")
	b.end.Fields[fieldScore] = "101"
	b.end.Incident = "field_divergence"
}

// held: an operator holds the application before its result comes. Nothing is written.
func (b *builder) held() {
	done := b.ago(b.between(time.Minute, time.Hour))
	from := done.Add(-b.between(20*time.Minute, 5*time.Hour))
	b.toScreening(prologue, from)
	b.control(prologue, "control.hold", from.Add(10*time.Minute), nil)
	b.screening(mainWave, from, done, wire.RecommendationAdvance)
	b.end.Canonical = interviews
	for key := range b.end.Fields {
		b.end.Fields[key] = ""
	}
}

// heldReleased: the hold is lifted later, and what was owed is written.
func (b *builder) heldReleased() {
	done := b.ago(b.between(time.Hour, 2*time.Hour))
	from := done.Add(-b.between(20*time.Minute, 5*time.Hour))
	b.toScreening(prologue, from)
	b.control(prologue, "control.hold", from.Add(10*time.Minute), nil)
	b.screening(mainWave, from, done, wire.RecommendationAdvance)
	b.control(afterWave, "control.release", b.ago(b.between(10*time.Second, 5*time.Minute)), nil)
	b.end.Canonical, b.end.Stage = interviews, nativeInterviews
}

// heldExpired: the hold ends by itself while the demo runs.
func (b *builder) heldExpired() {
	done := b.ago(b.between(time.Minute, time.Hour))
	from := done.Add(-b.between(20*time.Minute, 5*time.Hour))
	b.toScreening(prologue, from)
	b.control(prologue, "control.hold", from.Add(10*time.Minute), func(c *wire.Control) {
		c.ExpiresAt = wire.MicrosOf(b.w.Start.Add(b.between(7*time.Second, 12*time.Second)))
	})
	b.screening(mainWave, from, done, wire.RecommendationAdvance)
	b.end.Canonical, b.end.Stage = interviews, nativeInterviews
}

// overridden: an operator sets the stage.
func (b *builder) overridden() {
	b.history(mainWave, b.ago(b.between(time.Hour, 5*time.Hour)), nativeTriage)
	b.control(afterWave, "control.override", b.ago(time.Minute), func(c *wire.Control) { c.Stage = interviews })
	b.end.Canonical, b.end.Stage = interviews, nativeInterviews
}

// overrideOfHire: an operator sets the stage of someone who is hired in the ATS, which cannot be undone there.
func (b *builder) overrideOfHire() {
	b.peopleAlone()
	b.control(epilogue, "control.override", b.ago(time.Minute), func(c *wire.Control) { c.Stage = interviews })
	b.end.Canonical = interviews
}

// overrideStale: the operator saw the first version; the application has moved since.
func (b *builder) overrideStale() {
	at := b.ago(b.between(2*time.Hour, 5*time.Hour))
	b.history(prologue, at, nativeTriage)
	b.move(mainWave, at.Add(time.Hour), nativeScreening)
	b.end.Canonical = screening
	b.control(afterWave, "control.override", b.ago(time.Minute), func(c *wire.Control) { c.Stage, c.SeenVersion = offer, 1 })
}

// resynced: everything is sent again, and shows already.
func (b *builder) resynced() {
	b.passIn(mainWave, b.recent())
	b.control(afterWave, "control.resync", b.ago(time.Second), nil)
}

// erased: the application is erased; the ATS keeps what it has.
func (b *builder) erased() {
	b.history(mainWave, b.ago(b.between(time.Hour, 5*time.Hour)), nativeTriage)
	b.control(epilogue, "control.erase", b.ago(time.Second), nil)
	b.end.Canonical, b.end.Erased = "", true
}

// anonymised, merged and marked change what is known of the person, and nobody's stage.
func (b *builder) anonymised() {
	b.history(mainWave, b.ago(b.between(time.Hour, 5*time.Hour)), nativeTriage)
	b.control(afterWave, "control.anonymize", b.ago(time.Second), nil)
}

func (b *builder) merged() {
	b.history(mainWave, b.ago(b.between(time.Hour, 5*time.Hour)), nativeTriage)
	b.control(afterWave, "control.merge", b.ago(time.Second), func(c *wire.Control) { c.Subject = fmt.Sprint(b.app.Native + 2_000_000) })
}

func (b *builder) marked() {
	b.history(mainWave, b.ago(b.between(time.Hour, 5*time.Hour)), nativeTriage)
	b.control(afterWave, "control.duplicate", b.ago(time.Second), func(c *wire.Control) { c.Subject = fmt.Sprint(b.app.Native + 2_000_000) })
}

// contradictedChange: a connector says two things under one id.
func (b *builder) contradictedChange() {
	at := b.ago(b.between(3*time.Hour, 5*time.Hour))
	b.history(mainWave, at, nativeTriage)
	for _, value := range []string{"4711", "4712"} {
		b.send(afterWave, "ats.changes", &wire.AtsChange{
			ID: fmt.Sprintf("connector-%d", b.app.Native), Source: "connector/" + b.in.System, Type: "application.updated", System: b.in.System,
			OccurredAt: wire.MicrosOf(at.Add(time.Hour)), TimeBasis: wire.TimeBasisEvent, ApplicationID: b.app.ID,
			Elements: []wire.Element{{Name: "cost_center", Value: value}},
		}, false)
	}
	b.end.Incident = "contradicted"
}

// contradictedScreening: a vendor does, after everything is written.
func (b *builder) contradictedScreening() {
	b.passIn(mainWave, b.recent())
	at := b.ago(b.between(3*time.Hour, 5*time.Hour))
	for attempt := int32(1); attempt <= 2; attempt++ {
		b.send(afterWave, "screening.events", &wire.ScreeningEvent{
			ID: fmt.Sprintf("note-%d", b.app.Native), Source: "https://" + b.vendor.system + ".example/events", Type: "screening.started", System: b.vendor.system,
			OccurredAt: wire.MicrosOf(at), TimeBasis: wire.TimeBasisEvent, ApplicationID: b.app.ID, OrderID: b.lastOrder(), Attempt: attempt,
		}, false)
	}
	b.end.Incident = "contradicted"
}

// undated: a webhook without any time. It folds into nothing and asks for a look at the ATS.
func (b *builder) undated() {
	b.history(mainWave, b.ago(b.between(time.Hour, 5*time.Hour)), nativeTriage)
	body := fmt.Sprintf(`{"action":"application_updated","payload":{"application":{"id":%d,"status":"active"}}}`, b.app.Native)
	b.step(Step{Wave: afterWave, Webhook: &Webhook{System: b.in.System, EventID: fmt.Sprintf("undated-%d", b.app.Native), Body: []byte(body)}})
}

// stuck: the time allowed in triage, three days, ends while the demo runs.
func (b *builder) stuck() {
	b.history(prologue, b.w.Start.Add(b.between(8*time.Second, 13*time.Second)).Add(-72*time.Hour), nativeTriage)
	b.end.Incident = "stuck"
}

// olderThanBase: word of a time so long ago that all of it has been summed up.
func (b *builder) olderThanBase() { b.old(nil) }

// olderWithNews: the same, with a thing no one has newer word of.
func (b *builder) olderWithNews() {
	b.old([]wire.Element{{Name: "screening_location", Value: "remote"}})
}

func (b *builder) old(extra []wire.Element) {
	b.history(prologue, b.ago(190*time.Hour), nativeTriage)
	b.move(prologue, b.ago(b.between(time.Hour, 20*time.Hour)), nativeScreening)
	b.end.Canonical = screening
	order := b.newOrder()
	b.screen(afterWave, "screening.invited", b.ago(200*time.Hour), order, 1, nil, extra...)
	b.w.Steps[len(b.w.Steps)-1].Late = true
}

// oversize: a vendor sends so much that the state outgrows its bound; the application is held, others are not.
func (b *builder) oversize() {
	at := b.ago(b.between(time.Hour, 5*time.Hour))
	b.toScreening(mainWave, at)
	order := b.newOrder()
	for i := range 6 {
		text := strings.Repeat(fmt.Sprintf("%d words of no use ", i), 6_000)
		b.screen(afterWave, "screening.started", at.Add(time.Duration(i+1)*time.Minute), order, 1, nil, wire.Element{Name: fmt.Sprintf("transcript_%d", i), Value: text})
	}
}
