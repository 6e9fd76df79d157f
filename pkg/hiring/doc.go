// Package hiring is the pure core of Concord: the state of one application and the one function that changes it.
//
//	Decide(rules, state, event, now) -> Decision{State, Reason, Incidents, Commands}
//
// The package does no I/O, reads no clock, starts no goroutine and never ranges over a map to choose. Every
// result is named by a closed [Reason]. The same inputs give the same outputs, byte for byte, so that a
// recorded history can be replayed.
//
// # Order of arrival does not matter
//
// A state holds a base (the fold of everything old), a tail (recent events in one total order) and a head
// (the fold of base and tail). An event that comes in order is one step on the head; a late one is inserted
// where it belongs and the tail is folded again. Inside a system its own order rules; between systems events
// merge by effective time, see order.go.
//
// # Ownership
//
// A *State is immutable once Decide has returned it. Decide never changes the state it is given; the new
// state may share memory with it. A state has at most one live successor: Decide may be called again with an
// old state (after an aborted transaction), provided that the successor made before is no longer used. For two futures
// side by side see [State.Fork].
package hiring

//go:generate go run ./scenariodoc
