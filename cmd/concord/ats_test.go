package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/concord-ats/concord/pkg/ats"
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
	var caps map[string]ats.Capabilities
	if err := json.Unmarshal([]byte(data.String()), &caps); err != nil || !caps["greenhouse"].CASStage || caps["lever"].CASStage {
		t.Errorf("%v: %s", err, data.String())
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
