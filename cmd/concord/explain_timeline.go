package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// timeline says what each system said and what was decided. What only came again is counted.
func (x *explainer) timeline(ctx context.Context) error {
	for _, d := range x.past.decisions {
		switch d.Reason {
		default:
		case wire.ReasonDuplicate:
			x.e.Repeated++
			continue
		case wire.ReasonObsolete:
			continue
		}
		e := explainedEvent{At: d.Now, Happened: d.EffectiveAt, Reason: hiring.Reason(d.Reason).Sentence(), Digest: d.Policy, Decided: []string{}}
		if d.Topic == "" {
			e.Who, e.Said = "the clock", "time has passed"
			e.Happened = 0
		} else if rec := x.past.inputs[coordinates(d.Topic, d.Partition, d.Offset)]; rec == nil {
			e.Who, e.Said = orNone(d.EventSource), "what it said is no longer kept ("+d.EventType+")"
		} else if err := x.said(ctx, rec, &e); err != nil {
			return fmt.Errorf("input %s: %w", coordinates(d.Topic, d.Partition, d.Offset), err)
		}
		x.decided(d, &e)
		x.e.Timeline = append(x.e.Timeline, e)
	}
	return nil
}

// said says who spoke, and what.
func (x *explainer) said(ctx context.Context, rec *kgo.Record, e *explainedEvent) error {
	switch rec.Topic {
	case topics.ATSChanges:
		var c wire.AtsChange
		if err := x.r.schemas.Decode(ctx, rec.Value, &c); err != nil {
			return err
		}
		e.Who, e.Said = c.System, x.change(&c)
	case topics.ScreeningEvents:
		var s wire.ScreeningEvent
		if err := x.r.schemas.Decode(ctx, rec.Value, &s); err != nil {
			return err
		}
		if e.Who = s.System; e.Who == "" {
			e.Who = s.Source
		}
		e.Said = x.screening(&s)
	case topics.HiringControl:
		var c wire.Control
		if err := x.r.schemas.Decode(ctx, rec.Value, &c); err != nil {
			return err
		}
		e.Who, e.Said = "Concord's operators", control(&c)
		if c.Actor.ID != "" {
			e.Who += " (" + c.Actor.ID + ")"
		}
	case topics.ATSOutcomes:
		var o wire.Outcome
		if err := x.r.schemas.Decode(ctx, rec.Value, &o); err != nil {
			return err
		}
		e.Who, e.Said = "Concord", "wrote "+x.asked(&o.Written)
		switch {
		case o.Kind == wire.CommandKindRefresh:
			e.Said = "read the ATS again"
		case o.Outcome == wire.OutcomeKindAttempt:
			e.Said = "begins to write " + x.asked(&o.Written)
		case o.Outcome != wire.OutcomeKindConfirmed:
			e.Said = "did not write " + x.asked(&o.Written)
		}
		if o.Detail != "" {
			e.Said += " (" + o.Detail + ")"
		}
	}
	return nil
}

// actors say who acted in an ATS.
var actors = map[wire.ActorKind]string{
	wire.ActorKindUnknown: "somebody", wire.ActorKindHuman: "a person", wire.ActorKindIntegration: "another tool", wire.ActorKindSystem: "the ATS itself",
	wire.ActorKindConcord: "Concord",
}

// change is what an ATS says, in words.
func (x *explainer) change(c *wire.AtsChange) string {
	who, stage := actors[c.Actor.Kind], x.stage(c.System, c.Stage.ID)
	with := ""
	if c.Reason != "" {
		with = ", reason " + x.value("rejection_reason", c.Reason)
	}
	words := ""
	switch hiring.ParseEventType(c.Type) {
	case hiring.EventCreated:
		words = "the application was created in " + stage
	case hiring.EventStageChanged:
		words = who + " moved it to " + stage
		if c.PreviousStage.ID != "" {
			words = who + " moved it from " + x.stage(c.System, c.PreviousStage.ID) + " to " + stage
		}
	case hiring.EventRejected:
		words = who + " rejected it" + with
	case hiring.EventUnrejected:
		words = who + " took the rejection back"
	case hiring.EventHired:
		words = who + " marked it as hired"
	case hiring.EventWithdrawn:
		words = "the candidate withdrew" + with
	case hiring.EventTransferred:
		words = who + " moved it to another requisition, in " + stage
	case hiring.EventDeleted:
		words = "the application was deleted"
	case hiring.EventUpdated, hiring.EventSnapshot:
		words = "shows"
		if c.Stage.ID != "" {
			words += " stage " + stage
		}
		if c.Status != wire.ApplicationStatusUnspecified {
			words += ", " + c.Status.String() + with
		}
		words = strings.Replace(words, "shows,", "shows", 1)
		if words == "shows" {
			words = "something was updated"
		}
	default:
		words = c.Type
	}
	return words + x.with(c.Elements)
}

// with names the elements that came along.
func (x *explainer) with(elements []wire.Element) string {
	if len(elements) == 0 {
		return ""
	}
	return "; " + x.elements(elements)
}

// elements are elements with the values that may be shown, and the names of the others.
func (x *explainer) elements(elements []wire.Element) string {
	var parts, not []string
	for _, e := range elements {
		if v := x.value(e.Name, e.Value); v != hidden {
			parts = append(parts, e.Name+" "+v)
		} else {
			not = append(not, e.Name)
		}
	}
	if len(not) > 0 {
		parts = append(parts, strings.Join(not, ", ")+" "+hidden)
	}
	return strings.Join(parts, ", ")
}

