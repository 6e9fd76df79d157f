package policy_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
)

// An addendum makes a variant for its region's codes, and what differs nowhere makes none.
func TestVariants(t *testing.T) {
	b, err := policy.Compile(policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	in := func(b *hiring.Bundle, region, kind, system string) *hiring.Bundle {
		t.Helper()
		return b.For(system, &hiring.Requisition{Region: region, Type: kind})
	}
	if in(b, "gb", "", "gh-main") != b || in(b, "", "", "gh-main") != b {
		t.Error("an addendum holds where it is not meant to")
	}
	de := in(b, "de", "", "gh-main")
	if got := de.Stage(hiring.StageInterviews); got.SLA != 21*24*time.Hour || got.WarnBefore != 5*24*time.Hour || got.Owner != "hiring manager" {
		t.Errorf("interviews in de: %+v", got)
	}
	if got := de.Edge(hiring.StageScreening, hiring.StageInterviews); got.SLA != 0 {
		t.Errorf("the way into interviews still has its own limit: %+v", got)
	}
	if de.Digest != b.Digest || in(b, "fr", "x", "gh-2") != de {
		t.Error("one region has two readings, or a variant a digest of its own")
	}

	files := edit(t, "machine.yaml", "screening by the vendor, rank: 3, owner: vendor, sla: 5d, warn_before: 1d", "screening by the vendor, rank: 3, owner: vendor, sla: 16 business hours")
	files["mappings/other.yaml"] = []byte("system: other\nstages: {a: apply, t: triage, s: screening, i: interviews, o: offer}\nwrite: {apply: a, triage: t, screening: s, interviews: i, offer: o}\n" +
		"fields: {screening_recommendation: r, screening_report_url: u, screening_score: n, screening_status: s}\nreject_with: x\n")
	files["mappings/other-eu-eng.yaml"] = []byte("system: other\nfor: {region: eu, type: engineering}\nwhy: y\nby: b\nuntil: 2027-01-01\nstates: {offer: {owner: coordinator}}\n")
	files["bundle.yaml"] = []byte(strings.Replace(string(files["bundle.yaml"]), "  screening-vendor:\n", `  other:
    kind: ats
    meaning: Another ATS
    owner: it
    region: us
    instances: ["other-*", old-gh]
    native:
      stages: {a: A, t: T, s: S, i: I, o: O}
      fields: {r: {type: text, writable: true}, u: {type: text, writable: true}, n: {type: number, writable: true}, s: {type: text, writable: true}}
      rejection_reasons: {x: X}
      writes: [stage, elements, status:active, status:rejected]
  screening-vendor:
`, 1))
	b, err = policy.Compile(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		system, region, kind string
		sla                  time.Duration // of interviews
		owner, level         string        // of offer; the native stage of apply
	}{
		{"gh-main", "de", "engineering", 21 * 24 * time.Hour, "recruiter", "1001"},
		{"old-gh", "de", "", 14 * 24 * time.Hour, "recruiter", "a"},
		{"other-1", "de", "engineering", 14 * 24 * time.Hour, "coordinator", "a"},
		{"other-1", "us", "engineering", 14 * 24 * time.Hour, "recruiter", "a"},
	} {
		v := in(b, c.region, c.kind, c.system)
		if got := v.Stage(hiring.StageInterviews).SLA; got != c.sla {
			t.Errorf("%+v: interviews may take %s", c, got)
		}
		if got := v.Stage(hiring.StageOffer).Owner; got != c.owner {
			t.Errorf("%+v: %s owns offer", c, got)
		}
		if s, ok := v.System(c.system); !ok || s.Mapping.Native[hiring.StageApply] != c.level {
			t.Errorf("%+v: apply is %q", c, s.Mapping.Native[hiring.StageApply])
		}
		if v.Calendar == nil {
			t.Errorf("%+v: business time has no calendar", c)
		}
	}
	// Friday, 18 December 2026, 16:00 in Brussels and in New York; 16 business hours later it is Tuesday, 16:00.
	for region, hour := range map[string]int{"de": 15, "us": 21} {
		from := time.Date(2026, 12, 18, hour, 0, 0, 0, time.UTC)
		got := in(b, region, "", "gh-main").Calendar.Add(hiring.FromTime(from), 16*time.Hour).Time()
		if want := time.Date(2026, 12, 22, hour, 0, 0, 0, time.UTC); !got.Equal(want) {
			t.Errorf("%s: %s, want %s", region, got, want)
		}
	}
}

// Scenario 43: The clocks change inside an SLA
// Happens: An SLA of business hours runs over the weekend on which the clocks change, in New York, in Brussels and in a region
// that knows no such change; a night shift works through the very hour.
// Concord: Counts the hours that people work by the clock on their wall: the SLA ends at the same time of day, whatever UTC
// says. A shift that is an hour longer or shorter that night counts as long as it was.
func TestCalendarOverAChangeOfClocks(t *testing.T) {
	files := edit(t, "machine.yaml", "screening by the vendor, rank: 3, owner: vendor, sla: 5d, warn_before: 1d", "screening by the vendor, rank: 3, owner: vendor, sla: 16 business hours")
	files["bundle.yaml"] = edit(t, "bundle.yaml", "    calendar: gb\n", "    calendar: gb\n  in:\n    meaning: India\n    codes: [in]\n    calendar: in\n  night:\n    meaning: The night desk\n    codes: [night]\n    calendar: night\n")["bundle.yaml"]
	files["bundle.yaml"] = []byte(strings.Replace(string(files["bundle.yaml"]), "calendars:\n", "calendars:\n"+
		"  in:\n    timezone: Asia/Kolkata\n    hours: {mon: 09:00-17:00, tue: 09:00-17:00, wed: 09:00-17:00, thu: 09:00-17:00, fri: 09:00-17:00}\n"+
		"  night:\n    timezone: America/New_York\n    hours: {sun: 00:00-08:00, mon: 00:00-08:00}\n", 1))
	b, err := policy.Compile(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, region, from string
		hours              int
		want               string
	}{
		{"New York falls back", "us", "2026-10-30T16:00:00-04:00", 16, "2026-11-03T16:00:00-05:00"},
		{"New York springs forward", "us", "2027-03-12T16:00:00-05:00", 16, "2027-03-16T16:00:00-04:00"},
		{"Brussels falls back", "de", "2026-10-23T16:00:00+02:00", 16, "2026-10-27T16:00:00+01:00"},
		{"Brussels springs forward", "de", "2027-03-25T16:00:00+01:00", 16, "2027-03-30T16:00:00+02:00"}, // and Easter Monday
		{"Kolkata knows no change", "in", "2026-10-30T16:00:00+05:30", 16, "2026-11-03T16:00:00+05:30"},
		{"a night of nine hours", "night", "2026-11-01T00:00:00-04:00", 9, "2026-11-01T08:00:00-05:00"},
		{"a night of seven hours", "night", "2027-03-14T00:00:00-05:00", 7, "2027-03-14T08:00:00-04:00"},
	} {
		from, err := time.Parse(time.RFC3339, c.from)
		if err != nil {
			t.Fatal(err)
		}
		got := b.For("gh-main", &hiring.Requisition{Region: c.region}).Calendar.Add(hiring.FromTime(from), time.Duration(c.hours)*time.Hour).Time()
		if want, err := time.Parse(time.RFC3339, c.want); err != nil || !got.Equal(want) {
			t.Errorf("%s: %s, want %s", c.name, got.In(want.Location()), want)
		}
	}
}

// A static binary in an empty image has its time zones with it: no test can take the system's zoneinfo away, so this looks
// at what is linked.
func TestTimeZonesAreInTheProgram(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "github.com/concord-ats/concord/cmd/concord").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(strings.Split(string(out), "\n"), "time/tzdata") {
		t.Error("cmd/concord does not bring time/tzdata: a calendar of a region would fail where the system has no zoneinfo")
	}
}

