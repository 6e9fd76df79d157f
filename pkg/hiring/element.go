package hiring

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Elements that a screening result fills.
const (
	ElementScreeningStatus         = "screening_status"
	ElementScreeningScore          = "screening_score"
	ElementScreeningScoreRaw       = "screening_score_raw"
	ElementScreeningRecommendation = "screening_recommendation"
	ElementScreeningReport         = "screening_report_url"
	ElementScreeningFinishedAt     = "screening_finished_at"
	ElementCompetencies            = "screening_competencies"
	ElementReviewerIDs             = "screening_reviewer_ids"
	ElementMedia                   = "screening_media"
)

// Conflict says which value of an element stands where systems differ.
type Conflict uint8

// Conflict rules.
const (
	ConflictGolden  Conflict = iota // what the golden source says
	ConflictLatest                  // the newest, by effective time
	ConflictHighest                 // the highest version, of equal ones the newest
	ConflictUnion                   // lists: everything that anyone says
	ConflictHold                    // none, until they agree
)

var conflictNames = [...]string{"golden", "latest", "highest-version", "union", "hold"}

func (c Conflict) String() string {
	if int(c) < len(conflictNames) {
		return conflictNames[c]
	}
	return conflictNames[0]
}

// ElementRule is what the dictionary says of one element.
type ElementRule struct {
	Name      string
	Golden    []string // names of the systems that master it, * at the end matches any rest; none = any that is no ATS
	Conflict  Conflict
	Scale     *Scale        // of a score; nil = any that its source declares
	Number    bool          // compared as a number
	Tolerance float64       // numbers that differ by no more than this agree
	WriteBack bool          // the ATS should show it
	Mandatory bool          // must be in every complete result
	Within    time.Duration // the ATS must show it so long after the screening finished; 0 = no deadline
}

// element returns the rule of an element, or nil.
func (b *Bundle) element(name string) *ElementRule {
	i, ok := slices.BinarySearchFunc(b.Elements, name, func(r ElementRule, name string) int { return strings.Compare(r.Name, name) })
	if !ok {
		return nil
	}
	return &b.Elements[i]
}

// agree reports whether two values say the same.
func (r *ElementRule) agree(a, b string) bool {
	if a == b || !r.Number {
		return a == b
	}
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return errX == nil && errY == nil && math.Abs(x-y) <= r.Tolerance
}

// isATS reports whether a system is an ATS, or nothing is known of it.
func (b *Bundle) isATS(system string) bool {
	s, ok := b.System(system)
	return !ok || s.Mapping != nil
}

// masters reports whether a system is the golden source of an element.
func (b *Bundle) masters(r *ElementRule, system string) bool {
	for _, name := range r.Golden {
		if matches(name, system) {
			return true
		}
	}
	return len(r.Golden) == 0 && !b.isATS(system)
}

// said returns what the systems say of an element.
func (h *Head) said(name string) []Observation {
	facet := elementFacet(name)
	lo, _ := h.observation(facet, "")
	hi := lo
	for hi < len(h.Observations) && h.Observations[hi].Facet == facet {
		hi++
	}
	return h.Observations[lo:hi]
}

// cut returns what is said of an element, and what is said of those behind it. said is sorted, elements first.
func cut(said []Observation, name string) (of, rest []Observation) {
	for len(said) > 0 {
		switch other, ok := strings.CutPrefix(said[0].Facet, facetElement); {
		case !ok || other > name:
			return nil, said
		case other < name:
			said = said[1:]
			continue
		}
		n := 1
		for n < len(said) && said[n].Facet == said[0].Facet {
			n++
		}
		return said[:n], said[n:]
	}
	return nil, nil
}

// stand is the value of an element that stands. The zero value is none.
type stand struct {
	value  string
	system string // who says so; empty = none, or several
	eff    Micros
	ats    bool // the ATS alone says so: there is nothing to write
}

