//go:build e2e && unix

package e2e

import (
	"testing"
)

// Nothing but the ATS misbehaves: what the other tests break is whole.
func TestCalm(t *testing.T) {
	r := newRun(t, config{Applications: long(300, 2000)})
	r.up("gateway", 1)
	r.up("reconciler", 2)
	r.up("writeback", 2)
	r.up("kpi", 1)
	r.ready()
	must(t, r.tell(t.Context(), 0))
	r.finish()
}
