package schemas_test

import (
	"strings"
	"testing"

	"github.com/concord-ats/concord/schemas"
)

func record(t *testing.T, fields string) *schemas.Type {
	t.Helper()
	s, err := schemas.Parse([]byte(`{"type":"record","name":"R","namespace":"concord","fields":[` + fields + `]}`))
	if err != nil {
		t.Fatalf("parse %s: %v", fields, err)
	}
	return s
}

// TestEvolution has every rule once kept and once broken.
func TestEvolution(t *testing.T) {
	t.Parallel()
	const (
		enum  = `{"name":"e","type":{"type":"enum","name":"E","symbols":["a","b"],"default":"a"}}`
		enum3 = `{"name":"e","type":{"type":"enum","name":"E","symbols":["c","a","b"],"default":"a"}}`
	)
	for _, tc := range []struct {
		name, older, newer string
		want               string // part of the problem; "" = compatible
	}{
		{"same", `{"name":"a","type":"int"}`, `{"name":"a","type":"int"}`, ""},
		{"documentation", `{"name":"a","type":"int"}`, `{"name":"a","type":"int","doc":"A."}`, ""},
		{"order", `{"name":"a","type":"int"},{"name":"b","type":"int"}`, `{"name":"b","type":"int"},{"name":"a","type":"int"}`, ""},
		{"new field", ``, `{"name":"a","type":"int","default":0}`, ""},
		{"new field without default", ``, `{"name":"a","type":"int"}`, "R.a: the new field has no default"},
		{"removed field", `{"name":"a","type":"int","default":0}`, ``, ""},
		{"removed field without default", `{"name":"a","type":"int"}`, ``, "R.a: the removed field had no default"},
		{"renamed field", `{"name":"a","type":"int"}`, `{"name":"b","type":"int","aliases":["a"]}`, "R.b: the new field has no default"},
		{"default added", `{"name":"a","type":"int"}`, `{"name":"a","type":"int","default":0}`, ""},
		{"default written otherwise", `{"name":"a","type":"double","default":0}`, `{"name":"a","type":"double","default":0.0}`, ""},
		{"default changed", `{"name":"a","type":"int","default":0}`, `{"name":"a","type":"int","default":1}`, "the default changed"},
		{"default gone", `{"name":"a","type":"int","default":0}`, `{"name":"a","type":"int"}`, "the default changed"},
		{"int to long", `{"name":"a","type":"int"}`, `{"name":"a","type":"long"}`, ""},
		{"int to double", `{"name":"a","type":"int"}`, `{"name":"a","type":"double"}`, ""},
		{"long to double", `{"name":"a","type":"long"}`, `{"name":"a","type":"double"}`, ""},
		{"long to int", `{"name":"a","type":"long"}`, `{"name":"a","type":"int"}`, "changed from long to int"},
		{"double to long", `{"name":"a","type":"double"}`, `{"name":"a","type":"long"}`, "changed from double to long"},
		{"int to string", `{"name":"a","type":"int"}`, `{"name":"a","type":"string"}`, "changed from int to string"},
		{"to optional", `{"name":"a","type":"int"}`, `{"name":"a","type":["null","int"]}`, "changed from int to union"},
		{"union grows", `{"name":"a","type":["null","int"]}`, `{"name":"a","type":["null","int","string"]}`, "from 2 to 3 members"},
		{"union turned", `{"name":"a","type":["null","int"]}`, `{"name":"a","type":["int","null"]}`, "changed from null to int"},
		{"symbol added", enum, enum3, ""},
		{"symbol removed", enum3, enum, "the symbol c was removed"},
		{"symbol added, no default", strings.Replace(enum, `,"default":"a"`, "", 1), enum3, "without having a default"},
		{"enum default changed", enum, strings.Replace(enum, `"default":"a"`, `"default":"b"`, 1), "the enum's default changed"},
		{"enum default gone", enum, strings.Replace(enum, `,"default":"a"`, "", 1), "the enum's default changed"},
		{"enum renamed", enum, strings.Replace(enum, `"E"`, `"F"`, 1), "renamed from concord.E to concord.F"},
		{"fixed size", `{"name":"f","type":{"type":"fixed","name":"F","size":2}}`, `{"name":"f","type":{"type":"fixed","name":"F","size":3}}`, "from 2 to 3"},
		{"array items", `{"name":"a","type":{"type":"array","items":"int"}}`, `{"name":"a","type":{"type":"array","items":"string"}}`, "R.a[]: the type changed"},
		{
			"logical type", `{"name":"a","type":{"type":"long","logicalType":"timestamp-micros"}}`,
			`{"name":"a","type":{"type":"long","logicalType":"timestamp-millis"}}`, "the logical type changed",
		},
		{
			"nested", `{"name":"n","type":["null",{"type":"record","name":"N","fields":[]}]}`,
			`{"name":"n","type":["null",{"type":"record","name":"N","fields":[{"name":"x","type":"int"}]}]}`, "R.n.x: the new field has no default",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			older, newer := record(t, tc.older), record(t, tc.newer)
			err := schemas.CheckEvolution(older, newer)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("error = %v, want %q", err, tc.want)
			}
			if tc.want == "" {
				if err := schemas.CheckReadable(newer, older); err != nil {
					t.Errorf("allowed, but the new program cannot read old records: %v", err)
				}
			}
		})
	}
}

