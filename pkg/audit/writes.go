package audit

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/wire"
)

// attempt is a committed attempt: from its time on, one write of each kind may happen.
type attempt struct {
	at       wire.Micros
	revision int64
	arming   int32
}

// outcome is what ended a revision.
type outcome struct {
	kind   wire.OutcomeKind
	detail string
	at     wire.Micros
}

// confirmation is a claim that a tuple has shown.
type confirmation struct {
	from, to wire.Micros
	tuple    wire.Tuple
	id       string
}

// readCommands keeps the last command of each application.
func (a *auditor) readCommands() error {
	return scan(a, topicCommands, func(r *Record, c *wire.Command) {
		a.rep.end(r)
		a.rep.Commands++
		x := a.app(c.ApplicationID)
		if c.Kind == wire.CommandKindRefresh {
			x.refresh = c.ID
			return
		}
		if x.command.known && c.Revision < x.command.revision {
			a.found.add(I5Version, "a command has a lower revision than the one before", x.id)
		}
		d := &c.Desired
		x.command = lastCommand{c.ID, c.Revision, d.Stage == "" && d.Status == 0 && d.Reason == "" && len(d.Elements) == 0, true}
	})
}

// readOutcomes keeps attempts, confirmations and what ended each revision.
func (a *auditor) readOutcomes() error {
	return scan(a, topicOutcomes, func(r *Record, o *wire.Outcome) {
		a.rep.end(r)
		x := a.app(o.ApplicationID)
		a.kpiOutcome(r.Partition, o)
		if o.Kind == wire.CommandKindRefresh {
			x.answered = o.CommandID
			a.rep.Refreshes++
			return
		}
		a.rep.Outcomes[o.Outcome.String()]++
		switch o.Outcome {
		default: // the others end a revision and no more
		case wire.OutcomeKindAttempt:
			for _, before := range x.attempts {
				if before.revision == o.Revision && before.arming == o.Arming {
					a.found.add(I2Twice, "one arming was attempted twice", x.id)
				}
			}
			x.attempts = append(x.attempts, attempt{o.FinishedAt, o.Revision, o.Arming})
			return
		case wire.OutcomeKindConfirmed:
			x.confirmed = append(x.confirmed, confirmation{o.StartedAt, o.FinishedAt, o.Written, o.ID})
			if o.Cause.ScreeningFinishedAt != 0 {
				a.rep.latency(time.Duration(o.FinishedAt-o.Cause.ScreeningFinishedAt) * time.Microsecond)
			}
		}
		if x.terminal == nil {
			x.terminal = make(map[int64]outcome, 2)
		}
		x.terminal[o.Revision] = outcome{o.Outcome, o.Detail, o.FinishedAt}
	})
}

// readJournal keeps the real changes of each application and what the ATS shows in the end.
func (a *auditor) readJournal() error {
	if err := a.ev.Journal(func(e *Entry) error {
		x := a.byNative[place{e.System, e.Application}]
		if e.Type == "request" {
			a.rep.Requests++
			a.meter(e.System).count(e)
			if x != nil && e.Fault != "" && e.Fault != "latency" {
				x.faults++
			}
			return nil
		}
		if x == nil {
			a.found.add(I2Twice, "the ATS changed an application the world does not know", e.System+"/"+strconv.FormatInt(e.Application, 10))
			return nil
		}
		a.rep.Mutations++
		x.mutations = append(x.mutations, *e)
		return nil
	}); err != nil {
		return fmt.Errorf("audit the journal: %w", err)
	}
	if err := a.ev.Store(func(s *StoreApplication) error {
		if x := a.byNative[place{s.System, s.ID}]; x != nil {
			v := s.view()
			x.shown = &v
		}
		return nil
	}); err != nil {
		return fmt.Errorf("audit the store: %w", err)
	}
	return nil
}

