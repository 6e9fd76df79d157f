package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/wire"
)

// stands says how the application stood: where, whose turn it is, what the ATS shows, what is in conflict.
func (x *explainer) stands() {
	s, h, e := x.s, &x.s.Head, x.e
	at := hiring.Micros(e.At)
	b := x.rules.At(at).For(s.System, &h.Requisition)
	p := x.inForce()
	e.Requisition = wire.Requisition{ID: h.Requisition.ID, Type: h.Requisition.Type, Region: h.Requisition.Region}
	e.Stage = explainedStage{Stage: string(h.Stage), Meaning: p.Meaning(string(h.Stage)), Since: wire.Micros(h.EnteredAt), By: h.EnteredBy.String()}
	if h.EnteredFrom != "" {
		for i := range b.Edges {
			if b.Edges[i].From == h.EnteredFrom && b.Edges[i].To == h.Stage {
				e.Stage.Place = p.TransitionPlace(b.Edges[i].Name, string(h.EnteredFrom), string(h.Stage)).String()
			}
		}
	}
	switch rule := b.Stage(h.Stage); {
	case s.Erased:
		e.Next.Why = "it is erased"
	case h.Deleted:
		e.Next.Why = "it is deleted in the ATS"
	case h.Stage == "":
		e.Next.Why = "nothing has said yet where it stands"
	case rule == nil:
		e.Next = explainedNext{Owner: hiring.IncidentOwner, Why: fmt.Sprintf(
			"the policy in force, %s, has no state %s: publish a bundle that has it, or one whose migrations say where its applications go ({from: %[2]s, to: STATE, why: …} in %s)",
			x.named(wire.Digest(x.rules.At(at).Digest)), h.Stage, policy.BundleFile)}
	default:
		breach, warn := b.Due(h)
		e.Next = explainedNext{
			Due: wire.Micros(breach), Warn: wire.Micros(warn), Overdue: breach != 0 && at >= breach, Business: rule.Business && b.Calendar != nil,
			Place: p.StatePlace(string(h.Stage), s.System, h.Requisition.Region, h.Requisition.Type).String(),
		}
		if e.Next.Owner = rule.Owner; rule.Closed && breach == 0 {
			e.Next.Owner, e.Next.Why = "", "it is closed"
		}
	}
	x.ats()
	x.marks(at)
	for i := range s.Incidents {
		e.Conflicts = append(e.Conflicts, x.issue(&s.Incidents[i]))
	}
}

// ats says what the ATS shows and what it should.
func (x *explainer) ats() {
	s, h := x.s, &x.s.Head
	a := &x.e.ATS
	a.System, a.Shows = s.System, "nothing yet"
	if last := x.past.decisions[len(x.past.decisions)-1]; last.Mode == hiring.ModeRecord.String() {
		a.Shows, a.Should, a.Write = "nothing: there is no ATS, the stage above is the record", "nothing", "nothing is written"
		return
	}
	if h.LevelSystem != "" {
		var shows []string
		if h.LevelStage != "" {
			shows = append(shows, x.stage(h.LevelSystem, h.LevelStage))
		}
		if h.LevelStatus != hiring.StatusUnspecified {
			shows = append(shows, h.LevelStatus.String())
		}
		if h.LevelReason != "" {
			shows = append(shows, "reason "+x.value("rejection_reason", h.LevelReason))
		}
		a.Shows = strings.Join(shows, ", ")
		for i := range h.Observations {
			if o := &h.Observations[i]; o.System == h.LevelSystem && (o.Facet == "stage" || o.Facet == "status") {
				a.Since = max(a.Since, wire.Micros(o.At))
			}
		}
	}
	a.Should = x.asked(x.tuple(&s.Desired))
	if s.Desired.Empty() {
		a.Should = "nothing in particular"
	}
	a.Write = writeWords(&s.Write)
	a.Behind = s.Target.Cause != "" && (s.Write.State != hiring.WriteDone || s.Write.Outcome != hiring.OutcomeConfirmed && s.Write.Outcome != hiring.OutcomeAlready)
	last := x.past.decisions[len(x.past.decisions)-1]
	if last.Mode != hiring.ModeWrite.String() {
		a.Wave = strings.TrimSpace(last.Wave + " " + last.Mode)
	}
}

