package bench

import (
	"context"
	"fmt"
	"slices"
)

// Parts are what can be measured, in the order in which it is.
func Parts() []string { return []string{"throughput"} }

// Report is what a run measured; parts left out are nil.
type Report struct {
	Plan       Plan        `json:"plan"`
	Throughput *Throughput `json:"throughput,omitempty"`
}

// Run measures the named parts, all when none is named.
func (b *Bench) Run(ctx context.Context, only []string) (*Report, error) {
	r := &Report{Plan: b.Plan}
	for _, part := range Parts() {
		if len(only) > 0 && !slices.Contains(only, part) {
			continue
		}
		b.Say("%s", part)
		var err error
		switch part {
		case "throughput":
			r.Throughput, err = b.Throughput(ctx)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part, err)
		}
	}
	return r, nil
}
