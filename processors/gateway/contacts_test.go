package gateway_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/concord-ats/concord/pkg/contact"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/gateway"
)

// Contacts that a webhook shows become keyed hashes under the candidate's key, and are nowhere in the clear; without a key
// nothing of them is kept.
func TestContactsAreHashed(t *testing.T) {
	t.Parallel()
	const key = contact.Key("a key")
	for _, with := range []contact.Key{"", key} {
		d := open(t, func(c *gateway.Config) { c.Contacts = with })
		body := published(t, "new_candidate_application.json")
		if r := d.webhook(body, "1"); r.status != http.StatusOK {
			t.Fatalf("%d %s", r.status, r.text)
		}
		var seen []wire.CandidateEvent
		for _, rec := range d.stored() {
			if strings.Contains(string(rec.Value), "@") && rec.Topic == topics.CandidateEvents {
				t.Error("an address is kept in the clear")
			}
			if rec.Topic != topics.CandidateEvents {
				continue
			}
			var e wire.CandidateEvent
			if err := d.schemas.DecodeLocal(rec.Value, &e); err != nil {
				t.Fatal(err)
			}
			if string(rec.Key) != "gh-main/"+e.CandidateID {
				t.Errorf("keyed %q: %+v", rec.Key, e)
			}
			seen = append(seen, e)
		}
		if with == "" {
			if len(seen) > 0 {
				t.Errorf("without a key: %+v", seen)
			}
			continue
		}
		want := key.Tokens("gh-main", "", []contact.Contact{contact.New(contact.Email, "person@work.com")})
		if len(seen) != 1 || seen[0].Type != "candidate.seen" || !slices.Contains(seen[0].Contacts, want[0]) {
			t.Errorf("seen %+v, want %q among the contacts", seen, want)
		}
	}
}
