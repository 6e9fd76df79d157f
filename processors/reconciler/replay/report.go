package replay

import (
	"cmp"
	"slices"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/wire"
)

// Report is what a replay found.
type Report struct {
	// Recorded are the digests of the bundles on record, oldest first; Simulated that of the other one, empty = none.
	Recorded  []wire.Digest `json:"recorded_policy"`
	Simulated wire.Digest   `json:"simulated_policy"`
	// Since is when the other bundle took effect; 0 = from the beginning.
	Since wire.Micros `json:"since"`
	// From and Until are the clocks of the first and the last decision replayed.
	From  wire.Micros `json:"from"`
	Until wire.Micros `json:"until"`

	Reads        int64 `json:"reads"`        // how often a partition was read: more than once where its states do not fit
	Applications int64 `json:"applications"` // replayed, all or in part
	Decisions    int64 `json:"decisions"`    // recomputed
	Checkpoints  int64 `json:"checkpoints"`  // applications begun at a state of hiring.state
	NoBeginning  int64 `json:"no_beginning"` // applications with no state to begin at whose inputs are retained
	Erased       int64 `json:"erased"`       // applications that ended at their erasure
	OtherPolicy  int64 `json:"other_policy"` // applications judged by a policy that is not at hand, from some point on
	Unreadable   int64 `json:"unreadable"`   // applications with an input that cannot be read as it was
	// FaultCount counts the applications that came out otherwise than on record; Faults lists the first of each.
	FaultCount int64   `json:"fault_count"`
	Faults     []Fault `json:"faults"`

	// Differing counts the applications that would have been otherwise; Differences lists them.
	Differing   int64        `json:"differing"`
	Differences []Difference `json:"differences"`
	Elsewhere   []Elsewhere  `json:"elsewhere"`
	Writes      WriteCounts  `json:"writes"`
	Owners      int64        `json:"owners"` // applications with a step that another would own
	Incidents   []Kind       `json:"incidents"`
	Orders      OrderCounts  `json:"orders"`
	// UnknownFrom counts the applications whose simulated life is not known to the end.
	UnknownFrom int64 `json:"unknown_from"`
	// NotCompared counts answers of the ATS on record that came after that.
	NotCompared int64     `json:"not_compared"`
	Was         Figures   `json:"kpi_recorded"`
	Is          Figures   `json:"kpi_simulated"`
	Unanswered  int64     `json:"unanswered"` // writes of the simulation whose answer nobody knows
	Examples    []Example `json:"examples"`
}

// Elsewhere counts applications that would stand in another stage.
type Elsewhere struct {
	Recorded  string `json:"recorded"`
	Simulated string `json:"simulated"`
	Count     int64  `json:"count"`
}

// WriteCounts count applications by their first write that differs.
type WriteCounts struct {
	Sent    int64 `json:"sent"`
	Changed int64 `json:"changed"`
	NotSent int64 `json:"not_sent"`
}

// OrderCounts count screening orders and cancellations.
type OrderCounts struct {
	Sent    int64 `json:"sent"`
	NotSent int64 `json:"not_sent"`
}

// Kind counts the incidents of one kind that differ.
type Kind struct {
	Kind    string `json:"kind"`
	Open    int64  `json:"would_open"`
	Vanish  int64  `json:"would_vanish"`
	Earlier int64  `json:"earlier"`
	Later   int64  `json:"later"`
	Owner   int64  `json:"other_owner"`
}

// Example is an application with its timeline.
type Example struct {
	Difference
	Timeline []Moment `json:"timeline"`
}

func newReport(cfg *Config) (*Report, error) {
	r := &Report{Since: wire.Micros(cfg.Since), Faults: []Fault{}, Differences: []Difference{}, Elsewhere: []Elsewhere{}, Incidents: []Kind{}, Examples: []Example{}}
	for _, b := range cfg.Rules.Bundles {
		r.Recorded = append(r.Recorded, wire.Digest(b.Digest))
	}
	if cfg.Other != nil {
		r.Simulated = wire.Digest(cfg.Other.Digest)
	}
	var err error
	if r.Was, err = newFigures(); err != nil {
		return nil, err
	}
	r.Is, err = newFigures()
	return r, err
}

// recorded notes a bundle that was activated.
func (r *Report) recorded(policy wire.Digest) {
	if !slices.Contains(r.Recorded, policy) {
		r.Recorded = append(r.Recorded, policy)
	}
}

