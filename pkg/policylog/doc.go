// Package policylog is the topic policy: the bundles that were published, proven by whoever uses them, and when each was
// put in force.
//
// Three kinds of records stand in the topic, by key:
//
//	<SHA-256 of the bundle, hex>    its archive, as pkg/policy packs it
//	activation/<id>                 a wire.Control of type policy.activate: the history, and the proof that an announcement on
//	                                hiring.control is meant
//	source/<SHA-256>                the files it was written in, as JSON, for the lines that explain names; nothing is judged by them
//
// Nothing in the topic is believed: an archive counts when it is the bundle its key names, the bundle holds, and everybody has
// signed it who must, by the reader's own keys file. What takes effect is decided in each partition of the reconciler, see
// docs/decisions/0011.
package policylog
