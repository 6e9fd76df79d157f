package replay

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/reconciler"
)

var (
	// ErrNoBeginning says that no state of an application can be computed: its beginning is no longer kept.
	ErrNoBeginning = errors.New("the beginning of its history is no longer kept")
	// ErrOtherPolicy says that it was judged by a policy that is not at hand.
	ErrOtherPolicy = errors.New("it was judged by a policy that is not at hand")
)

// One is the history of one application, as it stands in the log.
type One struct {
	Application string
	Decisions   []*wire.Decision // in order
	// Input returns the record of an input; nil where it is no longer kept.
	Input func(topic string, partition int32, offset int64) *kgo.Record
	// States are those that hiring.state still has, in any order.
	States [][]byte
}

// State computes the state after all decisions, by the rules of the engine as they stood at each of them: from the newest state that is kept, or from nothing. The error of a decision
// that comes out otherwise than on record wraps its [Fault].
func (o *One) State(ctx context.Context, engine *reconciler.Engine) (*hiring.State, error) {
	kept := map[wire.Digest]checkpoint{}
	for _, value := range o.States {
		s, digest, err := engine.Open(o.Application, value)
		if err != nil {
			return nil, err
		}
		kept[digest] = checkpoint{s, digest, len(value)}
	}
	l, next := newLife(o.Application), 0
	for i := len(o.Decisions) - 1; i >= 0; i-- {
		if c, ok := kept[o.Decisions[i].StateAfter]; ok {
			l.was, l.digest, l.size = c.state, c.digest, c.size
			next = i + 1
			break
		}
	}
	if next == 0 && (len(o.Decisions) == 0 || !o.Decisions[0].StateBefore.IsZero()) {
		return nil, ErrNoBeginning
	}
	rules := engine.Rules()
	defer engine.Use(rules)
	j := judge{engine: engine}
	for _, d := range o.Decisions[next:] {
		s := step{decision: d, event: hiring.Event{Type: hiring.ParseEventType(d.EventType)}}
		if d.Topic != "" {
			in := o.Input(d.Topic, d.Partition, d.Offset)
			if in == nil {
				return nil, ErrNoBeginning
			}
			if _, err := engine.Read(ctx, in, &s.event); err != nil {
				return nil, fmt.Errorf("input %s/%d@%d: %w", d.Topic, d.Partition, d.Offset, err)
			}
		}
		engine.Use(rules.On(hiring.Micros(d.Now)))
		j.step(l, &s)
		switch {
		case l.fault != nil:
			return nil, l.fault
		case l.end == endPolicy:
			return nil, ErrOtherPolicy
		case l.end == endErased:
			return l.was, nil
		}
	}
	return l.was, nil
}

// Error makes a fault an error.
func (f *Fault) Error() string { return f.String() }
