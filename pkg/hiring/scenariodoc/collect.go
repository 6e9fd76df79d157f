package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Numbers of the field are those of its failure corpus, which does not use every one; ours go on where it ends.
var field, ours = []int{
	1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 20, 21, 23, 25, 26, 28, 29, 30, 32, 33, 34, 36, 38, 40,
}, []int{
	41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69,
}

// scenario is what a reader is told of one.
type scenario struct {
	number                        int
	title, happens, concord, open string
	proofs                        []proof // the one that tells it first
}

// proof is a test.
type proof struct {
	test, file string
	part       string // what of the scenario it proves; "" for the whole
}

const scenarioDir = "pkg/hiring/testdata"

// collect reads every test below root. Its error names everything that is wrong.
func collect(root fs.FS) ([]scenario, error) {
	c := &collector{told: map[int]*scenario{}, also: map[int][]proof{}}
	for _, dir := range []string{"cmd", "pkg", "processors", "e2e"} {
		err := fs.WalkDir(root, dir, func(name string, d fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist) && name == dir:
				return fs.SkipDir
			case err != nil:
				return err
			case strings.HasSuffix(name, "_test.go"):
				return c.goTests(root, name)
			case strings.HasPrefix(name, scenarioDir+"/") && path.Ext(name) == ".txt":
				return c.scenarioFile(root, name)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return c.all()
}

type collector struct {
	told   map[int]*scenario
	also   map[int][]proof
	faults []error
}

func (c *collector) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf(format, args...))
}

// goTests reads the comments of the tests of a file.
func (c *collector) goTests(root fs.FS, name string) error {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), "cenario ") {
		return nil
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Doc != nil && strings.HasPrefix(f.Name.Name, "Test") {
			c.comment(strings.Split(f.Doc.Text(), "\n"), proof{test: f.Name.Name, file: name})
		}
	}
	return nil
}

// scenarioFile reads the head of a file of scenarios: its first lines that are comments.
func (c *collector) scenarioFile(root fs.FS, name string) error {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return err
	}
	var head []string
	for line := range strings.SplitSeq(string(text), "\n") {
		comment, ok := strings.CutPrefix(line, "#")
		if !ok {
			break
		}
		head = append(head, strings.TrimSpace(comment))
	}
	test := "TestScenarios/" + strings.TrimSuffix(strings.TrimPrefix(name, scenarioDir+"/"), ".txt")
	c.comment(head, proof{test: test, file: name})
	return nil
}

var (
	first     = regexp.MustCompile(`^Scenario (\d+): (.+)$`)
	also      = regexp.MustCompile(`^Also proves scenario (\d+): (.+)$`)
	continued = regexp.MustCompile(`^(Happens|Concord|Open): (.+)$`)
)

// comment reads what a comment says of scenarios.
func (c *collector) comment(lines []string, p proof) {
	var s *scenario
	var to *string // the field that goes on
	for _, line := range lines {
		if m := first.FindStringSubmatch(line); m != nil {
			n, _ := strconv.Atoi(m[1])
			s = &scenario{number: n, title: m[2], proofs: []proof{p}}
			if other := c.told[n]; other != nil {
				c.fault("%s: scenario %d is told in %s already: say \"Also proves scenario %d: …\"", p.file, n, other.proofs[0].file, n)
			}
			c.told[n], to = s, nil
		} else if m := also.FindStringSubmatch(line); m != nil {
			n, _ := strconv.Atoi(m[1])
			q := p
			q.part = m[2]
			c.also[n], to = append(c.also[n], q), nil
		} else if m := continued.FindStringSubmatch(line); m != nil && s != nil {
			to = map[string]*string{"Happens": &s.happens, "Concord": &s.concord, "Open": &s.open}[m[1]]
			*to = m[2]
		} else if line == "" {
			to = nil
		} else if to != nil {
			*to += " " + line
		}
	}
}

// all returns the scenarios by number, or everything that is wrong.
func (c *collector) all() ([]scenario, error) {
	known := append(slices.Clone(field), ours...)
	var out []scenario
	for _, n := range known {
		s := c.told[n]
		switch {
		case s == nil:
			c.fault("scenario %d has no proof: no test says \"Scenario %d: …\"", n, n)
			continue
		case s.happens == "" || s.concord == "":
			c.fault("%s: scenario %d does not say what happens and what Concord does: add \"Happens: …\" and \"Concord: …\"", s.proofs[0].file, n)
		}
		s.proofs = append(s.proofs, c.also[n]...)
		out = append(out, *s)
	}
	for n, s := range c.told {
		if !slices.Contains(known, n) {
			c.fault("%s: scenario %d is not in the list", s.proofs[0].file, n)
		}
	}
	for n, proofs := range c.also {
		if c.told[n] == nil {
			c.fault("%s: also proves scenario %d, which no test tells", proofs[0].file, n)
		}
	}
	slices.SortFunc(c.faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return out, errors.Join(c.faults...)
}
