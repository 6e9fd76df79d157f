package hiring_test

import (
	"fmt"
	"testing"

	"github.com/concord-ats/concord/pkg/hiring"
)

// Scenario 56: Five hundred are moved at once
// Happens: A coordinator selects five hundred candidates and moves them to screening; every webhook has the same second, and
// half of them are delivered twice.
// Concord: Follows each with one decision, and has nothing to write and nothing to tell: a person did it, and the ATS shows it.
// The doubled webhooks are duplicates. The tests are ordered once each.
func TestBulkMove(t *testing.T) {
	const applications = 500
	rules := defaultRules()
	everywhere(rules.Bundles[0], func(b *hiring.Bundle) {
		b.Orders = []hiring.OrderRule{{Stage: hiring.StageScreening, Vendor: vendorSystem, Test: "coding"}}
	})
	moved, duplicates, orders := 0, 0, 0
	for i := range applications {
		w := newWorld()
		w.rules, w.state = rules, hiring.NewState(fmt.Sprintf("gh-main/%d", i+1))
		lines := []string{"100 ats enters triage", "200 ats moves to screening from=triage id=bulk", "200.5 ats moves to screening stamped=200 from=triage id=bulk"}
		if i%2 == 0 {
			lines = lines[:2]
		}
		for _, line := range lines {
			if err := w.line(line); err != nil {
				t.Fatal(err)
			}
		}
		decided := w.counted
		w.advance(epoch + 3600e6)
		if w.state.Canonical() != hiring.StageScreening || len(w.all) != 0 || len(w.state.Incidents) != 0 {
			t.Fatalf("application %d: in %s, %d commands, incidents %v", i+1, w.state.Canonical(), len(w.all), w.state.Incidents)
		}
		moved += decided[hiring.DispositionApplied] - 1
		duplicates += decided[hiring.DispositionDuplicate]
		if w.ordered != "" && w.state.Order != nil && w.state.Order.IssuedAt != 0 {
			orders++
		}
	}
	if moved != applications || duplicates != applications/2 || orders != applications {
		t.Errorf("%d moved, %d duplicates, %d ordered", moved, duplicates, orders)
	}
}
