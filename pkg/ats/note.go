package ats

import (
	"fmt"
	"strings"

	"github.com/concord-ats/concord/pkg/wire"
)

// NoteMarker is what a note written for an element begins with where an ATS takes plain text.
const NoteMarker = "[concord %s]"

// Note is one note of an application, as an ATS lists it.
type Note struct {
	Text string
	// Order tells which of two notes is the newer one: its time, or its place in a list.
	Order int64
}

// NoteText is the text of the note that holds an element.
func NoteText(marker string, e wire.Element) string {
	return fmt.Sprintf(marker, e.Name) + "\n" + e.Value
}

// AddNotes adds the elements that are kept in notes to those of a tuple: each mapped one, by its marker, with the text of its
// newest note; empty when there is none. A note somebody edited so that its marker is gone is nobody's.
func (m *Mapping) AddNotes(t *wire.Tuple, marker string, notes []Note) {
	for _, f := range m.Fields {
		if f.Type != FieldNote {
			continue
		}
		e := wire.Element{Name: f.Element}
		newest, found := int64(0), false
		for _, n := range notes {
			text, ok := strings.CutPrefix(n.Text, fmt.Sprintf(marker, f.Element)+"\n")
			if ok && (!found || n.Order >= newest) {
				e.Value, newest, found = text, n.Order, true
			}
		}
		t.Elements = append(t.Elements, e)
	}
	SortElements(t.Elements)
}
