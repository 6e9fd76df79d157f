package hiring

import (
	"cmp"
	"slices"
	"strings"
)

// Facets every ATS has. An element's facet is facetElement + its name.
const (
	facetStage     = "stage"
	facetStatus    = "status"
	facetReason    = "reason"
	facetElement   = "element:"
	facetScreening = "screening"
)

// Caps that keep a head small whatever a publisher sends. The oldest entries go first.
const (
	maxResults      = 16
	maxOrders       = 16
	maxSuspects     = 32
	maxReverts      = 16
	maxMarks        = 32
	maxObservations = 256
)

// folder folds entries into a head it owns.
type folder struct {
	rules  *Rules
	h      *Head
	trail  []Step
	raised []Suspect // every suspicion raised on the way, for retracted versus resolved
	last   signal    // what the newest step did
}

// signal is what one step did, for the reason of an event in order.
type signal struct {
	moved, held, unauthorised, tie, pending, overridden bool
	authority                                           Authority
}

// cloneHead returns a head that shares nothing mutable with h.
func cloneHead(h *Head) *Head {
	c := *h
	c.Observations = slices.Clone(h.Observations)
	c.Results = slices.Clone(h.Results)
	c.Orders = slices.Clone(h.Orders)
	c.Reverts = slices.Clone(h.Reverts)
	c.Suspects = slices.Clone(h.Suspects)
	c.Marks = slices.Clone(h.Marks)
	return &c
}

// fold folds base and entries. echoOf is what order returned.
func (r *Rules) fold(base *Head, entries []Entry, echoOf []*Echo) *folder {
	f := &folder{rules: r}
	if base != nil {
		f.h = cloneHead(base)
		f.raised = slices.Clone(base.Suspects)
	} else {
		f.h = &Head{}
	}
	for i := range entries {
		var echo *Echo
		if echoOf != nil {
			echo = echoOf[i]
		}
		f.step(&entries[i], echo)
	}
	return f
}

// step folds one entry: observe, move by the bundle in force at its time (rule B6), consume pending results.
func (f *folder) step(e *Entry, echo *Echo) {
	f.last = signal{}
	b := f.rules.At(e.Eff)
	f.mark(e)
	switch {
	case e.Contradicted:
		f.suspect(Suspect{Kind: IncidentContradicted, Element: e.System, Subject: e.ID, Eff: e.Eff})
	case e.Type.ATS():
		f.ats(b, e, echo)
	case e.Type.Screening():
		f.screening(b, e)
	case e.Type.Control():
		f.control(b, e)
	}
	f.consume(b, e)
}

func (f *folder) mark(e *Entry) {
	m := Mark{System: e.System, OccurredAt: e.OccurredAt, Revision: e.Revision, Snapshot: e.snapshot(), ID: e.ID, Eff: e.Eff}
	i, ok := slices.BinarySearchFunc(f.h.Marks, e.System, func(m Mark, s string) int { return strings.Compare(m.System, s) })
	switch {
	case ok:
		f.h.Marks[i] = m
	case len(f.h.Marks) < maxMarks:
		f.h.Marks = slices.Insert(f.h.Marks, i, m)
	}
}

func (h *Head) markOf(system string) *Mark {
	i, ok := slices.BinarySearchFunc(h.Marks, system, func(m Mark, s string) int { return strings.Compare(m.System, s) })
	if !ok {
		return nil
	}
	return &h.Marks[i]
}

func compareObservation(o *Observation, facet, system string) int {
	if c := strings.Compare(o.Facet, facet); c != 0 {
		return c
	}
	return strings.Compare(o.System, system)
}

