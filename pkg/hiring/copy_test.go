package hiring_test

import (
	"reflect"

	"github.com/concord-ats/concord/pkg/hiring"
)

// deepCopy returns a state that shares no memory with s but its strings.
func deepCopy(s *hiring.State) *hiring.State {
	c := reflect.New(reflect.TypeFor[hiring.State]())
	copyInto(c.Elem(), reflect.ValueOf(s).Elem())
	return c.Interface().(*hiring.State)
}

func copyInto(to, from reflect.Value) {
	switch from.Kind() {
	case reflect.Struct:
		for i := range from.NumField() {
			copyInto(to.Field(i), from.Field(i))
		}
	case reflect.Slice:
		if from.IsNil() {
			return
		}
		to.Set(reflect.MakeSlice(from.Type(), from.Len(), from.Len()))
		for i := range from.Len() {
			copyInto(to.Index(i), from.Index(i))
		}
	case reflect.Pointer:
		if from.IsNil() {
			return
		}
		to.Set(reflect.New(from.Type().Elem()))
		copyInto(to.Elem(), from.Elem())
	default:
		to.Set(from)
	}
}
