package ats

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/concord-ats/concord/pkg/wire"
)

// FieldType says how a native value becomes canonical text, and how it is written.
type FieldType string

// Field types. Text is the default.
const (
	FieldText   FieldType = "text"   // as it is
	FieldNumber FieldType = "number" // shortest decimal; "10000.0" and 10000 are both 10000
	FieldBool   FieldType = "bool"   // true or false
	FieldJSON   FieldType = "json"   // compact JSON with sorted members
	FieldNote   FieldType = "note"   // text, kept in a note of its own; the newest one counts
)

// Field maps a native field of the application to an element of the dictionary.
type Field struct {
	Element string `json:"element" yaml:"element"`
	// Key is the ATS's own immutable name, never the label. A note has none.
	Key  string    `json:"key,omitempty" yaml:"key,omitempty"`
	ID   int64     `json:"id,omitempty" yaml:"id,omitempty"` // where the ATS has a number beside the key
	Type FieldType `json:"type,omitempty" yaml:"type,omitempty"`
	// ReadOnly fields are read and never written.
	ReadOnly bool `json:"read_only,omitempty" yaml:"read_only,omitempty"`
}

// Mapping is what one tenant calls things. It is read by the client and by the webhook reader.
type Mapping struct {
	// System is the ATS instance, the first half of every application id: "gh-main".
	System string `json:"system" yaml:"system"`
	// Source is the CloudEvents source of webhook events; "/ats/<system>" when empty.
	Source string `json:"source,omitempty" yaml:"source,omitempty"`
	// Fields map native fields of the application. Others are ignored. Of several of one element, one at most of
	// which is written, the first that holds a value is read.
	Fields []Field `json:"fields,omitempty" yaml:"fields,omitempty"`
	// RegionField is the job's custom field that holds the region; the offices are looked at when it is
	// empty or says nothing known.
	RegionField string `json:"region_field,omitempty" yaml:"region_field,omitempty"`
	// Regions turns an option of RegionField, or a place of the job as the ATS calls it, by id, code or name, into a region.
	Regions map[string]string `json:"regions,omitempty" yaml:"regions,omitempty"`
	// TypeField is the job's custom field that holds the requisition type; employment_type when empty.
	TypeField string `json:"type_field,omitempty" yaml:"type_field,omitempty"`
	// Types turns an option of TypeField into a requisition type; an option not listed is kept in lower
	// case with underscores for spaces.
	Types map[string]string `json:"types,omitempty" yaml:"types,omitempty"`
	// RejectReason is the rejection reason id for a rejection that names none.
	RejectReason string `json:"reject_reason,omitempty" yaml:"reject_reason,omitempty"`
	// WithdrawReasons are the rejection reason ids that mean the candidate withdrew. An ATS without such a
	// status shows an application rejected with one of them, and withdrawing rejects with the first.
	WithdrawReasons []string `json:"withdraw_reasons,omitempty" yaml:"withdraw_reasons,omitempty"`
	// HireReason is the reason id that closes an application as hired, where the ATS hires that way.
	HireReason string `json:"hire_reason,omitempty" yaml:"hire_reason,omitempty"`
}

// Validate returns every fault of the mapping at once.
func (m *Mapping) Validate() error {
	var faults []error
	if m.System == "" || strings.ContainsAny(m.System, "/ \t\n") {
		faults = append(faults, fmt.Errorf("system %q: must be a name without slash or space", m.System))
	}
	elements, keys := map[string]bool{}, map[string]bool{}
	for _, f := range m.Fields {
		switch {
		case f.Element == "" || (f.Key == "") != (f.Type == FieldNote):
			faults = append(faults, fmt.Errorf("field %q → %q: both key and element are needed; a note has no key", f.Key, f.Element))
		case elements[f.Element] && !f.ReadOnly || f.Key != "" && keys[f.Key]:
			faults = append(faults, fmt.Errorf("field %q → %q: mapped twice", f.Key, f.Element))
		}
		if !slices.Contains([]FieldType{"", FieldText, FieldNumber, FieldBool, FieldJSON, FieldNote}, f.Type) {
			faults = append(faults, fmt.Errorf("field %q: type %q is none of text, number, bool, json, note", f.Key, f.Type))
		}
		elements[f.Element], keys[f.Key] = elements[f.Element] || !f.ReadOnly, true
	}
	if m.RejectReason != "" && slices.Contains(m.WithdrawReasons, m.RejectReason) {
		faults = append(faults, fmt.Errorf("reject_reason %s is also a withdraw reason", m.RejectReason))
	}
	if m.HireReason != "" && (m.HireReason == m.RejectReason || slices.Contains(m.WithdrawReasons, m.HireReason)) {
		faults = append(faults, fmt.Errorf("hire_reason %s is also a reason to reject or withdraw", m.HireReason))
	}
	return errors.Join(faults...)
}

