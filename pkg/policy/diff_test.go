package policy_test

import (
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/concord-ats/concord/pkg/policy"
)

func TestDiff(t *testing.T) {
	old := parse(t, policy.Default())
	datadriven.RunTest(t, "testdata/diff.txt", func(t *testing.T, d *datadriven.TestData) string {
		var b strings.Builder
		for _, c := range policy.Diff(old, parse(t, edited(t, d))) {
			b.WriteString(c.Part + ": " + c.String() + "\n")
		}
		return b.String()
	})
}
