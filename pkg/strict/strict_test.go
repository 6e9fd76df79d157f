package strict_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/concord-ats/concord/pkg/strict"
)

type colour string

// Choices implements strict.Closed.
func (colour) Choices() []string { return []string{"red", "green"} }

type thing struct {
	Name   string     `key:"name,required" doc:"what it is called"`
	Colour colour     `key:"colour"`
	Size   int        `key:"size"`
	Rest   strict.Any `key:"rest"`
}

// Every fault is told at once, with its place, value and fix, and what can be read nevertheless is.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"whole":          {"name: a\ncolour: red\nsize: 3\n", nil},
		"several":        {"nmae: a\ncolour: rad\nsize: big\n", []string{"f.yaml:1:1: nmae: is no key of the format; did you mean name?", "f.yaml:2:9: colour = rad: is not one of red, green; choose one of them; did you mean red?", "f.yaml:3:7: size = big: is no whole number; write digits only"}},
		"missing":        {"size: 1\n", []string{"f.yaml:1:1: name: is missing; give text: what it is called"}},
		"twice":          {"name: a\nname: b\n", []string{"f.yaml:2:1: name: is given twice, first in line 1; keep one"}},
		"null":           {"name:\n", []string{"f.yaml:1:6: name: has no value; give it one, or remove the key"}},
		"unquoted brace": {"name: a\nrest:\n  to: {stage}\n", []string{"f.yaml:3:7: rest.to: is a mapping whose only key has no value; give it one; a text that begins with a brace stands in quotes"}},
		"two documents":  {"name: a\n---\nname: b\n", []string{"f.yaml:2:1: holds more than one YAML document; keep one"}},
		"two of a kind":  {"name:\ncolour: rad\nsize: &x 1\n", []string{"f.yaml:1:6: name: has no value; give it one, or remove the key", "f.yaml:2:9: colour = rad: is not one of red, green; choose one of them; did you mean red?", "f.yaml:3:7: size: is an anchor or an alias; write the value out"}},
		"nothing":        {"", []string{"f.yaml:1:1: is empty; write it"}},
		"comments alone": {"# nothing\n", []string{"f.yaml:1:1: is empty; write it"}},
		"binary":         {"name: a\nrest: b\x00c\n", []string{"f.yaml:2:8: is no text: it holds the character U+0000; save it as UTF-8 text"}},
		"Latin-1":        {"name: \xe4\n", []string{"f.yaml:1:7: is no text: it holds the byte 0xe4; save it as UTF-8 text"}},
		"UTF-16":         {"\xff\xfen\x00a\x00", []string{"f.yaml:1:1: is no text: it holds the byte 0xff; save it as UTF-8 text"}},
		"a colon":        {"size: 1\nname: a: b\n", []string{"f.yaml:2:8: is no YAML: mapping values are not allowed in this context; put a text that holds a colon and a space in quotes, or mend the indentation"}},
		"a tab":          {"name: a\nrest:\n\tx: y\n", []string{"f.yaml:3:1: is no YAML: found character that cannot start any token; indent with spaces, not tabs, and put a text that begins with @, ` or % in quotes"}},
		"an open list":   {"rest: [1, 2]\ncolour: [red\n", []string{"f.yaml:2:9: is no YAML: did not find expected ',' or ']'; close the list with ], and put a text that holds a comma in quotes"}},
		"an open quote":  {"name: a\nrest: \"b\n", []string{"f.yaml:2:7: is no YAML: found unexpected end of stream; close the quotes"}},
		"an open brace":  {"name: a\nrest: {x: [1}\n", []string{"f.yaml:2:7: is no YAML: did not find expected ',' or ']'; close the list with ], and put a text that holds a comma in quotes"}},
		"a second start": {"name: a\n--- [\n", []string{"f.yaml:2:1: is no YAML: did not find expected node content; mend the YAML"}},
		"an alias":       {"name: &x a\n", []string{"f.yaml:1:7: name: is an anchor or an alias; write the value out"}},
	} {
		var v thing
		doc, faults, _ := strict.Read("f.yaml", []byte(c.text), &v)
		var got []string
		for _, f := range faults.Sorted() {
			got = append(got, f.String())
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if len(c.want) == 0 && (doc == nil || v.Name != "a" || v.Colour != "red" || v.Size != 3) {
			t.Errorf("%s: read as %+v", name, v)
		}
	}
}

// A fault found later stands where its value does, also inside a value of any shape.
func TestPlaces(t *testing.T) {
	var v thing
	doc, faults, whole := strict.Read("f.yaml", []byte("name: a\nrest:\n  deep: [1, {x: y}]\n"), &v)
	if len(faults) > 0 || !whole {
		t.Fatal(faults)
	}
	if got := doc.Fault("rest.deep[1].x", "y", "is wrong", "mend it").String(); got != "f.yaml:3:17: rest.deep[1].x = y: is wrong; mend it" {
		t.Error(got)
	}
	if got := doc.Fault("rest.none.at.all", "", "is wrong", "mend it").String(); !strings.HasPrefix(got, "f.yaml:2:1: ") {
		t.Error(got)
	}
	if !doc.Has("rest.deep[0]") || doc.Has("size") || v.Rest.Node == nil {
		t.Error("what is there and what is not")
	}
}
