package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/concord-ats/concord/pkg/nearest"
)

// states checks the states by themselves.
func (c *checker) states() {
	m, all := &c.p.Machine, c.machineNames()
	ids, ranks, closes := map[string]bool{}, map[int]string{}, map[Status]string{}
	for i := range m.States {
		s, path := &m.States[i], fmt.Sprintf("states[%d]", i)
		c.id(MachineFile, path+".id", s.ID)
		if ids[s.ID] {
			c.fault(MachineFile, path+".id", s.ID, "is a state already", "give it another name, or remove it")
			continue // whatever else it has is the other's too
		}
		ids[s.ID] = true
		c.owner(MachineFile, path+".owner", s.Owner)
		c.span(MachineFile, path+".sla", s.SLA, "")
		c.warn(MachineFile, path+".warn_before", s.WarnBefore, s.SLA)
		if s.Close != "" {
			if other, taken := closes[s.Close]; taken {
				c.fault(MachineFile, path+".close", string(s.Close), "is how "+other+" closes", "keep one state for each status")
			}
			closes[s.Close] = s.ID
			continue
		}
		if !c.holds(MachineFile, path+".close", path+".rank") {
			continue
		}
		if s.Rank < 1 {
			c.fault(MachineFile, path+".rank", fmt.Sprint(s.Rank), "is no place along the way", "give open states ranks from 1 up")
		} else if other, taken := ranks[s.Rank]; taken {
			c.fault(MachineFile, path+".rank", fmt.Sprint(s.Rank), "is the rank of "+other, "give each open state a rank of its own")
		}
		ranks[s.Rank] = s.ID
	}
	for _, status := range Status("").Choices() {
		if closes[Status(status)] == "" && c.holds(MachineFile, "states.*.close") {
			c.fault(MachineFile, "states", "", "has no state with close: "+status, "add one: an ATS can show that status at any time")
		}
	}
	if c.known(MachineFile, "initial", m.Initial, all) && m.state(m.Initial).Close != "" {
		c.fault(MachineFile, "initial", m.Initial, "is a closed state", "name an open one")
	}
}

// machineNames are the states as machine.yaml speaks of them.
func (c *checker) machineNames() names {
	n := c.stateNames()
	n.what = "state"
	return n
}

// transitions checks each transition, and that no two match one event.
func (c *checker) transitions() {
	m := &c.p.Machine
	all := c.machineNames()
	edges, verdicts := map[[2]string]string{}, map[Verdict]string{}
	for i := range m.Transitions {
		t, path := &m.Transitions[i], fmt.Sprintf("transitions[%d]", i)
		c.owner(MachineFile, path+".owner", t.Owner)
		c.authority(path+".authority", t.Authority)
		c.span(MachineFile, path+".sla", t.SLA, "")
		if len(t.From) == 0 {
			c.fault(MachineFile, path+".from", "", "is empty", "name the state or states it leads from")
		}
		to := m.state(t.To)
		c.known(MachineFile, path+".to", t.To, all)
		for j, from := range t.From {
			at := path + ".from"
			if c.p.docs[MachineFile].Has(fmt.Sprintf("%s[%d]", at, j)) {
				at = fmt.Sprintf("%s[%d]", at, j)
			}
			if !c.known(MachineFile, at, from, all) {
				continue
			}
			if m.state(from).Close != "" {
				c.fault(MachineFile, at, from, "is closed: nothing but reopen leads from it", "remove it")
			}
			if t.To == "" {
				continue
			}
			if from == t.To {
				c.fault(MachineFile, at, from, "leads to itself", "remove it")
			}
			if other, taken := edges[[2]string{from, t.To}]; taken {
				c.fault(MachineFile, at, from, fmt.Sprintf("leads to %s as %q does: two transitions match one event", t.To, other), "keep one")
			}
			edges[[2]string{from, t.To}] = t.Name
		}
		if t.Verdict == "" {
			continue
		}
		if other, taken := verdicts[t.Verdict]; taken {
			c.fault(MachineFile, path+".verdict", string(t.Verdict), fmt.Sprintf("is taken by %q too: two transitions match one verdict", other), "keep one")
		}
		verdicts[t.Verdict] = t.Name
		if len(t.From) > 1 {
			c.fault(MachineFile, path+".from", strings.Join(t.From, ", "), "is more than one state for a verdict", "name the one state in which it acts")
		}
		if !slices.Contains(t.Authority, "vendor") && c.holds(MachineFile, path+".authority") {
			c.fault(MachineFile, path+".verdict", string(t.Verdict), "comes from a vendor, and vendor has no authority here", "add vendor to authority, or remove the verdict")
		}
		if to == nil || len(t.From) == 0 || !c.holds(MachineFile, "states.*.close", "states.*.rank") {
			continue
		}
		if t.Verdict == "reject" && to.Close == "" {
			c.fault(MachineFile, path+".to", t.To, "is open, and a rejecting verdict closes", "lead to a closed state")
		}
		if from := m.state(t.From[0]); t.Verdict == "advance" && from != nil && (to.Close != "" || to.Rank <= from.Rank) {
			c.fault(MachineFile, path+".to", t.To, "is no further than "+from.ID, "an advancing verdict leads to an open state of a higher rank")
		}
	}
	r := &m.Reopen
	c.owner(MachineFile, "reopen.owner", r.Owner)
	c.authority("reopen.authority", r.Authority)
	c.span(MachineFile, "reopen.sla", r.SLA, "")
	c.twice(MachineFile, "reopen.from", r.From)
	for i, from := range r.From {
		if s := m.state(from); c.holds(MachineFile, "states.*.id", "states.*.close") && (s == nil || s.Close == "") {
			c.fault(MachineFile, fmt.Sprintf("reopen.from[%d]", i), from, "is no closed state", "name closed states only")
		}
	}
}

