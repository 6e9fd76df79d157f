package ats_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
)

// A job's place is asked for once in ten minutes, or in one where it says nothing; never where no place is a region. A job that
// may not be seen is of no region, and any other failure is one.
func TestJobsAreLookedUpOnce(t *testing.T) {
	t.Parallel()
	now, asked := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), 0
	var places []string
	var fault error
	m := &ats.Mapping{}
	jobs := &ats.Jobs{Mapping: m, Now: func() time.Time { return now }, Places: func(context.Context, string) ([]string, error) {
		asked++
		return places, fault
	}}
	ask := func(step, job, region string, times int, fails bool) {
		t.Helper()
		got, err := jobs.Region(t.Context(), job)
		if got != region || asked != times || (err != nil) != fails {
			t.Errorf("%s: %q after %d look-ups, %v; want %q after %d", step, got, asked, err, region, times)
		}
	}
	ask("no regions", "j1", "", 0, false)
	m.Regions = map[string]string{"Berlin": "de", "US": "us"}
	ask("no job", "", "", 0, false)
	ask("a path", "../j1", "", 0, false)
	places = append([]string{"Atlantis"}, ats.Country("us")...)
	ask("a country in small letters", "j1", "us", 1, false)
	places = []string{"Berlin", "US"}
	ask("kept", "j1", "us", 1, false)
	ask("another", "j2", "de", 2, false)
	now = now.Add(ats.KeptLife)
	ask("moved", "j1", "de", 3, false)
	places, fault = nil, &ats.Error{Class: ats.Refused, Code: ats.CodeForbidden, Op: "read"}
	ask("not to be seen", "j3", "", 4, false)
	ask("not asked again at once", "j3", "", 4, false)
	now = now.Add(ats.KeptPause)
	fault = errors.New("away")
	ask("a failure", "j3", "", 5, true)
	places, fault = []string{"US"}, nil
	ask("not kept", "j3", "us", 6, false)
}
