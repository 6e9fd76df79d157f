package gateway_test

import (
	"net/http"
	"testing"

	"github.com/concord-ats/concord/pkg/ats/smartrecruiters"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// A candidate who is deleted is on no list of what changed: the webhook goes to whoever knows the candidate's applications.
func TestADeletedCandidateIsNotLookedUp(t *testing.T) {
	t.Parallel()
	d := openResolving(t, &estate{}, nil)
	deleted := signed("smartrecruiters", `{"id":"c1"}`, "ev-1", current, now)
	deleted.header.Set(smartrecruiters.EventNameHeader, "candidate.deleted")
	deleted.header.Set(smartrecruiters.SignatureHeader, smartrecruiters.Sign(deleted.header, []byte(deleted.body), current))
	for _, c := range []struct {
		r      request
		status int
		key    string
	}{
		{deleted, http.StatusAccepted, "sr-main/c1"},
		{signed("ashby", `{"action":"candidateDelete","data":{"candidate":{"id":"c2"}}}`, "", current, now), http.StatusOK, "as-main/c2"},
		{signed("greenhouse", `{"action":"delete_candidate","payload":{"person":{"id":3}}}`, "ev-3", current, now), http.StatusOK, "gh-main/3"},
	} {
		if got := d.sendAs(c.r); got.status != c.status {
			t.Fatalf("%s: %d %s", c.key, got.status, got.text)
		}
	}
	want := map[string]bool{"sr-main/c1": true, "as-main/c2": true, "gh-main/3": true}
	for _, rec := range d.stored() {
		var e wire.CandidateEvent
		if rec.Topic != topics.CandidateEvents || d.schemas.DecodeLocal(rec.Value, &e) != nil {
			t.Fatalf("a record on %s", rec.Topic)
		}
		if !want[string(rec.Key)] || e.Type != "candidate.deleted" || e.System+"/"+e.CandidateID != string(rec.Key) || e.ID == "" {
			t.Errorf("%s: %+v", rec.Key, e)
		}
		delete(want, string(rec.Key))
	}
	if len(want) != 0 {
		t.Errorf("nothing of %v", want)
	}
}
