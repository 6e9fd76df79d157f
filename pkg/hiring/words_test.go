package hiring_test

import (
	"strings"
	"testing"

	"github.com/concord-ats/concord/pkg/hiring"
)

// Every closed reason and every kind of incident has a sentence of its own, in words and not in names.
func TestEveryReasonHasASentence(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	check := func(name, sentence string) {
		if len(strings.Fields(sentence)) < 2 || strings.Contains(sentence, "_") {
			t.Errorf("%s is said as %q", name, sentence)
		}
		if other, twice := seen[sentence]; twice && other != name {
			t.Errorf("%s and %s are both said as %q", name, other, sentence)
		}
		seen[sentence] = name
	}
	for r := range hiring.Reason(hiring.Reasons) {
		check("reason "+r.String(), r.Sentence())
	}
	seen = map[string]string{}
	for k := range hiring.IncidentKind(hiring.IncidentKinds) {
		check("incident "+k.String(), k.Sentence())
	}
	if beyond := hiring.Reason(hiring.Reasons); beyond.Sentence() != hiring.ReasonUnspecified.Sentence() {
		t.Error("a reason that is none has a sentence of its own")
	}
}
