// Package generic speaks to an applicant tracking system that somebody runs for themselves, as a YAML file describes it: its
// addresses, where its answers show what, how it admits callers, what its status codes mean, how it compares before it sets,
// how it pages and how it signs webhooks. There is no code for one ATS here, and no vendor's name.
//
// # A description
//
// [Description] is the format and example.yaml, which `concord ats init` writes, a whole one: it speaks the simulator's
// dialect inhouse. docs/adding-an-ats.md is the page for whoever writes one. [Parse] tells everything that is wrong with one
// at once, each with its place. Addresses and secrets are no part of it: it is safe to show, and one holds for many
// instances.
//
// # How it is read
//
//   - A pointer is a JSON pointer (RFC 6901) into an answer or a webhook. What it does not find is not there; ids and texts
//     are taken from strings, numbers and booleans alike, exactly as written.
//   - A template is a text with {placeholders}. In an address they are escaped; in a body one that stands alone is a JSON
//     value, {stage:number} a number. A parameter of a query whose placeholder is empty is left out.
//   - A place is a pointer into a body, or `header NAME`.
//
// # What it takes care of
//
//   - Every call goes to the configured host, every body is bounded, a write goes at most once (package ats).
//   - A record must have the id that was asked for; an answer in which the described members are of another shape is of no
//     use, and never read as an empty application.
//   - An ATS that compares versions is read right before each write. What it shows has to be what the caller expects, and
//     the write carries the version of that very read: whatever changes in between makes it fail.
//   - An answer is classed by the first of the description's rules that fits it, else by what HTTP says of its status. A
//     rule about answers 2xx makes a failure of what HTTP calls success.
package generic
