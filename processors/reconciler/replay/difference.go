package replay

import (
	"slices"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/wire"
)

// Fault is a decision that came out otherwise than it is on record.
type Fault struct {
	Application string      `json:"application"`
	Version     int64       `json:"version"`
	Topic       string      `json:"topic"` // of the input; empty for a timer
	Partition   int32       `json:"partition"`
	Offset      int64       `json:"offset"` // -1 for a timer
	At          wire.Micros `json:"at"`
	Reason      string      `json:"reason"`
	What        string      `json:"what"`
	Recorded    string      `json:"recorded"`
	Computed    string      `json:"computed"`
	Decision    int64       `json:"decision"` // its offset in hiring.decisions
}

// Difference is what would have been otherwise of one application.
type Difference struct {
	Application string `json:"application"`
	System      string `json:"system"`
	Region      string `json:"region,omitempty"`
	Type        string `json:"type,omitempty"` // of the requisition
	// Since is when the two lives first differed.
	Since wire.Micros `json:"since"`
	// Unknown is from when on the simulated life is not known; 0 = it is known to the end.
	Unknown wire.Micros `json:"unknown_from,omitzero"`
	// Recorded and Simulated are the stages at the end, or at Unknown.
	Recorded  string         `json:"recorded_stage"`
	Simulated string         `json:"simulated_stage"`
	Write     *Write         `json:"write,omitempty"`
	Owner     *OwnerDiff     `json:"owner,omitempty"`
	Incidents []IncidentDiff `json:"incidents,omitempty"`
	Orders    []OrderDiff    `json:"orders,omitempty"`
}

// WriteChange says what happens to a write.
type WriteChange string

// Write changes.
const (
	WriteSent    WriteChange = "sent"
	WriteChanged WriteChange = "changed"
	WriteNotSent WriteChange = "not_sent"
)

// Write is the first write that differs. What is asked for is given without the values of elements.
type Write struct {
	Change    WriteChange `json:"change"`
	At        wire.Micros `json:"at"`
	Recorded  string      `json:"recorded"`
	Simulated string      `json:"simulated"`
}

// OwnerDiff is the first step that another would own, of a stage both lives stand in.
type OwnerDiff struct {
	At        wire.Micros `json:"at"`
	Stage     string      `json:"stage"`
	Recorded  string      `json:"recorded"`
	Simulated string      `json:"simulated"`
}

// IncidentDiff is an incident that opens in one life alone, at another time or for another owner. 0 = it does not open.
type IncidentDiff struct {
	ID             string      `json:"id"`
	Kind           string      `json:"kind"`
	Element        string      `json:"element,omitempty"`
	Recorded       wire.Micros `json:"recorded_at"`
	Simulated      wire.Micros `json:"simulated_at"`
	RecordedOwner  string      `json:"recorded_owner,omitempty"`
	SimulatedOwner string      `json:"simulated_owner,omitempty"`
}

// sameMoment reports whether the incident opens in both lives, at one time but for the delay of a timer.
func (d *IncidentDiff) sameMoment() bool {
	return d.Recorded != 0 && d.Simulated != 0 && d.Recorded.Time().Sub(d.Simulated.Time()).Abs() <= sameTime
}

// OrderDiff is a screening order that goes out in one life alone.
type OrderDiff struct {
	ID       string      `json:"id"`
	Cancel   bool        `json:"cancel"`
	Test     string      `json:"test,omitempty"`
	At       wire.Micros `json:"at"`
	Recorded bool        `json:"recorded"` // else simulated
}

// sameTime is how far apart two incidents open that count as opened at one time: a timer fires a little late.
const sameTime = time.Minute

// difference is what differs of the application, so far nothing.
func (l *life) difference() *Difference {
	if l.diff == nil {
		l.diff = &Difference{Application: l.app}
	}
	return l.diff
}

// differs notes that the lives differ from now on at the latest.
func (l *life) differs(now hiring.Micros) *Difference {
	d := l.difference()
	d.since(wire.Micros(now))
	return d
}

func (d *Difference) since(at wire.Micros) {
	if at != 0 && (d.Since == 0 || at < d.Since) {
		d.Since = at
	}
}

