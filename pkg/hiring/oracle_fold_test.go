package hiring_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/concord-ats/concord/pkg/hiring"
)

// note records a facet: the newest wins, another value of the same time is a tie, the last by id is the pick.
func (o *oracle) note(w *word, facet, value string) {
	k := w.e.System + " " + facet
	time := w.e.OccurredAt * 2
	if w.e.Type == hiring.EventSnapshot {
		time++
	}
	if o.newest[k] != time {
		o.seen[k] = nil
	}
	o.newest[k] = time
	if i := slices.Index(o.seen[k], value); i >= 0 {
		o.seen[k] = slices.Delete(o.seen[k], i, i+1)
	}
	o.seen[k] = append(o.seen[k], value)
	o.tied[k] = len(o.seen[k]) > 1
}

// hear takes in one word.
func (o *oracle) hear(w *word) {
	if len(w.variants) > 1 {
		o.vague[w.e.System] = true
		return
	}
	switch e := &w.e; {
	case e.Type.ATS():
		for _, r := range o.results {
			if w.cause != nil && r.event == w.cause.ID && r.source == w.cause.Source && !r.used {
				r.used, r.told = true, r == o.decisive() && o.past()
			}
		}
		o.hearATS(w)
	case e.Type.Screening():
		o.note(w, "screening", e.Type.String())
		for _, el := range e.Elements {
			o.note(w, "element:"+el.Name, el.Value)
		}
		if e.Order != "" && !slices.Contains(o.orders, e.Order) {
			o.orders = append(o.orders, e.Order)
		}
		if e.Type == hiring.EventScreeningCancelled {
			for _, r := range o.results {
				r.used, r.told = r.used || r.order == e.Order, false
			}
		}
		if !e.HasResult {
			return
		}
		for _, r := range o.results {
			if r.order == e.Order && r.attempt == e.Attempt && r.revision == e.ResultRevision {
				if !r.used || r.asks != hiring.VerdictAdvance && r.asks != hiring.VerdictReject {
					r.asks, r.event, r.source, r.used = e.Verdict, e.ID, e.Source, false
				}
				return
			}
		}
		o.results = append(o.results, &verdict{order: e.Order, attempt: e.Attempt, revision: e.ResultRevision, asks: e.Verdict, event: e.ID, source: e.Source, epoch: o.epoch})
	case e.Type.Control():
		o.hearPerson(w)
	}
}

func (o *oracle) hearPerson(w *word) {
	switch e := &w.e; e.Type {
	case hiring.EventOverride:
		to := hiring.Stage(e.Stage)
		if o.b.Stage(to) == nil {
			return
		}
		o.reverts, o.jumped, o.unmapped = map[string]int{}, false, false
		if to != o.stage && o.closed(o.stage) && !o.closed(to) {
			o.epoch++
		}
		o.stage, o.by, o.event = to, hiring.AuthorityOverride, e.ID
	case hiring.EventHold:
		o.held, o.until = true, e.ExpiresAt
	case hiring.EventRelease:
		o.held, o.reverts = false, map[string]int{}
		clear(o.vague)
		if r := o.decisive(); r != nil {
			r.used = true
		}
		for _, r := range o.results {
			r.told = false
		}
	case hiring.EventMerge:
		o.who = e.Candidate
	case hiring.EventAnonymize:
		o.private, o.reverts, o.jumped, o.unmapped = true, map[string]int{}, false, false
	}
}

func (o *oracle) closed(s hiring.Stage) bool {
	return s == hiring.StageRejected || s == hiring.StageHired || s == hiring.StageWithdrawn
}

func (o *oracle) canonical(native string, status hiring.Status) (hiring.Stage, bool) {
	switch status {
	case hiring.StatusRejected:
		return hiring.StageRejected, true
	case hiring.StatusHired:
		return hiring.StageHired, true
	case hiring.StatusWithdrawn:
		return hiring.StageWithdrawn, true
	}
	s, ok := map[string]hiring.Stage{"1001": "apply", "1002": "triage", "71416": "screening", "1004": "interviews", "1005": "offer", "2944102": "triage"}[native]
	return s, ok
}

func shut(s hiring.Status) bool { return s > hiring.StatusActive }

