package strict

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Fault is one thing that is wrong, or will be, at one place.
type Fault struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`   // from 1; 0 = the whole file
	Column  int    `json:"column,omitempty"` // from 1; 0 = not known
	Path    string `json:"path,omitempty"`   // "transitions[3].to"
	Value   string `json:"value,omitempty"`
	Problem string `json:"problem"`
	Fix     string `json:"fix"`
}

// String is one line: file:line:column, path = value: problem; fix.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	for _, n := range []int{f.Line, f.Column} {
		if n > 0 {
			fmt.Fprintf(&b, ":%d", n)
		}
	}
	b.WriteString(": ")
	if f.Path != "" {
		b.WriteString(f.Path)
		if f.Value != "" {
			b.WriteString(" = " + f.Value)
		}
		b.WriteString(": ")
	}
	b.WriteString(f.Problem + "; " + f.Fix)
	return b.String()
}

// Faults is everything that is wrong, in the order of the files.
type Faults []Fault

// Error has one line a fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].String()
	}
	return strings.Join(lines, "\n")
}

// lastIndex is the place in a list at the end of a path.
var lastIndex = regexp.MustCompile(`\[\d+\]$`)

// Apart returns the faults that cannot come from one of others: from a value that could not be read, or from what the lack
// of it makes of its entry and its neighbours.
func (f Faults) Apart(others Faults) Faults {
	return slices.DeleteFunc(f, func(g Fault) bool {
		return slices.ContainsFunc(others, func(o Fault) bool {
			value := lastIndex.ReplaceAllString(o.Path, "")
			entry, key := outer(value), value[strings.LastIndex(value, ".")+1:]
			return g.File == o.File && (g.Path == o.Path || g.Path == value ||
				entry != "" && (g.Path == entry || outer(g.Path) == entry && strings.Contains(g.Problem+g.Fix, key)))
		})
	})
}

// Sorted returns them in the order of files and places, each once.
func (f Faults) Sorted() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(f)
}
