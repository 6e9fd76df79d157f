package writeback

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/concord-ats/concord/pkg/ats/atstest"
	"github.com/concord-ats/concord/pkg/ats/greenhouse"
	"github.com/concord-ats/concord/pkg/wire"
)

// policies are what a worker knows of the policies of its commands. The wrecker stands before every client.
type policies struct {
	mu    sync.Mutex
	known map[wire.Digest]Voice
	err   error // of the others
}

func (p *policies) set(d wire.Digest, v Voice, known bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err = err; known {
		p.known[d] = v
	} else {
		delete(p.known, d)
	}
}

func (p *policies) of(c *Config) {
	s := c.Systems["gh"]
	s.Under = func(_ context.Context, d wire.Digest) (Voice, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if v, ok := p.known[d]; ok {
			return v, nil
		}
		return Voice{}, p.err
	}
	s.Again = func(mapping wire.Digest) (Voice, bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, v := range p.known {
			if v.Mapping == mapping {
				return v, true
			}
		}
		return Voice{}, false
	}
	c.Systems["gh"] = s
}

// calling makes the simulator keep the score in another field, 9005, for one of the voices.
func calling(t *testing.T, w *world, mapping byte, key string, id int64) Voice {
	t.Helper()
	gh := w.systems["gh"]
	m := atstest.GreenhouseMapping("gh")
	for i := range m.Fields {
		if m.Fields[i].Element == "screening_score" {
			m.Fields[i].Key, m.Fields[i].ID = key, id
		}
	}
	base := gh.url
	client, err := greenhouse.New(greenhouse.Config{BaseURL: base, TokenURL: base + "/token", ClientID: "concord", ClientSecret: "secret", Mapping: greenhouse.Mapping(m), ReadLag: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return Voice{Client: &wrecker{Client: client}, Mapping: wire.Digest{mapping}}
}

func (s *system) fields(id int64) string {
	a, _ := s.sim.Application(id)
	return fmt.Sprintf("%s %s", a.Fields["screening_score"], a.Fields["custom_application_field"])
}

var (
	oldPolicy, newPolicy = wire.Digest{7}, wire.Digest{8}
	errAbsent            = &PolicyError{Absent: true, Err: errors.New("publish it again")}
)

// What a command writes, and what confirms it, is what its own policy calls things, whatever other policy is known by then.
func TestACommandIsSpokenInItsPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1, 2)
	p := &policies{known: map[wire.Digest]Voice{oldPolicy: calling(t, w, 1, "screening_score", 9003), newPolicy: calling(t, w, 2, "custom_application_field", 9005)}}
	w.run(p.of)
	before, after := w.command("gh", 1, 1, toScore), w.command("gh", 2, 1, toScore)
	after.Policy = newPolicy
	w.send(before, after)
	wantOutcome(t, w.terminal(before.ID), wire.OutcomeKindConfirmed, DetailNone)
	wantOutcome(t, w.terminal(after.ID), wire.OutcomeKindConfirmed, DetailNone)
	if a, b := gh.fields(1), gh.fields(2); a != "81 " || b != ` "81"` && b != " 81" {
		t.Errorf("the fields are %q and %q", a, b)
	}
}

// A command of a policy nobody here knows is never guessed at: it waits and is told, goes on once the policy is known, and is given back
// when that takes too long.
func TestAnUnknownPolicyIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1, 2)
	p := &policies{known: map[wire.Digest]Voice{}, err: errAbsent}
	r := w.run(func(c *Config) { p.of(c); c.DeferAfter = 2 * time.Second })
	cmd := w.command("gh", 1, 1, toScore)
	w.send(cmd)
	w.until("it is told", func() bool {
		words := strings.Join(r.worker.Parked(), "\n")
		return strings.Contains(words, "commands of policy 07000000") && strings.Contains(words, "publish it again") && gauged(t, r.worker.cfg.Metrics, "concord_writeback_policy_unknown") == 1
	})
	p.set(oldPolicy, calling(t, w, 1, "screening_score", 9003), true, errAbsent)
	wantOutcome(t, w.terminal(cmd.ID), wire.OutcomeKindConfirmed, DetailNone)
	w.until("it is told no more", func() bool {
		return len(r.worker.Parked()) == 0 && gauged(t, r.worker.cfg.Metrics, "concord_writeback_policy_unknown") == 0
	})
	late := w.command("gh", 2, 1, toScore)
	late.Policy = newPolicy
	w.send(late)
	wantOutcome(t, w.terminal(late.ID), wire.OutcomeKindDeferred, DetailPolicy)
	if n := len(gh.mutations(2)); n != 0 || w.attempts(late.ID) != 0 {
		t.Errorf("%d mutations and %d attempts under a policy nobody knows", n, w.attempts(late.ID))
	}
}

