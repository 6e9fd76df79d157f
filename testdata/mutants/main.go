// Command mutants proves that tests bite. Every patch beside it breaks one rule; the lines at its head name the tests
// that have to fail for it, one at least:
//
//	Scenario: NAME      the scenario NAME of TestScenarios in pkg/hiring
//	Test: PACKAGE NAME  the test NAME of another package, or of all tests of pkg/hiring
//
//	go run ./testdata/mutants [PATCH…]
//
// Each patch is applied to a copy, so that the work tree is never touched. Exit code 1: a mutant survives, a patch does
// not apply or build, or a test fails without any patch.
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"
)

const (
	patches  = "testdata/mutants"
	core     = "pkg/hiring"
	scenario = "Scenario: "
	test     = "Test: "
	parallel = 2
	// limit is for one test of one mutant: a copy, a build and a run. One that hangs is not killed.
	limit = 5 * time.Minute
)

// failed finds the tests a run reports as failed.
var failed = regexp.MustCompile(`(?m)^ *--- FAIL: (\S+)`)

// started finds the tests a run knows.
var started = regexp.MustCompile(`(?m)^=== RUN +(\S+)`)

// target is a test that has to fail.
type target struct {
	pkg, name string
}

// scenarios reports whether it is one of the core's scenarios, which need a part of the module only.
func (t target) scenarios() bool { return t.top() == "TestScenarios" }

// top is the name of the test function.
func (t target) top() string {
	top, _, _ := strings.Cut(t.name, "/")
	return top
}

func (t target) String() string { return strings.TrimPrefix(t.name, "TestScenarios/") }

// mutant is one patch, one test that has to fail for it, and what became of it.
type mutant struct {
	name   string
	patch  string // absolute path; empty = no patch
	target target
	tests  []string // besides the target's, of its package; without a patch
	failed []string
	known  []string
	fault  error // why nothing can be said
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	survivors, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
	if survivors > 0 {
		os.Exit(1)
	}
}

// run tries every patch, or the named ones, prints the table and returns how many were not killed.
func run(ctx context.Context, only []string) (int, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return 0, err
	}
	mutants, err := load(root, only)
	if err != nil {
		return 0, err
	}
	work, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return 0, err
	}
	defer func() {
		if err := os.RemoveAll(work); err != nil {
			fmt.Fprintln(os.Stderr, "mutants:", err)
		}
	}()

	// Copies are taken at the start: an edit during the run changes nothing.
	src := sources{whole: filepath.Join(work, "whole"), scenarios: filepath.Join(work, "scenarios")}
	if err := errors.Join(copyModule(root, src.whole), copyScenarios(root, src.scenarios)); err != nil {
		return 0, err
	}
	var plain []mutant // every test without a patch, those of a package in one go
	for i := range mutants {
		t := target{pkg: mutants[i].target.pkg, name: mutants[i].target.top()}
		if at := slices.IndexFunc(plain, mutants[i].beside); at < 0 {
			plain = append(plain, mutant{name: "no patch", target: t})
		} else if !slices.Contains(plain[at].tests, t.name) {
			plain[at].tests = append(plain[at].tests, t.name)
		}
	}
	tryAll(ctx, plain, src, work)
	for i := range plain {
		if plain[i].fault != nil {
			return 0, fmt.Errorf("%s without any patch: %w", plain[i].target.pkg, plain[i].fault)
		}
	}
	tryAll(ctx, mutants, src, work)
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return report(plain, mutants)
}

// sources are the copies that patches are applied to copies of.
type sources struct{ whole, scenarios string }

func tryAll(ctx context.Context, mutants []mutant, src sources, work string) {
	var group sync.WaitGroup
	free := make(chan struct{}, parallel)
	for i := range mutants {
		group.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			mutants[i].try(ctx, src, work)
		})
	}
	group.Wait()
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if filepath.Base(mod) != "go.mod" {
		return "", errors.New("not inside the module")
	}
	return filepath.Dir(mod), nil
}

// load reads the head of every patch, in the order of their names.
func load(root string, only []string) ([]mutant, error) {
	paths, err := filepath.Glob(filepath.Join(root, patches, "*.patch"))
	if err != nil {
		return nil, err
	}
	var mutants []mutant
	found := 0
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".patch")
		if len(only) > 0 && !slices.Contains(only, name) {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		found++
		targets := head(string(text))
		if len(targets) == 0 {
			return nil, fmt.Errorf("%s: the first line is neither %q nor %q and a name", path, scenario, test)
		}
		for _, t := range targets {
			mutants = append(mutants, mutant{name: name, patch: path, target: t})
		}
	}
	if found == 0 || len(only) > found {
		return nil, fmt.Errorf("%d patches found in %s, want %s", found, patches, cmp.Or(strings.Join(only, ", "), "at least one"))
	}
	return mutants, nil
}

