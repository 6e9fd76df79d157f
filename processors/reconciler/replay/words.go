package replay

import (
	"fmt"
	"strconv"
	"strings"
)

// String names the decision and what came out otherwise.
func (f Fault) String() string {
	input := "a timer"
	if f.Topic != "" {
		input = fmt.Sprintf("%s/%d@%d", f.Topic, f.Partition, f.Offset)
	}
	return fmt.Sprintf("%s version %d, decision %d (%s) on %s: %s is %s on record, %s computed", f.Application, f.Version, f.Decision, f.Reason, input, f.What, f.Recorded, f.Computed)
}

// Record says in one line whether the history came out as it is on record.
func (r *Report) Record() string {
	switch {
	case r.Decisions == 0:
		return "there is nothing that can be replayed"
	case r.FaultCount == 0:
		return "every state comes out to the byte"
	case r.FaultCount == 1:
		return "1 application comes out otherwise than on record; it is not compared any further"
	}
	return strconv.FormatInt(r.FaultCount, 10) + " applications come out otherwise than on record; they are not compared any further"
}

// Notes say what the replay could not look at, and what nobody can know.
func (r *Report) Notes() []string {
	var out []string
	note := func(n int64, one, many string) {
		switch {
		case n == 1:
			out = append(out, "1 application "+one)
		case n > 1:
			out = append(out, strconv.FormatInt(n, 10)+" applications "+many)
		}
	}
	note(r.Checkpoints, "begins at a state of hiring.state, as earlier inputs are no longer kept", "begin at a state of hiring.state, as earlier inputs are no longer kept")
	note(r.NoBeginning, "is left out: no state to begin at has all its later inputs", "are left out: no state to begin at has all its later inputs")
	note(r.Erased, "ends at its erasure", "end at their erasure")
	note(r.OtherPolicy, "ends where another policy was in force than those of the configuration", "end where another policy was in force than those of the configuration")
	note(r.Unreadable, "ends at an input that cannot be read as it was", "end at an input that cannot be read as it was")
	note(r.UnknownFrom, "is known up to its first other write only: what the ATS would have answered, and people would have done then, nobody knows", "are known up to their first other write only: what the ATS would have answered, and people would have done then, nobody knows")
	if r.NotCompared > 0 {
		out = append(out, strconv.FormatInt(r.NotCompared, 10)+" answers of the ATS on record came after that and are not compared")
	}
	return out
}

// Figure is one line of a summary.
type Figure struct{ Name, Recorded, Simulated, Note string }

// Summary are the figures of both runs side by side.
func (r *Report) Summary() []Figure {
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	var out []Figure
	add := func(name, recorded, simulated, note string) {
		out = append(out, Figure{name, recorded, simulated, note})
	}
	var elsewhere int64
	for _, e := range r.Elsewhere {
		elsewhere += e.Count
	}
	add("applications that would stand elsewhere", "", n(elsewhere), "")
	for _, e := range r.Elsewhere {
		add("  "+orNothing(e.Recorded)+" → "+orNothing(e.Simulated), "", n(e.Count), "")
	}
	add("applications with a write more", "", n(r.Writes.Sent), "")
	add("applications with a write changed", "", n(r.Writes.Changed), "")
	add("applications with a write not sent", "", n(r.Writes.NotSent), "")
	if r.Orders != (OrderCounts{}) {
		add("screening orders more", "", n(r.Orders.Sent), "")
		add("screening orders not sent", "", n(r.Orders.NotSent), "")
	}
	if r.Owners > 0 {
		add("applications with a step of another owner", "", n(r.Owners), "")
	}
	for _, k := range r.Incidents {
		add("incidents "+k.Kind, n(r.Was.Incidents[k.Kind]), n(r.Is.Incidents[k.Kind]), k.words())
	}
	add("confirmed writes", n(r.Was.Confirmed), n(r.Is.Confirmed), r.unanswered())
	add("success rate", r.Was.rate(0), r.Is.rate(r.Unanswered), "")
	add("latency p50, p95", r.Was.latency(), r.Is.latency(), "screening finished → ATS confirmed, of the writes both send")
	known := ""
	if r.UnknownFrom > 0 {
		known = "simulated: as far as it is known"
	}
	add("hires", n(r.Was.Hires), n(r.Is.Hires), known)
	return out
}

func (r *Report) unanswered() string {
	if r.Unanswered == 0 {
		return ""
	}
	return strconv.FormatInt(r.Unanswered, 10) + " more whose answer nobody knows"
}

func (k *Kind) words() string {
	var parts []string
	for _, p := range []struct {
		n    int64
		what string
	}{{k.Open, "would open"}, {k.Vanish, "would not open"}, {k.Earlier, "earlier"}, {k.Later, "later"}, {k.Owner, "for another owner"}} {
		if p.n > 0 {
			parts = append(parts, strconv.FormatInt(p.n, 10)+" "+p.what)
		}
	}
	return strings.Join(parts, ", ")
}

// rate is the success rate in words: a range where answers are not known.
func (f *Figures) rate(unanswered int64) string {
	low, high, ok := f.SuccessRate(unanswered)
	percent := func(v float64) string { return strconv.FormatFloat(100*v, 'f', 1, 64) }
	switch {
	case !ok:
		return "-"
	case unanswered == 0:
		return percent(low) + " %"
	}
	return percent(low) + " to " + percent(high) + " %"
}

func (f *Figures) latency() string {
	if f.Samples == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f s, %.1f s of %d", f.P50, f.P95, f.Samples)
}

// Words say what differs of an application.
func (d *Difference) Words() string {
	var parts []string
	if d.Recorded != d.Simulated {
		parts = append(parts, "would stand in "+orNothing(d.Simulated)+", not in "+orNothing(d.Recorded))
	}
	if w := d.Write; w != nil {
		switch w.Change {
		case WriteSent:
			parts = append(parts, "would be written: "+w.Simulated)
		case WriteNotSent:
			parts = append(parts, "would not be written: "+w.Recorded)
		case WriteChanged:
			parts = append(parts, "would be written: "+w.Simulated+"; on record: "+w.Recorded)
		}
	}
	if o := d.Owner; o != nil {
		parts = append(parts, "the next step in "+orNothing(o.Stage)+" would be of "+orNothing(o.Simulated)+", not of "+orNothing(o.Recorded))
	}
	for _, in := range d.Incidents {
		name := in.Kind
		if in.Element != "" {
			name += " (" + in.Element + ")"
		}
		switch {
		case in.Recorded == 0:
			parts = append(parts, name+" would open")
		case in.Simulated == 0:
			parts = append(parts, name+" would not open")
		case in.sameMoment():
			parts = append(parts, name+" would be told to "+orNothing(in.SimulatedOwner)+", not to "+orNothing(in.RecordedOwner))
		default:
			parts = append(parts, name+" would open at another time")
		}
	}
	for _, o := range d.Orders {
		what := "screening order " + o.Test
		if o.Cancel {
			what = "cancellation of " + o.Test
		}
		if o.Recorded {
			parts = append(parts, what+" would not be sent")
		} else {
			parts = append(parts, what+" would be sent")
		}
	}
	return strings.Join(parts, "; ")
}
