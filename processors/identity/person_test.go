package identity

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/wire"
)

const system = "gh-main"

var (
	mail  = "email:" + strings.Repeat("a", 64)
	phone = "phone:" + strings.Repeat("b", 64)
)

// world is every key of candidate.events, with a queue in place of the topic. What it sends itself comes back in any
// order across keys and in order within one, as with partitions.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	keys    map[string]*person
	queues  map[string][]*wire.CandidateEvent
	control []*wire.Control // in the order sent
	hints   []*wire.AtsChange
	dropped map[string]int
	ids     int
}

func newWorld(t *testing.T, seed uint64) *world {
	return &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), keys: map[string]*person{}, queues: map[string][]*wire.CandidateEvent{}, dropped: map[string]int{}}
}

func (w *world) say(e *wire.CandidateEvent) {
	if e.ID == "" {
		w.ids++
		e.ID, e.Source, e.System = fmt.Sprint(w.ids), "/ats/"+system, system
	}
	if e.OccurredAt == 0 {
		e.OccurredAt = wire.Micros(w.ids) * 1_000_000
	}
	key := e.Envelope().Subject
	w.queues[key] = append(w.queues[key], e)
}

// settle handles everything, key by key in a random order.
func (w *world) settle() {
	for steps := 0; len(w.queues) > 0; steps++ {
		if steps > 10_000 {
			w.t.Fatal("it never comes to rest")
		}
		keys := make([]string, 0, len(w.queues))
		for k := range w.queues {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		key := keys[w.rng.IntN(len(keys))]
		e := w.queues[key][0]
		if w.queues[key] = w.queues[key][1:]; len(w.queues[key]) == 0 {
			delete(w.queues, key)
		}
		before, _ := json.Marshal(w.keys[key])
		turn := apply(w.keys[key], e)
		if after, _ := json.Marshal(w.keys[key]); string(after) != string(before) {
			w.t.Fatalf("%s changed the state it was given", e.Type)
		}
		w.keys[key] = &turn.p
		for n := range turn.dropped {
			w.dropped[n] += turn.dropped[n]
		}
		for _, f := range turn.effects {
			switch {
			case f.control != nil:
				w.control = append(w.control, f.control)
			case f.candidate != nil:
				w.say(f.candidate)
			case f.hint != nil:
				w.hints = append(w.hints, f.hint)
			}
		}
	}
}

// told returns what applications were told, each thing once, sorted.
func (w *world) told() []string {
	var out []string
	seen := map[string]string{}
	for _, c := range w.control {
		what := strings.TrimPrefix(c.Type, "control.") + " " + c.ApplicationID + " " + c.Subject + c.Scope
		if was, ok := seen[c.ID]; ok && was != what {
			w.t.Errorf("one identity says %q and %q", was, what)
		}
		seen[c.ID] = what
		out = append(out, strings.TrimSpace(what))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (w *world) expect(want ...string) {
	w.t.Helper()
	slices.Sort(want)
	if got := w.told(); !slices.Equal(got, want) {
		w.t.Errorf("told %q, want %q", got, want)
	}
}

func linked(candidate string, apps ...string) *wire.CandidateEvent {
	return &wire.CandidateEvent{Type: typeLinked, CandidateID: candidate, ApplicationIDs: apps}
}

func seen(candidate string, contacts ...string) *wire.CandidateEvent {
	return &wire.CandidateEvent{Type: typeSeen, CandidateID: candidate, Contacts: contacts}
}

// Also proves scenario 23: every application of the candidate is told.
func TestAMergeReachesEveryApplication(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.say(linked("A", "gh-main/1", "gh-main/2"))
	w.say(&wire.CandidateEvent{Type: typeMerged, CandidateID: "A", NewCandidateID: "B"})
	w.say(linked("A", "gh-main/3")) // linked later
	w.settle()
	w.expect("merge gh-main/1 B", "merge gh-main/2 B", "merge gh-main/3 B")
	for _, c := range w.control {
		if c.ApplicationID == "gh-main/3" && c.OccurredAt <= 3_000_000 {
			t.Errorf("told as of %d, and the ATS said otherwise at 3 s: it would be overruled", c.OccurredAt)
		}
	}
}

// What stands of a candidate holds whichever comes first, the mark or the link, and an older mark never replaces a newer.
//
// Also proves scenario 25: applications that are linked later are told too.
func TestMarksStandInAnyOrder(t *testing.T) {
	t.Parallel()
	const seeds = 200
	for seed := range uint64(seeds) {
		w := newWorld(t, seed)
		events := []*wire.CandidateEvent{
			linked("A", "gh-main/1"),
			{Type: typeAnonymized, CandidateID: "A"},
			{Type: typeMerged, CandidateID: "A", NewCandidateID: "old", OccurredAt: 10_000_000},
			{Type: typeMerged, CandidateID: "A", NewCandidateID: "new", OccurredAt: 20_000_000},
		}
		w.rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		for _, e := range events {
			w.say(e)
		}
		for _, e := range events { // every event twice
			again := *e
			w.say(&again)
		}
		w.settle()
		last := map[string]*wire.Control{}
		for _, c := range w.control {
			if l := last[c.Type]; l == nil || c.OccurredAt >= l.OccurredAt {
				last[c.Type] = c
			}
		}
		if m := last["control.merge"]; m == nil || m.Subject != "new" || last["control.anonymize"] == nil {
			t.Fatalf("seed %d: the application heard %q", seed, w.told())
		}
	}
}

// Whoever reads an anonymised person again says so again, of a later read: it stays one mark, told once.
func TestOneMarkSeenAgainIsToldOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.say(linked("A", "gh-main/1"))
	for at := range wire.Micros(3) {
		w.say(&wire.CandidateEvent{ID: "anonymized-A", Source: "reads", System: system, Type: typeAnonymized, CandidateID: "A", OccurredAt: 10_000_000 + at})
	}
	w.settle()
	if len(w.control) != 1 {
		t.Errorf("the application heard %q", w.told())
	}
}

func TestAnATSThatKeepsTheOldCandidateIsNotArguedWith(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.say(&wire.CandidateEvent{Type: typeMerged, CandidateID: "A", NewCandidateID: "B"})
	for range 10 {
		w.say(linked("A", "gh-main/1"))
		w.say(&wire.CandidateEvent{Type: typeUnlinked, CandidateID: "A", ApplicationIDs: []string{"gh-main/1"}})
	}
	w.settle()
	ids := map[string]bool{}
	for _, c := range w.control {
		ids[c.ID] = true
	}
	if len(ids) != maxForwards {
		t.Errorf("%d merges, want %d", len(ids), maxForwards)
	}
	// The merge was taken back: what comes to the candidate now is the candidate's, contacts included.
	n := len(w.control)
	w.say(linked("A", "gh-main/9"))
	w.say(linked("D", "gh-main/4"))
	w.say(seen("A", mail, phone))
	w.say(seen("D", mail, phone))
	w.settle()
	var told []string
	for _, c := range w.control[n:] {
		told = append(told, c.Type+" "+c.ApplicationID+" "+c.Subject)
	}
	slices.Sort(told)
	if want := []string{"control.duplicate gh-main/4 A", "control.duplicate gh-main/9 D"}; !slices.Equal(told, want) {
		t.Errorf("after the split %q, want %q", told, want)
	}
	// A newer merge stands again, and the same one as before does not.
	again := *w.keys[system+"/A"].Merged
	w.say(&wire.CandidateEvent{ID: again.ID, Source: again.Source, System: system, Type: typeMerged, CandidateID: "A", NewCandidateID: "B"})
	w.settle()
	if w.keys[system+"/A"].away() {
		t.Error("the merge that was taken back stands again")
	}
	w.say(&wire.CandidateEvent{Type: typeMerged, CandidateID: "A", NewCandidateID: "B"})
	w.settle()
	if !w.keys[system+"/A"].away() {
		t.Error("a new merge does not stand")
	}
}

// What the ATS said before it merged is late, however often it comes: the merge stands.
func TestWhatIsLateTakesNoMergeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.say(&wire.CandidateEvent{Type: typeMerged, CandidateID: "A", NewCandidateID: "B", OccurredAt: 1e12})
	for range 10 {
		w.say(linked("A", "gh-main/1"))
	}
	w.settle()
	if !w.keys[system+"/A"].away() || w.dropped["forwards"] != 10-maxForwards {
		t.Errorf("%+v, %v kept out", w.keys[system+"/A"].Merged, w.dropped)
	}
}

// Two kinds of contact make a probable duplicate, in any order; one kind never does, however often it is shared.
//
// Also proves scenario 36: two kinds of contact make a probable duplicate.
func TestTwoKindsOfContactMakeADuplicate(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		w := newWorld(t, seed)
		events := []*wire.CandidateEvent{
			linked("A", "gh-main/1"), linked("B", "gh-main/2"), linked("C", "gh-main/3"),
			seen("A", mail, phone), seen("B", phone, mail), seen("C", mail),
		}
		w.rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		for _, e := range events {
			w.say(e)
		}
		w.settle()
		w.expect("duplicate gh-main/1 B", "duplicate gh-main/2 A")
		for _, c := range w.control {
			if c.Reason != "email+phone" {
				t.Errorf("evidence %q", c.Reason)
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// Two addresses are one kind.
//
// Also proves scenario 36: an address alone joins nobody.
func TestTwoAddressesAreNotTwoKinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	other := "email:" + strings.Repeat("c", 64)
	for _, c := range []string{"A", "B"} {
		w.say(linked(c, "gh-main/"+c))
		w.say(seen(c, mail, other))
	}
	w.settle()
	w.expect()
}

func TestAContactGivenUpMatchesNobody(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]*wire.CandidateEvent{
		"changed":    seen("A"),
		"anonymised": {Type: typeAnonymized, CandidateID: "A"},
		"merged":     {Type: typeMerged, CandidateID: "A", NewCandidateID: "Z"},
	} {
		w := newWorld(t, 1)
		w.say(linked("B", "gh-main/2"))
		w.say(seen("A", mail, phone))
		w.say(leave)
		w.settle()
		w.say(seen("B", mail, phone))
		w.settle()
		w.expect()
		if p := w.keys[system+"/A"]; len(p.Contacts) != 0 {
			t.Errorf("%s: A still has %q", name, p.Contacts)
		}
		if s := w.keys[system+"/"+mail].Sharing; !slices.Equal(s, []string{"B"}) {
			t.Errorf("%s: the address belongs to %q", name, s)
		}
	}
}

// What was told on the evidence of a contact goes with the contact, and comes again with another; whoever hears both in
// any order ends with the last.
func TestADuplicateGoesWithItsEvidence(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		w := newWorld(t, seed)
		ends := func(what string, want bool) {
			t.Helper()
			w.settle()
			for _, app := range []string{"gh-main/1", "gh-main/2"} {
				var last *wire.Control
				for _, c := range w.control {
					if c.ApplicationID == app && (last == nil || c.OccurredAt > last.OccurredAt) {
						last = c
					}
				}
				if open := last != nil && last.Type == "control.duplicate"; open != want {
					t.Fatalf("seed %d, %s: %s is a duplicate: %v, want %v (%q)", seed, what, app, open, want, w.told())
				}
			}
		}
		w.say(linked("A", "gh-main/1"))
		w.say(linked("B", "gh-main/2"))
		w.say(seen("A", mail, phone))
		w.say(seen("B", mail, phone))
		ends("both share two kinds", true)
		w.say(seen("A", phone))
		ends("the address is gone", false)
		w.say(seen("A", mail, phone))
		ends("it is back", true)
		w.say(&wire.CandidateEvent{Type: typeSeen, CandidateID: "B", OccurredAt: 1, Contacts: []string{phone}}) // late
		ends("older news", true)
		w.say(seen("B"))
		ends("nothing is shared", false)
		w.say(&wire.CandidateEvent{Type: typeDuplicate, CandidateID: "A", NewCandidateID: "B"})
		ends("somebody says so", true)
		w.say(seen("A"))
		ends("that does not go with a contact", true)
	}
}

// Contacts that were never shared at once are no evidence.
func TestContactsAtDifferentTimesAreNoDuplicate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	for _, e := range []*wire.CandidateEvent{
		linked("A", "gh-main/1"), linked("B", "gh-main/2"), seen("A", mail), seen("B", mail), seen("A"), seen("A", phone), seen("B", phone),
	} {
		w.say(e)
		w.settle()
	}
	w.expect()
}

