package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/policy"
)

func translation(t *testing.T, files policy.Files, instance string) ats.Mapping {
	t.Helper()
	p, err := policy.Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	if faults, _ := p.Check(p.Bundle.EffectiveFrom.Time); len(faults) > 0 {
		t.Fatal(faults)
	}
	m, err := p.Translation(instance)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The built-in bundle speaks to the simulated ATS, and reads what else the dictionary has a field for.
func TestTranslation(t *testing.T) {
	got := translation(t, policy.Default(), "gh-main")
	want := []ats.Field{
		{Element: "screening_recommendation", Key: "screening_recommendation", ID: 9001, Type: ats.FieldText},
		{Element: "screening_report_url", Key: "screening_report_url", ID: 9002, Type: ats.FieldText},
		{Element: "screening_score", Key: "screening_score", ID: 9003, Type: ats.FieldNumber},
		{Element: "screening_status", Key: "screening_status", ID: 9004, Type: ats.FieldText},
	}
	written := slices.DeleteFunc(slices.Clone(got.Fields), func(f ats.Field) bool { return f.ReadOnly })
	if d := cmp.Diff(want, written); d != "" {
		t.Error(d)
	}
	var read []string
	for _, f := range got.Fields {
		if f.ReadOnly {
			read = append(read, f.Element+" "+f.Key)
		}
	}
	// What the European addendum calls it comes first, as no other application has that field.
	if want := []string{"salary_expectation salary_expectation_eu", "salary_expectation salary_expectation", "start_date start_date", "work_authorisation work_authorisation"}; !slices.Equal(read, want) {
		t.Errorf("reads %q", read)
	}
	if got.RejectReason != "8" || !slices.Equal(got.WithdrawReasons, []string{"40"}) || got.Regions["Berlin"] != "de" {
		t.Errorf("%+v", got)
	}
	p, err := policy.Parse(policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Translation("vetting"); err == nil || !strings.Contains(err.Error(), "is no ATS of the policy's inventory") {
		t.Errorf("a vendor: %v", err)
	}
}

// Another field, another id, another reason: the client is told by the bundle alone.
func TestTranslationFollowsTheBundle(t *testing.T) {
	files := edit(t, "bundle.yaml", `screening_score: {type: number, id: "9003", writable: true}`, `cf_score: {type: text, id: "77", writable: true}`)
	files["mappings/greenhouse.yaml"] = edit(t, "mappings/greenhouse.yaml", "screening_score: screening_score", "screening_score: cf_score")["mappings/greenhouse.yaml"]
	delete(files, "mappings/greenhouse-eu.yaml") // it would match an application of gh-acme as well
	delete(files, "mappings/greenhouse-us.yaml")
	files["mappings/acme.yaml"] = []byte("system: greenhouse\nfor: {instance: gh-acme}\nwhy: y\nby: b\nuntil: 2027-01-01\nreject_with: \"14\"\nhire_with: \"8\"\nfields: {screening_score: screening_report_url, screening_report_url: cf_score}\n")
	want := ats.Field{Element: "screening_score", Key: "cf_score", ID: 77, Type: ats.FieldText}
	main, acme := translation(t, files, "gh-main"), translation(t, files, "gh-acme")
	if f, ok := main.Field("screening_score"); !ok || f != want || main.RejectReason != "8" {
		t.Errorf("gh-main: %+v, %s", f, main.RejectReason)
	}
	want = ats.Field{Element: "screening_score", Key: "screening_report_url", ID: 9002, Type: ats.FieldText}
	if f, ok := acme.Field("screening_score"); !ok || f != want || acme.RejectReason != "14" || acme.HireReason != "8" {
		t.Errorf("gh-acme: %+v, %s, %s", f, acme.RejectReason, acme.HireReason)
	}
}
