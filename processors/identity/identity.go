package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/deadletter"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// Group is the default consumer group.
const Group = "concord.identity"

// Config is what an identity processor needs. Stream's Inputs, Changelog, Outputs and DeadLetter are set here.
type Config struct {
	Stream   stream.Config
	Schemas  *wire.Schemas
	Registry prometheus.Registerer // may be nil
}

// Processor is the identity processor. Build one with New, run it once.
type Processor struct {
	runner *stream.Runner[*person]
}

// New checks the configuration and returns a processor that has not started.
func New(cfg Config) (*Processor, error) {
	if cfg.Schemas == nil {
		return nil, errors.New("identity: schemas: missing")
	}
	if cfg.Stream.Group == "" {
		cfg.Stream.Group = Group
	}
	cfg.Stream.Inputs = []string{topics.CandidateEvents}
	cfg.Stream.Changelog = topics.IdentityState
	cfg.Stream.Outputs = []string{topics.HiringControl, topics.ATSChanges}
	group := cfg.Stream.Group
	cfg.Stream.DeadLetter = func(rec *kgo.Record, cause string, err error, now time.Time) *kgo.Record {
		return deadletter.Record(rec, cause, err, group, now)
	}
	m := newMetrics(cfg.Registry)
	runner, err := stream.New(cfg.Stream, codec(), func(env stream.Env) (stream.Processor[*person], error) {
		return &processor{schemas: cfg.Schemas, m: m, keyed: kgo.StickyKeyPartitioner(nil).ForTopic(""), count: int(env.Partitions)}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return &Processor{runner: runner}, nil
}

// Run works until ctx ends, then drains.
func (p *Processor) Run(ctx context.Context) error { return p.runner.Run(ctx) }

// Ready returns, in words, what keeps the processor from making progress; empty means ready.
func (p *Processor) Ready() []string { return p.runner.Ready() }
