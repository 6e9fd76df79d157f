package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"strings"
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
		s := schemaMaker{defs: map[string]any{}}
		root := s.object(d.of)
		root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
		root["title"] = d.title
		if len(s.defs) > 0 {
			root["$defs"] = s.defs
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(root); err != nil {
			panic(fmt.Sprintf("policy: schema of %s: %v", d.schema, err)) // maps of plain values always encode
		}
		out[d.schema+".schema.json"] = b.Bytes()
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

// schemaMaker collects the definitions of one document.
type schemaMaker struct{ defs map[string]any }

func (s *schemaMaker) object(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		key, must := fieldKey(f)
		if key == "" {
			continue
		}
		of := s.of(f.Type)
		if doc := f.Tag.Get("doc"); doc != "" {
			of["description"] = doc
		}
		properties[key] = of
		if must {
			required = append(required, key)
		}
	}
	out := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

// described is a text with a form of its own.
type described interface{ pattern() string }

func (s *schemaMaker) of(t reflect.Type) map[string]any {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	value := reflect.New(t).Interface()
	switch v := value.(type) {
	case described:
		return map[string]any{"type": "string", "pattern": v.pattern()}
	case closedSet:
		return map[string]any{"enum": v.choices()}
	case *Names:
		return map[string]any{"oneOf": []any{text(), map[string]any{"type": "array", "items": text(), "minItems": 1}}}
	case *ByRegion:
		return map[string]any{"oneOf": []any{text(), map[string]any{"type": "object", "additionalProperties": text()}}}
	}
	switch t.Kind() {
	case reflect.Struct:
		if _, ok := s.defs[t.Name()]; !ok {
			s.defs[t.Name()] = nil // ends a recursion
			s.defs[t.Name()] = s.object(t)
		}
		return map[string]any{"$ref": "#/$defs/" + t.Name()}
	case reflect.Map:
		out := map[string]any{"type": "object", "additionalProperties": s.of(t.Elem())}
		if keys, ok := reflect.New(t.Key()).Interface().(closedSet); ok {
			out["propertyNames"] = map[string]any{"enum": keys.choices()}
		}
		return out
	case reflect.Slice:
		return map[string]any{"type": "array", "items": s.of(t.Elem())}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	default:
		return text()
	}
}

// text is any scalar: 1001 is taken as "1001".
func text() map[string]any {
	return map[string]any{"type": []string{"string", "number", "boolean"}}
}

func (*Span) pattern() string { return spanText.String() }
func (*Date) pattern() string { return `^[0-9]{4}-[0-9]{2}-[0-9]{2}$` }
func (*Moment) pattern() string {
	return `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2})$`
}
func (*Hours) pattern() string { return hoursText.String() }