// stands returns which of the values of an element stands by its rule. A tie is no value (rule A5).
func (b *Bundle) stands(r *ElementRule, said []Observation) stand {
	var best *Observation
	for i := range said {
		o := &said[i]
		if (r.Conflict == ConflictGolden || r.Conflict == ConflictHold) && !b.masters(r, o.System) {
			continue
		}
		if best == nil || r.Conflict == ConflictHighest && o.Revision > best.Revision || o.Eff > best.Eff && (r.Conflict != ConflictHighest || o.Revision == best.Revision) {
			best = o
		}
	}
	if best == nil || len(best.Values) != 1 || best.Pick() == "" {
		return stand{}
	}
	s := stand{value: best.Pick(), system: best.System, eff: best.Eff, ats: b.isATS(best.System)}
	for i := 0; s.ats && i < len(said); i++ { // what the ATS has taken over is still asked for
		s.ats = b.isATS(said[i].System) || said[i].Pick() != s.value
	}
	switch {
	case r.Conflict == ConflictUnion && len(said) > 1:
		s.value, s.system, s.ats = union(said), "", true
		for i := range said {
			s.ats = s.ats && b.isATS(said[i].System)
		}
	case r.Conflict == ConflictHold && differ(r, said, best.Pick()):
		return stand{}
	}
	return s
}

// differ reports whether any of the values is another than one.
func differ(r *ElementRule, said []Observation, value string) bool {
	return slices.ContainsFunc(said, func(o Observation) bool { return !r.agree(o.Pick(), value) })
}

// union merges lists in JSON; what is none counts as a list of one text.
func union(said []Observation) string {
	var items []string
	for i := range said {
		var list []json.RawMessage
		if text := said[i].Pick(); json.Unmarshal([]byte(text), &list) != nil {
			list = []json.RawMessage{appendQuoted(nil, text)}
		}
		for _, item := range list {
			items = append(items, string(item))
		}
	}
	slices.Sort(items)
	return "[" + strings.Join(slices.Compact(items), ",") + "]"
}

// appendQuoted appends a text in JSON.
func appendQuoted(dst []byte, text string) []byte {
	quoted, err := json.Marshal(text)
	if err != nil { // a string always marshals
		panic(err)
	}
	return append(dst, quoted...)
}

// disputed reports whether systems differ about an element in a way that its rule does not settle by itself: where the
// newest or the highest value stands, and where all count, only the ATS can be at fault.
func (b *Bundle) disputed(r *ElementRule, said []Observation) bool {
	if len(said) < 2 {
		return false
	}
	if r.Conflict == ConflictHold {
		return differ(r, said, said[0].Pick())
	}
	s := b.stands(r, said)
	if s == (stand{}) {
		return false
	}
	for i := range said {
		o := &said[i]
		if len(o.Values) == 1 && o.System != s.system && !r.agree(o.Pick(), s.value) && (r.Conflict == ConflictGolden || b.isATS(o.System)) {
			return true
		}
	}
	return false
}

// dispute follows the disagreements about the elements an entry brings. One goes on for as long as the values differ,
// whatever they become: it keeps the event that began it.
func (f *folder) dispute(b *Bundle, e *Entry, brought []Element) {
	for i := range brought {
		r := b.element(brought[i].Name)
		if r == nil {
			continue
		}
		said := f.h.said(r.Name)
		if !b.disputed(r, said) {
			f.clear(IncidentFieldDivergence, r.Name)
			continue
		}
		told := Suspect{Kind: IncidentFieldDivergence, Element: r.Name, Subject: e.ID, Eff: e.Eff, Values: b.evidence(r, said)}
		at := slices.IndexFunc(f.h.Suspects, func(s Suspect) bool { return s.Kind == told.Kind && s.Element == told.Element })
		if at < 0 {
			f.suspect(told)
			continue
		}
		own(f, partSuspects, &f.h.Suspects)
		f.h.Suspects[at].Values = told.Values
	}
}

// evidence is what everyone says of an element, whose value stands first.
func (b *Bundle) evidence(r *ElementRule, said []Observation) []IncidentValue {
	values := make([]IncidentValue, len(said))
	for i := range said {
		values[i] = IncidentValue{System: said[i].System, Value: said[i].Pick(), At: said[i].At}
	}
	leader := b.stands(r, said).system
	slices.SortStableFunc(values, func(x, y IncidentValue) int {
		return cmp.Compare(lead(x.System == leader), lead(y.System == leader))
	})
	return values
}

