package policy_test

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/schemas"
)

// Each form of the dictionary names every element with its golden source, and the digest.
func TestDictionaries(t *testing.T) {
	p := parse(t, policy.Default())
	contract, err := p.ODCS()
	if err != nil {
		t.Fatal(err)
	}
	for kind, out := range map[string]string{"markdown": p.DictionaryMarkdown(), "html": p.DictionaryHTML(), "csv": p.DictionaryCSV(), "odcs": contract} {
		for name, e := range p.Dictionary.Elements {
			if !strings.Contains(out, name) || !strings.Contains(out, e.Golden.String()) || !strings.Contains(out, e.Retention.String()) {
				t.Errorf("%s does not describe %s", kind, name)
			}
		}
		if kind != "csv" && !strings.Contains(out, "sha256:"+p.Digest().String()) {
			t.Errorf("%s has no digest", kind)
		}
		if kind == "markdown" || kind == "html" {
			for _, want := range []string{"state interviews: SLA 14d → 21d", "field of salary_expectation: salary_expectation → salary_expectation_eu"} {
				if !strings.Contains(out, want) {
					t.Errorf("%s does not tell %q", kind, want)
				}
			}
		}
	}
	rows, err := csv.NewReader(strings.NewReader(p.DictionaryCSV())).ReadAll()
	if err != nil || len(rows) != 1+len(p.Dictionary.Elements) {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	page := strings.NewReplacer("<!DOCTYPE html>\n", "", `<meta charset="utf-8">`, "").Replace(p.DictionaryHTML())
	if err := xml.Unmarshal([]byte(page), new(struct{})); err != nil {
		t.Errorf("the page is not well-formed: %v", err)
	}
}

// Nor is one after a semicolon, at which spreadsheets of some countries split.
func TestNoFormulaAfterSemicolon(t *testing.T) {
	for text, want := range map[string]string{"x;=1+1": "x;'=1+1", "x; @y;-2": "x; '@y;'-2", "x; y = 1": "x; y = 1"} {
		p := parse(t, policy.Default())
		p.Dictionary.Elements["screening_status"].Meaning = text
		if got := p.DictionaryCSV(); !strings.Contains(got, ","+want+",") {
			t.Errorf("%q is not told as %q", text, want)
		}
	}
}

// A text that a spreadsheet would run is text in the CSV.
func TestNoFormulaInCSV(t *testing.T) {
	for _, formula := range []string{`=cmd|'/C calc'!A0`, "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"} {
		p := parse(t, policy.Default())
		p.Dictionary.Elements["screening_status"].Meaning = formula
		rows, err := csv.NewReader(strings.NewReader(p.DictionaryCSV())).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, row := range rows {
			found = found || slices.Contains(row, "'"+formula)
			if slices.Contains(row, formula) {
				t.Errorf("%q is a cell", formula)
			}
		}
		if !found {
			t.Errorf("%q is not told: %q", formula, rows[1])
		}
	}
}

// The data contract holds by the standard's own JSON Schema, and has every topic.
func TestDataContract(t *testing.T) {
	text, err := parse(t, policy.Default()).ODCS()
	if err != nil {
		t.Fatal(err)
	}
	standard, err := os.ReadFile("testdata/odcs/odcs-json-schema-v3.1.0.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(standard))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("odcs.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("odcs.json")
	if err != nil {
		t.Fatal(err)
	}
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(plain(t, &n)); err != nil {
		t.Error(err)
	}
	for _, topic := range schemas.Topics() {
		if !strings.Contains(text, "- name: "+topic.Name+"\n") {
			t.Errorf("no topic %s", topic.Name)
		}
	}
}
