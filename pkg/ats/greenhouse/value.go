package greenhouse

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/wire"
)

// The wire types of Greenhouse drift between versions and tenants: ids come as numbers or strings, offices'
// locations as objects or strings, custom fields as maps or lists. The types here read all of these.

// errShape is the cause of a *WebhookError or bad_response for JSON of a shape nothing sensible is read from.
var errShape = errors.New("unexpected JSON shape")

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

// looseText reads a string; a number or a boolean is kept as its text, anything else is empty.
type looseText string

// UnmarshalJSON implements json.Unmarshaler.
func (t *looseText) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	switch {
	case len(b) == 0 || b[0] == '{' || b[0] == '[' || string(b) == "null":
		*t = ""
	case b[0] == '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*t = looseText(s)
	default:
		*t = looseText(b)
	}
	return nil
}

// looseTime reads an RFC 3339 time, or a date, or nothing.
type looseTime struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (t *looseTime) UnmarshalJSON(b []byte) error {
	var s looseText
	if err := s.UnmarshalJSON(b); err != nil {
		return err
	}
	t.Time = time.Time{}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05 MST", time.DateOnly} {
		if v, err := time.Parse(layout, string(s)); err == nil {
			if y := v.Year(); y < 1970 || y > 9999 {
				return fmt.Errorf("time: %w", errShape)
			}
			t.Time = v.UTC()
			return nil
		}
	}
	if s != "" {
		return fmt.Errorf("time: %w", errShape)
	}
	return nil
}

func (t looseTime) micros() wire.Micros {
	if t.IsZero() {
		return 0
	}
	return wire.Micros(t.UnixMicro())
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
				NameKey looseText       `json:"name_key"`
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
	var t looseText
	if raw, ok := c.byKey[key]; ok && t.UnmarshalJSON(raw) == nil {
		return string(t)
	}
	return ""
}

// elements returns the mapped fields that the body names, sorted by element. A null is an empty element.
func (m *Mapping) elements(c customFields) []wire.Element {
	var out []wire.Element
	for _, f := range m.Fields {
		raw, ok := c.byKey[f.Key]
		if !ok && f.ID != 0 {
			raw, ok = c.byID[strconv.FormatInt(f.ID, 10)]
		}
		if ok {
			out = append(out, wire.Element{Name: f.Element, Value: canonical(f.Type, raw)})
		}
	}
	ats.SortElements(out)
	return out
}

// canonical turns a native value into canonical text. A value that does not fit its type keeps its own text:
// a wrong value must be seen, not lost.
func canonical(t FieldType, raw json.RawMessage) string {
	b := bytes.TrimSpace(raw)
	if len(b) == 0 || string(b) == "null" {
		return ""
	}
	if b[0] == '{' || b[0] == '[' {
		return sortedJSON(b)
	}
	var text looseText
	if err := text.UnmarshalJSON(b); err != nil {
		return string(b)
	}
	s := string(text)
	switch t {
	case FieldNumber:
		if n, ok := shortestDecimal(s); ok {
			return n
		}
	case FieldBool:
		switch strings.ToLower(strings.TrimSpace(s)) {
		case "true", "yes":
			return "true"
		case "false", "no":
			return "false"
		}
	case FieldJSON, FieldText, "":
	}
	return s
}

func sortedJSON(b []byte) string {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return string(b)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil {
		return string(b)
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// shortestDecimal returns a finite decimal without exponent or trailing zeros, exactly.
func shortestDecimal(s string) (string, bool) {
	s = strings.TrimSpace(s)
	if len(s) > 64 || strings.ContainsAny(s, "/xXpPoOnNiI_") {
		return "", false
	}
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		if exp, err := strconv.Atoi(s[i+1:]); err != nil || exp < -64 || exp > 64 {
			return "", false
		}
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return "", false
	}
	places, exact := r.FloatPrec()
	if !exact {
		return "", false
	}
	return r.FloatString(places), true
}

// nativeValue turns canonical text into the JSON a custom field takes.
func nativeValue(f Field, text string) (json.RawMessage, error) {
	if text == "" {
		return json.RawMessage("null"), nil
	}
	switch f.Type {
	case FieldNumber:
		n, ok := shortestDecimal(text)
		if !ok {
			return nil, fmt.Errorf("element %s is not a number", f.Element)
		}
		return json.RawMessage(n), nil
	case FieldBool:
		if text != "true" && text != "false" {
			return nil, fmt.Errorf("element %s is not a boolean", f.Element)
		}
		return json.RawMessage(text), nil
	case FieldJSON:
		if !json.Valid([]byte(text)) {
			return nil, fmt.Errorf("element %s is not JSON", f.Element)
		}
		return json.RawMessage(text), nil
	case FieldText, "":
	}
	return json.Marshal(text)
}
