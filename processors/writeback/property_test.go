package writeback

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/wire"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the fault test; 0 is a new one")

// TestFaults sends commands through a worker that is killed and restarted, over sessions that crash and transactions
// that abort, to an ATS that misbehaves. The oracle is the simulator's journal of what really happened.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, d := range dialects {
		t.Run(d.Name(), func(t *testing.T) {
			t.Parallel()
			faults(t, d)
		})
	}
}

func faults(t *testing.T, d atssim.Dialect) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(t)
	w.systems["gh"] = newSystem(t, "gh", d)
	gh := w.systems["gh"]
	rates := atssim.Rates{}
	for _, f := range atssim.Faults() {
		rates[f] = 0.04
	}
	rates[atssim.FaultTimeoutAfter], rates[atssim.FaultTokenExpired] = 0.02, 0.01
	rates[atssim.FaultRateLimited] = 0.005 // each holds up the whole system for a second
	gh.faults(t, rates)
	change := func(drain time.Duration, crash int) func(*Config) {
		return func(c *Config) {
			c.Stream.Sessions = 2
			c.DrainTimeout, c.WriteTimeout, c.Stream.Faults.AbortEvery = drain, 500*time.Millisecond, 7
			if crash > 0 {
				c.Stream.Faults.CrashAfterPrepare = func(n int) bool { return n%crash == 0 }
			}
		}
	}
	apps, perApp := int64(120), int64(3)
	if d.Name() != "greenhouse" {
		apps = 40
	}
	initial := map[int64]int64{} // versions
	all := map[string]*wire.Command{}
	newest := map[string]int64{}
	emitted := 0
	emit := func(cmd *wire.Command) {
		all[cmd.ID] = cmd
		newest[cmd.ApplicationID] = max(newest[cmd.ApplicationID], cmd.Revision)
		emitted++
		w.send(cmd)
	}
	run := w.run(change(time.Millisecond, 9))
	for rev := int64(1); rev <= perApp; rev++ {
		for app := int64(1); app <= apps; app++ {
			if rev == 1 {
				gh.seed(t, app)
				initial[app] = gh.version(app)
			}
			desired := wire.Tuple{Stage: []string{"1004", "1005", "1002"}[r.IntN(3)], Status: wire.ApplicationStatusActive}
			switch r.IntN(4) {
			case 0:
				desired = toReject
			case 1:
				desired.Elements = []wire.Element{{Name: "screening_score", Value: strconv.Itoa(r.IntN(100))}}
			}
			cmd := w.command("gh", app, rev, desired)
			if rev > 1 && r.IntN(2) == 0 {
				cmd.Expected = wire.Tuple{}
			}
			emit(cmd)
		}
		run.stop()
		run = w.run(change([]time.Duration{time.Millisecond, 5 * time.Second}[r.IntN(2)], r.IntN(2)*11))
	}
	// The rest of the reconciler: what is deferred comes again, for a while with faults, then without.
	settle := func() {
		w.until(fmt.Sprintf("every newest command has ended (seed %d)", seed), func() bool {
			for id, cmd := range all {
				if cmd.Revision == newest[cmd.ApplicationID] && len(w.terminals(id)) == 0 {
					return false
				}
			}
			return true
		})
	}
	settle()
	again := func() (n int) {
		var back []*wire.Command
		w.mu.Lock()
		for id, cmd := range all {
			if o := w.terminals(id); cmd.Revision == newest[cmd.ApplicationID] && len(o) > 0 && o[0].Outcome == wire.OutcomeKindDeferred {
				next := *cmd
				next.ID = fmt.Sprintf("%s+", id)
				if all[next.ID] == nil {
					back = append(back, &next)
				}
			}
		}
		w.mu.Unlock()
		for _, cmd := range back {
			emit(cmd)
		}
		return len(back)
	}
	gh.faults(t, nil)
	for again() > 0 {
		settle()
	}
	run.stop()
	w.audit(gh, all, initial)
	t.Logf("%d commands, faults %v", emitted, gh.sim.FaultState().Fired)
}

// audit holds the outcomes against the journal.
func (w *world) audit(s *system, all map[string]*wire.Command, initial map[int64]int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	type shown struct {
		stage  string
		status string
		score  string
	}
	views := map[int64]map[int64][]shown{} // by application and version: changes in one microsecond, or second, share it
	note := func(app int64, v *atssim.View) {
		if views[app] == nil {
			views[app] = map[int64][]shown{}
		}
		version := s.asShown(v.Version)
		views[app][version] = append(views[app][version], shown{s.dialect.Spell(atssim.KindStage, v.Stage), v.Status, string(v.Fields["screening_score"])})
	}
	effects := map[string]int{}
	for _, e := range s.sim.Journal(0) {
		if e.Type != atssim.EntryMutation {
			continue
		}
		note(e.Application, e.From)
		note(e.Application, e.To)
		if e.Actor.Kind == "api" {
			effects[fmt.Sprintf("gh/%s %s", s.dialect.Spell(atssim.KindApplication, e.Application), e.Kind)]++
		}
	}
	attempts, armed, ended := map[string]int{}, map[string]bool{}, map[string]int{}
	counts := map[string]int{}
	for i := range w.outcomes {
		o := &w.outcomes[i]
		counts[o.Outcome.String()+" "+o.Detail]++
		if o.Outcome == wire.OutcomeKindAttempt {
			attempts[o.ApplicationID]++
			arming := fmt.Sprintf("%s r%d a%d", o.ApplicationID, o.Revision, o.Arming)
			if armed[arming] {
				w.t.Errorf("%s was armed twice", arming)
			}
			armed[arming] = true
			continue
		}
		ended[o.CommandID]++
		if o.Outcome != wire.OutcomeKindConfirmed {
			continue
		}
		app, known := s.dialect.Number(atssim.KindApplication, o.ApplicationID[3:])
		if !known {
			w.t.Fatal(o.ApplicationID)
		}
		ok := false
		for _, v := range views[app][s.asShown(o.VersionAfter)] {
			score := ""
			for _, e := range o.Written.Elements {
				score = e.Value
			}
			ok = ok || (o.Written.Stage == "" || o.Written.Stage == v.stage) && o.Written.Status.String() == v.status && (score == "" || score == v.score)
		}
		if !ok && s.asShown(o.VersionAfter) != s.asShown(initial[app]) {
			w.t.Errorf("%s: confirmed %v at version %d, which never showed it: %v", o.ApplicationID, o.Written, o.VersionAfter, views[app][s.asShown(o.VersionAfter)])
		}
	}
	for what, n := range effects {
		var app, kind string
		if _, err := fmt.Sscan(what, &app, &kind); err != nil {
			w.t.Fatal(err)
		}
		most := attempts[app]
		if kind == "edit" {
			most *= edits[s.dialect.Name()]
		}
		if n > most {
			w.t.Errorf("%s: %d effects of %d armings", what, n, attempts[app])
		}
		if kind == "reject" && n > 1 && effects[app+" unreject"] == 0 {
			w.t.Errorf("%s: rejected %d times", app, n)
		}
	}
	highest := map[string]int64{}
	for _, cmd := range all {
		highest[cmd.ApplicationID] = max(highest[cmd.ApplicationID], cmd.Revision)
	}
	for id, cmd := range all {
		if ended[id] > 1 {
			w.t.Errorf("%s ended %d times", id, ended[id])
		}
		if ended[id] == 0 && cmd.Revision == highest[cmd.ApplicationID] {
			w.t.Errorf("%s never ended", id)
		}
	}
	w.t.Logf("%v", counts)
}
