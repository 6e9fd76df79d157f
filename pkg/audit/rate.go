package audit

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Limit is what an instance may be asked: so many requests in any window. With a Burst it is a bucket that holds Burst
// and is filled evenly, so that a window may see Burst more.
type Limit struct {
	Requests int           `json:"requests"`
	Window   time.Duration `json:"window_ns"`
	Burst    int           `json:"burst,omitempty"`
}

// Most is the largest number of requests a window may see.
func (l Limit) Most() int { return l.Requests + l.Burst }

// Tenant is what a run did at one instance.
type Tenant struct {
	System       string `json:"system"`
	Applications int    `json:"applications"`
	Requests     int    `json:"requests"`
	Repeats      int    `json:"repeats"` // requests that repeat a failed one: the same about the same application, after 429, 5xx or no answer
	Writes       int    `json:"writes"`  // changes by Concord
	// Limit is the one measured against, nil for none; Peak the most requests in any window of it.
	Limit *Limit `json:"limit,omitempty"`
	Peak  int    `json:"peak,omitempty"`
}

// meter keeps when an instance was asked. Requests for a token are not counted: they go elsewhere.
type meter struct {
	times                         []time.Time
	applications, writes, repeats int
	failed                        map[asked]bool // the last one failed
}

// asked is what one request after another asks for.
type asked struct {
	application int64
	kind        string
}

func (m *meter) count(e *Entry) {
	if e.Kind == "token" {
		return
	}
	m.times = append(m.times, e.Time)
	this := asked{e.Application, e.Kind}
	if m.failed[this] {
		m.repeats++
	}
	m.failed[this] = e.Status == 0 || e.Status == http.StatusTooManyRequests || e.Status >= http.StatusInternalServerError
}

// mostRepeats is how many of a hundred requests may repeat a failed one; fewRequests are too few to tell.
const (
	mostRepeats = 20
	fewRequests = 100
)

func (a *auditor) meter(system string) *meter {
	m := a.meters[system]
	if m == nil {
		m = &meter{failed: map[asked]bool{}}
		a.meters[system] = m
	}
	return m
}

// peak is the most requests in any window, wherever it begins.
func (m *meter) peak(window time.Duration) int {
	slices.SortFunc(m.times, time.Time.Compare)
	most, from := 0, 0
	for i, t := range m.times {
		for t.Sub(m.times[from]) >= window {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

// checkRates measures how often each instance was asked.
func (a *auditor) checkRates() {
	for _, x := range a.byNative {
		a.meter(x.truth.system).applications++
	}
	for _, system := range sortedKeys(a.meters) {
		m := a.meters[system]
		t := Tenant{System: system, Applications: m.applications, Requests: len(m.times), Repeats: m.repeats, Writes: m.writes}
		if l, ok := a.opt.Limits[system]; ok {
			t.Limit, t.Peak = &l, m.peak(l.Window)
			if t.Peak > l.Most() {
				a.found.add(Rate, fmt.Sprintf("%d requests in %s, where %d are allowed", t.Peak, l.Window, l.Most()), system)
			}
		}
		if t.Requests >= fewRequests && t.Repeats*100 > t.Requests*mostRepeats {
			a.found.add(Rate, fmt.Sprintf("%d of %d requests repeat a failed one, and %d %% may", t.Repeats, t.Requests, mostRepeats), system)
		}
		a.rep.Tenants = append(a.rep.Tenants, t)
	}
}
