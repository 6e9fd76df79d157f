package policy

// Mapping is one file of mappings/: the base of a system, or with a selector an addendum to it.
type Mapping struct {
	System          string                    `key:"system,required" doc:"the ATS, as in the inventory"`
	For             *Selector                 `key:"for" doc:"an addendum: the applications it is for"`
	Why             string                    `key:"why" doc:"an addendum: why it is needed"`
	By              string                    `key:"by" doc:"an addendum: who asked for it"`
	Until           Date                      `key:"until" doc:"an addendum: the last day it is needed"`
	Stages          map[string]string         `key:"stages" doc:"native stage id → state"`
	Write           map[string]string         `key:"write" doc:"state → native stage id to write"`
	Fields          map[string]string         `key:"fields" doc:"element → native field key"`
	RejectWith      string                    `key:"reject_with" doc:"native rejection reason of a rejecting verdict"`
	WithdrawReasons []string                  `key:"withdraw_reasons" doc:"native rejection reasons that mean the candidate withdrew"`
	HireWith        string                    `key:"hire_with" doc:"native reason that closes an application as hired, where the ATS hires that way"`
	Requisition     *RequisitionNames         `key:"requisition" doc:"how a job's own words become region and type"`
	States          map[string]*StateChange   `key:"states" doc:"an addendum: what differs of a state"`
	Elements        map[string]*ElementChange `key:"elements" doc:"an addendum: what differs of an element"`

	file string
}

// RequisitionNames is how a job's own words become the region and the type that selectors use. Addenda are chosen by
// these, so that the base alone has them.
type RequisitionNames struct {
	RegionField string            `key:"region_field" doc:"the job's field that holds the region; its offices are looked at where it says nothing known"`
	Regions     map[string]string `key:"regions" doc:"an option of region_field, or an office's id or name → region code"`
	TypeField   string            `key:"type_field" doc:"the job's field that holds the type; left out: its employment type"`
	Types       map[string]string `key:"types" doc:"an option of type_field → type; others are kept in lower case with underscores for spaces"`
}

// StateChange is what an addendum changes of a state. What is left out stays.
type StateChange struct {
	Owner      string `key:"owner" doc:"who owns the next step"`
	SLA        Span   `key:"sla" doc:"how long an application may stay"`
	WarnBefore Span   `key:"warn_before" doc:"how long before the SLA ends the owner is told"`
}

// ElementChange is what an addendum changes of an element. What is left out stays.
type ElementChange struct {
	Golden    string     `key:"golden" doc:"the system whose word counts"`
	Conflict  Conflict   `key:"conflict" doc:"what decides when systems differ"`
	Tolerance *float64   `key:"tolerance" doc:"numbers no further apart than this agree"`
	Scale     *Scale     `key:"scale" doc:"another validity; the scale itself must stay"`
	WriteBack *bool      `key:"write_back" doc:"whether the ATS should show it"`
	Mandatory *Mandatory `key:"mandatory" doc:"when it must have reached the ATS"`
}

// addendum reports whether the mapping overrides a base.
func (m *Mapping) addendum() bool { return m.For != nil }

// base returns the base mapping of a system, or nil.
func (p *Policy) base(system string) *Mapping {
	for _, file := range keys(p.Mappings) {
		if m := p.Mappings[file]; m.System == system && !m.addendum() {
			return m
		}
	}
	return nil
}

// addenda returns the addenda, in the order of their files.
func (p *Policy) addenda() (out []*Mapping) {
	for _, file := range keys(p.Mappings) {
		if m := p.Mappings[file]; m.addendum() {
			out = append(out, m)
		}
	}
	return out
}