func (x *explainer) tuple(t *hiring.Tuple) *wire.Tuple {
	out := &wire.Tuple{Stage: t.Stage, Status: wire.ApplicationStatus(t.Status), Reason: t.Reason}
	for _, e := range t.Elements {
		out.Elements = append(out.Elements, wire.Element{Name: e.Name, Value: e.Value})
	}
	return out
}

// writeWords say where the newest write stands.
func writeWords(w *hiring.Write) string {
	since := ""
	if w.Since != 0 {
		since = ", since " + instant(wire.Micros(w.Since))
	}
	switch w.State {
	case hiring.WriteWaiting:
		return "waits" + since
	case hiring.WriteSent:
		return "is on its way" + since
	case hiring.WriteAttempted:
		return "is being made" + since
	case hiring.WriteDeferred:
		return "waits for the ATS, and goes again at " + instant(wire.Micros(w.Due))
	case hiring.WriteDone:
		return wire.OutcomeKind(w.Outcome).String() + since
	case hiring.WriteIdle:
	}
	return "nothing was written"
}

func (x *explainer) marks(at hiring.Micros) {
	s, h := x.s, &x.s.Head
	for i := range h.Holds {
		o := &h.Holds[i]
		if o.Until != 0 && at >= o.Until {
			continue
		}
		text := "held by a person: Concord writes nothing"
		if o.Scope != "" {
			text += " of " + o.Scope
		}
		if o.Until != 0 {
			text += " until " + instant(wire.Micros(o.Until))
		}
		x.e.Marks = append(x.e.Marks, text)
	}
	for _, m := range []struct {
		is   bool
		text string
	}{
		{s.Erased, "erased"},
		{s.Oversize, "held: more has gathered than Concord keeps of one application"},
		{s.Paused, "what is owed waits: the region is paused"},
		{h.Deleted, "deleted in the ATS"},
		{h.Anonymized, "the person is anonymised"},
	} {
		if m.is {
			x.e.Marks = append(x.e.Marks, m.text)
		}
	}
}

// issue is an open incident in words, with what each system says.
func (x *explainer) issue(o *hiring.OpenIncident) explainedIssue {
	out := explainedIssue{
		ID: o.ID, Kind: o.Kind.String(), Meaning: o.Kind.Sentence(), About: strings.Trim(x.about(o.Kind, o.Element), " ()"), Since: wire.Micros(o.OpenedAt), Owner: o.Owner,
		Place: x.issuePlace(x.inForce(), o.Kind, o.Element), Values: []explainedValue{},
	}
	var opened *wire.Incident
	for _, in := range slices.Backward(x.past.conflicts) { // the newest word on it
		if in.ID == o.ID && in.Change == wire.IncidentChangeOpened && in.OpenedAt <= x.e.At {
			opened = in
			break
		}
	}
	switch {
	case opened != nil:
		out.Leader = opened.Leader
		for _, v := range opened.Values {
			out.Values = append(out.Values, explainedValue{v.System, x.incidentValue(o, v.System, v.Value), v.At})
		}
	case o.Kind == hiring.IncidentFieldDivergence: // it waits out its grace: what is observed
		for i := range x.s.Head.Observations {
			if v := &x.s.Head.Observations[i]; v.Facet == "element:"+o.Element {
				out.Values = append(out.Values, explainedValue{v.System, x.value(o.Element, v.Pick()), wire.Micros(v.At)})
			}
		}
	}
	return out
}

// incidentValue is a value of an incident in words: stages and ids as they are, elements by their classification.
func (x *explainer) incidentValue(o *hiring.OpenIncident, system, value string) string {
	switch o.Kind {
	case hiring.IncidentVerdictOverridden, hiring.IncidentUnconsumedResult:
		if system == hiring.ControlSystem || system != x.s.System {
			return x.value(hiring.ElementScreeningRecommendation, value)
		}
		return value
	case hiring.IncidentForbiddenJump, hiring.IncidentUnauthorised, hiring.IncidentContested, hiring.IncidentStuck, hiring.IncidentDueSoon, hiring.IncidentDuplicateProfile, hiring.IncidentUnknownStage:
		return orNone(value)
	case hiring.IncidentUnmapped:
		return x.stage(system, value)
	case hiring.IncidentTie:
		return x.facet(o.Element, system, value)
	default:
		return x.value(o.Element, value)
	}
}
