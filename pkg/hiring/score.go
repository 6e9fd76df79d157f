package hiring

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Score is a score as its source gives it. Without a scale and both its ends it cannot be compared: a bare 81 is not 81 %.
type Score struct {
	Value, Min, Max float64
	Scale           string // HR Open score code: raw, scaled, percentile, stanine, sten, t, z, …; empty = not declared
}

// Scale is what the dictionary declares of an element that is a score.
type Scale struct {
	Code     string        // the only code in which a score can be compared; empty = any that the score itself declares, with its ends
	Min, Max float64       // of the element's value; scores of the code that do not say have these ends too
	ValidFor time.Duration // a verdict acts only so long after the screening finished; 0 = for ever
}

// CutOff turns a score into a verdict, in place of the vendor's recommendation. The first that matches counts.
type CutOff struct {
	Selector
	Element string  // the score, in units of its scale
	Advance float64 // from here up: advance
	Reject  float64 // below: reject; between: a person decides
}

func sameScore(a, b *Score) bool { return a == b || a != nil && b != nil && *a == *b }

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// scaled returns a score as a value of the element's scale, to two decimals, or as a percentage where none is declared.
// ok is false for one that cannot be compared.
func (r *ElementRule) scaled(s *Score) (value string, ok bool) {
	low, high, to := s.Min, s.Max, Scale{Max: 100}
	if r != nil && r.Scale != nil {
		if to = *r.Scale; to.Code != "" && !strings.EqualFold(to.Code, s.Scale) {
			return "", false
		}
		if low == high && to.Code != "" {
			low, high = to.Min, to.Max
		}
	}
	span := high - low // NaN or infinite if an end is, or if they are too far apart
	if s.Scale == "" || !finite(span) || !(span > 0) || !(s.Value >= low && s.Value <= high) {
		return "", false
	}
	v := math.Round((to.Min+(s.Value-low)/span*(to.Max-to.Min))*100) / 100
	if v == 0 {
		v = 0 // never −0
	}
	return strconv.FormatFloat(v, 'f', -1, 64), true
}

// brought returns the elements an entry brings, sorted by name: a score that can be compared is the element screening_score,
// any other is kept as screening_score_raw and is missing as what it should be.
func (b *Bundle) brought(e *Entry) []Element {
	if e.Score == nil {
		return e.Elements
	}
	el := Element{Name: ElementScreeningScore}
	value, ok := b.element(ElementScreeningScore).scaled(e.Score)
	if el.Value = value; !ok {
		el = Element{Name: ElementScreeningScoreRaw, Value: strconv.FormatFloat(e.Score.Value, 'g', -1, 64)}
	}
	i, known := slices.BinarySearchFunc(e.Elements, el.Name, func(e Element, name string) int { return strings.Compare(e.Name, name) })
	out := make([]Element, 0, len(e.Elements)+1)
	out = append(append(out, e.Elements[:i]...), el)
	if known {
		i++
	}
	return append(out, e.Elements[i:]...)
}

// verdict is what a result asks for: what the cut-off makes of its score, where there is one for the application. Where
// the vendor says the opposite, or asks for a person, and where the score cannot be compared, a person decides.
func (f *folder) verdict(b *Bundle, e *Entry, brought []Element) Verdict {
	at := slices.IndexFunc(b.CutOffs, func(c CutOff) bool { return c.matches(f.instance(b), &f.h.Requisition) })
	if at < 0 {
		return e.Verdict
	}
	c := &b.CutOffs[at]
	i := slices.IndexFunc(brought, func(el Element) bool { return el.Name == c.Element })
	if i < 0 {
		return VerdictReview
	}
	score, err := strconv.ParseFloat(brought[i].Value, 64)
	asks := VerdictReview
	switch {
	case err != nil || !finite(score):
	case score >= c.Advance:
		asks = VerdictAdvance
	case score < c.Reject:
		asks = VerdictReject
	}
	if e.Verdict != VerdictNone && e.Verdict != asks {
		return VerdictReview
	}
	return asks
}

// expired reports whether a result is too old to act at a time.
func (b *Bundle) expired(r *Result, at Micros) bool {
	rule := b.element(ElementScreeningScore)
	return rule != nil && rule.Scale != nil && rule.Scale.ValidFor > 0 && r.FinishedAt != 0 && at > r.FinishedAt.Add(rule.Scale.ValidFor)
}
