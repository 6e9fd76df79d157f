package nearest_test

import (
	"testing"

	"github.com/concord-ats/concord/pkg/nearest"
)

func TestSuggest(t *testing.T) {
	known := []string{"interviews", "screening", "offer"}
	for name, want := range map[string]string{
		"interveiws": "; did you mean interviews?", "ofefr": "; did you mean offer?", "Offer": "; did you mean offer?", "hired": "", "": "",
	} {
		if got := nearest.Suggest(name, known); got != want {
			t.Errorf("Suggest(%q) = %q, want %q", name, got, want)
		}
	}
}
