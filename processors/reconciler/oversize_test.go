package reconciler

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/wire"
)

// neighbour is another application of the same partition.
func (l *lab) neighbour(app string) string {
	of := kgo.StickyKeyPartitioner(nil).ForTopic(TopicChanges)
	for n := 2; ; n++ {
		other := fmt.Sprintf("%s/%d", instance, n)
		if of.Partition(&kgo.Record{Key: []byte(other)}, partitionCount) == of.Partition(&kgo.Record{Key: []byte(app)}, partitionCount) {
			return other
		}
	}
}

// TestOversizeHoldsTheApplicationOnly sends one application more than its state may hold, in many records and in one that
// grows when it is written out. That application is held, with an incident; its neighbours in the partition go on.
func TestOversizeHoldsTheApplicationOnly(t *testing.T) {
	l := newLab(t)
	big := instance + "/1"
	small := l.neighbour(big)
	start := wire.MicrosOf(time.Now().Add(-time.Hour))
	sent := map[coord]string{}
	send := func(topic, app string, r wire.Record) {
		rec := l.Message(topic, app, r)
		l.Produce(rec)
		sent[at(rec)] = app
	}
	for i := range 8 {
		moved := &wire.AtsChange{
			ID: fmt.Sprint(i), Source: instance, Type: "application.updated", System: instance, OccurredAt: start + wire.Micros(i), ApplicationID: big,
			Stage: wire.NativeStage{ID: "1001"}, Elements: []wire.Element{{Name: fmt.Sprintf("essay_%d", i), Value: strings.Repeat("x", 200<<10)}},
		}
		send(TopicChanges, big, moved)
		neighbour := *moved
		neighbour.ApplicationID, neighbour.Elements = small, nil
		send(TopicChanges, small, &neighbour)
	}
	// As JSON each of these names takes six times the room.
	send(TopicScreening, big, &wire.ScreeningEvent{
		ID: "grows", Source: vendor, Type: "screening.completed", System: vendor, OccurredAt: start, ApplicationID: big, OrderID: "o", Attempt: 1,
		Result: &wire.ScreeningResult{Status: wire.ResultStatusComplete, ReviewerIDs: []string{strings.Repeat("\x01", 900<<10)}},
	})
	send(TopicScreening, small, &wire.ScreeningEvent{ID: "last", Source: vendor, Type: "screening.ordered", System: vendor, OccurredAt: start, ApplicationID: small, OrderID: "o", Attempt: 1})

	r := l.start(t.TempDir(), nil)
	l.Handled(Group, inputs...)
	l.Until("the incident is open", func(context.Context) (bool, error) {
		for _, rec := range l.Read(TopicConflicts) {
			var in wire.Incident
			if err := l.Schemas.DecodeLocal(rec.Value, &in); err != nil {
				return false, err
			}
			if in.Kind == wire.IncidentKindStateOversize && in.ApplicationID == big && in.Change == wire.IncidentChangeOpened {
				return true, nil
			}
		}
		return false, nil
	})
	r.stop()

	held := 0
	for _, d := range l.decisions() {
		if d.Offset < 0 {
			continue
		}
		from := coord{d.Topic, d.Partition, d.Offset}
		if sent[from] != d.ApplicationID {
			t.Errorf("%v was decided twice, or for %s", from, d.ApplicationID)
		}
		delete(sent, from)
		if d.Reason == wire.ReasonOversizeState {
			held++
			if d.ApplicationID != big || !d.Held || len(d.Commands) > 0 {
				t.Errorf("%s is oversize, held %t, with %d commands", d.ApplicationID, d.Held, len(d.Commands))
			}
		}
	}
	if len(sent) > 0 {
		t.Errorf("%d records were never decided", len(sent))
	}
	if held < 5 {
		t.Errorf("%d records found no room, want most of them", held)
	}
	for _, rec := range l.Read(TopicState) {
		if len(rec.Value) > maxStateBytes+heldRoom {
			t.Errorf("a state of %s has %d bytes", rec.Key, len(rec.Value))
		}
	}
}
