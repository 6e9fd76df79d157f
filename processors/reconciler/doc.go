// Package reconciler runs the pure core on Kafka: it reads screening.events, ats.changes, hiring.control and
// ats.outcomes, folds each record into the state of its application and writes, in one transaction with the
// input offsets, the state (hiring.state), the evidence (hiring.decisions), incidents (hiring.conflicts) and
// commands for the write-back worker (ats.commands).
//
// Everything that decides is in pkg/hiring; this package turns records into events and decisions into records.
package reconciler
