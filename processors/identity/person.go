package identity

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/concord-ats/concord/pkg/wire"
)

// The bounds of a state. What goes past one is counted, see metrics.
const (
	maxApplications = 1000 // of a candidate
	maxContacts     = 16   // of a candidate
	maxSuspected    = 64   // other profiles a candidate shares contacts with
	maxSharing      = 8    // profiles that share a contact; more, and it says nothing of a person
	maxForwards     = 3    // merges sent to one application: an ATS that keeps naming the old candidate is not argued with
)

// source is the publisher of everything this processor says.
const source = "concord/identity"

// person is what is known of a candidate, or of a contact: the state of one key. A value from apply is new.
type person struct {
	Applications []link   `json:"applications,omitempty"` // by id
	Merged       *mark    `json:"merged,omitempty"`
	Anonymized   *mark    `json:"anonymized,omitempty"`
	Others       []other  `json:"others,omitempty"` // probable duplicates, by candidate
	Contacts     []string `json:"contacts,omitempty"`
	// Sharing are the candidates that have a contact. Nothing else of a contact is set.
	Sharing []string `json:"sharing,omitempty"`
}

type link struct {
	ID string      `json:"id"`
	At wire.Micros `json:"at"`
	// Forwards counts the merges sent to it from here.
	Forwards int `json:"forwards,omitempty"`
	// Gone: it belongs to another candidate now. Kept while Forwards bounds what is sent to it.
	Gone bool `json:"gone,omitempty"`
}

// mark is a standing fact of a candidate: the newest event of its kind.
type mark struct {
	At     wire.Micros `json:"at"`
	Source string      `json:"source"`
	ID     string      `json:"id"`
	Into   string      `json:"into,omitempty"` // merged: the survivor
}

// newer orders marks of one kind, whatever order they come in. One identity is one mark, whenever it was seen again.
func (m *mark) newer(than *mark) bool {
	if than == nil {
		return true
	}
	if m.Source == than.Source && m.ID == than.ID {
		return false
	}
	return cmp.Or(cmp.Compare(m.At, than.At), strings.Compare(m.Source, than.Source), strings.Compare(m.ID, than.ID)) > 0
}

// other is another profile that may be the same person.
type other struct {
	Candidate string      `json:"candidate"`
	Kinds     []string    `json:"kinds,omitempty"` // of the contacts both have, sorted
	Told      bool        `json:"told,omitempty"`
	Absorbed  bool        `json:"absorbed,omitempty"` // merged into this candidate: the two are one
	At        wire.Micros `json:"at"`                 // when it was told, in event time
	Evidence  string      `json:"evidence,omitempty"` // what it was told on
}

// effect is one record to send: exactly one of its fields is set.
type effect struct {
	control   *wire.Control
	candidate *wire.CandidateEvent
	hint      *wire.AtsChange
}

// turn is the handling of one event.
type turn struct {
	e       *wire.CandidateEvent
	at      wire.Micros
	p       person
	effects []effect
	// dropped counts what a bound kept out, by its name; told counts the duplicates reported.
	dropped map[string]int
	told    int
}

// apply folds one event into what is known under its key. It changes neither argument.
func apply(was *person, e *wire.CandidateEvent) *turn {
	t := &turn{e: e, at: e.OccurredAt, dropped: map[string]int{}}
	if t.at == 0 || e.TimeBasis == wire.TimeBasisReceipt {
		t.at = e.ObservedAt
	}
	if was != nil {
		t.p = was.clone()
	}
	switch e.Type {
	case typeLinked:
		t.linked()
	case typeUnlinked:
		t.unlinked()
	case typeMerged:
		t.merged()
	case typeAnonymized:
		t.anonymized()
	case typeDuplicate:
		t.duplicate()
	case typeAbsorbed:
		t.absorbed()
	case typeDeleted:
		t.deleted()
	case typeSeen:
		t.seen()
	case typeMatched:
		t.matched()
	case typeContactSeen:
		t.contactSeen()
	case typeContactGone:
		t.p.Sharing = without(t.p.Sharing, e.CandidateID)
	}
	return t
}

func (p *person) clone() person {
	out := *p
	out.Applications = slices.Clone(p.Applications)
	out.Others = slices.Clone(p.Others)
	for i := range out.Others {
		out.Others[i].Kinds = slices.Clone(out.Others[i].Kinds)
	}
	out.Contacts, out.Sharing = slices.Clone(p.Contacts), slices.Clone(p.Sharing)
	return out
}

// linked: the candidate has one more application, and what stands of the candidate holds for it.
func (t *turn) linked() {
	for _, id := range t.e.ApplicationIDs {
		l := t.link(id)
		if l == nil {
			continue
		}
		l.At, l.Gone = t.at, false
		if t.p.Merged != nil {
			t.merge(l)
		}
		if t.p.Anonymized != nil {
			t.anonymize(l)
		}
		for i := range t.p.Others {
			if o := &t.p.Others[i]; o.Told {
				t.suspect(l, o)
			}
		}
	}
}

