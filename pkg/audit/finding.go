package audit

import (
	"fmt"
	"slices"
	"strings"
)

// Invariant names what a finding breaks.
type Invariant string

// Invariants.
const (
	I1Loss      Invariant = "I1"
	I2Twice     Invariant = "I2"
	I3End       Invariant = "I3"
	I4Edge      Invariant = "I4"
	I5Version   Invariant = "I5"
	I6Atomic    Invariant = "I6"
	I8Lag       Invariant = "I8"
	I11KPI      Invariant = "I11"
	Confirmed   Invariant = "confirmed"
	Rate        Invariant = "rate"
	Tame        Invariant = "tame"
	maxIDs                = 20
	maxExamples           = 5
	maxFindings           = 500
)

// Finding is one kind of broken promise with the ids it was broken for.
type Finding struct {
	Invariant Invariant `json:"invariant"`
	// IDs are application ids, coordinates (topic/partition/offset) or event ids; at most 20 of them.
	IDs []string `json:"ids"`
	// What was found, in words, with the count where there are more ids than are listed.
	What string `json:"what"`
	// Count is how often it was found.
	Count int `json:"count"`
	// Examples tell of the first few what exactly was found.
	Examples []string `json:"examples,omitempty"`
}

// findings collects findings, one for each invariant and kind. Its order does not depend on chance.
type findings struct {
	list  []*Finding
	index map[string]*Finding
}

func (f *findings) add(inv Invariant, what string, ids ...string) {
	if f.index == nil {
		f.index = make(map[string]*Finding)
	}
	key := string(inv) + "|" + what
	found := f.index[key]
	if found == nil {
		if len(f.list) >= maxFindings {
			return
		}
		found = &Finding{Invariant: inv, What: what, IDs: []string{}}
		f.index[key] = found
		f.list = append(f.list, found)
	}
	found.Count++
	for _, id := range ids {
		if len(found.IDs) < maxIDs && !slices.Contains(found.IDs, id) {
			found.IDs = append(found.IDs, id)
		}
	}
}

// example adds a finding and, of the first few, the details.
func (f *findings) example(inv Invariant, what, id, detail string) {
	f.add(inv, what, id)
	if found := f.index[string(inv)+"|"+what]; found != nil && len(found.Examples) < maxExamples {
		found.Examples = append(found.Examples, detail)
	}
}

// sorted returns the findings by invariant, then by what.
func (f *findings) sorted() []Finding {
	out := make([]Finding, 0, len(f.list))
	for _, x := range f.list {
		if x.Count > 1 {
			x.What = fmt.Sprintf("%s (%d times)", x.What, x.Count)
		}
		slices.Sort(x.IDs)
		slices.Sort(x.Examples)
		out = append(out, *x)
	}
	slices.SortStableFunc(out, func(a, b Finding) int {
		if c := strings.Compare(string(a.Invariant), string(b.Invariant)); c != 0 {
			return c
		}
		return strings.Compare(a.What, b.What)
	})
	return out
}