// head reads the tests that the first lines of a patch name.
func head(patch string) []target {
	var targets []target
	for line := range strings.Lines(patch) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, scenario); ok && name != "" {
			targets = append(targets, target{core, "TestScenarios/" + name})
			continue
		}
		named, ok := strings.CutPrefix(line, test)
		pkg, name, both := strings.Cut(named, " ")
		if !ok || !both {
			break
		}
		targets = append(targets, target{pkg, name})
	}
	return targets
}

// try copies what the test needs, applies the patch, builds the tests and runs the one.
func (m *mutant) try(ctx context.Context, src sources, work string) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	dir, err := os.MkdirTemp(work, "copy")
	if err != nil {
		m.fault = err
		return
	}
	source := src.whole
	if m.target.scenarios() {
		source = src.scenarios
	}
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		m.fault = err
		return
	}
	if m.patch != "" {
		if _, err := command(ctx, dir, "git", "apply", "--whitespace=nowarn", m.patch); err != nil {
			m.fault = fmt.Errorf("does not apply: %w", err)
			return
		}
	}
	if _, err := command(ctx, dir, "go", "test", "-c", "-vet=off", "-trimpath", "-ldflags=-s -w", "-o", "mutant.test", "./"+m.target.pkg); err != nil {
		m.fault = fmt.Errorf("does not build: %w", err)
		return
	}
	// A mutant that hangs or ends the process names no failed test: that is a fault, not a kill.
	out, err := command(ctx, filepath.Join(dir, m.target.pkg), filepath.Join(dir, "mutant.test"), "-test.run=^("+strings.Join(append(m.tests, m.target.top()), "|")+")$", "-test.v", "-test.timeout=4m")
	m.failed, m.known = names(failed, out), names(started, out)
	if err != nil && len(m.failed) == 0 {
		m.fault = err
	}
}

// beside reports whether another's test is built as this one's is.
func (m *mutant) beside(other mutant) bool {
	return m.target.pkg == other.target.pkg && m.target.scenarios() == other.target.scenarios()
}

func names(pattern *regexp.Regexp, text string) []string {
	var found []string
	for _, match := range pattern.FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// copyModule copies the module as it stands, with what is not committed yet.
func copyModule(root, dir string) error {
	for _, name := range []string{"cmd", "pkg", "processors", "schemas"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(root, name))); err != nil {
			return err
		}
	}
	return copyVersions(root, dir)
}

// copyScenarios copies what the scenarios need: the module's versions, the core, of its tests the scenarios', and what
// the built-in bundle is compiled with.
func copyScenarios(root, dir string) error {
	to := filepath.Join(dir, core)
	for _, name := range []string{core, "pkg/policy", "pkg/nearest", "pkg/strict", "pkg/ats", "pkg/wire", "schemas"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(root, name))); err != nil {
			return err
		}
	}
	tests, err := filepath.Glob(filepath.Join(to, "*_test.go"))
	if err != nil {
		return err
	}
	for _, path := range tests {
		if strings.HasPrefix(filepath.Base(path), "scenario") {
			continue
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return copyVersions(root, dir)
}

func copyVersions(root, dir string) error {
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// command runs a program in dir and returns what it printed; an error ends with that, cut.
func command(ctx context.Context, dir, name string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = dir
	// A copy is no part of any repository, whatever the temporary directory is in.
	c.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") }),
		"GIT_CEILING_DIRECTORIES="+filepath.Dir(dir), "GOWORK=off")
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		return out.String(), fmt.Errorf("%w: %s", err, strings.Join(lines[:min(len(lines), 4)], "; "))
	}
	return out.String(), nil
}

// report prints one line a mutant and test, and returns how many were not killed.
func report(plain, mutants []mutant) (int, error) {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "MUTANT\tTEST\tRESULT\tFAILS ALSO")
	bad := 0
	for i := range mutants {
		m := &mutants[i]
		whole := &plain[slices.IndexFunc(plain, m.beside)]
		result := "killed"
		switch {
		case !slices.Contains(whole.known, m.target.name):
			result = "NO SUCH TEST"
		case slices.Contains(whole.failed, m.target.name):
			result = "FAILS WITHOUT THE PATCH"
		case m.fault != nil:
			result = "FAULT"
		case !slices.Contains(m.failed, m.target.name):
			result = "SURVIVED"
		}
		if result != "killed" {
			bad++
		}
		var also []string
		for _, name := range m.failed {
			_, sub, ok := strings.Cut(name, "/")
			if ok && name != m.target.name && !slices.Contains(whole.failed, name) {
				rule, _, _ := strings.Cut(sub, "-")
				also = append(also, rule)
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", m.name, m.target, result, strings.Join(slices.Compact(also), " "))
	}
	if err := table.Flush(); err != nil {
		return bad, err
	}
	for i := range mutants {
		if m := &mutants[i]; m.fault != nil {
			fmt.Printf("%s: %v\n", m.name, m.fault)
		}
	}
	fmt.Printf("%d mutants, %d killed\n", len(mutants), len(mutants)-bad)
	return bad, nil
}
