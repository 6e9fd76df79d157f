package policy

import (
	"path"
	"reflect"
	"strings"

	"github.com/concord-ats/concord/pkg/strict"
)

// schemaFolder is where a bundle keeps the JSON Schemas its editor lines name.
const schemaFolder = "schema"

// documents are the kinds of files and what each is read into.
var documents = []struct {
	schema, title string
	of            reflect.Type
}{
	{"bundle", "bundle.yaml: who owns what, which systems there are, who signs", reflect.TypeFor[Bundle]()},
	{"machine", "machine.yaml: the states and what may happen", reflect.TypeFor[Machine]()},
	{"dictionary", "dictionary.yaml: what each element means", reflect.TypeFor[Dictionary]()},
	{"mapping", "mappings/*.yaml: native ids and canonical meaning", reflect.TypeFor[Mapping]()},
	{"waves", "waves.yaml: who is live", reflect.TypeFor[Waves]()},
}

// Schemas returns the JSON Schema (draft 2020-12) of each kind of file, by file name. They are made from the very types
// that read the files.
func Schemas() map[string][]byte {
	out := map[string][]byte{}
	for _, d := range documents {
		out[d.schema+".schema.json"] = strict.Schema(d.of, d.title)
	}
	return out
}

// editorLine is the comment by which editors find the schema of a file.
func editorLine(file string) string {
	schema := strings.TrimSuffix(path.Base(file), ".yaml")
	if isMapping(file) {
		schema = "../" + schemaFolder + "/mapping"
	} else {
		schema = schemaFolder + "/" + schema
	}
	return "# yaml-language-server: $schema=" + schema + ".schema.json\n"
}

// Pattern implements strict.Patterned.
func (*Span) Pattern() string { return spanText.String() }

// Pattern implements strict.Patterned.
func (*Date) Pattern() string { return `^[0-9]{4}-[0-9]{2}-[0-9]{2}$` }

// Pattern implements strict.Patterned.
func (*Moment) Pattern() string {
	return `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2})$`
}

// Pattern implements strict.Patterned.
func (*Hours) Pattern() string { return hoursText.String() }

// Form implements strict.Formed.
func (*Names) Form() map[string]any {
	return map[string]any{"oneOf": []any{strict.Text(), map[string]any{"type": "array", "items": strict.Text(), "minItems": 1}}}
}

// Form implements strict.Formed.
func (*ByRegion) Form() map[string]any {
	return map[string]any{"oneOf": []any{strict.Text(), map[string]any{"type": "object", "additionalProperties": strict.Text()}}}
}
