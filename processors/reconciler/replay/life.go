package replay

import (
	"slices"
	"strconv"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/reconciler"
)

// step is one recorded decision and the event it was about.
type step struct {
	decision   *wire.Decision
	event      hiring.Event
	unreadable bool // the event is not known: its input is gone, or is not what it was
}

// ask is what was last asked of the ATS.
type ask struct {
	mode  hiring.Mode
	tuple hiring.Tuple
}

// writes reports whether the ask changes anything in an ATS.
func (a *ask) writes() bool { return a.mode == hiring.ModeWrite && !a.tuple.Empty() }

func (a *ask) same(b *ask) bool {
	t, u := &a.tuple, &b.tuple
	return (a.mode == b.mode || t.Empty()) && t.Stage == u.Stage && t.Status == u.Status && t.Reason == u.Reason && slices.Equal(t.Elements, u.Elements)
}

// outstanding reports whether a write is asked for and not yet answered for good.
func (a *ask) outstanding(s *hiring.State) bool {
	return a.writes() && s.Write.State != hiring.WriteDone && s.Write.State != hiring.WriteIdle
}

// life is one application, as it was recorded and as it would have been. Its memory grows with what differs, not with the
// length of the history.
type life struct {
	app       string
	was       *hiring.State // recomputed of what is on record
	digest    wire.Digest
	size      int
	is        *hiring.State // under the other rules; nil = not begun
	asked     ask
	asks      ask
	owner     string // of the next step, under the other rules
	end       end
	apart     hiring.Micros // from here on the other life is not known; 0 = it is
	fault     *Fault
	diff      *Difference
	tally     tally
	began     hiring.Micros // the clock of its first decision
	first     int           // step of the batch, from 1; 0 = none
	last      int
	decisions int64     // recomputed
	begun     bool      // at a checkpoint, not at nothing
	trace     *[]Moment // of an example
}

// end says why an application is not followed any further.
type end uint8

const (
	endNone       end = iota
	endFault          // what was computed is not what is on record
	endErased         // rule D5
	endPolicy         // judged by a policy that is not at hand
	endUnreadable     // an input cannot be read as it was
)

// judge compares two runs. It does no I/O and reads no clock. rules are those on record; other is nil where nothing but the
// record is checked, and takes effect at since.
type judge struct {
	engine *reconciler.Engine
	other  *reconciler.Engine
	since  hiring.Micros
	answer hiring.Outcome  // of the present step, as the other life meets it
	lived  hiring.Decision // of the present step, in the other life
}

func newLife(app string) *life { return &life{app: app, was: hiring.NewState(app)} }

// step lives one recorded decision in both lives.
func (j *judge) step(l *life, s *step) {
	d := s.decision
	now := hiring.Micros(d.Now)
	if l.end != endNone {
		return
	}
	if s.unreadable {
		l.end = endUnreadable
		return
	}
	if wire.Digest(j.engine.Rules().At(now).Digest) != d.Policy {
		l.end = endPolicy
		return
	}
	if l.began == 0 {
		l.began = now
	}
	l.decisions++
	s.event.Claimed = d.Reason == wire.ReasonDuplicate // what the net in front said then; it changes a label alone
	was, before := l.was, l.digest
	again := j.engine.Decide(was, before, &s.event, now)
	if l.fault = compare(d, before, &again); l.fault != nil {
		l.end = endFault
		return
	}
	j.begin(l, now)
	l.was, l.digest = again.State, again.Digest
	if again.Size > 0 {
		l.size = again.Size
	}
	asked := l.asked
	l.take(&again.Decision, &l.asked)
	l.tally.was.add(&s.event, &again.Decision)
	if l.is == nil { // one life still
		l.tally.is.add(&s.event, &again.Decision)
	} else {
		for i := range again.Incidents {
			l.incident(&again.Incidents[i], again.Now, true)
		}
		for i := range again.Orders {
			l.order(&again.Orders[i], again.Now, true)
		}
		if l.apart != 0 && s.event.Type == hiring.EventOutcome {
			l.tally.notCompared++
		}
	}
	var other *hiring.Decision
	if l.is != nil && l.apart == 0 {
		other = j.live(l, s, past{was, &asked}, now)
		l.owned(again.Owner, now)
		l.weigh(now, again.Changed)
		if again.State.Head.Stage != l.is.Head.Stage {
			l.differs(now)
		}
	}
	l.follow(s, &again.Decision, other)
	if again.State.Erased {
		l.end = endErased
	}
}

// begin parts the lives when the other rules take effect: what idle applications owe and are due is judged anew then.
func (j *judge) begin(l *life, now hiring.Micros) {
	if l.is != nil || j.other == nil || now < j.since {
		return
	}
	l.is, l.asks = l.was.Fork(), l.asked
	if due := l.was.NextDue; j.since == 0 || l.was.Version == 0 || due != 0 && due <= j.since {
		return // there is nothing yet, or a timer that is late on record comes next in both lives
	}
	d := j.other.Try(l.is, &hiring.Event{Type: hiring.EventRejudge}, j.since, l.size)
	l.advance(&d, j.since)
	l.tally.is.add(&hiring.Event{Type: hiring.EventRejudge}, &d)
	if d.Changed {
		l.fired(&d, j.since)
	}
}

