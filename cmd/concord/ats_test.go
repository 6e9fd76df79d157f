package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/concord-ats/concord/pkg/policy"
)

// Without a configured ATS every dialect of the built-in policy that can be written to is printed, one column each.
func TestCapabilities(t *testing.T) {
	t.Parallel()
	out := &buffer{}
	if c := run(t.Context(), []string{"ats", "capabilities"}, nil, strings.NewReader(""), out, t.Output()); c != exitOK {
		t.Fatalf("exit %d", c)
	}
	first, _, _ := strings.Cut(out.String(), "\n")
	for _, kind := range policy.DefaultATSs() {
		if !strings.Contains(first, " "+kind+" ") {
			t.Errorf("%s is not in %q", kind, first)
		}
	}
	for line := range strings.Lines(out.String()) {
		if n := strings.Count(line, "|"); n != strings.Count(first, "|") || strings.Contains(line, "|  |\n") {
			t.Errorf("%d cells, or an empty one: %s", n, line)
		}
	}
	data := &buffer{}
	if c := run(t.Context(), []string{"ats", "capabilities", "--json"}, nil, strings.NewReader(""), data, t.Output()); c != exitOK {
		t.Fatalf("exit %d", c)
	}
	// For scripts it is the same, with what the matrix fills in.
	var caps map[string]struct {
		Compares string         `json:"compares"`
		Move     string         `json:"move_triggers"`
		Answer   string         `json:"answer"`
		Requests map[string]int `json:"requests"`
		Rate     struct{ Window string }
	}
	if err := json.Unmarshal([]byte(data.String()), &caps); err != nil {
		t.Fatal(err)
	}
	if g := caps["greenhouse"]; g.Compares != "stage" || g.Move != "rules" || g.Answer != "nothing" || g.Requests["read"] < 1 || g.Requests["move"] != 1 || g.Rate.Window != "10s" {
		t.Errorf("greenhouse: %+v", g)
	}
	if l := caps["lever"]; l.Compares != "nothing" {
		t.Errorf("lever: %+v", l)
	}
}

func TestMatrixGoesBetweenItsMarks(t *testing.T) {
	t.Parallel()
	page := filepath.Join(t.TempDir(), "page.md")
	for content, ok := range map[string]bool{"a\n" + matrixBegins + "old\n" + matrixEnds + "z\n": true, "a\n" + matrixBegins: false, "a\n": false} {
		if err := os.WriteFile(page, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		err := replaceMatrix(page, []byte("new\n"))
		got, readErr := os.ReadFile(page)
		if readErr != nil {
			t.Fatal(readErr)
		}
		if want := "a\n" + matrixBegins + "new\n" + matrixEnds + "z\n"; ok && (err != nil || string(got) != want) || !ok && (err == nil || string(got) != content) {
			t.Errorf("%q: %v, %q", content, err, got)
		}
	}
}

// What init writes is proved by check, and a fault in it is told with its place and fix, on stdout, with exit code 1.
func TestDescribingAnATS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "ats.yaml")
	call := func(args ...string) (int, string) {
		out := &buffer{}
		c := run(t.Context(), args, nil, strings.NewReader(""), out, t.Output())
		return c, out.String()
	}
	if c, out := call("ats", "init", file); c != exitOK || !strings.Contains(out, file) {
		t.Fatalf("init: exit %d, %s", c, out)
	}
	if c, _ := call("ats", "init", file); c != exitUsage {
		t.Errorf("init over a file: exit %d", c)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	if schema, ok := strings.CutPrefix(first, "# yaml-language-server: $schema="); !ok {
		t.Errorf("the first line is %q", first)
	} else if _, err := os.Stat(filepath.Join(dir, schema)); err != nil {
		t.Error(err)
	}
	if c, out := call("ats", "check", file); c != exitOK || out != "" {
		t.Errorf("check: exit %d, %s", c, out)
	}
	if c, out := call("ats", "check", file, "--json"); c != exitOK || !strings.Contains(out, `"inhouse"`) || !strings.Contains(out, `"unreject"`) {
		t.Errorf("check --json: exit %d, %s", c, out)
	}
	whole := filepath.Join(dir, "whole.yaml")
	if err := os.WriteFile(whole, []byte(strings.Replace(string(text), `  query: {changed_since: "{since}"}`, "", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, out := call("ats", "check", whole); c != exitOK || !strings.HasPrefix(out, "warning: ") || !strings.Contains(out, "each walk of the poller reads the whole estate") {
		t.Errorf("check of a list that cannot be asked for what changed: exit %d, %s", c, out)
	}
	if c, out := call("ats", "check", whole, "--json"); c != exitOK || !strings.Contains(out, "reads the whole estate") {
		t.Errorf("the same with --json: exit %d, %s", c, out)
	}
	bad := strings.Replace(strings.Replace(string(text), "compares: version", "compares: nothing", 1), "name: inhouse", "nmae: inhouse", 1)
	if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, out := call("ats", "check", file); c != exitFailure || !strings.Contains(out, "did you mean name?") || !strings.Contains(out, ":49:3: writes.move: ") {
		t.Errorf("check of what is wrong: exit %d, %s", c, out)
	}
	config := `ats=[{instance: inhouse-1, kind: generic, description: ` + file + `, url: "https://ats.example", client_secret: x}]`
	if c, _ := call("config", "show", "--set", config); c != exitUsage {
		t.Errorf("a configuration that names it: exit %d", c)
	}
	if c, _ := call("ats", "check", filepath.Join(dir, "none.yaml")); c != exitUsage {
		t.Errorf("check of nothing: exit %d", c)
	}
}
