package policy_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/concord-ats/concord/pkg/policy"
)

// edit returns the default bundle with one text of a file replaced; an empty old text appends.
func edit(t *testing.T, file, old, replacement string) policy.Files {
	t.Helper()
	files := maps.Clone(policy.Default())
	text := string(files[file])
	if old == "" {
		files[file] = []byte(text + replacement)
		return files
	}
	if strings.Count(text, old) != 1 {
		t.Fatalf("%s holds %q %d times", file, old, strings.Count(text, old))
	}
	files[file] = []byte(strings.Replace(text, old, replacement, 1))
	return files
}

// Whatever is wrong is told, all of it, each with its place, value and fix.
func TestFaults(t *testing.T) {
	datadriven.RunTest(t, "testdata/faults.txt", func(t *testing.T, d *datadriven.TestData) string {
		files := edited(t, d)
		_, err := policy.Compile(files)
		var faults policy.Faults
		if !errors.As(err, &faults) {
			d.Fatalf(t, "got %v", err)
		}
		var b strings.Builder
		for _, f := range faults {
			fmt.Fprintf(&b, "%s «%s»", f.File, found(files[f.File], f.Line, f.Column))
			f.File, f.Line, f.Column = "", 0, 0
			fmt.Fprintln(&b, f)
		}
		return b.String()
	})
}

// edited carries out "edit file=NAME", the old text, "=>", and the new one.
func edited(t *testing.T, d *datadriven.TestData) policy.Files {
	t.Helper()
	var file string
	d.ScanArgs(t, "file", &file)
	old, replacement, ok := strings.Cut("\n"+d.Input, "\n=>")
	if !ok || d.Cmd != "edit" {
		d.Fatalf(t, "give: edit file=NAME, the old text, =>, the new one")
	}
	old, replacement = strings.TrimPrefix(old, "\n"), strings.TrimPrefix(replacement, "\n")
	if old == "" {
		replacement += "\n"
	}
	return edit(t, file, old, replacement)
}

// found returns the word at a place.
func found(text []byte, line, column int) string {
	if line == 0 {
		return ""
	}
	at := strings.Split(string(text), "\n")[line-1]
	at = string([]rune(at)[max(column-1, 0):])
	if column > 0 {
		at, _, _ = strings.Cut(at, ",")
		at, _, _ = strings.Cut(at, ":")
	}
	return strings.TrimRight(at, "]}")
}

// A mapping in a folder of mappings has no effect: that is told.
func TestMappingInAFolder(t *testing.T) {
	dir := fstest.MapFS{"mappings/sub/x.yaml": {Data: []byte("system: lever\n")}}
	for name, text := range policy.Default() {
		dir[name] = &fstest.MapFile{Data: text}
	}
	files, err := policy.ReadFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := policy.Parse(files); err == nil || err.Error() != "mappings/sub/x.yaml: is not read; move it to mappings" {
		t.Errorf("got %v", err)
	}
}

// Every file that is too large to be read is told, and what is wrong with the others.
func TestFilesThatAreTooLarge(t *testing.T) {
	dir := fstest.MapFS{}
	for name, text := range policy.Default() {
		dir[name] = &fstest.MapFile{Data: text}
	}
	large := bytes.Repeat([]byte("# long\n"), 1<<20/7+1)
	dir[policy.WavesFile] = &fstest.MapFile{Data: large}
	dir["mappings/lever.yaml"] = &fstest.MapFile{Data: large}
	dir[policy.BundleFile] = &fstest.MapFile{Data: bytes.Replace(policy.Default()[policy.BundleFile], []byte("review_by"), []byte("reviewed_by"), 1)}
	files, err := policy.ReadFiles(dir)
	var faults policy.Faults
	if !errors.As(err, &faults) || files != nil {
		t.Fatalf("got %v", err)
	}
	told := map[string]int{}
	for _, f := range faults {
		told[f.File]++
		if f.File != policy.BundleFile && !strings.Contains(f.Problem, "bytes long") {
			t.Errorf("also told: %s", f)
		}
	}
	if told[policy.WavesFile] != 1 || told["mappings/lever.yaml"] != 1 || told[policy.BundleFile] == 0 {
		t.Errorf("got %v", err)
	}
}

// Time alone makes warnings, never faults.
func TestWarnings(t *testing.T) {
	p, err := policy.Parse(policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	day := func(s string) time.Time { d, _ := time.Parse(time.DateOnly, s); return d }
	for at, want := range map[string][]string{
		"2026-06-01": nil,
		"2027-12-31": nil,
		"2028-01-01": {
			"bundle.yaml review_by has passed",
			"bundle.yaml calendars.us.holidays has no day in 2028",
			"bundle.yaml calendars.eu.holidays has no day in 2028",
			"bundle.yaml calendars.gb.holidays has no day in 2028",
			"mappings/greenhouse-eu.yaml until has passed: the addendum is still in force",
			"mappings/greenhouse-us.yaml until has passed: the addendum is still in force",
		},
	} {
		faults, warnings := p.Check(day(at))
		if len(faults) > 0 {
			t.Errorf("%s: %v", at, faults)
		}
		var got []string
		for _, w := range warnings {
			got = append(got, w.File+" "+w.Path+" "+w.Problem)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got\n%s", at, strings.Join(got, "\n"))
		}
	}
}

// The digest is of what the files say, not of how they are laid out.
func TestDigest(t *testing.T) {
	digest := func(files policy.Files) policy.Digest {
		t.Helper()
		p, err := policy.Parse(files)
		if err != nil {
			t.Fatal(err)
		}
		return p.Digest()
	}
	want := digest(policy.Default())
	for _, same := range []policy.Files{
		edit(t, "waves.yaml", "", "# a comment\n"),
		edit(t, "waves.yaml", "default: write", "\"default\":   'write'"),
		edit(t, "mappings/greenhouse.yaml", `"1001": apply`, `1001: apply`),
		edit(t, "mappings/greenhouse.yaml", "  apply: \"1001\"\n  triage: \"1002\"\n", "  triage: \"1002\"\n  apply: \"1001\"\n"),
		edit(t, "dictionary.yaml", "scale: {code: any, min: 0, max: 100, valid_for: 365d}", "scale:\n      max: 100\n      min: 0\n      code: any\n      valid_for: 365d"),
	} {
		if digest(same) != want {
			t.Error("the digest changed, and nothing else did")
		}
	}
	for _, other := range []policy.Files{
		edit(t, "waves.yaml", "write", "shadow"),
		edit(t, "machine.yaml", "[hired, rejected, withdrawn]", "[rejected, hired, withdrawn]"),
		edit(t, "bundle.yaml", "1.0.0", "1.0.1"),
	} {
		if digest(other) == want {
			t.Error("the digest did not change")
		}
	}
	p, _ := policy.Parse(policy.Default())
	if !bytes.HasPrefix(p.Canonical(), []byte(`{"bundle.yaml":{"calendars":`)) || bytes.ContainsAny(p.Canonical(), "\n\t") {
		t.Errorf("%.80s", p.Canonical())
	}
}
