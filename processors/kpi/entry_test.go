package kpi

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/concord-ats/concord/pkg/wire"
)

func entries() []*entry {
	return []*entry{
		{mark: &mark{}},
		{mark: &mark{newest: 1 << 50, gen: 1 << 63}},
		{app: &appEntry{}},
		{app: &appEntry{dims: dims{"team", "", ""}, finishedAt: 9, recordedAt: 1 << 50}},
		{app: &appEntry{dims: dims{"gh", "ä|%", ""}, behindSince: -1, finishedAt: 1 << 60, incidents: []appIncident{
			{id: "i1", kind: wire.IncidentKindStuck, owner: "recruiter", dims: dims{"gh", "tech", "de"}, state: wire.IncidentChangeRetracted, at: 7}, {},
		}}},
		{window: &wire.KpiWindow{Metric: metricQuality, WindowStart: 3, System: "gh", Counts: []wire.Count{{Name: "a", Dimension: "b", Value: -1}}, Sketch: []byte{1}, P50: 0.5, Revision: 9}},
	}
}

func TestEntryRoundTrip(t *testing.T) {
	t.Parallel()
	for i, want := range entries() {
		b := appendEntry(nil, want)
		got, err := decodeEntry("", b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%d: %+v, %v", i, got, err)
		}
		for n := range b {
			if _, err := decodeEntry("", b[:n]); err == nil {
				t.Errorf("%d: cut at %d it is read", i, n)
			}
		}
		if _, err := decodeEntry("", append(b, 0)); err == nil {
			t.Errorf("%d: with a byte more it is read", i)
		}
	}
}

// Garbage gives an error or an entry that is whole, never a panic nor an allocation out of proportion.
func TestEntryGarbage(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	all := entries()
	for range 20_000 {
		b := appendEntry(nil, all[rng.IntN(len(all))])
		for range 1 + rng.IntN(4) {
			b[rng.IntN(len(b))] = byte(rng.Uint32())
		}
		e, err := decodeEntry("", b)
		if err == nil && (e.app == nil) == (e.mark == nil) && e.window == nil {
			t.Fatalf("%x is no whole entry", b)
		}
	}
}
