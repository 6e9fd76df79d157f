package greenhouse_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/ats/greenhouse"
	"github.com/concord-ats/concord/pkg/wire"
)

// Whatever the simulator does to it, what the client says about a write has to be true: nothing it calls not
// executed or refused has been executed, and no write is executed more than once. The journal is the judge.
func TestAnswersAreTrue(t *testing.T) {
	t.Parallel()
	const seed, applications, rounds = 11, 60, 8
	t.Logf("seed %d", seed)
	rates := atssim.Mild()
	for _, f := range atssim.Faults() {
		rates[f] *= 6
	}
	rates[atssim.FaultTimeoutAfter], rates[atssim.FaultTimeoutBefore] = 0.02, 0.02
	rates[atssim.FaultFailureIn200], rates[atssim.FaultEmptyAnswer], rates[atssim.FaultBlankAnswer] = 0.05, 0.05, 0.05
	r := newRig(t, atssim.Config{Faults: rates}, func(gc *greenhouse.Config) { gc.HTTP.Timeout = time.Second })
	for i := range applications {
		if err := r.sim.Seed(atssim.Application{ID: int64(1000 + i), CandidateID: 1, JobID: 1}); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	seen := map[string]int{}
	var wg sync.WaitGroup
	for i := range applications {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			id := int64(1000 + i)
			for range rounds {
				what := oneWrite(t, r, id, rng)
				mu.Lock()
				seen[what]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("outcomes: %v", seen)
	for _, f := range atssim.Faults() {
		if r.sim.FaultState().Fired[f] == 0 && f != atssim.FaultPageExpired { // no list is read here
			t.Errorf("fault %s never fired", f)
		}
	}
	for _, what := range []string{"ok executed", "ok lost", "unknown executed", "unknown lost", "not_executed"} {
		if seen[what] == 0 {
			t.Errorf("outcome %q never came up: the test proves little", what)
		}
	}
}

// oneWrite makes one write to an application nobody else writes to, and checks it against the journal.
func oneWrite(t *testing.T, r *rig, id int64, rng *rand.Rand) string {
	truth, _ := r.sim.Application(id)
	expected := wire.Tuple{Stage: strconv.FormatInt(truth.StageID, 10), Status: wire.ApplicationStatusActive}
	if truth.Status == "rejected" {
		expected.Status, expected.Reason = wire.ApplicationStatusRejected, "8"
	}
	stages := atssim.DefaultStages()
	var desired wire.Tuple
	switch rng.IntN(3) {
	case 0:
		desired.Elements = []wire.Element{{Name: "screening_score", Value: strconv.Itoa(rng.IntN(1000))}}
	case 1:
		desired.Status = wire.ApplicationStatusRejected
		if truth.Status == "rejected" {
			desired.Status = wire.ApplicationStatusActive
		}
	default:
		desired.Stage = strconv.FormatInt(stages[rng.IntN(len(stages))].ID, 10)
	}
	if ats.Diff(expected, desired).Empty() {
		return "nothing"
	}
	since := r.sim.Stats().JournalLast
	err := r.client.Apply(t.Context(), strconv.FormatInt(id, 10), expected, desired)
	made := 0
	for _, e := range r.sim.Journal(since) {
		if e.Application == id && e.Type == atssim.EntryMutation && e.Actor.Kind == "api" {
			made++
		}
	}
	class := "ok"
	if err != nil {
		class = ats.ClassOf(err).String()
	}
	if made > 1 || (made > 0 && err != nil && ats.ClassOf(err) != ats.Unknown) {
		t.Errorf("application %d: %d changes, and the client says %v", id, made, err)
	}
	if class == "not_executed" || class == "refused" {
		return class
	}
	return fmt.Sprintf("%s %s", class, map[bool]string{true: "executed", false: "lost"}[made == 1])
}

// One set of faults per application, whatever runs beside it.
func TestFaultsDoNotDependOnInterleaving(t *testing.T) {
	t.Parallel()
	run := func(parallel int) map[string]int {
		r := newRig(t, atssim.Config{Faults: atssim.Rates{atssim.FaultServerErrorBefore: 0.3, atssim.FaultRateLimited: 0.2}}, nil)
		ids := make(chan int64, 40)
		for id := int64(1000); id < 1040; id++ {
			if err := r.sim.Seed(atssim.Application{ID: id}); err != nil {
				t.Fatal(err)
			}
			ids <- id
		}
		close(ids)
		var mu sync.Mutex
		out := map[string]int{}
		var wg sync.WaitGroup
		for range parallel {
			wg.Go(func() {
				for id := range ids {
					for n := range 5 {
						_, err := r.client.Read(t.Context(), strconv.FormatInt(id, 10))
						mu.Lock()
						out[fmt.Sprintf("%d/%d %s", id, n, ats.CodeOf(err))]++
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
		return out
	}
	one, many := run(1), run(8)
	for k, n := range one {
		if many[k] != n {
			t.Errorf("%s: %d times alone, %d times in parallel", k, n, many[k])
		}
	}
	if len(one) != 200 {
		t.Errorf("%d reads, want 200", len(one))
	}
}
