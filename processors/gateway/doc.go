// Package gateway is the HTTP door: ATS webhooks and CloudEvents come in, records on the input topics go out.
//
// It answers with success only after Kafka has acknowledged the record on all in-sync replicas, so that an
// acknowledged event is never lost; a sender that got no answer sends again and the dedupe net sees it. It keeps
// nothing: when Kafka is away it answers 503 with Retry-After, and what waits is bounded.
//
//	POST /webhooks/greenhouse/{system}   Greenhouse webhooks, signed over the raw bytes
//	POST /events                         CloudEvents, structured, batched or binary, with a bearer token
package gateway
