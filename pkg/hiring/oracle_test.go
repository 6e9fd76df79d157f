package hiring_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/concord-ats/concord/pkg/hiring"
)

// The oracle is a second reading of the rules that shares no code with the first: it is given everything at once,
// sorts all distinct events, and folds them with maps. It knows the default policy's tables and nothing of Decide.
type oracle struct {
	b        *hiring.Bundle
	stage    hiring.Stage
	epoch    int32
	by       hiring.Authority
	event    string
	shown    string // native stage the ATS shows
	status   hiring.Status
	seen     map[string][]string      // facet of a system -> values at its newest time
	newest   map[string]hiring.Micros // and that time; snapshots count half a microsecond more
	results  []*verdict
	orders   []string
	held     bool
	until    hiring.Micros
	deleted  bool
	private  bool
	who      string
	reverts  map[string]int
	jumped   bool // a forbidden jump stands
	unmapped bool
	vague    map[string]bool // systems with a contradicted identity
	tied     map[string]bool
}

type verdict struct {
	order             string
	attempt, revision int32
	asks              hiring.Verdict
	event, source     string
	epoch             int32
	used              bool
	told              bool // it was written, and stands where it should not have acted
}

// word is a distinct event on its way into the oracle.
type word struct {
	e        hiring.Event
	first    hiring.Micros // earliest at our door
	variants map[hiring.Digest]bool
	at       hiring.Micros // effective
	cause    *hiring.Cause // it shows a write of ours with this cause
	byPerson bool
}

// TestOracle compares Decide, fed in a random order, with the oracle.
func TestOracle(t *testing.T) {
	rules := defaultRules()
	compared := 0
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t, false)
		want, vague, ok := consult(rules.Bundles[0], h.deliveries)
		if !ok {
			return
		}
		compared++
		order := drawOrder(t, len(h.deliveries))
		s := deliver(rules, h.deliveries, order, nil)
		got := observe(s)
		if vague { // how long a contradiction holds effects back depends on where it would have stood
			got, _, _ = strings.Cut(got, "\nowed")
			want, _, _ = strings.Cut(want, "\nowed")
		}
		if got != want {
			t.Fatalf("arrival\n%sends\n%s\nthe oracle says\n%s", show(h.deliveries, order), got, want)
		}
	})
	if compared < 20 {
		t.Errorf("the oracle had an opinion on %d histories only", compared)
	}
}

// readID hides the identity a read of the ATS is given.
func readID(id string) string {
	if strings.HasPrefix(id, "snapshot:") {
		return "a read"
	}
	return id
}

// observe says of a state what the oracle says.
func observe(s *hiring.State) string {
	h := &s.Head
	var b strings.Builder
	fmt.Fprintf(&b, "%q epoch %d by %s for %s; shows %s %s; held %t deleted %t private %t who %q\n", h.Stage, h.Epoch, h.EnteredBy, readID(h.EnteredEvent), h.LevelStage, h.LevelStatus, len(h.Holds) > 0, h.Deleted, h.Anonymized, h.Candidate)
	for i := range h.Results {
		r := &h.Results[i]
		fmt.Fprintf(&b, "result %s/%d/%d %s epoch %d used %t\n", r.Order, r.Attempt, r.Revision, r.Verdict, r.Epoch, r.Consumed)
	}
	var facets []string
	for i := range h.Observations {
		o := &h.Observations[i]
		facets = append(facets, fmt.Sprintf("%s %s: %s", o.System, o.Facet, strings.Join(slices.Sorted(slices.Values(o.Values)), "|")))
	}
	slices.Sort(facets)
	fmt.Fprintf(&b, "%s\nowed %q %s\n", strings.Join(facets, "\n"), s.Desired.Stage, s.Desired.Status)
	return b.String()
}

// consult asks the oracle. It has no opinion where a tie-break is only ours: two reads of one version that differ; and
// knows nothing of scopes, and of overrides that end.
func consult(b *hiring.Bundle, deliveries []hiring.Event) (says string, vague, ok bool) {
	for i := range deliveries {
		if e := &deliveries[i]; e.Scope != "" || e.Type == hiring.EventOverride && e.ExpiresAt != 0 {
			return "", false, false
		}
	}
	words, outcomes := distinct(deliveries)
	reads := map[string]int{}
	for _, w := range words {
		if w.e.Type == hiring.EventSnapshot && w.e.Basis != hiring.BasisReceipt {
			k := fmt.Sprint(w.e.OccurredAt)
			if reads[k]++; reads[k] > 1 {
				return "", false, false
			}
		}
	}
	for i := range outcomes {
		if o := outcomes[i].Outcome; o.Observed != nil {
			return "", false, false
		}
	}
	words = arrange(words, outcomes)
	o := &oracle{b: b, seen: map[string][]string{}, newest: map[string]hiring.Micros{}, reverts: map[string]int{}, vague: map[string]bool{}, tied: map[string]bool{}}
	for _, w := range words {
		vague = vague || len(w.variants) > 1
		o.hear(w)
		o.act(w)
	}
	return o.say(), vague, true
}

