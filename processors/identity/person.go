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
	maxWaiting      = 64   // profiles that have it besides, for when one of those has not
	maxForwards     = 3    // merges sent to one application: an ATS that keeps naming the old candidate is not argued with
)

// source is the publisher of everything this processor says.
const source = "concord/identity"

// person is what is known of a candidate, or of a contact: the state of one key. A value from apply is new.
type person struct {
	Applications []link      `json:"applications,omitempty"` // by id
	Merged       *mark       `json:"merged,omitempty"`
	Anonymized   *mark       `json:"anonymized,omitempty"`
	Others       []other     `json:"others,omitempty"` // probable duplicates, by candidate
	Contacts     []string    `json:"contacts,omitempty"`
	SeenAt       wire.Micros `json:"seen_at,omitempty"` // when they were those
	// Sharing are the candidates that are matched by a contact, Waiting those that have it too. Nothing else of a contact is set.
	Sharing []string `json:"sharing,omitempty"`
	Waiting []string `json:"waiting,omitempty"` // in the order they came
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
	// Ended: merged, and the ATS keeps naming the candidate, as after a merge that was taken back. It stands no more.
	Ended bool `json:"ended,omitempty"`
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
	Contacts  []string    `json:"contacts,omitempty"` // that both have, sorted
	Told      bool        `json:"told,omitempty"`
	Absorbed  bool        `json:"absorbed,omitempty"` // merged into this candidate: the two are one
	At        wire.Micros `json:"at"`                 // when it was told or taken back, in event time
	Evidence  string      `json:"evidence,omitempty"` // what it was told on
}

// reported is the evidence of what somebody said. It does not go with a contact.
const reported = "reported"

// kinds are those of the contacts that both have: email, phone.
func (o *other) kinds() []string {
	var kinds []string
	for _, c := range o.Contacts {
		if kind, _, _ := strings.Cut(c, ":"); len(kinds) == 0 || kinds[len(kinds)-1] != kind {
			kinds = append(kinds, kind)
		}
	}
	return kinds
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
	case typeUnmatched:
		t.unmatched()
	case typeContactSeen:
		t.contactSeen()
	case typeContactGone:
		t.contactGone()
	}
	return t
}

