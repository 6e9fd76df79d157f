// Package ashby speaks the Ashby API and reads Ashby webhooks.
//
// # What the vendor's own pages confirm (developers.ashbyhq.com, as of November 2026)
//
//   - Every endpoint is a POST with a JSON body; the API key is the user of HTTP Basic. Failures are told as
//     success: false under HTTP 200.
//   - application.changeStage takes applicationId, interviewStageId and, for a stage of type Archived, archiveReasonId.
//     The candidate is sent an e-mail only when archiveEmail is given, which this client never does. Where it answers
//     invalid_input or opening_in_use for a Hired stage, the stage is not changed (changelog of 2026-11-09).
//   - customField.setValues sets several fields of an application at once; candidate.createNote and candidate.listNotes
//     are about the candidate, not the application.
//   - Lists: limit, cursor, moreDataAvailable; the last page has a syncToken, with which the next walk lists only what
//     changed since.
//   - Webhooks: Ashby-Signature is "sha256=" and the hex HMAC-SHA256 of the body; 10 attempts, (2^n - 1) × 10 s apart;
//     401, 403, 404, 405 and 410 end them. A ping at set-up has to be answered.
//
// # What recorded exchanges show (NangoHQ/integration-templates, May 2026)
//
//   - The application: status, currentInterviewStage {id, title, type, interviewPlanId}, archiveReason, job, candidate,
//     customFields [{id, title, value}], updatedAt. Recorded webhooks show the job with its locationId; application.info is
//     taken to show it too: where it does not, the region is not known.
//   - x-ratelimit-limit: 1000 stands in the recorded headers, perhaps of the proxy that recorded them. No number is
//     published: none is declared.
//
// # What is not confirmed, and how the package copes
//
//   - candidateMerge is taken to hold deletedCandidate {id} and mergedCandidate {id}, who is left: two public integrations
//     read it so (simstudioai/sim among them); the vendor's page of it could not be read. Without both it is no merge but a
//     hint, and each application is read.
//   - Which stage archives and which hires belongs to the job's interview plan: they are looked up by interviewStage.list
//     and kept.
//   - A move of an archived application is taken to open it again. So that no human's rejection is taken back, a move
//     reads the application right before and is not sent to one that is closed; a moment stays open.
//   - While an application is closed its native stage is the one that closed it, which says nothing of where it stood:
//     it is read as having no stage. Reopening therefore needs a stage to go to.
//   - Nothing is compared before it is set, there is no idempotency key, and nothing is published on read lag.
//   - A list cannot be asked for what changed since a time: without a sync token the walk is a full one, and what is
//     older is left out here.
package ashby
