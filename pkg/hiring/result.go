package hiring

import (
	"cmp"
	"slices"
)

// screening folds what a vendor says.
func (f *folder) screening(b *Bundle, e *Entry) {
	h := f.h
	f.observe(e, facetScreening, e.Type.String())
	brought := b.brought(e)
	f.elements(e, brought)
	f.dispute(b, e, brought)
	if e.Order != "" && !slices.Contains(h.Orders, e.Order) {
		own(f, partOrders, &h.Orders)
		if len(h.Orders) >= maxOrders {
			h.Orders = slices.Delete(h.Orders, 0, 1)
		}
		h.Orders = append(h.Orders, e.Order)
		f.clear(IncidentUnconsumedResult, "")
	}
	if e.Type == EventScreeningCancelled {
		ownIn(f, partResults, &h.Results, &f.mem.results, 1)
		for i := range h.Results {
			if h.Results[i].Order == e.Order {
				h.Results[i].Consumed = true
			}
		}
		f.clear(IncidentUnconsumedResult, "")
	}
	if e.HasResult {
		f.result(e, f.verdict(b, e, brought))
		f.missing(b, e, brought)
	}
}

// elements observes every element an entry brings. Elements are sorted by name; of two with one name the last counts.
func (f *folder) elements(e *Entry, brought []Element) {
	for i := range brought {
		if i+1 < len(brought) && brought[i+1].Name == brought[i].Name {
			continue
		}
		f.observe(e, elementFacet(brought[i].Name), brought[i].Value)
	}
}

// elementFacet returns the facet of an element; those of the default dictionary cost nothing.
func elementFacet(name string) string {
	switch name {
	case ElementScreeningStatus:
		return facetElement + ElementScreeningStatus
	case ElementScreeningScore:
		return facetElement + ElementScreeningScore
	case ElementScreeningScoreRaw:
		return facetElement + ElementScreeningScoreRaw
	case ElementScreeningRecommendation:
		return facetElement + ElementScreeningRecommendation
	case ElementScreeningReport:
		return facetElement + ElementScreeningReport
	case ElementScreeningFinishedAt:
		return facetElement + ElementScreeningFinishedAt
	case ElementCompetencies:
		return facetElement + ElementCompetencies
	case ElementReviewerIDs:
		return facetElement + ElementReviewerIDs
	case ElementMedia:
		return facetElement + ElementMedia
	}
	return facetElement + name
}

// result keeps a result per (order, attempt, revision). One that has asked for a move and is used up stays as it is: a second
// sender, or a retry under another id, never acts again, and one that asks for something else is told.
func (f *folder) result(e *Entry, asks Verdict) {
	h := f.h
	res := Result{Order: e.Order, Attempt: e.Attempt, Revision: e.ResultRev, Verdict: asks, Source: e.Source, EventID: e.ID, Eff: e.Eff, FinishedAt: e.FinishedAt, Epoch: h.Epoch}
	ownIn(f, partResults, &h.Results, &f.mem.results, 1)
	if at := h.resultOf(&res); at >= 0 {
		was := &h.Results[at]
		if !was.Consumed || !was.Verdict.moves() {
			res.Epoch = was.Epoch
			*was = res
		} else if asks.moves() && asks != was.Verdict {
			f.unconsumed(&res)
		}
		return
	}
	if len(h.Results) >= maxResults {
		h.Results = slices.Delete(h.Results, 0, 1)
	}
	h.Results = append(h.Results, res)
}

func (h *Head) resultOf(r *Result) int {
	for i := range h.Results {
		if k := &h.Results[i]; k.Order == r.Order && k.Attempt == r.Attempt && k.Revision == r.Revision {
			return i
		}
	}
	return -1
}

// missing suspects every mandatory element a complete result does not bring.
func (f *folder) missing(b *Bundle, e *Entry, brought []Element) {
	for i := range b.Elements {
		rule := &b.Elements[i]
		if !rule.Mandatory {
			continue
		}
		f.clear(IncidentMissingField, rule.Name)
		if !slices.ContainsFunc(brought, func(x Element) bool { return x.Name == rule.Name && x.Value != "" }) {
			given := IncidentValue{System: e.System, At: e.OccurredAt}
			if e.Score != nil && rule.Name == ElementScreeningScore {
				given.Value = cmp.Or(e.Score.Scale, "unscaled") // why it cannot be compared, not the score
			}
			f.suspect(Suspect{Kind: IncidentMissingField, Element: rule.Name, Subject: e.ID, Eff: e.Eff, Values: []IncidentValue{given}})
		}
	}
}

