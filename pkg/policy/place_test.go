package policy_test

import (
	"strings"
	"testing"

	"github.com/concord-ats/concord/pkg/policy"
)

// A place names the file and the line at which an editor finds what decided.
func TestPlacesAreWhereItStands(t *testing.T) {
	t.Parallel()
	files := policy.Default()
	files[policy.MachineFile] = append(files[policy.MachineFile], "  rules:\n    - {from: offer, forbidden: record, why: Offers are made on paper first}\n"...)
	p, err := policy.Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		place      policy.Place
		file, says string
	}{
		{p.TransitionPlace("pass", "screening", "interviews"), "machine.yaml", "name: pass"},
		{p.TransitionPlace("reject", "offer", "rejected"), "machine.yaml", "name: reject"},
		{p.ReopenPlace(), "machine.yaml", "reopen:"},
		{p.StatePlace("offer", "gh-main", "de", "full_time"), "machine.yaml", "id: offer"},
		{p.StatePlace("interviews", "gh-main", "us", ""), "machine.yaml", "id: interviews"},
		{p.StatePlace("interviews", "gh-main", "de", ""), "mappings/greenhouse-eu.yaml", "interviews:"},
		{p.ElementPlace("salary_expectation", "gh-main", "us", ""), "mappings/greenhouse-us.yaml", "salary_expectation:"},
		{p.ElementPlace("salary_expectation", "gh-main", "gb", ""), "dictionary.yaml", "salary_expectation:"},
		{p.JumpPlace("apply", "hired", false), "machine.yaml", "forbidden: hold"},
		{p.JumpPlace("apply", "triage", true), "machine.yaml", "unauthorised: revert"},
		{p.JumpPlace("offer", "apply", false), "machine.yaml", "from: offer"},
		{p.WavePlace(""), "waves.yaml", "default: write"},
	} {
		lines := strings.Split(string(files[c.file]), "\n")
		if c.place.File != c.file || c.place.Line < 1 || c.place.Line > len(lines) || !strings.Contains(lines[c.place.Line-1], c.says) {
			t.Errorf("%s, want %s where it says %q", c.place, c.file, c.says)
		}
	}
	if none := p.TransitionPlace("pass", "apply", "hired"); none.String() != "" {
		t.Errorf("a transition there is none of stands at %s", none)
	}
	archive, err := p.Pack(nil)
	if err != nil {
		t.Fatal(err)
	}
	packed, _, err := policy.Unpack(archive)
	if err != nil {
		t.Fatal(err)
	}
	if at := packed.TransitionPlace("pass", "screening", "interviews").String(); at != "machine.yaml (transition pass)" {
		t.Errorf("in an archive it stands at %s", at)
	}
}

// What the dictionary calls personal or restricted, or does not know, is not shown.
func TestPersonalValuesAreNotShown(t *testing.T) {
	t.Parallel()
	p, err := policy.Parse(policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	for element, want := range map[string]bool{"screening_status": true, "screening_score": false, "salary_expectation": false, "shoe_size": false} {
		if got := p.Shown(element); got != want {
			t.Errorf("%s is shown: %t, want %t", element, got, want)
		}
	}
}
