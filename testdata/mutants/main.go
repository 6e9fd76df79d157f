// Command mutants proves that the rules' scenarios bite. Every patch beside it breaks one rule of pkg/hiring; its
// first line, "Scenario: NAME", names the scenario of TestScenarios that has to fail for it.
//
//	go run ./testdata/mutants [PATCH…]
//
// Each patch is applied to a copy of the package, so that the work tree is never touched. Exit code 1: a mutant
// survives, a patch does not apply or build, or a scenario fails without any patch.
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
	pkg      = "pkg/hiring"
	scenario = "Scenario: "
	parallel = 2
	// limit is for one mutant: a copy, a build and a run. A mutant that hangs is not killed by its scenario.
	limit = 3 * time.Minute
)

// failed finds the scenarios a run reports as failed.
var failed = regexp.MustCompile(`(?m)^ *--- FAIL: TestScenarios/(\S+)`)

// started finds the scenarios a run knows.
var started = regexp.MustCompile(`(?m)^=== RUN +TestScenarios/(\S+)`)

// mutant is one patch and what became of it.
type mutant struct {
	name     string
	patch    string // absolute path; empty = no patch
	scenario string // the one that must fail
	failed   []string
	known    []string
	fault    error // why nothing can be said
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

	// One copy is taken at the start: an edit during the run changes nothing.
	source := filepath.Join(work, "source")
	if err := copyModule(root, source); err != nil {
		return 0, err
	}
	whole := mutant{name: "no patch"}
	whole.try(ctx, source, work)
	if whole.fault != nil {
		return 0, fmt.Errorf("without any patch: %w", whole.fault)
	}
	var group sync.WaitGroup
	free := make(chan struct{}, parallel)
	for i := range mutants {
		group.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			mutants[i].try(ctx, source, work)
		})
	}
	group.Wait()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return report(&whole, mutants)
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

// load reads the first line of every patch, in the order of their names.
func load(root string, only []string) ([]mutant, error) {
	paths, err := filepath.Glob(filepath.Join(root, patches, "*.patch"))
	if err != nil {
		return nil, err
	}
	var mutants []mutant
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".patch")
		if len(only) > 0 && !slices.Contains(only, name) {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		first, _, _ := strings.Cut(string(text), "\n")
		wanted, ok := strings.CutPrefix(first, scenario)
		if !ok || strings.TrimSpace(wanted) == "" {
			return nil, fmt.Errorf("%s: the first line is not %q and a name", path, scenario)
		}
		mutants = append(mutants, mutant{name: name, patch: path, scenario: strings.TrimSpace(wanted)})
	}
	if len(mutants) == 0 || len(only) > len(mutants) {
		return nil, fmt.Errorf("%d patches found in %s, want %s", len(mutants), patches, cmp.Or(strings.Join(only, ", "), "at least one"))
	}
	return mutants, nil
}

// try copies the package, applies the patch, builds the tests and runs every scenario.
func (m *mutant) try(ctx context.Context, source, work string) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	dir, err := os.MkdirTemp(work, "copy")
	if err != nil {
		m.fault = err
		return
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
	if _, err := command(ctx, dir, "go", "test", "-c", "-trimpath", "-ldflags=-s -w", "-o", "scenarios.test", "./"+pkg); err != nil {
		m.fault = fmt.Errorf("does not build: %w", err)
		return
	}
	// A mutant that hangs or ends the process names no failed scenario: that is a fault, not a kill.
	out, err := command(ctx, filepath.Join(dir, pkg), filepath.Join(dir, "scenarios.test"), "-test.run=^TestScenarios$", "-test.v", "-test.timeout=30s")
	m.failed, m.known = names(failed, out), names(started, out)
	if err != nil && len(m.failed) == 0 {
		m.fault = err
	}
}

func names(pattern *regexp.Regexp, text string) []string {
	var found []string
	for _, match := range pattern.FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// copyModule copies what the scenarios need: the module's versions, the package, and of its tests the scenarios'.
func copyModule(root, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	to := filepath.Join(dir, pkg)
	if err := os.CopyFS(to, os.DirFS(filepath.Join(root, pkg))); err != nil {
		return err
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

// report prints one line a mutant and returns how many were not killed.
func report(whole *mutant, mutants []mutant) (int, error) {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "MUTANT\tSCENARIO\tRESULT\tFAILS ALSO")
	bad := 0
	for i := range mutants {
		m := &mutants[i]
		result := "killed"
		switch {
		case !slices.Contains(whole.known, m.scenario):
			result = "NO SUCH SCENARIO"
		case slices.Contains(whole.failed, m.scenario):
			result = "FAILS WITHOUT THE PATCH"
		case m.fault != nil:
			result = "FAULT"
		case !slices.Contains(m.failed, m.scenario):
			result = "SURVIVED"
		}
		if result != "killed" {
			bad++
		}
		also := slices.DeleteFunc(slices.Clone(m.failed), func(s string) bool {
			return s == m.scenario || slices.Contains(whole.failed, s)
		})
		for k := range also {
			also[k], _, _ = strings.Cut(also[k], "-")
		}
		also = slices.Compact(also)
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", m.name, m.scenario, result, strings.Join(also, " "))
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
