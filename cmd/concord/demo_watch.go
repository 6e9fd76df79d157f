package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/settle"
)

// demoQuiet is how long nothing may have happened for the demo to have settled: longer than grace and settle, and than
// a refresh takes that was just asked for, on a busy machine too.
const demoQuiet = 2 * time.Second

// demoStall is how long nothing may happen while something is still open, before the demo goes on all the same: the
// audit will say what is missing. With a protection left out something always is, and the wait is shorter.
const (
	demoStall       = 12 * time.Second
	demoStallBroken = 4 * time.Second
)

// watcher follows the run, for the progress line and to tell when all has settled.
type watcher struct {
	*settle.Watcher
	d    *demo
	sent atomic.Pointer[string] // how far the wave has been sent
}

func newWatcher(opts []kgo.Opt, d *demo) (*watcher, error) {
	w := &watcher{d: d}
	started := make(chan struct{})
	var err error
	w.Watcher, err = settle.Watch(settle.Config{
		Kafka: opts, Quiet: demoQuiet, Stall: d.stall(),
		Pending: d.undelivered,
		Changed: func() { <-started; w.show() },
	})
	close(started)
	return w, err
}

// settle waits until the run has settled; one that stalls is left to the audit.
func (w *watcher) settle(ctx context.Context, until time.Time) error {
	err := w.Settle(ctx, until)
	var stalled *settle.StalledError
	if errors.As(err, &stalled) {
		w.d.say("going on, though %v", stalled)
		return nil
	}
	return err
}

func (d *demo) stall() time.Duration {
	if d.breaks != "" {
		return demoStallBroken
	}
	return demoStall
}

// wave is told how far a wave has been sent.
func (w *watcher) wave(done, of int) {
	sent := fmt.Sprintf("%d/%d", done, of)
	w.sent.Store(&sent)
	w.show()
}

// show draws the progress line on a terminal.
func (w *watcher) show() {
	sent := w.sent.Load()
	if sent == nil || !w.d.a.terminal(w.d.a.stderr) {
		return
	}
	c := w.Counts()
	fmt.Fprintf(
		w.d.a.stderr, "\r\x1b[Kwave %d  sent %s  delivered %d  decided %d  dead letters %d  confirmed %d  open commands %d",
		len(w.d.sent)+1, *sent, c.Delivered, c.Decided, c.DeadLetters, c.Confirmed, c.Open,
	)
}

// done ends the progress line.
func (w *watcher) done() {
	if w.d.a.terminal(w.d.a.stderr) {
		fmt.Fprintln(w.d.a.stderr)
	}
}
