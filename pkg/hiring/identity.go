package hiring

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// snapshotID starts the id of a snapshot that proves a version; the rest is its key.
const snapshotID = "snapshot:"

// identify gives a snapshot that proves a version its own identity: system, version and content (rule B1). Whoever
// reads the same says the same, under whatever id it is delivered: a second one is a duplicate, and nothing about it
// can contradict. It reports false for a snapshot without a version: equal neighbours then collapse in the order.
func (r *Rules) identify(e *Entry, basis TimeBasis) (key Digest, ok bool) {
	byRevision := r.system(e.System).ByRevision
	if byRevision && e.Revision == 0 || !byRevision && basis == BasisFetch {
		return key, false
	}
	v := version(e, byRevision)
	b := make([]byte, 0, 256)
	b = append(b, "snapshot\x00"...)
	b = appendText(b, e.System)
	for i := range 8 {
		b = append(b, byte(v>>(8*i)))
	}
	b = append(b, byte(e.Status), byte(e.Actor))
	for _, s := range [...]string{e.Stage, e.PreviousStage, e.RejectReason, e.Candidate, e.Requisition.ID, e.Requisition.Type, e.Requisition.Region} {
		b = appendText(b, s)
	}
	for i := range e.Elements {
		b = appendText(appendText(b, e.Elements[i].Name), e.Elements[i].Value)
	}
	sum := sha256.Sum256(b)
	key = Digest(sum[:16])
	e.Source, e.ID = e.System, snapshotID+hex.EncodeToString(key[:])
	return key, true
}

// unversioned reports whether e is a snapshot that proves no version.
func unversioned(e *Entry) bool {
	return e.snapshot() && !e.Contradicted && !strings.HasPrefix(e.ID, snapshotID)
}

// appendText appends s, unambiguously.
func appendText(b []byte, s string) []byte {
	b = append(b, byte(len(s)), byte(len(s)>>8), byte(len(s)>>16), byte(len(s)>>24))
	return append(b, s...)
}

// seen handles an identity the ring or the tail knows: a duplicate, or a contradiction (rules A6, B2).
func (t *turn) seen(e *Event, entry *Entry, known RingEntry) bool {
	s := t.s
	for i := len(s.Ring) - 1; i >= 0 && !t.fresh; i-- {
		if s.Ring[i].Key != known.Key {
			continue
		}
		if s.Ring[i].Digest == known.Digest {
			t.d.Reason = ReasonDuplicate
			t.earlier(entry)
			return true
		}
		t.d.Reason = ReasonContradicted
		if !s.Ring[i].contradicted() {
			ring := make([]RingEntry, len(s.Ring), len(s.Ring)+1)
			copy(ring, s.Ring)
			ring[i].Digest = 0
			s.Ring = ring
			t.touched = true
		}
		t.contradict(e, entry)
		return true
	}
	// A full ring may have let go of what the tail still holds, and a read of ours is in the tail alone.
	if len(s.Ring) < t.rules.Bounds.RingSize && !entry.snapshot() {
		return false
	}
	for i := range s.Tail {
		was := &s.Tail[i]
		if !was.same(entry) {
			continue
		}
		if !was.Contradicted && was.says(entry) {
			t.d.Reason = ReasonDuplicate
			t.earlier(entry)
			return true
		}
		t.d.Reason = ReasonContradicted
		t.contradict(e, entry)
		return true
	}
	return false
}

// same reports whether two entries have one identity.
func (e *Entry) same(u *Entry) bool { return e.ID == u.ID && e.Source == u.Source }

