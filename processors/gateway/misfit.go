package gateway

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/concord-ats/concord/pkg/wire"
)

// misfit says why JSON could not be read into a value of a type: the field, and the kind of value wanted, without
// repeating what the body has.
func misfit(err error, body []byte, into any) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("JSON syntax at byte %d", syntax.Offset)
	}
	field, got, send := "", "value", ""
	var typ *json.UnmarshalTypeError
	var value *wire.ValueError
	var corrupt base64.CorruptInputError
	switch {
	case errors.As(err, &typ):
		kind, _, _ := strings.Cut(typ.Value, " ") // a number is followed by itself
		field, got, send = typ.Field, "JSON "+kind, ", send "+wanted(typ.Type)
	case errors.As(err, &value):
		field, send = misfitting(body, reflect.TypeOf(into)), ", send "+value.Want
	case errors.As(err, &corrupt):
		field, send = misfitting(body, reflect.TypeOf(into)), ", send Base64 (RFC 4648, section 4)"
	default:
		field = misfitting(body, reflect.TypeOf(into))
	}
	if field = strings.TrimPrefix(field, "."); field == "" { // the whole, or one that is said twice
		return fmt.Errorf("a %s does not fit%s", got, send)
	}
	return fmt.Errorf("field %q: a %s does not fit%s", field, got, send)
}

// wanted is the kind of JSON value that fits a type.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int, reflect.Int64:
		return fmt.Sprintf("a whole number of at most %d bits", t.Bits())
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	default:
		return "another kind of value"
	}
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// misfitting is the path of the first field, in the order of the type, whose value cannot be read: the package json
// does not say which it was where a type reads itself.
func misfitting(body json.RawMessage, t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(unmarshaler) {
		return ""
	}
	misfits := func(v json.RawMessage, t reflect.Type) bool {
		return json.Unmarshal(v, reflect.New(t).Interface()) != nil
	}
	switch t.Kind() {
	case reflect.Slice:
		var all []json.RawMessage
		if json.Unmarshal(body, &all) != nil {
			return ""
		}
		for i, v := range all {
			if misfits(v, t.Elem()) {
				return fmt.Sprintf("[%d]%s", i, misfitting(v, t.Elem()))
			}
		}
	case reflect.Struct:
		var all map[string]json.RawMessage
		if json.Unmarshal(body, &all) != nil {
			return ""
		}
		for f := range t.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if v, ok := all[name]; ok && misfits(v, f.Type) {
				return "." + name + misfitting(v, f.Type)
			}
		}
	default:
	}
	return ""
}
