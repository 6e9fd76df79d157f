// Package greenhouse speaks the Greenhouse Harvest v3 dialect and reads Greenhouse Recruiting webhooks.
//
// # What the vendor's published pages confirm (harvestdocs.greenhouse.io, as of 2026)
//
//   - Token: POST https://auth.greenhouse.io/token, HTTP Basic client id and secret, form body with
//     grant_type=client_credentials and sub=<user id>. The answer has access_token and expires_at.
//   - Lists: GET /v3/applications?ids=… is the read of one application; there is no read by path. A cursor
//     must be the only query parameter. Next pages come from the Link header. updated_at takes an operator and a
//     time: updated_at=gte|2026-01-01T00:00:00Z.
//   - POST /v3/applications/{id}/move: from_stage_id is required and guards against a stale move; to_stage_id
//     within the job; answers 204, 401, 403, 422. A move fires the tenant's stage transition rules, which can
//     send e-mails; the call has no way to opt out.
//   - POST /v3/applications/{id}/reject: rejection_reason_id is required; it sends a message only when
//     rejection_email is given, which this client never does. Answers 204, 401, 403, 422.
//   - POST /v3/applications/{id}/unreject and /hire (opening_id needed when several are open), and
//     PATCH /v3/applications/{id} with custom_fields as an array of objects.
//   - Webhooks: Signature is "sha256 " and the hex HMAC-SHA256 of the raw body; Greenhouse-Event-ID names the
//     event; bodies have no event time and no previous stage.
//
// # What is not confirmed, and how the package copes
//
//   - The stage that move takes is the job's interview stage. Live rows are reported to carry it as
//     job_interview_stage_id, which the published schema leaves out, and stage_id is reported to be the
//     application's own stage record. The reader takes job_interview_stage_id, then current_stage.id, and
//     stage_id only when neither is there.
//   - The region of an application is that of its job's offices. It is reported that GET /v3/jobs?ids= and /v3/offices?ids=
//     take 50 ids, each with a scope of its own (harvest:jobs:list, harvest:offices:list), and that a job has office_ids.
//     Where the answer is 403 or an empty list, the region is not known.
//   - An open application is in_process in v3 and active in v1 and in webhooks: both are read as active.
//   - The members of a custom field on write are sent as id (or name_key where no id is configured) and value.
//     On read a field may be keyed by name_key, or be a list with name_key or id; its value bare, or inside an
//     object. All are read.
//   - How a failed from_stage_id guard differs from other 422 answers is not published. An error that names
//     the field from_stage_id is a stale move; with none, the application is read again and compared.
//   - The rate limit is reported as a window of 30 s, its number told only by X-RateLimit-Limit.
//   - v3 has GET /v3/notes; how one is created there is not confirmed. Notes are not written.
//   - Nothing is published on idempotency, read lag or which 5xx were executed: none is assumed.
//   - A client id is reported to have one live token at a time; give each process its own credential.
package greenhouse
