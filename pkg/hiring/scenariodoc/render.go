package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

const intro = `# What happens in hiring, and what Concord does

<!-- Written by go generate in pkg/hiring from the tests themselves. Change those. -->

Each scenario is a test under its number, which fails if Concord does otherwise. A file of scenarios can be read without Go: a line is something
that happens, at a second of the clock, and behind => stands what was decided. ` + "`go test ./pkg/hiring -run TestScenarios/corpus/17`" + ` runs one.

`

// render writes the page.
func render(all []scenario) []byte {
	var b bytes.Buffer
	b.WriteString(intro)
	var open []string
	for i := range all {
		if all[i].open != "" {
			open = append(open, fmt.Sprintf("[%d](#%s)", all[i].number, all[i].anchor()))
		}
	}
	if len(open) > 0 {
		fmt.Fprintf(&b, "Proved as far as it is built, with what is open: %s.\n\n", strings.Join(open, ", "))
	}
	part := func(title string, numbers []int) {
		fmt.Fprintf(&b, "## %s\n\n", title)
		for i := range all {
			if slices.Contains(numbers, all[i].number) {
				all[i].write(&b)
			}
		}
	}
	part("The field's failure corpus", field)
	part("And what else happens", ours)
	return append(bytes.TrimRight(b.Bytes(), "\n"), '\n')
}

func (s *scenario) heading() string { return fmt.Sprintf("%d. %s", s.number, s.title) }

// anchor is how a heading is linked to.
func (s *scenario) anchor() string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		}
		return -1
	}, strings.ToLower(s.heading()))
}

func (s *scenario) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "### %s\n\n%s\n\n**Concord:** %s\n\n", s.heading(), s.happens, s.concord)
	if s.open != "" {
		fmt.Fprintf(b, "**Open:** %s\n\n", s.open)
	}
	for _, p := range s.proofs {
		fmt.Fprintf(b, "- [%s](../%s)", p.test, p.file)
		if p.part != "" {
			fmt.Fprintf(b, ": %s", strings.TrimSuffix(p.part, "."))
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
}