func TestEvolutionNamesEveryProblem(t *testing.T) {
	t.Parallel()
	older, newer := record(t, `{"name":"a","type":"int"}`), record(t, `{"name":"b","type":"int"},{"name":"c","type":"int"}`)
	err := schemas.CheckEvolution(older, newer)
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("error = %v, want three lines", err)
	}
	other, err := schemas.Parse([]byte(`{"type":"record","name":"S","fields":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := schemas.CheckEvolution(record(t, ``), other); err == nil || !strings.Contains(err.Error(), "renamed") {
		t.Errorf("error = %v, want renamed", err)
	}
}

func TestReadable(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, reader, writer string
		ok                   bool
	}{
		{"writer has more", ``, `{"name":"x","type":"string"}`, true},
		{"writer has less, default", `{"name":"x","type":"string","default":""}`, ``, true},
		{"writer has less", `{"name":"x","type":"string"}`, ``, false},
		{"promoted", `{"name":"x","type":"long"}`, `{"name":"x","type":"int"}`, true},
		{"narrowed", `{"name":"x","type":"int"}`, `{"name":"x","type":"long"}`, false},
		{"union of one fitting kind", `{"name":"x","type":"long"}`, `{"name":"x","type":["int","long"]}`, true},
		{"union with null", `{"name":"x","type":"long"}`, `{"name":"x","type":["null","long"]}`, false},
		{"optional from plain", `{"name":"x","type":["null","string"]}`, `{"name":"x","type":"string"}`, true},
		{"unknown symbol", `{"name":"x","type":{"type":"enum","name":"E","symbols":["a"],"default":"a"}}`, `{"name":"x","type":{"type":"enum","name":"E","symbols":["a","b"]}}`, true},
		{"unknown symbol, no default", `{"name":"x","type":{"type":"enum","name":"E","symbols":["a"]}}`, `{"name":"x","type":{"type":"enum","name":"E","symbols":["a","b"]}}`, false},
		{"another enum", `{"name":"x","type":{"type":"enum","name":"E","symbols":["a"],"default":"a"}}`, `{"name":"x","type":{"type":"enum","name":"F","symbols":["a"]}}`, false},
		{"items of nothing", ``, `{"name":"x","type":{"type":"array","items":"null"}}`, false},
		{"items of empty records", ``, `{"name":"x","type":["null",{"type":"array","items":{"type":"record","name":"N","fields":[]}}]}`, false},
	} {
		if err := schemas.CheckReadable(record(t, tc.reader), record(t, tc.writer)); (err == nil) != tc.ok {
			t.Errorf("%s: error = %v, want ok = %v", tc.name, err, tc.ok)
		}
	}
}
