package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/topics"
)

// inputs are the topics a load fills.
var inputs = []string{topics.ScreeningEvents, topics.ATSChanges}

// filled is what a load came to.
type filled struct {
	records, bytes int64 // keys, values and headers
}

// fill produces a load as fast as the cluster takes it.
func (b *Bench) fill(ctx context.Context, l Load) (filled, error) {
	cl, err := b.client(kgo.ProducerLinger(20*time.Millisecond), kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.MaxBufferedRecords(100_000))
	if err != nil {
		return filled{}, err
	}
	defer cl.Close()
	var out filled
	var failed atomic.Pointer[error]
	started := time.Now()
	l.Each(b.Schemas, func(rec *kgo.Record) bool {
		out.records++
		out.bytes += size(rec)
		cl.Produce(ctx, rec, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.CompareAndSwap(nil, &err)
			}
		})
		return failed.Load() == nil && ctx.Err() == nil
	})
	if err := cl.Flush(ctx); err != nil {
		return out, fmt.Errorf("fill the input topics: %w", err)
	}
	if err := failed.Load(); err != nil {
		return out, fmt.Errorf("fill the input topics: %w", *err)
	}
	b.Say("backlog of %d events of %d applications, %d bytes each, in %.1f s", out.records, l.Applications, out.bytes/max(out.records, 1), time.Since(started).Seconds())
	return out, nil
}

// client is one with further options.
func (b *Bench) client(opts ...kgo.Opt) (*kgo.Client, error) {
	cl, err := kgo.NewClient(append(b.Opts[:len(b.Opts):len(b.Opts)], opts...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	return cl, nil
}

func size(rec *kgo.Record) int64 {
	n := len(rec.Key) + len(rec.Value)
	for _, h := range rec.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}

// Pace is how fast a process worked off a backlog, from the first transaction that was seen committed to the last. What it
// did before, its start included, does not count.
type Pace struct {
	Records int64   `json:"records"`
	PerS    float64 `json:"per_second"`
	CPU     float64 `json:"cpu_seconds_per_million"`
	RSS     int64   `json:"peak_rss_bytes"` // since the process started
}

// pollEvery is how often committed offsets are read: often enough to place the first and last commit to a percent of a
// run, seldom enough not to be felt.
const pollEvery = 25 * time.Millisecond

// drain waits until a group has committed all there is on its topics. It counts from the first commit after all the
// process's sessions are in the group.
func (b *Bench) drain(ctx context.Context, p *process, group string, topics ...string) (Pace, error) {
	starts, err := b.committed(ctx, group, topics...)
	if err != nil {
		return Pace{}, err
	}
	total, err := b.ends(ctx, topics...)
	if err != nil {
		return Pace{}, err
	}
	var (
		first, done  = starts, starts
		began, moved = time.Time{}, time.Now()
		before       usage
		shown        = time.Now()
		joined       = false
	)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		last := done
		if done, err = b.committed(ctx, group, topics...); err != nil {
			return Pace{}, err
		}
		now := time.Now()
		if done > last {
			moved = now
			if began.IsZero() && joined {
				if before, err = p.usage(); err != nil {
					return Pace{}, err
				}
				first, began = done, now
			}
		}
		if done >= total {
			after, err := p.usage()
			if err != nil {
				return Pace{}, err
			}
			out := Pace{Records: total - starts, RSS: after.peak}
			if n := float64(total - first); n > 0 && !began.IsZero() {
				out.PerS, out.CPU = n/now.Sub(began).Seconds(), (after.cpu-before.cpu).Seconds()/n*1e6
			}
			return out, nil
		}
		if !joined {
			if joined, err = b.settled(ctx, group); err != nil {
				return Pace{}, err
			}
		}
		if err := p.alive(); err != nil {
			return Pace{}, err
		}
		if now.Sub(moved) > stall {
			return Pace{}, fmt.Errorf("%s made no progress for %s at %d of %d records", p.role, stall, done, total)
		}
		if now.Sub(shown) > 5*time.Second {
			shown = now
			b.Say("  %s: %d of %d", p.role, done-starts, total-starts)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return Pace{}, ctx.Err()
		}
	}
}

// settled says whether every session of a process is a member of its group, and the group at work.
func (b *Bench) settled(ctx context.Context, group string) (bool, error) {
	groups, err := b.adm.DescribeGroups(ctx, group)
	if err != nil {
		return false, fmt.Errorf("describe group %s: %w", group, err)
	}
	g := groups[group]
	return g.State == "Stable" && len(g.Members) >= b.Sessions, nil
}

// stall is how long a process may show no progress before the run gives up.
const stall = 90 * time.Second

// committed is the sum of a group's committed offsets, a topic read from its start counting from there.
func (b *Bench) committed(ctx context.Context, group string, topics ...string) (int64, error) {
	var offsets kadm.OffsetResponses
	// A young cluster has no coordinator for a moment.
	err := b.until(ctx, 30*time.Second, "committed offsets of "+group+" are known", func() (_ bool, err error) {
		offsets, err = b.adm.FetchOffsets(ctx, group)
		return err == nil, err
	})
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, topic := range topics {
		for _, o := range offsets[topic] {
			sum += max(o.At, 0)
		}
	}
	return sum, nil
}

func (b *Bench) ends(ctx context.Context, topics ...string) (int64, error) {
	ends, err := b.adm.ListEndOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("list offsets: %w", err)
	}
	var sum int64
	ends.Each(func(o kadm.ListedOffset) { sum += o.Offset })
	return sum, nil
}
