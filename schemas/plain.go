package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Plain returns the schema as JSON with nothing in it but what decoding needs: no documentation, defaults, aliases or
// logical types. Decoders differ in which defaults and logical types they accept; this form all of them take.
func (t *Type) Plain() string {
	var b bytes.Buffer
	t.plain(&b, map[*Type]bool{})
	return b.String()
}

func (t *Type) plain(b *bytes.Buffer, defined map[*Type]bool) {
	if t.Kind.Named() {
		if defined[t] {
			fmt.Fprintf(b, "%q", t.FullName())
			return
		}
		defined[t] = true
	}
	switch t.Kind {
	case KindUnion:
		b.WriteByte('[')
		for i, m := range t.Members {
			if i > 0 {
				b.WriteByte(',')
			}
			m.plain(b, defined)
		}
		b.WriteByte(']')
	case KindArray, KindMap:
		key := "items"
		if t.Kind == KindMap {
			key = "values"
		}
		fmt.Fprintf(b, `{"type":%q,%q:`, t.Kind, key)
		t.Items.plain(b, defined)
		b.WriteByte('}')
	case KindFixed:
		fmt.Fprintf(b, `{"type":"fixed","name":%q,"size":%d}`, t.FullName(), t.Size)
	case KindEnum:
		fmt.Fprintf(b, `{"type":"enum","name":%q,"symbols":[`, t.FullName())
		for i, s := range t.Symbols {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(b, "%q", s)
		}
		b.WriteString("]}")
	case KindRecord:
		fmt.Fprintf(b, `{"type":"record","name":%q,"fields":[`, t.FullName())
		for i := range t.Fields {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(b, `{"name":%q,"type":`, t.Fields[i].Name)
			t.Fields[i].Type.plain(b, defined)
			b.WriteByte('}')
		}
		b.WriteString("]}")
	default:
		fmt.Fprintf(b, "%q", t.Kind)
	}
}

// CheckDefaults reports the first default that does not fit its field's type, or nil. It follows the Avro specification
// as strict registries do: a union's default fits its first member, a record's may leave out fields that have their own
// default, a fixed type's has a character a byte, an enum's is one of its symbols.
func (t *Type) CheckDefaults() error { return t.checkDefaults(map[*Type]bool{}) }

func (t *Type) checkDefaults(done map[*Type]bool) error {
	if done[t] {
		return nil
	}
	done[t] = true
	if t.Default != nil && !fits(t, *t.Default) {
		return fmt.Errorf("%s: the default is none of the symbols", t.FullName())
	}
	if t.Items != nil {
		return t.Items.checkDefaults(done)
	}
	for _, m := range t.Members {
		if err := m.checkDefaults(done); err != nil {
			return err
		}
	}
	for i := range t.Fields {
		f := &t.Fields[i]
		if f.Default != nil {
			var v any
			if err := json.Unmarshal(f.Default, &v); err != nil {
				return fmt.Errorf("%s.%s: read default: %w", t.FullName(), f.Name, err)
			}
			if !fits(f.Type, v) {
				return fmt.Errorf("%s.%s: the default does not fit the type", t.FullName(), f.Name)
			}
		}
		if err := f.Type.checkDefaults(done); err != nil {
			return err
		}
	}
	return nil
}

// fits reports whether a JSON value is a default of the type.
func fits(t *Type, v any) bool {
	switch v := v.(type) {
	case nil:
		return t.Kind == KindNull || t.Kind == KindUnion && t.Members[0].Kind == KindNull
	case bool:
		return first(t).Kind == KindBoolean
	case float64:
		switch first(t).Kind {
		case KindInt:
			return v == float64(int32(v))
		case KindLong:
			return v == float64(int64(v))
		default:
			return first(t).Kind == KindFloat || first(t).Kind == KindDouble
		}
	case string:
		return fitsString(first(t), v)
	case []any:
		t = first(t)
		for _, item := range v {
			if t.Kind != KindArray || !fits(t.Items, item) {
				return false
			}
		}
		return t.Kind == KindArray
	case map[string]any:
		return fitsObject(first(t), v)
	}
	return false
}

func fitsString(t *Type, v string) bool {
	switch t.Kind {
	case KindString:
		return true
	case KindBytes, KindFixed:
		n := 0
		for _, r := range v {
			if r > 0xff {
				return false
			}
			n++
		}
		return t.Kind == KindBytes || n == t.Size
	case KindEnum:
		for _, s := range t.Symbols {
			if s == v {
				return true
			}
		}
	default:
	}
	return false
}

func fitsObject(t *Type, v map[string]any) bool {
	switch t.Kind {
	case KindMap:
		for _, item := range v {
			if !fits(t.Items, item) {
				return false
			}
		}
		return true
	case KindRecord:
		for i := range t.Fields {
			f := &t.Fields[i]
			item, given := v[f.Name]
			if given && !fits(f.Type, item) || !given && f.Default == nil {
				return false
			}
		}
		return true
	default:
		return false
	}
}

// first is the type a default is written in: a union's first member.
func first(t *Type) *Type {
	if t.Kind == KindUnion {
		return t.Members[0]
	}
	return t
}
