package strict

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
)

// Schema returns the JSON Schema (draft 2020-12) of the files that are read into a struct.
func Schema(t reflect.Type, title string) []byte {
	s := schemaMaker{defs: map[string]any{}}
	root := s.object(t)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = title
	if len(s.defs) > 0 {
		root["$defs"] = s.defs
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(root); err != nil {
		panic(fmt.Sprintf("strict: schema of %s: %v", title, err)) // maps of plain values always encode
	}
	return b.Bytes()
}

// schemaMaker collects the definitions of one document.
type schemaMaker struct{ defs map[string]any }

func (s *schemaMaker) object(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		key, must := Key(f)
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

// Patterned is a text that a regular expression describes.
type Patterned interface{ Pattern() string }

// Formed is a type with a JSON Schema of its own.
type Formed interface{ Form() map[string]any }

func (s *schemaMaker) of(t reflect.Type) map[string]any {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	value := reflect.New(t).Interface()
	switch v := value.(type) {
	case Formed:
		return v.Form()
	case Patterned:
		return map[string]any{"type": "string", "pattern": v.Pattern()}
	case Closed:
		return map[string]any{"enum": v.Choices()}
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
		if keys, ok := reflect.New(t.Key()).Interface().(Closed); ok {
			out["propertyNames"] = map[string]any{"enum": keys.Choices()}
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
		return Text()
	}
}

// Form implements Formed: anything goes.
func (*Any) Form() map[string]any { return map[string]any{} }

// Text is the form of any scalar: 1001 is taken as "1001".
func Text() map[string]any {
	return map[string]any{"type": []string{"string", "number", "boolean"}}
}
