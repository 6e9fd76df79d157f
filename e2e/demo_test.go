//go:build e2e && unix

package e2e

import (
	"bytes"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The demo's population on the real services, in one process with crashes and aborts of its own: every reason and every fault
// fires, and the audit is clean.
//
// Not beside another test: it computes more than it waits.
func TestPopulation(t *testing.T) {
	r := newRun(t, config{})
	// The demo makes its topics itself, with a partition count of its own.
	r.empty()
	from := time.Now()
	cmd := exec.CommandContext(t.Context(), binary, "demo", "--seed", strconv.FormatUint(*seedFlag, 10), "--applications", strconv.Itoa(long(2000, 20_000)),
		"--brokers", strings.Join(r.cluster.Brokers(), ","), "--redis", r.redis, "--registry", r.registry,
		"--set", "reconciler.group="+r.group+".reconciler", "--set", "writeback.group="+r.group+".writeback", "--set", "kpi.group="+r.group+".kpi")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	t.Logf("%s\n%s", time.Since(from).Round(time.Second), out.Bytes())
	must(t, err)
	r.history()
}
