package poller

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// maxHeld bounds how many readings a walk holds while they settle.
const maxHeld = 5000

// place is a record of ats.cursors: where the walk over one ATS stands.
type place struct {
	Cursor ats.Cursor `json:"cursor"`
	// Done says that a backfill has come to its end.
	Done bool `json:"done,omitempty"`
	// Applications counts what a backfill has published so far.
	Applications int64 `json:"applications,omitempty"`
}

// walker publishes what one ATS lists as changed. It keeps no state but its place on ats.cursors. Not safe for
// concurrent use.
type walker struct {
	client  *kgo.Client // idempotent, acks by all replicas, murmur2
	schemas *wire.Schemas
	system  string // the ATS instance
	ats     System
	key     string // of the place on ats.cursors
	source  string // of the snapshots
	settle  time.Duration
	atOnce  bool // publish each page as it comes
	clock   func() time.Time
	shown   func(p *place, page *ats.Page) // told after each page is published; may be nil
	anew    func(err error)                // told when a page's token is refused and the walk begins anew
}

// held is a page that settles.
type held struct {
	page ats.Page
	read time.Time
}

// walk goes from p to the end of what has changed, and leaves p there. On an error p is where the next walk goes on. Where
// the ATS does not take a token of p it begins anew, twice at most: one that refuses each page's has no end to reach.
func (w *walker) walk(ctx context.Context, p *place) error {
	var pages []held
	readings, at, again := 0, p.Cursor, 0
	for more := true; more; {
		if err := w.ats.Allow(ctx); err != nil {
			return err
		}
		page, err := w.ats.Client.ListChanged(ctx, at)
		if from, ok := at.Anew(); ok && err != nil && ats.ClassOf(err) == ats.Refused && again < 2 {
			w.anew(err)
			if err := w.publish(ctx, p, pages); err != nil {
				return err
			}
			pages, readings, again = pages[:0], 0, again+1
			at, *p = from, place{Cursor: from}
			continue
		}
		if err != nil {
			return fmt.Errorf("list what changed in %s: %w", w.system, err)
		}
		at, more = page.Next, page.More
		pages = append(pages, held{page, w.clock()})
		if readings += len(page.Changed); !more || readings >= maxHeld || w.atOnce {
			if err := w.publish(ctx, p, pages); err != nil {
				return err
			}
			pages, readings = pages[:0], 0
		}
	}
	return nil
}

// publish publishes pages in order, each once it has settled, and moves p behind each.
func (w *walker) publish(ctx context.Context, p *place, pages []held) error {
	for i := range pages {
		h := &pages[i]
		if len(h.page.Changed) > 0 {
			if err := sleep(ctx, w.settle-w.clock().Sub(h.read)); err != nil {
				return err
			}
		}
		records := make([]*kgo.Record, 0, len(h.page.Changed))
		for j := range h.page.Changed {
			c := &h.page.Changed[j]
			change := ats.Snapshot(w.source, w.system, w.system+"/"+c.ApplicationID, c.Reading, h.read)
			records = append(records, w.record(topics.ATSChanges, &change))
			if mark := ats.Anonymized(w.source, w.system, change.ApplicationID, c.Reading, h.read); mark != nil {
				records = append(records, w.record(topics.CandidateEvents, mark))
			}
		}
		if err := w.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return fmt.Errorf("publish snapshots of %s: %w", w.system, err)
		}
		next := place{Cursor: h.page.Next, Applications: p.Applications + int64(len(h.page.Changed))}
		if err := w.save(ctx, &next); err != nil {
			return err
		}
		*p = next
		if w.shown != nil {
			w.shown(p, &h.page)
		}
	}
	return nil
}

// record frames an event with its CloudEvents headers.
func (w *walker) record(topic string, e wire.Event) *kgo.Record {
	env := e.Envelope()
	out := &kgo.Record{Topic: topic, Key: []byte(env.Subject), Value: w.schemas.Append(nil, e)}
	for _, h := range wire.EnvelopeHeaders(nil, env) {
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return out
}

func (w *walker) save(ctx context.Context, p *place) error {
	value, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("cursor of %s: %w", w.key, err)
	}
	rec := &kgo.Record{Topic: topics.ATSCursors, Key: []byte(w.key), Value: value}
	if err := w.client.ProduceSync(ctx, rec).FirstErr(); err != nil {
		return fmt.Errorf("save the cursor of %s: %w", w.key, err)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
