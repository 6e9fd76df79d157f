// Package gateway is the HTTP door: webhooks and CloudEvents come in, records on the input topics go out.
//
// It answers with success only after Kafka has acknowledged the record on all in-sync replicas, so that an acknowledged
// event is never lost; a sender that got no answer sends again and the dedupe net sees it. It keeps nothing: when Kafka
// is away it answers 503 with Retry-After.
//
//	POST    /webhooks/{kind}/{system}   webhooks of a configured sender, signed over the raw bytes
//	POST    /events                     CloudEvents, structured, batched or binary, with a bearer token
//	OPTIONS /events                     the handshake in which CloudEvents senders ask for permission
//
// What strangers can make it hold is bounded three times: connections, bytes of bodies, and requests that wait for Kafka,
// which only those get to whose signature verifies. A sender past its rate is told 429.
//
// A webhook that names a candidate and no application is kept on gateway.unresolved until a walk over what changed in
// the ATS tells whose it is, or its time is over; see resolver.go.
package gateway
