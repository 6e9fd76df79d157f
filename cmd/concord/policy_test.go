package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rewrite replaces one text of a file.
func rewrite(t *testing.T, file, old, replacement string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s does not hold %q", file, old)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), old, replacement, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A bundle from the first copy to its comparison, as the person who owns it works.
func TestPolicyCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "policy")
	must := func(code int, args ...string) result {
		t.Helper()
		r := concord(t, nil, "", append([]string{"policy"}, args...)...)
		if r.code != code {
			t.Fatalf("%v: exit %d\n%s%s", args, r.code, r.stdout, r.stderr)
		}
		return r
	}
	must(exitOK, "init", dir)
	builtIn := strings.TrimSpace(must(exitOK, "digest").stdout)
	if got := strings.TrimSpace(must(exitOK, "digest", dir).stdout); got != builtIn {
		t.Errorf("the copy has digest %s, the built-in bundle %s", got, builtIn)
	}
	must(exitOK, "check", dir)
	if r := must(exitOK, "check", dir, "--at", "2031-01-01"); !strings.Contains(r.stdout, "warning: bundle.yaml:7:12: review_by = 2027-12-31: has passed") {
		t.Errorf("five years on: %s", r.stdout)
	}
	must(exitFailure, "init", dir)
	must(exitUsage, "check", dir+"/none")
	must(exitUsage, "check", "--at", "soon")
	must(exitUsage, "diagram", "--format", "png")

	rewrite(t, filepath.Join(dir, "machine.yaml"), "hiring manager, sla: 14d, authority", "hiring manager, sla: 10d, authority")
	if r := must(exitOK, "diff", filepath.Join(dir, "..", "policy"), dir); r.stdout != "" {
		t.Errorf("a bundle differs from itself: %s", r.stdout)
	}
	old := filepath.Join(t.TempDir(), "old")
	must(exitOK, "init", old)
	if r := must(exitOK, "diff", old, dir); r.stdout != "screening → interviews: SLA 14d → 10d\n" {
		t.Errorf("got %s", r.stdout)
	}

	rewrite(t, filepath.Join(dir, "machine.yaml"), "to: offer, owner: recruiter", "to: offer, owner: nobody")
	rewrite(t, filepath.Join(dir, "waves.yaml"), "default: write", "default: write\npause: [{region: mars, by: legal, why: Not cleared, since: 2026-01-01}]")
	r := must(exitFailure, "check", dir, "--json")
	var got checked
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Faults) != 2 || got.Faults[0].Path != "transitions[5].owner" || got.Faults[1].Value != "mars" || got.Faults[1].Line != 4 {
		t.Errorf("got %+v", got.Faults)
	}
}