// SourceURI is the CloudEvents source of webhook events.
func (m *Mapping) SourceURI() string {
	if m.Source != "" {
		return m.Source
	}
	return "/ats/" + m.System
}

// ApplicationID is the whole id of a native one.
func (m *Mapping) ApplicationID(native string) string { return m.System + "/" + native }

// Field returns the field of an element: the one that is written, if there is one.
func (m *Mapping) Field(element string) (Field, bool) {
	at := -1
	for i, f := range m.Fields {
		if f.Element == element && (at < 0 || m.Fields[at].ReadOnly && !f.ReadOnly) {
			at = i
		}
	}
	if at < 0 {
		return Field{}, false
	}
	return m.Fields[at], true
}

// Writable lists the fields that may be written, sorted by element, as a capability has them.
func (m *Mapping) Writable() []ElementField {
	var out []ElementField
	for _, f := range m.Fields {
		if !f.ReadOnly {
			out = append(out, ElementField{Element: f.Element, Key: f.Key, Note: f.Type == FieldNote})
		}
	}
	slices.SortFunc(out, func(a, b ElementField) int { return strings.Compare(a.Element, b.Element) })
	return out
}

// Notes reports whether an element is kept in a note.
func (m *Mapping) Notes() bool {
	return slices.ContainsFunc(m.Fields, func(f Field) bool { return f.Type == FieldNote })
}

// Elements returns the mapped fields that a record names, in canonical text and sorted by element. Value
// returns a field's raw JSON, false for one the record does not name; a null is an empty element.
func (m *Mapping) Elements(value func(Field) (json.RawMessage, bool)) []wire.Element {
	var out []wire.Element
	for _, f := range m.Fields {
		if f.Type == FieldNote {
			continue // see AddNotes
		}
		if raw, ok := value(f); ok {
			out = add(out, wire.Element{Name: f.Element, Value: Canonical(f.Type, raw)})
		}
	}
	SortElements(out)
	return out
}

// add appends an element, or gives one that is there and empty its value.
func add(all []wire.Element, e wire.Element) []wire.Element {
	for i := range all {
		if all[i].Name == e.Name {
			if all[i].Value == "" {
				all[i].Value = e.Value
			}
			return all
		}
	}
	return append(all, e)
}

// RequisitionType is the type of a job by what the ATS calls it.
func (m *Mapping) RequisitionType(option string) string {
	if t, ok := m.Types[option]; ok {
		return t
	}
	return strings.Join(strings.FieldsFunc(strings.ToLower(option), func(c rune) bool { return c == ' ' || c == '-' }), "_")
}

// Region is the region of the first of the places that the mapping names; empty when it names none.
func (m *Mapping) Region(places ...string) string {
	for _, place := range places {
		if region := m.Regions[place]; region != "" && place != "" {
			return region
		}
	}
	return ""
}

// Rejected is the status of a rejection with this reason.
func (m *Mapping) Rejected(reason string) wire.ApplicationStatus {
	switch {
	case m.HireReason != "" && reason == m.HireReason:
		return wire.ApplicationStatusHired
	case slices.Contains(m.WithdrawReasons, reason):
		return wire.ApplicationStatusWithdrawn
	}
	return wire.ApplicationStatusRejected
}

// Reason is the reason a closing status is written with: the one asked for, else the mapping's. False when
// there is none, or the one asked for means another status.
func (m *Mapping) Reason(status wire.ApplicationStatus, asked string) (string, bool) {
	if asked == "" {
		switch {
		case status == wire.ApplicationStatusHired:
			asked = m.HireReason
		case status != wire.ApplicationStatusWithdrawn:
			asked = m.RejectReason
		case len(m.WithdrawReasons) > 0:
			asked = m.WithdrawReasons[0]
		}
	}
	return asked, asked != "" && m.Rejected(asked) == status
}
