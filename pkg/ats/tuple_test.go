package ats_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/wire"
)

func TestDiffAsksOnlyForWhatDesiredNames(t *testing.T) {
	t.Parallel()
	shown := wire.Tuple{
		Stage: "71416", Status: wire.ApplicationStatusActive, Version: 9,
		Elements: []wire.Element{{Name: "a", Value: "1"}, {Name: "b", Value: ""}},
	}
	for _, c := range []struct {
		name    string
		desired wire.Tuple
		want    ats.Difference
	}{
		{"nothing", wire.Tuple{}, ats.Difference{}},
		{"same, older version", wire.Tuple{Stage: "71416", Status: wire.ApplicationStatusActive, Version: 3}, ats.Difference{}},
		{"stage", wire.Tuple{Stage: "1004"}, ats.Difference{Stage: "1004"}},
		{
			"status and reason",
			wire.Tuple{Stage: "71416", Status: wire.ApplicationStatusRejected, Reason: "8"},
			ats.Difference{Status: wire.ApplicationStatusRejected, Reason: "8"},
		},
		{
			"elements",
			wire.Tuple{Elements: []wire.Element{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}, {Name: "c", Value: ""}}},
			ats.Difference{Elements: []wire.Element{{Name: "b", Value: "2"}, {Name: "c", Value: ""}}},
		},
	} {
		if diff := cmp.Diff(c.want, ats.Diff(shown, c.desired)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
		if ats.Shows(shown, c.desired) != c.want.Empty() {
			t.Errorf("%s: Shows disagrees with Diff", c.name)
		}
	}
}

func TestSnapshotIdentity(t *testing.T) {
	t.Parallel()
	base := func() ats.Reading {
		return ats.Reading{
			Tuple:       wire.Tuple{Stage: "1004", Status: wire.ApplicationStatusActive, Version: 1_000_000, Elements: []wire.Element{{Name: "a", Value: "1"}}},
			UpdatedAt:   time.Unix(1, 0),
			CandidateID: "7",
			AsOf:        time.Unix(100, 0),
		}
	}
	id := ats.SnapshotID("gh", "gh/1", base())
	later := base()
	later.AsOf, later.StageName = time.Unix(200, 0), "renamed"
	if got := ats.SnapshotID("gh", "gh/1", later); got != id {
		t.Error("a later poll of an unchanged application is another event")
	}
	for name, change := range map[string]func(*ats.Reading){
		"stage":     func(r *ats.Reading) { r.Tuple.Stage = "1005" },
		"status":    func(r *ats.Reading) { r.Tuple.Status = wire.ApplicationStatusRejected },
		"reason":    func(r *ats.Reading) { r.Tuple.Reason = "8" },
		"version":   func(r *ats.Reading) { r.Tuple.Version++ },
		"value":     func(r *ats.Reading) { r.Tuple.Elements[0].Value = "2" },
		"boundary":  func(r *ats.Reading) { r.Tuple.Elements[0] = wire.Element{Name: "a1", Value: ""} },
		"candidate": func(r *ats.Reading) { r.CandidateID = "8" },
	} {
		r := base()
		change(&r)
		if ats.SnapshotID("gh", "gh/1", r) == id {
			t.Errorf("%s is not part of the identity", name)
		}
	}
	if ats.SnapshotID("gh", "gh/2", base()) == id || ats.SnapshotID("gi", "gh/1", base()) == id {
		t.Error("system or application is not part of the identity")
	}

	now := time.Unix(500, 0)
	s := ats.Snapshot("/ats/gh", "gh", "gh/1", base(), now)
	if s.OccurredAt != 1_000_000 || s.TimeBasis != wire.TimeBasisRecord || s.Type != "snapshot" || s.Revision != 0 {
		t.Errorf("with a last-updated time: %+v", s)
	}
	r := base()
	r.UpdatedAt, r.Tuple.Version = time.Time{}, 0
	if s := ats.Snapshot("/ats/gh", "gh", "gh/1", r, now); s.OccurredAt != 100_000_000 || s.TimeBasis != wire.TimeBasisFetch {
		t.Errorf("without a version: %+v", s)
	}
}
