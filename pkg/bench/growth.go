package bench

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/topics"
)

// Growth is the reconciler's pace when it already knows so many applications.
type Growth struct {
	Applications int    `json:"applications"`
	Keys         string `json:"keys"` // uniform or zipf
	Events       int64  `json:"events"`
	StateBytes   int64  `json:"state_bytes"` // of an application, on average
	Side
}

// zipf is the exponent of the zipf keys: the hottest application gets some 6 % of all events.
const zipf = 1.01

// grown is a deployment that knows some applications. Its state is in its store and in the log.
type grown struct {
	d            *deployment
	load         Load // Past and End move on with each backlog
	applications int
	stateBytes   int64
}

// grow brings a new deployment to know so many applications.
func (b *Bench) grow(ctx context.Context, applications int) (*grown, error) {
	d, err := b.newDeployment(ctx, append(append([]string{}, inputs...), outputs...)...)
	if err != nil {
		return nil, err
	}
	g := &grown{d: d, applications: applications, load: b.Plan.load(applications, 0, 0, b.Plan.Had)}
	if _, err := b.fill(ctx, g.load.before()); err != nil {
		return nil, err
	}
	g.load.Past, g.load.End = g.load.past(), g.load.End.Add(-span)
	pace, err := g.work(ctx, "reconciler")
	if err != nil {
		return nil, err
	}
	b.Say("%d applications are known; %.0f events/s on the way", applications, pace.PerS)
	return g, g.measureStates(ctx)
}

// work runs the role until its backlog is worked off.
func (g *grown) work(ctx context.Context, role string) (Pace, error) {
	p, err := g.d.start(Role{Name: role})
	if err != nil {
		return Pace{}, err
	}
	defer p.kill()
	pace, err := g.d.b.drain(ctx, p, g.d.group, inputs...)
	if err != nil {
		return Pace{}, err
	}
	return pace, p.stop(ctx)
}

// more fills another backlog of events of the applications that are known.
func (g *grown) more(ctx context.Context, events int, exponent float64) (filled, error) {
	return g.d.b.fill(ctx, g.next(g.d.b.Plan.load(g.applications, events, exponent, 0)))
}

// next is l after all that happened before it, in a quarter of the time since: in that time again, each event would be late.
func (g *grown) next(l Load) Load {
	l.Past, l.Span = g.load.Past, l.End.Sub(g.load.End)/4
	l.End = g.load.End.Add(l.Span)
	g.load.End = l.End
	return l
}

// measureStates takes the average of the newest states of one partition.
func (g *grown) measureStates(ctx context.Context) error {
	const most = 20_000
	b := g.d.b
	ends, err := b.adm.ListEndOffsets(ctx, topics.HiringState)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("list offsets: %w", err)
	}
	end, _ := ends.Lookup(topics.HiringState, 0)
	from := kgo.NewOffset().At(max(end.Offset-most, 0))
	cl, err := b.client(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topics.HiringState: {0: from}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
	)
	if err != nil {
		return err
	}
	defer cl.Close()
	var records, bytes int64
	for next := int64(0); next < end.Offset; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s: %w", topics.HiringState, err)
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			next = rec.Offset + 1
			if !rec.Attrs.IsControl() {
				records++
				bytes += size(rec)
			}
		})
	}
	g.stateBytes = bytes / max(records, 1)
	return nil
}

// Grow measures growth and restart, which need the same states, for the parts asked for.
func (b *Bench) Grow(ctx context.Context, growth, restart bool) ([]Growth, []Restart, error) {
	var grew []Growth
	var restarted []Restart
	sizes := append([]int{}, b.Plan.Sizes...)
	if growth && b.Plan.Huge > 0 {
		sizes = append(sizes, b.Plan.Huge)
	}
	for _, n := range sizes {
		again := restart && slices.Contains(b.Plan.Restarts, n)
		if !growth && !again {
			continue
		}
		g, err := b.grow(ctx, n)
		if err != nil {
			return nil, nil, fmt.Errorf("%d applications: %w", n, err)
		}
		if growth {
			got, err := g.growth(ctx)
			if err != nil {
				return nil, nil, fmt.Errorf("%d applications: %w", n, err)
			}
			grew = append(grew, got...)
		}
		if again {
			got, err := g.restart(ctx)
			if err != nil {
				return nil, nil, fmt.Errorf("restart with %d applications: %w", n, err)
			}
			restarted = append(restarted, got)
		}
		if err := g.d.end(ctx); err != nil {
			return nil, nil, err
		}
	}
	return grew, restarted, nil
}

func (g *grown) growth(ctx context.Context) ([]Growth, error) {
	b := g.d.b
	kinds := []struct {
		name     string
		exponent float64
	}{{"uniform", 0}, {"zipf", zipf}}
	var got [2]sides
	out := make([]Growth, len(kinds))
	rounds := b.Plan.Rounds
	if g.applications == b.Plan.Huge {
		rounds = 1
	}
	for round := range rounds {
		for i, kind := range kinds {
			more, err := g.more(ctx, b.Plan.GrowthEvents, kind.exponent)
			if err != nil {
				return nil, err
			}
			pace, err := g.work(ctx, "reconciler")
			if err != nil {
				return nil, err
			}
			b.Say("round %d: %s keys %.0f events/s, %.2f CPU s per million, %d MiB", round+1, kind.name, pace.PerS, pace.CPU, pace.RSS>>20)
			got[i].add(pace)
			out[i] = Growth{Applications: g.applications, Keys: kind.name, Events: more.records, StateBytes: g.stateBytes}
		}
	}
	for i := range out {
		out[i].Side = got[i].side()
	}
	return out, nil
}

// wipe removes the local store.
func (g *grown) wipe() error {
	if err := os.RemoveAll(g.d.dir); err != nil {
		return fmt.Errorf("wipe the store: %w", err)
	}
	return nil
}
