package reconciler

import (
	"cmp"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/wire"
)

// parseType returns the event type if it belongs to the topic's family, else unknown.
func parseType(name string, family func(hiring.EventType) bool) hiring.EventType {
	if t := hiring.ParseEventType(name); family(t) {
		return t
	}
	return hiring.EventUnknown
}

// changeEvent fills e from what an ATS says. A type implies its status where the record leaves it out.
func changeEvent(w *wire.AtsChange, e *hiring.Event) {
	*e = hiring.Event{
		Source: w.Source, ID: w.ID, Digest: hiring.Digest(w.ContentDigest()), Type: parseType(w.Type, hiring.EventType.ATS), System: w.System,
		OccurredAt: hiring.Micros(w.OccurredAt), ObservedAt: hiring.Micros(w.ObservedAt), Basis: hiring.TimeBasis(w.TimeBasis), Revision: w.Revision,
		Candidate: w.CandidateID, Requisition: hiring.Requisition{ID: w.Requisition.ID, Type: w.Requisition.Type, Region: w.Requisition.Region},
		Stage: w.Stage.ID, PreviousStage: w.PreviousStage.ID, Status: hiring.Status(w.Status), RejectReason: w.Reason,
		Actor: hiring.ActorKind(w.Actor.Kind), Elements: elements(w.Elements),
	}
	if e.System == "" {
		e.System, _, _ = strings.Cut(w.ApplicationID, "/")
	}
	if e.Status == hiring.StatusUnspecified {
		switch e.Type {
		default: // the other types say nothing of the status
		case hiring.EventRejected:
			e.Status = hiring.StatusRejected
		case hiring.EventHired:
			e.Status = hiring.StatusHired
		case hiring.EventWithdrawn:
			e.Status = hiring.StatusWithdrawn
		case hiring.EventUnrejected:
			e.Status = hiring.StatusActive
		}
	}
}

// screeningEvent fills e from what a vendor says; a result becomes elements and a verdict. An error is a stream.Poison:
// the result holds a number that is none.
func screeningEvent(w *wire.ScreeningEvent, e *hiring.Event) error {
	*e = hiring.Event{
		Source: w.Source, ID: w.ID, Digest: hiring.Digest(w.ContentDigest()), Type: parseType(w.Type, hiring.EventType.Screening), System: w.System,
		OccurredAt: hiring.Micros(w.OccurredAt), ObservedAt: hiring.Micros(w.ObservedAt), Basis: hiring.TimeBasis(w.TimeBasis),
		Order: w.OrderID, Attempt: w.Attempt, Elements: elements(w.Elements),
	}
	if e.System == "" {
		e.System = w.Source
	}
	if w.Result == nil || w.Result.Status == wire.ResultStatusInvalid {
		return nil
	}
	r := w.Result
	e.HasResult = r.Status != wire.ResultStatusPartial
	e.ResultRevision = r.Revision
	e.FinishedAt = hiring.Micros(r.FinishedAt)
	if e.FinishedAt == 0 {
		e.FinishedAt = e.OccurredAt
	}
	switch r.Recommendation {
	case wire.RecommendationAdvance:
		e.Verdict = hiring.VerdictAdvance
	case wire.RecommendationReject:
		e.Verdict = hiring.VerdictReject
	case wire.RecommendationReview:
		e.Verdict = hiring.VerdictReview
	case wire.RecommendationNone:
	}
	more, err := resultElements(w, e)
	if err != nil {
		return err
	}
	e.Elements = canonical(append(e.Elements, more...))
	return nil
}

var errNotFinite = errors.New("a score is not a finite number")

