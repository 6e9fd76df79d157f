package world_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/pkg/world"
)

var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func generate(t *testing.T, seed uint64, applications int) (*world.World, *wire.Schemas) {
	t.Helper()
	s, err := wire.Open(wire.Config{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := world.Generate(world.Config{Seed: seed, Applications: applications, Start: start, Instances: []world.Instance{{System: "gh-main"}}, Schemas: s})
	if err != nil {
		t.Fatal(err)
	}
	return w, s
}

func file(t *testing.T, w *world.World) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := w.WriteFile(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSameSeedSameWorld(t *testing.T) {
	t.Parallel()
	a, _ := generate(t, 7, 300)
	b, _ := generate(t, 7, 300)
	c, _ := generate(t, 8, 300)
	if !bytes.Equal(file(t, a), file(t, b)) {
		t.Error("seed 7 gave two worlds")
	}
	if bytes.Equal(file(t, a), file(t, c)) {
		t.Error("seeds 7 and 8 gave one world")
	}
}

// Every malformed record must be refused by the codec for the cause the world names, where the codec decides it,
// and be decodable where a field decides it.
func TestMalformedRecordsHaveTheirCause(t *testing.T) {
	t.Parallel()
	w, s := generate(t, 1, 2000)
	seen := map[wire.Cause]int{}
	for i := range w.Steps {
		st := &w.Steps[i]
		if st.Cause == "" || st.Message == nil {
			continue
		}
		seen[st.Cause]++
		rec := map[string]wire.Event{"screening.events": &wire.ScreeningEvent{}, "ats.changes": &wire.AtsChange{}, "hiring.control": &wire.Control{}}[st.Message.Topic]
		err := s.DecodeLocal(st.Message.Value, rec)
		if err == nil && st.Message.Headers != nil {
			err = wire.CheckEnvelope(st.Message.Headers, rec.Envelope())
		}
		var refused *wire.Error
		switch st.Cause {
		case wire.CauseBadFraming, wire.CauseUnknownSchema, wire.CauseUndecodable, wire.CauseOversize, wire.CauseEnvelopeMismatch:
			if !errors.As(err, &refused) || refused.Cause != st.Cause {
				t.Errorf("%s on %s: the codec says %v", st.Cause, st.Message.Topic, err)
			}
		default:
			if err != nil {
				t.Errorf("%s on %s: the codec refuses it already: %v", st.Cause, st.Message.Topic, err)
			}
		}
	}
	for _, c := range wire.Causes() {
		if seen[c] < 20 && c != wire.CauseFoldPanic && c != wire.CauseWrongPartition && c != wire.CauseUnresolved {
			t.Errorf("%s: %d records, want at least 20", c, seen[c])
		}
	}
}

func TestDeliveriesGoWrongOftenEnough(t *testing.T) {
	t.Parallel()
	w, _ := generate(t, 1, 2000)
	var records, duplicates, late int
	for i := range w.Steps {
		if s := &w.Steps[i]; s.Message != nil {
			records++
			if s.Duplicate {
				duplicates++
			}
			if s.Late {
				late++
			}
		}
	}
	if 100*duplicates < 10*records || 100*late < 3*records {
		t.Errorf("of %d records %d are duplicates and %d are late", records, duplicates, late)
	}
	t.Logf("applications %d, steps %d, records %d, duplicates %d, late %d, world file %d bytes", len(w.Applications), len(w.Steps), records, duplicates, late, len(file(t, w)))
}

// Every application's end must be told, and no step may be about an application the world does not know.
func TestEveryStoryHasAnEnd(t *testing.T) {
	t.Parallel()
	w, _ := generate(t, 3, 2000)
	known, stories := map[string]bool{}, map[string]int{}
	for i := range w.Applications {
		a := &w.Applications[i]
		known[a.ID] = true
		stories[a.Story]++
		if len(a.Ends) == 0 || len(a.Truth) == 0 || (a.Ends[0].Canonical == "") != a.Ends[0].Erased {
			t.Errorf("%s (%s): %d ends, first %+v", a.ID, a.Story, len(a.Ends), a.Ends[0])
		}
		if a.Ambiguous != (len(a.Ends) > 1) {
			t.Errorf("%s: ambiguous %t with %d ends", a.ID, a.Ambiguous, len(a.Ends))
		}
	}
	for i := range w.Steps {
		if id := w.Steps[i].Application; id != "" && !known[id] {
			t.Errorf("step about %s, which is in no story", id)
		}
	}
	for name, n := range stories {
		if n < 20 && !strings.HasPrefix(name, "published") {
			t.Errorf("story %q: told %d times", name, n)
		}
	}
}

func TestWorldFileIsJSONLines(t *testing.T) {
	t.Parallel()
	w, _ := generate(t, 2, 200)
	kinds := map[string]int{}
	lines := json.NewDecoder(bufio.NewReader(bytes.NewReader(file(t, w))))
	for {
		var line struct {
			Kind string `json:"kind"`
		}
		if err := lines.Decode(&line); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		kinds[line.Kind]++
	}
	if kinds["world"] != 1 || kinds["application"] != len(w.Applications) || kinds["delivery"] != len(w.Steps) || kinds["edge"] == 0 || kinds["stage"] == 0 {
		t.Errorf("lines by kind: %v", kinds)
	}
}

// The generator must not share the engine's mistakes: it may import the wire types and nothing else of ours.
func TestImportsOnlyTheWireTypes(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		own := strings.TrimPrefix(dep, "github.com/concord-ats/concord/")
		if own != dep && own != "pkg/world" && own != "pkg/wire" && own != "pkg/wire/avro" && own != "schemas" {
			t.Errorf("imports %s", dep)
		}
	}
}

// A population is spread evenly over its instances, each with ids of its own; what an instance cannot know happens
// elsewhere.
func TestPopulationIsSpreadOverInstances(t *testing.T) {
	t.Parallel()
	_, s := generate(t, 1, 1)
	spell := func(k world.IDKind, n int64) string { return fmt.Sprintf("%s-%x", k, n) }
	w, err := world.Generate(world.Config{Seed: 4, Applications: 2000, Start: start, Schemas: s, Instances: []world.Instance{
		{System: "gh-main"}, {System: "thin-main", Dialect: "thin", Spell: spell, Hints: true}, {System: "full-main", Dialect: "full", Spell: spell},
	}})
	if err != nil {
		t.Fatal(err)
	}
	count, stories := map[string]int{}, map[string]map[string]bool{}
	for i := range w.Applications {
		a := &w.Applications[i]
		system, id, _ := strings.Cut(a.ID, "/")
		if stories[system] == nil {
			stories[system] = map[string]bool{}
		}
		count[system]++
		stories[system][a.Story] = true
		want := spell(world.IDApplication, a.Native)
		if system == "gh-main" {
			want = fmt.Sprint(a.Native)
		}
		if id != want {
			t.Errorf("%s has the number %d, want the id %s", a.ID, a.Native, want)
		}
	}
	if count["gh-main"] < 600 || count["thin-main"] < 400 || count["full-main"] < 600 || len(count) != 3 {
		t.Errorf("applications by instance: %v", count)
	}
	if !stories["full-main"]["forbidden jump"] || stories["thin-main"]["forbidden jump"] || !stories["thin-main"]["pass"] || stories["full-main"]["undated webhook"] {
		t.Errorf("stories by instance: %v", stories)
	}
	for i := range w.Steps {
		st := &w.Steps[i]
		if st.Webhook != nil && st.Webhook.System != "gh-main" {
			t.Errorf("a webhook that is written out goes to %q", st.Webhook.System)
		}
		if p := st.Publish; p != nil && p.Stage.ID != "" && strings.HasPrefix(st.Application, "full-main/") && !strings.HasPrefix(p.Stage.ID, "stage-") {
			t.Errorf("a connector of full-main says stage %q", p.Stage.ID)
		}
	}
	lines := string(file(t, w))
	for _, want := range []string{`{"kind":"stage","system":"full-main","native":71416,"id":"stage-116f8"`, `{"kind":"reason","system":"thin-main","native":8,"id":"reason-8"}`} {
		if !strings.Contains(lines, want) {
			t.Errorf("the world file lacks %s", want)
		}
	}
}

func TestInstancesHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	_, s := generate(t, 1, 1)
	for _, instances := range [][]world.Instance{nil, {{}}, {{System: "a"}, {System: "a"}}} {
		if _, err := world.Generate(world.Config{Applications: 1, Start: start, Schemas: s, Instances: instances}); err == nil || !strings.Contains(err.Error(), "instance") {
			t.Errorf("%+v: %v", instances, err)
		}
	}
}
