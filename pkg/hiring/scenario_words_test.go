package hiring_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/concord-ats/concord/pkg/hiring"
)

const (
	atsSystem    = "gh-main"
	vendorSystem = "vetting"
)

var nativeStages = map[string]string{
	"apply": "1001", "triage": "1002", "screening": "71416", "interviews": "1004", "offer": "1005", "unmapped": "999",
	"triage-too": "2944102",
}

var statuses = map[string]hiring.Status{"rejected": hiring.StatusRejected, "hired": hiring.StatusHired, "withdrawn": hiring.StatusWithdrawn}

var actors = map[string]hiring.ActorKind{
	"": hiring.ActorHuman, "human": hiring.ActorHuman, "robot": hiring.ActorIntegration, "automation": hiring.ActorSystem,
	"concord": hiring.ActorConcord, "unknown": hiring.ActorUnknown,
}

// level sets what the ATS shows: a stage, or the status of a close.
func level(e *hiring.Event, text string) error {
	if s, ok := statuses[text]; ok {
		e.Status = s
		return nil
	}
	stage, ok := nativeStages[text]
	if !ok {
		return fmt.Errorf("unknown stage %q", text)
	}
	e.Stage, e.Status = stage, hiring.StatusActive
	return nil
}

func parseATS(e *hiring.Event, what string, args map[string]string) error {
	e.Source, e.System, e.Actor = "greenhouse", atsSystem, actors[args["by"]]
	e.Requisition = hiring.Requisition{ID: args["job"], Type: args["type"], Region: args["region"]}
	e.RejectReason, e.Candidate = args["reason"], args["candidate"]
	if args["basis"] == "receipt" {
		e.Basis = hiring.BasisReceipt
	}
	if from := args["from"]; from != "" {
		e.PreviousStage = nativeStages[from]
	}
	verb, object, _ := strings.Cut(what, " ")
	switch verb {
	case "enters":
		e.Type = hiring.EventCreated
		return level(e, object)
	case "moves":
		e.Type = hiring.EventStageChanged
		return level(e, strings.TrimPrefix(object, "to "))
	case "transfers":
		e.Type = hiring.EventTransferred
		return level(e, strings.TrimPrefix(object, "to "))
	case "rejects":
		e.Type, e.Status = hiring.EventRejected, hiring.StatusRejected
	case "unrejects":
		e.Type, e.Status = hiring.EventUnrejected, hiring.StatusActive
	case "hires":
		e.Type, e.Status = hiring.EventHired, hiring.StatusHired
	case "withdraws":
		e.Type, e.Status = hiring.EventWithdrawn, hiring.StatusWithdrawn
	case "updates":
		e.Type = hiring.EventUpdated
	case "mentions":
		e.Type = hiring.EventUpdated
		return level(e, object)
	case "deletes":
		e.Type = hiring.EventDeleted
	case "shows":
		e.Type, e.Source, e.Basis = hiring.EventSnapshot, "poller", hiring.BasisRecord
		return level(e, object)
	case "poll":
		e.Type, e.Source, e.Basis = hiring.EventSnapshot, "poller", hiring.BasisFetch
		return level(e, strings.TrimPrefix(object, "shows "))
	default:
		return fmt.Errorf("an ATS does not %q", what)
	}
	return nil
}

// parsePublisher is parseATS for a form or a spreadsheet: its stages are the canonical ones.
func parsePublisher(e *hiring.Event, name, what string, args map[string]string) error {
	if err := parseATS(e, what, args); err != nil {
		return err
	}
	e.Source, e.PreviousStage = name+".example", args["from"]
	for canonical, native := range nativeStages {
		if native == e.Stage {
			e.Stage = canonical
		}
	}
	return nil
}

