package deadletter

import (
	"errors"
	"fmt"
)

// Classed is an error that names its own class for dead letters: a short symbol such as
// "schema_not_found". It must not depend on the record's content.
type Classed interface {
	error
	ErrorClass() string
}

// Class names the class of an error without any of its text, which may quote a payload:
// the ErrorClass of the first error in its tree that is Classed, else the Go type of the
// innermost error that has a telling one, else "error". The class of nil is "none".
func Class(err error) string {
	if err == nil {
		return "none"
	}
	var classed Classed
	if errors.As(err, &classed) {
		if c := symbol(classed.ErrorClass()); c != "" {
			return c
		}
	}
	class := "error"
	for err != nil {
		if t := fmt.Sprintf("%T", err); telling(t) {
			class = symbol(t)
		}
		if u, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // walks one level of the tree at a time
			if list := u.Unwrap(); len(list) > 0 {
				err = list[0]
				continue
			}
			break
		}
		err = errors.Unwrap(err)
	}
	return class
}

// telling reports whether a type name says more than that there was an error.
func telling(t string) bool {
	switch t {
	case "*errors.errorString", "*errors.joinError", "*fmt.wrapError", "*fmt.wrapErrors":
		return false
	default:
		return true
	}
}