// screening is what a vendor says, in words.
func (x *explainer) screening(s *wire.ScreeningEvent) string {
	words := strings.ReplaceAll(strings.TrimPrefix(s.Type, "screening."), "_", " ")
	words = "the screening was " + words
	if r := s.Result; r != nil {
		words += "; it is " + r.Status.String()
		if r.Recommendation != wire.RecommendationNone {
			words += ", recommendation " + x.value(hiring.ElementScreeningRecommendation, r.Recommendation.String())
		}
		if r.Score != nil {
			words += ", score " + x.value(hiring.ElementScreeningScore, fmt.Sprint(r.Score.Value))
		}
	}
	return words + x.with(s.Elements)
}

// ticket is a reason that names a ticket and nothing else.
var ticket = regexp.MustCompile(`^([A-Za-z]{1,10}-|#)[0-9]{1,9}$`)

// control is what a person asked, in words.
func control(c *wire.Control) string {
	words := "asked for " + strings.TrimPrefix(c.Type, "control.")
	if c.Stage != "" {
		words += " to " + c.Stage
	}
	if c.Scope != "" {
		words += " of " + c.Scope
	}
	if c.ExpiresAt != 0 {
		words += " until " + instant(c.ExpiresAt)
	}
	if c.Reason != "" {
		reason := hidden // what people write freely may name somebody
		if ticket.MatchString(c.Reason) {
			reason = c.Reason
		}
		words += " (reason " + reason + ")"
	}
	return words
}

// asked is what is asked of an ATS, without the values that must not be shown.
func (x *explainer) asked(t *wire.Tuple) string {
	var parts []string
	if t.Stage != "" {
		parts = append(parts, "stage "+x.stage(x.system(), t.Stage))
	}
	if t.Status != wire.ApplicationStatusUnspecified {
		parts = append(parts, t.Status.String())
	}
	if t.Reason != "" {
		parts = append(parts, "reason "+x.value("rejection_reason", t.Reason))
	}
	if len(t.Elements) > 0 {
		parts = append(parts, x.elements(t.Elements))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

func (x *explainer) system() string {
	system, _, _ := strings.Cut(x.past.application, "/")
	return system
}

// decided says what followed, and which line of the policy made it.
func (x *explainer) decided(d *wire.Decision, e *explainedEvent) {
	if d.From != d.To {
		e.Decided = append(e.Decided, "stage "+orNone(d.From)+" → "+orNone(d.To))
	}
	var changes []*wire.Incident
	for _, in := range x.past.conflicts {
		if in.StateVersion == d.Version && slices.Contains(d.Incidents, in.ID) {
			changes = append(changes, in)
			e.Decided = append(e.Decided, in.Change.String()+": "+hiring.IncidentKind(in.Kind).Sentence()+x.about(hiring.IncidentKind(in.Kind), in.Element))
		}
	}
	for _, id := range d.Commands {
		if c := x.past.commands[id]; c != nil && c.Kind == wire.CommandKindApply {
			words := "asks the ATS for " + x.asked(&c.Desired)
			if c.Mode == wire.WriteModeShadow {
				words += ", in shadow: nothing is written"
			}
			e.Decided = append(e.Decided, words)
		}
	}
	for range d.Orders {
		e.Decided = append(e.Decided, "told the vendor of the screening")
	}
	e.Place = x.place(d, changes)
}

// place is the line of the policy that made a decision; "" where none did.
func (x *explainer) place(d *wire.Decision, changes []*wire.Incident) string {
	p := x.by(d.Policy)
	if p == nil {
		return "policy sha256:" + d.Policy.String() + "…, which is not at hand"
	}
	if n := len(d.Path); n > 0 {
		s := d.Path[n-1]
		switch s.Edge {
		case hiring.EdgeReopen:
			return p.ReopenPlace().String()
		case hiring.EdgeEnter, hiring.EdgeOverride, hiring.EdgeYield, hiring.EdgeTransfer:
		default:
			return p.TransitionPlace(s.Edge, s.From, s.To).String()
		}
	}
	for _, in := range changes {
		if at := x.issuePlace(p, hiring.IncidentKind(in.Kind), in.Element); at != "" {
			return at
		}
	}
	switch d.Reason {
	default: // no line of the policy is behind it
	case wire.ReasonHeld:
		return p.JumpPlace(d.From, "", false).String()
	case wire.ReasonUnauthorised:
		return p.JumpPlace(d.From, "", true).String()
	case wire.ReasonShadowed:
		return p.WavePlace(d.Wave).String()
	case wire.ReasonPaused, wire.ReasonResumed:
		return p.PausePlace(d.Requisition.Region).String()
	}
	return ""
}

// issuePlace is the line of the policy that makes something an incident.
func (x *explainer) issuePlace(p *policy.Policy, k hiring.IncidentKind, element string) string {
	req := x.past.decisions[len(x.past.decisions)-1].Requisition
	from, to, _ := strings.Cut(element, ">")
	switch k {
	case hiring.IncidentForbiddenJump:
		return p.JumpPlace(from, to, false).String()
	case hiring.IncidentUnauthorised, hiring.IncidentContested:
		return p.JumpPlace(from, to, true).String()
	case hiring.IncidentStuck, hiring.IncidentDueSoon:
		return p.StatePlace(element, x.system(), req.Region, req.Type).String()
	case hiring.IncidentFieldDivergence, hiring.IncidentMissingField:
		return p.ElementPlace(element, x.system(), req.Region, req.Type).String()
	default:
		return ""
	}
}

// about is what an incident is about, in words.
func (x *explainer) about(k hiring.IncidentKind, element string) string {
	switch {
	case element == "":
		return ""
	case k == hiring.IncidentUnconsumedResult:
		return " (" + x.value(hiring.ElementScreeningRecommendation, element) + ")"
	case strings.Contains(element, ">"):
		return " (" + strings.Replace(element, ">", " → ", 1) + ")"
	}
	return " (" + strings.TrimPrefix(element, "element:") + ")"
}
