//go:build e2e && unix

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// exitFenced is what a process ends with when another one has its name.
const exitFenced = 5

// The coordinator's answers to the end of a transaction are lost, late and garbled; a process is killed, and another one
// fenced, between its commit and the answer. The outcome is unknown, the state is replayed, and nothing is lost or doubled.
// The coordinator also says CONCURRENT_TRANSACTIONS, while it still ends the transaction before, and work goes on.
func TestTransactionFaults(t *testing.T) {
	t.Parallel()
	listen, upstream := services(t).Node(0).Proxy()
	tap := newWiretap(t, listen, upstream)
	r := newRun(t, config{
		Applications: long(120, 1500), Brokers: []string{listen},
		Sets: []string{"stream.commit_interval=4ms"}, // the shorter a transaction, the sooner the next one begins
	})
	// Each process meets every fault, at moments of the seed.
	rng := rand.New(rand.NewPCG(*seedFlag, 2))
	at := map[int]cutting{}
	for i, c := range []cutting{cutBefore, cutAfter, answeredBad, answeredBad, cutAfter, cutBefore} {
		at[5+10*i+rng.IntN(10)] = c
	}
	garbled := func(_ string, nth int) cutting { return at[nth] }
	tap.set(garbled)
	r.up("gateway", 1)
	first := r.up("reconciler", 2)[0]
	r.up("writeback", 1)
	r.up("kpi", 1)
	r.ready()
	from := time.Now()
	r.during(6*time.Second, func(ctx context.Context) error {
		if err := pause(ctx, 2*time.Second); err != nil {
			return err
		}
		victim, err := r.usurp(ctx, tap, first, garbled)
		if err != nil {
			return err
		}
		for range long(2, 10) {
			if err := withhold(ctx, tap, victim.name, garbled); err != nil {
				return err
			}
			if _, err := victim.kill(); err != nil {
				return err
			}
			tap.set(garbled)
			if err := errors.Join(victim.start(), victim.waitReady(ctx)); err != nil {
				return err
			}
		}
		return nil
	})

	r.interrupt(from, time.Now()) // the write-back worker met them too
	t.Logf("what the broker answered: %v", tap.tally())
	for _, f := range []cutting{cutBefore, cutAfter, answeredBad, withheld} {
		if tap.did(f) == 0 {
			t.Errorf("no EndTxn was %s", f)
		}
	}
	// A transaction that begins too early meets it by chance, a successor of one that was killed in the middle always does.
	concurrent := 0
	for _, request := range []string{"Produce", "TxnOffsetCommit", "InitProducerID", "EndTxn"} {
		concurrent += tap.answered(request, kerr.ConcurrentTransactions)
	}
	if concurrent == 0 {
		t.Error("the coordinator never answered CONCURRENT_TRANSACTIONS")
	}
	unknown := 0.0
	for _, p := range r.procs {
		if p.role != "gateway" {
			n, err := p.metric(t.Context(), "concord_stream_transactions_total", `result="unknown"`)
			must(t, err)
			unknown += n
		}
	}
	if t.Logf("%v transactions of unknown outcome", unknown); unknown == 0 {
		t.Error("no transaction had an unknown outcome")
	}
	r.finish()
}

// withhold waits until the answer to a commit of a process has been withheld. Of that process every further answer is.
func withhold(ctx context.Context, tap *wiretap, name string, otherwise func(string, int) cutting) error {
	before := tap.did(withheld)
	tap.set(func(client string, nth int) cutting {
		if client == name {
			return withheld
		}
		return otherwise(client, nth)
	})
	if err := eventually(ctx, 20*time.Second, func() bool { return tap.did(withheld) > before }); err != nil {
		return fmt.Errorf("no commit of %s to withhold: %w", name, err)
	}
	return nil
}

// usurp starts another process with the name of one whose commit has been sent and not been answered. They fence each
// other until at least one has ended, saying so; the one that stays, or is started again, takes the name's place in the
// run. In the rule it is the younger that stays. But while the older waits for an answer it cannot tell a successor from
// the coordinator having given it up, and may fence back.
func (r *run) usurp(ctx context.Context, tap *wiretap, older *process, otherwise func(string, int) cutting) (*process, error) {
	if err := withhold(ctx, tap, older.name, otherwise); err != nil {
		return nil, err
	}
	tap.set(func(client string, nth int) cutting {
		if client == older.name {
			return passed
		}
		return otherwise(client, nth)
	})
	younger := &process{role: older.role, name: older.name, dir: older.dir + "-again", args: slices.Clone(older.args), env: older.env}
	if err := os.MkdirAll(younger.dir, 0o755); err != nil {
		return nil, err
	}
	younger.args[slices.Index(younger.args, "--data")+1] = filepath.Join(younger.dir, "data")
	if err := younger.start(); err != nil {
		return nil, err
	}
	r.procs = append(r.procs, younger)
	stays, ended := younger, older
	select {
	case <-older.ended:
	case <-younger.ended:
		stays, ended = older, younger
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(30 * time.Second):
		return nil, fmt.Errorf("two processes go on with the name %s", older.name)
	}
	var exit *exec.ExitError
	if !errors.As(ended.state, &exit) || exit.ExitCode() != exitFenced || !strings.Contains(ended.tail(), "fenced by another process") {
		return nil, fmt.Errorf("the process that was fenced did not say so: %s", ended.failure())
	}
	r.procs = slices.DeleteFunc(r.procs, func(p *process) bool { return p == ended })
	err := eventually(ctx, time.Minute, func() bool {
		if !stays.running() && stays.start() != nil { // the other had its last word
			return false
		}
		state, err := stays.readyz(ctx)
		return err == nil && state.Ready
	})
	return stays, err
}
