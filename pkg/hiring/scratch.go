package hiring

// Scratch is memory that decisions are made in. Its own Decide uses it again and again: the state of a decision, and
// whatever else belongs to it, is valid until the next one. The zero Scratch is ready. Owned by one goroutine.
type Scratch struct {
	state        State
	heads        arena[Head]
	observations arena[Observation]
	values       arena[string]
	results      arena[Result]
	marks        arena[Mark]
	steps        arena[Step]
	entries      arena[Entry]
	placed       arena[placed]
	reading      reading
}

// reading is how a bundle reads for the kind of application that was asked about last.
type reading struct {
	of                   *Bundle
	system, kind, region string
	as                   *Bundle
}

// reads is b.For(system, r), which a decision asks again and again. As bundles are immutable, it holds beyond one.
func (m *Scratch) reads(b *Bundle, system string, r *Requisition) *Bundle {
	if k := &m.reading; k.of != b || k.system != system || k.kind != r.Type || k.region != r.Region {
		*k = reading{b, system, r.Type, r.Region, b.For(system, r)}
	}
	return m.reading.as
}

// Decide is the function [Decide], in the memory of m.
func (m *Scratch) Decide(r *Rules, prior *State, e *Event, now Micros) Decision {
	m.heads.reset()
	m.observations.reset()
	m.values.reset()
	m.results.reset()
	m.marks.reset()
	m.steps.reset()
	m.entries.reset()
	m.placed.reset()
	return m.decide(r, prior, e, now)
}

// furnished is a Scratch for one decision, with room for what most events need, so that they cost one allocation or two.
type furnished struct {
	Scratch
	value [3]string
	mark  [3]Mark
	step  [2]Step
}

// arena lends parts of one array and takes them all back at once. What was lent before it had to grow stays as it is.
type arena[T any] struct{ free []T }

func (a *arena[T]) reset() { a.free = a.free[:0] }

// take returns room for so many items; what is in them is not cleared.
func (a *arena[T]) take(n int) []T {
	at := len(a.free)
	if cap(a.free)-at < n {
		a.free, at = make([]T, 0, max(2*cap(a.free), n)), 0
	}
	a.free = a.free[:at+n]
	return a.free[at : at : at+n]
}

// copied returns a copy of s with room for more items behind it.
func (a *arena[T]) copied(s []T, more int) []T { return append(a.take(len(s)+more), s...) }

// one returns a zero item.
func (a *arena[T]) one() *T {
	var zero T
	return &append(a.take(1), zero)[0]
}