// Whoever shares a contact with too many waits until there is room.
func TestOneThatWaitsIsMatched(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	for i := range maxSharing + 1 {
		c := fmt.Sprint("C", i)
		w.say(linked(c, "gh-main/"+c))
		w.say(seen(c, mail, phone))
		w.settle()
	}
	last := fmt.Sprint("C", maxSharing)
	for i := range maxSharing - 1 {
		w.say(seen(fmt.Sprint("C", i)))
	}
	w.settle()
	if !slices.Contains(w.told(), fmt.Sprintf("duplicate gh-main/%s C%d", last, maxSharing-1)) {
		t.Errorf("told %q", w.told())
	}
}

// Nothing is kept of who was anonymised or merged, whatever comes late, and what belongs to another hears nothing of it.
func TestWhoIsGoneStaysGone(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]*wire.CandidateEvent{
		"anonymised": {Type: typeAnonymized, CandidateID: "A"},
		"merged":     {Type: typeMerged, CandidateID: "A", NewCandidateID: "Z"},
	} {
		w := newWorld(t, 1)
		w.say(linked("B", "gh-main/2"))
		w.say(seen("B", mail, phone))
		w.say(leave)
		w.settle()
		w.say(seen("A", mail, phone))
		w.say(&wire.CandidateEvent{Type: typeMatched, CandidateID: "A", NewCandidateID: "B", Contacts: []string{mail, phone}})
		w.settle()
		w.expect()
		if p := w.keys[system+"/A"]; len(p.Contacts)+len(p.Others) != 0 {
			t.Errorf("%s: %+v is kept", name, p)
		}
	}
	w := newWorld(t, 1)
	w.say(&wire.CandidateEvent{Type: typeMerged, CandidateID: "A", NewCandidateID: "B"})
	w.say(linked("A", "gh-main/1"))
	w.settle() // merged once
	w.say(&wire.CandidateEvent{Type: typeUnlinked, CandidateID: "A", ApplicationIDs: []string{"gh-main/1"}})
	w.say(&wire.CandidateEvent{Type: typeAnonymized, CandidateID: "A"})
	w.settle()
	w.expect("merge gh-main/1 B")
}

