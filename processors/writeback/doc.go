// Package writeback is the worker that makes an applicant tracking system (ATS) show what the reconciler
// decided, and says what became of it. It consumes ats.commands, calls the ATS, and produces ats.outcomes and,
// as the answer to a refresh, a snapshot on ats.changes.
//
// # What it promises
//
// At least once outward, observably once. For each application one command is in flight:
//
//  1. The command becomes state (changelog writeback.state) and its offset is committed at once. A newer
//     revision replaces an older one that waits; an older one is dropped; an empty desired tuple cancels.
//  2. The ATS is read. What it already shows is not written. What moved away from what the reconciler expected
//     is not overwritten ([Judge]).
//  3. An attempt is committed, with a number of its own, the arming. Only after that commit does the first byte
//     of a write leave. An arming is sent at most once.
//  4. The ATS is read back until the whole tuple shows or its read lag is over. A write's own answer proves
//     nothing; only the read-back confirms ([Conclude]).
//  5. The outcome and the end of the command are committed together.
//
// An answer is one of three. Not executed: the same revision may be armed again, a bounded number of times.
// Executed: read back. Unknown (a timeout, a reset, an attempt found without outcome after a restart): read
// back after the lag; what is absent is armed again only when doing it twice is the same as once, never when it
// closes the application or a candidate could notice it.
//
// # After a restart
//
// Nothing is remembered but the state. A command that waits is taken up again; one with an attempt and no
// outcome is unknown. A new owner of a partition neither reads back nor writes before it has read its commands to
// the end and one session timeout has passed, so that the previous owner's last call has ended: a write's deadline
// lies inside the time in which the group cannot have given the partition away.
//
// # Waiting
//
// Every command that is not finished has a timer in its state. The timer takes it up again after a restart, or
// when there was no room in memory, and gives it back to the reconciler as deferred when it has waited too long:
// a slow or broken tenant holds neither offsets nor memory. Tenants share nothing but the memory bound, of which
// each is sure of its part.
//
// The calls to a system stand in one line: finals first, then what a command has begun, then what another begins. After a
// refusal for the rate one call is tried at a time; calls that repeat a failed one stay below a fifth of all.
//
// What stays open: between the last read and a write that the ATS cannot compare and set, a human can move the
// candidate. The window is kept to one request and measured; it cannot be promised away.
package writeback
