// Package world makes a population of applications, each with a true story, and the deliveries that tell it
// badly: doubled, out of order, late, malformed. It is what the demo feeds to Concord, and what the audit holds
// Concord to.
//
// The world knows what is true because it decides it: what people did in the ATS and when, what vendors found,
// and what the ATS must show in the end. It never asks the engine. Every story is one whose end is certain by
// construction: events of different clocks that matter to each other are far apart, or the story says that
// within a declared clock margin either end is right. Of this module it imports the wire types only; the
// machine's edges are written down here a second time, by hand.
//
// A world is a pure function of its Config: the same seed and start give the same bytes.
//
// # Waves
//
// Deliveries come in waves. Within a wave they are interleaved over all applications; before the next wave
// begins, everything of the one before must have settled. A later wave holds what people do after they have
// seen the ATS change, and what arrives hours late.
//
// # The world file
//
// WriteFile writes the world as JSON lines before anything is sent: one "world" line, then "edge", "stage",
// "reason", "application" and "delivery" lines. That file, the topics and the simulator's journal are all an auditor needs.
package world
