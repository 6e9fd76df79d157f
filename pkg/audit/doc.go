// Package audit checks a run of Concord from outside. It reads what the run left behind: every topic with a plain
// read-committed consumer, the journal and the store of the simulated ATS over HTTP, the committed offsets of the
// groups, and the world file that was written before anything was sent.
//
// It cannot share the engine's mistakes: of this module it imports the wire types only, it knows nothing of how the
// engine orders or folds, and the machine's edges come from the world file, where they were written out by hand.
//
// What it checks, by the invariant a finding names:
//
//	I1   every delivery accepted on an input topic ended exactly once: by a decision or as a dead letter with the
//	     cause the world expects; no event was counted as a duplicate of nothing
//	I2   each arming of a revision changed the ATS at most once in each way, never before its attempt was
//	     committed; a closing effect happened once
//	I3   the canonical state and what the ATS shows are what the world says
//	I4   every step taken is an edge of the machine or a recorded exception, and paths have no gap
//	I5   versions of a state grow by one, and each decision starts where the one before ended
//	I6   outputs are visible exactly where offsets are committed; the last state is the last decision's
//	I8   nothing is left undone: no lag, no command without an outcome
//	I11  every KPI equals its recomputation
//	confirmed  what was reported as confirmed had shown in the ATS
//	tame       the run was hard enough to prove anything
//
// The work is done topic by topic in one pass each; memory grows with the number of deliveries by a few dozen bytes
// and with the number of applications.
package audit
