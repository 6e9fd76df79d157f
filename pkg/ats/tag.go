package ats

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/concord-ats/concord/pkg/ats/loose"
	"github.com/concord-ats/concord/pkg/wire"
)

// Tags are the labels of an application, the newest last, where an element is kept in one that reads "key: value".
type Tags []loose.Text

// Tag is the tag of a value.
func Tag(key, value string) string { return key + ": " + value }

// Values are what the tags of a key say, in their order.
func (t Tags) Values(key string) []string {
	var out []string
	for _, tag := range t {
		if v, ok := strings.CutPrefix(string(tag), Tag(key, "")); ok {
			out = append(out, v)
		}
	}
	return out
}

// TagElements finds the elements that are kept in tags, sorted: the newest tag of a key counts, and where there is none
// the element is empty.
func (m *Mapping) TagElements(t Tags) []wire.Element {
	return m.Elements(func(f Field) (json.RawMessage, bool) {
		values := t.Values(f.Key)
		if len(values) == 0 {
			return json.RawMessage("null"), true
		}
		return JSON(values[len(values)-1]), true
	})
}

// CheckTagKeys returns the faults of a mapping whose elements are kept in tags.
func (m *Mapping) CheckTagKeys() error {
	var faults []error
	for _, f := range m.Fields {
		if strings.Contains(f.Key, ":") {
			faults = append(faults, fmt.Errorf("field %q: a tag's key has no colon", f.Key))
		}
	}
	return errors.Join(faults...)
}
