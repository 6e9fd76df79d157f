package ats

import (
	"slices"
	"strings"

	"github.com/concord-ats/concord/pkg/wire"
)

// Difference is what has to be written for desired to show. Empty members need no write.
type Difference struct {
	Stage    string
	Status   wire.ApplicationStatus
	Reason   string
	Elements []wire.Element
}

// Empty reports whether nothing has to be written.
func (d Difference) Empty() bool {
	return d.Stage == "" && d.Status == wire.ApplicationStatusUnspecified && d.Reason == "" && len(d.Elements) == 0
}

// Diff returns the facets in which desired asks for something else than shown shows. An empty facet of
// desired asks nothing, nor does an element it does not list. Versions are not compared.
func Diff(shown, desired wire.Tuple) Difference {
	var d Difference
	if desired.Stage != "" && desired.Stage != shown.Stage {
		d.Stage = desired.Stage
	}
	if desired.Status != wire.ApplicationStatusUnspecified && desired.Status != shown.Status {
		d.Status = desired.Status
	}
	if desired.Reason != "" && desired.Reason != shown.Reason {
		d.Reason = desired.Reason
	}
	for _, want := range desired.Elements {
		if has, ok := ElementValue(shown.Elements, want.Name); !ok || has != want.Value {
			d.Elements = append(d.Elements, want)
		}
	}
	return d
}

// Shows reports whether a reading shows the whole of desired: the only proof that a write is done.
func Shows(shown, desired wire.Tuple) bool { return Diff(shown, desired).Empty() }

// ElementValue finds an element by name.
func ElementValue(elements []wire.Element, name string) (string, bool) {
	for i := range elements {
		if elements[i].Name == name {
			return elements[i].Value, true
		}
	}
	return "", false
}

// SortElements sorts elements by name, the order a tuple keeps them in.
func SortElements(elements []wire.Element) {
	slices.SortFunc(elements, func(a, b wire.Element) int { return strings.Compare(a.Name, b.Name) })
}
