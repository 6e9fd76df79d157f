package bench

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

func schemas(t *testing.T) *wire.Schemas {
	t.Helper()
	s, err := wire.Open(wire.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func records(t *testing.T, l Load) []*kgo.Record {
	t.Helper()
	var out []*kgo.Record
	l.Each(schemas(t), func(rec *kgo.Record) bool {
		out = append(out, rec)
		return true
	})
	return out
}

func testLoad() Load {
	return Load{Seed: 7, Applications: 500, Events: 20_000, Duplicates: 0.05, Late: 0.04, End: time.UnixMicro(1_700_000_000_000_000)}
}

func TestEqualLoadsGiveEqualRecords(t *testing.T) {
	for _, zipf := range []float64{0, 1.01} {
		l := testLoad()
		l.Zipf = zipf
		a, b := records(t, l), records(t, l)
		if len(a) != len(b) {
			t.Fatalf("%d records, then %d", len(a), len(b))
		}
		for i := range a {
			if a[i].Topic != b[i].Topic || !bytes.Equal(a[i].Key, b[i].Key) || !bytes.Equal(a[i].Value, b[i].Value) {
				t.Fatalf("record %d differs", i)
			}
		}
		l.Seed++
		if other := records(t, l); bytes.Equal(a[0].Value, other[0].Value) {
			t.Error("another seed gives the same first record")
		}
	}
}

// seen is one event as its record says it.
type seen struct {
	app, id string
	at      wire.Micros
}

func TestLoadHasTheSharesAskedFor(t *testing.T) {
	l := testLoad()
	s, bytes, late := schemas(t), int64(0), 0
	ids, newest := map[string]int{}, map[string]wire.Micros{}
	all := records(t, l)
	for _, rec := range all {
		bytes += size(rec)
		e := decode(t, s, rec)
		if e.app != string(rec.Key) {
			t.Fatalf("key %s of an event of %s", rec.Key, e.app)
		}
		if ids[e.id]++; ids[e.id] > 1 {
			continue
		}
		if e.at < newest[e.app] {
			late++
		}
		newest[e.app] = max(newest[e.app], e.at)
	}
	if len(ids) != l.Events {
		t.Errorf("%d distinct events, want %d", len(ids), l.Events)
	}
	near := func(what string, got, want float64) {
		if math.Abs(got-want) > want/4 {
			t.Errorf("%s is %.4f, want about %.4f", what, got, want)
		}
	}
	near("share of duplicates", float64(len(all)-len(ids))/float64(l.Events), l.Duplicates)
	if got := float64(late) / float64(l.Events); got < l.Late/4 || got > l.Late {
		t.Errorf("share of late events is %.4f, want at most %.4f, and some", got, l.Late)
	}
	near("bytes of an event", float64(bytes)/float64(len(all)), 300)
}

func decode(t *testing.T, s *wire.Schemas, rec *kgo.Record) seen {
	t.Helper()
	switch rec.Topic {
	case topics.ATSChanges:
		var e wire.AtsChange
		if err := s.DecodeLocal(rec.Value, &e); err != nil {
			t.Fatal(err)
		}
		return seen{e.ApplicationID, e.ID, e.OccurredAt}
	case topics.ScreeningEvents:
		var e wire.ScreeningEvent
		if err := s.DecodeLocal(rec.Value, &e); err != nil {
			t.Fatal(err)
		}
		return seen{e.ApplicationID, e.ID, e.OccurredAt}
	}
	t.Fatalf("a record on %s", rec.Topic)
	return seen{}
}

func TestPreloadGivesEachApplicationItsPast(t *testing.T) {
	l := testLoad()
	l.Had = 3
	s, counts := schemas(t), map[string]int{}
	before := l.before()
	for _, rec := range records(t, before) {
		e := decode(t, s, rec)
		counts[e.app]++
		if e.at.Time().After(before.End) {
			t.Fatalf("%s happens after the past's end", e.id)
		}
	}
	if len(counts) != l.Applications {
		t.Fatalf("%d applications, want %d", len(counts), l.Applications)
	}
	for app, n := range counts {
		if n != l.Had {
			t.Errorf("%s had %d events, want %d", app, n, l.Had)
		}
	}
}

// TestBacklogsOfGrowthFollowEachOther: were they of one time, the second would meet states that know what comes after.
func TestBacklogsOfGrowthFollowEachOther(t *testing.T) {
	l := testLoad()
	g := grown{load: l}
	g.load.Past, g.load.End = l.past(), l.End.Add(-span)
	s, until := schemas(t), g.load.End
	for range 10 {
		next := g.next(l)
		next.Events, next.Late, next.Duplicates = 200, 0, 0
		for i, rec := range records(t, next) {
			at := decode(t, s, rec).at.Time()
			if at.Before(until) || at.After(l.End) {
				t.Fatalf("event %d happens at %s, after one at %s and before %s", i, at, until, l.End)
			}
			until = at
		}
	}
}