// gauged is the sum of a gauge's series.
func gauged(t *testing.T, m *Metrics, name string) (sum float64) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name && f.GetType() == dto.MetricType_GAUGE {
			for _, s := range f.GetMetric() {
				sum += s.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// A write that was on its way when the process died is read back in the words it was sent in. When its policy is known no more,
// another one that calls everything the same will do; where none does, its effect is not known, and a person is told.
func TestAnAttemptIsReadBackInItsWords(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		known   wire.Digest // after the restart
		mapping byte
		key     string
		id      int64
		err     error
		outcome wire.OutcomeKind
		detail  Detail
	}{
		{"the same policy", oldPolicy, 1, "screening_score", 9003, errAbsent, wire.OutcomeKindConfirmed, DetailNone},
		{"another that calls it the same", newPolicy, 1, "screening_score", 9003, errAbsent, wire.OutcomeKindConfirmed, DetailNone},
		{"another that calls it otherwise", newPolicy, 2, "custom_application_field", 9005, errAbsent, wire.OutcomeKindBlocked, DetailPolicy},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			gh := w.systems["gh"]
			gh.seed(t, 1)
			was := calling(t, w, 1, "screening_score", 9003)
			sent := make(chan struct{}, 1)
			was.Client.(*wrecker).onApply(func(ctx context.Context, _ string, _, _ wire.Tuple, real func() error) error {
				if err := real(); err != nil {
					t.Errorf("write: %v", err)
				}
				sent <- struct{}{}
				return untilEnd(ctx)
			})
			p := &policies{known: map[wire.Digest]Voice{oldPolicy: was}, err: test.err}
			first := w.run(func(c *Config) { p.of(c); c.DrainTimeout = time.Millisecond; c.WriteTimeout = time.Minute })
			cmd := w.command("gh", 1, 1, toScore)
			w.send(cmd)
			<-sent
			first.stop()
			p.set(oldPolicy, Voice{}, false, test.err)
			p.set(test.known, calling(t, w, test.mapping, test.key, test.id), true, test.err)
			w.run(func(c *Config) { p.of(c); c.DeferAfter = time.Second })
			wantOutcome(t, w.terminal(cmd.ID), test.outcome, test.detail)
			if got := gh.fields(1); got != "81 " {
				t.Errorf("the fields are %q", got)
			}
		})
	}
}

// A policy that is there and not proven, or a topic that cannot be read, ends nothing that may have been written.
func TestAnAttemptWaitsForProof(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gh := w.systems["gh"]
	gh.seed(t, 1)
	voice := calling(t, w, 1, "screening_score", 9003)
	sent := make(chan struct{}, 1)
	voice.Client.(*wrecker).onApply(func(ctx context.Context, _ string, _, _ wire.Tuple, real func() error) error {
		if err := real(); err != nil {
			t.Errorf("write: %v", err)
		}
		sent <- struct{}{}
		return untilEnd(ctx)
	})
	p := &policies{known: map[wire.Digest]Voice{oldPolicy: voice}}
	first := w.run(func(c *Config) { p.of(c); c.DrainTimeout = time.Millisecond; c.WriteTimeout = time.Minute })
	cmd := w.command("gh", 1, 1, toScore)
	w.send(cmd)
	<-sent
	first.stop()
	p.set(oldPolicy, Voice{}, false, &PolicyError{Err: errors.New("the key expired")})
	asked := make(chan struct{}, 100)
	w.run(func(c *Config) {
		p.of(c)
		c.DeferAfter = 100 * time.Millisecond
		s := c.Systems["gh"]
		under := s.Under
		s.Under = func(ctx context.Context, d wire.Digest) (Voice, error) {
			select {
			case asked <- struct{}{}:
			default:
			}
			return under(ctx, d)
		}
		c.Systems["gh"] = s
	})
	for range 8 { // well past the patience
		<-asked
	}
	w.locked(func() {
		if n := len(w.terminals(cmd.ID)); n != 0 {
			t.Errorf("%d outcomes without a word of what it was sent in", n)
		}
	})
	voice.Client.(*wrecker).onApply(nil)
	p.set(oldPolicy, voice, true, nil)
	wantOutcome(t, w.terminal(cmd.ID), wire.OutcomeKindConfirmed, DetailNone)
}
