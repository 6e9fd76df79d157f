// Package poller finds what webhooks did not tell. It asks each ATS what has changed since it last asked, and publishes every
// answer as a snapshot on ats.changes. The reconciler recognises what it knows by system, version and content, so a walk
// that finds nothing new adds nothing; what differs is drift, and is counted there.
//
// # Order and crashes
//
// A page is published, acknowledged by all replicas, and only then is the cursor behind it, on ats.cursors. A crash in between
// reads the page again. A walk waits for Settle between reading a page and publishing it: what a webhook still under way
// would tell is not drift. Neither is what one has told that waits for its read, which the reconciler knows: a walk may be
// sooner than the reads an ATS allows. The snapshot stands at the ATS's own version, so what a webhook has told meanwhile is newer.
//
// # Who polls
//
// The group of all pollers shares the partitions of ats.cursors, and an ATS belongs to the owner of its cursor's partition. Nothing is
// ever committed: an owner reads its partition from the start, as it is compacted. One that lost its partition without
// knowing repeats what another does too, which changes nothing.
//
// # Budget
//
// Each request first asks the rate that write-back shares, and a part of it of its own, so that writes keep the rest.
package poller