// Clean reports whether everything came out as it is on record, and nothing would have been otherwise.
func (r *Report) Clean() bool { return r.FaultCount == 0 && r.Differing == 0 }

func (r *Report) until(at hiring.Micros) { r.Until = max(r.Until, wire.Micros(at)) }

// add counts one application.
func (r *Report) add(l *life, d *Difference) error {
	r.Applications++
	r.Decisions += l.decisions
	if l.began != 0 && (r.From == 0 || wire.Micros(l.began) < r.From) {
		r.From = wire.Micros(l.began)
	}
	if l.begun {
		r.Checkpoints++
	}
	switch l.end {
	case endNone:
	case endFault:
		r.FaultCount++
		if len(r.Faults) < listed {
			r.Faults = append(r.Faults, *l.fault)
		}
	case endErased:
		r.Erased++
	case endPolicy:
		r.OtherPolicy++
	case endUnreadable:
		r.Unreadable++
	}
	r.NotCompared += l.tally.notCompared
	if l.apart != 0 {
		r.UnknownFrom++
	}
	if err := r.Was.merge(&l.tally.was); err != nil {
		return err
	}
	if err := r.Is.merge(&l.tally.is); err != nil {
		return err
	}
	if d == nil {
		return nil
	}
	r.Differing++
	if len(r.Differences) < listed {
		r.Differences = append(r.Differences, *d)
	}
	r.count(d)
	return nil
}

func (r *Report) count(d *Difference) {
	if d.Recorded != d.Simulated {
		i := slices.IndexFunc(r.Elsewhere, func(e Elsewhere) bool { return e.Recorded == d.Recorded && e.Simulated == d.Simulated })
		if i < 0 {
			r.Elsewhere = append(r.Elsewhere, Elsewhere{Recorded: d.Recorded, Simulated: d.Simulated})
			i = len(r.Elsewhere) - 1
		}
		r.Elsewhere[i].Count++
	}
	if w := d.Write; w != nil {
		switch w.Change {
		case WriteSent:
			r.Writes.Sent++
			r.Unanswered++
		case WriteChanged:
			r.Writes.Changed++
			r.Unanswered++
		case WriteNotSent:
			r.Writes.NotSent++
		}
	}
	if d.Owner != nil {
		r.Owners++
	}
	for _, in := range d.Incidents {
		i := slices.IndexFunc(r.Incidents, func(k Kind) bool { return k.Kind == in.Kind })
		if i < 0 {
			r.Incidents = append(r.Incidents, Kind{Kind: in.Kind})
			i = len(r.Incidents) - 1
		}
		switch k := &r.Incidents[i]; {
		case in.Recorded == 0:
			k.Open++
		case in.Simulated == 0:
			k.Vanish++
		case in.sameMoment():
			k.Owner++
		case in.Simulated < in.Recorded:
			k.Earlier++
		default:
			k.Later++
		}
	}
	for _, o := range d.Orders {
		if o.Recorded {
			r.Orders.NotSent++
		} else {
			r.Orders.Sent++
		}
	}
}

// close puts everything in order.
func (r *Report) close() error {
	slices.SortFunc(r.Elsewhere, func(a, b Elsewhere) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Recorded, b.Recorded), cmp.Compare(a.Simulated, b.Simulated))
	})
	slices.SortFunc(r.Incidents, func(a, b Kind) int { return cmp.Compare(a.Kind, b.Kind) })
	if err := r.Was.close(); err != nil {
		return err
	}
	return r.Is.close()
}

// telling chooses n applications so that every way to differ has one, as far as it goes.
func (r *Report) telling(n int) []Example {
	out, taken, ways := []Example{}, map[string]bool{}, map[string]bool{}
	take := func(d *Difference) {
		taken[d.Application] = true
		out = append(out, Example{Difference: *d})
	}
	for i := range r.Differences {
		if d := &r.Differences[i]; len(out) < n && !ways[d.way()] {
			ways[d.way()] = true
			take(d)
		}
	}
	for i := range r.Differences {
		if d := &r.Differences[i]; len(out) < n && !taken[d.Application] {
			take(d)
		}
	}
	return out
}

// way is how an application differs, without its particulars.
func (d *Difference) way() string {
	way := d.Recorded + "|" + d.Simulated
	if d.Write != nil {
		way += "|" + string(d.Write.Change)
	}
	if d.Owner != nil {
		way += "|owner"
	}
	for _, in := range d.Incidents {
		way += "|" + in.Kind
		if in.Recorded == 0 {
			way += "+"
		}
	}
	return way
}
