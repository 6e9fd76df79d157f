package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/deadletter"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// demoQuiet is how long nothing may have happened for the demo to have settled: longer than grace and settle.
const demoQuiet = 1200 * time.Millisecond

// demoStall is how long nothing may happen while something is still open, before the demo goes on all the same: the
// audit will say what is missing. With a protection left out something always is, and the wait is shorter.
const (
	demoStall       = 12 * time.Second
	demoStallBroken = 4 * time.Second
)

// watcher follows the topics, for the progress line and to tell when all has settled. It is no part of the audit.
type watcher struct {
	d      *demo
	client *kgo.Client
	ended  chan struct{}

	mu       sync.Mutex
	changed  time.Time
	inputs   int
	decided  int
	letters  int
	reasons  map[wire.Reason]int
	outcomes map[wire.OutcomeKind]int
	open     map[string]string           // application or refresh -> command without an outcome
	last     map[string]string           // … -> last command
	answered map[string]wire.OutcomeKind // command -> its newest outcome, which may be read before the command
	deferred map[string]bool
	parked   map[string]bool // open incidents of an ATS that cannot be called
	wantWave string
}

func newWatcher(ctx context.Context, opts []kgo.Opt, d *demo) (*watcher, error) {
	follow := []string{
		topics.ScreeningEvents, topics.ATSChanges, topics.HiringControl, topics.ATSOutcomes, topics.HiringDecisions, topics.ATSCommands, topics.HiringConflicts,
		topics.DeadLetter(topics.ScreeningEvents), topics.DeadLetter(topics.ATSChanges), topics.DeadLetter(topics.HiringControl), topics.DeadLetter(topics.ATSOutcomes),
	}
	opts = append(append([]kgo.Opt{}, opts...), kgo.ConsumeTopics(follow...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond))
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("demo: kafka client: %w", err)
	}
	w := &watcher{
		d: d, client: client, ended: make(chan struct{}), changed: time.Now(), reasons: map[wire.Reason]int{}, outcomes: map[wire.OutcomeKind]int{},
		open: map[string]string{}, last: map[string]string{}, answered: map[string]wire.OutcomeKind{}, deferred: map[string]bool{}, parked: map[string]bool{},
	}
	go func() {
		defer close(w.ended)
		for ctx.Err() == nil {
			fetches := client.PollFetches(ctx)
			if fetches.IsClientClosed() {
				return
			}
			w.mu.Lock()
			fetches.EachRecord(w.record)
			w.mu.Unlock()
			w.show()
		}
	}()
	return w, nil
}

func (w *watcher) stop() {
	w.client.Close()
	<-w.ended
}

// record counts one record. The lock is held.
func (w *watcher) record(r *kgo.Record) {
	w.changed = time.Now()
	_, avro, err := wire.Split(r.Value)
	switch r.Topic {
	case topics.HiringDecisions:
		var d wire.Decision
		if err == nil && d.DecodeAvro(avro) == nil {
			w.reasons[d.Reason]++
			if d.Offset >= 0 {
				w.decided++
			}
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
		w.inputs++
		var o wire.Outcome
		if err == nil && o.DecodeAvro(avro) == nil {
			w.outcome(&o)
		}
	case topics.ScreeningEvents, topics.ATSChanges, topics.HiringControl:
		w.inputs++
	default:
		for _, h := range r.Headers {
			if h.Key == deadletter.HeaderOffset {
				if n, err := strconv.ParseInt(string(h.Value), 10, 64); err == nil && n >= 0 {
					w.letters++
				}
			}
		}
	}
}

func (w *watcher) command(c *wire.Command) {
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

func (w *watcher) outcome(o *wire.Outcome) {
	key := o.ApplicationID
	if o.Kind == wire.CommandKindRefresh {
		key = "refresh " + key
	} else {
		w.outcomes[o.Outcome]++
	}
	w.answered[o.CommandID] = o.Outcome
	w.close(key, o.CommandID, o.Outcome)
}

// close notes an outcome of a command; that of an older one says nothing about what is open.
func (w *watcher) close(key, command string, o wire.OutcomeKind) {
	if w.last[key] != command || o == wire.OutcomeKindAttempt {
		return
	}
	delete(w.open, key)
	if o == wire.OutcomeKindDeferred {
		w.deferred[key] = true
	}
}

// settle waits until nothing is open and nothing has happened for a while, and until at least a time.
func (w *watcher) settle(ctx context.Context, until time.Time) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		hooks := w.d.sim.Stats().Webhooks.Pending
		w.mu.Lock()
		quiet := time.Since(w.changed)
		busy := w.inputs != w.decided+w.letters || len(w.open)+len(w.deferred)+len(w.parked) > 0 || hooks > 0
		w.mu.Unlock()
		if time.Now().Before(until) || quiet <= demoQuiet {
			busy = true
		}
		if !busy {
			return nil
		}
		if stall := w.d.stall(); quiet > stall {
			w.d.say("going on, though nothing has happened for %s: %s", stall, w.stillOpen(hooks))
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (d *demo) stall() time.Duration {
	if d.breaks != "" {
		return demoStallBroken
	}
	return demoStall
}

// stillOpen says what keeps the run from having settled.
func (w *watcher) stillOpen(hooks int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprintf("%d deliveries, %d decided, %d dead letters; commands open %d, deferred %d; webhooks pending %d",
		w.inputs, w.decided, w.letters, len(w.open), len(w.deferred), hooks)
}

// wave is told how far a wave has been sent.
func (w *watcher) wave(done, of int) {
	w.mu.Lock()
	w.wantWave = fmt.Sprintf("%d/%d", done, of)
	w.mu.Unlock()
	w.show()
}

// show draws the progress line on a terminal.
func (w *watcher) show() {
	if !w.d.a.terminal(w.d.a.stderr) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(
		w.d.a.stderr, "\r\x1b[Kwave %d  sent %s  delivered %d  decided %d  dead letters %d  confirmed %d  open commands %d",
		len(w.d.sent)+1, w.wantWave, w.inputs, w.decided, w.letters, w.outcomes[wire.OutcomeKindConfirmed], len(w.open),
	)
}

// done ends the progress line.
func (w *watcher) done() {
	if w.d.a.terminal(w.d.a.stderr) {
		fmt.Fprintln(w.d.a.stderr)
	}
}