// incident notes an incident of one life. What both lives tell leaves nothing behind.
func (l *life) incident(in *hiring.Incident, now hiring.Micros, recorded bool) {
	if l.apart != 0 || in.Change == hiring.IncidentResolved {
		return
	}
	list := &l.difference().Incidents
	i := slices.IndexFunc(*list, func(d IncidentDiff) bool { return d.ID == in.ID })
	if i < 0 {
		d := IncidentDiff{ID: in.ID, Kind: in.Kind.String(), Element: in.Element}
		if in.Change == hiring.IncidentRetracted { // both lives had opened it
			d.Recorded, d.Simulated = wire.Micros(in.OpenedAt), wire.Micros(in.OpenedAt)
			d.RecordedOwner, d.SimulatedOwner = in.Owner, in.Owner
		}
		*list = append(*list, d)
		i = len(*list) - 1
	}
	at, owner := wire.Micros(now), in.Owner
	if in.Change == hiring.IncidentRetracted {
		at, owner = 0, ""
	}
	d := &(*list)[i]
	if recorded {
		d.Recorded, d.RecordedOwner = at, owner
	} else {
		d.Simulated, d.SimulatedOwner = at, owner
	}
	if d.Recorded == d.Simulated && d.RecordedOwner == d.SimulatedOwner {
		*list = slices.Delete(*list, i, i+1)
	}
}

// owned notes the first step that another would own. Where the lives stand in different stages that says it all.
func (l *life) owned(recorded string, now hiring.Micros) {
	if l.was.Head.Stage != l.is.Head.Stage || recorded == l.owner || l.diff != nil && l.diff.Owner != nil {
		return
	}
	l.difference().Owner = &OwnerDiff{At: wire.Micros(now), Stage: string(l.was.Head.Stage), Recorded: recorded, Simulated: l.owner}
}

func (l *life) order(o *hiring.Order, now hiring.Micros, recorded bool) {
	if l.apart != 0 {
		return
	}
	list := &l.difference().Orders
	other := func(d OrderDiff) bool { return d.Test == o.Test && d.Cancel == o.Cancel && d.Recorded != recorded }
	if i := slices.IndexFunc(*list, other); i >= 0 {
		*list = slices.Delete(*list, i, i+1)
		return
	}
	*list = append(*list, OrderDiff{ID: o.ID, Cancel: o.Cancel, Test: o.Test, At: wire.Micros(now), Recorded: recorded})
}

// settle leaves out what differs by the delay of a timer alone, and says since when the rest does.
func (d *Difference) settle() {
	d.Incidents = slices.DeleteFunc(d.Incidents, func(i IncidentDiff) bool { return i.sameMoment() && i.RecordedOwner == i.SimulatedOwner })
	if d.Recorded == d.Simulated && d.Write == nil {
		d.Since = 0 // they stood apart for a while only
	}
	if d.Owner != nil {
		d.since(d.Owner.At)
	}
	for _, i := range d.Incidents {
		d.since(i.Recorded)
		d.since(i.Simulated)
	}
	for _, o := range d.Orders {
		d.since(o.At)
	}
}

func (d *Difference) empty() bool {
	return d.Recorded == d.Simulated && d.Write == nil && d.Owner == nil && len(d.Incidents) == 0 && len(d.Orders) == 0
}

// wordsOf says what is asked of the ATS, without the values of elements: those may be personal.
func wordsOf(a *ask) string {
	t := &a.tuple
	if t.Empty() {
		return "nothing"
	}
	var parts []string
	for _, p := range [][2]string{{"stage ", t.Stage}, {"reason ", t.Reason}} {
		if p[1] != "" {
			parts = append(parts, p[0]+p[1])
		}
	}
	if t.Status != hiring.StatusUnspecified {
		parts = append(parts, t.Status.String())
	}
	for i := range t.Elements {
		parts = append(parts, t.Elements[i].Name)
	}
	words := strings.Join(parts, ", ")
	if a.mode != hiring.ModeWrite {
		words += " (" + a.mode.String() + ")"
	}
	return words
}
