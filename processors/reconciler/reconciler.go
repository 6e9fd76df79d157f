package reconciler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/deadletter"
	"github.com/concord-ats/concord/pkg/dedupe"
	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policylog"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/wire"
)

// Topics of the reconciler.
const (
	TopicScreening  = "screening.events"
	TopicChanges    = "ats.changes"
	TopicControl    = "hiring.control"
	TopicOutcomes   = "ats.outcomes"
	TopicState      = "hiring.state"
	TopicDecisions  = "hiring.decisions"
	TopicConflicts  = "hiring.conflicts"
	TopicCommands   = "ats.commands"
	TopicOrders     = "screening.orders"
	TopicCandidates = "candidate.events"
)

// Group is the default consumer group.
const Group = "concord.reconciler"

const (
	// maxStateBytes is the size past which an application is held (rule B10).
	maxStateBytes = 512 << 10
	// heldRoom is what the state of a held application may take beyond that, so that it can say that it is held.
	heldRoom = 64 << 10
	// heldRetry is when a timer that would make a state too large is tried again.
	heldRetry = time.Hour
)

// Config is what a Reconciler needs. Stream's Inputs, Changelog, Outputs and DeadLetter are set here.
type Config struct {
	Stream  stream.Config
	Rules   *hiring.Rules
	Schemas *wire.Schemas
	// Policies is where published bundles are read; nil takes none.
	Policies *policylog.Log
	// Dedupe is the wide net in front of the state; nil means none, which is noisier, never wrong.
	Dedupe *dedupe.Claimer
	// Systems are the ATS instances whose drift is shown from 0 on.
	Systems  []string
	Registry prometheus.Registerer // may be nil
	Logger   *zap.Logger           // may be nil

	// UnsafeDropOnSight trusts the dedupe net alone and drops whatever it has seen, redelivery after a crash
	// included. It loses events; it exists to prove that the audit notices.
	UnsafeDropOnSight bool
}

// Reconciler is a running reconciler. Build one with New, run it once.
type Reconciler struct {
	runner *stream.Runner[*cell]
}

// New checks the configuration and returns a reconciler that has not started.
func New(cfg Config) (*Reconciler, error) {
	var errs []error
	if cfg.Rules == nil || len(cfg.Rules.Bundles) == 0 {
		errs = append(errs, errors.New("rules: no bundle"))
	}
	if cfg.Schemas == nil {
		errs = append(errs, errors.New("schemas: missing"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("reconciler: %w", err)
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.Stream.Group == "" {
		cfg.Stream.Group = Group
	}
	cfg.Stream.Inputs = []string{TopicScreening, TopicChanges, TopicControl, TopicOutcomes}
	cfg.Stream.Changelog = TopicState
	cfg.Stream.Outputs = []string{TopicDecisions, TopicConflicts, TopicCommands, TopicOrders, TopicCandidates}
	group := cfg.Stream.Group
	cfg.Stream.DeadLetter = func(rec *kgo.Record, cause string, err error, now time.Time) *kgo.Record {
		return deadletter.Record(rec, cause, err, group, now)
	}
	m := newMetrics(cfg.Registry, cfg.Policies)
	for _, system := range cfg.Systems {
		m.drift.WithLabelValues(system)
	}
	codec := stateCodec(cfg.Schemas)
	runner, err := stream.New(cfg.Stream, codec, func(env stream.Env) (stream.Processor[*cell], error) {
		return newProcessor(&cfg, m, env), nil
	})
	if err != nil {
		return nil, fmt.Errorf("reconciler: %w", err)
	}
	return &Reconciler{runner: runner}, nil
}

// Run reconciles until ctx ends, then drains.
func (r *Reconciler) Run(ctx context.Context) error { return r.runner.Run(ctx) }

// Ready returns, in words, what keeps the reconciler from making progress; empty means ready.
func (r *Reconciler) Ready() []string { return r.runner.Ready() }
