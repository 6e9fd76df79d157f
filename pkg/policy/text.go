package policy

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/strict"
)

// Span is a length of time: "90s", "4h", "3d", "2w", or working time by the calendar of the region: "16 business hours",
// "2 business days" (of eight business hours each).
type Span struct {
	Of       time.Duration
	Business bool
	text     string
}

// businessDay is the length of a business day, whatever the hours of a calendar.
const businessDay = 8 * time.Hour

var (
	spanText = regexp.MustCompile(`^([1-9][0-9]{0,5})(s|m|h|d|w| business hours?| business days?)$`)
	spanUnit = map[string]time.Duration{
		"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
		" business hour": time.Hour, " business hours": time.Hour, " business day": businessDay, " business days": businessDay,
	}
)

// maxSpan keeps sums of spans and times far from overflow.
const maxSpan = 100 * 365 * 24 * time.Hour

// UnmarshalText parses a span.
func (s *Span) UnmarshalText(text []byte) error {
	m := spanText.FindStringSubmatch(string(text))
	if m == nil {
		return &strict.Wrong{Problem: "is no length of time", Fix: "give " + s.Wants()}
	}
	n, err := strconv.Atoi(m[1])
	unit := spanUnit[m[2]]
	if err != nil || time.Duration(n) > maxSpan/unit {
		return &strict.Wrong{Problem: "is longer than a hundred years", Fix: "give a shorter one"}
	}
	*s = Span{Of: time.Duration(n) * unit, Business: strings.Contains(m[2], "business"), text: string(text)}
	return nil
}

// String is the span as it was written; "for ever" for the zero one.
func (s Span) String() string {
	if s.Of == 0 {
		return "for ever"
	}
	return s.text
}

// MarshalText is String.
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Wants implements strict.Described.
func (*Span) Wants() string { return `a length of time such as 90s, 4h, 3d, 2w or "2 business days"` }

// Date is a day, in UTC where a moment is needed.
type Date struct{ time.Time }

// UnmarshalText parses "2026-12-31".
func (d *Date) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.DateOnly, string(text))
	if err != nil {
		return &strict.Wrong{Problem: "is no date", Fix: "give " + d.Wants()}
	}
	d.Time = t
	return nil
}

// String is the date as written.
func (d Date) String() string { return d.Format(time.DateOnly) }

// MarshalText is String.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// past reports whether the whole day is over.
func (d Date) past(at time.Time) bool { return !d.IsZero() && !at.Before(d.AddDate(0, 0, 1)) }

// Wants implements strict.Described.
func (*Date) Wants() string { return "a date such as 2026-12-31" }

// Moment is a point in time.
type Moment struct{ time.Time }

// UnmarshalText parses RFC 3339, with its zone.
func (m *Moment) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return &strict.Wrong{Problem: "is no point in time", Fix: "give " + m.Wants()}
	}
	m.Time = t
	return nil
}

// String is the moment in RFC 3339.
func (m Moment) String() string { return m.Format(time.RFC3339) }

// Wants implements strict.Described.
func (*Moment) Wants() string { return "a time with its zone, such as 2026-01-31T09:00:00Z" }

// Hours are the working hours of one weekday.
type Hours struct{ From, To time.Duration }

var hoursText = regexp.MustCompile(`^([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])$`)

// UnmarshalText parses "09:00-17:00".
func (h *Hours) UnmarshalText(text []byte) error {
	m := hoursText.FindStringSubmatch(string(text))
	if m == nil {
		return &strict.Wrong{Problem: "are no working hours", Fix: "give " + h.Wants()}
	}
	var n [4]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1]) // two digits, as matched
	}
	clock := func(hour, minute int) time.Duration {
		return time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute
	}
	h.From, h.To = clock(n[0], n[1]), clock(n[2], n[3])
	if h.From >= h.To || h.To > 24*time.Hour {
		return &strict.Wrong{Problem: "end before they begin", Fix: "give " + h.Wants()}
	}
	return nil
}

// String is the hours as written.
func (h Hours) String() string {
	clock := func(d time.Duration) string { return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60) }
	return clock(h.From) + "-" + clock(h.To)
}

// Wants implements strict.Described.
func (*Hours) Wants() string { return "working hours such as 09:00-17:00" }

// Names is a list that may be given as a single text.
type Names []string

// Short implements strict.Short.
func (n *Names) Short(text string) { *n = Names{text} }

// Wants implements strict.Described.
func (*Names) Wants() string { return "a name or a list of names" }

// DefaultRegion is the key of a value that holds for every region without one of its own.
const DefaultRegion = "default"

// ByRegion is one value for all regions, or one a region.
type ByRegion map[string]string

// Short implements strict.Short.
func (b *ByRegion) Short(text string) { *b = ByRegion{DefaultRegion: text} }

// Wants implements strict.Described.
func (*ByRegion) Wants() string { return "one name, or a name for each region and default" }

// String is the one value, or each region's.
func (b ByRegion) String() string {
	if len(b) == 1 && b[DefaultRegion] != "" {
		return b[DefaultRegion]
	}
	var out []string
	for _, region := range keys(b) {
		out = append(out, region+": "+b[region])
	}
	return strings.Join(out, ", ")
}

// in returns the value that holds in a region.
func (b ByRegion) in(region string) string {
	if v, ok := b[region]; ok {
		return v
	}
	return b[DefaultRegion]
}
