package atstest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/wire"
)

// people are persons who change under the application.
func people() []testCase {
	return []testCase{
		{name: "merged", run: func(r *rig) {
			before := r.read()
			r.act(atssim.Action{Kind: "merge", Candidate: candidate, NewCandidate: 77})
			after := r.read()
			if after.CandidateID != r.person(77) {
				r.Errorf("candidate %q", after.CandidateID)
			}
			if diff := cmp.Diff(before.Tuple, after.Tuple); diff != "" {
				r.Errorf("the tuple changed: %s", diff)
			}
			r.write(wire.Tuple{Stage: r.stage(3)})
			r.confirmed(wire.Tuple{Stage: r.stage(3)})
		}, broken: map[string]broken{
			"remembers who it was":    remembers(),
			"takes it for a new move": reads(func(r *ats.Reading) { r.Tuple.Version = time.Now().UnixNano() }),
		}},
		{name: "anonymised", run: func(r *rig) {
			r.act(atssim.Action{Kind: "edit", Fields: map[string]json.RawMessage{fieldStatus: json.RawMessage(`"passed"`)}})
			before := r.read()
			if before.Anonymized {
				r.Errorf("it is anonymised before it was")
			}
			r.act(atssim.Action{Kind: "anonymize", Candidate: candidate})
			after := r.read()
			shows := atssim.ShowsAnonymized(r.dialect)
			if after.Anonymized != shows || r.caps.ShowsAnonymized != shows {
				r.Errorf("read as anonymised: %v, declared: %v; what this ATS shows: %v", after.Anonymized, r.caps.ShowsAnonymized, shows)
			}
			after.Anonymized = false
			before.AsOf, after.AsOf = time.Time{}, time.Time{}
			if diff := cmp.Diff(before, after); diff != "" {
				r.Errorf("it reads as something else: %s", diff)
			}
		}, broken: map[string]broken{
			"takes it for a deletion": {wrap: func(c ats.Client) ats.Client { return alwaysFails(c) }},
			"takes it for a move":     reads(func(r *ats.Reading) { r.Tuple.Version = time.Now().UnixNano() }),
			"does not see it":         reads(func(r *ats.Reading) { r.Anonymized = false }).only(func(c *ats.Capabilities) bool { return c.ShowsAnonymized }),
			"sees it everywhere":      reads(func(r *ats.Reading) { r.Anonymized = true }),
			"does not declare it":     declares(func(c *ats.Capabilities) { c.ShowsAnonymized = !c.ShowsAnonymized }),
		}},
		{name: "deleted", run: func(r *rig) {
			expected := r.read().Tuple
			r.act(atssim.Action{Kind: "delete"})
			_, err := r.client.Read(r.Context(), r.id)
			r.fails("read", err, ats.Refused, ats.CodeNotFound)
			for _, want := range []wire.Tuple{{Stage: r.stage(3)}, {Status: rejected}, element(fieldStatus, "passed")} {
				r.fails(fmt.Sprintf("write of %+v", want), r.client.Apply(r.Context(), r.id, expected, want), ats.Refused, ats.CodeNotFound)
			}
			r.untouched()
			page, err := r.client.ListChanged(r.Context(), ats.Cursor{})
			if err != nil {
				r.Errorf("list: %v", err)
			}
			for _, c := range page.Changed {
				if c.ApplicationID == r.id {
					r.Errorf("it is listed")
				}
			}
		}, broken: map[string]broken{
			"remembers it":      remembers(),
			"pretends to write": hidesFailures(),
			"calls it unknown":  miscalls(calls(ats.Unknown)),
		}},
	}
}

// walked is how many applications a walk has to get through: more than one page of any ATS.
const walked = 620

// changes are walks over what changed.
func changes() []testCase {
	return []testCase{
		{name: "changed since", run: walks, broken: map[string]broken{
			"loses the last of a page": lists(func(p *ats.Page) {
				if len(p.Changed) > 0 {
					p.Changed = p.Changed[:len(p.Changed)-1]
				}
			}),
			"stops after a page": lists(func(p *ats.Page) { p.More = false }),
			"begins anew each time": lists(func(p *ats.Page) {
				if !p.More {
					p.Next = ats.Cursor{}
				}
			}),
			"skips what happens meanwhile": lists(func(p *ats.Page) {
				if !p.More && !p.Next.Since.IsZero() {
					p.Next.Since = p.Next.Since.Add(time.Hour)
				}
				if p.Next.Sync != "" {
					p.Changed = nil
				}
			}),
			"reads nothing": lists(func(p *ats.Page) {
				for i := range p.Changed {
					p.Changed[i].Reading.Tuple.Stage = ""
				}
			}),
		}},
		{name: "page token refused", run: pageRefused, broken: map[string]broken{
			"calls it a passing failure": refusesPages(func(_ context.Context, _ ats.Client, _ ats.Cursor, err error) (ats.Page, error) {
				return ats.Page{}, changed(err, calls(ats.NotExecuted))
			}),
			"takes it for the end": refusesPages(func(_ context.Context, _ ats.Client, from ats.Cursor, _ error) (ats.Page, error) {
				return ats.Page{Next: ats.Cursor{Since: from.Began}}, nil
			}),
			"passes over the page": refusesPages(func(ctx context.Context, c ats.Client, from ats.Cursor, _ error) (ats.Page, error) {
				return c.ListChanged(ctx, ats.Cursor{Since: from.Began})
			}),
		}},
	}
}

