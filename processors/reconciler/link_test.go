package reconciler

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/wire"
)

// TestLinksFollowTheCandidate: an application is linked under its candidate's key as soon as the candidate is known, and
// moves with it; what changes nothing about the candidate links nothing.
func TestLinksFollowTheCandidate(t *testing.T) {
	l := newLab(t)
	app, start := instance+"/1", wire.MicrosOf(time.Now().Add(-time.Minute))
	for i, candidate := range []string{"c1", "c1", "", "c2"} {
		l.Produce(l.Message(TopicChanges, app, &wire.AtsChange{
			ID: fmt.Sprint(i), Source: instance, Type: "application.updated", System: instance, OccurredAt: start + wire.Micros(i)*1_000_000,
			ApplicationID: app, CandidateID: candidate, Status: wire.ApplicationStatusActive, Stage: wire.NativeStage{ID: "71416"},
		}))
	}
	l.run(t.TempDir(), nil)
	got := map[string][]string{}
	l.Until("the links are written", func(context.Context) (bool, error) {
		clear(got)
		for _, rec := range l.Read(TopicCandidates) {
			var e wire.CandidateEvent
			if err := l.Schemas.DecodeLocal(rec.Value, &e); err != nil {
				return false, err
			}
			if string(rec.Key) != e.Envelope().Subject || !slices.Equal(e.ApplicationIDs, []string{app}) || e.ID == "" || e.OccurredAt < start {
				t.Errorf("keyed %q: %+v", rec.Key, e)
			}
			got[e.CandidateID] = append(got[e.CandidateID], e.Type)
		}
		return len(got["c2"]) > 0, nil
	})
	if !slices.Equal(got["c1"], []string{"candidate.linked", "candidate.unlinked"}) || !slices.Equal(got["c2"], []string{"candidate.linked"}) || len(got) != 2 {
		t.Errorf("links %v", got)
	}
}
