package poller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// SourceBackfill is the source of the snapshots of a backfill: an estate that is loaded is no drift.
const SourceBackfill = "concord://backfill"

// BackfillConfig is what a backfill needs.
type BackfillConfig struct {
	Opts    []kgo.Opt // brokers, TLS, SASL
	Schemas *wire.Schemas
	Name    string // the ATS instance
	System  System
	// Since is where it begins, in the ATS's time; zero: with everything there is.
	Since time.Time
	// Again begins anew, wherever an earlier one of the same name and time has come to.
	Again bool
	// Shown is told after each page; may be nil.
	Shown  func(Progress)
	Logger *zap.Logger // may be nil
}

// Progress is how far a backfill is.
type Progress struct {
	Applications int64 // published since the very beginning
	// Newest is the latest update in the newest page; zero where the ATS has no such time.
	Newest time.Time
	// Resumed: an earlier run, cut short, is gone on with; false again once its place turns out to be refused.
	Resumed bool
	Done    bool // it had come to its end before, nothing was done
}

// Backfill publishes everything an ATS lists as changed since a time as snapshots on ats.changes, at the pace System.Allow
// sets. It keeps its place on ats.cursors, so one that was cut short goes on where it was, or begins anew where the ATS
// no longer takes that place. What the ATS asks it to wait, it waits; any other error ends it, to be started again.
func Backfill(ctx context.Context, cfg BackfillConfig) (Progress, error) {
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	client, err := kgo.NewClient(append(slices.Clone(cfg.Opts), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))...)
	if err != nil {
		return Progress{}, fmt.Errorf("backfill: kafka client: %w", err)
	}
	defer client.Close()
	key := "backfill/" + cfg.Name
	if !cfg.Since.IsZero() {
		key += "/" + cfg.Since.UTC().Format(time.RFC3339)
	}
	at, found, err := find(ctx, client, cfg.Opts, key)
	if err != nil {
		return Progress{}, err
	}
	switch {
	case found && at.Done && !cfg.Again:
		return Progress{Applications: at.Applications, Done: true}, nil
	case !found || cfg.Again:
		at, found = place{Cursor: ats.Cursor{Since: cfg.Since}}, false
	}
	progress := Progress{Applications: at.Applications, Resumed: found}
	w := &walker{
		client: client, schemas: cfg.Schemas, system: cfg.Name, ats: cfg.System, key: key, source: SourceBackfill, clock: time.Now, atOnce: true,
		shown: func(p *place, page *ats.Page) {
			progress.Applications = p.Applications
			for i := range page.Changed {
				if u := page.Changed[i].Reading.UpdatedAt; u.After(progress.Newest) {
					progress.Newest = u
				}
			}
			if cfg.Shown != nil {
				cfg.Shown(progress)
			}
		},
		anew: func(err error) {
			progress.Applications, progress.Resumed = 0, false
			cfg.Logger.Warn("the page a backfill stands at is refused: it begins anew", zap.String("system", cfg.Name), zap.Error(err))
		},
	}
	for {
		err := w.walk(ctx, &at)
		var failure *ats.Error
		switch {
		case err == nil:
			at.Done = true
			return progress, w.save(ctx, &at)
		case errors.As(err, &failure) && failure.Code == ats.CodeRateLimited:
			if err := sleep(ctx, max(failure.RetryAfter, time.Second)); err != nil {
				return progress, err
			}
		default:
			return progress, err
		}
	}
}

// find reads the newest place of a key.
func find(ctx context.Context, client *kgo.Client, opts []kgo.Opt, key string) (at place, found bool, err error) {
	starts, ends, err := bounds(client)
	if err != nil {
		return place{}, false, fmt.Errorf("backfill: %s: %w", topics.ATSCursors, err)
	}
	n := int32(kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: []byte(key)}, len(ends)))
	reader, err := kgo.NewClient(append(slices.Clone(opts),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topics.ATSCursors: {n: kgo.NewOffset().AtStart()}}))...)
	if err != nil {
		return place{}, false, fmt.Errorf("backfill: kafka client: %w", err)
	}
	defer reader.Close()
	for next := starts[n]; next < ends[n]; {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return place{}, false, fmt.Errorf("backfill: read %s: %w", topics.ATSCursors, err)
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			next = rec.Offset + 1
			var p place
			if string(rec.Key) == key && json.Unmarshal(rec.Value, &p) == nil {
				at, found = p, true
			}
		})
	}
	return at, found, nil
}
