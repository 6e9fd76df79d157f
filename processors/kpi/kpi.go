package kpi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/deadletter"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// Group is the default consumer group.
const Group = "concord.kpi"

// Config is what a KPI consumer needs. Stream's Inputs, Changelog, Outputs and DeadLetter are set here.
type Config struct {
	Stream   stream.Config
	Schemas  *wire.Schemas
	Window   time.Duration         // length of a window (1 h)
	Horizon  time.Duration         // how far behind the newest window a window may still be revised (72 h)
	Registry prometheus.Registerer // may be nil
	Logger   *zap.Logger           // may be nil
}

// Consumer is the KPI consumer. Build one with New, run it once.
type Consumer struct {
	runner *stream.Runner[*entry]
}

// New checks the configuration and returns a consumer that has not started.
func New(cfg Config) (*Consumer, error) {
	return newConsumer(cfg, func(p *processor) stream.Processor[*entry] { return p })
}

// newConsumer is New with the last word on each session's processor.
func newConsumer(cfg Config, last func(*processor) stream.Processor[*entry]) (*Consumer, error) {
	if cfg.Window == 0 {
		cfg.Window = time.Hour
	}
	if cfg.Horizon == 0 {
		cfg.Horizon = 72 * time.Hour
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	var errs []error
	if cfg.Schemas == nil {
		errs = append(errs, errors.New("schemas: missing"))
	}
	if cfg.Window < time.Second {
		errs = append(errs, fmt.Errorf("window %s: must be at least 1s", cfg.Window))
	}
	if cfg.Horizon < cfg.Window {
		errs = append(errs, fmt.Errorf("horizon %s: must not be shorter than the window %s", cfg.Horizon, cfg.Window))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("kpi: %w", err)
	}
	if cfg.Stream.Group == "" {
		cfg.Stream.Group = Group
	}
	cfg.Stream.Inputs = []string{topics.HiringDecisions, topics.ATSOutcomes, topics.HiringConflicts}
	cfg.Stream.Changelog = topics.KPIState
	cfg.Stream.Outputs = []string{topics.KPIWriteback, topics.KPIConflicts, topics.KPIQuality}
	group := cfg.Stream.Group
	cfg.Stream.DeadLetter = func(rec *kgo.Record, cause string, err error, now time.Time) *kgo.Record {
		return deadletter.Record(rec, cause, err, group, now)
	}
	m := newMetrics(cfg.Registry)
	runner, err := stream.New(cfg.Stream, entryCodec(), func(stream.Env) (stream.Processor[*entry], error) {
		return last(newProcessor(&cfg, m)), nil
	})
	if err != nil {
		return nil, fmt.Errorf("kpi: %w", err)
	}
	return &Consumer{runner: runner}, nil
}

// Run measures until ctx ends, then drains.
func (c *Consumer) Run(ctx context.Context) error { return c.runner.Run(ctx) }

// Ready returns, in words, what keeps the consumer from making progress; empty means ready.
func (c *Consumer) Ready() []string { return c.runner.Ready() }