// compare says how a decision came out otherwise than it is on record; nil = not at all.
func compare(d *wire.Decision, before wire.Digest, again *reconciler.Decided) *Fault {
	var what, recorded, computed string
	switch {
	case d.StateBefore != before:
		what, recorded, computed = "state before", d.StateBefore.String(), before.String()
	case d.StateAfter != again.Digest:
		what, recorded, computed = "state after", d.StateAfter.String(), again.Digest.String()
	case d.Reason != wire.Reason(again.Reason):
		what, recorded, computed = "reason", d.Reason.String(), again.Reason.String()
	case hiring.Micros(d.Now) != again.Now:
		what, recorded, computed = "clock", d.Now.String(), wire.Micros(again.Now).String()
	case !slices.EqualFunc(d.Commands, again.Commands, func(id string, c hiring.Command) bool { return id == c.ID }):
		what, recorded, computed = "commands", strconv.Itoa(len(d.Commands)), strconv.Itoa(len(again.Commands))
	default:
		return nil
	}
	return &Fault{
		Application: d.ApplicationID, Version: d.Version, Topic: d.Topic, Partition: d.Partition, Offset: d.Offset, At: d.Now,
		Reason: d.Reason.String(), What: what, Recorded: recorded, Computed: computed,
	}
}

// take remembers what a decision asked for.
func (l *life) take(d *hiring.Decision, a *ask) {
	for i := range d.Commands {
		if c := &d.Commands[i]; c.Kind == hiring.CommandApply {
			*a = ask{c.Mode, c.Desired}
		}
	}
}

// past is the recorded life before an event.
type past struct {
	*hiring.State
	asked *ask
}

// live lives one event in the other life. It returns what was decided of the event itself, valid until the next step; nil where
// it did not reach the other life.
func (j *judge) live(l *life, s *step, was past, now hiring.Micros) *hiring.Decision {
	j.tick(l, was.NextDue, now)
	e := &s.event // nobody needs it any more as it was
	switch e.Type {
	default: // what people and systems said is taken as recorded
	case hiring.EventTimer:
		if l.is.NextDue == 0 || l.is.NextDue > now {
			return nil
		}
	case hiring.EventOutcome:
		j.answer = *e.Outcome
		o := &j.answer
		switch {
		case o.Kind == hiring.CommandRefresh:
			if was.RefreshOpen && !l.is.RefreshOpen {
				return nil // it did not ask
			}
		case o.Revision == was.DesiredRevision && !was.asked.same(&l.asks):
			return nil
		}
		o.Revision += l.is.DesiredRevision - was.DesiredRevision
		e.Outcome = o
	case hiring.EventOverride: // its author saw what was recorded
		if stale := was.MovedAt > e.SeenVersion; e.SeenVersion != 0 && (l.is.Version != was.Version || l.is.MovedAt != was.MovedAt) {
			if e.SeenVersion = l.is.Version; stale {
				e.SeenVersion = 1
			}
		}
	}
	j.lived = j.other.Try(l.is, e, now, l.size)
	l.advance(&j.lived, now)
	l.tally.is.add(e, &j.lived)
	return &j.lived
}

// tick lets the clock of the other life reach now. due is the timer of the recorded life: one that both wait for fires when
// it fired on record.
func (j *judge) tick(l *life, due, now hiring.Micros) {
	for at := l.is.NextDue; at != 0 && at <= now && at != due; at = l.is.NextDue {
		d := j.other.Try(l.is, &hiring.Event{Type: hiring.EventTimer}, at, l.size)
		l.advance(&d, at)
		l.tally.is.add(&hiring.Event{Type: hiring.EventTimer}, &d)
		l.fired(&d, at)
		if d.State.NextDue == at {
			return // it waits for nothing the clock can bring
		}
	}
}

func (l *life) advance(d *hiring.Decision, now hiring.Micros) {
	l.is, l.owner = d.State, d.Owner
	l.take(d, &l.asks)
	for i := range d.Incidents {
		l.incident(&d.Incidents[i], now, false)
	}
	for i := range d.Orders {
		l.order(&d.Orders[i], now, false)
	}
}

// weigh compares what both lives ask of the ATS. A write that one of them alone sends ends the comparison: what the ATS
// would have answered, and shown, is not known. Where the recorded life only repeated itself the question waits.
func (l *life) weigh(now hiring.Micros, changed bool) {
	if !changed || l.asked.same(&l.asks) {
		return
	}
	was, is := l.asked.outstanding(l.was), l.asks.outstanding(l.is)
	if !was && !is {
		return
	}
	w := Write{At: wire.Micros(now), Recorded: wordsOf(&l.asked), Simulated: wordsOf(&l.asks)}
	switch {
	case was && is:
		w.Change = WriteChanged
	case was:
		w.Change = WriteNotSent
	default:
		w.Change = WriteSent
	}
	d := l.differs(now)
	d.Write, d.Unknown, l.apart = &w, wire.Micros(now), now
	l.stand()
}

// finish lets the clock run to the end of the history and settles what differs; nil = nothing.
func (j *judge) finish(l *life, until hiring.Micros) *Difference {
	if l.end == endNone {
		j.begin(l, until)
	}
	if l.is != nil && l.apart == 0 && l.end == endNone {
		limit := until
		if due := l.was.NextDue; due != 0 { // a timer that had not fired on record: beyond it nothing is known
			limit = min(limit, due-1)
		}
		j.tick(l, l.was.NextDue, limit)
		l.weigh(limit, true)
	}
	if l.is == nil || l.diff == nil {
		return nil
	}
	if l.apart == 0 {
		l.stand()
	}
	d := l.diff
	if d.settle(); d.empty() {
		return nil
	}
	h := &l.was.Head
	d.System, d.Region, d.Type = l.was.System, h.Requisition.Region, h.Requisition.Type
	return d
}

// stand notes where the application stands in both lives.
func (l *life) stand() {
	d := l.difference()
	d.Recorded, d.Simulated = string(l.was.Head.Stage), string(l.is.Head.Stage)
}
