package greenhouse

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/concord-ats/concord/pkg/ats/loose"
	"github.com/concord-ats/concord/pkg/wire"
)

// The wire types of Greenhouse drift between versions and tenants: ids come as numbers or strings, offices'
// locations as objects or strings, custom fields as maps or lists. The types here read all of these.

// errShape is the cause of a *webhook.Error or bad_response for JSON of a shape nothing sensible is read from.
var errShape = loose.ErrShape

// nativeID reads a positive integer id written as a number or a string; null and "" are empty.
type nativeID string

// UnmarshalJSON implements json.Unmarshaler.
func (n *nativeID) UnmarshalJSON(b []byte) error {
	s := string(bytes.TrimSpace(b))
	if s == "null" {
		*n = ""
		return nil
	}
	if strings.HasPrefix(s, `"`) {
		var inner string
		if err := json.Unmarshal(b, &inner); err != nil {
			return err
		}
		s = strings.TrimSpace(inner)
		if s == "" {
			*n = ""
			return nil
		}
	}
	v, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return fmt.Errorf("id: %w", errShape)
	}
	*n = nativeID(strconv.FormatUint(v, 10))
	return nil
}

// customFields reads {key: value}, {key: {value}} and [{name_key|id, value}], keeping the raw values.
type customFields struct {
	byKey map[string]json.RawMessage
	byID  map[string]json.RawMessage
}

// UnmarshalJSON implements json.Unmarshaler. A shape it does not know holds no fields.
func (c *customFields) UnmarshalJSON(b []byte) error {
	*c = customFields{byKey: map[string]json.RawMessage{}, byID: map[string]json.RawMessage{}}
	b = bytes.TrimSpace(b)
	switch {
	case len(b) > 0 && b[0] == '{':
		var m map[string]json.RawMessage
		if err := json.Unmarshal(b, &m); err != nil {
			return err
		}
		for k, v := range m {
			c.byKey[k] = bareValue(v)
		}
	case len(b) > 0 && b[0] == '[':
		var list []json.RawMessage
		if err := json.Unmarshal(b, &list); err != nil {
			return err
		}
		for _, raw := range list {
			var f struct {
				ID      nativeID        `json:"id"`
				FieldID nativeID        `json:"custom_field_id"`
				NameKey loose.Text      `json:"name_key"`
				Value   json.RawMessage `json:"value"`
			}
			if json.Unmarshal(raw, &f) != nil {
				continue // not a field: nothing in it can be mapped
			}
			if f.NameKey != "" {
				c.byKey[string(f.NameKey)] = f.Value
			}
			if f.FieldID != "" {
				c.byID[string(f.FieldID)] = f.Value
			} else if f.ID != "" {
				c.byID[string(f.ID)] = f.Value
			}
		}
	}
	return nil
}

func bareValue(raw json.RawMessage) json.RawMessage {
	if t := bytes.TrimSpace(raw); len(t) == 0 || t[0] != '{' {
		return raw
	}
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return raw
	}
	_, typed := m["type"]
	_, named := m["name"]
	if v, ok := m["value"]; ok && (typed || named || len(m) == 1) {
		return v
	}
	return raw
}

// option returns a single-select field's text.
func (c customFields) option(key string) string {
	var t loose.Text
	if raw, ok := c.byKey[key]; ok && t.UnmarshalJSON(raw) == nil {
		return string(t)
	}
	return ""
}

// elements returns the mapped fields that the body names, sorted by element. A null is an empty element.
func (m *Mapping) elements(c customFields) []wire.Element {
	return m.all().Elements(func(f Field) (json.RawMessage, bool) {
		raw, ok := c.byKey[f.Key]
		if !ok && f.ID != 0 {
			raw, ok = c.byID[strconv.FormatInt(f.ID, 10)]
		}
		return raw, ok
	})
}
