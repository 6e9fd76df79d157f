package reconciler

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policylog"
	"github.com/concord-ats/concord/pkg/wire"
)

// What a sender calls an application is never the record that says which policy judges a partition: folded, it would take its
// place.
func TestNoEventIsOfAPartitionsPolicy(t *testing.T) {
	t.Parallel()
	schemas, err := wire.Open(wire.Config{})
	if err != nil {
		t.Fatal(err)
	}
	r := newReader(schemas, &hiring.Rules{Bounds: hiring.DefaultBounds()}, partitionCount)
	now := wire.MicrosOf(time.Now())
	for _, app := range []string{instance + "/1", policylog.PartitionKey(0), policylog.PartitionKey(1), hiring.PolicyPrefix + "x"} {
		system, _, _ := strings.Cut(app, "/")
		for topic, w := range map[string]wire.Record{
			TopicScreening: &wire.ScreeningEvent{ID: "e", Source: vendor, Type: "screening.invited", System: vendor, OccurredAt: now, ApplicationID: app, OrderID: "o", Attempt: 1},
			TopicChanges:   &wire.AtsChange{ID: "e", Source: system, Type: "application.updated", System: system, OccurredAt: now, ApplicationID: app},
			TopicControl:   &wire.Control{ID: "e", Source: "concord/operators", Type: "control.hold", OccurredAt: now, ApplicationID: app},
			TopicOutcomes:  &wire.Outcome{ID: "e", ApplicationID: app, System: system, CommandID: "c", Revision: 1, Outcome: wire.OutcomeKindConfirmed, FinishedAt: now},
		} {
			rec := &kgo.Record{Topic: topic, Key: []byte(app), Value: schemas.Append(nil, w), Timestamp: time.Now()}
			rec.Partition = int32(r.keyed.Partition(rec, partitionCount))
			var e hiring.Event
			_, err := r.read(t.Context(), rec, &e)
			switch {
			case !hiring.Ours(app) && err != nil:
				t.Errorf("%s of %s: %v", topic, app, err)
			case hiring.Ours(app) && (err == nil || !strings.Contains(err.Error(), "that of a partition's policy")):
				t.Errorf("%s of %s is read: %v", topic, app, err)
			}
		}
	}
}