// hearATS: facets first; a move only where the ATS's own level changed (A3).
func (o *oracle) hearATS(w *word) {
	e := &w.e
	o.deleted = e.Type == hiring.EventDeleted
	if o.deleted {
		return
	}
	if e.Candidate != "" {
		o.who = e.Candidate
	}
	first := o.shown == "" && o.status == hiring.StatusUnspecified
	was, wasStatus := o.shown, o.status
	if e.Stage != "" {
		o.note(w, "stage", e.Stage)
		o.shown = e.Stage
	}
	if e.Status != hiring.StatusUnspecified {
		o.note(w, "status", e.Status.String())
		o.status = e.Status
	}
	if e.RejectReason != "" {
		o.note(w, "reason", e.RejectReason)
	}
	for _, el := range e.Elements {
		o.note(w, "element:"+el.Name, el.Value)
	}
	if e.Type == hiring.EventSnapshot {
		delete(o.vague, e.System)
	}
	if o.shown == "" && o.status == hiring.StatusUnspecified {
		return
	}
	if o.private && o.stage != "" && !shut(o.status) {
		return
	}
	if e.PreviousStage != "" && e.Stage != "" {
		was = e.PreviousStage
	}
	known := shut(wasStatus) // the close that ends now is one we were told of
	if e.Type == hiring.EventUnrejected {
		wasStatus = hiring.StatusRejected
	}
	same := was == o.shown && (wasStatus == o.status || !shut(wasStatus) && !shut(o.status))
	to, ok := o.canonical(o.shown, o.status)
	still := same && !first && e.Type != hiring.EventTransferred
	if still && (!o.unmapped || !ok) { // what was not mapped is a move once it is
		return
	}
	o.unmapped = !ok
	if !ok {
		if e.Type == hiring.EventTransferred {
			o.epoch, o.reverts = o.epoch+1, map[string]int{}
		}
		return
	}
	from, _ := o.canonical(was, wasStatus)
	if still {
		from = ""
	}
	by, event := hiring.AuthorityHuman, e.ID
	if e.Type == hiring.EventSnapshot {
		event = "a read"
	}
	switch e.Actor {
	case hiring.ActorIntegration:
		by = hiring.AuthorityIntegration
	case hiring.ActorSystem:
		by = hiring.AuthoritySystem
	}
	if w.cause != nil {
		by, event = hiring.AuthorityVendor, w.cause.ID
		if w.byPerson {
			by = hiring.AuthorityOverride
		}
	}
	o.move(e, from, to, shut(wasStatus), known, by, event)
}

func (o *oracle) step(to hiring.Stage, by hiring.Authority, event string) {
	o.stage, o.by, o.event = to, by, event
	if shows, ok := o.canonical(o.shown, o.status); ok && shows == to || by == hiring.AuthorityHuman || by == hiring.AuthorityOverride {
		o.jumped = false
	}
	for edge := range o.reverts {
		if strings.HasSuffix(edge, ">"+string(to)) {
			delete(o.reverts, edge)
		}
	}
	if by == hiring.AuthorityHuman || by == hiring.AuthorityOverride {
		o.reverts = map[string]int{}
	}
}

func (o *oracle) may(from, to hiring.Stage, by hiring.Authority) (exists, allowed bool) {
	for _, e := range o.b.Edges {
		if e.From == from && e.To == to {
			return true, e.Authority&by != 0
		}
	}
	return false, false
}

func (o *oracle) move(e *hiring.Event, from, to hiring.Stage, wasShut, known bool, by hiring.Authority, event string) {
	if o.stage == "" {
		if from == "" || from == to || wasShut {
			o.step(to, by, event)
			return
		}
		o.step(from, by, event)
	}
	if e.Type == hiring.EventTransferred {
		o.epoch, o.reverts = o.epoch+1, map[string]int{}
		o.step(to, by, event)
		return
	}
	// It was rejected, and we were not told; told of a reject that did not count, nothing happened to what it goes back to.
	if e.Type == hiring.EventUnrejected && !o.closed(o.stage) && (to != o.stage || !known) {
		if _, ok := o.may(o.stage, from, by); ok {
			o.step(from, by, event)
		}
	}
	if to == o.stage {
		o.jumped = false
		if by == hiring.AuthorityHuman && e.Actor == hiring.ActorHuman {
			o.reverts = map[string]int{}
		}
		return
	}
	if from == to && !wasShut {
		return
	}
	person := by == hiring.AuthorityHuman || by == hiring.AuthorityOverride
	exists, allowed := o.may(o.stage, to, by)
	switch ours := o.by == hiring.AuthorityVendor || o.by == hiring.AuthorityOverride; {
	case o.closed(o.stage) && wasShut && !o.closed(to):
		if !person {
			o.reverts[string(o.stage)+">"+string(to)]++
			return
		}
		o.epoch, o.reverts = o.epoch+1, map[string]int{}
		o.step(to, by, event)
	case allowed:
		o.step(to, by, event)
	case person && ours && from != "" && from != o.stage && func() bool { _, ok := o.may(from, to, by); return ok }():
		o.step(from, by, event) // our verdict, never shown, yields
		o.step(to, by, event)
	case exists:
		o.reverts[string(o.stage)+">"+string(to)]++
	default:
		o.jumped = true
	}
}

