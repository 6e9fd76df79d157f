package lever_test

import (
	"encoding/json"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/ats/lever"
	"github.com/concord-ats/concord/pkg/wire"
)

// A tag that was left beside its successor goes with the next write, and other people's tags stay.
func TestOldTagsGo(t *testing.T) {
	t.Parallel()
	sim, err := atssim.New(atssim.Config{Dialect: atssim.Lever{}, ClientSecret: "k"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim)
	t.Cleanup(srv.Close)
	if err := sim.Seed(atssim.Application{
		ID: 1, CandidateID: 2, Tags: []string{"Referral", "screening_score: 1", "screening_score"},
		Fields: map[string]json.RawMessage{"screening_score": json.RawMessage("2.50")},
	}); err != nil {
		t.Fatal(err)
	}
	c, err := lever.New(lever.Config{BaseURL: srv.URL, APIKey: "k", Mapping: ats.Mapping{System: "lever-main", Fields: []ats.Field{{Element: "score", Key: "screening_score", Type: ats.FieldNumber}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	id := atssim.Lever{}.Spell(atssim.KindApplication, 1)
	read := func() ats.Reading {
		r, err := c.Read(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := read()
	if got, _ := ats.ElementValue(first.Tuple.Elements, "score"); got != "2.5" {
		t.Errorf("score %q, want the newest tag's", got)
	}
	for _, want := range []string{"3", ""} {
		if err := c.Apply(t.Context(), id, read().Tuple, wire.Tuple{Elements: []wire.Element{{Name: "score", Value: want}}}); err != nil {
			t.Fatal(err)
		}
		if got, _ := ats.ElementValue(read().Tuple.Elements, "score"); got != want {
			t.Errorf("score %q, want %q", got, want)
		}
		if a, _ := sim.Application(1); !slices.Equal(a.Tags, []string{"Referral", "screening_score"}) {
			t.Errorf("tags %q", a.Tags)
		}
	}
}

func TestConfigNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := lever.New(lever.Config{BaseURL: "http://api.lever.co", ReadLag: -1, Mapping: ats.Mapping{Fields: []ats.Field{{Element: "a", Key: "a: b"}}}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{"base url", "api key", "read lag", "system", "colon"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
}
