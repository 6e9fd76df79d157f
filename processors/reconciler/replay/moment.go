package replay

import (
	"strings"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/wire"
)

// Moment is one point of an example's timeline.
type Moment struct {
	At     wire.Micros `json:"at"`
	Event  string      `json:"event"`
	System string      `json:"system,omitempty"`
	// Recorded and Simulated say what was decided; empty = nothing was.
	Recorded  string `json:"recorded,omitempty"`
	Simulated string `json:"simulated,omitempty"`
	// Unknown says that the simulated life had ended before.
	Unknown bool `json:"unknown,omitempty"`
}

// Differs reports whether the two lives decided otherwise.
func (m *Moment) Differs() bool { return !m.Unknown && m.Recorded != m.Simulated }

// follow adds a decision to the timeline of an example.
func (l *life) follow(s *step, was, is *hiring.Decision) {
	if l.trace == nil {
		return
	}
	m := Moment{At: wire.Micros(was.Now), Event: s.event.Type.String(), System: s.event.System, Recorded: sentence(was)}
	switch {
	case is != nil:
		m.Simulated = sentence(is)
	case l.is == nil: // it has not parted yet
		m.Simulated = m.Recorded
	case l.apart != 0 && l.apart < was.Now:
		m.Unknown = true
	}
	*l.trace = append(*l.trace, m)
}

// fired adds what the clock of the other life alone brought.
func (l *life) fired(d *hiring.Decision, at hiring.Micros) {
	if l.trace != nil {
		*l.trace = append(*l.trace, Moment{At: wire.Micros(at), Event: hiring.EventTimer.String(), Simulated: sentence(d)})
	}
}

// sentence is a decision in a few words.
func sentence(d *hiring.Decision) string {
	parts := []string{d.Reason.Sentence()}
	if d.From != d.To {
		parts = append(parts, orNothing(string(d.From))+" → "+orNothing(string(d.To)))
	}
	for i := range d.Incidents {
		in := &d.Incidents[i]
		name := in.Kind.String()
		if in.Element != "" {
			name += " (" + in.Element + ")"
		}
		parts = append(parts, in.Change.String()+" "+name)
	}
	for i := range d.Commands {
		if c := &d.Commands[i]; c.Kind == hiring.CommandApply {
			a := ask{c.Mode, c.Desired}
			parts = append(parts, "asks the ATS for "+wordsOf(&a))
		}
	}
	for i := range d.Orders {
		what := "orders the screening "
		if d.Orders[i].Cancel {
			what = "cancels the screening "
		}
		parts = append(parts, what+d.Orders[i].Test)
	}
	return strings.Join(parts, "; ")
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}