// checkWrites is I2 and the false confirmations of one application.
func (a *auditor) checkWrites(x *app) {
	slices.SortStableFunc(x.attempts, func(p, q attempt) int { return cmp.Compare(p.at, q.at) })
	type once struct {
		attempt int
		effect  string
	}
	done := make(map[once]bool)
	closed := make(map[int64]bool)
	for i := range x.mutations {
		m := &x.mutations[i]
		if m.Actor == nil || m.Actor.Kind != "api" {
			continue
		}
		a.rep.Writes++
		a.meter(m.System).writes++
		if (m.Kind == "reject" || m.Kind == "hire") && i > 0 && isHuman(&x.mutations[i-1]) && x.mutations[i-1].RequestID != "" && x.mutations[i-1].RequestID == m.RequestID {
			a.rep.Overtaken++
		}
		at := wire.MicrosOf(m.Time)
		n := 0
		for n < len(x.attempts) && x.attempts[n].at <= at {
			n++
		}
		if n == 0 {
			a.found.add(I2Twice, "a write without a committed attempt", x.id)
			continue
		}
		// An ATS may need several requests to set several fields, each of which is one effect.
		set := effects(m)
		twice := len(set) == 0 && done[once{n, m.Kind}] // it was done, and changed nothing more
		done[once{n, m.Kind}] = true
		for _, effect := range set {
			twice = twice || done[once{n, effect}]
			done[once{n, effect}] = true
		}
		if twice {
			a.found.add(I2Twice, "one attempt wrote twice: "+m.Kind, x.id)
		}
		if m.Kind == "reject" || m.Kind == "hire" {
			revision := x.attempts[n-1].revision
			if closed[revision] {
				a.found.add(I2Twice, "a closing effect happened twice", x.id)
			}
			closed[revision] = true
		}
	}
	for i := range x.confirmed {
		if c := &x.confirmed[i]; !a.everShowed(x, c) {
			a.found.add(Confirmed, "confirmed, and the ATS never showed it", x.id)
		}
	}
	a.checkFinished(x)
}

// effects names what a change did: for an edit each field with its new value and each label set or taken away, for any
// other kind nothing.
func effects(m *Entry) []string {
	if m.Kind != "edit" || m.From == nil || m.To == nil {
		return nil
	}
	var out []string
	for _, key := range sortedKeys(m.To.Fields) {
		if to := text(m.To.Fields[key]); to != text(m.From.Fields[key]) {
			out = append(out, "edit "+key+" to "+to)
		}
	}
	for _, diff := range []struct {
		what     string
		has, not []string
	}{{"add ", m.To.Tags, m.From.Tags}, {"remove ", m.From.Tags, m.To.Tags}} {
		for _, tag := range diff.has {
			if !slices.Contains(diff.not, tag) {
				out = append(out, diff.what+tag)
			}
		}
	}
	return out
}

func isHuman(e *Entry) bool { return e.Actor != nil && e.Actor.Kind == "human" }

// checkFinished reports commands that nothing became of.
func (a *auditor) checkFinished(x *app) {
	if c := &x.command; c.known && !c.empty {
		switch o, ok := x.terminal[c.revision]; {
		case !ok:
			a.found.add(I8Lag, "the last command has no outcome", x.id)
		case o.kind == wire.OutcomeKindDeferred:
			a.found.add(I8Lag, "the last command is deferred and did not come back", x.id)
		}
	}
	if x.refresh != "" && x.refresh != x.answered {
		a.found.add(I8Lag, "the last refresh was not answered", x.id)
	}
}

// everShowed reports whether the ATS held the tuple at some time of a claim.
func (a *auditor) everShowed(x *app, c *confirmation) bool {
	from, to := c.from.Time(), c.to.Time().Add(time.Microsecond)
	for i := -1; i < len(x.mutations); i++ {
		var v *View
		var since, until time.Time
		switch {
		case i >= 0:
			v, since = x.mutations[i].To, x.mutations[i].Time
		case len(x.mutations) > 0:
			v = x.mutations[0].From
		default:
			v = x.shown
		}
		if i+1 < len(x.mutations) {
			until = x.mutations[i+1].Time
		}
		if v == nil || since.After(to) || !until.IsZero() && until.Before(from) {
			continue
		}
		if a.shows(x, v, &c.tuple) {
			return true
		}
	}
	return false
}

// shows reports whether a view holds all that a tuple asks for.
func (a *auditor) shows(x *app, v *View, t *wire.Tuple) bool {
	system, _, _ := strings.Cut(x.id, "/")
	if t.Stage != "" && t.Stage != a.world.stages[place{system, v.Stage}].id {
		return false
	}
	if t.Reason != "" && t.Reason != a.world.reasons[place{system, v.Reason}] {
		return false
	}
	switch t.Status {
	case wire.ApplicationStatusActive:
		if v.Status != "active" {
			return false
		}
	case wire.ApplicationStatusHired:
		if v.Status != "hired" {
			return false
		}
	case wire.ApplicationStatusRejected, wire.ApplicationStatusWithdrawn:
		if v.Status != "rejected" {
			return false
		}
	case wire.ApplicationStatusUnspecified:
	}
	for i := range t.Elements {
		if text(v.Fields[t.Elements[i].Name]) != plain(t.Elements[i].Value) {
			return false
		}
	}
	return true
}

// text is a field's value in plain text; one that is not set is empty.
func text(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return plain(s)
	}
	return plain(string(raw))
}

// plain writes numbers one way, so that 81 and 81.0 are the same.
func plain(s string) string {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || strings.ContainsAny(s, "xXpPnN_") && !errors.Is(err, strconv.ErrRange) {
		return s
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}
