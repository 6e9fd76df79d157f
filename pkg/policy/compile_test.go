package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
)

// The built-in bundle decides what the core's own table decides.
func TestDefaultEqualsTheTable(t *testing.T) {
	got, err := policy.Compile(policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	want := hiring.DefaultBundle()
	if d := cmp.Diff(want.Stages, got.Stages); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(want.Edges, got.Edges); d != "" {
		t.Error(d)
	}
	for _, name := range []string{"gh-main", "gh-2", "vetting.example", "concord", ""} {
		a, okA := want.System(name)
		b, okB := got.System(name)
		if d := cmp.Diff(a, b); d != "" || okA != okB {
			t.Errorf("%s: %s", name, d)
		}
	}
}