func parseVendor(e *hiring.Event, what string, args map[string]string) error {
	e.Source, e.System = "vetting.example", vendorSystem
	if s := args["system"]; s != "" {
		e.Source, e.System = s+".example", s
	}
	e.Order, e.Attempt = "o1", 1
	if o := args["order"]; o != "" {
		e.Order = o
	}
	if a := args["attempt"]; a != "" {
		n, err := strconv.ParseInt(a, 10, 32)
		if err != nil {
			return err
		}
		e.Attempt = int32(n)
	}
	result := func(t hiring.EventType, v hiring.Verdict) {
		e.Type, e.HasResult, e.Verdict, e.FinishedAt = t, true, v, e.OccurredAt
		if text := args["score"]; text != "" && text != "none" {
			e.Score = parseScore(text)
			return
		}
		if !slices.ContainsFunc(e.Elements, func(x hiring.Element) bool { return x.Name == hiring.ElementScreeningScore }) && args["score"] != "none" {
			e.Elements = append(e.Elements, hiring.Element{Name: hiring.ElementScreeningScore, Value: "7"})
		}
	}
	switch what {
	case "orders":
		e.Type = hiring.EventScreeningOrdered
	case "starts":
		e.Type = hiring.EventScreeningStarted
	case "cancels":
		e.Type = hiring.EventScreeningCancelled
	case "passes":
		result(hiring.EventScreeningCompleted, hiring.VerdictAdvance)
	case "fails":
		result(hiring.EventScreeningCompleted, hiring.VerdictReject)
	case "scores":
		result(hiring.EventScreeningCompleted, hiring.VerdictNone)
	case "reviews":
		result(hiring.EventScreeningReviewed, hiring.VerdictReview)
	case "corrects to pass":
		result(hiring.EventScreeningCorrected, hiring.VerdictAdvance)
		e.ResultRevision = 1
	case "corrects to fail":
		result(hiring.EventScreeningCorrected, hiring.VerdictReject)
		e.ResultRevision = 1
	default:
		return fmt.Errorf("a vendor does not %q", what)
	}
	return nil
}

func parsePerson(e *hiring.Event, what string, args map[string]string) error {
	e.Source, e.System, e.Scope = "concord/control", hiring.ControlSystem, args["scope"]
	if seen := args["seen"]; seen != "" {
		n, err := strconv.ParseInt(seen, 10, 64)
		if err != nil {
			return err
		}
		e.SeenVersion = n
	}
	if until := args["until"]; until != "" {
		t, err := second(until)
		if err != nil {
			return err
		}
		e.ExpiresAt = t
	}
	verb, object, _ := strings.Cut(what, " ")
	switch verb {
	case "overrides":
		e.Type, e.Stage = hiring.EventOverride, strings.TrimPrefix(object, "to ")
	case "holds":
		e.Type = hiring.EventHold
	case "releases":
		e.Type = hiring.EventRelease
	case "resyncs":
		e.Type = hiring.EventResync
	case "erases":
		e.Type = hiring.EventErase
	case "anonymises":
		e.Type = hiring.EventAnonymize
	case "merges":
		e.Type, e.Candidate = hiring.EventMerge, args["candidate"]
	case "marks":
		e.Type, e.Candidate = hiring.EventMarkDuplicate, args["candidate"]
	default:
		return fmt.Errorf("a person does not %q", what)
	}
	return nil
}

var outcomes = map[string]hiring.OutcomeKind{
	"attempts": hiring.OutcomeAttempt, "confirms": hiring.OutcomeConfirmed, "already": hiring.OutcomeAlready, "superseded": hiring.OutcomeSuperseded,
	"blocked": hiring.OutcomeBlocked, "refused": hiring.OutcomeRefused, "defers": hiring.OutcomeDeferred, "failed": hiring.OutcomeFailed,
	"shadowed": hiring.OutcomeShadowed, "not applicable": hiring.OutcomeNotApplicable,
}

// parseWorker says what became of the newest command: version= is the ATS version after it, before= the one before,
// shows= what the read-back showed (default: what was written), of= is the revision of an
// older command; cause= and wrote= stand for a command not seen here.
func (w *world) parseWorker(e *hiring.Event, what string, args map[string]string) error {
	if of := args["of"]; of != "" {
		at := slices.IndexFunc(w.all, func(c hiring.Command) bool { return "r"+strconv.FormatInt(c.Revision, 10) == of })
		if at < 0 {
			return fmt.Errorf("there is no command %s", of)
		}
		defer func(last hiring.Command) { w.last = last }(w.last)
		w.last = w.all[at]
	}
	o := &hiring.Outcome{CommandID: w.last.ID, Revision: w.last.Revision, FinishedAt: e.OccurredAt, Cause: w.last.Cause, Written: w.last.Desired, Detail: args["detail"]}
	e.Type, e.Source, e.Outcome = hiring.EventOutcome, "concord/writeback", o
	if c := args["cause"]; c != "" {
		o.Cause = hiring.Cause{Source: "vetting.example", ID: c}
	}
	if wrote := args["wrote"]; wrote != "" {
		var was hiring.Event
		if err := level(&was, wrote); err != nil {
			return err
		}
		o.Written = hiring.Tuple{Stage: was.Stage, Status: was.Status}
		o.Revision = -1
	}
	for key, to := range map[string]*int64{"version": &o.VersionAfter, "before": &o.VersionBefore} {
		if v := args[key]; v != "" {
			t, err := second(v)
			if err != nil {
				return err
			}
			*to = int64(t)
		}
	}
	if u := args["until"]; u != "" {
		t, err := second(u)
		if err != nil {
			return err
		}
		o.Until = t
	}
	if o.VersionAfter != 0 && args["shows"] != "nothing" {
		seen := o.Written
		if s := args["shows"]; s != "" {
			var was hiring.Event
			if err := level(&was, s); err != nil {
				return err
			}
			seen = hiring.Tuple{Stage: was.Stage, Status: was.Status}
		}
		seen.Version = o.VersionAfter
		seen.Elements = append(slices.Clone(seen.Elements), e.Elements...)
		e.Elements = nil
		o.Observed = &seen
	}
	if what == "refreshed" {
		o.Kind, o.Outcome = hiring.CommandRefresh, hiring.OutcomeConfirmed
		o.Written, o.Cause = hiring.Tuple{}, hiring.Cause{}
		return nil
	}
	kind, ok := outcomes[what]
	if !ok {
		return fmt.Errorf("a worker does not %q", what)
	}
	o.Outcome = kind
	return nil
}