// newest returns the index of the result that decides in the present epoch: of the newest order, the highest
// attempt and revision. -1 = none.
func (h *Head) newest() int {
	order := ""
	if n := len(h.Orders); n > 0 {
		order = h.Orders[n-1]
	}
	best := -1
	for i := range h.Results {
		r := &h.Results[i]
		if r.Order != order || r.Epoch != h.Epoch {
			continue
		}
		if best < 0 || cmp.Or(cmp.Compare(r.Attempt, h.Results[best].Attempt), cmp.Compare(r.Revision, h.Results[best].Revision)) > 0 {
			best = i
		}
	}
	return best
}

// newestResult returns the result at newest, or nil. It is not to be changed.
func (h *Head) newestResult() *Result {
	if i := h.newest(); i >= 0 {
		return &h.Results[i]
	}
	return nil
}

// consume tries the pending result at this step (rule B4): a verdict is a level, not a pulse.
func (f *folder) consume(b *Bundle, e *Entry) {
	h := f.h
	if h.Stage == "" {
		return
	}
	i := h.newest()
	if i < 0 || h.Results[i].Consumed {
		return
	}
	done := func() {
		ownIn(f, partResults, &h.Results, &f.mem.results, 1)
		h.Results[i].Consumed = true
		f.clear(IncidentUnconsumedResult, "")
	}
	r := &h.Results[i]
	if h.EnteredUntil != 0 && e.Eff < h.EnteredUntil && r.Verdict.moves() && !satisfies(b, h.Stage, r.Verdict) {
		f.last.pending = true // a person has set the stage until then
		f.unconsumed(r)
		return
	}
	if !r.Verdict.moves() || satisfies(b, h.Stage, r.Verdict) && !f.elsewhere(b) {
		done()
		return
	}
	if b.expired(r, e.Eff) {
		f.last.pending = true
		f.unconsumed(r)
		return
	}
	if edge := b.verdictEdge(h.Stage, r.Verdict); edge != nil && edge.Authority&AuthorityVendor != 0 {
		done()
		f.transition(b, e, edge.To, edge.Name, edge.Owner, AuthorityVendor, r.Source, r.EventID)
		f.last.authority = AuthorityVendor
		return
	}
	f.last.pending = true
	if from := f.verdictFrom(b, r.Verdict); b.closed(h.Stage) || from != "" && b.rank(h.Stage) > b.rank(from) {
		f.unconsumed(r)
	}
}

// executed takes a result whose write the ATS shows as used up: a refold may find that it should not have acted, and
// that is told, but it never acts a second time.
func (f *folder) executed(echo *shown) {
	for i := range f.h.Results {
		if r := &f.h.Results[i]; !r.Consumed && r.EventID == echo.id && r.Source == echo.source {
			ownIn(f, partResults, &f.h.Results, &f.mem.results, 1)
			f.h.Results[i].Consumed = true
		}
	}
}

// moves reports whether a verdict asks for a transition.
func (v Verdict) moves() bool { return v == VerdictAdvance || v == VerdictReject }

// unconsumed suspects that a result will not act any more; a newer one takes the place of an older (rule B4).
func (f *folder) unconsumed(r *Result) {
	for i := range f.h.Suspects {
		if f.h.Suspects[i].Kind == IncidentUnconsumedResult && f.h.Suspects[i].Subject == r.EventID {
			return
		}
	}
	f.clear(IncidentUnconsumedResult, "")
	f.suspect(Suspect{Kind: IncidentUnconsumedResult, Element: r.Verdict.String(), Subject: r.EventID, Eff: r.Eff})
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

// satisfies reports whether a stage shows what the verdict asks for.
func satisfies(b *Bundle, stage Stage, v Verdict) bool {
	for i := range b.Edges {
		if e := &b.Edges[i]; e.Verdict == v {
			if e.To == stage {
				return true
			}
			return !b.closed(e.To) && b.rank(stage) >= b.rank(e.To)
		}
	}
	return false
}

// elsewhere reports whether the ATS shows another stage and nothing is written about it: a jump is held, or the stage
// contested. The canonical stage alone then satisfies no verdict.
func (f *folder) elsewhere(b *Bundle) bool {
	return (f.h.jumped() || f.h.reverting() > 1) && !f.shows(b, f.h.Stage)
}