// Waves and pauses name regions, events their codes.
func TestWaves(t *testing.T) {
	b, err := policy.Compile(edit(t, "waves.yaml", "", "waves:\n  - {name: pilot, for: {region: gb, type: sales}, percent: 10, mode: shadow, running: false}\npause: [{region: us, by: legal, why: w, since: 2026-01-01}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []hiring.Wave{
		{Name: "pilot", Selector: hiring.Selector{Type: "sales", Region: "gb"}, Percent: 10, Mode: hiring.ModeShadow, NewOnly: true},
		{Name: "pilot", Selector: hiring.Selector{Type: "sales", Region: "uk"}, Percent: 10, Mode: hiring.ModeShadow, NewOnly: true},
	}
	if d := cmp.Diff(want, b.Waves); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"us"}, b.Paused); d != "" {
		t.Error(d)
	}
}

// The built-in bundle takes the instances of a deployment into its inventory; its digest says so.
func TestDefaultFor(t *testing.T) {
	plain, err := policy.Compile(policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		names []string
		same  bool
	}{{nil, true}, {[]string{"gh-2"}, true}, {[]string{"acme", "gh-2"}, false}} {
		b, err := policy.Compile(policy.DefaultFor(map[string][]string{"greenhouse": c.names}, time.Time{}))
		if err != nil {
			t.Fatal(err)
		}
		if (b.Digest == plain.Digest) != c.same {
			t.Errorf("%v: the digest is the same: %t", c.names, !c.same)
		}
		for _, name := range c.names {
			if s, ok := b.System(name); !ok || s.Mapping == nil {
				t.Errorf("%s is no ATS", name)
			}
		}
	}
}

