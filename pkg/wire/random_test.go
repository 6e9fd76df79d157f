package wire_test

import (
	"reflect"

	"pgregory.net/rapid"

	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/schemas"
)

// enumType is implemented by every generated enum.
type enumType interface{ String() string }

// symbols returns how many symbols an enum type has: values past the last show the default.
func symbols(t reflect.Type) int {
	for n := 1; ; n++ {
		v := reflect.New(t).Elem()
		v.SetUint(uint64(n))
		first := reflect.New(t).Elem()
		if v.Interface().(enumType).String() == first.Interface().(enumType).String() {
			return n
		}
	}
}

// fill draws every field of v.
func fill(t *rapid.T, v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int32:
		v.SetInt(int64(rapid.Int32().Draw(t, "int")))
	case reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "long"))
	case reflect.Uint8:
		v.SetUint(uint64(rapid.IntRange(0, symbols(v.Type())-1).Draw(t, "enum")))
	case reflect.Float64:
		v.SetFloat(rapid.Float64().Draw(t, "double"))
	case reflect.String:
		v.SetString(rapid.StringN(0, 8, -1).Draw(t, "string"))
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(uint64(rapid.Byte().Draw(t, "byte")))
		}
	case reflect.Pointer:
		if rapid.Bool().Draw(t, "present") {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem(), depth+1)
		}
	case reflect.Slice:
		n := rapid.IntRange(0, 3-min(depth, 2)).Draw(t, "len")
		if n == 0 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			if v.Type().Elem().Kind() == reflect.Uint8 && v.Type().Elem().Name() == "uint8" {
				v.Index(i).SetUint(uint64(rapid.Byte().Draw(t, "byte")))
				continue
			}
			fill(t, v.Index(i), depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), depth)
		}
	default:
		t.Fatalf("no way to draw a %s", v.Type())
	}
}

func drawRecord(t *rapid.T, name string) wire.Record {
	rec := wire.NewRecord(name)
	fill(t, reflect.ValueOf(rec).Elem(), 0)
	return rec
}

// native turns a Go value into what goavro encodes, by the schema.
func native(s *schemas.Type, v reflect.Value) any {
	switch s.Kind {
	case schemas.KindInt:
		return int32(v.Int())
	case schemas.KindLong:
		return v.Int()
	case schemas.KindEnum:
		return v.Interface().(enumType).String()
	case schemas.KindFixed:
		b := make([]byte, v.Len())
		reflect.Copy(reflect.ValueOf(b), v)
		return b
	case schemas.KindBytes:
		return append([]byte{}, v.Bytes()...)
	case schemas.KindArray:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = native(s.Items, v.Index(i))
		}
		return out
	case schemas.KindUnion:
		if v.IsNil() {
			return nil
		}
		return map[string]any{s.Members[1].FullName(): native(s.Members[1], v.Elem())}
	case schemas.KindRecord:
		out := map[string]any{}
		for i := range s.Fields {
			out[s.Fields[i].Name] = native(s.Fields[i].Type, v.Field(i))
		}
		return out
	default:
		return v.Interface()
	}
}
