package policy

import (
	"fmt"
	"slices"
	"strings"
)

// diagram is what every picture of a machine shows.
type diagram struct {
	title, digest string
	states        []State
	rows          []row
	forbidden     []forbidden
	unauthorised  string
}

// row is a transition from one or more states, in words.
type row struct {
	name, to         string
	from             []string
	owner, sla       string
	authority, takes string // takes: the verdict, "" for none
}

// forbidden is what a move out of a state does that is no transition.
type forbidden struct {
	from string
	to   []string
	does Jump
	why  string
}

func (p *Policy) diagram() diagram {
	m := &p.Machine
	d := diagram{
		title: p.Bundle.Name + " " + p.Bundle.Version, digest: "sha256:" + p.Digest().String(), states: m.States,
		unauthorised: "a move without authority: " + string(m.Jumps.Unauthorised),
	}
	for i := range m.Transitions {
		t := &m.Transitions[i]
		r := row{name: t.Name, from: t.From, to: t.To, owner: t.Owner, sla: t.SLA.String(), authority: actors(t.Authority)}
		if t.Verdict != "" {
			r.takes = "verdict " + string(t.Verdict)
		}
		d.rows = append(d.rows, r)
	}
	for _, from := range m.stateIDs() {
		d.forbidden = append(d.forbidden, m.forbiddenFrom(from)...)
	}
	for i := range m.Jumps.Rules {
		if r := &m.Jumps.Rules[i]; r.Unauthorised != "" {
			d.unauthorised += fmt.Sprintf("; %s → %s: %s (%s)", r.From, or(r.To, "any"), r.Unauthorised, r.Why)
		}
	}
	return d
}

// forbiddenFrom groups the forbidden moves out of a state by what they do. A closed state is left by reopening alone.
func (m *Machine) forbiddenFrom(from string) []forbidden {
	var out []forbidden
	s := m.state(from)
	for _, to := range m.stateIDs() {
		target := m.state(to)
		if to == from || m.edge(from, to) != nil || s.Close != "" && target.Close == "" && slices.Contains(m.Reopen.From, from) {
			continue
		}
		does, rule := m.jump(from, to, true)
		why := ""
		if rule != nil {
			why = rule.Why
		}
		if i := slices.IndexFunc(out, func(f forbidden) bool { return f.does == does && f.why == why }); i >= 0 {
			out[i].to = append(out[i].to, to)
			continue
		}
		out = append(out, forbidden{from, []string{to}, does, why})
	}
	return out
}

func actors(list []Actor) string {
	names := make([]string, len(list))
	for i, a := range list {
		names[i] = string(a)
	}
	return strings.Join(names, " · ")
}

func (f forbidden) String() string {
	text := fmt.Sprintf("%s → %s: %s", f.from, strings.Join(f.to, ", "), f.does)
	if f.why != "" {
		text += " (" + f.why + ")"
	}
	return text
}

// words are what stands on an edge below its name.
func (r row) words() string {
	out := r.owner + ", " + r.sla + ", " + r.authority
	if r.takes != "" {
		out += ", " + r.takes
	}
	return out
}

// reopen is the row of reopening; it leads to the ATS's last stage, which is drawn as the initial state.
func (p *Policy) reopen() row {
	r := &p.Machine.Reopen
	return row{
		name: "reopen, to the ATS's last stage", from: r.From, to: p.Machine.Initial, owner: r.Owner, sla: r.SLA.String(), authority: actors(r.Authority),
	}
}

// Mermaid draws the machine as a Mermaid state diagram.
func (p *Policy) Mermaid() string {
	d := p.diagram()
	var b strings.Builder
	fmt.Fprintf(&b, "---\ntitle: %q\n---\nstateDiagram-v2\n    direction LR\n", d.title+" · "+d.digest)
	for _, s := range d.states {
		fmt.Fprintf(&b, "    state \"%s<br/>%s\" as %s\n", s.ID, mermaidText(stateWords(s)), mermaidID(s.ID))
	}
	fmt.Fprintf(&b, "    [*] --> %s\n", mermaidID(p.Machine.Initial))
	for _, r := range append(d.rows, p.reopen()) {
		for _, from := range r.from {
			fmt.Fprintf(&b, "    %s --> %s : %s<br/>%s\n", mermaidID(from), mermaidID(r.to), mermaidText(r.name), mermaidText(r.words()))
		}
	}
	for _, s := range d.states {
		if s.Close != "" {
			fmt.Fprintf(&b, "    %s --> [*]\n", mermaidID(s.ID))
		}
	}
	fmt.Fprintf(&b, "    note right of %s\n        Forbidden jumps\n", mermaidID(p.Machine.Initial))
	for _, f := range d.forbidden {
		fmt.Fprintf(&b, "        %s\n", mermaidText(f.String()))
	}
	fmt.Fprintf(&b, "        %s\n    end note\n", mermaidText(d.unauthorised))
	return b.String()
}

// stateWords says who owns a state and how long it may take.
func stateWords(s State) string {
	if s.Close != "" {
		return "closed: " + string(s.Close)
	}
	return s.Owner + ", " + s.SLA.String()
}

func mermaidID(s string) string { return strings.ReplaceAll(s, "-", "_") }

// mermaidText keeps text from being read as syntax.
func mermaidText(s string) string {
	return strings.NewReplacer("#", "#35;", ";", "#59;", ":", "#58;", "\"", "#34;", "<", "#60;", ">", "#62;", "{", "#123;", "}", "#125;", "%%", "#37;#37;").Replace(s)
}

// DOT draws the machine for Graphviz.
func (p *Policy) DOT() string {
	d := p.diagram()
	var b strings.Builder
	fmt.Fprintf(&b, "digraph policy {\n  rankdir=LR;\n  fontname=\"sans-serif\"; node [shape=box, style=rounded, fontname=\"sans-serif\"]; edge [fontname=\"sans-serif\", fontsize=10];\n")
	lines := []string{d.title, d.digest, "", "Forbidden jumps"}
	for _, f := range d.forbidden {
		lines = append(lines, f.String())
	}
	lines = append(lines, d.unauthorised)
	fmt.Fprintf(&b, "  labelloc=b; labeljust=l;\n  label=%s;\n", dotText(lines, `\l`))
	for _, s := range d.states {
		shape := ""
		if s.Close != "" {
			shape = ", peripheries=2"
		}
		fmt.Fprintf(&b, "  %s [label=%s%s];\n", dotText([]string{s.ID}, ""), dotText([]string{s.ID, stateWords(s)}, `\n`), shape)
	}
	for _, r := range append(d.rows, p.reopen()) {
		for _, from := range r.from {
			fmt.Fprintf(&b, "  %s -> %s [label=%s];\n", dotText([]string{from}, ""), dotText([]string{r.to}, ""), dotText([]string{r.name, r.words()}, `\n`))
		}
	}
	b.WriteString("}\n")
	return b.String()
}

func dotText(lines []string, end string) string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(l)
	}
	text := strings.Join(out, end)
	if end == `\l` {
		text += end
	}
	return `"` + text + `"`
}
