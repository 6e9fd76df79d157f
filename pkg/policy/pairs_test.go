package policy_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/concord-ats/concord/pkg/policy"
)

// broken are ways to make a part of a bundle unreadable.
var broken = []struct{ name, file, old, replacement string }{
	{"no initial", "machine.yaml", "initial: apply\n", ""},
	{"no golden source", "dictionary.yaml", "type: date\n    golden: greenhouse\n", "type: date\n"},
	{"waves.yaml is missing", "waves.yaml", "", ""},
	{"mappings/lever.yaml is no YAML", "mappings/lever.yaml", "system: lever", "system: [lever"},
	{"a stray file", "extra.yaml", "", "a: b\n"},
	{"no owners", "bundle.yaml", "owners:\n", "owners: none\nowner_names:\n"},
	{"machine.yaml is no YAML", "machine.yaml", "initial: apply", "initial: [apply"},
	{"dictionary.yaml is empty", "dictionary.yaml", "", ""},
	{"bundle.yaml is binary", "bundle.yaml", "", "\x00"},
	{"a rank that is no number", "machine.yaml", "rank: 2,", "rank: two,"},
}

func breakIt(t *testing.T, files policy.Files, i int) policy.Files {
	t.Helper()
	b, out := broken[i], maps.Clone(files)
	switch {
	case b.old == "" && b.replacement == "" && b.file == "waves.yaml":
		delete(out, b.file)
	case b.old == "":
		out[b.file] = []byte(b.replacement)
	case strings.Count(string(out[b.file]), b.old) != 1:
		return nil // another edit was here
	default:
		out[b.file] = []byte(strings.Replace(string(out[b.file]), b.old, b.replacement, 1))
	}
	return out
}

// toldOf returns the faults of a bundle without their places.
func toldOf(t *testing.T, files policy.Files) []string {
	t.Helper()
	p, err := policy.Parse(files)
	var faults policy.Faults
	if err == nil {
		faults, _ = p.Check(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC))
	} else if !errors.As(err, &faults) {
		t.Fatal(err)
	}
	var out []string
	for _, f := range faults {
		f.Line, f.Column = 0, 0
		out = append(out, f.String())
	}
	return out
}

// What cannot be read hides nothing that is wrong elsewhere, and makes nothing wrong by not being there: beside each fault of
// the list, each way to break a part brings its own faults alone. What differs is listed, as it depends on that part.
func TestPairsOfFaults(t *testing.T) {
	alone := make([][]string, len(broken))
	for i := range broken {
		alone[i] = toldOf(t, breakIt(t, policy.Default(), i))
		if want := 1 + strings.Count(broken[i].name, "owners"); len(alone[i]) != want {
			t.Errorf("%s is told as %q, want that alone", broken[i].name, alone[i])
		}
	}
	var report strings.Builder
	pairs := 0
	datadriven.RunTest(t, "testdata/faults.txt", func(t *testing.T, d *datadriven.TestData) string {
		files := edited(t, d)
		want := toldOf(t, files)
		for i := range broken {
			both := breakIt(t, files, i)
			if both == nil {
				continue
			}
			pairs++
			got := toldOf(t, both)
			for _, fault := range append(slices.Clone(want), alone[i]...) {
				if !slices.Contains(got, fault) {
					fmt.Fprintf(&report, "%s hides %s\n", broken[i].name, fault)
				}
			}
			for _, fault := range got {
				if !slices.Contains(want, fault) && !slices.Contains(alone[i], fault) {
					fmt.Fprintf(&report, "%s brings %s\n", broken[i].name, fault)
				}
			}
		}
		return d.Expected
	})
	if pairs < 300 {
		t.Errorf("%d pairs", pairs)
	}
	const list = "testdata/pairs.txt"
	want, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	if report.String() != string(want) {
		t.Errorf("not as in %s:\n%s", list, report.String())
	}
}