func (t *turn) unlinked() {
	for _, id := range t.e.ApplicationIDs {
		i, ok := t.find(id)
		switch {
		case !ok:
		case t.p.Applications[i].Forwards > 0:
			t.p.Applications[i].Gone = true
		default:
			t.p.Applications = slices.Delete(t.p.Applications, i, i+1)
		}
	}
}

func (t *turn) merged() {
	m := t.mark()
	if m.Into = t.e.NewCandidateID; m.Into == t.e.CandidateID || !m.newer(t.p.Merged) {
		return
	}
	t.p.Merged = m
	t.each(t.merge)
	t.send(&wire.CandidateEvent{Type: typeAbsorbed, CandidateID: m.Into, NewCandidateID: t.e.CandidateID})
	t.p.Others = slices.DeleteFunc(t.p.Others, func(o other) bool { return o.Candidate == m.Into })
	t.forget() // the survivor has its own profile
}

func (t *turn) anonymized() {
	m := t.mark()
	if !m.newer(t.p.Anonymized) {
		return
	}
	t.p.Anonymized = m
	t.each(t.anonymize)
	t.forget()
}

// duplicate: somebody says that two profiles are one person. The other one hears it too, once.
func (t *turn) duplicate() {
	if t.e.NewCandidateID == "" || t.e.NewCandidateID == t.e.CandidateID {
		return
	}
	o := t.other(t.e.NewCandidateID)
	if o == nil || o.Told || o.Absorbed {
		return
	}
	t.tell(o, "reported")
	t.send(&wire.CandidateEvent{Type: typeDuplicate, CandidateID: o.Candidate, NewCandidateID: t.e.CandidateID})
}

// absorbed: the other was merged into this candidate, so that the two are no duplicates any more.
func (t *turn) absorbed() {
	o := t.other(t.e.NewCandidateID)
	if o == nil || o.Absorbed {
		return
	}
	if o.Told {
		t.each(func(l *link) { t.release(l, o) })
	}
	*o = other{Candidate: o.Candidate, Absorbed: true}
}

// deleted: what the applications are now is for the ATS to say.
func (t *turn) deleted() {
	t.each(func(l *link) {
		t.effects = append(t.effects, effect{hint: &wire.AtsChange{
			ID: t.id("deleted", l.ID), Source: source, Type: "application.deleted", System: t.e.System, ObservedAt: t.e.ObservedAt,
			TimeBasis: wire.TimeBasisReceipt, ApplicationID: l.ID, CandidateID: t.e.CandidateID,
		}})
	})
}

// seen: the profile has these contacts, and no others.
func (t *turn) seen() {
	if t.p.Anonymized != nil || t.p.Merged != nil {
		return
	}
	now := slices.Clone(t.e.Contacts)
	slices.Sort(now)
	now = slices.Compact(now)
	if over := len(now) - maxContacts; over > 0 {
		t.dropped["contacts"] += over
		now = now[:maxContacts]
	}
	for _, c := range t.p.Contacts {
		if _, ok := slices.BinarySearch(now, c); !ok {
			t.send(&wire.CandidateEvent{Type: typeContactGone, CandidateID: t.e.CandidateID, Contact: c})
		}
	}
	for _, c := range now {
		if _, ok := slices.BinarySearch(t.p.Contacts, c); !ok {
			t.send(&wire.CandidateEvent{Type: typeContactSeen, CandidateID: t.e.CandidateID, Contact: c})
		}
	}
	t.p.Contacts = now
}

// contactSeen: a profile has this contact. It is matched with each that has it already.
func (t *turn) contactSeen() {
	at, known := slices.BinarySearch(t.p.Sharing, t.e.CandidateID)
	if known {
		return
	}
	if len(t.p.Sharing) >= maxSharing {
		t.dropped["sharing"]++
		return
	}
	for _, o := range t.p.Sharing {
		for _, pair := range [...][2]string{{t.e.CandidateID, o}, {o, t.e.CandidateID}} {
			t.send(&wire.CandidateEvent{Type: typeMatched, CandidateID: pair[0], NewCandidateID: pair[1], Contacts: []string{t.e.Contact}})
		}
	}
	t.p.Sharing = slices.Insert(t.p.Sharing, at, t.e.CandidateID)
}

// matched: the candidate shares a contact with another. Two kinds make a probable duplicate.
func (t *turn) matched() {
	if t.p.Anonymized != nil || t.p.Merged != nil {
		return
	}
	o := t.other(t.e.NewCandidateID)
	if o == nil || o.Absorbed {
		return
	}
	for _, c := range t.e.Contacts {
		kind, _, _ := strings.Cut(c, ":")
		if i, ok := slices.BinarySearch(o.Kinds, kind); !ok {
			o.Kinds = slices.Insert(o.Kinds, i, kind)
		}
	}
	if len(o.Kinds) > 1 && !o.Told {
		t.tell(o, strings.Join(o.Kinds, "+"))
	}
}

