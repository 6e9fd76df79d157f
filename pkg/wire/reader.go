package wire

import (
	"errors"
	"math"
	"unicode/utf8"

	"github.com/concord-ats/concord/pkg/wire/avro"
	"github.com/concord-ats/concord/schemas"
)

// errShape says that a value does not have the shape its schema promised. [resolvable] keeps it from happening.
var errShape = errors.New("a value has another type than the schema says")

// errMillis says that a time in milliseconds does not fit into microseconds.
var errMillis = errors.New("a time is out of range")

// reader hands one value that goavro decoded, with the writer's type of it, to a generated setter. The first error of
// a record sticks; values read after it are zero.
type reader struct {
	v    any
	t    *schemas.Type
	fail *error
}

func (r *reader) wrong(err error) {
	if *r.fail == nil {
		*r.fail = err
	}
}

// plain unwraps a union: goavro decodes a branch other than null to a map from the branch's name to its value.
func (r *reader) plain() (any, *schemas.Type) {
	if r.t.Kind != schemas.KindUnion {
		return r.v, r.t
	}
	if m, ok := r.v.(map[string]any); ok {
		for _, member := range r.t.Members {
			if v, ok := m[member.FullName()]; ok {
				return v, member
			}
		}
	}
	return nil, r.t
}

func (r *reader) bool() bool {
	v, _ := r.plain()
	b, ok := v.(bool)
	if !ok {
		r.wrong(errShape)
	}
	return b
}

func (r *reader) int() int32 {
	v, _ := r.plain()
	i, ok := v.(int32)
	if !ok {
		r.wrong(errShape)
	}
	return i
}

func (r *reader) long() int64 {
	switch v, _ := r.plain(); v := v.(type) {
	case int32:
		return int64(v)
	case int64:
		return v
	}
	r.wrong(errShape)
	return 0
}

// micros reads a time; a writer that counts milliseconds is understood.
func (r *reader) micros() Micros {
	v := r.long()
	if _, t := r.plain(); t.Logical == "timestamp-millis" {
		if v > math.MaxInt64/1000 || v < math.MinInt64/1000 {
			r.wrong(errMillis)
			return 0
		}
		v *= 1000
	}
	return Micros(v)
}

func (r *reader) double() float64 {
	switch v, _ := r.plain(); v := v.(type) {
	case int32:
		return float64(v)
	case int64:
		return float64(v)
	case float32:
		return float64(v)
	case float64:
		return v
	}
	r.wrong(errShape)
	return 0
}

func (r *reader) string() string {
	v, _ := r.plain()
	s, ok := v.(string)
	if !ok {
		r.wrong(errShape)
	}
	if !utf8.ValidString(s) {
		r.wrong(avro.ErrUTF8)
		return ""
	}
	return s
}

// symbol reads an enum's symbol; the setter makes one we do not know the default.
func (r *reader) symbol() string { return r.string() }

func (r *reader) bytes() []byte {
	v, _ := r.plain()
	b, ok := v.([]byte)
	if !ok {
		r.wrong(errShape)
	}
	return b
}

func (r *reader) fixed(dst []byte) {
	if b := r.bytes(); copy(dst, b) != len(dst) || len(b) != len(dst) {
		r.wrong(errShape)
	}
}

// present reports whether an optional record is there.
func (r *reader) present() bool {
	if r.t.Kind == schemas.KindUnion {
		return r.v != nil
	}
	return true
}

// record calls set for every field of the writer's record; the setter passes over those it does not know.
func (r *reader) record(set func(name string, r *reader)) {
	v, t := r.plain()
	m, ok := v.(map[string]any)
	if !ok || t.Kind != schemas.KindRecord {
		r.wrong(errShape)
		return
	}
	for i := range t.Fields {
		f := &t.Fields[i]
		set(f.Name, &reader{v: m[f.Name], t: f.Type, fail: r.fail})
	}
}

func (r *reader) items() []any {
	v, _ := r.plain()
	items, ok := v.([]any)
	if !ok {
		r.wrong(errShape)
	}
	return items
}

// item returns the reader of one item of an array.
func (r *reader) item(v any) *reader {
	_, t := r.plain()
	return &reader{v: v, t: t.Items, fail: r.fail}
}
