package generic_test

import (
	"bytes"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/generic"
	"github.com/concord-ats/concord/pkg/strict"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/faults.txt anew")

// testdata/faults.txt holds edits of the example and what is said of each. An edit is "- OLD" and "+ NEW" lines; the faults
// that follow are all there are, with their places.
func TestFaults(t *testing.T) {
	t.Parallel()
	path := filepath.Join("testdata", "faults.txt")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for i, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
		var old, replacement, rest, want []string
		for line := range strings.SplitSeq(block, "\n") {
			switch {
			case strings.HasPrefix(line, "- "):
				old, rest = append(old, line[2:]), append(rest, line)
			case strings.HasPrefix(line, "+ "):
				replacement, rest = append(replacement, line[2:]), append(rest, line)
			case strings.HasPrefix(line, "# "):
				rest = append(rest, line)
			default:
				want = append(want, line)
			}
		}
		edited := string(generic.Example)
		if len(old) > 0 {
			if strings.Count(edited, strings.Join(old, "\n")) != 1 {
				t.Errorf("block %d: %q is not once in the example", i, old)
			}
			edited = strings.Replace(edited, strings.Join(old, "\n"), strings.Join(replacement, "\n"), 1)
		}
		_, err := generic.Parse("ats.yaml", []byte(edited))
		var faults strict.Faults
		var got []string
		if errors.As(err, &faults) {
			got = strings.Split(faults.Error(), "\n")
		}
		for _, f := range faults {
			if f.Line == 0 || f.Fix == "" || f.Problem == "" {
				t.Errorf("block %d: a fault without place, problem or fix: %+v", i, f)
			}
		}
		if len(got) == 0 {
			t.Errorf("block %d: nothing is wrong with %q", i, replacement)
		}
		if diff := cmp.Diff(want, got); diff != "" && !*rewrite {
			t.Errorf("block %d, %q: %s", i, replacement, diff)
		}
		out = append(out, strings.Join(append(rest, got...), "\n"))
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(strings.Join(out, "\n\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// An editor that checks by the schema accepts the descriptions there are, and refuses what the format refuses.
func TestSchema(t *testing.T) {
	t.Parallel()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(generic.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource(generic.SchemaFile, doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(generic.SchemaFile)
	if err != nil {
		t.Fatal(err)
	}
	validate := func(text string) error {
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		return schema.Validate(v)
	}
	greenhouse, err := os.ReadFile(filepath.Join("testdata", "greenhouse.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, good := range []string{string(generic.Example), string(greenhouse)} {
		if err := validate(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []struct{ old, replacement string }{
		{"compares: version", "compare: version"},
		{"compares: version", "compares: etag"},
		{"stage: /stage/id", "stage: stage/id"},
		{"request: PATCH /api", "request: PATCH api"},
		{"tolerance: 5m", "tolerance: a while"},
		{"means: not_applicable", "means: gone"},
	} {
		if !strings.Contains(string(generic.Example), bad.old) || validate(strings.Replace(string(generic.Example), bad.old, bad.replacement, 1)) == nil {
			t.Errorf("%q is accepted", bad.replacement)
		}
	}
}

// Whatever somebody makes of a description, it is read or told what is wrong with it, each thing at its place.
func TestSpoiltDescriptions(t *testing.T) {
	t.Parallel()
	const seed, spoilt = 5, 200
	r := rand.New(rand.NewPCG(seed, 1))
	lines := strings.Split(string(generic.Example), "\n")
	bits := []string{"{", "}", "[", "]", ":", "-", "\"", "'", "{id}", "{etag}", "null", "true", "1e9", "/", "*a", "&a", "!x", "#", "\t", "x", "é", "{job}", ":number"}
	good := 0
	for i := range spoilt {
		mine := slices.Clone(lines)
		for range 1 + r.IntN(3) {
			at := r.IntN(len(mine))
			switch line := mine[at]; r.IntN(4) {
			case 0:
				mine = slices.Delete(mine, at, at+1)
			case 1:
				mine[at] = mine[r.IntN(len(mine))]
			default:
				cut := r.IntN(len(line) + 1)
				mine[at] = line[:cut] + bits[r.IntN(len(bits))] + line[min(len(line), cut+r.IntN(4)):]
			}
		}
		text := strings.Join(mine, "\n")
		d, err := generic.Parse("ats.yaml", []byte(text))
		var faults strict.Faults
		if err != nil {
			if !errors.As(err, &faults) || slices.ContainsFunc(faults, func(f strict.Fault) bool { return f.File != "ats.yaml" || f.Problem == "" || f.Fix == "" }) {
				t.Fatalf("seed %d, %d: %v of\n%s", seed, i, err, text)
			}
			continue
		}
		good++
		if _, err := generic.New(generic.Config{Description: d, BaseURL: "https://ats.example", ClientID: "c", ClientSecret: "s", UserID: "u", Mapping: ats.Mapping{System: "x"}}); err != nil {
			t.Errorf("seed %d, %d: %v", seed, i, err)
		}
	}
	if good < spoilt/20 || good > spoilt*19/20 {
		t.Errorf("%d of %d are descriptions: the spoiling proves little", good, spoilt)
	}
}