// refusesPages answers instead of a client that refuses a page's token.
func refusesPages(instead func(context.Context, ats.Client, ats.Cursor, error) (ats.Page, error)) broken {
	return broken{wrap: func(c ats.Client) ats.Client {
		return &bent{Client: c, list: func(ctx context.Context, from ats.Cursor) (ats.Page, error) {
			p, err := c.ListChanged(ctx, from)
			if from.Next != "" && ats.ClassOf(err) == ats.Refused {
				return instead(ctx, c, from, err)
			}
			return p, err
		}}
	}}
}

// pageRefused: a token that is good no more is said to be refused, so that the walk can begin anew and find everything.
func pageRefused(r *rig) {
	r.estate()
	first, err := r.client.ListChanged(r.Context(), ats.Cursor{})
	if err != nil || !first.More || first.Next.Next == "" {
		r.Fatalf("the first of several pages: more %t, %+v, error %v", first.More, first.Next, err)
	}
	r.fault(atssim.FaultPageExpired)
	_, err = r.client.ListChanged(r.Context(), copyOf(r, first.Next))
	r.fails("a page whose token has expired", err, ats.Refused)
	r.calm()
	// One of another ATS, as where an instance was given another kind.
	foreign := first.Next
	foreign.Next = "Z29uZQ"
	if page, err := r.client.ListChanged(r.Context(), foreign); err == nil && !page.More {
		r.Errorf("a token that was never handed out is taken for the end of the walk")
	} else if err != nil {
		r.fails("a page whose token was never handed out", err, ats.Refused)
	}
	seen := map[string]bool{}
	from, ok := first.Next.Anew()
	for more := ok; more; {
		page, err := r.client.ListChanged(r.Context(), copyOf(r, from))
		if err != nil {
			r.Fatalf("the walk that begins anew: %v", err)
		}
		for _, c := range page.Changed {
			seen[c.ApplicationID] = true
		}
		from, more = page.Next, page.More
	}
	if len(seen) != walked+1 {
		r.Errorf("the walk that begins anew finds %d applications, want %d", len(seen), walked+1)
	}
}

// estate seeds the applications that are walked over.
func (r *rig) estate() []atssim.Application {
	r.Helper()
	base := r.clock.Now()
	var apps []atssim.Application
	for i := range walked {
		apps = append(apps, atssim.Application{ID: int64(1000 + i), CandidateID: int64(i + 1), JobID: job, StageID: atssim.DefaultStages()[i%5].ID, AppliedAt: base, LastActivityAt: base})
	}
	if err := r.sim.Seed(apps...); err != nil {
		r.Fatalf("seed: %v", err)
	}
	return apps
}

func walks(r *rig) {
	apps := r.estate()
	r.clock.Advance(time.Hour)
	touched := func(n int64) string {
		r.act(atssim.Action{Kind: "move", Application: n, Stage: atssim.DefaultStages()[4].ID})
		return r.dialect.Spell(atssim.KindApplication, n)
	}
	// walk goes through to the end, and touches applications after the first page: some on it, some still to come.
	walk := func(from ats.Cursor, meanwhile ...int64) (map[string]ats.Reading, ats.Cursor) {
		seen := map[string]ats.Reading{}
		for pages := range 100 {
			page, err := r.client.ListChanged(r.Context(), copyOf(r, from))
			if err != nil {
				r.Fatalf("page %d: %v", pages, err)
			}
			for _, c := range page.Changed {
				seen[c.ApplicationID] = c.Reading
			}
			if from = page.Next; !page.More {
				return seen, from
			}
			if pages == 0 && len(meanwhile) > 0 {
				r.clock.Advance(time.Second)
				for _, n := range meanwhile {
					touched(n)
				}
			}
		}
		r.Fatalf("the walk does not end")
		return nil, ats.Cursor{}
	}
	early, last := int64(1003), int64(1000+walked-2)
	all, next := walk(ats.Cursor{}, early, last)
	if len(all) != walked+1 {
		r.Errorf("%d applications, want %d", len(all), walked+1)
	}
	for _, a := range apps {
		got, ok := all[r.dialect.Spell(atssim.KindApplication, a.ID)]
		if want := r.dialect.Spell(atssim.KindStage, a.StageID); !ok || a.ID != early && a.ID != last && got.Tuple.Stage != want || got.Tuple.Status != active {
			r.Fatalf("application %d: listed %v in stage %q, want %q", a.ID, ok, got.Tuple.Stage, want)
		}
	}
	r.clock.Advance(time.Hour)
	id := touched(1001)
	some, next := walk(next)
	if got, ok := some[id]; !ok || got.Tuple.Stage != r.stage(4) {
		r.Errorf("%s changed between the walks, and the second does not say so", id)
	}
	for _, n := range []int64{early, last} {
		during := r.dialect.Spell(atssim.KindApplication, n)
		if all[during].Tuple.Stage != r.stage(4) && some[during].Tuple.Stage != r.stage(4) {
			r.Errorf("%s changed during the first walk, and neither says so", during)
		}
	}
	if len(some) > 10 {
		r.Errorf("%d applications in the second walk, of which 3 changed", len(some))
	}
	r.clock.Advance(time.Hour)
	none, next := walk(next)
	if len(none) > 1 {
		r.Errorf("%d applications in the third walk, of which none changed", len(none))
	}
	// From a time of one's own: a backfill of part of an estate.
	r.clock.Advance(time.Hour)
	since := r.clock.Now()
	r.clock.Advance(time.Minute)
	id = touched(1002)
	recent, _ := walk(ats.Cursor{Since: since})
	if _, ok := recent[id]; !ok {
		r.Errorf("%s is not among what changed since %v", id, since)
	}
	if len(recent) > 10 && next.Sync == "" { // with tokens of its own there is no walk from a time
		r.Errorf("%d applications since %v, want 1", len(recent), since)
	}
}
