package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/hiring"
)

// Compile parses and checks files and turns them into the form [hiring.Decide] uses. Its error is [Faults].
func Compile(files Files) (*hiring.Bundle, error) {
	p, err := Parse(files)
	if err != nil {
		return nil, err
	}
	if faults, _ := p.Check(time.Time{}); len(faults) > 0 {
		return nil, faults
	}
	return p.compile(), nil
}

// compile turns a checked policy into the form the core uses.
func (p *Policy) compile() *hiring.Bundle {
	b := &hiring.Bundle{
		Digest: p.Digest().hiringDigest(), EffectiveAt: hiring.FromTime(p.Bundle.EffectiveFrom.Time),
		Forbidden: jumpOf(p.Machine.Jumps.Forbidden), Unauthorised: jumpOf(p.Machine.Jumps.Unauthorised), Mode: modeOf(p.Waves.Default),
	}
	for i := range p.Machine.States {
		s := &p.Machine.States[i]
		b.Stages = append(b.Stages, hiring.StageRule{
			Stage: hiring.Stage(s.ID), Rank: s.Rank, Closed: s.Close != "", Status: statusOf(s.Close), Owner: s.Owner, SLA: s.SLA.Of,
		})
	}
	for i := range p.Machine.Transitions {
		t := &p.Machine.Transitions[i]
		for _, from := range t.From {
			b.Edges = append(b.Edges, hiring.Edge{
				Name: t.Name, From: hiring.Stage(from), To: hiring.Stage(t.To), Owner: t.Owner, SLA: t.SLA.Of,
				Authority: authorityOf(t.Authority), Verdict: verdictOf(t.Verdict),
			})
		}
	}
	for _, name := range keys(p.Dictionary.Elements) {
		e := p.Dictionary.Elements[name]
		b.Elements = append(b.Elements, hiring.ElementRule{Name: name, WriteBack: e.WriteBack, Mandatory: e.Mandatory != nil})
	}
	b.System = p.systems()
	return b
}

// systems returns the inventory as the core asks it: by the name an event carries.
func (p *Policy) systems() func(string) (hiring.System, bool) {
	type entry struct {
		prefix string
		exact  bool
		system hiring.System
	}
	var entries []entry
	for _, id := range keys(p.Bundle.Systems) {
		s := p.Bundle.Systems[id]
		compiled := hiring.System{Margin: s.ClockMargin.Of, ByRevision: s.OrderedBy == "revision"}
		if base := p.base(id); base != nil {
			compiled.Mapping = mappingOf(base)
		}
		for _, pattern := range s.Instances {
			prefix, open := strings.CutSuffix(pattern, "*")
			entries = append(entries, entry{prefix, !open, compiled})
		}
	}
	slices.SortStableFunc(entries, func(a, b entry) int {
		if a.exact != b.exact {
			if a.exact {
				return -1
			}
			return 1
		}
		return len(b.prefix) - len(a.prefix)
	})
	return func(name string) (hiring.System, bool) {
		for i := range entries {
			if e := &entries[i]; e.exact && e.prefix == name || !e.exact && strings.HasPrefix(name, e.prefix) {
				return e.system, true
			}
		}
		return hiring.System{}, false
	}
}

func mappingOf(m *Mapping) *hiring.Mapping {
	out := &hiring.Mapping{Stages: map[string]hiring.Stage{}, Native: map[hiring.Stage]string{}, RejectWith: m.RejectWith}
	for native, state := range m.Stages {
		out.Stages[native] = hiring.Stage(state)
	}
	for state, native := range m.Write {
		out.Native[hiring.Stage(state)] = native
	}
	return out
}

func jumpOf(j Jump) hiring.Jump {
	switch j {
	case "record":
		return hiring.JumpRecord
	case "revert":
		return hiring.JumpRevert
	}
	return hiring.JumpHold
}

func modeOf(m Mode) hiring.Mode {
	switch m {
	case "write":
		return hiring.ModeWrite
	case "shadow":
		return hiring.ModeShadow
	case "observe":
		return hiring.ModeObserve
	}
	return hiring.ModeOff
}

func statusOf(s Status) hiring.Status {
	switch s {
	case "hired":
		return hiring.StatusHired
	case "rejected":
		return hiring.StatusRejected
	case "withdrawn":
		return hiring.StatusWithdrawn
	}
	return hiring.StatusUnspecified
}

func verdictOf(v Verdict) hiring.Verdict {
	switch v {
	case "advance":
		return hiring.VerdictAdvance
	case "reject":
		return hiring.VerdictReject
	}
	return hiring.VerdictNone
}

func authorityOf(actors []Actor) (a hiring.Authority) {
	for _, name := range actors {
		a |= hiring.ParseAuthority(string(name))
	}
	return a
}
