package reconciler

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/store"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/pkg/wire/avro"
)

// unpacker decodes states into memory that it uses again. Owned by one session's goroutine.
type unpacker struct {
	d            avro.Decoder
	broken       bool // a reference leads nowhere
	state        hiring.State
	base         hiring.Head
	echoes       pool[hiring.Echo]
	incidents    pool[hiring.OpenIncident]
	tail         pool[hiring.Entry]
	ring         pool[hiring.RingEntry]
	observations pool[hiring.Observation]
	results      pool[hiring.Result]
	reverts      pool[hiring.Revert]
	suspects     pool[hiring.Suspect]
	evidence     pool[hiring.IncidentValue]
	marks        pool[hiring.Mark]
	elements     pool[hiring.Element]
	texts        pool[string]
	facets       map[string]string // of elements
}

// slack is room at the end of a list for what the next event adds to it.
const slack = 2

// pool lends parts of one array, and takes them all back at once.
type pool[T any] struct{ free []T }

// extend lengthens a list of the pool's by n items, whatever is in them, with room for a few more behind.
func (p *pool[T]) extend(list []T, n, room int) []T {
	if n == 0 {
		return list
	}
	if len(list) > 0 { // one of several blocks: nothing of ours is written so
		return append(list, make([]T, n)...)
	}
	at := len(p.free)
	if cap(p.free)-at < n+room {
		p.free, at = make([]T, 0, max(2*cap(p.free), n+room)), 0
	}
	p.free = p.free[:at+n+room]
	return p.free[at : at+n : at+n+room]
}

func (p *pool[T]) reset() { p.free = p.free[:0] }

func (u *unpacker) reset() {
	u.broken = false
	u.echoes.reset()
	u.incidents.reset()
	u.tail.reset()
	u.ring.reset()
	u.observations.reset()
	u.results.reset()
	u.reverts.reset()
	u.suspects.reset()
	u.evidence.reset()
	u.marks.reset()
	u.elements.reset()
	u.texts.reset()
}

var errReference = errors.New("a reference leads nowhere")

// open decodes the state of an application. It is valid until the next call.
func (u *unpacker) open(schemas *wire.Schemas, app string, c *cell) (*hiring.State, error) {
	if c.value == "" {
		u.state = hiring.State{Application: app, System: instanceOf(app)} // as hiring.NewState, in memory used again
		return &u.state, nil
	}
	payload, own := schemas.Own(c.value, (*wire.HiringState)(nil))
	if !own { // another release wrote it: to our own form first
		var foreign wire.HiringState
		if err := schemas.DecodeLocal([]byte(c.value), &foreign); err != nil {
			return nil, fmt.Errorf("state of %s: %w: %w", app, store.ErrCorrupt, err)
		}
		payload = string(foreign.AppendAvro(nil))
	}
	u.reset()
	u.d = avro.NewDecoder(payload)
	s := u.decode()
	at, err := u.d.Finish()
	if err == nil && u.broken {
		err = errReference
	}
	if err != nil {
		return nil, fmt.Errorf("state of %s: %w: decode it at byte %d: %w", app, store.ErrCorrupt, at, err)
	}
	return s, nil
}

func (u *unpacker) micros() hiring.Micros { return hiring.Micros(u.d.Long()) }

// refer returns the item with that number, counted from 1.
func refer[T any](u *unpacker, items []T, n int64) *T {
	if n < 1 || n > int64(len(items)) {
		u.broken = true
		return new(T)
	}
	return &items[n-1]
}

// The least bytes that an item of a list takes: the decoder makes room for no more items than its bytes can hold.
const (
	minEntry, minRing, minEcho, minIncident, minElement     = 13, 16, 8, 8, 2
	minObservation, minResult, minOrder, minMark, minRevert = 5, 11, 2, 2, 4
	minSuspect, minEvidence, minHold, minText, minNumber    = 6, 3, 3, 1, 1
)

