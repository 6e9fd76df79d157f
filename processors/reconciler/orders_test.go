package reconciler

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/wire"
)

// TestOrdersReachTheVendor: entering the screening stage asks for one screening on screening.orders, leaving it before
// there is a result cancels the same one, and the decisions name it.
func TestOrdersReachTheVendor(t *testing.T) {
	l := newLab(t)
	l.rules.Bounds.Grace = 10 * time.Millisecond
	l.rules.Bundles[0].Orders = []hiring.OrderRule{{Stage: hiring.StageScreening, Vendor: vendor, Test: "coding", Within: time.Hour}}
	app, start := instance+"/1", wire.MicrosOf(time.Now().Add(-time.Minute))
	move := func(id, stage string, at wire.Micros) {
		l.Produce(l.Message(TopicChanges, app, &wire.AtsChange{
			ID: id, Source: instance, Type: "application.stage_changed", System: instance, OccurredAt: at, ApplicationID: app, Status: wire.ApplicationStatusActive,
			Stage: wire.NativeStage{ID: stage}, Requisition: wire.Requisition{ID: "r", Type: "engineering"},
		}))
	}
	orders := func(n int) (out []wire.ScreeningOrder) {
		l.Until("the vendor is asked", func(context.Context) (bool, error) {
			recs := l.Read(TopicOrders)
			out = make([]wire.ScreeningOrder, len(recs))
			for i, rec := range recs {
				if string(rec.Key) != app {
					t.Errorf("keyed %q, want %q", rec.Key, app)
				}
				if err := l.Schemas.DecodeLocal(rec.Value, &out[i]); err != nil {
					return false, err
				}
			}
			return len(out) >= n, nil
		})
		return out
	}
	move("1", "71416", start)
	r := l.start(t.TempDir(), nil)
	asked := orders(1)
	move("2", "1002", start+30_000_000)
	asked = append(asked[:0:0], orders(2)...)
	r.stop()

	first, second := asked[0], asked[1]
	if first.Action != wire.OrderActionOrder || first.System != vendor || first.Test != "coding" || first.OrderID == "" || first.Requisition.Type != "engineering" {
		t.Errorf("asked for %+v", first)
	}
	if second.Action != wire.OrderActionCancel || second.OrderID != first.OrderID || second.ID == first.ID || len(asked) != 2 {
		t.Errorf("%d orders, the second %+v", len(asked), second)
	}
	named := 0
	for _, d := range l.decisions() {
		if slices.Equal(d.Orders, []string{first.OrderID}) {
			named++
		}
	}
	if named != 2 {
		t.Errorf("%d decisions name the order, want 2", named)
	}
}
