package policylog

import (
	"context"
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
	p, refused := l.taking(d, now)
	if refused != nil {
		return nil, refused
	}
	return p, nil
}

func (l *Log) taking(d hiring.Digest, now time.Time) (*policy.Policy, *Refused) {
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

// Scheduled is a published bundle, and from when on it is in force.
type Scheduled struct {
	From   time.Time
	Digest hiring.Digest
	Policy *policy.Policy // nil where its text is not known
	// Refused is why it is not taken here, where that does not say that it is not in force; nil for one that is taken.
	Refused *Refused
}

// Schedule returns the published bundles that are in force, or may be, the latest last, as the topic's history announces them: it
// is when the reconcilers begin with them. Of several of one time the one published last counts, as in the reconcilers. One that is
// not taken here stands among them with the cause, unless no reconciler can have taken it either: then it is told in words by
// refused, until something else has been put in force.
func (l *Log) Schedule(now time.Time) (all []Scheduled, refused []string) {
	_, activity := l.Published()
	type entry struct {
		Scheduled
		nowhere bool // no reconciler can have taken it
	}
	var entries []entry
	told := map[wire.Digest]bool{}
	for i := range activity {
		c := &activity[i]
		var d policy.Digest
		if err := d.UnmarshalText([]byte(c.Policy)); err != nil || told[Activation(&c.Control)] || late(&c.Control, c.At) != nil {
			continue // no reconciler takes it either
		}
		told[Activation(&c.Control)] = true
		e := entry{Scheduled: Scheduled{From: c.EffectiveAt.Time(), Digest: hiring.Digest(d[:16])}}
		if e.Policy, e.Refused = l.taking(e.Digest, now); e.Refused != nil {
			if b := l.known(e.Digest); b != nil {
				e.Policy = b.Policy
			}
			e.nowhere = !l.elsewhere(e.Digest, e.Refused.Cause, c.At)
		}
		if e.Policy != nil && e.Policy.Bundle.EffectiveFrom.After(e.From) {
			e.From = e.Policy.Bundle.EffectiveFrom.Time
		}
		scheduled := 0
		for _, other := range entries {
			if !other.nowhere && other.From.After(c.At) {
				scheduled++
			}
		}
		if crowded := Crowded(scheduled); crowded != nil && !e.nowhere { // the reconcilers count the same
			e.Refused, e.nowhere = crowded, true
		}
		entries = append(entries, e)
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return a.From.Compare(b.From) }) // of one time the last published is the last
	for _, e := range entries {
		if e.nowhere {
			refused = append(refused, fmt.Sprintf("policy %x is published and not taken up: %v", e.Digest, e.Refused))
			continue
		}
		all, refused = append(all, e.Scheduled), nil
	}
	return all, refused
}

// elsewhere reports whether a reconciler can have taken, when it was announced, what is refused here now: all signed who must and only
// this process's keys file speaks against it, or what stood in the topic then is not known any more.
func (l *Log) elsewhere(d hiring.Digest, cause Cause, announced time.Time) bool {
	l.mu.Lock()
	b, altered := l.bundles[d], l.alteredAt[d]
	l.mu.Unlock()
	switch {
	case b != nil && b.At.After(announced):
		return true
	case b != nil:
		signers, refused := l.signers()
		if refused != nil {
			signers = nil
		}
		return b.Policy.Provable(b.Signatures, signers, announced)
	case cause == CauseAltered:
		return altered.After(announced)
	}
	return true
}
