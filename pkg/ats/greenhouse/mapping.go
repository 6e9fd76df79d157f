package greenhouse

import (
	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/wire"
)

// Mapping is what one Greenhouse tenant calls things.
type Mapping ats.Mapping

// Field maps a custom field of the application, by its name_key, to an element.
type Field = ats.Field

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
