// Package webhook is what the webhooks of all senders have in common: what one says, why one says nothing, and the
// checks that come before anything in it is believed.
//
// A webhook is a hint. One whose body is signed, holds the record and says how new that is becomes an event of its
// own. One that is thin, undated or unsigned in its body becomes an event with time basis receipt: it never folds, and
// makes the reconciler ask the ATS, once for all hints of an application that come together.
package webhook
