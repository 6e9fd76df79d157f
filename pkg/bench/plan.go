package bench

import "time"

// Plan says how much is measured.
type Plan struct {
	Seed   uint64 `json:"seed"`
	Rounds int    `json:"rounds"` // of what is compared: sides take turns, medians count

	// Applications and Events of the throughput part; the shares hold for every part but latency.
	Applications int     `json:"applications"`
	Events       int     `json:"events"`
	Duplicates   float64 `json:"duplicate_share"`
	Late         float64 `json:"late_share"`
}

// Full is the plan behind docs/benchmarks.md: some minutes a part on two cores.
func Full(seed uint64) Plan {
	return Plan{
		Seed: seed, Rounds: 3,
		Applications: 250_000, Events: 1_000_000, Duplicates: 0.03, Late: 0.02,
	}
}

// Quick is a plan that only shows that everything runs; its figures mean nothing.
func Quick(seed uint64) Plan {
	p := Full(seed)
	p.Rounds, p.Applications, p.Events = 1, 2_000, 20_000
	return p
}

// load is the events of one measurement, whose last one has just happened.
func (p Plan) load(applications, events int, zipf float64, had int) Load {
	return Load{
		Seed: p.Seed, Applications: applications, Events: events, Zipf: zipf, Duplicates: p.Duplicates, Late: p.Late,
		Had: had, End: time.Now().Add(-time.Minute),
	}
}