// decode is the inverse of appendState. The strings of the state are parts of the payload.
func (u *unpacker) decode() *hiring.State {
	d, s := &u.d, &u.state
	*s = hiring.State{}
	s.Application = d.Text()
	s.NextDue = u.micros()
	s.Version = d.Long()
	s.MovedAt = d.Long()
	s.UpdatedAt = u.micros()
	own := d.Bool()
	if s.System = d.Text(); own {
		s.System = instanceOf(s.Application)
	}
	if d.Present() {
		s.Base = &u.base
		u.head(s.Base, around{system: s.System, base: &nothing})
	}
	s.BaseUntil = u.micros()
	for n := d.Block(minEntry); n > 0; n = d.Block(minEntry) {
		s.Tail = u.tail.extend(s.Tail, n, slack)
		for i := len(s.Tail) - n; i < len(s.Tail); i++ {
			u.entry(s.Tail, i)
		}
	}
	for n := d.Block(minRing); n > 0; n = d.Block(minRing) {
		s.Ring = u.ring.extend(s.Ring, n, slack)
		for i := len(s.Ring) - n; i < len(s.Ring); i++ {
			var b [16]byte
			d.Fixed(b[:])
			s.Ring[i] = hiring.RingEntry{Key: binary.BigEndian.Uint64(b[:8]), Digest: binary.BigEndian.Uint64(b[8:])}
		}
	}
	in := around{system: s.System, tail: s.Tail, base: &nothing}
	if s.Base != nil {
		in.base = s.Base
	}
	u.head(&s.Head, in)
	s.DesiredRevision = d.Long()
	u.tuple(&s.Desired, s.Head.Observations)
	u.cause(&s.DesiredCause, s.Tail)
	s.DesiredClosing = d.Bool()
	s.Target = hiring.Target{Stage: d.Text(), Status: hiring.Status(d.Enum(statuses)), Reason: d.Text(), Cause: d.Text(), Since: u.micros()}
	s.Write = hiring.Write{Revision: d.Long(), State: hiring.WriteState(d.Enum(int64(hiring.WriteDeferred) + 1)), CommandID: d.Text()}
	if outcome := d.Text(); outcome != "" {
		var k wire.OutcomeKind
		if err := k.UnmarshalText([]byte(outcome)); err == nil {
			s.Write.Outcome = hiring.OutcomeKind(k)
		}
	}
	s.Write.Detail = d.Text()
	s.Write.Since, s.Write.Due, s.Write.Emissions = u.micros(), u.micros(), d.Int()
	s.ConfirmedRevision = d.Long()
	u.tuple(&s.Confirmed, s.Head.Observations)
	for n := d.Block(minEcho); n > 0; n = d.Block(minEcho) {
		s.Echoes = u.echoes.extend(s.Echoes, n, slack)
		for i := len(s.Echoes) - n; i < len(s.Echoes); i++ {
			s.Echoes[i] = hiring.Echo{
				CauseSource: d.Text(), CauseID: d.Text(), CauseEff: u.micros(), Authority: u.authority(),
				VersionBefore: d.Long(), VersionAfter: d.Long(), Stage: d.Text(), Status: hiring.Status(d.Enum(statuses)),
			}
		}
	}
	for n := d.Block(minIncident); n > 0; n = d.Block(minIncident) {
		s.Incidents = u.incidents.extend(s.Incidents, n, slack)
		for i := len(s.Incidents) - n; i < len(s.Incidents); i++ {
			s.Incidents[i] = hiring.OpenIncident{
				ID: d.Text(), Kind: u.kind(), Element: d.Text(), Subject: d.Text(), Epoch: d.Int(), FirstSeen: u.micros(), OpenedAt: u.micros(), Owner: d.Text(),
			}
		}
	}
	s.Refreshes, s.RefreshDue, s.RefreshOpen = d.Int(), u.micros(), d.Bool()
	s.ResyncedAt, s.Paused = u.micros(), d.Bool()
	if d.Present() {
		s.Order = &hiring.PendingOrder{
			ID: d.Text(), Vendor: d.Text(), Test: d.Text(), Stage: hiring.Stage(d.Text()), Epoch: d.Int(), Since: u.micros(), IssuedAt: u.micros(),
		}
	}
	s.ClosedAt = u.micros()
	s.Erased, s.Oversize, s.AbsorbedEarly = d.Bool(), d.Bool(), d.Int()
	u.broken = u.broken || d.Present() // the policy of a partition is no application's
	return s
}

// How many values the enums of a state have.
const (
	statuses = int64(hiring.StatusWithdrawn) + 1
	verdicts = int64(hiring.VerdictReject) + 1
)

