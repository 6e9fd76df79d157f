package bench

import (
	"slices"
)

// Spread is what rounds gave: the median, and how far they lie apart.
type Spread struct {
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Rounds []float64 `json:"rounds"` // in the order measured
}

func spread(values []float64) Spread {
	s := Spread{Rounds: values}
	if len(values) == 0 {
		return s
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	s.Min, s.Max, s.Median = sorted[0], sorted[n-1], (sorted[(n-1)/2]+sorted[n/2])/2
	return s
}
