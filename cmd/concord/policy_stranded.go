package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policylog"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// strandedRow is what a bundle has no place for: a state or an ATS, and how many applications there are.
type strandedRow struct {
	Kind         string `json:"kind"` // state or ats
	Name         string `json:"name"`
	Applications int    `json:"applications"`
}

// place is where an application stands, and the ATS that shows it.
type place struct{ stage, ats string }

// stay is a place and since when, as far as the bundles of the partition tell times apart.
type stay struct {
	place
	since hiring.Micros
}

// standing is where the applications of a partition stand, and the rules by which they go on from there: those in force, and those
// announced for a time to come.
type standing struct {
	rules     *hiring.Rules
	scheduled int // announcements for a time to come, also of one time
	stays     map[stay]int
}

// stranded returns the applications that a bundle has no place for when it comes into force at a time: where each will stand by then, as
// the bundles move it that come before, and as its own migrations do.
func stranded(partitions []standing, b *hiring.Bundle, at time.Time) []strandedRow {
	places, from := map[place]int{}, hiring.FromTime(at)
	for _, p := range partitions {
		rules := p.rules.Activate(b, from)
		for s, n := range p.stays {
			s.stage = string(rules.Migrated(hiring.Stage(s.stage), s.since, from))
			places[s.place] += n
		}
	}
	return unplaced(b, places)
}

// unplaced returns what of the places a bundle does not have.
func unplaced(b *hiring.Bundle, places map[place]int) []strandedRow {
	count := map[strandedRow]int{}
	for at, n := range places {
		if at.stage != "" && b.Stage(hiring.Stage(at.stage)) == nil {
			count[strandedRow{Kind: "state", Name: at.stage}] += n
		}
		if system, ok := b.System(at.ats); at.ats != "" && (!ok || system.Mapping == nil) && !b.Keeps(at.ats) {
			count[strandedRow{Kind: "ats", Name: at.ats}] += n
		}
	}
	var out []strandedRow
	for row, n := range count {
		row.Applications = n
		out = append(out, row)
	}
	slices.SortFunc(out, func(a, b strandedRow) int { return strings.Compare(a.Kind+a.Name, b.Kind+b.Name) })
	return out
}

// occupied reads hiring.state to its end for a bundle that is to be published.
func (a *app) occupied(ctx context.Context, r *reader, published *hiring.Bundle) ([]standing, error) {
	start, end, err := r.bounds(ctx, topics.HiringState)
	if err != nil {
		return nil, err
	}
	log := a.policyLog(r.opts, r.schemas, "")
	if err := log.Read(ctx); err != nil {
		return nil, err
	}
	now := time.Now()
	bar := a.bar("looking where applications stand")
	defer bar.done()
	out := make([]standing, 0, len(end[topics.HiringState]))
	for n, o := range end[topics.HiringState] {
		from := start[topics.HiringState][n].Offset
		last, record := map[string]stay{}, new(wire.PartitionPolicy)
		if err := r.scan(ctx, topics.HiringState, n, from, o.Offset, func(rec *kgo.Record) error {
			bar.show((float64(n) + float64(rec.Offset-from)/float64(o.Offset-from)) / float64(len(end[topics.HiringState])))
			if rec.Value == nil {
				delete(last, string(rec.Key))
				return nil
			}
			var s wire.HiringState
			if err := r.schemas.Decode(ctx, rec.Value, &s); err != nil {
				return fmt.Errorf("state of %s: %w", rec.Key, err)
			}
			if hiring.Ours(string(rec.Key)) {
				if s.Policy != nil {
					record = s.Policy
				}
				return nil
			}
			if err := s.Resolve(); err != nil {
				return fmt.Errorf("state of %s: %w", rec.Key, err)
			}
			if s.Erased {
				delete(last, string(rec.Key))
				return nil
			}
			h := &s.Head
			last[string(rec.Key)] = stay{place{strings.Clone(h.Stage), strings.Clone(h.LevelSystem)}, hiring.Micros(max(h.EnteredAt, h.MigratedAt))}
			return nil
		}); err != nil {
			return nil, err
		}
		here := standing{stays: map[stay]int{}}
		if here.rules, here.scheduled, err = a.upcoming(ctx, log, record, published, now); err != nil {
			return nil, fmt.Errorf("partition %d: %w", n, err)
		}
		for key, s := range last {
			if s.ats == "" && s.stage != "" { // kept without an ATS, or no ATS has said a word yet
				if instance, _, _ := strings.Cut(key, "/"); here.rules.At(hiring.FromTime(now)).Keeps(instance) {
					s.ats = instance
				}
			}
			s.since = min(s.since, here.rules.At(s.since).EffectiveAt)
			here.stays[s]++
		}
		out = append(out, here)
	}
	return out, nil
}

// upcoming are the rules of a partition: the configured ones, what its record says, and what is announced for a time to come and will be
// there once it is heard of. Scheduled is how many come into force after now.
func (a *app) upcoming(ctx context.Context, log *policylog.Log, record *wire.PartitionPolicy, published *hiring.Bundle, now time.Time) (rules *hiring.Rules, scheduled int, err error) {
	if rules, err = a.rules(); err != nil {
		return nil, 0, err
	}
	for _, b := range rules.Bundles {
		if b.EffectiveAt.Time().After(now) {
			scheduled++
		}
	}
	for _, in := range record.Bundles {
		if in.EffectiveAt.Time().After(now) {
			scheduled++
		}
		b := published
		if hiring.Digest(in.Policy) != b.Digest {
			if b, err = log.Text(ctx, hiring.Digest(in.Policy)); err != nil && in.EffectiveAt.Time().After(now) {
				return nil, 0, fmt.Errorf("where applications will stand is not known: %w", err)
			} else if err != nil {
				continue // publishing it again is what mends that; it has moved them by now
			}
		}
		rules = rules.Activate(b, hiring.Micros(in.EffectiveAt))
	}
	announced, _ := log.Schedule(now)
	for _, s := range announced {
		heard := slices.ContainsFunc(record.Bundles, func(in wire.ActiveBundle) bool {
			return hiring.Digest(in.Policy) == s.Digest && in.EffectiveAt >= wire.MicrosOf(s.From)
		})
		if heard || s.Refused != nil || !s.From.After(now) {
			continue
		}
		b, err := s.Policy.Compile()
		if err != nil {
			return nil, 0, fmt.Errorf("policy %x: %w", s.Digest, err)
		}
		rules = rules.Activate(b, hiring.FromTime(s.From))
		scheduled++
	}
	return rules, scheduled, nil
}

// refuseStranded prints what has no place.
func (a *app) refuseStranded(lost []strandedRow) error {
	if a.json {
		if err := a.printJSON(struct {
			Stranded []strandedRow `json:"stranded"`
		}{lost}); err != nil {
			return err
		}
	} else {
		var rows [][]string
		for _, l := range lost {
			rows = append(rows, []string{l.Kind, l.Name, strconv.Itoa(l.Applications)})
		}
		if err := a.table([]string{"NOT IN THE BUNDLE", "NAME", "APPLICATIONS"}, rows); err != nil {
			return err
		}
	}
	a.say("nothing was published: the bundle has no place for these applications; add the state or the ATS, or say in migrations of bundle.yaml where those of a state go")
	return errFindings
}