// A team without an ATS has no mapping; its publishers are people, whose clocks need no margin; and what an ATS would master
// is theirs to say.
func TestATeamWithoutATS(t *testing.T) {
	b, err := policy.Compile(policy.DefaultFor(map[string][]string{string(policy.KindNone): {"team"}}, time.Time{}))
	if err != nil {
		t.Fatal(err)
	}
	if !b.Keeps("team") || b.Keeps("gh-main") || b.Keeps("team-2") {
		t.Errorf("kept without an ATS: %v, want team alone", b.NoATS)
	}
	for _, name := range []string{"team", "team//forms/careers"} {
		if s, ok := b.System(name); !ok || s.Mapping != nil || s.Margin != 0 {
			t.Errorf("%s is %+v, known %t", name, s, ok)
		}
	}
	golden := func(instance string) []string {
		of := b.For(instance, &hiring.Requisition{Region: "gb"})
		return of.Elements[slices.IndexFunc(of.Elements, func(r hiring.ElementRule) bool { return r.Name == "salary_expectation" })].Golden
	}
	if of := golden("team"); of != nil {
		t.Errorf("the golden source of team's salary_expectation is %v, want whoever says it", of)
	}
	if of := golden("gh-main"); !slices.Equal(of, []string{"gh-*"}) {
		t.Errorf("the golden source of gh-main's salary_expectation is %v", of)
	}
}

// What is ordered goes to the vendor by a name of its own, the narrowest selector first.
func TestOrders(t *testing.T) {
	files := edit(t, "machine.yaml", "", "orders:\n  state: screening\n  answer_within: 4h\n  tests:\n    - {vendor: screening-vendor, test: general}\n    - {for: {type: engineering, region: gb}, vendor: screening-vendor, test: code}\n")
	if _, err := policy.Compile(files); err == nil || !strings.Contains(err.Error(), "orders.tests[0].vendor = screening-vendor: has no name of its own to order from") {
		t.Errorf("got %v", err)
	}
	files["bundle.yaml"] = edit(t, "bundle.yaml", `instances: ["*"]`, `instances: ["*", vetting]`)["bundle.yaml"]
	b, err := policy.Compile(files)
	if err != nil {
		t.Fatal(err)
	}
	want := []hiring.OrderRule{
		{Selector: hiring.Selector{Type: "engineering", Region: "gb"}, Stage: "screening", Vendor: "vetting", Test: "code", Within: 4 * time.Hour},
		{Selector: hiring.Selector{Type: "engineering", Region: "uk"}, Stage: "screening", Vendor: "vetting", Test: "code", Within: 4 * time.Hour},
		{Stage: "screening", Vendor: "vetting", Test: "general", Within: 4 * time.Hour},
	}
	if d := cmp.Diff(want, b.Orders); d != "" {
		t.Error(d)
	}
}
