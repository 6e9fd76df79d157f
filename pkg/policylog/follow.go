package policylog

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// Follow reads the topic on, every so often, until ctx ends, and tells after each reading how it went.
func (l *Log) Follow(ctx context.Context, every time.Duration, read func(error)) error {
	cl, err := l.client()
	if err != nil {
		return fmt.Errorf("read topic %s: %w", topics.Policy, err)
	}
	defer cl.Close()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		l.reading.Lock()
		err := l.read(ctx, cl)
		l.reading.Unlock()
		if ctx.Err() != nil {
			return nil
		}
		read(err)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Taken returns a published bundle that is proven now, or was when this log first took it: what has been taken up stays. The
// error is a *Refused.
func (l *Log) Taken(d hiring.Digest, now time.Time) (*policy.Policy, error) {
	l.mu.Lock()
	b, refused, taken := l.bundles[d], l.refused[d], l.taken[d]
	l.mu.Unlock()
	if b == nil {
		b = l.kept(d)
	}
	switch {
	case b == nil && refused != nil:
		return nil, refused
	case b == nil:
		return nil, &Refused{CauseUnknown, fmt.Errorf("topic %s holds no archive of %x", topics.Policy, d)}
	case taken:
		return b.Policy, nil
	}
	if refused := l.proof(b, now); refused != nil && !l.tookBefore(d) {
		return nil, refused
	} else if refused == nil {
		l.took(d)
	}
	l.mu.Lock()
	l.taken[d] = true
	l.mu.Unlock()
	return b.Policy, nil
}

// Scheduled is a published bundle that is taken, and from when on it is in force.
type Scheduled struct {
	From   time.Time
	Policy *policy.Policy
}

// Schedule returns the published bundles that are taken, the latest last, as the topic's history announces them: it is when the reconcilers
// begin with them, if all of them take them too. Of several of one time the one published last counts, as in the
// reconcilers. Refused are, in words, those that are announced and not taken, unless
// something else has been put in force since.
func (l *Log) Schedule(now time.Time) (taken []Scheduled, refused []string) {
	_, activity := l.Published()
	type entry struct {
		Scheduled
		why string // it is not taken
	}
	var all []entry
	told := map[wire.Digest]bool{}
	for i := range activity {
		c := &activity[i]
		var d policy.Digest
		if err := d.UnmarshalText([]byte(c.Policy)); err != nil || told[Activation(&c.Control)] || late(&c.Control, c.At) != nil {
			continue // no reconciler takes it either
		}
		told[Activation(&c.Control)] = true
		e := entry{Scheduled: Scheduled{From: c.EffectiveAt.Time()}}
		p, err := l.Taken(hiring.Digest(d[:16]), now)
		if err != nil {
			e.why = fmt.Sprintf("policy %s is published and not taken up: %v", hex.EncodeToString(d[:16]), err)
		} else if e.Policy = p; p.Bundle.EffectiveFrom.After(e.From) {
			e.From = p.Bundle.EffectiveFrom.Time
		}
		all = append(all, e)
	}
	slices.SortStableFunc(all, func(a, b entry) int { return a.From.Compare(b.From) }) // of one time the last published is the last
	for _, e := range all {
		if e.why != "" {
			refused = append(refused, e.why)
			continue
		}
		taken, refused = append(taken, e.Scheduled), nil
	}
	return taken, refused
}
