package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/concord-ats/concord/processors/poller"
)

// Where nobody knows how many applications there are a backfill shows count, rate and time; from a time on, also how far it is.
func TestBackfillShowsHowFarItIs(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct {
		since, newest time.Time
		part          string
	}{
		"everything":           {time.Time{}, now.Add(-time.Hour), ""},
		"an ATS without times": {now.Add(-2 * time.Hour), time.Time{}, ""},
		"half of the time":     {now.Add(-2 * time.Hour), now.Add(-time.Hour), "50 %"},
	} {
		var out bytes.Buffer
		b := &bar{a: &app{stderr: &out}, began: now.Add(-10 * time.Second)}
		showBackfill(b, "gh-main", c.since, 500, poller.Progress{Applications: 1500, Newest: c.newest})
		if got := out.String(); !strings.Contains(got, "1500 applications, 100/s") || !strings.Contains(got, "10s") || c.part == "" && strings.Contains(got, "%") || !strings.Contains(got, c.part) {
			t.Errorf("%s: shows %q", name, got)
		}
	}
}

// A backfill that names no ATS, or a time to come, is wrong use, and says what to give.
func TestBackfillFlags(t *testing.T) {
	t.Parallel()
	env := []string{"CONCORD_ATS=[{instance: lever-main, kind: lever, url: 'http://127.0.0.1:1', client_secret: s}]"}
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"no ATS":            {nil, "--ats: give an instance of the configuration: lever-main"},
		"another ATS":       {[]string{"--ats", "gh-main"}, "--ats gh-main: give an instance of the configuration: lever-main"},
		"a time to come":    {[]string{"--ats", "lever-main", "--since", "2999-01-01"}, "--since 2999-01-01: is in the future"},
		"no time":           {[]string{"--ats", "lever-main", "--since", "monday"}, "give a day or a moment"},
		"an argument":       {[]string{"lever-main"}, "lever-main"},
		"a misspelt option": {[]string{"--at", "lever-main"}, "--at"},
	} {
		if got := concord(t, env, "", append([]string{"backfill"}, c.args...)...); got.code != exitUsage || !strings.Contains(got.stderr, c.says) {
			t.Errorf("%s: exit %d, says %q", name, got.code, got.stderr)
		}
	}
}
