package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// Throughput is the reconciler beside the copy of what it wrote.
type Throughput struct {
	Events       int64 `json:"events"` // delivered, duplicates included
	EventBytes   int64 `json:"event_bytes"`
	Applications int   `json:"applications"`

	Reconciler Side   `json:"reconciler"`
	Copy       Side   `json:"copy"`
	Ratio      Spread `json:"ratio"`     // of events per second, round by round
	CPURatio   Spread `json:"cpu_ratio"` // of CPU per event, round by round

	// Outputs are what the reconciler wrote in the last round, Reasons what its decisions there were.
	Outputs []Written        `json:"outputs"`
	Reasons map[string]int64 `json:"reasons"`
}

// Side is one of two that are compared.
type Side struct {
	PerS Spread `json:"per_second"`
	CPU  Spread `json:"cpu_seconds_per_million"`
	RSS  Spread `json:"peak_rss_bytes"`
}

// Written is what came out for each input record.
type Written struct {
	Topic    string  `json:"topic"`
	PerInput float64 `json:"per_input"`
	Bytes    float64 `json:"bytes"`
}

// Throughput measures the reconciler on a backlog and then the copy on the same one, round by round.
func (b *Bench) Throughput(ctx context.Context) (*Throughput, error) {
	all := append(append([]string{}, inputs...), outputs...)
	if _, err := b.newDeployment(ctx, all...); err != nil {
		return nil, err
	}
	got, err := b.fill(ctx, b.Plan.load(b.Plan.Applications, b.Plan.Events, 0, 0))
	if err != nil {
		return nil, err
	}
	out := &Throughput{Events: got.records, EventBytes: got.bytes / got.records, Applications: b.Plan.Applications}
	var concord, raw sides
	var ratios, cpu []float64
	for round := range b.Plan.Rounds {
		mine, shape, reasons, err := b.reconcilerRound(ctx, got.records)
		if err != nil {
			return nil, err
		}
		b.Say("round %d: reconciler %.0f events/s, %.2f CPU s per million, %d MiB", round+1, mine.PerS, mine.CPU, mine.RSS>>20)
		theirs, err := b.copyRound(ctx, shape)
		if err != nil {
			return nil, err
		}
		b.Say("round %d: copy       %.0f events/s, %.2f CPU s per million, %d MiB", round+1, theirs.PerS, theirs.CPU, theirs.RSS>>20)
		concord.add(mine)
		raw.add(theirs)
		if theirs.PerS > 0 && theirs.CPU > 0 { // else the backlog was too short to be measured
			ratios, cpu = append(ratios, mine.PerS/theirs.PerS), append(cpu, mine.CPU/theirs.CPU)
		}
		out.Outputs, out.Reasons = out.Outputs[:0], reasons
		for i := range shape.Outputs {
			o := &shape.Outputs[i]
			out.Outputs = append(out.Outputs, Written{o.Topic[len(copyOf("")):], o.PerInput, o.Bytes})
		}
	}
	out.Reconciler, out.Copy, out.Ratio, out.CPURatio = concord.side(), raw.side(), spread(ratios), spread(cpu)
	return out, nil
}

func (b *Bench) reconcilerRound(ctx context.Context, n int64) (pace Pace, shape Shape, reasons map[string]int64, err error) {
	d, err := b.newDeployment(ctx, outputs...)
	if err != nil {
		return pace, shape, nil, err
	}
	p, err := d.start(Role{Name: "reconciler"})
	if err != nil {
		return pace, shape, nil, err
	}
	defer p.kill()
	if pace, err = b.drain(ctx, p, d.group, inputs...); err != nil {
		return pace, shape, nil, err
	}
	if err = p.stop(ctx); err != nil {
		return pace, shape, nil, err
	}
	if shape, reasons, err = b.shape(ctx, n); err != nil {
		return pace, shape, nil, err
	}
	return pace, shape, reasons, d.end(ctx)
}

func (b *Bench) copyRound(ctx context.Context, shape Shape) (pace Pace, err error) {
	d, err := b.newCopy(ctx, shape)
	if err != nil {
		return pace, err
	}
	role, err := b.copyRole(shape)
	if err != nil {
		return pace, err
	}
	p, err := d.start(role)
	if err != nil {
		return pace, err
	}
	defer p.kill()
	if pace, err = b.drain(ctx, p, d.group, inputs...); err != nil {
		return pace, err
	}
	return pace, p.stop(ctx)
}

// newCopy is a deployment for a copy that writes a shape, with the named topics emptied as well.
func (b *Bench) newCopy(ctx context.Context, shape Shape, empty ...string) (*deployment, error) {
	d, err := b.newDeployment(ctx, append(b.copies(), empty...)...)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range shape.Outputs {
		names = append(names, shape.Outputs[i].Topic)
		if _, err := b.adm.CreateTopic(ctx, b.Topics.Partitions, b.Topics.Replication, nil, names[i]); err != nil {
			return nil, fmt.Errorf("create topic %s: %w", names[i], err)
		}
	}
	return d, b.until(ctx, 30*time.Second, "the topics of the copy are created", func() (bool, error) {
		err := b.known(ctx, names)
		return err == nil, err
	})
}

func (b *Bench) copyRole(shape Shape) (Role, error) {
	path := filepath.Join(b.dir, "shape.json")
	return Role{Name: "copy", Shape: path}, shape.save(path)
}

// sides collects the rounds of one side.
type sides struct{ perS, cpu, rss []float64 }

func (s *sides) add(p Pace) {
	s.perS, s.cpu, s.rss = append(s.perS, p.PerS), append(s.cpu, p.CPU), append(s.rss, float64(p.RSS))
}

func (s *sides) side() Side { return Side{spread(s.perS), spread(s.cpu), spread(s.rss)} }
