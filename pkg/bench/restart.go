package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// Restart is how long a reconciler that was killed under load takes from the assignment of its partitions to the first
// event that it has committed again.
type Restart struct {
	Applications int    `json:"applications"`
	Kept         Spread `json:"kept_seconds"`
	Wiped        Spread `json:"wiped_seconds"`
	Records      int64  `json:"changelog_records"`  // read by a wiped restore
	PerS         Spread `json:"records_per_second"` // of a wiped restore, all sessions together
}

func (g *grown) restart(ctx context.Context) (Restart, error) {
	out := Restart{Applications: g.applications}
	var kept, wiped, rates []float64
	for range g.d.b.Plan.Rounds {
		took, _, _, err := g.killed(ctx, false)
		if err != nil {
			return out, fmt.Errorf("store kept: %w", err)
		}
		again, records, rate, err := g.killed(ctx, true)
		if err != nil {
			return out, fmt.Errorf("store wiped: %w", err)
		}
		g.d.b.Say("first event after kill -9: store kept %.2f s, wiped %.2f s, %.0f changelog records/s", took.Seconds(), again.Seconds(), rate)
		kept, wiped, rates, out.Records = append(kept, took.Seconds()), append(wiped, again.Seconds()), append(rates, rate), records
	}
	out.Kept, out.Wiped, out.PerS = spread(kept), spread(wiped), spread(rates)
	return out, nil
}

// killed kills the reconciler under load, starts it again, and tells how long it took until it committed something, and
// what it had to restore.
func (g *grown) killed(ctx context.Context, wipe bool) (took time.Duration, records int64, rate float64, err error) {
	b := g.d.b
	if _, err := g.more(ctx, b.Plan.RestartEvents, 0); err != nil {
		return 0, 0, 0, err
	}
	first, err := g.d.start(Role{Name: "reconciler"})
	if err != nil {
		return 0, 0, 0, err
	}
	defer first.kill()
	before, err := b.committed(ctx, g.d.group, inputs...)
	if err != nil {
		return 0, 0, 0, err
	}
	if err := b.until(ctx, stall, "the reconciler is at work", func() (bool, error) {
		if err := first.alive(); err != nil {
			return false, err
		}
		at, err := b.committed(ctx, g.d.group, inputs...)
		return at > before+int64(b.Plan.RestartEvents)/8, err
	}); err != nil {
		return 0, 0, 0, err
	}
	first.kill()
	if wipe {
		if err := g.wipe(); err != nil {
			return 0, 0, 0, err
		}
	}
	second, err := g.d.start(Role{Name: "reconciler"})
	if err != nil {
		return 0, 0, 0, err
	}
	defer second.kill()
	// What the killed process had asked for may still be committed up to here.
	var r restored
	if err := b.until(ctx, stall, "partitions are assigned", func() (bool, error) {
		r, err = readRestore(second.log)
		return !r.assigned.IsZero(), errors.Join(err, second.alive())
	}); err != nil {
		return 0, 0, 0, err
	}
	at, err := b.committed(ctx, g.d.group, inputs...)
	if err != nil {
		return 0, 0, 0, err
	}
	var went time.Time
	for went.IsZero() {
		now := time.Now()
		done, err := b.committed(ctx, g.d.group, inputs...)
		switch {
		case err != nil:
			return 0, 0, 0, err
		case done > at:
			went = now
		}
		if err := errors.Join(second.alive(), pause(ctx, pollEvery)); err != nil {
			return 0, 0, 0, err
		}
	}
	if _, err := b.drain(ctx, second, g.d.group, inputs...); err != nil {
		return 0, 0, 0, err
	}
	if err := second.stop(ctx); err != nil {
		return 0, 0, 0, err
	}
	if r, err = readRestore(second.log); err != nil {
		return 0, 0, 0, err
	}
	if r.took > 0 {
		rate = float64(r.records) / r.took.Seconds()
	}
	return went.Sub(r.assigned), r.records, rate, nil
}

// restored is what the log of a process says of its restore.
type restored struct {
	assigned time.Time // first assignment
	records  int64     // of all sessions
	took     time.Duration
}

// readRestore reads the log of a process: its first assignment, and the restores that ended, together. They run at once,
// from the first assignment to the last end.
func readRestore(path string) (restored, error) {
	var out restored
	f, err := os.Open(path)
	if err != nil {
		return out, fmt.Errorf("read log: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			Time    time.Time `json:"time"`
			Msg     string    `json:"msg"`
			Records int64     `json:"records"`
			Took    string    `json:"took"`
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue
		}
		switch line.Msg {
		case "partitions assigned":
			if out.assigned.IsZero() {
				out.assigned = line.Time
			}
		case "partitions restored":
			took, err := time.ParseDuration(line.Took)
			if err != nil {
				return out, fmt.Errorf("read log: %w", err)
			}
			out.records += line.Records
			out.took = max(out.took, took)
		}
	}
	if err := lines.Err(); err != nil {
		return out, fmt.Errorf("read log: %w", err)
	}
	return out, nil
}