// distinct gathers the words of one identity and drops hints, outcomes and what acts on the state only.
func distinct(deliveries []hiring.Event) (words []*word, outcomes []hiring.Event) {
	known := map[string]*word{}
	for _, e := range deliveries {
		id := e.Source + "\x00" + e.ID
		read := e.Type == hiring.EventSnapshot && e.Basis != hiring.BasisReceipt
		if read {
			id = fmt.Sprint("read ", e.System, e.OccurredAt, e.Stage, e.Status, e.RejectReason, e.Candidate, e.Elements, e.Actor, e.PreviousStage, e.Requisition)
			e.Digest = hiring.Digest{}
		}
		if e.Score != nil { // the default policy takes any declared scale
			el := hiring.Element{Name: "screening_score_raw", Value: fmt.Sprint(e.Score.Value)}
			if e.Score.Scale != "" {
				el = hiring.Element{Name: "screening_score", Value: fmt.Sprint(e.Score.Value * 10)}
			}
			e.Elements = []hiring.Element{el}
		}
		w := known[id]
		if w == nil {
			w = &word{e: e, variants: map[hiring.Digest]bool{}}
			known[id] = w
			words = append(words, w)
			if e.Type == hiring.EventOutcome {
				outcomes = append(outcomes, e)
			}
		}
		if e.ObservedAt != 0 && (w.first == 0 || e.ObservedAt < w.first) {
			w.first = e.ObservedAt
		}
		w.variants[e.Digest] = true
		if w.e.Basis == hiring.BasisReceipt && e.Basis != hiring.BasisReceipt {
			w.e = e // of a contradicted identity only its system matters
		}
	}
	return slices.DeleteFunc(words, func(w *word) bool {
		return w.e.Basis == hiring.BasisReceipt || w.e.Type == hiring.EventOutcome || acts(w.e.Type)
	}), outcomes
}

func margin(system string) time.Duration {
	if system == atsSystem || system == hiring.ControlSystem {
		return 0
	}
	return time.Minute
}

// turn orders what a system says at one time: the steps of a screening in their order; for an application its
// creation, what only mentions a level, what changes it, its deletion.
func turn(w *word) int {
	switch t := w.e.Type; {
	case t.Screening():
		return int(t)
	case t == hiring.EventCreated:
		return 0
	case t == hiring.EventUpdated:
		return 1
	case t == hiring.EventDeleted:
		return 3
	case t.ATS():
		return 2
	}
	return 0
}

// before is a system's own order.
func before(a, b *word) int {
	read := func(w *word) int {
		if w.e.Type == hiring.EventSnapshot {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(a.e.OccurredAt, b.e.OccurredAt), cmp.Compare(read(a), read(b)), cmp.Compare(turn(a), turn(b)), strings.Compare(a.e.ID, b.e.ID), strings.Compare(a.e.Source, b.e.Source))
}

// arrange gives every word its effective time by rule A1's own sentence, lets echoes follow their cause (A4), and sorts.
// What contradicts itself has left (A6); it only leaves its name behind.
func arrange(words []*word, outcomes []hiring.Event) []*word {
	var gone, stay []*word
	for _, w := range words {
		if len(w.variants) > 1 {
			gone = append(gone, w)
		} else {
			stay = append(stay, w)
		}
	}
	for _, w := range stay {
		w.at = 1 << 62
		for _, later := range stay {
			if later.e.System != w.e.System || before(later, w) < 0 {
				continue
			}
			claim := later.e.OccurredAt
			if later.first != 0 {
				claim = min(claim, later.first)
			}
			w.at = min(w.at, claim.Add(-margin(w.e.System)))
		}
	}
	slices.SortFunc(outcomes, func(a, b hiring.Event) int {
		x, y := a.Outcome, b.Outcome
		return cmp.Or(cmp.Compare(x.VersionAfter, y.VersionAfter), cmp.Compare(x.VersionBefore, y.VersionBefore), strings.Compare(x.Cause.ID, y.Cause.ID),
			cmp.Compare(x.Cause.EffectiveAt, y.Cause.EffectiveAt), strings.Compare(x.Written.Stage, y.Written.Stage), cmp.Compare(x.Written.Status, y.Written.Status))
	})
	ats := slices.DeleteFunc(slices.Clone(stay), func(w *word) bool { return w.e.System != atsSystem })
	slices.SortFunc(ats, before)
	type raised struct {
		w  *word
		to hiring.Micros
	}
	var up []raised
	for i := range outcomes {
		o := outcomes[i].Outcome
		if o.Outcome != hiring.OutcomeConfirmed {
			continue
		}
		w := record(ats, o)
		if w == nil || w.cause != nil {
			continue
		}
		w.cause = &o.Cause
		to := o.Cause.EffectiveAt
		for _, c := range append(slices.Clone(stay), gone...) {
			if c.e.ID == o.Cause.ID && c.e.Source == o.Cause.Source && len(c.variants) == 1 {
				to, w.byPerson = c.at, c.e.Type.Control()
			}
		}
		up = append(up, raised{w, to + 1})
	}
	for _, r := range up {
		r.w.at = max(r.w.at, r.to)
	}
	for i := 1; i < len(ats); i++ {
		ats[i].at = max(ats[i].at, ats[i-1].at)
	}
	slices.SortFunc(stay, func(a, b *word) int {
		return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.e.System, b.e.System), before(a, b))
	})
	return append(gone, stay...)
}

// record is the first record of the ATS at or past a write of ours, if it shows it.
func record(ats []*word, o *hiring.Outcome) *word {
	for _, w := range ats {
		v := int64(w.e.OccurredAt)
		says := w.e.Stage != "" || w.e.Status != hiring.StatusUnspecified
		if !says || v < o.VersionAfter && (o.VersionBefore == 0 || v <= o.VersionBefore) {
			continue
		}
		stage := o.Written.Stage == "" || o.Written.Stage == w.e.Stage
		status := o.Written.Status == w.e.Status || o.Written.Stage != "" && w.e.Status == hiring.StatusUnspecified
		if stage && status {
			return w
		}
		if v > o.VersionAfter {
			return nil
		}
	}
	return nil
}
