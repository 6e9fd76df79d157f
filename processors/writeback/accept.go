package writeback

import (
	"time"

	"github.com/concord-ats/concord/pkg/wire"
)

// Acceptance is what a command did to the state.
type Acceptance uint8

// Acceptances. A dropped command gets no outcome: a newer one is known, or it is the same one again.
const (
	AcceptedQueued Acceptance = iota
	AcceptedCancelled
	DroppedOlder
	DroppedRepeated
)

// String names the acceptance, for logs and metrics.
func (a Acceptance) String() string {
	switch a {
	case AcceptedQueued:
		return "queued"
	case AcceptedCancelled:
		return "cancelled"
	case DroppedOlder:
		return "older"
	case DroppedRepeated:
		return "repeated"
	}
	return "queued"
}

// asksNothing reports whether a tuple is empty: it supersedes and asks nothing.
func asksNothing(t *wire.Tuple) bool {
	return t.Stage == "" && t.Status == wire.ApplicationStatusUnspecified && t.Reason == "" && len(t.Elements) == 0
}

// Accept takes a command into the state of its application, nil for none, and returns the new state. Replaced is a
// command that had been sent and not executed, and now gets a superseded outcome. It keeps cmd.
func Accept(s *State, cmd *wire.Command, now int64) (next *State, replaced *Pending, what Acceptance) {
	c := State{}
	if s != nil {
		c = *s
	}
	p := &Pending{Command: cmd, Since: now}
	if cmd.Kind == wire.CommandKindRefresh {
		if c.Refresh != nil {
			if c.Refresh.Command.ID == cmd.ID {
				return s, nil, DroppedRepeated
			}
			p.Since = c.Refresh.Since
		}
		c.Refresh = p
		return &c, nil, AcceptedQueued
	}
	switch {
	case cmd.Revision < c.Revision:
		return s, nil, DroppedOlder
	case cmd.Revision == c.Revision && cmd.ID == c.LastID:
		return s, nil, DroppedRepeated
	case cmd.Revision > c.Revision:
		c.Armings, c.Unknowns = 0, 0
	}
	if c.Apply != nil && c.Apply.Sends > 0 {
		replaced = c.Apply
	}
	c.Revision, c.LastID, c.Apply = cmd.Revision, cmd.ID, p
	if asksNothing(&cmd.Desired) {
		c.Apply = nil
		return &c, replaced, AcceptedCancelled
	}
	return &c, replaced, AcceptedQueued
}

// checkAt is when the timer has to look at a state again. Looking costs a record, and after a restart a command waits
// this long to be found.
func (c *Config) checkAt(s *State, now int64) int64 {
	at := now + c.Remember.Microseconds()
	if s.idle() {
		return at
	}
	if s.Parked != nil {
		return now + 5*c.Recheck.Microseconds()
	}
	for _, p := range []*Pending{s.Apply, s.Refresh} {
		if p != nil {
			at = min(at, c.pendingCheck(p, now, s.Attempt == nil))
		}
	}
	if s.Attempt != nil {
		at = min(at, c.pendingCheck(&s.Attempt.Pending, now, false))
	}
	return at
}

func (c *Config) pendingCheck(p *Pending, now int64, deferrable bool) int64 {
	ready := p.ready()
	if ready > now {
		return ready
	}
	age := time.Duration(now-ready) * time.Microsecond
	at := now + min(max(age, c.Recheck), 2*c.Recheck).Microseconds()
	if end := ready + c.DeferAfter.Microseconds(); deferrable && end > now {
		at = min(at, end)
	}
	return at
}