func (c *checker) authority(path string, actors []Actor) {
	if len(actors) == 0 {
		c.fault(MachineFile, path, "", "is empty", "say who may cause it: human, integration, system, vendor or override")
	}
	for i, a := range actors {
		if slices.Contains(actors[:i], a) {
			c.fault(MachineFile, fmt.Sprintf("%s[%d]", path, i), string(a), "is given twice", "keep one")
		}
	}
}

// reopen checks how a closed application becomes active again: by a person, from any closed state.
func (c *checker) reopen() {
	m := &c.p.Machine
	for i := range m.States {
		if s := &m.States[i]; s.ID != "" && s.Close != "" && c.holds(MachineFile, "reopen.from") && !slices.Contains(m.Reopen.From, s.ID) {
			c.fault(MachineFile, "reopen.from", "", "leaves out "+s.ID, "add it: a person can reopen any closed application in the ATS")
		}
	}
	for _, a := range []Actor{"human", "override"} {
		if !slices.Contains(m.Reopen.Authority, a) && c.holds(MachineFile, "reopen.authority") {
			c.fault(MachineFile, "reopen.authority", "", "leaves out "+string(a), "add it: reopening is for people, in the ATS or through an override")
		}
	}
	for i, a := range m.Reopen.Authority {
		if a != "human" && a != "override" {
			c.fault(MachineFile, fmt.Sprintf("reopen.authority[%d]", i), string(a), "cannot reopen", "remove it: reopening is for people, in the ATS or through an override")
		}
	}
}

// ways checks that every state is reachable, and that from every open one a close is.
func (c *checker) ways() {
	m := &c.p.Machine
	if !c.holds(MachineFile, "states.*.id", "states.*.close", "transitions.*.from", "transitions.*.to") {
		return // what is missing may be a way
	}
	initial := m.state(m.Initial) != nil
	forth, back := map[string][]string{}, map[string][]string{}
	for i := range m.Transitions {
		to := m.meant(m.Transitions[i].To)
		for _, from := range m.Transitions[i].From {
			from = m.meant(from)
			forth[from], back[to] = append(forth[from], to), append(back[to], from)
		}
	}
	reached := map[string]bool{}
	spread(m.Initial, forth, reached)
	ends := map[string]bool{}
	for i := range m.States {
		if m.States[i].Close != "" {
			spread(m.States[i].ID, back, ends)
		}
	}
	for i := range m.States {
		s, path := &m.States[i], fmt.Sprintf("states[%d]", i)
		switch {
		case initial && !reached[s.ID]:
			c.fault(MachineFile, path+".id", s.ID, "cannot be reached from "+m.Initial, "add a transition to it, or remove it")
		case s.Close == "" && len(forth[s.ID]) == 0:
			c.fault(MachineFile, path+".id", s.ID, "is a dead end: nothing leads from it", "add a transition, or give it close")
		case s.Close == "" && !ends[s.ID]:
			c.fault(MachineFile, path+".id", s.ID, "leads to no closed state", "add a way to one")
		}
	}
}

// meant is a state as it is written or, misspelt, the one that is nearest: that is told where it stands, and not once more
// as ways that are missing.
func (m *Machine) meant(id string) string {
	if near := nearest.Find(id, m.stateIDs()); m.state(id) == nil && near != "" {
		return near
	}
	return id
}

