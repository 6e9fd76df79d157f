package policy

import (
	"fmt"
	"slices"
)

// Place is where a policy says something, for people: "machine.yaml:19 (transition pass)". Of an archive, which is one line,
// it names no line.
type Place struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
	What string `json:"what"`
}

// String is the file, the line and what stands there; "" for the zero place.
func (p Place) String() string {
	switch {
	case p.File == "":
		return ""
	case p.Line > 0:
		return fmt.Sprintf("%s:%d (%s)", p.File, p.Line, p.What)
	}
	return p.File + " (" + p.What + ")"
}

// place returns the place of a path.
func (p *Policy) place(file, path, what string) Place {
	at := p.fault(file, path, "", "", "")
	if p.docs[file].OneLine() {
		return Place{file, 0, what}
	}
	return Place{file, at.Line, what}
}

// TransitionPlace is where the transition between two states stands; a reopening has a place of its own.
func (p *Policy) TransitionPlace(name, from, to string) Place {
	for i := range p.Machine.Transitions {
		if t := &p.Machine.Transitions[i]; t.Name == name && t.To == to && slices.Contains(t.From, from) {
			return p.place(MachineFile, fmt.Sprintf("transitions[%d]", i), "transition "+name)
		}
	}
	return Place{}
}

// ReopenPlace is where reopening stands.
func (p *Policy) ReopenPlace() Place { return p.place(MachineFile, "reopen", "reopen") }

// StatePlace is where a state stands: an addendum to it, where one holds for the application.
func (p *Policy) StatePlace(state, instance, region, kind string) Place {
	if file, path := p.addendumTo(instance, region, kind, func(m *Mapping) (string, bool) {
		_, ok := m.States[state]
		return "states." + state, ok
	}); file != "" {
		return p.place(file, path, "state "+state)
	}
	for i := range p.Machine.States {
		if p.Machine.States[i].ID == state {
			return p.place(MachineFile, fmt.Sprintf("states[%d]", i), "state "+state)
		}
	}
	return Place{}
}

// ElementPlace is where an element stands: an addendum to it, where one holds for the application.
func (p *Policy) ElementPlace(name, instance, region, kind string) Place {
	if file, path := p.addendumTo(instance, region, kind, func(m *Mapping) (string, bool) {
		_, ok := m.Elements[name]
		return "elements." + name, ok
	}); file != "" {
		return p.place(file, path, "element "+name)
	}
	if p.Dictionary.Elements[name] == nil {
		return Place{}
	}
	return p.place(DictionaryFile, "elements."+name, "element "+name)
}

// addendumTo returns the narrowest addendum that says something for an application of an ATS instance.
func (p *Policy) addendumTo(instance, region, kind string, says func(*Mapping) (path string, ok bool)) (file, path string) {
	system, _ := p.Bundle.system(instance)
	best := 4
	for _, m := range p.addenda() {
		s := *m.For
		if at, ok := says(m); ok && m.System == system && s.width() < best && p.selectsOne(s, instance, region, kind) {
			file, path, best = m.file, at, s.width()
		}
	}
	return file, path
}

// selectsOne reports whether a selector picks an application, by the codes its events carry.
func (p *Policy) selectsOne(s Selector, instance, region, kind string) bool {
	for _, c := range p.selects(s) {
		if (c.Region == "" || c.Region == region) && (c.Type == "" || c.Type == kind) && (c.System == "" || (pattern{prefix: c.System}).matches(instance)) {
			return true
		}
	}
	return false
}

// JumpPlace is where the policy says what a move does that is no transition, or, unauthorised, one that its mover may not
// make.
func (p *Policy) JumpPlace(from, to string, unauthorised bool) Place {
	does, rule := p.Machine.jump(from, to, !unauthorised)
	for i := range p.Machine.Jumps.Rules {
		if rule == &p.Machine.Jumps.Rules[i] {
			return p.place(MachineFile, fmt.Sprintf("jumps.rules[%d]", i), string(does))
		}
	}
	if unauthorised {
		return p.place(MachineFile, "jumps.unauthorised", "unauthorised: "+string(does))
	}
	return p.place(MachineFile, "jumps.forbidden", "forbidden: "+string(does))
}

// WavePlace is where a wave stands; "" is what holds for applications that no wave selects.
func (p *Policy) WavePlace(name string) Place {
	for i := range p.Waves.Waves {
		if p.Waves.Waves[i].Name == name {
			return p.place(WavesFile, fmt.Sprintf("waves[%d]", i), "wave "+name)
		}
	}
	return p.place(WavesFile, "default", "default "+string(p.Waves.Default))
}

// PausePlace is where the pause of a region code stands.
func (p *Policy) PausePlace(code string) Place {
	for i, pause := range p.Waves.Pause {
		if r := p.Bundle.Regions[pause.Region]; r != nil && slices.Contains(r.Codes, code) {
			return p.place(WavesFile, fmt.Sprintf("pause[%d]", i), "pause of region "+pause.Region)
		}
	}
	return Place{}
}

// StageLabel is what an ATS calls one of its stages, by the inventory; "" where it does not say.
func (p *Policy) StageLabel(instance, native string) string {
	if _, s := p.Bundle.system(instance); s != nil && s.Native != nil {
		return s.Native.Stages[native]
	}
	return ""
}

// Shown reports whether the value of an element may be shown to whoever reads an application: those that are personal or
// restricted, and those the dictionary does not know, may not.
func (p *Policy) Shown(element string) bool {
	e := p.Dictionary.Elements[element]
	return e != nil && (e.Classification == "public" || e.Classification == "internal")
}

// Meaning is what it means to be in a state, as the policy says it.
func (p *Policy) Meaning(state string) string {
	if s := p.Machine.state(state); s != nil {
		return s.Meaning
	}
	return ""
}
