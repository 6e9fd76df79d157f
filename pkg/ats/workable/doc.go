// Package workable speaks the Workable API v3 and reads Workable webhooks. An application is a Workable candidate, who
// is in one job: a person who applies twice is two of them.
//
// # What the vendor's own pages confirm (workable.readme.io/reference, as of 2026)
//
//   - The API is at https://<subdomain>.workable.com/spi/v3 and takes an access token as a bearer.
//   - Endpoints: a candidate, the candidates (limit 1 to 100, updated_after, paging/next), the account's disqualification
//     reasons with the category each one has, comments, move, disqualify, revert. Every write names the member who makes it.
//   - A candidate shows the stage by its name, whether it is disqualified, whether it withdrew, and updated_at.
//
// # What recorded exchanges show (NangoHQ/integration-templates, July 2026)
//
//   - move {"member_id", "target_stage": slug}, disqualify {"member_id", "disqualify_reason_id", "withdrew"} and
//     revert {"member_id"} are answered 200 with an empty body; PUT …/tags {"tags"} with the tags, comments with an id.
//   - GET /jobs/{shortcode}/stages lists slug, name and kind. A list of candidates shows the stage by its name too, where
//     the vendor's page says slug: both are read.
//   - X-Rate-Limit-Limit is 10, and X-Rate-Limit-Reset at most ten seconds away.
//   - A list shows no tags, and a candidate no custom attributes: elements are tags, "key: value", and are not listed.
//   - A job shows location with country_code and country: they say of which region it is. Its further locations are not read.
//
// # What is not confirmed, and how the package copes
//
//   - disqualification_reason is taken to be the description of one of the account's reasons. Any other text is read as no
//     reason, as it may be somebody's words about a person.
//   - PUT …/tags replaces them all: they are read right before, and a tag that somebody adds in that moment is lost.
//   - What a move of a disqualified candidate does. The careful case is assumed: it is answered 200, moves the stage, and
//     leaves the candidate disqualified.
//   - Comments are found among the candidate's activities, by what they begin with.
//   - Nothing is compared before it is set, there is no idempotency key, and nothing is published on read lag. updated_at is
//     cut to the second: two changes in one second have one version.
//   - What a move or a disqualification sets off depends on the account's automated actions; e-mails are assumed possible.
package workable
