package atstest

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/wire"
)

const (
	active    = wire.ApplicationStatusActive
	rejected  = wire.ApplicationStatusRejected
	withdrawn = wire.ApplicationStatusWithdrawn
	hired     = wire.ApplicationStatusHired
)

func cases() []testCase {
	var all []testCase
	for _, group := range [][]testCase{plain(), races(), unanswered(), refused(), doubtful(), people(), changes(), hostile()} {
		all = append(all, group...)
	}
	return all
}

// plain are the things a client does when nothing is wrong.
func plain() []testCase {
	return []testCase{
		{name: "read", run: readsTheWholeTuple, broken: map[string]broken{
			"leaves out the stage":     reads(func(r *ats.Reading) { r.Tuple.Stage = "" }),
			"leaves out the candidate": reads(func(r *ats.Reading) { r.CandidateID = "" }),
			"leaves out the job":       reads(func(r *ats.Reading) { r.Requisition.ID = "" }),
			"leaves out the elements":  reads(func(r *ats.Reading) { r.Tuple.Elements = nil }),
			"takes every status for active": reads(func(r *ats.Reading) {
				r.Tuple.Status, r.Tuple.Reason = active, ""
			}),
			"cannot tell old from new": reads(func(r *ats.Reading) { r.Tuple.Version, r.AsOf = 0, r.AsOf.AddDate(-1, 0, 0) }),
		}},
		{name: "region of the job", run: tellsTheRegion, places: places, broken: map[string]broken{
			"does not tell it":    reads(func(r *ats.Reading) { r.Requisition.Region = "" }).only(func(c *ats.Capabilities) bool { return c.Region }),
			"takes one for all":   reads(func(r *ats.Reading) { r.Requisition.Region = "de" }),
			"leaves out the job":  reads(func(r *ats.Reading) { r.Requisition.ID = "" }),
			"does not list it":    lists(func(p *ats.Page) { each(p, func(r *ats.Reading) { r.Requisition.Region = "" }) }).only(func(c *ats.Capabilities) bool { return c.Region }),
			"lists one for all":   lists(func(p *ats.Page) { each(p, func(r *ats.Reading) { r.Requisition.Region = "de" }) }),
			"does not declare it": declares(func(c *ats.Capabilities) { c.Region = false }).only(func(c *ats.Capabilities) bool { return c.Region }),
			"declares it in vain": declares(func(c *ats.Capabilities) { c.Region = true }).only(func(c *ats.Capabilities) bool { return !c.Region }),
			"fails where it is not known": {wrap: func(c ats.Client) ats.Client {
				return &bent{Client: c, read: func(ctx context.Context, id string) (ats.Reading, error) {
					r, err := c.Read(ctx, id)
					if err == nil && r.Requisition.Region == "" {
						err = &ats.Error{Class: ats.NotExecuted, Code: ats.CodeBadResponse, Op: "read"}
					}
					return r, err
				}}
			}},
		}},
		{name: "read of nothing", run: readsNothing, broken: map[string]broken{
			"makes something up":         pretendsToRead(),
			"calls it a passing failure": misreads(func(e *ats.Error) { e.Class, e.Code = ats.NotExecuted, ats.CodeBadResponse }),
		}},
		{name: "move", run: moves, broken: map[string]broken{
			"sends nothing":          pretendsToWrite(),
			"moves somewhere else":   writesOnly(func(e, d *wire.Tuple) { d.Stage = e.Stage }),
			"says it failed":         {wrap: alwaysFails},
			"cannot read it back":    remembers(),
			"writes elements beside": writesOnly(func(_, d *wire.Tuple) { d.Elements = append(d.Elements, wire.Element{Name: fieldStatus, Value: "x"}) }),
		}},
		{name: "reject", run: rejects, broken: map[string]broken{
			"drops the reason": writesOnly(func(_, d *wire.Tuple) { d.Reason = "" }),
			"sends nothing":    pretendsToWrite(),
			"reads it as open": reads(func(r *ats.Reading) { r.Tuple.Status = active }),
		}},
		{name: "withdraw", run: withdraws, broken: map[string]broken{
			"rejects instead":          writesOnly(func(_, d *wire.Tuple) { d.Status = rejected }),
			"reads it as a rejection":  reads(func(r *ats.Reading) { r.Tuple.Status = rejected }),
			"takes a reason to reject": hidesFailures(),
		}},
		{name: "unreject", run: unrejects, broken: map[string]broken{
			"leaves it closed":   writesOnly(func(_, d *wire.Tuple) { d.Status = wire.ApplicationStatusUnspecified }),
			"sends nothing":      pretendsToWrite(),
			"forgets the status": reads(func(r *ats.Reading) { r.Tuple.Status = rejected }),
		}},
		{name: "hire", run: hires, broken: map[string]broken{
			"sends nothing":      pretendsToWrite(),
			"claims the reverse": declares(func(c *ats.Capabilities) { c.Hire = !c.Hire }),
		}},
		{name: "elements", run: writesElements, broken: map[string]broken{
			"writes the first only": writesOnly(func(_, d *wire.Tuple) { d.Elements = d.Elements[:min(1, len(d.Elements))] }),
			"sends nothing":         pretendsToWrite(),
			"reads them as text":    reads(func(r *ats.Reading) { r.Tuple.Elements = nil }),
		}},
		{name: "element without a place", run: refusesElements, broken: map[string]broken{
			"drops it in silence": hidesFailures(),
			"calls it executed":   miscalls(calls(ats.Unknown)),
		}},
		{name: "notes once", run: notesOnce, broken: map[string]broken{
			"writes each twice":          writesTwice().only(func(c *ats.Capabilities) bool { return c.NoteMarker != "" }),
			"does not find them again":   reads(func(r *ats.Reading) { r.Tuple.Elements = nil }).only(func(c *ats.Capabilities) bool { return c.NoteMarker != "" }),
			"sends nothing, and says ok": pretendsToWrite(),
		}},
		{name: "all at once", run: everything, broken: map[string]broken{
			"leaves out the close":                 writesOnly(func(_, d *wire.Tuple) { d.Status, d.Reason = wire.ApplicationStatusUnspecified, "" }),
			"sends more requests than it declares": writesTwice(),
		}},
	}
}

