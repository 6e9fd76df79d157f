package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/audit"
	"github.com/concord-ats/concord/pkg/hiring"
)

// runDemo runs the demo as a script would, and returns what it printed and its exit code.
func runDemo(t *testing.T, args ...string) (out demoReport, exit int, stderr string) {
	t.Helper()
	var stdout, messages bytes.Buffer
	exit = run(t.Context(), append([]string{"demo", "--json"}, args...), nil, strings.NewReader(""), &stdout, &messages)
	if stdout.Len() > 0 {
		if err := json.Unmarshal(stdout.Bytes(), &out); err != nil {
			t.Fatalf("stdout is not one JSON object: %v\n%s", err, messages.String())
		}
	}
	return out, exit, messages.String()
}

func TestDemoIsClean(t *testing.T) {
	t.Parallel()
	out, exit, stderr := runDemo(t, "--applications", "400", "--seed", "1") // as the broken ones below
	// So few applications may miss a fault that depends on timing, which the audit calls tame and `make run` with its
	// full population does not allow. Nothing else may be found.
	wrong := slices.DeleteFunc(slices.Clone(out.Audit.Findings), func(f audit.Finding) bool { return f.Invariant == audit.Tame })
	if len(wrong) != 0 || exit != exitOK && len(out.Audit.Findings) == 0 || out.Audit.Clean != (exit == exitOK) {
		t.Fatalf("exit %d, findings %+v\n%s", exit, out.Audit.Findings, stderr)
	}
	if out.Run.Outcomes["confirmed"] < 30 || out.Run.KPI.Samples == 0 || out.Run.DeadLetters["oversize"] == 0 {
		t.Errorf("the run did little: outcomes %v, dead letters %v", out.Run.Outcomes, out.Run.DeadLetters)
	}
}

// The population is spread over an ATS of each dialect, and each is held to the world and to its limit.
func TestDemoOfEveryDialectIsClean(t *testing.T) {
	t.Parallel()
	dialects := demoDialects()
	out, exit, stderr := runDemo(t, "--applications", "200", "--dialects", strings.Join(dialects, ","))
	wrong := slices.DeleteFunc(slices.Clone(out.Audit.Findings), func(f audit.Finding) bool { return f.Invariant == audit.Tame })
	if len(wrong) != 0 || exit != exitOK && len(out.Audit.Findings) == 0 {
		t.Fatalf("exit %d, findings %+v\n%s", exit, out.Audit.Findings, stderr)
	}
	if len(out.Run.Tenants) != len(dialects) {
		t.Fatalf("instances: %+v", out.Run.Tenants)
	}
	for _, x := range out.Run.Tenants {
		if x.Applications < 20 || x.Writes < 10 || x.Requests < 50 {
			t.Errorf("%s did little: %+v", x.System, x)
		}
		if x.System != "ashby-main" && (x.Limit == nil || x.Peak == 0) {
			t.Errorf("%s: its rate was not measured: %+v", x.System, x)
		}
	}
}

// An ATS that cuts its times to the second shows two changes of one second as a tie, until a read begins in the next second but
// one ([ats.Proved]). The refreshes of a tie must not be over before that, or it stands for good and nothing is written.
func TestTheDemoOutwaitsASecond(t *testing.T) {
	t.Parallel()
	const name = "reconciler.refresh_coalescing="
	i := slices.IndexFunc(demoSets, func(s string) bool { return strings.HasPrefix(s, name) })
	bounds := hiring.DefaultBounds()
	if i >= 0 {
		var err error
		if bounds.RefreshCoalesce, err = time.ParseDuration(strings.TrimPrefix(demoSets[i], name)); err != nil {
			t.Fatal(err)
		}
	}
	if span := time.Duration(bounds.TieRefreshes) * bounds.RefreshCoalesce; span < 2*time.Second {
		t.Errorf("a tie is asked about for %v, want 2s", span)
	}
}

// Without a protection the audit must find what it protects from.
func TestDemoWithoutAProtectionIsFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		protection string
		invariants []audit.Invariant // any of them
		what       string
	}{
		{"dedupe", []audit.Invariant{audit.I1Loss}, "lost: "},
		{"readback", []audit.Invariant{audit.Confirmed}, "never showed"},
		{"overlay", []audit.Invariant{audit.I5Version, audit.I6Atomic}, ""},
	} {
		t.Run(c.protection, func(t *testing.T) {
			t.Parallel()
			out, exit, stderr := runDemo(t, "--applications", "400", "--seed", "1", "--break", c.protection)
			if exit != exitFailure {
				t.Fatalf("exit %d\n%s", exit, stderr)
			}
			if !slices.ContainsFunc(out.Audit.Findings, func(f audit.Finding) bool {
				return slices.Contains(c.invariants, f.Invariant) && strings.Contains(f.What, c.what) && len(f.IDs) > 0
			}) {
				t.Errorf("not found; findings: %+v", out.Audit.Findings)
			}
		})
	}
}

func TestDemoRefusesWrongUse(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--break", "nothing"}, {"--applications", "0"}, {"--seed", "-1"}, {"--dialects", "greenhouse,nothing"}, {"--dialects", "lever,lever"}, {"--dialects", ""}} {
		if _, exit, stderr := runDemo(t, args...); exit != exitUsage {
			t.Errorf("%v: exit %d, want %d\n%s", args, exit, exitUsage, stderr)
		}
	}
}
