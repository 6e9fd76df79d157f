// Package identity keeps what is known of candidates rather than of applications (rule E2): who was merged into whom,
// who was anonymised, which profiles are probably one person, and which applications each candidate has. It reads
// candidate.events, and tells each application what concerns it through hiring.control.
//
//	candidate.linked, .unlinked   from the reconciler, exactly as an application's candidate changes
//	candidate.merged              control.merge to each application; what is linked later gets it too
//	candidate.anonymized          control.anonymize to each application, and every contact is forgotten
//	candidate.duplicate           control.duplicate to the applications of both candidates
//	candidate.deleted             a hint on ats.changes for each application: a deletion may be a merge, so the ATS is read
//	candidate.seen                the contacts a profile has, as keyed hashes
//
// # Probable duplicates
//
// A contact is known here by its keyed hash alone (see package contact). Each is a key of its own on candidate.events, so
// that one partition knows all profiles that share it: contact.seen goes there, and candidate.matched comes back to each
// of two profiles. Two profiles are reported as probable duplicates once they share contacts of two kinds, an e-mail
// address and a phone number. One kind alone is never enough: families and agencies share an address. A contact that
// eight profiles have is a desk's: it matches no further one, until one of them has it no more. With contact.gone comes
// candidate.unmatched, and what was told on that contact is taken back (control.release).
//
// Nothing is ever joined here. A merge is what an ATS says, a duplicate is an incident for a person.
//
// # Splits
//
// No ATS says that a merge was taken back. It shows in that the ATS goes on naming the candidate who is gone, later than
// the merge: an application is sent after the survivor three times, then the merge stands no more, and what comes to the
// candidate from then on is the candidate's own.
//
// # Order
//
// Events of one candidate may come late, twice and in any order. A standing mark is the newest of its kind by time and
// id, links follow the reconciler's order, and a control has an identity that follows from its cause, so that whoever
// sends it again sends the same.
package identity