// resultElements turns a result into dictionary elements.
func resultElements(w *wire.ScreeningEvent, e *hiring.Event) ([]hiring.Element, error) {
	r := w.Result
	out := make([]hiring.Element, 0, 8)
	put := func(name, value string) {
		if value != "" {
			out = append(out, hiring.Element{Name: name, Value: value})
		}
	}
	status := "complete"
	if r.Status == wire.ResultStatusPartial {
		status = "partial"
	}
	put(hiring.ElementScreeningStatus, status)
	put(hiring.ElementScreeningFinishedAt, e.FinishedAt.Time().Format(time.RFC3339))
	if r.Recommendation != wire.RecommendationNone {
		put(hiring.ElementScreeningRecommendation, r.Recommendation.String())
	}
	put(hiring.ElementScreeningReport, r.ReportURL)
	if s := r.Score; s != nil {
		if !finite(s.Value) {
			return nil, stream.Poison(string(wire.CauseInvalidField), errNotFinite)
		}
		e.Score = &hiring.Score{Value: s.Value, Min: s.Min, Max: s.Max, Scale: s.Scale}
		if !finite(s.Min) || !finite(s.Max) { // a scale without an end is none
			e.Score.Min, e.Score.Max, e.Score.Scale = 0, 0, ""
		}
	}
	for _, list := range []struct {
		name string
		len  int
		of   any
	}{
		{hiring.ElementCompetencies, len(r.Competencies), r.Competencies},
		{hiring.ElementReviewerIDs, len(r.ReviewerIDs), r.ReviewerIDs},
		{hiring.ElementMedia, len(r.Media), r.Media},
	} {
		if list.len == 0 {
			continue
		}
		text, err := json.Marshal(list.of)
		if err != nil { // JSON has no word for an infinite competency; text always marshals
			return nil, stream.Poison(string(wire.CauseInvalidField), errNotFinite)
		}
		put(list.name, string(text))
	}
	return out, nil
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// elements copies and sorts elements; of two of one name the last stands.
func elements(in []wire.Element) []hiring.Element {
	if len(in) == 0 {
		return nil
	}
	out := make([]hiring.Element, len(in))
	for i := range in {
		out[i] = hiring.Element{Name: in[i].Name, Value: in[i].Value}
	}
	return canonical(out)
}

// canonical sorts elements in place by name; of two of one name the last stands.
func canonical(in []hiring.Element) []hiring.Element {
	slices.SortStableFunc(in, func(a, b hiring.Element) int { return cmp.Compare(a.Name, b.Name) })
	slices.Reverse(in)
	in = slices.CompactFunc(in, func(a, b hiring.Element) bool { return a.Name == b.Name })
	slices.Reverse(in)
	return in
}

// controlEvent fills e from what a person asks.
func controlEvent(w *wire.Control, e *hiring.Event) {
	*e = hiring.Event{
		Source: w.Source, ID: w.ID, Digest: hiring.Digest(w.ContentDigest()), Type: parseType(w.Type, hiring.EventType.Control), System: hiring.ControlSystem,
		OccurredAt: hiring.Micros(w.OccurredAt), ObservedAt: hiring.Micros(w.ObservedAt), Basis: hiring.TimeBasis(w.TimeBasis),
		Stage: w.Stage, SeenVersion: w.SeenVersion, ExpiresAt: hiring.Micros(w.ExpiresAt), Scope: w.Scope, Actor: hiring.ActorKind(w.Actor.Kind),
	}
	if e.Type == hiring.EventMerge || e.Type == hiring.EventMarkDuplicate {
		e.Candidate = w.Subject
	}
}

// outcomeSource is the source of outcome events: the worker of one ATS instance.
const outcomeSource = "concord/writeback"

// outcomeEvent fills e from what the write-back worker says.
func outcomeEvent(w *wire.Outcome, e *hiring.Event) {
	o := &hiring.Outcome{
		CommandID: w.CommandID, Kind: hiring.CommandKind(w.Kind), Revision: w.Revision, Outcome: hiring.OutcomeKind(w.Outcome), Detail: w.Detail,
		FinishedAt: hiring.Micros(w.FinishedAt), Until: hiring.Micros(w.Until), Cause: causeOf(&w.Cause), Written: tupleOf(&w.Written),
		VersionBefore: w.VersionBefore, VersionAfter: w.VersionAfter, Closing: w.Closing,
	}
	if w.Observed != nil {
		t := tupleOf(w.Observed)
		o.Observed = &t
	}
	*e = hiring.Event{
		Source: outcomeSource, ID: w.ID, Digest: hiring.Digest(w.ContentDigest()), Type: hiring.EventOutcome, System: outcomeSource,
		OccurredAt: hiring.Micros(w.FinishedAt), ObservedAt: hiring.Micros(w.FinishedAt), Outcome: o,
	}
}

func causeOf(w *wire.CommandCause) hiring.Cause {
	return hiring.Cause{Source: w.Source, ID: w.ID, EffectiveAt: hiring.Micros(w.EffectiveAt), FinishedAt: hiring.Micros(w.ScreeningFinishedAt)}
}

func tupleOf(w *wire.Tuple) hiring.Tuple {
	return hiring.Tuple{Stage: w.Stage, Status: hiring.Status(w.Status), Reason: w.Reason, Elements: elements(w.Elements), Version: w.Version}
}
