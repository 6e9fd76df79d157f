// Package checkr reads the webhooks of Checkr, a vendor of background checks: reports and invitations become screening
// events.
//
// What the vendor's pages confirm (docs.checkr.com, 2026): the envelope (id, type, created_at, data.object), that the
// object comes whole only with include_object on, the report statuses pending, suspended, paused, complete, canceled and
// dispute with result clear or consider, X-Checkr-Signature, and that any 2xx is success.
//
// Not confirmed, and how the package copes: the signature is reported as the hex HMAC-SHA256 of the raw body under the
// account's API key; tags are members of reports and invitations in the API's reference.
//
// Checkr knows nothing of applications. Whoever orders a check puts the application id, <ats instance>/<native id>, into
// the tags of the invitation or report, and may add order:<screening order id>.
package checkr
