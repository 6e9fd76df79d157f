package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Kind is the kind of an Avro type.
type Kind string

// Kinds of Avro types.
const (
	KindNull    Kind = "null"
	KindBoolean Kind = "boolean"
	KindInt     Kind = "int"
	KindLong    Kind = "long"
	KindFloat   Kind = "float"
	KindDouble  Kind = "double"
	KindBytes   Kind = "bytes"
	KindString  Kind = "string"
	KindRecord  Kind = "record"
	KindEnum    Kind = "enum"
	KindArray   Kind = "array"
	KindMap     Kind = "map"
	KindUnion   Kind = "union"
	KindFixed   Kind = "fixed"
)

// Named reports whether types of the kind have a name.
func (k Kind) Named() bool { return k == KindRecord || k == KindEnum || k == KindFixed }

// Type is a parsed Avro type. A named type used several times is one *Type. It is read-only after Parse.
type Type struct {
	Kind    Kind
	Logical string // logicalType, or ""

	Name      string // named types: the name without its namespace
	Namespace string
	Doc       string

	Fields  []Field  // record
	Symbols []string // enum
	Default *string  // enum: the symbol that stands for an unknown one
	Items   *Type    // array, map: type of the elements or values
	Members []*Type  // union
	Size    int      // fixed
}

// Field is a field of a record.
type Field struct {
	Name    string
	Doc     string
	Type    *Type
	Default json.RawMessage // nil = none
}

// FullName returns namespace.name of a named type, and the kind of any other: the name of a union's branch.
func (t *Type) FullName() string {
	switch {
	case !t.Kind.Named():
		return string(t.Kind)
	case t.Namespace == "":
		return t.Name
	}
	return t.Namespace + "." + t.Name
}

// Field returns the record's field of that name, or nil.
func (t *Type) Field(name string) *Field {
	for i := range t.Fields {
		if t.Fields[i].Name == name {
			return &t.Fields[i]
		}
	}
	return nil
}

// maxDepth bounds the nesting of a schema: a foreign schema may come from anyone who can write to the registry.
const maxDepth = 64

// Parse reads an Avro schema. A recursive type is an error, as are a type used before its definition, a name defined
// twice and a missing size, item, symbol or field list. Aliases are ignored: Concord knows no renames.
func Parse(text []byte) (*Type, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read JSON: more than one value")
	}
	p := parser{known: map[string]*Type{}, open: map[string]bool{}}
	return p.parse(raw, "", 0)
}

type parser struct {
	known map[string]*Type
	open  map[string]bool // being defined: a use now is a recursion
}

type rawType struct {
	Type      json.RawMessage `json:"type"`
	Logical   string          `json:"logicalType"`
	Name      string          `json:"name"`
	Namespace *string         `json:"namespace"`
	Doc       string          `json:"doc"`
	Fields    []rawField      `json:"fields"`
	Symbols   []string        `json:"symbols"`
	Default   *string         `json:"default"`
	Items     json.RawMessage `json:"items"`
	Values    json.RawMessage `json:"values"`
	Size      int             `json:"size"`
}

type rawField struct {
	Name    string          `json:"name"`
	Type    json.RawMessage `json:"type"`
	Doc     string          `json:"doc"`
	Default json.RawMessage `json:"default"`
}

func (p *parser) parse(raw json.RawMessage, namespace string, depth int) (*Type, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return nil, errors.New("a type is missing")
	}
	switch raw[0] {
	case '"':
		var name string
		if err := json.Unmarshal(raw, &name); err != nil {
			return nil, err
		}
		return p.named(name, namespace)
	case '[':
		return p.union(raw, namespace, depth)
	}
	var r rawType
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, err
	}
	var kind string
	if err := json.Unmarshal(r.Type, &kind); err != nil {
		// {"type": {…}} and {"type": […]} only wrap.
		return p.parse(r.Type, namespace, depth+1)
	}
	t := &Type{Kind: Kind(kind), Logical: r.Logical, Doc: r.Doc}
	switch t.Kind {
	case KindRecord, KindEnum, KindFixed:
		return t, p.define(t, &r, namespace, depth)
	case KindArray, KindMap:
		items := r.Items
		if t.Kind == KindMap {
			items = r.Values
		}
		var err error
		t.Items, err = p.parse(items, namespace, depth+1)
		return t, err
	default: // a name, looked up below
	}
	base, err := p.named(kind, namespace)
	if err != nil || r.Logical == "" || base.Kind.Named() {
		return base, err
	}
	return t, nil
}

func (p *parser) named(name, namespace string) (*Type, error) {
	switch k := Kind(name); k {
	case KindNull, KindBoolean, KindInt, KindLong, KindFloat, KindDouble, KindBytes, KindString:
		return &Type{Kind: k}, nil
	default:
	}
	full := name
	if !strings.Contains(name, ".") && namespace != "" {
		full = namespace + "." + name
	}
	if p.open[full] {
		return nil, fmt.Errorf("type %q is recursive", full)
	}
	if t := p.known[full]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("type %q is used before it is defined", full)
}

func (p *parser) union(raw json.RawMessage, namespace string, depth int) (*Type, error) {
	var members []json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, err
	}
	t := &Type{Kind: KindUnion}
	for _, m := range members {
		mt, err := p.parse(m, namespace, depth+1)
		if err != nil {
			return nil, err
		}
		if mt.Kind == KindUnion {
			return nil, errors.New("a union is directly in a union")
		}
		t.Members = append(t.Members, mt)
	}
	if len(t.Members) == 0 {
		return nil, errors.New("a union has no members")
	}
	return t, nil
}

func (p *parser) define(t *Type, r *rawType, namespace string, depth int) error {
	t.Name, t.Namespace = r.Name, namespace
	if r.Namespace != nil {
		t.Namespace = *r.Namespace
	}
	if at := strings.LastIndexByte(r.Name, '.'); at >= 0 {
		t.Namespace, t.Name = r.Name[:at], r.Name[at+1:]
	}
	full := t.FullName()
	switch {
	case t.Name == "":
		return fmt.Errorf("a %s has no name", t.Kind)
	case p.known[full] != nil || p.open[full]:
		return fmt.Errorf("type %q is defined twice", full)
	}
	p.open[full] = true
	defer func() { delete(p.open, full); p.known[full] = t }()
	switch t.Kind {
	case KindFixed:
		if t.Size = r.Size; t.Size <= 0 {
			return fmt.Errorf("fixed %q has no size", full)
		}
	case KindEnum:
		if t.Symbols, t.Default = r.Symbols, r.Default; len(t.Symbols) == 0 {
			return fmt.Errorf("enum %q has no symbols", full)
		}
	default:
		for _, f := range r.Fields {
			ft, err := p.parse(f.Type, t.Namespace, depth+1)
			if err != nil {
				return fmt.Errorf("%s.%s: %w", full, f.Name, err)
			}
			if f.Name == "" || t.Field(f.Name) != nil {
				return fmt.Errorf("record %q: field %q has no name of its own", full, f.Name)
			}
			t.Fields = append(t.Fields, Field{Name: f.Name, Doc: f.Doc, Type: ft, Default: f.Default})
		}
	}
	return nil
}
