package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

const root = "../../.."

// Every number of the list has an entry with a proof, and the page says what the tests say.
func TestEveryScenarioIsProved(t *testing.T) {
	all, err := collect(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(page, render(all)) {
		t.Error("docs/scenarios.md is out of date: run go generate ./pkg/hiring")
	}
	at := 0
	for _, n := range append(append([]int{}, field...), ours...) {
		if at >= len(all) || all[at].number != n || len(all[at].proofs) == 0 || !bytes.Contains(page, []byte("### "+all[at].heading())) {
			t.Fatalf("scenario %d has no entry", n)
		}
		at++
	}
}

// What is not proved, told twice, half told or unknown is an error that names it.
func TestFaultsAreNamed(t *testing.T) {
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"pkg/hiring/testdata/corpus/01-a.txt": "# Scenario 1: A\n# Happens: a\n# goes on\n# Concord: b\n\n# Happens: not in the head\n",
		"pkg/hiring/testdata/corpus/02-a.txt": "# Scenario 2: B\n# Happens: a\n",
		"pkg/a/a_test.go":                     "package a\n\n// Scenario 1: A again\n// Happens: a\n// Concord: b\nfunc TestA() {}\n\n// Also proves scenario 1: a part.\nfunc TestB() {}\n\n// Scenario 3: no test\n// Happens: a\n// Concord: b\nfunc helper() {}\n",
		"processors/b/b_test.go":              "package b\n\n// Scenario 999: What\n// Happens: a\n// Concord: b\nfunc TestC() {}\n\n// Also proves scenario 998: nothing.\nfunc TestD() {}\n",
	} {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	_, err := collect(files)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"scenario 1 is told in pkg/a/a_test.go already", "scenario 2 does not say", "scenario 3 has no proof", "scenario 69 has no proof",
		"scenario 999 is not in the list", "also proves scenario 998, which no test tells",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q", want)
		}
	}
}
