package hiring

import (
	"slices"
	"time"
)

// Opening is a span of working time.
type Opening struct{ From, Until Micros }

// Calendar is the working time of a region, as plain spans: time zones and holidays are resolved when it is made, and
// nothing is looked up later. Before its first span and after its last, all time counts as working time, so that a timer
// never waits for ever. Immutable and safe for concurrent use.
type Calendar struct {
	open   []Opening       // sorted, disjoint
	worked []time.Duration // before each opening
}

// NewCalendar returns the calendar of openings, which need not be sorted. Empty ones are left out and overlapping ones
// are joined. Without any it is always open.
func NewCalendar(openings []Opening) *Calendar {
	sorted := slices.Clone(openings)
	slices.SortFunc(sorted, func(a, b Opening) int { return int(min(1, max(-1, a.From-b.From))) })
	c := &Calendar{}
	for _, o := range sorted {
		switch n := len(c.open); {
		case o.Until <= o.From:
		case n > 0 && o.From <= c.open[n-1].Until:
			c.open[n-1].Until = max(c.open[n-1].Until, o.Until)
		default:
			c.open = append(c.open, o)
		}
	}
	c.worked = make([]time.Duration, len(c.open))
	for i := 1; i < len(c.open); i++ {
		c.worked[i] = c.worked[i-1] + c.open[i-1].Until.Sub(c.open[i-1].From)
	}
	return c
}

// Add returns when d of working time has passed since t. A nil calendar is always open.
func (c *Calendar) Add(t Micros, d time.Duration) Micros {
	if c == nil || len(c.open) == 0 || d <= 0 {
		return t.Add(d)
	}
	if first := c.open[0].From; t < first {
		if before := first.Sub(t); d <= before {
			return t.Add(d)
		} else {
			t, d = first, d-before
		}
	}
	i, _ := slices.BinarySearchFunc(c.open, t, func(o Opening, t Micros) int {
		if o.Until <= t {
			return -1
		}
		return 1
	})
	if i == len(c.open) {
		return t.Add(d)
	}
	t = max(t, c.open[i].From)
	total := c.worked[i] + t.Sub(c.open[i].From) + d // worked when it is over, from the first opening
	last := len(c.open) - 1
	j, _ := slices.BinarySearch(c.worked[i:], total) // the first opening that begins with that much worked
	j = min(max(i+j-1, i), last)
	return c.open[j].From.Add(total - c.worked[j])
}
