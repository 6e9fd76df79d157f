package greenhouse

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/wire"
)

// FieldType says how a custom field's value becomes canonical text, and how it is written.
type FieldType string

// Field types. Text is the default.
const (
	FieldText   FieldType = "text"   // as it is
	FieldNumber FieldType = "number" // shortest decimal; "10000.0" and 10000 are both 10000
	FieldBool   FieldType = "bool"   // true or false
	FieldJSON   FieldType = "json"   // compact JSON with sorted members
)

// Field maps a native custom field of the application to an element of the dictionary.
type Field struct {
	Element string    `json:"element" yaml:"element"`
	Key     string    `json:"key" yaml:"key"` // the immutable name_key, not the label
	ID      int64     `json:"id,omitempty" yaml:"id,omitempty"`
	Type    FieldType `json:"type,omitempty" yaml:"type,omitempty"`
	// ReadOnly fields are read and never written.
	ReadOnly bool `json:"read_only,omitempty" yaml:"read_only,omitempty"`
}

// Mapping is what one Greenhouse tenant calls things. It is read by the client and by the webhook reader.
type Mapping struct {
	// System is the ATS instance, the first half of every application id: "gh-main".
	System string `json:"system" yaml:"system"`
	// Source is the CloudEvents source of webhook events; "/ats/<system>" when empty.
	Source string `json:"source,omitempty" yaml:"source,omitempty"`
	// Fields map custom fields of the application. Others are ignored.
	Fields []Field `json:"fields,omitempty" yaml:"fields,omitempty"`
	// RegionField is the job's custom field that holds the region; the offices are looked at when it is
	// empty or says nothing known.
	RegionField string `json:"region_field,omitempty" yaml:"region_field,omitempty"`
	// Regions turns an option of RegionField, or an office's external id, id or name, into a region.
	Regions map[string]string `json:"regions,omitempty" yaml:"regions,omitempty"`
	// TypeField is the job's custom field that holds the requisition type; employment_type when empty.
	TypeField string `json:"type_field,omitempty" yaml:"type_field,omitempty"`
	// Types turns an option of TypeField into a requisition type; an option not listed is kept in lower
	// case with underscores for spaces.
	Types map[string]string `json:"types,omitempty" yaml:"types,omitempty"`
	// WithdrawReasons are the rejection reason ids that mean the candidate withdrew. Greenhouse has no such
	// status: an application rejected with one of them is withdrawn, and withdrawing rejects with the first.
	WithdrawReasons []string `json:"withdraw_reasons,omitempty" yaml:"withdraw_reasons,omitempty"`
	// RejectReason is the rejection reason id for a rejection that names none; v3 requires one.
	RejectReason string `json:"reject_reason,omitempty" yaml:"reject_reason,omitempty"`
}

// DefaultMapping is the mapping of the demo and the simulator: the elements a screening fills, under fields
// of the same key, and reason 8 to reject with.
func DefaultMapping(system string) Mapping {
	return Mapping{
		System: system,
		Fields: []Field{
			{Element: "screening_recommendation", Key: "screening_recommendation", ID: 9001},
			{Element: "screening_report_url", Key: "screening_report_url", ID: 9002},
			{Element: "screening_score", Key: "screening_score", ID: 9003, Type: FieldNumber},
			{Element: "screening_status", Key: "screening_status", ID: 9004},
		},
		Regions: map[string]string{
			"New York": "us", "New York City": "us", "St. Louis": "us", "London": "gb", "Berlin": "de", "us": "us", "gb": "gb", "de": "de",
		},
		WithdrawReasons: []string{"40"},
		RejectReason:    "8",
	}
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
		case f.Element == "" || f.Key == "":
			faults = append(faults, fmt.Errorf("field %q → %q: both key and element are needed", f.Key, f.Element))
		case elements[f.Element] || keys[f.Key]:
			faults = append(faults, fmt.Errorf("field %q → %q: mapped twice", f.Key, f.Element))
		}
		if !slices.Contains([]FieldType{"", FieldText, FieldNumber, FieldBool, FieldJSON}, f.Type) {
			faults = append(faults, fmt.Errorf("field %q: type %q is none of text, number, bool, json", f.Key, f.Type))
		}
		elements[f.Element], keys[f.Key] = true, true
	}
	if m.RejectReason != "" && slices.Contains(m.WithdrawReasons, m.RejectReason) {
		faults = append(faults, fmt.Errorf("reject_reason %s is also a withdraw reason", m.RejectReason))
	}
	return errors.Join(faults...)
}

func (m *Mapping) source() string {
	if m.Source != "" {
		return m.Source
	}
	return "/ats/" + m.System
}

func (m *Mapping) applicationID(native string) string { return m.System + "/" + native }

func (m *Mapping) fieldOf(element string) (Field, bool) {
	for _, f := range m.Fields {
		if f.Element == element {
			return f, true
		}
	}
	return Field{}, false
}

// writable lists the fields that may be written, sorted by element.
func (m *Mapping) writable() []ats.ElementField {
	var out []ats.ElementField
	for _, f := range m.Fields {
		if !f.ReadOnly {
			out = append(out, ats.ElementField{Element: f.Element, Key: f.Key})
		}
	}
	slices.SortFunc(out, func(a, b ats.ElementField) int { return strings.Compare(a.Element, b.Element) })
	return out
}

// status turns a native status and rejection reason into ours; converted, and what is not known, say nothing.
func (m *Mapping) status(native, reason string) wire.ApplicationStatus {
	switch native {
	case "active", "in_process":
		return wire.ApplicationStatusActive
	case "hired":
		return wire.ApplicationStatusHired
	case "rejected":
		if slices.Contains(m.WithdrawReasons, reason) {
			return wire.ApplicationStatusWithdrawn
		}
		return wire.ApplicationStatusRejected
	}
	return wire.ApplicationStatusUnspecified
}