// says reports whether two entries have the same content. The id of a snapshot that proves a version is its content.
func (e *Entry) says(u *Entry) bool {
	if e.same(u) && e.snapshot() && u.snapshot() && strings.HasPrefix(e.ID, snapshotID) {
		return true
	}
	return e.Source == u.Source && e.ID == u.ID && e.Type == u.Type && e.System == u.System && (e.OccurredAt == u.OccurredAt || e.snapshot()) &&
		e.Revision == u.Revision && e.Stage == u.Stage && e.PreviousStage == u.PreviousStage && e.Status == u.Status &&
		e.RejectReason == u.RejectReason && e.Actor == u.Actor && e.Order == u.Order && e.Attempt == u.Attempt && e.ResultRev == u.ResultRev &&
		e.HasResult == u.HasResult && e.Verdict == u.Verdict && e.FinishedAt == u.FinishedAt && sameScore(e.Score, u.Score) && e.Candidate == u.Candidate &&
		e.Requisition == u.Requisition && e.ExpiresAt == u.ExpiresAt && e.Scope == u.Scope && equalElements(e.Elements, u.Elements)
}

// earlier lowers the times of a known entry: the smallest observation over deliveries counts (rule A1), and of one
// revision read twice the earlier reading.
func (t *turn) earlier(e *Entry) {
	for i := range t.s.Tail {
		was := &t.s.Tail[i]
		if !was.same(e) {
			continue
		}
		observed, occurred := firstKnown(was.ObservedAt, e.ObservedAt), min(was.OccurredAt, e.OccurredAt)
		if observed != was.ObservedAt || occurred != was.OccurredAt {
			t.replace(i, func(was *Entry) { was.ObservedAt, was.OccurredAt = observed, occurred })
		}
		return
	}
}

func firstKnown(a, b Micros) Micros {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// contradict takes every variant of an identity out of the fold (rule A6). What stays in their place takes the
// smallest of each field the order needs, so that it does not matter which came first. What the base has absorbed
// stays; the incident stands all the same. An outcome has acted and is only counted.
func (t *turn) contradict(e *Event, entry *Entry) {
	if e.Type == EventOutcome || e.Type == EventErase || e.Type == EventResync {
		return
	}
	for i := range t.s.Tail {
		was := &t.s.Tail[i]
		if !was.same(entry) {
			continue
		}
		both := outline(was)
		if e.Basis != BasisReceipt {
			both = Entry{
				Source: was.Source, ID: was.ID, Type: min(was.Type, entry.Type), System: min(was.System, entry.System),
				OccurredAt: min(was.OccurredAt, entry.OccurredAt), ObservedAt: firstKnown(was.ObservedAt, entry.ObservedAt),
				Revision: min(was.Revision, entry.Revision), Contradicted: true,
			}
		}
		both.Eff = was.Eff
		if !was.Contradicted || both.Type != was.Type || both.System != was.System || both.OccurredAt != was.OccurredAt ||
			both.ObservedAt != was.ObservedAt || both.Revision != was.Revision {
			t.replace(i, func(was *Entry) { *was = both })
		}
		return
	}
	if e.Basis == BasisReceipt {
		return // a hint takes nothing from the fold
	}
	t.touched = true
	only := outline(entry)
	t.refold(append(t.s.Tail[:len(t.s.Tail):len(t.s.Tail)], only), nil)
	t.absorb()
}

// outline is what stays of a contradicted entry.
func outline(e *Entry) Entry {
	return Entry{
		Source: e.Source, ID: e.ID, Type: e.Type, System: e.System, OccurredAt: e.OccurredAt, ObservedAt: e.ObservedAt,
		Revision: e.Revision, Eff: e.Eff, Contradicted: true,
	}
}

// replace changes one entry of the tail and folds it again.
func (t *turn) replace(i int, change func(*Entry)) {
	tail := make([]Entry, len(t.s.Tail))
	copy(tail, t.s.Tail)
	change(&tail[i])
	t.touched = true
	t.refold(tail, nil)
}

// remember puts an identity into the ring; the oldest goes when it is full.
func (t *turn) remember(known RingEntry) {
	ring := t.s.Ring
	if over := len(ring) + 1 - t.rules.Bounds.RingSize; over > 0 {
		ring = ring[over:]
	}
	t.s.Ring = append(ring, known)
}