func (h *Head) observation(facet, system string) (int, bool) {
	lo, hi := 0, len(h.Observations)
	for lo < hi {
		mid := (lo + hi) / 2
		if compareObservation(&h.Observations[mid], facet, system) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < len(h.Observations) && compareObservation(&h.Observations[lo], facet, system) == 0
}

// observe records what a system says of a facet. Entries of one system come in its own order, so that the
// newest wins; another value at the very same own time is a tie (rule A5).
func (f *folder) observe(e *Entry, facet, value string) {
	o := Observation{Facet: facet, System: e.System, At: e.OccurredAt, Revision: e.Revision, Snapshot: e.snapshot(), Eff: e.Eff, EventID: e.ID}
	i, ok := f.h.observation(facet, e.System)
	if !ok {
		if len(f.h.Observations) >= maxObservations {
			return
		}
		o.Values = []string{value}
		f.h.Observations = slices.Insert(f.h.Observations, i, o)
		return
	}
	was := &f.h.Observations[i]
	if sameOwnTime(was, e, f.rules.system(e.System).ByRevision) {
		o.Values = slices.Clone(was.Values)
		if at := slices.Index(o.Values, value); at >= 0 {
			o.Values = slices.Delete(o.Values, at, at+1)
		}
		o.Values = append(o.Values, value)
	} else {
		o.Values = []string{value}
	}
	*was = o
	if facet != facetScreening && facet != facetReason {
		f.clear(IncidentTie, facet)
		if len(o.Values) > 1 {
			f.last.tie = true
			f.suspect(Suspect{Kind: IncidentTie, Element: facet, Subject: e.ID, Eff: e.Eff, Values: tieValues(&o)})
		}
	}
}

func sameOwnTime(o *Observation, e *Entry, byRevision bool) bool {
	if o.Snapshot != e.snapshot() {
		return false
	}
	if byRevision {
		return o.Revision == e.Revision
	}
	return o.At == e.OccurredAt
}

func tieValues(o *Observation) []IncidentValue {
	values := make([]IncidentValue, len(o.Values))
	for i, v := range o.Values {
		values[i] = IncidentValue{System: o.System, Value: v, At: o.At}
	}
	return values
}

func compareSuspect(a, b Suspect) int {
	if c := cmp.Compare(a.Kind, b.Kind); c != 0 {
		return c
	}
	if c := strings.Compare(a.Element, b.Element); c != 0 {
		return c
	}
	if c := strings.Compare(a.Subject, b.Subject); c != 0 {
		return c
	}
	return cmp.Compare(a.Epoch, b.Epoch)
}

// suspect raises a suspicion in the present epoch.
func (f *folder) suspect(s Suspect) {
	s.Epoch = f.h.Epoch
	i, ok := slices.BinarySearchFunc(f.h.Suspects, s, compareSuspect)
	if ok {
		f.h.Suspects[i] = s
		return
	}
	f.raised = append(f.raised, s)
	if len(f.h.Suspects) < maxSuspects {
		f.h.Suspects = slices.Insert(f.h.Suspects, i, s)
	}
}

// clear ends suspicions of a kind; element "" means any element.
func (f *folder) clear(k IncidentKind, element string) {
	if len(f.h.Suspects) == 0 {
		return
	}
	f.h.Suspects = slices.DeleteFunc(f.h.Suspects, func(s Suspect) bool {
		return s.Kind == k && (element == "" || s.Element == element)
	})
}

func (h *Head) suspected(k IncidentKind) bool {
	for i := range h.Suspects {
		if h.Suspects[i].Kind == k {
			return true
		}
	}
	return false
}

// transition takes one step of the machine.
func (f *folder) transition(b *Bundle, e *Entry, to Stage, edge, owner string, by Authority, source, event string) {
	f.trail = append(f.trail, Step{From: f.h.Stage, To: to, Edge: edge, Owner: owner, Authority: by, EventID: event})
	f.h.Stage = to
	f.h.EnteredAt, f.h.EnteredBy, f.h.EnteredEvent, f.h.EnteredSource = e.Eff, by, event, source
	f.last.moved = true
	f.clear(IncidentForbiddenJump, "")
	if by == AuthorityHuman || by == AuthorityOverride {
		f.personActed()
	}
}

// personActed ends what waits for a person (rule C4).
func (f *folder) personActed() {
	f.clear(IncidentUnauthorised, "")
	f.h.Reverts = slices.DeleteFunc(f.h.Reverts, func(r Revert) bool { return r.Epoch == f.h.Epoch })
}

// screening folds what a vendor says.
func (f *folder) screening(b *Bundle, e *Entry) {
	h := f.h
	f.observe(e, facetScreening, e.Type.String())
	for i := range e.Elements {
		f.observe(e, facetElement+e.Elements[i].Name, e.Elements[i].Value)
	}
	if e.Order != "" && !slices.Contains(h.Orders, e.Order) {
		if len(h.Orders) >= maxOrders {
			h.Orders = slices.Delete(h.Orders, 0, 1)
		}
		h.Orders = append(h.Orders, e.Order)
		f.clear(IncidentUnconsumedResult, "")
	}
	if e.Type == EventScreeningCancelled {
		for i := range h.Results {
			if h.Results[i].Order == e.Order {
				h.Results[i].Consumed = true
			}
		}
		f.clear(IncidentUnconsumedResult, "")
	}
	if !e.HasResult {
		return
	}
	res := Result{Order: e.Order, Attempt: e.Attempt, Revision: e.ResultRev, Verdict: e.Verdict, Source: e.Source, EventID: e.ID, Eff: e.Eff, FinishedAt: e.FinishedAt, Epoch: h.Epoch}
	at := slices.IndexFunc(h.Results, func(r Result) bool {
		return r.Order == res.Order && r.Attempt == res.Attempt && r.Revision == res.Revision
	})
	switch {
	case at >= 0:
		res.Consumed, res.Epoch = h.Results[at].Consumed, h.Results[at].Epoch
		h.Results[at] = res
	default:
		if len(h.Results) >= maxResults {
			h.Results = slices.Delete(h.Results, 0, 1)
		}
		h.Results = append(h.Results, res)
	}
	f.missing(b, e)
}

// missing suspects every mandatory element a complete result does not bring.
func (f *folder) missing(b *Bundle, e *Entry) {
	for i := range b.Elements {
		rule := &b.Elements[i]
		if !rule.Mandatory {
			continue
		}
		f.clear(IncidentMissingField, rule.Name)
		if !slices.ContainsFunc(e.Elements, func(x Element) bool { return x.Name == rule.Name && x.Value != "" }) {
			f.suspect(Suspect{Kind: IncidentMissingField, Element: rule.Name, Subject: e.ID, Eff: e.Eff, Values: []IncidentValue{{System: e.System, At: e.OccurredAt}}})
		}
	}
}

// control folds what a person asks.
func (f *folder) control(b *Bundle, e *Entry) {
	h := f.h
	f.last.authority = AuthorityOverride
	switch e.Type { //exhaustive:ignore // the other controls act on the state, not on the fold
	case EventOverride:
		f.last.overridden = true
		f.personActed()
		f.clear(IncidentForbiddenJump, "")
		f.clear(IncidentUnmapped, "")
		if to := Stage(e.Stage); to != h.Stage {
			if b.closed(h.Stage) && !b.closed(to) {
				h.Epoch++
			}
			f.transition(b, e, to, EdgeOverride, f.owner(b, to), AuthorityOverride, e.Source, e.ID)
		} else {
			h.EnteredBy, h.EnteredEvent, h.EnteredSource = AuthorityOverride, e.ID, e.Source
		}
	case EventHold:
		h.HeldBy, h.HeldUntil = e.ID, e.ExpiresAt
	case EventRelease: // a person has seen what is open, and lets it stand
		h.HeldBy, h.HeldUntil = "", 0
		f.personActed()
		f.clear(IncidentForbiddenJump, "")
		f.clear(IncidentContradicted, "")
		f.clear(IncidentVerdictOverridden, "")
		f.clear(IncidentUnconsumedResult, "")
		f.clear(IncidentMissingField, "")
		if r := h.newestResult(); r != nil {
			r.Consumed = true
		}
	case EventMerge:
		if e.Candidate != "" {
			h.Candidate = e.Candidate
		}
	case EventAnonymize:
		h.Anonymized = true
	}
}

func (f *folder) owner(b *Bundle, s Stage) string {
	if r := b.Stage(s); r != nil {
		return r.Owner
	}
	return ""
}

// newestResult returns the result that decides in the present epoch: of the newest order, the highest attempt
// and revision.
func (h *Head) newestResult() *Result {
	if len(h.Orders) == 0 && len(h.Results) == 0 {
		return nil
	}
	order := ""
	if n := len(h.Orders); n > 0 {
		order = h.Orders[n-1]
	}
	var best *Result
	for i := range h.Results {
		r := &h.Results[i]
		if r.Order != order || r.Epoch != h.Epoch {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(r.Attempt, best.Attempt), cmp.Compare(r.Revision, best.Revision)) > 0 {
			best = r
		}
	}
	return best
}

// consume tries the pending result at this step (rule B4): a verdict is a level, not a pulse.
func (f *folder) consume(b *Bundle, e *Entry) {
	h := f.h
	if h.Stage == "" {
		return
	}
	r := h.newestResult()
	if r == nil || r.Consumed {
		return
	}
	done := func() {
		r.Consumed = true
		f.clear(IncidentUnconsumedResult, "")
	}
	switch r.Verdict {
	case VerdictNone, VerdictReview:
		done()
		return
	case VerdictAdvance, VerdictReject:
	}
	if f.satisfied(b, r.Verdict) {
		done()
		return
	}
	if edge := b.verdictEdge(h.Stage, r.Verdict); edge != nil && edge.Authority&AuthorityVendor != 0 {
		done()
		f.transition(b, e, edge.To, edge.Name, edge.Owner, AuthorityVendor, r.Source, r.EventID)
		f.last.authority = AuthorityVendor
		return
	}
	f.last.pending = true
	if screening := f.verdictFrom(b, r.Verdict); b.closed(h.Stage) || screening != "" && b.rank(h.Stage) > b.rank(screening) {
		for i := range h.Suspects {
			if h.Suspects[i].Kind == IncidentUnconsumedResult && h.Suspects[i].Subject == r.EventID {
				return
			}
		}
		f.clear(IncidentUnconsumedResult, "")
		f.suspect(Suspect{Kind: IncidentUnconsumedResult, Element: r.Verdict.String(), Subject: r.EventID, Eff: r.Eff})
	}
}

// verdictFrom returns the stage in which a verdict acts.
func (f *folder) verdictFrom(b *Bundle, v Verdict) Stage {
	for i := range b.Edges {
		if b.Edges[i].Verdict == v {
			return b.Edges[i].From
		}
	}
	return ""
}

// satisfied reports whether the canonical stage already shows what the verdict asks for.
func (f *folder) satisfied(b *Bundle, v Verdict) bool {
	for i := range b.Edges {
		if e := &b.Edges[i]; e.Verdict == v {
			if e.To == f.h.Stage {
				return true
			}
			return !b.closed(e.To) && b.rank(f.h.Stage) >= b.rank(e.To)
		}
	}
	return false
}