func readsTheWholeTuple(r *rig) {
	r.act(atssim.Action{Kind: "edit", Fields: map[string]json.RawMessage{fieldScore: json.RawMessage("81.50"), fieldStatus: json.RawMessage(`"passed"`)}})
	first := r.read()
	if first.Tuple.Stage != r.stage(2) || first.Tuple.Status != active || first.Tuple.Reason != "" {
		r.Errorf("stage, status and reason: %+v", first.Tuple)
	}
	if first.CandidateID != r.person(candidate) || first.Requisition.ID != r.requisition() {
		r.Errorf("candidate %q, job %q", first.CandidateID, first.Requisition.ID)
	}
	if value(first, fieldScore) != "81.5" || value(first, fieldStatus) != "passed" {
		r.Errorf("elements: %+v", first.Tuple.Elements)
	}
	if d := r.clock.Now().Sub(first.AsOf); first.Tuple.Version == 0 && (d < -2_000_000_000 || d > 2_000_000_000) {
		r.Errorf("no version, and read as of %v at %v", first.AsOf, r.clock.Now())
	}
	for _, c := range []struct {
		action atssim.Action
		status wire.ApplicationStatus
		reason string
	}{
		{atssim.Action{Kind: "reject", Reason: reasonOther}, rejected, r.reason(reasonOther)},
		{atssim.Action{Kind: "unreject"}, active, ""},
		{atssim.Action{Kind: "reject", Reason: reasonLeft}, withdrawn, r.reason(reasonLeft)},
		{atssim.Action{Kind: "unreject"}, active, ""},
		{atssim.Action{Kind: "hire"}, hired, ""},
	} {
		r.clock.Advance(2_000_000_000)
		before := r.read()
		r.act(c.action)
		got := r.read()
		if got.Tuple.Status != c.status || c.status != hired && got.Tuple.Reason != c.reason {
			r.Errorf("after %s: %s %q, want %s %q", c.action.Kind, got.Tuple.Status, got.Tuple.Reason, c.status, c.reason)
		}
		if before.Tuple.Version != 0 && got.Tuple.Version <= before.Tuple.Version {
			r.Errorf("after %s: version %d, before it %d", c.action.Kind, got.Tuple.Version, before.Tuple.Version)
		}
	}
}

func readsNothing(r *rig) {
	for _, id := range []string{r.dialect.Spell(atssim.KindApplication, 404404), "../" + r.id, r.id + "?x=1", ""} {
		_, err := r.client.Read(r.Context(), id)
		r.fails("read of "+id, err, ats.Refused, ats.CodeNotFound, ats.CodeInvalid)
	}
	if n := r.sent(); n != 0 {
		r.Errorf("%d other requests", n)
	}
}