// authority reads a single authority, or none.
func (u *unpacker) authority() hiring.Authority {
	return hiring.Authority(1 << u.d.Enum(6) >> 1)
}

func (u *unpacker) kind() hiring.IncidentKind {
	return hiring.IncidentKind(u.d.Enum(int64(hiring.IncidentKinds)))
}

func (u *unpacker) entry(tail []hiring.Entry, i int) {
	d, e := &u.d, &tail[i]
	*e = hiring.Entry{ID: d.Text(), Type: hiring.EventType(d.Enum(int64(hiring.EventTimer) + 1)), OccurredAt: u.micros()}
	e.ObservedAt = e.OccurredAt + u.micros()
	e.Eff = e.OccurredAt + u.micros()
	like := &noEntry
	if back := d.Long(); back != 0 {
		like = refer(u, tail[:i], int64(i)+1-back)
	}
	if e.Source, e.System = d.Text(), d.Text(); like != &noEntry {
		e.Source, e.System = like.Source, like.System
	}
	e.Contradicted = d.Bool()
	if d.Present() {
		e.Revision, e.Stage, e.PreviousStage = d.Long(), d.Text(), d.Text()
		e.Status, e.RejectReason, e.Actor = hiring.Status(d.Enum(statuses)), d.Text(), hiring.ActorKind(d.Enum(int64(hiring.ActorConcord)+1))
		asLike := d.Bool()
		e.Candidate, e.Requisition = d.Text(), u.requisition()
		if asLike {
			e.Candidate, e.Requisition = like.Candidate, like.Requisition
		}
	}
	if d.Present() {
		asLike := d.Bool()
		if e.Order = d.Text(); asLike {
			e.Order = like.Order
		}
		e.Attempt, e.ResultRev, e.HasResult, e.Verdict, e.FinishedAt = d.Int(), d.Int(), d.Bool(), hiring.Verdict(d.Enum(verdicts)), u.micros()
		if d.Present() {
			e.Score = &hiring.Score{Value: d.Double(), Min: d.Double(), Max: d.Double(), Scale: d.Text()}
		}
	}
	if d.Present() {
		e.ExpiresAt, e.Scope = u.micros(), d.Text()
	}
	e.Elements = u.elementList()
}

func (u *unpacker) requisition() hiring.Requisition {
	return hiring.Requisition{ID: u.d.Text(), Type: u.d.Text(), Region: u.d.Text()}
}

func (u *unpacker) elementList() (list []hiring.Element) {
	for n := u.d.Block(minElement); n > 0; n = u.d.Block(minElement) {
		list = u.elements.extend(list, n, 0)
		for i := len(list) - n; i < len(list); i++ {
			list[i] = hiring.Element{Name: u.d.Text(), Value: u.d.Text()}
		}
	}
	return list
}

// tuple reads a tuple, and puts the elements that observations say in their places by name.
func (u *unpacker) tuple(t *hiring.Tuple, said []hiring.Observation) {
	d := &u.d
	*t = hiring.Tuple{Stage: d.Text(), Status: hiring.Status(d.Enum(statuses)), Reason: d.Text(), Elements: u.elementList(), Version: d.Long()}
	for n := d.Block(minNumber); n > 0; n = d.Block(minNumber) {
		given := t.Elements
		all := u.elements.extend(nil, len(given)+n, 0)[:0]
		for range n {
			o := refer(u, said, d.Long())
			name, ok := strings.CutPrefix(o.Facet, wire.FacetElement)
			if !ok || len(o.Values) == 0 {
				u.broken = true
				continue
			}
			for len(given) > 0 && given[0].Name < name {
				all, given = append(all, given[0]), given[1:]
			}
			all = append(all, hiring.Element{Name: name, Value: o.Values[len(o.Values)-1]})
		}
		t.Elements = append(all, given...)
	}
}

func (u *unpacker) cause(c *hiring.Cause, tail []hiring.Entry) {
	d := &u.d
	n := d.Long()
	*c = hiring.Cause{Source: d.Text(), ID: d.Text(), EffectiveAt: u.micros(), FinishedAt: u.micros()}
	if n != 0 {
		e := refer(u, tail, n)
		*c = hiring.Cause{Source: e.Source, ID: e.ID, EffectiveAt: e.Eff, FinishedAt: e.FinishedAt}
	}
}
