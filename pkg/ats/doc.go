// Package ats is what the write-back worker knows of an applicant tracking system (ATS): how to read one
// application whole, how to write the difference between what it shows and what it should show, how to
// list what changed, and what an answer proves. One package below this one speaks one vendor's dialect.
//
// A write's own answer never confirms it: a 2xx can change nothing, a timeout can have landed. Callers
// read, Apply, and read back until the whole tuple shows (see Shows) or the capability's read lag is over.
// They act by Capabilities and by an error's Class; nobody asks which vendor it is.
//
// # To write an adapter
//
//   - client.go: a Config with Validate, New, and a Client that implements [Client]. [Mapping] is what one
//     tenant calls things; [Mapping.Plan] turns a difference into steps in the one order that is safe.
//   - [HTTP] sends every request: at most once, to the configured hosts only, with a class for each failure.
//     [Tokens] keeps an OAuth2 token for all callers.
//   - webhook.go and signature.go: what the gateway needs to take the vendor's webhooks.
//   - conformance_test.go: package atstest runs every case against the dialect of package atssim.
//
// docs/adding-an-ats.md is the page for it.
package ats
