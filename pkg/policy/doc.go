// Package policy reads, checks, renders, compares and signs a policy bundle, and compiles it into the form
// [hiring.Decide] uses.
//
// A bundle is a folder of YAML files. Every key is known, every value has a place (file:line:column), and every fault
// is told at once. What is not written has the default given here; there are no anchors and no null values.
//
// # bundle.yaml: what it is, who owns what, which systems there are
//
//	name, version, meaning      text
//	effective_from              RFC 3339; the earliest time it may be activated for
//	review_by                   date; past it, a warning
//	product_owner               the person who signs the waves
//	owners:     {ID: meaning}   every owner named anywhere
//	regions:    {ID: {meaning, codes: [region codes of events], calendar}}
//	calendars:  {ID: {timezone, hours: {mon: "09:00-17:00", …}, holidays: {DATE: name}}}
//	systems:    {ID: {
//	  kind: ats|none|vendor|media|operators|manual   none: teams without an ATS; manual is a spreadsheet, a mailbox, a habit
//	  meaning, owner, region, masters: [element, or "stage", "status"]
//	  instances: ["gh-*"]       the names events carry in `system`; * at the end matches any rest
//	  clock_margin: 60s         rule A1; ordered_by: time|revision
//	  holds: [media, transcripts], limits: {requests, per, concurrent}, subprocessors: [{name, region, purpose}]
//	  native: {                 ats only: what the ATS itself has
//	    stages: {NATIVE ID: label}
//	    fields: {KEY: {type: text|number|boolean|json|note, id, writable}}
//	    rejection_reasons: {NATIVE ID: label}
//	    writes: [stage, status:rejected, status:active, …, elements]
//	  }}}
//	signatures: {machine: [roles], dictionary: […], mappings: […], waves: […], bundle: […]}
//	migrations: [{from: STATE, to: STATE, why}]     for states this version no longer has
//
// # machine.yaml: the states and what may happen
//
//	initial: STATE
//	states: [{
//	  id, meaning, owner, sla, warn_before   no sla: for ever; a business time ("16 business hours") uses the calendar of the region
//	  rank: 3                   order along the way; higher is further
//	  close: rejected|hired|withdrawn        a terminal state: the status an ATS shows
//	}]
//	transitions: [{name, from: STATE or [STATES], to, owner, sla, authority: [human, integration, system, vendor, override], verdict: advance|reject}]
//	reopen: {from: [closed states], owner, sla, authority}     back to the ATS's last stage, as a new epoch
//	jumps: {
//	  forbidden: hold|record|revert, unauthorised: hold|record|revert     where no rule says otherwise
//	  rules: [{from: STATE, to: STATE, forbidden, unauthorised, why}]     no `to`: every move out of the state; an edge beats a state
//	}
//	orders: {
//	  state: STATE, answer_within: 4h         entering it asks the vendor for a screening; silence is stuck
//	  tests: [{for: {type, region}, vendor: SYSTEM, test: NAME}]          the most specific selector wins
//	}
//
// # dictionary.yaml: what each element means
//
//	elements: {NAME: {
//	  meaning, owner, type: text|number|boolean|enum|date|time|url|list|id
//	  values: [for an enum]
//	  scale: {code: any|raw|scaled|percentile|stanine|sten|t|z|iq|normal_curve|gpa, min, max, valid_for}
//	  golden: SYSTEM            one for all regions, or {REGION: SYSTEM, …, default: SYSTEM}
//	  conflict: golden|latest|highest-version|union|hold, tolerance: 0.5
//	  write_back: true          the ATS should show it
//	  mandatory: {after: screening_finished, within: 24h, types: [], regions: []}
//	  classification: public|internal|personal|restricted, retention: 730d
//	}}
//	cut_offs: [{for: {type, region}, element, advance: 70, reject: 40}]   from advance up: advance; below reject: reject; between: review
//
// # mappings/NAME.yaml: native ids and canonical meaning, one base a system
//
//	system: SYSTEM
//	stages:  {NATIVE STAGE ID: STATE}
//	write:   {STATE: NATIVE STAGE ID}
//	fields:  {ELEMENT: NATIVE FIELD KEY}
//	reject_with: NATIVE REASON ID, withdraw_reasons: [NATIVE REASON IDS], hire_with: NATIVE REASON ID
//	requisition: {region_field, regions: {OPTION OR OFFICE: REGION CODE}, type_field, types: {OPTION: TYPE}}
//
// A mapping with `for` is an addendum. It overrides the base field by field and says why:
//
//	for: {region, type, instance}     at least one; two addenda that match equally are refused
//	why, by, until: DATE
//	stages, write, fields, reject_with, withdraw_reasons      as above
//	states:   {STATE: {owner, sla, warn_before}}
//	elements: {ELEMENT: {golden, conflict, tolerance, write_back, mandatory}}
//
// # waves.yaml: who is live
//
//	default: off|observe|shadow|write
//	waves: [{name, for: {type, region, system}, percent: 1–100, mode, running: true, why}]
//	pause: [{region, by, why, since}]
//
// The first wave whose selector matches and whose percentage holds the application's hash decides; then the default.
// running: false leaves applications that were entered before the bundle took effect as they were.
//
// # The seam
//
// [Compile] turns files into a [hiring.Bundle]. An addendum becomes a variant of the whole bundle, merged once, so that
// a decision looks at one bundle only: the variant with the most specific selector that matches the application's region,
// requisition type and ATS instance, else the base. The digest is that of the bundle, the same for every variant.
//
// # Identity
//
// The canonical form is one JSON text, {"bundle.yaml": …, "dictionary.yaml": …, …}: keys sorted by bytes, no spaces, every
// scalar as the text written, without its quotes. Comments, key order, quoting and
// layout therefore do not matter; the order of a list does, as does 1.0 for 1. The digest is its SHA-256. [hiring.Digest] is the first 16 bytes.
package policy
