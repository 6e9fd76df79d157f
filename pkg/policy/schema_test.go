package policy_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/concord-ats/concord/pkg/policy"
)

// plain turns a YAML node into what a JSON Schema speaks of.
func plain(t *testing.T, n *yaml.Node) any {
	t.Helper()
	switch n.Kind {
	case yaml.DocumentNode:
		return plain(t, n.Content[0])
	case yaml.MappingNode:
		out := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			out[n.Content[i].Value] = plain(t, n.Content[i+1])
		}
		return out
	case yaml.SequenceNode:
		out := []any{}
		for _, c := range n.Content {
			out = append(out, plain(t, c))
		}
		return out
	}
	switch n.Tag {
	case "!!int", "!!float", "!!bool":
		var v any
		if err := n.Decode(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	return n.Value
}

func schemaOf(t *testing.T, file string) *jsonschema.Schema {
	t.Helper()
	name := strings.TrimSuffix(filepath.Base(file), ".yaml") + ".schema.json"
	if strings.HasPrefix(file, "mappings/") {
		name = "mapping.schema.json"
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(policy.Schemas()[name]))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource(name, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// An editor that checks by the schemas accepts the built-in bundle, and refuses what the format refuses.
func TestSchemas(t *testing.T) {
	validate := func(file string, text []byte) error {
		t.Helper()
		var n yaml.Node
		if err := yaml.Unmarshal(text, &n); err != nil {
			t.Fatal(err)
		}
		return schemaOf(t, file).Validate(plain(t, &n))
	}
	for file, text := range policy.Default() {
		if err := validate(file, text); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, bad := range []struct{ file, old, replacement string }{
		{"waves.yaml", "default:", "defualt:"},
		{"waves.yaml", "write", "wriet"},
		{"machine.yaml", "sla: 14d, warn_before: 3d", "sla: 2 weeks"},
		{"machine.yaml", "to: offer, owner: recruiter, sla: 7d", "to: offer, owner: recruiter"},
		{"bundle.yaml", "review_by: 2027-12-31", "review_by: soon"},
		{"dictionary.yaml", "min: 0, max: 100", "min: none, max: 100"},
		{"mappings/greenhouse.yaml", `withdraw_reasons: ["40"]`, "withdraw_reasons: 40"},
	} {
		if validate(bad.file, edit(t, bad.file, bad.old, bad.replacement)[bad.file]) == nil {
			t.Errorf("%s with %q is accepted", bad.file, bad.replacement)
		}
	}
}

// What init writes is the built-in bundle, each file with its schema where the editor looks for it.
func TestInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "policy")
	if _, err := policy.Init(dir); err != nil {
		t.Fatal(err)
	}
	files, err := policy.ReadFiles(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	got, err := policy.Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	want, err := policy.Parse(policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest() != want.Digest() {
		t.Error("init writes another bundle")
	}
	if got, want := got.TransitionPlace("pass", "screening", "interviews"), want.TransitionPlace("pass", "screening", "interviews"); got != want {
		t.Errorf("of the built-in bundle a transition is told at %s, and stands at %s of what init writes", want, got)
	}
	for name, text := range files {
		line, _, _ := strings.Cut(string(text), "\n")
		schema, ok := strings.CutPrefix(line, "# yaml-language-server: $schema=")
		if !ok {
			t.Errorf("%s begins with %q", name, line)
		}
		if _, err := os.Stat(filepath.Join(dir, filepath.Dir(name), schema)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := policy.Init(dir); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("a second time: %v", err)
	}
}