func moves(r *rig) {
	before := r.truth()
	r.write(wire.Tuple{Stage: r.stage(3), Status: active})
	r.confirmed(wire.Tuple{Stage: r.stage(3), Status: active})
	after := r.truth()
	if after.StageID != atssim.DefaultStages()[3].ID || r.changes() != "move" || len(after.Fields) != len(before.Fields) {
		r.Errorf("%s: %+v", r.changes(), after)
	}
	r.write(wire.Tuple{Stage: r.stage(3), Status: active}) // nothing to do
	if n := r.sent(); n != 1 {
		r.Errorf("%d writes sent, want 1", n)
	}
}

func rejects(r *rig) {
	want := wire.Tuple{Status: rejected, Reason: r.reason(reasonOther)}
	r.write(want)
	r.confirmed(want)
	if a := r.truth(); a.Status != "rejected" || a.RejectionReasonID != reasonOther || r.changes() != "reject" {
		r.Errorf("%s: %+v", r.changes(), a)
	}
	r.fails("move of a rejected one", r.apply(wire.Tuple{Stage: r.stage(4)}), ats.Refused, ats.CodeNotApplicable)
	r.fails("hire of a rejected one", r.apply(wire.Tuple{Status: hired}), ats.Refused, ats.CodeNotApplicable, ats.CodeUnsupported)
}

func withdraws(r *rig) {
	r.fails("a rejection with a reason to withdraw", r.apply(wire.Tuple{Status: rejected, Reason: r.reason(reasonLeft)}), ats.Refused, ats.CodeInvalid)
	r.untouched()
	r.write(wire.Tuple{Status: withdrawn})
	r.confirmed(wire.Tuple{Status: withdrawn})
	if a := r.truth(); a.Status != "rejected" || a.RejectionReasonID != reasonLeft {
		r.Errorf("%+v", a)
	}
}

func unrejects(r *rig) {
	r.act(atssim.Action{Kind: "reject", Reason: reasonNo})
	back := wire.Tuple{Stage: r.stage(3), Status: active}
	if !r.caps.Unreject {
		r.fails("unreject", r.apply(back), ats.Refused, ats.CodeUnsupported)
		r.untouched()
		return
	}
	r.write(back)
	r.confirmed(back)
	if a := r.truth(); a.Status != "active" || a.StageID != atssim.DefaultStages()[3].ID || !strings.HasPrefix(r.changes(), "unreject") {
		r.Errorf("%s: %+v", r.changes(), a)
	}
}

func hires(r *rig) {
	err := r.apply(wire.Tuple{Status: hired})
	if !r.caps.Hire {
		r.fails("hire", err, ats.Refused, ats.CodeUnsupported)
		r.untouched()
		return
	}
	if err != nil {
		r.Fatalf("hire: %v", err)
	}
	r.confirmed(wire.Tuple{Status: hired})
	if a := r.truth(); a.Status != "hired" || r.changes() != "hire" {
		r.Errorf("%s: %+v", r.changes(), a)
	}
}

func writesElements(r *rig) {
	r.act(atssim.Action{Kind: "edit", Fields: map[string]json.RawMessage{"screening_recommendation": json.RawMessage(`"yes"`)}})
	want := wire.Tuple{Elements: []wire.Element{{Name: fieldScore, Value: "81.5"}, {Name: fieldStatus, Value: "passed"}}}
	r.write(want)
	r.confirmed(want)
	if got := value(r.read(), "screening_recommendation"); got != "yes" {
		r.Errorf("another element is %q now", got)
	}
	for _, want := range []wire.Tuple{element(fieldScore, "7"), element(fieldScore, "")} {
		r.write(want)
		r.confirmed(want)
	}
	sent := r.sent()
	r.write(element(fieldScore, "")) // nothing to do
	if r.sent() != sent {
		r.Errorf("an element that shows was written again")
	}
	if a := r.truth(); strings.Contains(r.changes(), "move") || a.Status != "active" {
		r.Errorf("%s: %+v", r.changes(), a)
	}
}

func refusesElements(r *rig) {
	r.fails("an element nothing is mapped to", r.apply(element("shoe_size", "46")), ats.Refused, ats.CodeUnsupported)
	r.fails("a number that is none", r.apply(element(fieldScore, "high")), ats.Refused, ats.CodeInvalid)
	if n := r.sent(); n != 0 {
		r.Errorf("%d writes sent", n)
	}
}