func spread(from string, along map[string][]string, seen map[string]bool) {
	if seen[from] {
		return
	}
	seen[from] = true
	for _, next := range along[from] {
		spread(next, along, seen)
	}
}

// jumps checks the exceptions for moves that are no transition, or by somebody without authority.
func (c *checker) jumps() {
	m, all := &c.p.Machine, c.machineNames()
	seen := map[[2]string]bool{}
	for i, r := range m.Jumps.Rules {
		path := fmt.Sprintf("jumps.rules[%d]", i)
		ok := c.known(MachineFile, path+".from", r.From, all)
		if r.To != "" {
			ok = c.known(MachineFile, path+".to", r.To, all) && ok
		}
		if !c.holds(MachineFile, path) {
			continue
		}
		if r.Forbidden == "" && r.Unauthorised == "" {
			c.fault(MachineFile, path, "", "says neither forbidden nor unauthorised", "say what such a move does")
		}
		if seen[[2]string{r.From, r.To}] {
			c.fault(MachineFile, path, r.From+" → "+r.To, "has a rule already", "put both in one")
		}
		seen[[2]string{r.From, r.To}] = true
		if !ok || r.To == "" {
			continue
		}
		edge := m.edge(r.From, r.To)
		if edge != nil && r.Forbidden != "" {
			c.fault(MachineFile, path+".forbidden", string(r.Forbidden), fmt.Sprintf("is about %s → %s, which %q allows", r.From, r.To, edge.Name), "remove it, or the transition")
		}
		if edge == nil && r.Unauthorised != "" && c.holds(MachineFile, "transitions.*.from", "transitions.*.to") {
			c.fault(MachineFile, path+".unauthorised", string(r.Unauthorised), fmt.Sprintf("is about %s → %s, which nobody may", r.From, r.To), "say forbidden instead")
		}
	}
}

// edge returns the transition between two states, or nil.
func (m *Machine) edge(from, to string) *Transition {
	for i := range m.Transitions {
		if t := &m.Transitions[i]; t.To == to && slices.Contains(t.From, from) {
			return t
		}
	}
	return nil
}

// orders checks what is ordered.
func (c *checker) orders() {
	o := c.p.Machine.Orders
	if o == nil {
		return
	}
	if c.known(MachineFile, "orders.state", o.State, c.machineNames()) && c.p.Machine.state(o.State).Close != "" {
		c.fault(MachineFile, "orders.state", o.State, "is closed", "name the state in which candidates are screened")
	}
	if o.AnswerWithin.Business {
		c.fault(MachineFile, "orders.answer_within", o.AnswerWithin.String(), "is business time", "give a plain time such as 4h: a machine answers")
	}
	selectors := make([]Selector, len(o.Tests))
	for i, t := range o.Tests {
		path := fmt.Sprintf("orders.tests[%d]", i)
		selectors[i] = t.For
		c.selector(MachineFile, path+".for", t.For, "")
		if c.known(MachineFile, path+".vendor", t.Vendor, c.systemNames("vendor of the inventory", KindVendor)) && c.holds(BundleFile, "systems."+t.Vendor+".instances") && c.p.Bundle.Systems[t.Vendor].addressee() == "" {
			c.fault(MachineFile, path+".vendor", t.Vendor, "has no name of its own to order from", "add one without * to systems.%s.instances in %s", t.Vendor, BundleFile)
		}
	}
	if !c.holds(MachineFile, "orders.tests.*.for") {
		return
	}
	c.nested(MachineFile, "orders.tests[%d].for", selectors)
	if !slices.Contains(selectors, Selector{}) {
		c.fault(MachineFile, "orders.tests", "", "has no test for every application", "add one without `for`, for those no other selects")
	}
}

// nested tells of two selectors that could match one application and of which neither is the narrower: nothing would
// say which counts.
func (c *checker) nested(file, path string, selectors []Selector) {
	for i, s := range selectors {
		for j, other := range selectors[:i] {
			if s.meets(other) && s.within(other) == other.within(s) {
				c.fault(file, fmt.Sprintf(path, i), s.String(), fmt.Sprintf("matches as well as %s (%s)", fmt.Sprintf(path, j), other), "make one narrower than the other, or merge them")
			}
		}
	}
}

// within reports whether everything s matches is matched by t.
func (s Selector) within(t Selector) bool {
	in := func(a, b string) bool { return b == "" || a == b }
	return in(s.Region, t.Region) && in(s.Type, t.Type) && in(s.Instance, t.Instance)
}
