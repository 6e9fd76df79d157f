package policy_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/concord-ats/concord/pkg/policy"
)

func parse(t *testing.T, files policy.Files) *policy.Policy {
	t.Helper()
	p, err := policy.Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Every picture names each state, each transition with its owner, SLA and authority, what is forbidden, and the digest.
func TestDiagrams(t *testing.T) {
	p := parse(t, policy.Default())
	svg, err := text(p.SVG())
	if err != nil {
		t.Fatal(err)
	}
	unescape := strings.NewReplacer("#58;", ":", "#59;", ";", "<br/>", " ", `\n`, " ", `\l`, " ")
	for kind, drawn := range map[string]string{"mermaid": unescape.Replace(p.Mermaid()), "dot": unescape.Replace(p.DOT()), "svg": strings.ReplaceAll(svg, "  ", " ")} {
		for _, s := range p.Machine.States {
			if !strings.Contains(drawn, s.ID) {
				t.Errorf("%s has no state %s", kind, s.ID)
			}
		}
		for _, tr := range p.Machine.Transitions {
			names := make([]string, len(tr.Authority))
			for i, a := range tr.Authority {
				names[i] = string(a)
			}
			want := tr.Name + " " + tr.Owner + ", " + tr.SLA.String() + ", " + strings.Join(names, " · ")
			if !strings.Contains(drawn, want) {
				t.Errorf("%s does not show %q", kind, want)
			}
		}
		for _, want := range []string{
			"sha256:" + p.Digest().String(), "apply → interviews, offer, hired: hold", "interviews → apply, triage, hired: hold", "hired → rejected, withdrawn: hold",
			"move without authority: revert",
		} {
			if !strings.Contains(drawn, want) {
				t.Errorf("%s does not show %q", kind, want)
			}
		}
	}
}

// text returns the text of a picture that is well-formed XML.
func text(svg string) (string, error) {
	var b strings.Builder
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return b.String(), nil
		}
		if err != nil {
			return "", err
		}
		if c, ok := token.(xml.CharData); ok {
			b.Write(c)
		}
	}
}