func notesOnce(r *rig) {
	notes := func() int {
		n := 0
		for _, note := range r.truth().Notes {
			if strings.Contains(note.Text, noteElement) {
				n++
			}
		}
		return n
	}
	want := element(noteElement, spelled(1))
	if r.caps.NoteMarker == "" {
		r.fails("a note", r.apply(want), ats.Refused, ats.CodeUnsupported)
		r.untouched()
		return
	}
	r.act(atssim.Action{Kind: "note", Note: "a word of the recruiter's"})
	r.write(want)
	r.confirmed(want)
	r.write(want) // shows already
	if n := notes(); n != 1 {
		r.Errorf("%d notes, want 1", n)
	}
	second := element(noteElement, spelled(2)+"\nwith more")
	r.fails("a note without an answer", r.timesOut(atssim.FaultTimeoutAfter, second), ats.Unknown, ats.CodeTimeout)
	r.confirmed(second)
	if n := notes(); n != 2 {
		r.Errorf("%d notes after one of unknown outcome, want 2", n)
	}
	third := element(noteElement, spelled(3))
	r.fails("a lost note", r.timesOut(atssim.FaultTimeoutBefore, third), ats.Unknown, ats.CodeTimeout)
	if r.shows(third) || notes() != 2 {
		r.Errorf("%d notes after a lost one, want 2", notes())
	}
	f, _ := r.caps.Field(noteElement)
	if !f.Note {
		r.Errorf("the capability does not say that %s is a note", noteElement)
	}
}

func everything(r *rig) {
	want := wire.Tuple{Stage: r.stage(3), Status: rejected, Reason: r.reason(reasonOther), Elements: []wire.Element{{Name: fieldScore, Value: "3"}, {Name: fieldStatus, Value: "failed"}}}
	before := r.read().Tuple
	reads := r.sent("read", "notes")
	expected := r.read().Tuple
	if n := r.sent("read", "notes") - reads; n > r.caps.Reads() {
		r.Errorf("a read took %d requests, declared are %d", n, r.caps.Reads())
	}
	declared := r.caps.Writes(ats.Diff(before, want))
	r.clock.Advance(1_000_000_000)
	reads = r.sent("read", "notes", "list")
	if err := r.client.Apply(r.Context(), r.id, expected, want); err != nil {
		r.Fatalf("apply: %v", err)
	}
	if n := r.sent("read", "notes", "list") - reads + r.sent(); n > declared || n == 0 {
		r.Errorf("%d requests sent, declared are %d", n, declared)
	}
	r.confirmed(wire.Tuple{Status: rejected, Reason: want.Reason, Elements: want.Elements})
	kinds := strings.Fields(r.changes())
	if len(kinds) < 3 || kinds[0] != "edit" || kinds[len(kinds)-2] != "move" || kinds[len(kinds)-1] != "reject" {
		r.Errorf("in the order %s", r.changes())
	}
}

// places are what the simulated offices are called by the ATSs that show them so: a name, an id, or the country.
var places = map[string]string{
	"Berlin": "de", "London": "gb", "DE": "de", "GB": "gb",
	atssim.Ashby{}.Spell(atssim.KindOffice, 54): "de", atssim.Ashby{}.Spell(atssim.KindOffice, 55): "gb",
}

func each(p *ats.Page, change func(*ats.Reading)) {
	for i := range p.Changed {
		change(&p.Changed[i].Reading)
	}
}

// tellsTheRegion: a read and a list tell where the job of an application is, as far as the mapping knows the place. A job
// without one, or in a place it does not know, is of no region; nor is any where the region is not declared to be read.
func tellsTheRegion(r *rig) {
	want := map[string]string{}
	for i, office := range []string{"Berlin", "London", "", "Atlantis"} {
		n := int64(appNumber + 1 + i)
		want[r.dialect.Spell(atssim.KindApplication, n)] = ""
		if r.caps.Region {
			want[r.dialect.Spell(atssim.KindApplication, n)] = map[string]string{"Berlin": "de", "London": "gb"}[office]
		}
		if err := r.sim.Seed(atssim.Application{ID: n, CandidateID: 100 + n, JobID: job + 1 + int64(i), StageID: atssim.DefaultStages()[2].ID, Office: office}); err != nil {
			r.Fatalf("seed: %v", err)
		}
	}
	for id, region := range want {
		got, err := r.client.Read(r.Context(), id)
		if err != nil || got.Requisition.Region != region || got.Requisition.ID == "" {
			r.Errorf("%s: read %+v, %v; want %q", id, got.Requisition, err, region)
		}
	}
	for from := (ats.Cursor{}); ; {
		page, err := r.client.ListChanged(r.Context(), from)
		if err != nil {
			r.Errorf("list: %v", err)
			break
		}
		for _, c := range page.Changed {
			if region, ok := want[c.ApplicationID]; ok && c.Reading.Requisition.Region != region {
				r.Errorf("%s: listed %+v, want %q", c.ApplicationID, c.Reading.Requisition, region)
			}
		}
		if from = page.Next; !page.More {
			break
		}
	}
}
