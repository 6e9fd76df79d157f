package hiring

import (
	"slices"
	"time"
)

// OrderRule says which screening is asked of whom when an application enters a stage. The first that matches counts.
type OrderRule struct {
	Selector
	Stage  Stage
	Vendor string // the vendor's system
	Test   string
	Within time.Duration // the vendor must have said a word of the order by then; 0 = no deadline
}

// PendingOrder is the screening of the present stay in a stage. Immutable.
type PendingOrder struct {
	ID       string // the vendor quotes it in its events
	Vendor   string
	Test     string
	Stage    Stage
	Epoch    int32
	Since    Micros // first sight of the stay
	IssuedAt Micros // 0 = not asked for yet: grace still runs
}

// Order is what a decision asks of a vendor.
type Order struct {
	ID     string
	Cancel bool
	Vendor string
	Test   string
}

// screeningOf returns the rule of the screening an application needs where it stands, or nil.
func (b *Bundle) screeningOf(s *State) *OrderRule {
	h := &s.Head
	if len(b.Orders) == 0 || s.Erased || h.Deleted || h.Anonymized {
		return nil
	}
	for i := range b.Orders {
		if r := &b.Orders[i]; r.Stage == h.Stage && r.matches(s.System, &h.Requisition) {
			return r
		}
	}
	return nil
}

// order brings what is asked of the vendor in line with where the application stands: entering the stage of a screening
// asks for one, once grace has passed, and leaving it before there is a result cancels it. A vendor that has begun by
// itself is not asked. Nothing goes out under a hold or in a paused region, and no order in another wave than write.
func (v *derivation) order() {
	s, h := v.s, &v.s.Head
	r, o := v.b.screeningOf(s), s.Order
	if o != nil && (r == nil || o.Stage != h.Stage || o.Epoch != h.Epoch) {
		switch {
		case o.IssuedAt == 0 || h.screened(o.ID):
		case v.waits():
			return
		default:
			v.d.Orders = append(v.d.Orders, Order{ID: o.ID, Cancel: true, Vendor: o.Vendor, Test: o.Test})
		}
		s.Order, o = nil, nil
	}
	if r == nil || o != nil && o.IssuedAt != 0 || v.live.mode != ModeWrite || !v.live.went(h.EnteredAt) {
		return
	}
	if v.begun(r) {
		s.Order = nil
		return
	}
	if o == nil {
		o = &PendingOrder{Vendor: r.Vendor, Test: r.Test, Stage: h.Stage, Epoch: h.Epoch, Since: v.now}
		s.Order = o
	}
	if ready := o.Since.Add(v.rules.Bounds.Grace); v.now < ready {
		v.at(ready)
		return
	}
	if v.waits() || h.jumped() || h.suspected(IncidentUnmapped) {
		return
	}
	issued := *o
	issued.ID, issued.Vendor, issued.Test, issued.IssuedAt = v.commandID("order"), r.Vendor, r.Test, v.now
	s.Order = &issued
	v.d.Orders = append(v.d.Orders, Order{ID: issued.ID, Vendor: issued.Vendor, Test: issued.Test})
}

// begun reports whether the vendor is at work on an order of its own, as far as its clock can tell.
func (v *derivation) begun(r *OrderRule) bool {
	h := &v.s.Head
	n := len(h.Orders)
	at, heard := h.observation(facetScreening, r.Vendor)
	return heard && n > 0 && !h.screened(h.Orders[n-1]) && h.Observations[at].Eff.Add(v.rules.system(r.Vendor).Margin) >= h.EnteredAt
}

// waits reports whether nothing may go to a vendor now, and looks again where nothing else would.
func (v *derivation) waits() bool {
	if v.live.pause {
		v.s.Paused = true
		v.at(v.now.Add(v.rules.Bounds.PauseCheck))
		return true
	}
	return v.held(ScopeOrders)
}

// screened reports whether an order has brought a result.
func (h *Head) screened(order string) bool {
	return slices.ContainsFunc(h.Results, func(r Result) bool { return r.Order == order })
}

// silent adds the order that the vendor has not said a word of in time.
func (v *derivation) silent(wanted []wantedIncident) []wantedIncident {
	s, h := v.s, &v.s.Head
	o := s.Order
	if o == nil || o.IssuedAt == 0 || slices.Contains(h.Orders, o.ID) {
		return wanted
	}
	r := v.b.screeningOf(s)
	if r == nil || r.Within == 0 {
		return wanted
	}
	due := o.IssuedAt.Add(r.Within)
	if v.now < due {
		v.at(due)
		return wanted
	}
	return append(wanted, wantedIncident{Suspect: Suspect{
		Kind: IncidentStuck, Element: "order", Subject: o.ID, Epoch: o.Epoch, Eff: due,
		Values: []IncidentValue{{System: o.Vendor, At: o.IssuedAt}},
	}})
}
