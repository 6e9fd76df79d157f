package bench

import (
	"strings"
	"testing"
	"time"
)

// Nothing is measured by a plan that cannot be: each fault is told by its flag, all of them at once.
func TestPlansAreChecked(t *testing.T) {
	t.Parallel()
	for _, p := range []Plan{Full(1), Quick(1)} {
		if err := p.Check(); err != nil {
			t.Error(err)
		}
	}
	bad := Full(1)
	bad.Rounds, bad.Applications, bad.Events, bad.Rates, bad.Sizes = 0, -1, 0, []int{5_000, 0}, nil
	bad.Intervals, bad.Duplicates, bad.Late = []time.Duration{-time.Second}, 1, -0.5
	err := bad.Check()
	if err == nil {
		t.Fatal("nothing is wrong")
	}
	for _, want := range []string{"--rounds 0", "--applications -1", "--events 0", "--rates 0", "--sizes []", "--intervals -1s", "--duplicates 1", "--late -0.5"} {
		if !strings.Contains(err.Error(), want+": ") {
			t.Errorf("no %q in %v", want, err)
		}
	}
}