func (p *person) clone() person {
	out := *p
	out.Applications = slices.Clone(p.Applications)
	out.Others = slices.Clone(p.Others)
	for i := range out.Others {
		out.Others[i].Contacts = slices.Clone(out.Others[i].Contacts)
	}
	out.Contacts, out.Sharing, out.Waiting = slices.Clone(p.Contacts), slices.Clone(p.Sharing), slices.Clone(p.Waiting)
	if p.Merged != nil {
		merged := *p.Merged
		out.Merged = &merged
	}
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
		if t.p.Merged != nil && l.Forwards >= maxForwards && l.At > t.p.Merged.At {
			t.p.Merged.Ended = true
		}
		if t.p.away() {
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
	t.tell(o, reported)
	t.send(&wire.CandidateEvent{Type: typeDuplicate, CandidateID: o.Candidate, NewCandidateID: t.e.CandidateID})
}

// absorbed: the other was merged into this candidate, so that the two are no duplicates any more.
func (t *turn) absorbed() {
	o := t.other(t.e.NewCandidateID)
	if o == nil || o.Absorbed {
		return
	}
	t.withdraw(o, "merged")
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

// away reports whether the candidate was merged into another: nothing is kept of the profile.
func (p *person) away() bool { return p.Merged != nil && !p.Merged.Ended }

// seen: the profile has these contacts, and no others. What was seen before that is known already.
func (t *turn) seen() {
	if t.p.Anonymized != nil || t.p.away() || t.at < t.p.SeenAt {
		return
	}
	t.p.SeenAt = t.at
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

// contactSeen: a profile has this contact. It is matched with each that has it already, unless too many have.
func (t *turn) contactSeen() {
	_, shares := slices.BinarySearch(t.p.Sharing, t.e.CandidateID)
	switch {
	case shares, slices.Contains(t.p.Waiting, t.e.CandidateID):
	case len(t.p.Sharing) < maxSharing:
		t.share(t.e.CandidateID)
	default:
		t.dropped["sharing"]++
		if len(t.p.Waiting) < maxWaiting {
			t.p.Waiting = append(t.p.Waiting, t.e.CandidateID)
		}
	}
}

// contactGone: a profile has this contact no more. It is matched by it no more, and makes room for one that waits.
func (t *turn) contactGone() {
	gone := t.e.CandidateID
	t.p.Waiting = slices.DeleteFunc(t.p.Waiting, func(c string) bool { return c == gone })
	i, shares := slices.BinarySearch(t.p.Sharing, gone)
	if !shares {
		return
	}
	t.p.Sharing = slices.Delete(t.p.Sharing, i, i+1)
	t.pairs(typeUnmatched, gone)
	if len(t.p.Waiting) > 0 {
		next := t.p.Waiting[0]
		t.p.Waiting = t.p.Waiting[1:]
		t.share(next)
	}
}

func (t *turn) share(candidate string) {
	t.pairs(typeMatched, candidate)
	i, _ := slices.BinarySearch(t.p.Sharing, candidate)
	t.p.Sharing = slices.Insert(t.p.Sharing, i, candidate)
}

// pairs tells a candidate of each that shares the contact, and each of the candidate.
func (t *turn) pairs(kind, candidate string) {
	for _, o := range t.p.Sharing {
		for _, pair := range [...][2]string{{candidate, o}, {o, candidate}} {
			t.send(&wire.CandidateEvent{Type: kind, CandidateID: pair[0], NewCandidateID: pair[1], Contacts: []string{t.e.Contact}})
		}
	}
}

// matched: the candidate shares a contact with another. Two kinds make a probable duplicate.
func (t *turn) matched() {
	if t.p.Anonymized != nil || t.p.away() {
		return
	}
	o := t.other(t.e.NewCandidateID)
	if o == nil || o.Absorbed {
		return
	}
	for _, c := range t.e.Contacts {
		if i, ok := slices.BinarySearch(o.Contacts, c); !ok {
			o.Contacts = slices.Insert(o.Contacts, i, c)
		}
	}
	if kinds := o.kinds(); len(kinds) > 1 && !o.Told {
		t.tell(o, strings.Join(kinds, "+"))
	}
}

// unmatched: the candidate shares a contact with another no more. What was told on that evidence is taken back.
func (t *turn) unmatched() {
	i, ok := t.findOther(t.e.NewCandidateID)
	if !ok {
		return
	}
	o := &t.p.Others[i]
	for _, c := range t.e.Contacts {
		o.Contacts = without(o.Contacts, c)
	}
	if len(o.kinds()) < 2 && o.Evidence != reported {
		t.withdraw(o, "no contact in common")
	}
	if len(o.Contacts) == 0 && o.At == 0 && !o.Absorbed {
		t.p.Others = slices.Delete(t.p.Others, i, i+1)
	}
}

func (t *turn) tell(o *other, evidence string) {
	o.Told, o.Evidence, o.At = true, evidence, max(t.at, o.At+1)
	t.told++
	t.each(func(l *link) { t.suspect(l, o) })
}

// withdraw takes back that the other is a probable duplicate.
func (t *turn) withdraw(o *other, why string) {
	if !o.Told {
		return
	}
	at := max(t.at, o.At+1)
	t.each(func(l *link) { at = max(at, l.At+2) }) // suspect was no later than l.At+1
	t.each(func(l *link) {
		t.tellOf("control.release", l, at, why, "", o.Candidate, t.e.Source, t.e.ID).Scope = o.Candidate
	})
	o.Told, o.Evidence, o.At = false, "", at
}

// forget gives up every contact and what they suggested.
func (t *turn) forget() {
	for _, c := range t.p.Contacts {
		t.send(&wire.CandidateEvent{Type: typeContactGone, CandidateID: t.e.CandidateID, Contact: c})
	}
	t.p.Contacts, t.p.SeenAt = nil, 0
	for i := range t.p.Others {
		t.p.Others[i].Contacts = nil
	}
	t.p.Others = slices.DeleteFunc(t.p.Others, func(o other) bool { return o.At == 0 && !o.Absorbed })
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

func (t *turn) findOther(candidate string) (int, bool) {
	return slices.BinarySearchFunc(t.p.Others, candidate, func(o other, id string) int { return strings.Compare(o.Candidate, id) })
}

func (t *turn) other(candidate string) *other {
	i, ok := t.findOther(candidate)
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
	t.tellOf("control.duplicate", l, o.At, o.Evidence, o.Candidate, strconv.FormatInt(int64(o.At), 10))
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
