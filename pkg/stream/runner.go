package stream

import "context"

type session[S any] struct{}

// Runner runs the sessions of one consumer group in this process.
type Runner[S any] struct{ cfg Config }

// New checks the configuration, naming every fault at once, and returns a
// runner that is not running yet. newProcessor is called once for each session
// whenever it starts.
func New[S any](cfg Config, codec Codec[S], newProcessor func(Env) (Processor[S], error)) (*Runner[S], error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Runner[S]{cfg: cfg}, nil
}

// Run consumes until ctx ends or an error is fatal. When ctx ends it stops
// polling, commits what is in hand, leaves the group and returns nil.
func (r *Runner[S]) Run(ctx context.Context) error { return nil }

// Ready says in words why the runner is not making progress; empty is ready.
// Safe for concurrent use.
func (r *Runner[S]) Ready() []string { return nil }
