// Package atssim is an ATS that misbehaves: an HTTP server that speaks one vendor's dialect, with its own store,
// its own signed webhooks, faults by seed, and a journal of every request and every real change that an outside
// program can read. It is what the demo, the tests and the benchmarks write to; nothing in it knows of Concord, so
// that it tests any integration.
//
// A Server is one tenant of one dialect and an http.Handler; Run delivers its webhooks and scheduled actions, and
// Tenants serves several side by side. Given one seed, each application meets the same faults at its n-th request,
// however requests of different applications interleave. Memory is bounded: the journal, the undelivered webhooks and
// the store have caps, and what a cap cost is reported.
//
// The store knows things by number; a dialect writes the number as its vendor writes ids. What the control API takes
// and shows are the numbers.
//
// # Control over HTTP
//
//	GET  /_sim/applications            the whole store, streamed as a JSON array (?format=jsonl for lines)
//	POST /_sim/applications            add or replace applications: a JSON array, or JSON lines
//	GET  /_sim/applications/{id}       one application, as it truly is, by its number or the dialect's id
//	POST /_sim/actions                 what a human or a robot does: one Action or an array of them
//	GET  /_sim/journal?since=N         entries after N as JSON lines; ?type= and ?application= select
//	GET  /_sim/faults, POST            rates, counts fired, the revoked and denied switches
//	GET  /_sim/webhooks                what became of the outgoing webhooks
//	GET  /_sim/stats                   sizes, caps, truncation
//
// # A dialect
//
// A Dialect is one group of files: routes and rows (greenhouse.go), credentials (oauth.go for those with tokens) and
// webhooks (greenhouse_hook.go). A route hands its request to Server.api, and a write in it to Server.write, which do
// all that is the same for every vendor. Add it to Dialects.
package atssim
