package policy_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/policy"
)

// A bundle cannot ask for fewer signatures than there must be, for any of its parts: whoever writes it does not say who has to
// agree to it.
func TestNoBundleAsksForFewerSignatures(t *testing.T) {
	t.Parallel()
	least := map[string][]string{
		"bundle": {"process", "it-security"}, "machine": {"hiring", "process"}, "dictionary": {"process", "it-security"},
		"mappings": {"process", "it-security"}, "waves": {"product-owner"},
	}
	for part, roles := range least {
		for i, role := range roles {
			others := slices.Delete(append([]string{"legal"}, roles...), i+1, i+2)
			files := policy.Default()
			was := "\n  " + part + ": [" + strings.Join(roles, ", ") + "]"
			files[policy.BundleFile] = bytes.Replace(files[policy.BundleFile], []byte(was), []byte("\n  "+part+": ["+strings.Join(others, ", ")+"]"), 1)
			p, err := policy.Parse(files)
			if err != nil {
				t.Fatal(err)
			}
			faults, _ := p.Check(time.Time{})
			if len(faults) != 1 || faults[0].Path != "signatures."+part || !strings.Contains(faults[0].Problem, "leaves out "+role) {
				t.Errorf("%s signed by %v: %v, want that %s is left out", part, others, faults, role)
			}
		}
	}
}
