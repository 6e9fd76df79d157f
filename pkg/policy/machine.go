package policy

import "slices"

// Machine is machine.yaml.
type Machine struct {
	Initial     string       `key:"initial,required" doc:"the state in which an application begins"`
	States      []State      `key:"states,required" doc:"the canonical stages"`
	Transitions []Transition `key:"transitions,required" doc:"what may happen; every other move is a forbidden jump"`
	Reopen      Reopen       `key:"reopen,required" doc:"how a closed application becomes active again"`
	Jumps       Jumps        `key:"jumps,required" doc:"what a forbidden or unauthorised move does"`
	Orders      *Orders      `key:"orders" doc:"the screenings that are ordered by themselves"`
}

// State is one canonical stage.
type State struct {
	ID         string `key:"id,required" doc:"its name in records"`
	Meaning    string `key:"meaning,required" doc:"what it means to be here"`
	Rank       int    `key:"rank" doc:"its place along the way; higher is further"`
	Owner      string `key:"owner,required" doc:"who owns the next step"`
	SLA        Span   `key:"sla" doc:"how long an application may stay"`
	WarnBefore Span   `key:"warn_before" doc:"how long before the SLA ends the owner is told"`
	Close      Status `key:"close" doc:"a state that ends an application: the status an ATS shows"`
}

// Status is the status of a closed application.
type Status string

// Choices implements strict.Closed.
func (Status) Choices() []string { return []string{"hired", "rejected", "withdrawn"} }

// Transition is one edge, or one for each state it may start from.
type Transition struct {
	Name      string  `key:"name,required" doc:"what it is called in decisions"`
	From      Names   `key:"from,required" doc:"the state or states it leads from"`
	To        string  `key:"to,required" doc:"the state it leads to"`
	Owner     string  `key:"owner,required" doc:"who owns the step it leads to"`
	SLA       Span    `key:"sla,required" doc:"how long that step may take"`
	Authority []Actor `key:"authority,required" doc:"who may cause it"`
	Verdict   Verdict `key:"verdict" doc:"the screening verdict that takes it"`
}

// Actor is a kind of actor.
type Actor string

// Choices implements strict.Closed.
func (Actor) Choices() []string {
	return []string{"human", "integration", "system", "vendor", "override"}
}

// Verdict is a screening verdict that moves.
type Verdict string

// Choices implements strict.Closed.
func (Verdict) Choices() []string { return []string{"advance", "reject"} }

// Reopen is the step from a closed state back to the ATS's last stage.
type Reopen struct {
	From      []string `key:"from,required" doc:"the closed states it leads from"`
	Owner     string   `key:"owner,required" doc:"who owns a reopened application"`
	SLA       Span     `key:"sla,required" doc:"how long the first step may take"`
	Authority []Actor  `key:"authority,required" doc:"who may cause it"`
}

// Jumps say what a move does that is no transition, or one by somebody without authority.
type Jumps struct {
	Forbidden    Jump       `key:"forbidden,required" doc:"hold, record or revert"`
	Unauthorised Jump       `key:"unauthorised,required" doc:"hold, record or revert"`
	Rules        []JumpRule `key:"rules" doc:"exceptions for one state or one edge"`
}

// Jump is what such a move does.
type Jump string

// Choices implements strict.Closed.
func (Jump) Choices() []string { return []string{"hold", "record", "revert"} }

// JumpRule is an exception. One for an edge beats one for a state.
type JumpRule struct {
	From         string `key:"from,required" doc:"the state the move leads from"`
	To           string `key:"to" doc:"the state it leads to; left out: any"`
	Forbidden    Jump   `key:"forbidden" doc:"what a forbidden move does"`
	Unauthorised Jump   `key:"unauthorised" doc:"what a move without authority does"`
	Why          string `key:"why,required" doc:"why"`
}

// Orders say when a screening is ordered, and which.
type Orders struct {
	State        string `key:"state,required" doc:"entering it orders a screening, leaving it early cancels"`
	AnswerWithin Span   `key:"answer_within,required" doc:"how long the vendor may take to acknowledge"`
	Tests        []Test `key:"tests,required" doc:"which test; the most specific selector wins"`
}

// Test is what is ordered for whom.
type Test struct {
	For    Selector `key:"for" doc:"the applications it is for; left out: all"`
	Vendor string   `key:"vendor,required" doc:"a system of the inventory"`
	Test   string   `key:"test,required" doc:"the vendor's name for the test"`
}

// Selector picks applications. What is left out matches all.
type Selector struct {
	Region   string `key:"region" doc:"a region of bundle.yaml"`
	Type     string `key:"type" doc:"a requisition type"`
	Instance string `key:"instance" doc:"an ATS instance"`
}

// meets reports whether one application could match both.
func (s Selector) meets(t Selector) bool {
	both := func(a, b string) bool { return a == "" || b == "" || a == b }
	return both(s.Region, t.Region) && both(s.Type, t.Type) && both(s.Instance, t.Instance)
}

// String is "region eu, type engineering"; "all" for one that matches all.
func (s Selector) String() string {
	out := ""
	for _, part := range [][2]string{{"region ", s.Region}, {"type ", s.Type}, {"instance ", s.Instance}} {
		if part[1] != "" {
			if out != "" {
				out += ", "
			}
			out += part[0] + part[1]
		}
	}
	if out == "" {
		return "all"
	}
	return out
}

// state returns a state, or nil.
func (m *Machine) state(id string) *State {
	for i := range m.States {
		if m.States[i].ID == id {
			return &m.States[i]
		}
	}
	return nil
}

// stateIDs returns the names of the states in their order.
func (m *Machine) stateIDs() []string {
	var out []string
	for i := range m.States {
		if id := m.States[i].ID; !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// jump returns what a move does, and the rule that says so; nil for the default.
func (m *Machine) jump(from, to string, authorised bool) (Jump, *JumpRule) {
	do := func(forbidden, unauthorised Jump) Jump {
		if authorised {
			return forbidden
		}
		return unauthorised
	}
	for _, target := range []string{to, ""} {
		for i := range m.Jumps.Rules {
			r := &m.Jumps.Rules[i]
			if r.From == from && r.To == target && do(r.Forbidden, r.Unauthorised) != "" {
				return do(r.Forbidden, r.Unauthorised), r
			}
		}
	}
	return do(m.Jumps.Forbidden, m.Jumps.Unauthorised), nil
}
