package policylog

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/policy/policytest"
	"github.com/concord-ats/concord/pkg/wire"
)

// noted lets a log read what publishing writes to topic policy.
func noted(t *testing.T, l *Log, recs []*kgo.Record, written time.Time) {
	t.Helper()
	for _, rec := range recs {
		rec.Timestamp = written
		l.note(rec)
	}
}

// An announcement on hiring.control is meant when topic policy holds that one: of that sender, of that bundle, for that time. One
// that differs in anything was written by somebody who may not write there.
func TestAnAnnouncementIsMeantAsItWasPublished(t *testing.T) {
	t.Parallel()
	schemas, err := wire.Open(wire.Config{})
	if err != nil {
		t.Fatal(err)
	}
	l := New(Config{Schemas: schemas, Dev: true})
	a, b := policytest.Edited(t, "version: 1.0.0", "version: 2.0.0"), policytest.Edited(t, "version: 1.0.0", "version: 3.0.0")
	now := time.Now()
	meant := wire.Control{ID: "x", Source: "/test", OccurredAt: wire.MicrosOf(now), EffectiveAt: wire.MicrosOf(now.Add(time.Hour))}
	archive, err := a.Pack(nil)
	if err != nil {
		t.Fatal(err)
	}
	noted(t, l, Records(schemas, a, archive, &meant, 0), now)
	if !l.announced(&meant) {
		t.Fatal("what was published is not known")
	}
	for what, change := range map[string]func(*wire.Control){
		"id":           func(c *wire.Control) { c.ID = "y" },
		"source":       func(c *wire.Control) { c.Source = "/other" },
		"policy":       func(c *wire.Control) { c.Policy = b.Digest().String() },
		"effective_at": func(c *wire.Control) { c.EffectiveAt-- },
	} {
		forged := meant
		change(&forged)
		if l.announced(&forged) {
			t.Errorf("with another %s it counts as published", what)
		}
	}
}

// Who reads the topic leaves out what no reconciler takes: an announcement that was written more than a minute after its time.
func TestAScheduleLeavesOutWhatCameLate(t *testing.T) {
	t.Parallel()
	schemas, err := wire.Open(wire.Config{})
	if err != nil {
		t.Fatal(err)
	}
	p := policytest.Edited(t, "version: 1.0.0", "version: 2.0.0")
	archive, err := p.Pack(nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	for ago, want := range map[time.Duration]int{-time.Hour: 1, MaxLate: 1, MaxLate + time.Second: 0, time.Hour: 0} {
		l := New(Config{Schemas: schemas, Dev: true})
		noted(t, l, Records(schemas, p, archive, &wire.Control{ID: "x", Source: "/test", OccurredAt: wire.MicrosOf(now), EffectiveAt: wire.MicrosOf(now.Add(-ago))}, 0), now)
		if taken, refused := l.Schedule(now); len(taken) != want || len(refused) != 0 {
			t.Errorf("written %s after its time: %d taken, refused %v; want %d", ago, len(taken), refused, want)
		}
	}
}