func (t *turn) tell(o *other, evidence string) {
	o.Told, o.Evidence, o.At = true, evidence, t.at
	t.told++
	t.each(func(l *link) { t.suspect(l, o) })
}

// forget gives up every contact and what they suggested.
func (t *turn) forget() {
	for _, c := range t.p.Contacts {
		t.send(&wire.CandidateEvent{Type: typeContactGone, CandidateID: t.e.CandidateID, Contact: c})
	}
	t.p.Contacts = nil
	t.p.Others = slices.DeleteFunc(t.p.Others, func(o other) bool { return !o.Told && !o.Absorbed })
}

// each calls do for every application of the candidate, those the event names included.
func (t *turn) each(do func(*link)) {
	for _, id := range t.e.ApplicationIDs {
		if l := t.link(id); l != nil && l.At == 0 {
			l.At = t.at
		}
	}
	for i := range t.p.Applications {
		if l := &t.p.Applications[i]; !l.Gone {
			do(l)
		}
	}
}

func (t *turn) find(id string) (int, bool) {
	return slices.BinarySearchFunc(t.p.Applications, id, func(l link, id string) int { return strings.Compare(l.ID, id) })
}

// link returns the link to an application, a new one if need be; nil when there are too many.
func (t *turn) link(id string) *link {
	i, ok := t.find(id)
	if !ok {
		if len(t.p.Applications) >= maxApplications {
			t.dropped["applications"]++
			return nil
		}
		t.p.Applications = slices.Insert(t.p.Applications, i, link{ID: id})
	}
	return &t.p.Applications[i]
}

func (t *turn) other(candidate string) *other {
	i, ok := slices.BinarySearchFunc(t.p.Others, candidate, func(o other, id string) int { return strings.Compare(o.Candidate, id) })
	if !ok {
		if len(t.p.Others) >= maxSuspected {
			t.dropped["suspected"]++
			return nil
		}
		t.p.Others = slices.Insert(t.p.Others, i, other{Candidate: candidate})
	}
	return &t.p.Others[i]
}

func (t *turn) mark() *mark { return &mark{At: t.at, Source: t.e.Source, ID: t.e.ID} }

func (t *turn) merge(l *link) {
	m := t.p.Merged
	if l.Forwards >= maxForwards {
		t.dropped["forwards"]++
		return
	}
	l.Forwards++
	t.tellOf("control.merge", l, m.At, "", m.Into, m.Source, m.ID, strconv.Itoa(l.Forwards))
}

func (t *turn) anonymize(l *link) {
	m := t.p.Anonymized
	t.tellOf("control.anonymize", l, m.At, "", "", m.Source, m.ID)
}

func (t *turn) suspect(l *link, o *other) {
	t.tellOf("control.duplicate", l, o.At, o.Evidence, o.Candidate)
}

func (t *turn) release(l *link, o *other) {
	t.tellOf("control.release", l, t.at, "merged", "", o.Candidate, t.e.Source, t.e.ID).Scope = o.Candidate
}

// tellOf sends a control to one application. It holds from the given time on, and from just after the link where that
// is later: what the ATS said before cannot have known. An equal cause gives an equal identity.
func (t *turn) tellOf(kind string, l *link, at wire.Micros, reason, subject string, cause ...string) *wire.Control {
	c := &wire.Control{
		ID: t.id(append([]string{kind, l.ID, subject}, cause...)...), Source: source, Type: kind, OccurredAt: max(at, l.At+1), ObservedAt: t.e.ObservedAt,
		ApplicationID: l.ID, Actor: wire.Actor{Kind: wire.ActorKindConcord, ID: source}, Reason: reason, Subject: subject,
	}
	t.effects = append(t.effects, effect{control: c})
	return c
}

func (t *turn) send(e *wire.CandidateEvent) {
	e.ID = t.id(e.Type, e.CandidateID, e.NewCandidateID, e.Contact, t.e.Source, t.e.ID)
	e.Source, e.System, e.OccurredAt, e.ObservedAt = source, t.e.System, t.at, t.e.ObservedAt
	t.effects = append(t.effects, effect{candidate: e})
}

// id is the identity of a record: it follows from what the record says and why.
func (t *turn) id(parts ...string) string {
	sum := sha256.Sum256([]byte(t.e.System + "\x00" + t.e.CandidateID + "\x00" + strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

func without(in []string, s string) []string {
	if i, ok := slices.BinarySearch(in, s); ok {
		return slices.Delete(in, i, i+1)
	}
	return in
}
