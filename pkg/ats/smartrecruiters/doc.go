// Package smartrecruiters speaks the SmartRecruiters API and reads SmartRecruiters webhooks. An application is a candidate in a
// job: its native id is the two ids with an underscore between them, see [NativeID].
//
// # What the vendor's own pages confirm (developers.smartrecruiters.com, as of 2026)
//
//   - The API is at https://api.smartrecruiters.com. It takes an API key in X-SmartToken, or a bearer token of the OAuth2
//     client credentials grant at /identity/oauth/token.
//   - An application is identified by a job id and a candidate id together.
//   - PUT /candidates/{id}/jobs/{jobId}/status {status, subStatus, reason} is answered 204; the reason is one of
//     /configuration/rejection-reasons or of /configuration/withdrawal-reasons.
//   - PUT /candidates/{id}/jobs/{jobId}/properties [{id, value}] sets several properties and is answered 204; an entry
//     without a value resets it.
//   - GET /candidates has limit (1 to 100), pageId and nextPageId, updatedAfter, and lists who has an application.
//   - POST /messages/shares tags a candidate as #[CANDIDATE:id]; GET /messages lists the messages about a candidate, to a
//     credential whose role is administrator.
//   - 10 requests a second and 8 at once for a credential, one at once for GET /candidates; 429 above that, with no word of
//     how long to wait. 403 is a missing right, 404 is what does not exist.
//   - Webhooks: see [Webhooks]. 202 within 5 seconds; ten retries after 1, 3, 10, 45, 120 … 1440 minutes.
//
// # What clients made from the vendor's schema show
//
//   - GET /candidates/{id} has updatedOn and, for the primary assignment and each secondary one, job, status, subStatus,
//     reasonOfRejection and reasonOfWithdrawal. A list has the status of the primary assignment alone, and no reason.
//   - Statuses: LEAD, NEW, IN_REVIEW, INTERVIEW, OFFERED, HIRED, REJECTED, WITHDRAWN, TRANSFERRED; IN_REVIEW, INTERVIEW and
//     OFFERED can have sub-statuses, which have names and no ids.
//   - A property is shown with id, label, type and value.
//   - The times that are recorded end in whole seconds.
//   - A job, GET /jobs/{id}, shows location with countryCode and country: they say of which region it is. Where a job shows
//     none, the region is not known.
//
// # What is not confirmed, and how the package copes
//
//   - updatedOn is the candidate's. It is taken to move with every change of an application; it moves with those of the
//     candidate's other applications too, which costs a second look. Two changes in one second have one version.
//   - A status written to a closed application is taken to open it again. So that no human's rejection is taken back, the
//     application is read right before each move and close, and not written when it is closed; a moment stays open.
//   - A closed application shows no stage: it is read as having none. Reopening therefore needs a stage to go to.
//   - TRANSFERRED says that the candidate is in another job now: it is read as saying nothing.
//   - How a message's tag is shown when it is read is not said: it stands on a line of its own, the last one, which is left
//     out of what is read.
//   - Nothing is compared before it is set, there is no idempotency key, and nothing is published on read lag or on how far
//     the list is behind.
//   - What a status sets off depends on the account; e-mails are assumed possible.
package smartrecruiters
