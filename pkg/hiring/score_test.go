package hiring_test

import (
	"math"
	"testing"

	"github.com/concord-ats/concord/pkg/hiring"
)

// A score becomes a percentage of the scale that its source declares, or is kept as it came and counted as missing.
func TestScoresNeedAScale(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, test := range []struct {
		name            string
		value, min, max float64
		scale           string
		want            string // empty = not comparable
	}{
		{"a percentage", 81, 0, 100, "percent", "81"},
		{"five stars", 4, 1, 5, "stars", "75"},
		{"two decimals", 1, 0, 3, "points", "33.33"},
		{"the lowest", 1, 1, 5, "stars", "0"},
		{"no minus before a zero", math.Copysign(0, -1), 0, 5, "stars", "0"},
		{"the highest", 5, 1, 5, "stars", "100"},
		{"a negative scale", -5, -10, 0, "points", "50"},
		{"a bare number", 81, 0, 100, "", ""},
		{"no bounds", 81, 0, 0, "points", ""},
		{"bounds the wrong way", 4, 5, 1, "stars", ""},
		{"above its scale", 6, 1, 5, "stars", ""},
		{"below its scale", 0, 1, 5, "stars", ""},
		{"without an upper end", 81, 0, inf, "points", ""},
		{"without a lower end", 81, -inf, 100, "points", ""},
		{"without any end", 81, -inf, inf, "points", ""},
		{"bounds that are no number", 81, nan, 100, "points", ""},
		{"bounds that are no number either", 81, 0, nan, "points", ""},
		{"a value that is no number", nan, 0, 100, "points", ""},
		{"an infinite value", inf, 0, inf, "points", ""},
		{"bounds too far apart", 81, -math.MaxFloat64, math.MaxFloat64, "points", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			score := &hiring.Score{Value: test.value, Min: test.min, Max: test.max, Scale: test.scale}
			e := hiring.Event{Source: "v", ID: "1", Type: hiring.EventScreeningCompleted, System: vendorSystem, OccurredAt: epoch, Order: "o", HasResult: true, FinishedAt: epoch, Score: score}
			s := hiring.Decide(defaultRules(), hiring.NewState("gh-main/1"), &e, epoch).State
			got := map[string]string{}
			for _, o := range s.Head.Observations {
				got[o.Facet] = o.Pick()
			}
			missing := len(s.Incidents) == 1 && s.Incidents[0].Kind == hiring.IncidentMissingField && s.Incidents[0].Element == hiring.ElementScreeningScore
			if value, ok := got["element:screening_score"]; value != test.want || ok != (test.want != "") || missing == ok {
				t.Errorf("got %q, %t, missing %t, want %q", value, ok, missing, test.want)
			}
			if _, raw := got["element:screening_score_raw"]; raw != (test.want == "") {
				t.Errorf("kept raw: %t", raw)
			}
		})
	}
}
