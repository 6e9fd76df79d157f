package audit

import (
	"maps"
	"math"
	"slices"
	"time"
)

// Report is what a check says.
type Report struct {
	Clean    bool      `json:"clean"`
	Findings []Finding `json:"findings"`

	Seed         uint64 `json:"seed"`
	Applications int    `json:"applications"`
	// Deliveries on the inputs from outside, and how many came twice, after a later one, or ten minutes after one.
	Deliveries int `json:"deliveries"`
	Duplicates int `json:"duplicates"`
	Reordered  int `json:"reordered"`
	Late       int `json:"late"`

	Decisions int `json:"decisions"`
	Commands  int `json:"commands"`
	Refreshes int `json:"refreshes"`
	// Requests and Mutations are the simulator's, Writes the mutations by Concord.
	Requests  int `json:"ats_requests"`
	Mutations int `json:"ats_mutations"`
	Writes    int `json:"ats_writes"`
	// Tenants are the instances, by name.
	Tenants []Tenant `json:"tenants"`
	// Overtaken counts closing writes that came just after a person's change the writer could not have seen.
	Overtaken int `json:"overtaken"`

	Reasons     map[string]int    `json:"reasons"`
	Outcomes    map[string]int    `json:"outcomes"`
	Incidents   map[string]Counts `json:"incidents"`
	DeadLetters map[string]int    `json:"dead_letters"`
	Latency     []Bucket          `json:"latency"`
	KPI         KPI               `json:"kpi"`
	Fired       []Fired           `json:"fired"`

	// Ambiguous applications turn on clocks within their margin; OtherEnd of them ended otherwise than true time
	// says, with an incident. Raced met a person made up by the simulator; Blocked lost a write that must not be
	// repeated, and an incident says so.
	Ambiguous int `json:"ambiguous"`
	OtherEnd  int `json:"other_end"`
	Raced     int `json:"raced"`
	Blocked   int `json:"blocked"`

	kpi  recomputed
	ends map[string]map[int32]int64
}

// Counts are the changes of the incidents of one kind.
type Counts struct {
	Opened    int `json:"opened"`
	Resolved  int `json:"resolved"`
	Retracted int `json:"retracted"`
}

// Bucket is one bar of the latency histogram: latencies below Below and not below the bar before.
type Bucket struct {
	Below time.Duration `json:"below_ns"`
	Count int           `json:"count"`
}

// KPI is what the published windows say together.
type KPI struct {
	// SuccessRate is confirmed / (confirmed + blocked + refused + failed).
	SuccessRate float64          `json:"success_rate"`
	P50         float64          `json:"latency_p50_seconds"`
	P95         float64          `json:"latency_p95_seconds"`
	P99         float64          `json:"latency_p99_seconds"`
	Samples     int64            `json:"samples"`
	Open        int64            `json:"open_incidents"`
	Stuck       int64            `json:"stuck"`
	Behind      int64            `json:"ats_behind"`
	Late        int64            `json:"late"`
	Counts      map[string]int64 `json:"counts"` // by metric.name
}

func (k *KPI) add(metric, name string, n int64) { k.Counts[metric+"."+name] += n }

// Fired is how often a reason or fault came up, for the proof that the run was no tame one.
type Fired struct {
	Kind string `json:"kind"` // reason, fault, cause or share
	Name string `json:"name"`
	// Times it fired, and how often it had to.
	Times int `json:"times"`
	Want  int `json:"want"`
	// Note says why it need not fire here, and what reaches it.
	Note string `json:"note,omitempty"`
}

func newReport() *Report {
	return &Report{
		Reasons: make(map[string]int), Outcomes: make(map[string]int), Incidents: make(map[string]Counts), DeadLetters: make(map[string]int),
		KPI: KPI{Counts: make(map[string]int64)}, kpi: *newRecomputed(), ends: make(map[string]map[int32]int64),
	}
}

// end remembers the last offset of a partition.
func (r *Report) end(rec *Record) {
	p := r.ends[rec.Topic]
	if p == nil {
		p = make(map[int32]int64)
		r.ends[rec.Topic] = p
	}
	p[rec.Partition] = rec.Offset
}

func (r *Report) incident(kind, change string) {
	c := r.Incidents[kind]
	switch change {
	case "opened":
		c.Opened++
	case "resolved":
		c.Resolved++
	case "retracted":
		c.Retracted++
	}
	r.Incidents[kind] = c
}

// latency adds to the histogram: bars at 0.5 s, 1 s, 2 s, … doubling.
func (r *Report) latency(d time.Duration) {
	n := 0
	if half := d.Seconds() / 0.5; half >= 1 {
		n = 1 + int(math.Log2(half))
	}
	for len(r.Latency) <= n {
		r.Latency = append(r.Latency, Bucket{Below: time.Duration(float64(500*time.Millisecond) * math.Pow(2, float64(len(r.Latency))))})
	}
	r.Latency[n].Count++
}

func (r *Report) finish(f *findings) {
	c := r.KPI.Counts
	if all := c["writeback.confirmed"] + c["writeback.blocked"] + c["writeback.refused"] + c["writeback.failed"]; all > 0 {
		r.KPI.SuccessRate = float64(c["writeback.confirmed"]) / float64(all)
	}
	r.Findings = f.sorted()
	r.Clean = len(r.Findings) == 0
}

// sortedKeys returns a map's keys in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