// decisive is the result that decides: the newest order's highest attempt and revision, of this epoch.
func (o *oracle) decisive() *verdict {
	order := ""
	if len(o.orders) > 0 {
		order = o.orders[len(o.orders)-1]
	}
	var best *verdict
	for _, r := range o.results {
		if r.order == order && r.epoch == o.epoch && (best == nil || r.attempt > best.attempt || r.attempt == best.attempt && r.revision > best.revision) {
			best = r
		}
	}
	return best
}

// act tries the decisive result, at every step (B4).
func (o *oracle) act(*word) {
	r := o.decisive()
	if r == nil || r.used || o.stage == "" {
		return
	}
	switch {
	case r.asks == hiring.VerdictReview,
		r.asks == hiring.VerdictAdvance && slices.Contains([]hiring.Stage{"interviews", "offer", "hired"}, o.stage) && !o.elsewhere(),
		r.asks == hiring.VerdictReject && o.stage == "rejected" && !o.elsewhere():
		r.used = true
	case r.asks == hiring.VerdictAdvance && o.stage == "screening":
		r.used = true
		o.step("interviews", hiring.AuthorityVendor, r.event)
	case r.asks == hiring.VerdictReject && o.stage == "screening":
		r.used = true
		o.step("rejected", hiring.AuthorityVendor, r.event)
	}
}

// elsewhere reports whether the ATS shows another stage, and nothing is written about it.
func (o *oracle) elsewhere() bool {
	stuck := o.jumped
	for _, n := range o.reverts {
		stuck = stuck || n > 1
	}
	shows, ok := o.canonical(o.shown, o.status)
	return stuck && (!ok || shows != o.stage)
}

// past reports whether the screening is over, so that no verdict acts any more.
func (o *oracle) past() bool {
	return o.closed(o.stage) || o.stage == "interviews" || o.stage == "offer"
}

// owed is the stage part of what the ATS should show once nothing has to wait any more.
func (o *oracle) owed() (string, hiring.Status) {
	known := o.shown != "" || o.status != hiring.StatusUnspecified
	contested, reverting := false, false
	for _, n := range o.reverts {
		contested, reverting = contested || n > 1, true
	}
	ours := o.by == hiring.AuthorityVendor || o.by == hiring.AuthorityOverride
	r := o.decisive()
	corrected := r != nil && (!r.used || r.told) && o.by == hiring.AuthorityVendor && o.past()
	if o.stage == "" || !known || o.held && o.until == 0 || o.private || o.deleted || o.jumped || o.unmapped || len(o.vague) > 0 || contested || !ours && !reverting || corrected ||
		o.tied[atsSystem+" stage"] || o.tied[atsSystem+" status"] {
		return "", hiring.StatusUnspecified
	}
	switch o.stage {
	case "rejected":
		return "", hiring.StatusRejected
	case "hired":
		return "", hiring.StatusHired
	case "withdrawn": // the ATS has no such status: a reason says so
		return "", hiring.StatusRejected
	}
	if s, _ := o.canonical(o.shown, hiring.StatusActive); s == o.stage {
		return o.shown, hiring.StatusActive
	}
	return map[hiring.Stage]string{"apply": "1001", "triage": "1002", "screening": "71416", "interviews": "1004", "offer": "1005"}[o.stage], hiring.StatusActive
}

func (o *oracle) say() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q epoch %d by %s for %s; shows %s %s; held %t deleted %t private %t who %q\n", o.stage, o.epoch, o.by, o.event, o.shown, o.status, o.held, o.deleted, o.private, o.who)
	for _, r := range o.results {
		fmt.Fprintf(&b, "result %s/%d/%d %s epoch %d used %t\n", r.order, r.attempt, r.revision, r.asks, r.epoch, r.used)
	}
	var facets []string
	for k, v := range o.seen {
		system, facet, _ := strings.Cut(k, " ")
		facets = append(facets, fmt.Sprintf("%s %s: %s", system, facet, strings.Join(slices.Sorted(slices.Values(v)), "|")))
	}
	slices.Sort(facets)
	stage, status := o.owed()
	fmt.Fprintf(&b, "%s\nowed %q %s\n", strings.Join(facets, "\n"), stage, status)
	return b.String()
}
