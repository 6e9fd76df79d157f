package hiring_test

import (
	"fmt"
	"strings"

	"github.com/concord-ats/concord/pkg/hiring"
)

// dispositions is how many there are.
const dispositions = hiring.DispositionTimer + 1

// countText is the scenario command "count": how the decisions so far are counted, since the file began or the last
// "count". What is no timer is a delivery.
func (w *world) countText() string {
	names := [dispositions]string{
		hiring.DispositionApplied: "applied", hiring.DispositionDuplicate: "duplicate", hiring.DispositionStale: "stale",
		hiring.DispositionHint: "hint", hiring.DispositionContradicted: "contradicted", hiring.DispositionDeadLettered: "dead-lettered",
		hiring.DispositionTimer: "no delivery",
	}
	var b strings.Builder
	deliveries := 0
	for d, n := range w.counted {
		if n == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s %d\n", names[d], n)
		if hiring.Disposition(d) != hiring.DispositionTimer {
			deliveries += n
		}
	}
	fmt.Fprintf(&b, "%d deliveries\n", deliveries)
	w.counted = [dispositions]int{}
	return b.String()
}
