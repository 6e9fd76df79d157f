package bench

import (
	"errors"
	"fmt"
	"time"
)

// Plan says how much is measured.
type Plan struct {
	Seed   uint64 `json:"seed"`
	Rounds int    `json:"rounds"` // of what is compared: sides take turns, medians count

	// Applications and Events of the throughput part; the shares hold for every part but latency.
	Applications int     `json:"applications"`
	Events       int     `json:"events"`
	Duplicates   float64 `json:"duplicate_share"`
	Late         float64 `json:"late_share"`

	// Rates and Intervals of the latency part: each rate is kept for LatencyTime at each commit interval.
	Rates               []int           `json:"rates"`
	Intervals           []time.Duration `json:"intervals_ns"`
	LatencyTime         time.Duration   `json:"latency_ns"`
	LatencyApplications int             `json:"latency_applications"`

	// Sizes are how many applications are known in the growth part, each with Had events, when GrowthEvents more come;
	// Huge, where not 0, is one more size, measured in one round.
	Sizes        []int `json:"sizes"`
	Huge         int   `json:"huge,omitempty"`
	Had          int   `json:"had"`
	MemoryBound  int64 `json:"memory_bound_bytes"` // configured for the processes
	GrowthEvents int   `json:"growth_events"`

	// Restarts are the sizes at which a restart is measured, under a load of RestartEvents.
	Restarts      []int `json:"restarts"`
	RestartEvents int   `json:"restart_events"`

	// The commands of the throughput part are written back for SinkTime to an ATS that takes SinkLimit requests a second.
	SinkLimit int           `json:"sink_limit"`
	SinkTime  time.Duration `json:"sink_ns"`
}

// Check returns every fault of what can be chosen at once, by the names of the command's flags.
func (p *Plan) Check() error {
	var faults []error
	fault := func(bad bool, flag string, value any, fix string) {
		if bad {
			faults = append(faults, fmt.Errorf("--%s %v: %s", flag, value, fix))
		}
	}
	positive := func(flag string, values ...int) {
		fault(len(values) == 0, flag, values, "name one at least")
		for _, n := range values {
			fault(n <= 0, flag, n, "give a number above 0")
		}
	}
	positive("rounds", p.Rounds)
	positive("applications", p.Applications)
	positive("events", p.Events)
	positive("rates", p.Rates...)
	positive("sizes", p.Sizes...)
	fault(len(p.Intervals) == 0, "intervals", p.Intervals, "name one at least")
	for _, d := range p.Intervals {
		fault(d <= 0, "intervals", d, "give a time above 0, as 10ms")
	}
	fault(!(p.Duplicates >= 0 && p.Duplicates < 1), "duplicates", p.Duplicates, "give a share from 0 up to 1, 0.03 for 3 %")
	fault(!(p.Late >= 0 && p.Late < 1), "late", p.Late, "give a share from 0 up to 1, 0.02 for 2 %")
	return errors.Join(faults...)
}

// Full is the plan behind docs/benchmarks.md: some minutes a part on two cores.
func Full(seed uint64) Plan {
	return Plan{
		Seed: seed, Rounds: 3,
		Applications: 250_000, Events: 1_000_000, Duplicates: 0.03, Late: 0.02,
		Rates: []int{2_000, 5_000, 20_000}, Intervals: []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond},
		LatencyTime: 8 * time.Second, LatencyApplications: 100_000,
		Sizes: []int{10_000, 100_000, 500_000, 1_000_000}, Had: 2, GrowthEvents: 300_000,
		Restarts: []int{10_000, 100_000, 1_000_000}, RestartEvents: 100_000,
		SinkLimit: 200, SinkTime: 20 * time.Second,
	}
}

// Quick is a plan that only shows that everything runs; its figures mean nothing.
func Quick(seed uint64) Plan {
	p := Full(seed)
	p.Rounds, p.Applications, p.Events = 1, 2_000, 20_000
	p.Rates, p.Intervals, p.LatencyTime, p.LatencyApplications = []int{500}, []time.Duration{50 * time.Millisecond}, time.Second, 1_000
	p.Sizes, p.GrowthEvents, p.Restarts, p.RestartEvents = []int{1_000}, 10_000, []int{1_000}, 10_000
	p.SinkTime = 2 * time.Second
	return p
}

// load is the events of one measurement, whose last one has just happened.
func (p Plan) load(applications, events int, zipf float64, had int) Load {
	return Load{
		Seed: p.Seed, Applications: applications, Events: events, Zipf: zipf, Duplicates: p.Duplicates, Late: p.Late,
		Had: had, End: time.Now().Add(-time.Minute),
	}
}
