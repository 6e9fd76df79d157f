package bench

import (
	"fmt"
	"math"
	"time"
)

// Bar is what a figure has to reach.
type Bar struct {
	Part  string `json:"part"`
	Name  string `json:"name"`
	Want  string `json:"want"`
	Value string `json:"value"`
	Met   bool   `json:"met"`
}

const (
	gib = 1 << 30
	// room is what a process may take beyond the memory limit it is configured with.
	room = 256 << 20
)

// Bars compares what was measured with what it has to reach. What was not measured has no bar.
func (r *Report) Bars() []Bar {
	var out []Bar
	atLeast := func(part, name string, value, want float64, format string) {
		out = append(out, Bar{part, name, "≥ " + fmt.Sprintf(format, want), fmt.Sprintf(format, value), value >= want})
	}
	atMost := func(part, name string, value, want float64, format string) {
		out = append(out, Bar{part, name, "≤ " + fmt.Sprintf(format, want), fmt.Sprintf(format, value), value <= want})
	}
	if t := r.Throughput; t != nil && len(t.Ratio.Rounds) > 0 {
		atLeast("throughput", "events per second, of the copy's", t.Ratio.Median, 0.5, "%.2f")
		atMost("throughput", "CPU per event, of the copy's", t.CPURatio.Median, 2, "%.2f")
	}
	for _, l := range r.Latency {
		ms := float64(l.Interval.Milliseconds())
		if l.Interval == 100*time.Millisecond && (l.Rate == 5_000 || l.Rate == 20_000) || l.Interval == 10*time.Millisecond && l.Rate == 5_000 {
			atMost("latency", fmt.Sprintf("p99 at %d events/s, commit interval %s", l.Rate, l.Interval), l.P99, ms+25, "%.0f ms")
			out[len(out)-1].Value += fmt.Sprintf(" (copy: %.0f ms)", l.Copy.P99)
		}
	}
	for _, keys := range []string{"uniform", "zipf"} {
		small, large := r.grown(10_000, keys), r.grown(1_000_000, keys)
		if small != nil && large != nil {
			atLeast("growth", "events per second with 10⁶ applications, of those with 10⁴, "+keys+" keys", large.PerS.Median/small.PerS.Median, 0.8, "%.2f")
		}
	}
	peak := func(n int) float64 {
		most := 0.0
		for i := range r.Growth {
			if r.Growth[i].Applications == n {
				most = math.Max(most, r.Growth[i].RSS.Max)
			}
		}
		return most / (1 << 20)
	}
	if most := peak(500_000); most > 0 {
		atMost("growth", "peak resident memory with 500,000 applications", most, gib>>20, "%.0f MiB")
	}
	if most := peak(10_000_000); most > 0 {
		atMost("growth", "peak resident memory with 10⁷ applications", most, float64(r.Plan.MemoryBound+room)/(1<<20), "%.0f MiB")
	}
	for _, x := range r.Restart {
		if x.Applications == 1_000_000 {
			atMost("restart", "first event with 10⁶ applications, store kept", x.Kept.Median, 1.5, "%.2f s")
			atLeast("restart", "changelog records per second with 10⁶ applications, store wiped", x.PerS.Median, 400_000, "%.0f")
		}
	}
	if s := r.Sinks; s != nil {
		w := s.Writeback
		atLeast("sinks", "use of the ATS's rate limit", 100*w.Share, 90, "%.1f %%")
		out = append(out, Bar{
			"sinks", "the ATS's rate limit is not exceeded", fmt.Sprintf("≤ %d a second, none refused", w.Limit),
			fmt.Sprintf("%d, %d refused", w.MostIn1s, w.Refused), w.MostIn1s <= w.Limit && w.Refused == 0,
		})
		atLeast("sinks", "KPI events per second on one core", s.KPI.PerS.Median, 200_000, "%.0f")
	}
	return out
}

func (r *Report) grown(applications int, keys string) *Growth {
	for i := range r.Growth {
		if r.Growth[i].Applications == applications && r.Growth[i].Keys == keys {
			return &r.Growth[i]
		}
	}
	return nil
}
