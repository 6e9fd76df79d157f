// Package lever speaks the Lever API v1 and reads Lever webhooks. An application is a Lever opportunity.
//
// # What the vendor's own pages confirm (hire.lever.co/developer, as of 2026)
//
//   - The API is at https://api.lever.co/v1 and takes an API key as the user of HTTP Basic. OAuth is for registered
//     partners only and is not built here.
//   - Endpoints: retrieve and list opportunities, update stage, update archived state, update tags, notes.
//   - Every account has an archive reason that means hired; a note cannot be changed.
//   - An assessment integration is told to show its progress in tags and to leave a note with the result.
//
// # What recorded exchanges show (NangoHQ/integration-templates, July 2026)
//
//   - PUT /opportunities/{id}/stage {"stage"} and /archived {"reason", "cleanInterviews"}, with perform_as in the query;
//     POST …/addTags and …/removeTags {"tags"}; POST …/notes {"value"}, answered 201.
//   - A stage written to an archived opportunity is answered 200, changes stage, and leaves archived set.
//   - Answers to writes blank name, emails and phones that a read right after shows.
//   - Times are milliseconds; contact is the person.
//   - A posting shows country, two letters, and categories.location: they say of which region an opportunity's job is.
//
// # What is not confirmed, and how the package copes
//
//   - 10 requests a second with a burst of 20, per key, and 429 without Retry-After: from secondary sources that cite the
//     vendor's page. The limits are a starting point.
//   - reason null takes an opportunity back out of the archive; updated_at_start filters the list. The read-back and the
//     next walk notice if they do not.
//   - Nothing is compared before it is set, there is no idempotency key, and nothing is published on read lag.
//   - What an archive or a stage sets off depends on the account's rules; e-mails are assumed possible.
//   - Signatures: token and triggeredAt are signed and the body is not, by the one of three descriptions that quotes the
//     vendor. Webhooks are therefore hints only. How often they are sent again is not published.
package lever
