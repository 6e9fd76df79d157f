// Package kpi measures how well Concord works, from the log alone: it reads hiring.decisions, ats.outcomes and
// hiring.conflicts and keeps event-time windows per ATS instance, requisition type and region.
//
//	kpi.writeback   outcomes by kind and the latency from screening finished to ATS confirmed
//	kpi.conflicts   incidents opened, resolved and retracted, by kind and owner
//	kpi.quality     decisions by reason, screenings finished, hires, late records
//
// Beside the windows there is one record per topic and dimension with window_start 0: how things stand now
// (applications whose screening is finished while the ATS shows an earlier stage, the oldest of them, open
// incidents by kind, stuck ones by owner).
//
// # Arithmetic
//
// A record of a window carries counts, a DDSketch of latencies in seconds and a revision. A window is revised as
// long as data for it arrives, up to the horizon behind the newest; later data is counted as late in the newest
// window. Windows of several partitions merge by adding counts and merging sketches, save counts whose name ends
// in _oldest_at, which merge by the smallest.
//
//	success rate = confirmed / (confirmed + blocked + refused + failed)
//	latency      = finished_at of the confirmed outcome - screening_finished_at of its cause; below zero: 0, counted as skewed
//
// Of an instance without an ATS the decision is the outcome: a verdict that moves an application counts as confirmed once, at
// the decision's now, and its latency runs from screening_finished_at to then.
//
// Incidents are counted by distinct id: opened counts an id once, retracted takes it back.
//
// The windows live in the exactly-once runtime's state (kpi.state), so every figure equals its recomputation from
// the log.
package kpi
