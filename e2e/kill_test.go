//go:build e2e && unix

package e2e

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// death is the end of a writer by kill -9, with the attempts that were committed and without an outcome.
type death struct {
	at  time.Time
	out []arming
}

// Processes of every consumer group are killed with kill -9 at random moments under load and come back, writers between a
// committed attempt and its outcome, while the groups rebalance; one of each is frozen past its session timeout and goes on.
//
// Not beside another test: it computes more than it waits, and a write that takes too long is blocked.
func TestKills(t *testing.T) {
	r := newRun(t, config{Applications: long(400, 1500), Sets: []string{"writeback.defer_after=5s"}})
	r.up("gateway", 1)
	r.up("reconciler", 3)
	r.up("writeback", 3)
	r.up("kpi", 2)
	r.ready()
	a, err := watchAttempts(r)
	must(t, err)
	defer a.stop()

	rng := rand.New(rand.NewPCG(*seedFlag, 2))
	rounds := long(12, 30)
	kills := map[string]int{}
	var deaths []death
	again := func(ctx context.Context, p *process) (time.Time, error) {
		at, err := p.kill()
		if err != nil {
			return at, err
		}
		kills[p.role]++
		if err := pause(ctx, within(rng, 400*time.Millisecond)); err != nil {
			return at, err
		}
		return at, p.start()
	}
	any := func(role string) *process { all := r.role(role); return all[rng.IntN(len(all))] }
	writer := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		p, out, err := a.victim(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			p, err = any("writeback"), nil // nothing left to write: a death like any other
		}
		if err != nil {
			return err
		}
		at, err := again(context.WithoutCancel(ctx), p)
		r.interrupt(at, at.Add(20*time.Second))
		deaths = append(deaths, death{at, out})
		return err
	}
	r.during(time.Duration(rounds)*5*time.Second, func(ctx context.Context) error {
		for round := range rounds {
			// Not each of them dies between an attempt and its outcome: the outcome may be on its way.
			for range 2 {
				if err := writer(ctx); err != nil {
					return err
				}
			}
			for _, role := range []string{"reconciler", "kpi"} {
				if err := pause(ctx, 500*time.Millisecond+within(rng, 1500*time.Millisecond)); err != nil {
					return err
				}
				if _, err := again(ctx, any(role)); err != nil {
					return err
				}
			}
			if round == rounds/2 {
				if err := r.zombies(ctx, a, any("reconciler")); err != nil {
					return err
				}
			}
		}
		return nil
	})
	r.finish()

	total := kills["reconciler"] + kills["writeback"] + kills["kpi"]
	between := r.proved(deaths)
	t.Logf("killed %d: %v; %d writers between an attempt and its outcome", total, kills, between)
	if total < 30 || between < 10 {
		t.Errorf("%d kills, %d of them between an attempt and its outcome: want 30 and 10", total, between)
	}
}

// zombies freezes a reconciler and a writer with an attempt out until others have their partitions, and lets them go on.
func (r *run) zombies(ctx context.Context, a *attempts, frozen *process) error {
	if err := frozen.waitReady(ctx); err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	writer, _, err := a.victim(limit)
	if errors.Is(err, context.DeadlineExceeded) {
		writer, err = r.role("writeback")[0], nil
	}
	if err != nil {
		return err
	}
	from := time.Now()
	for _, p := range []*process{writer, frozen} {
		if err := p.pause(); err != nil {
			return err
		}
	}
	if err := pause(ctx, 7*time.Second); err != nil { // the session timeouts are 3 s and 4 s
		return err
	}
	for _, p := range []*process{writer, frozen} {
		if err := p.carryOn(); err != nil {
			return err
		}
	}
	r.interrupt(from, time.Now().Add(20*time.Second))
	for _, p := range []*process{writer, frozen} {
		if err := p.waitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// proved counts the deaths that the log shows to have come between an attempt, committed before, and its outcome, which
// another life found after.
func (r *run) proved(deaths []death) int {
	r.t.Helper()
	ended := make(map[arming]time.Time)
	client, err := kgo.NewClient(r.kafka...)
	must(r.t, err)
	defer client.Close()
	must(r.t, readCommitted(r.t.Context(), r.kafka, kadm.NewClient(client), topics.ATSOutcomes, func(rec *kgo.Record) {
		var o wire.Outcome
		if _, avro, err := wire.Split(rec.Value); err != nil || o.DecodeAvro(avro) != nil || o.Outcome == wire.OutcomeKindAttempt {
			return
		}
		ended[arming{o.ApplicationID, o.Revision, o.Arming}] = o.FinishedAt.Time()
	}))
	n := 0
	for _, d := range deaths {
		for _, key := range d.out {
			if end, ok := ended[key]; ok && end.After(d.at) {
				n++
				break
			}
		}
	}
	return n
}