func tuple(t *hiring.Tuple) string {
	if t.Empty() {
		return "anything"
	}
	var parts []string
	for name, id := range nativeStages {
		if id == t.Stage {
			parts = append(parts, name)
		}
	}
	if t.Stage == "" && t.Status == hiring.StatusUnspecified {
		parts = append(parts, "any stage")
	}
	if t.Status != hiring.StatusUnspecified && t.Status != hiring.StatusActive {
		parts = append(parts, t.Status.String())
	}
	for _, el := range t.Elements {
		parts = append(parts, el.Name+"="+el.Value)
	}
	return strings.Join(parts, " ")
}

// describe says in text what I12 compares: everything of a state that must not depend on the order of arrival.
func describe(s *hiring.State) string {
	var b strings.Builder
	h := &s.Head
	fmt.Fprintf(&b, "canonical: %q epoch %d, entered by %s at %s for %s\n", h.Stage, h.Epoch, h.EnteredBy, clock(h.EnteredAt), h.EnteredEvent)
	fmt.Fprintf(&b, "ats: stage %q status %s reason %q\n", h.LevelStage, h.LevelStatus, h.LevelReason)
	for i := range h.Observations {
		o := &h.Observations[i]
		fmt.Fprintf(&b, "observed: %s %s %s at %s by %s\n", o.System, o.Facet, strings.Join(o.Values, "|"), clock(o.At), o.EventID)
	}
	for i := range h.Results {
		r := &h.Results[i]
		state := "pending"
		if r.Consumed {
			state = "consumed"
		}
		fmt.Fprintf(&b, "result: order %s attempt %d revision %d %s of epoch %d %s\n", r.Order, r.Attempt, r.Revision, r.Verdict, r.Epoch, state)
	}
	if h.Candidate != "" || h.Requisition != (hiring.Requisition{}) {
		fmt.Fprintf(&b, "candidate %s requisition %s\n", h.Candidate, h.Requisition.ID)
	}
	for i := range h.Holds {
		fmt.Fprintf(&b, "held by %s%s\n", h.Holds[i].By, map[bool]string{true: ": " + h.Holds[i].Scope}[h.Holds[i].Scope != ""])
	}
	for _, flag := range []struct {
		on   bool
		name string
	}{{h.Deleted, "deleted"}, {h.Anonymized, "anonymised"}, {s.Erased, "erased"}, {s.Oversize, "oversize"}} {
		if flag.on {
			fmt.Fprintf(&b, "%s\n", flag.name)
		}
	}
	fmt.Fprintf(&b, "desired: %s\n", tuple(&s.Desired))
	for i := range s.Incidents {
		if o := &s.Incidents[i]; o.OpenedAt != 0 {
			fmt.Fprintf(&b, "incident: %s %s about %s in epoch %d\n", o.Kind, o.Element, o.Subject, o.Epoch)
		}
	}
	return b.String()
}

// parseScore reads VALUE, VALUE@SCALE or VALUE@SCALE:MIN:MAX.
func parseScore(text string) *hiring.Score {
	value, scale, _ := strings.Cut(text, "@")
	s := &hiring.Score{}
	parts := strings.Split(scale, ":")
	s.Scale = parts[0]
	numbers := append([]string{value}, parts[1:]...)
	for i, to := range []*float64{&s.Value, &s.Min, &s.Max}[:len(numbers)] {
		f, err := strconv.ParseFloat(numbers[i], 64)
		if err != nil {
			panic(err)
		}
		*to = f
	}
	return s
}
