package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/concord-ats/concord/schemas"
)

// TestGeneratedIsUpToDate runs the generator and compares with what stands in pkg/wire.
func TestGeneratedIsUpToDate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stale := filepath.Join(dir, "gone_gen.go")
	if err := os.WriteFile(stale, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("a file no schema asks for any more is still there")
	}
	fresh, err := filepath.Glob(filepath.Join(dir, "*_gen.go"))
	if err != nil {
		t.Fatal(err)
	}
	committed, err := filepath.Glob("../*_gen.go")
	if err != nil || len(committed) != len(fresh) {
		t.Errorf("pkg/wire has %d generated files, want %d: %v", len(committed), len(fresh), err)
	}
	for _, name := range fresh {
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("..", filepath.Base(name)))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is out of date, run go generate ./pkg/wire: %v", filepath.Base(name), err)
		}
	}
}

func TestGenerateRefuses(t *testing.T) {
	t.Parallel()
	const enum = `{"type":"enum","name":"E","symbols":["a","b"],"default":"a"}`
	top := func(name, fields string) string {
		return `{"type":"record","name":"` + name + `","namespace":"concord","fields":[` + fields + `]}`
	}
	for name, tc := range map[string]struct{ a, b, want string }{
		"one name, two definitions": {
			top("A", `{"name":"e","type":`+enum+`}`), top("B", `{"name":"e","type":`+strings.Replace(enum, `"b"`, `"c"`, 1)+`}`),
			"concord.E is defined otherwise in a.avsc",
		},
		"two Go names alike":     {top("A", `{"name":"e","type":`+enum+`},{"name":"r","type":{"type":"record","name":"EA","fields":[]}}`), "", "the Go name EA stands for"},
		"default not zero":       {top("A", `{"name":"i","type":"int","default":1}`), "", "must be the Go zero value"},
		"enum default not first": {top("A", `{"name":"e","type":`+strings.Replace(enum, `"default":"a"`, `"default":"b"`, 1)+`}`), "", "the default must be the first"},
		"unknown fixed":          {top("A", `{"name":"f","type":{"type":"fixed","name":"F","size":4}}`), "", "has no such type"},
		"union of two values":    {top("A", `{"name":"u","type":["null","int"]}`), "", "a union must be null and a record"},
		"map":                    {top("A", `{"name":"m","type":{"type":"map","values":"int"}}`), "", "type map is not supported"},
		"not a record":           {enum, "", "want a record"},
	} {
		fsys := fstest.MapFS{"a.avsc": {Data: []byte(tc.a)}}
		if tc.b != "" {
			fsys["b.avsc"] = &fstest.MapFile{Data: []byte(tc.b)}
		}
		files, err := schemas.Load(fsys)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := generate(files); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error = %v, want %q", name, err, tc.want)
		}
	}
}

func TestCamel(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"application_id": "ApplicationID", "application_ids": "ApplicationIDs", "report_url": "ReportURL", "uri": "URI",
		"sha256": "SHA256", "ats_behind": "ATSBehind", "p50": "P50", "occurred_at": "OccurredAt",
	} {
		if got := camel(in); got != want {
			t.Errorf("camel(%s) = %s, want %s", in, got, want)
		}
	}
}
