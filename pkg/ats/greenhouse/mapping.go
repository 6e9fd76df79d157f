package greenhouse

import (
	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/wire"
)

// Mapping is what one Greenhouse tenant calls things.
type Mapping ats.Mapping

// Field maps a custom field of the application, by its name_key, to an element.
type Field = ats.Field

// DefaultMapping is the mapping of the demo and the simulator: the elements a screening fills, under fields
// of the same key, and reason 8 to reject with.
func DefaultMapping(system string) Mapping {
	return Mapping{
		System: system,
		Fields: []Field{
			{Element: "screening_recommendation", Key: "screening_recommendation", ID: 9001},
			{Element: "screening_report_url", Key: "screening_report_url", ID: 9002},
			{Element: "screening_score", Key: "screening_score", ID: 9003, Type: ats.FieldNumber},
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
func (m *Mapping) Validate() error { return m.all().Validate() }

func (m *Mapping) all() *ats.Mapping { return (*ats.Mapping)(m) }

// status turns a native status and rejection reason into ours; converted, and what is not known, say nothing.
func (m *Mapping) status(native, reason string) wire.ApplicationStatus {
	switch native {
	case "active", "in_process":
		return wire.ApplicationStatusActive
	case "hired":
		return wire.ApplicationStatusHired
	case "rejected":
		return m.all().Rejected(reason)
	}
	return wire.ApplicationStatusUnspecified
}
