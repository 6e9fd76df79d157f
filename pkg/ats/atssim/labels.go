package atssim

import (
	"encoding/json"
	"slices"
	"strconv"
)

// labels shows fields as labels, "key: value", for the vendors that have labels and no fields.
type labels struct{}

// tags are the labels: those that are no field, then the fields that have a value.
func (l labels) tags(s *Server, a *Application) []string {
	out := slices.Clone(a.Tags)
	for _, f := range s.cfg.Fields {
		if v := a.Fields[f.Key]; len(v) > 0 && string(v) != "null" {
			out = append(out, l.tag(f.Key, v))
		}
	}
	return append(make([]string, 0, len(out)), out...)
}

func (labels) tag(key string, v json.RawMessage) string {
	var text string
	if json.Unmarshal(v, &text) != nil {
		text = string(v)
	}
	return key + ": " + text
}

// labelValue is what a label says, as the field has it.
func labelValue(def FieldDef, text string) json.RawMessage {
	if def.Type == "number" {
		if _, err := strconv.ParseFloat(text, 64); err == nil && json.Valid([]byte(text)) {
			return json.RawMessage(text)
		}
	}
	return plainJSON(text)
}
