package main

import (
	"strings"
	"testing"

	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/wire"
)

// A verb leads where the policy has a way to, from where the application stands, and is refused where it has none.
func TestWhereAVerbLeads(t *testing.T) {
	t.Parallel()
	b, err := policy.Compile(policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ verb, at, before, want string }{
		{"advance", "apply", "", "triage"},
		{"advance", "screening", "triage", "interviews"},
		{"advance", "offer", "interviews", ""}, // who is hired is no step along the way
		{"advance", "rejected", "triage", ""},
		{"advance", "", "", ""},
		{"reject", "screening", "triage", "rejected"},
		{"reject", "hired", "offer", ""},
		{"withdraw", "apply", "", "withdrawn"},
		{"reopen", "withdrawn", "interviews", "interviews"},
		{"reopen", "withdrawn", "rejected", ""},
		{"reopen", "triage", "apply", ""},
	} {
		to, is, err := destination(b, c.verb, &wire.Fold{Stage: c.at, EnteredFrom: c.before})
		if to != c.want || !is || (err == nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.verb+": an application in ") {
			t.Errorf("%s in %q after %q leads to %q, %v; want %q", c.verb, c.at, c.before, to, err, c.want)
		}
	}
	if _, is, err := destination(b, "hold", &wire.Fold{}); is || err != nil {
		t.Errorf("hold leads somewhere: %v", err)
	}
}
