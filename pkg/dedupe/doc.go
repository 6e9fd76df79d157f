// Package dedupe is the wide, cheap net in front of the state's own duplicate ring:
// it remembers in Redis which record first carried an event identity.
//
// # Contract
//
// A key is an event identity; its value is its owner, the coordinates of the record
// that claimed it first. One poll is one pipeline of
//
//	SET key owner NX GET PX ttl
//
// and each answer is one of four:
//
//	Fresh    nobody owned it; now this record does          → process
//	Mine     this very record owns it: it was delivered
//	         before and its work was aborted or lost        → process
//	Other    another record owns it: a duplicate candidate  → the state decides
//	Unknown  Redis gave no usable answer                    → process
//
// The order in which a caller marks, works and crashes does not matter: after a
// crash the same record comes back with the same coordinates and is Mine. A net that
// stores a bare flag and drops what is flagged loses exactly that record.
//
// Nothing here may change whether an event applies. A Redis that is down, empty,
// failed over, full or evicting makes answers Fresh or Unknown: more work for the
// state, never a loss. Claim therefore has no error.
//
// Keys hold a digest and values hold coordinates: no identity in clear text, no
// personal data. One pipeline goes to one server; a cluster would split it by slot.
package dedupe