func lead(first bool) int {
	if first {
		return 0
	}
	return 1
}

// elements returns what the ATS should show of the elements, sorted by name; it returns was when that is the same.
func (v *derivation) elements(was []Element) []Element {
	var buf [8]Element
	out := buf[:0]
	rest := v.s.Head.Observations
	for i := range v.b.Elements {
		r, said := &v.b.Elements[i], []Observation(nil)
		if said, rest = cut(rest, r.Name); len(said) == 0 || !r.WriteBack || v.s.held(v.now, r.Name) {
			continue
		}
		if s := v.b.stands(r, said); s.value != "" && !s.ats && v.live.reaches(s.eff) {
			out = append(out, Element{Name: r.Name, Value: s.value})
		}
	}
	if equalElements(out, was) {
		return was
	}
	return slices.Clone(out)
}

// judged reports whether a disagreement is one yet, and whether it is about what we have written: then it is none before
// the write has ended, and the ATS has said something since (rule B9). Once told, it stays until the values agree.
func (v *derivation) judged(d *Suspect) (written, yes bool) {
	s, h := v.s, &v.s.Head
	if s.isOpen(d) {
		return false, true
	}
	r := v.b.element(d.Element)
	if r == nil || !r.WriteBack || r.Conflict == ConflictHold || v.none {
		return false, true
	}
	said := h.said(d.Element)
	if v.b.stands(r, said).ats {
		return false, true
	}
	if s.Confirmed.Empty() || s.Write.State != WriteDone || !slices.ContainsFunc(s.Desired.Elements, func(e Element) bool { return e.Name == d.Element }) {
		return true, false
	}
	byRevision := v.rules.system(h.LevelSystem).ByRevision
	for i := range said {
		if o := &said[i]; o.System == h.LevelSystem {
			own := int64(o.At)
			if byRevision {
				own = o.Revision
			}
			return true, own >= s.Confirmed.Version
		}
	}
	return true, false
}

// isOpen reports whether the incident of a suspicion has been told.
func (s *State) isOpen(d *Suspect) bool {
	for i := range s.Incidents {
		o := &s.Incidents[i]
		if o.OpenedAt != 0 && o.Kind == d.Kind && o.Element == d.Element && o.Subject == d.Subject && o.Epoch == d.Epoch {
			return true
		}
	}
	return false
}

// undelivered adds every element that the ATS should have shown by now, so long after the screening finished: one that no
// result has brought is missing, one that has not arrived is stuck.
func (v *derivation) undelivered(wanted []wantedIncident) []wantedIncident {
	s, h := v.s, &v.s.Head
	res := h.newestResult()
	if res == nil || res.FinishedAt == 0 || h.Deleted || h.Anonymized || v.live.mode != ModeWrite || v.live.pause || v.none {
		return wanted
	}
	rest := h.Observations
	for i := range v.b.Elements {
		r, said := &v.b.Elements[i], []Observation(nil)
		if said, rest = cut(rest, r.Name); r.Within == 0 || !v.live.reaches(res.Eff) {
			continue
		}
		stands := v.b.stands(r, said)
		shows := func(e Element) bool { return e.Name == r.Name && r.agree(e.Value, stands.value) }
		if stands.ats || stands.value != "" && (slices.ContainsFunc(s.Confirmed.Elements, shows) ||
			slices.ContainsFunc(said, func(o Observation) bool { return o.System == h.LevelSystem && r.agree(o.Pick(), stands.value) })) {
			continue
		}
		due := res.FinishedAt.Add(r.Within)
		if v.now < due {
			v.at(due)
			continue
		}
		told := Suspect{Kind: IncidentStuck, Element: r.Name, Subject: res.EventID, Epoch: res.Epoch, Eff: due, Values: v.b.evidence(r, said)}
		if stands.value == "" {
			told.Kind = IncidentMissingField
		}
		wanted = append(wanted, wantedIncident{Suspect: told})
	}
	return wanted
}
