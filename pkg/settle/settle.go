// Package settle tells when a run has come to rest, by following the topics: every delivery has been decided or
// dead-lettered, every command has an outcome, and nothing has happened for a while. It is no part of an audit, which
// looks again from outside; it only says when there is something to look at.
package settle

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/deadletter"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// Config is what a [Watcher] needs.
type Config struct {
	// Kafka reach the brokers: seed brokers, TLS, SASL.
	Kafka []kgo.Opt
	// Pending is how many deliveries are still on their way to a topic, such as webhooks to be sent again.
	Pending func() int
	// Quiet is how long nothing may have happened for the run to have settled: longer than grace and settle.
	Quiet time.Duration
	// Stall is how long nothing may happen while something is still open, before a wait ends all the same.
	Stall time.Duration
	// Changed, when set, is called after each poll that brought records.
	Changed func()
}

// Counts is how far a run has come.
type Counts struct {
	// Delivered records on the inputs, and how many of them were decided and dead-lettered.
	Delivered, Decided, DeadLetters int
	// Confirmed writes; Open commands without an outcome, Deferred ones, Parked systems.
	Confirmed, Open, Deferred, Parked int
	// Pending deliveries are not on a topic yet.
	Pending int
}

func (c Counts) busy() bool {
	return c.Delivered != c.Decided+c.DeadLetters || c.Open+c.Deferred+c.Parked+c.Pending > 0
}

// String says what is open.
func (c Counts) String() string {
	return fmt.Sprintf("%d deliveries, %d decided, %d dead letters; commands open %d, deferred %d; systems parked %d; webhooks pending %d",
		c.Delivered, c.Decided, c.DeadLetters, c.Open, c.Deferred, c.Parked, c.Pending)
}

// StalledError says that nothing happened any more although something was open.
type StalledError struct {
	After time.Duration
	Open  Counts
}

func (e *StalledError) Error() string {
	return fmt.Sprintf("nothing has happened for %s: %s", e.After, e.Open)
}

// Watcher follows the topics. Safe for concurrent use.
type Watcher struct {
	cfg    Config
	client *kgo.Client
	ended  chan struct{}

	mu       sync.Mutex
	changed  time.Time
	counts   Counts                      // but for what the maps tell
	open     map[string]string           // application or refresh -> command without an outcome
	last     map[string]string           // … -> last command
	answered map[string]wire.OutcomeKind // command -> its newest outcome, which may be read before the command
	deferred map[string]bool
	parked   map[string]bool // open incidents of an ATS that cannot be called
}

// Watch starts to follow the topics from their beginning, until Stop.
func Watch(cfg Config) (*Watcher, error) {
	inputs := []string{topics.ScreeningEvents, topics.ATSChanges, topics.HiringControl, topics.ATSOutcomes}
	follow := []string{topics.HiringDecisions, topics.ATSCommands, topics.HiringConflicts}
	for _, t := range inputs {
		follow = append(follow, t, topics.DeadLetter(t))
	}
	client, err := kgo.NewClient(append(
		slices.Clone(cfg.Kafka), kgo.ConsumeTopics(follow...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond),
	)...)
	if err != nil {
		return nil, fmt.Errorf("watch the topics: kafka client: %w", err)
	}
	w := &Watcher{
		cfg: cfg, client: client, ended: make(chan struct{}), changed: time.Now(),
		open: map[string]string{}, last: map[string]string{}, answered: map[string]wire.OutcomeKind{}, deferred: map[string]bool{}, parked: map[string]bool{},
	}
	go w.follow()
	return w, nil
}

func (w *Watcher) follow() {
	defer close(w.ended)
	for {
		fetches := w.client.PollFetches(context.Background())
		if fetches.IsClientClosed() {
			return
		}
		w.mu.Lock()
		fetches.EachRecord(w.record)
		w.mu.Unlock()
		if w.cfg.Changed != nil {
			w.cfg.Changed()
		}
	}
}

// Stop ends the watch.
func (w *Watcher) Stop() {
	w.client.Close()
	<-w.ended
}

// Counts returns how far the run has come.
func (w *Watcher) Counts() Counts {
	pending := w.cfg.Pending() // not under the lock: it may take one of its own
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.counts
	c.Open, c.Deferred, c.Parked, c.Pending = len(w.open), len(w.deferred), len(w.parked), pending
	return c
}

// Settle waits until nothing is open and nothing has happened for a while, and until at least a time. The error is
// that of ctx, or a *[StalledError].
func (w *Watcher) Settle(ctx context.Context, until time.Time) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		c := w.Counts()
		w.mu.Lock()
		quiet := time.Since(w.changed)
		w.mu.Unlock()
		switch {
		case time.Now().Before(until):
		case !c.busy() && quiet > w.cfg.Quiet:
			return nil
		case quiet > w.cfg.Stall:
			return &StalledError{w.cfg.Stall, c}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// record counts one record. The lock is held.
func (w *Watcher) record(r *kgo.Record) {
	w.changed = time.Now()
	_, avro, err := wire.Split(r.Value)
	switch r.Topic {
	case topics.HiringDecisions:
		var d wire.Decision
		if err == nil && d.DecodeAvro(avro) == nil && d.Offset >= 0 {
			w.counts.Decided++
		}
	case topics.HiringConflicts:
		var i wire.Incident
		if err == nil && i.DecodeAvro(avro) == nil && i.Kind == wire.IncidentKindTenantParked {
			delete(w.parked, i.ID)
			if i.Change == wire.IncidentChangeOpened {
				w.parked[i.ID] = true
			}
		}
	case topics.ATSCommands:
		var c wire.Command
		if err == nil && c.DecodeAvro(avro) == nil {
			w.command(&c)
		}
	case topics.ATSOutcomes:
		w.counts.Delivered++
		var o wire.Outcome
		if err == nil && o.DecodeAvro(avro) == nil {
			w.outcome(&o)
		}
	case topics.ScreeningEvents, topics.ATSChanges, topics.HiringControl:
		w.counts.Delivered++
	default:
		for _, h := range r.Headers {
			if h.Key == deadletter.HeaderOffset {
				if n, err := strconv.ParseInt(string(h.Value), 10, 64); err == nil && n >= 0 {
					w.counts.DeadLetters++
				}
			}
		}
	}
}

func (w *Watcher) command(c *wire.Command) {
	d := &c.Desired
	key := c.ApplicationID
	if c.Kind == wire.CommandKindRefresh {
		key = "refresh " + key
	}
	w.last[key] = c.ID
	delete(w.deferred, key)
	delete(w.open, key)
	if c.Kind == wire.CommandKindRefresh || d.Stage != "" || d.Status != 0 || d.Reason != "" || len(d.Elements) > 0 {
		w.open[key] = c.ID
	}
	if o, ok := w.answered[c.ID]; ok {
		w.close(key, c.ID, o)
	}
}

func (w *Watcher) outcome(o *wire.Outcome) {
	key := o.ApplicationID
	if o.Kind == wire.CommandKindRefresh {
		key = "refresh " + key
	} else if o.Outcome == wire.OutcomeKindConfirmed {
		w.counts.Confirmed++
	}
	w.answered[o.CommandID] = o.Outcome
	w.close(key, o.CommandID, o.Outcome)
}

// close notes an outcome of a command; that of an older one says nothing about what is open.
func (w *Watcher) close(key, command string, o wire.OutcomeKind) {
	if w.last[key] != command || o == wire.OutcomeKindAttempt {
		return
	}
	delete(w.open, key)
	if o == wire.OutcomeKindDeferred {
		w.deferred[key] = true
	}
}
