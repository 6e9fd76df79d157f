package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/policy/policytest"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// Who is handed an archive looks at it as at a folder: what it says, its digest, and what it changes.
func TestAnArchiveIsReadLikeAFolder(t *testing.T) {
	t.Parallel()
	p := policytest.Edited(t, "version: 1.0.0", "version: 2.0.0", "hiring manager, sla: 14d, authority", "hiring manager, sla: 10d, authority")
	archive, err := p.Pack(nil)
	if err != nil {
		t.Fatal(err)
	}
	file, other := filepath.Join(t.TempDir(), "policy.archive"), filepath.Join(t.TempDir(), "x")
	for name, text := range map[string][]byte{file: archive, other: []byte("x\n")} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for args, says := range map[string]string{
		"digest": p.Digest().String(), "show": "concord-default 2.0.0", "check": "", "diagram": "<svg", "dictionary": "salary_expectation",
	} {
		if got := concord(t, nil, "", "policy", args, file); got.code != exitOK || !strings.Contains(got.stdout, says) {
			t.Errorf("%s: exit %d\n%s%s", args, got.code, got.stdout, got.stderr)
		}
		if got := concord(t, nil, "", "policy", args, other); got.code != exitUsage || !strings.Contains(got.stderr, other+" is no folder of a bundle, and is no policy archive") {
			t.Errorf("%s of another file: exit %d\n%s", args, got.code, got.stderr)
		}
	}
	dir := filepath.Join(t.TempDir(), "policy")
	if got := concord(t, nil, "", "policy", "init", dir); got.code != exitOK {
		t.Fatal(got.stderr)
	}
	if got := concord(t, nil, "", "policy", "diff", dir, file); got.code != exitOK || !strings.Contains(got.stdout, "screening → interviews: SLA 14d → 10d") {
		t.Errorf("diff: exit %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	if got := concord(t, nil, "", "policy", "sign", file, "--role", "process", "--as", "ben", "--statement"); got.code != exitUsage {
		t.Errorf("an archive is signed: exit %d\n%s", got.code, got.stdout)
	}
}

// Where nothing was published the history names what the configuration puts in force.
func TestHistoryNamesWhatIsConfigured(t *testing.T) {
	t.Parallel()
	env := services(t)
	digest := strings.TrimSpace(concord(t, env, "", "policy", "digest").stdout)
	got := concord(t, env, "", "policy", "history")
	if got.code != exitOK || !strings.Contains(got.stdout, "nothing was published") || !strings.Contains(got.stdout, digest[:16]+", as configured") {
		t.Errorf("exit %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	var h struct{ Configured string }
	if err := json.Unmarshal([]byte(concord(t, env, "", "policy", "history", "--json").stdout), &h); err != nil || h.Configured != digest {
		t.Errorf("for scripts %q, want %s; %v", h.Configured, digest, err)
	}
}

// A time to come is told as what it is, and an id without its instance is helped on.
func TestExplainAheadAndAstray(t *testing.T) {
	t.Parallel()
	env := services(t)
	r := open(t, env)
	put(t, r, topics.HiringState, "gh-main/7", state(3, "interviews"))
	put(t, r, topics.HiringDecisions, "gh-main/7", &wire.Decision{ApplicationID: "gh-main/7", Version: 3, EventType: "timer", Offset: -1, Now: wire.MicrosOf(time.Now())})
	ahead := time.Now().Add(time.Hour).UTC().Truncate(time.Second).Format(time.RFC3339)
	if got := concord(t, env, "", "app", "explain", "gh-main/7", "--at", ahead); got.code != exitOK || !strings.Contains(got.stdout, ahead+" lies ahead") {
		t.Errorf("exit %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	if got := concord(t, env, "", "app", "explain", "gh-main/7"); strings.Contains(got.stdout, "lies ahead") {
		t.Errorf("now lies ahead:\n%s", got.stdout)
	}
	if got := concord(t, env, "", "app", "explain", "7"); got.code != exitFailure || !strings.Contains(got.stderr, "such as gh-main/265277") {
		t.Errorf("exit %d\n%s", got.code, got.stderr)
	}
}
