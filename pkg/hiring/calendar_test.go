package hiring_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/concord-ats/concord/pkg/hiring"
)

// Add agrees with a clock that is read every second and runs only where the calendar says so.
func TestCalendarAddsWorkingTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		second := func(n int) hiring.Micros { return epoch + hiring.Micros(n)*1e6 }
		var openings []hiring.Opening
		open, first, last := [200]bool{}, 0, 0
		for range rapid.IntRange(0, 6).Draw(t, "openings") {
			from := rapid.IntRange(0, 199).Draw(t, "from")
			until := rapid.IntRange(0, 199).Draw(t, "until")
			openings = append(openings, hiring.Opening{From: second(from), Until: second(until)})
			for i := from; i < until; i++ {
				open[i] = true
			}
		}
		for first < 200 && !open[first] {
			first++
		}
		for last = 200; last > 0 && !open[last-1]; last-- {
		}
		at := rapid.IntRange(0, 250).Draw(t, "at")
		d := rapid.IntRange(0, 250).Draw(t, "seconds")
		want := at
		for left := d; left > 0; want++ {
			if want < first || want >= last || open[want] {
				left--
			}
		}
		got := hiring.NewCalendar(openings).Add(second(at), time.Duration(d)*time.Second)
		// What ends at a closing may as well end at the next opening: no work lies between.
		for clock := want; got != second(clock); clock++ {
			if clock >= last || open[clock] || clock < first {
				t.Fatalf("%v: %d + %d s is %d, want %d", openings, at, d, (got-epoch)/1e6, want)
			}
		}
	})
}
