package bench

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Parts are what can be measured, in the order in which it is.
func Parts() []string { return []string{"throughput", "sinks", "latency", "growth", "restart"} }

// Report is what a run measured; parts left out are nil.
type Report struct {
	Started    time.Time   `json:"started"`
	Machine    Machine     `json:"machine"`
	Commit     string      `json:"commit"`
	Command    string      `json:"command"`
	Plan       Plan        `json:"plan"`
	Throughput *Throughput `json:"throughput,omitempty"`
	Latency    []Latency   `json:"latency,omitempty"`
	Growth     []Growth    `json:"growth,omitempty"`
	Restart    []Restart   `json:"restart,omitempty"`
	Sinks      *Sinks      `json:"sinks,omitempty"`
}

// Run measures the named parts, all when none is named. With an error comes what had been measured until then.
func (b *Bench) Run(ctx context.Context, only []string) (*Report, error) {
	r := &Report{Started: time.Now(), Plan: b.Plan}
	var err error
	if r.Machine, err = b.machine(ctx); err != nil {
		return nil, err
	}
	wanted := func(part string) bool { return len(only) == 0 || slices.Contains(only, part) }
	for _, part := range []struct {
		name    string
		wanted  bool
		measure func() error
	}{
		{"throughput", wanted("throughput"), func() (err error) {
			r.Throughput, err = b.Throughput(ctx)
			return err
		}},
		{"sinks", wanted("sinks"), func() (err error) {
			r.Sinks, err = b.Sinks(ctx, r.Throughput != nil)
			return err
		}},
		{"latency", wanted("latency"), func() (err error) {
			r.Latency, err = b.Latency(ctx, r.Throughput != nil)
			return err
		}},
		{"growth and restart", wanted("growth") || wanted("restart"), func() (err error) {
			r.Growth, r.Restart, err = b.Grow(ctx, wanted("growth"), wanted("restart"))
			return err
		}},
	} {
		if !part.wanted {
			continue
		}
		b.Say("%s", part.name)
		if err := part.measure(); err != nil {
			return r, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return r, nil
}
