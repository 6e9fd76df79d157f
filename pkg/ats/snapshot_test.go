package ats_test

import (
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
)

// Of two readings with one time that is cut to the second the one made after that second is the newer.
func TestProved(t *testing.T) {
	t.Parallel()
	cut := time.Date(2026, 3, 1, 10, 0, 7, 0, time.UTC)
	for _, c := range []struct {
		name                string
		updated, asOf, want time.Time
	}{
		{"within the second", cut, cut, cut},
		{"a clock behind", cut, cut.Add(-time.Hour), cut},
		{"after it", cut, cut.Add(time.Second), cut.Add(time.Second - time.Microsecond)},
		{"long after it", cut, cut.Add(time.Hour), cut.Add(time.Second - time.Microsecond)},
		{"not cut", cut.Add(time.Millisecond), cut.Add(time.Hour), cut.Add(time.Millisecond)},
		{"no time", time.Time{}, cut, time.Time{}},
		{"no time of the read", cut, time.Time{}, cut},
	} {
		if got := ats.Proved(c.updated, c.asOf); !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