// A merge of two probable duplicates settles what was told about them.
//
// Also proves scenario 36: a merge settles it.
func TestAMergeSettlesTheDuplicate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.say(linked("A", "gh-main/1"))
	w.say(linked("B", "gh-main/2"))
	w.say(&wire.CandidateEvent{Type: typeDuplicate, CandidateID: "A", NewCandidateID: "B"})
	w.settle()
	w.expect("duplicate gh-main/1 B", "duplicate gh-main/2 A")
	w.say(&wire.CandidateEvent{Type: typeMerged, CandidateID: "A", NewCandidateID: "B"})
	w.settle()
	w.expect("duplicate gh-main/1 B", "duplicate gh-main/2 A", "merge gh-main/1 B", "release gh-main/2 A")
	w.say(&wire.CandidateEvent{Type: typeMatched, CandidateID: "B", NewCandidateID: "A", Contacts: []string{mail, phone}}) // late
	w.settle()
	w.expect("duplicate gh-main/1 B", "duplicate gh-main/2 A", "merge gh-main/1 B", "release gh-main/2 A")
}

// A deletion may be a merge: the ATS is asked, nothing is concluded.
func TestADeletionIsAHint(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.say(linked("A", "gh-main/1", "gh-main/2"))
	w.say(&wire.CandidateEvent{Type: typeDeleted, CandidateID: "A"})
	w.settle()
	w.expect()
	if len(w.hints) != 2 || w.hints[0].TimeBasis != wire.TimeBasisReceipt || w.hints[0].ID == w.hints[1].ID {
		t.Errorf("hints %+v", w.hints)
	}
}

func TestBoundsAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	for i := range maxApplications + 5 {
		w.say(linked("A", fmt.Sprintf("gh-main/%d", i)))
	}
	for i := range maxSharing + 3 {
		w.say(seen(fmt.Sprint("C", i), mail, phone))
	}
	for i := range maxSuspected + 7 {
		w.say(&wire.CandidateEvent{Type: typeMatched, CandidateID: "A", NewCandidateID: fmt.Sprint("X", i), Contacts: []string{mail}})
	}
	var many []string
	for i := range maxContacts + 2 {
		many = append(many, fmt.Sprintf("email:%064x", i))
	}
	w.say(seen("A", many...))
	w.settle()
	want := map[string]int{"applications": 5, "sharing": 2 * 3, "suspected": 7, "contacts": 2}
	for bound, n := range want {
		if w.dropped[bound] != n {
			t.Errorf("%s kept out %d, want %d", bound, w.dropped[bound], n)
		}
	}
}

// Two candidates merged into each other by mistake come to rest.
func TestMergesInACircleEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.say(&wire.CandidateEvent{Type: typeMerged, CandidateID: "A", NewCandidateID: "B"})
	w.say(&wire.CandidateEvent{Type: typeMerged, CandidateID: "B", NewCandidateID: "A"})
	at := "A"
	for range 100 { // the reconciler moves the application wherever it is told
		n := len(w.control)
		w.say(linked(at, "gh-main/1"))
		w.settle()
		if len(w.control) == n {
			return
		}
		w.say(&wire.CandidateEvent{Type: typeUnlinked, CandidateID: at, ApplicationIDs: []string{"gh-main/1"}})
		at = w.control[len(w.control)-1].Subject
	}
	t.Fatal("it goes round for ever")
}

// FuzzState: a state from anywhere decodes or is refused, and what decodes can be applied to.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"applications":[{"id":"gh-main/1","at":5}],"sharing":["A"]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := codec().Decode("k", b)
		if err != nil {
			return
		}
		for _, kind := range []string{typeLinked, typeUnlinked, typeMerged, typeAbsorbed, typeAnonymized, typeDuplicate, typeDeleted, typeSeen, typeMatched, typeUnmatched, typeContactSeen, typeContactGone} {
			apply(p, &wire.CandidateEvent{Type: kind, CandidateID: "A", NewCandidateID: "B", ApplicationIDs: []string{"gh-main/1"}, OccurredAt: wire.MicrosOf(time.Unix(1, 0))})
		}
	})
}
