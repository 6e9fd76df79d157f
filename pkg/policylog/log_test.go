package policylog

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/policy/policytest"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// No byte of a published archive can be changed unseen: it is refused, or it proves nothing.
func TestNoByteCanBeChanged(t *testing.T) {
	co := policytest.NewCompany(t)
	p := policytest.Edited(t, "version: 1.0.0", "version: 2.0.0")
	archive, err := p.Pack(co.All(t, p))
	if err != nil {
		t.Fatal(err)
	}
	signers := co.Signers(t, "")
	l := New(Config{Signers: func() (*policy.Signers, error) { return signers, nil }})
	holds := func(archive []byte) bool {
		b, refused := open(p.Digest(), &kgo.Record{Value: archive})
		return refused == nil && l.proof(b, time.Now()) == nil
	}
	if !holds(archive) {
		t.Fatal("the archive itself does not hold")
	}
	const step = 61 // a prime, so that every kind of place is met
	for i := 0; i < len(archive); i += step {
		changed := append([]byte(nil), archive...)
		changed[i] ^= 1
		if holds(changed) {
			t.Errorf("byte %d of %d was changed, and it holds", i, len(archive))
		}
	}
	for _, cut := range [][]byte{nil, archive[:len(archive)/2], archive[:len(archive)-1], append(append([]byte(nil), archive...), '\n')} {
		if holds(cut) {
			t.Errorf("%d of %d bytes hold", len(cut), len(archive))
		}
	}
}

// What is known to be good stays, whatever is put under its digest later; a good one takes the place of a bad one.
func TestTheGoodOneStays(t *testing.T) {
	co := policytest.NewCompany(t)
	p := policytest.Edited(t, "version: 1.0.0", "version: 2.0.0")
	signers := co.Signers(t, "")
	full := p.Digest()
	short := hiring.Digest(full[:16])
	record := func(signatures ...policy.Signature) *kgo.Record {
		archive, err := p.Pack(signatures)
		if err != nil {
			t.Fatal(err)
		}
		return &kgo.Record{Key: []byte(full.String()), Value: archive}
	}
	altered := &kgo.Record{Key: []byte(full.String()), Value: []byte("{}\n")}
	l := New(Config{Signers: func() (*policy.Signers, error) { return signers, nil }})
	for _, step := range []struct {
		rec   *kgo.Record
		holds bool
	}{
		{altered, false}, {record(), false}, {record(co.All(t, p)...), true}, {record(), true}, {altered, true}, {&kgo.Record{Key: altered.Key}, true},
	} {
		l.note(step.rec)
		b := l.Find(short)
		if holds := b != nil && l.Proven(short, time.Now()) == nil; holds != step.holds {
			t.Errorf("after %d bytes: holds %v", len(step.rec.Value), holds)
		}
	}
	signers = co.Signers(t, co.Keys["ada"].Public+"\n")
	var refused *Refused
	if err := l.Proven(short, time.Now()); !errors.As(err, &refused) || refused.Cause != CauseUnproven {
		t.Errorf("after ada's key was revoked: %v", err)
	}
}

// Bundles that come into force at one moment count as they were published, whatever time each announcement asks for and wherever it
// stands in the topic; one told twice counts once.
func TestOfOneMomentTheLastPublishedCounts(t *testing.T) {
	schemas, err := wire.Open(wire.Config{})
	if err != nil {
		t.Fatal(err)
	}
	from := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	of := func(version string) *policy.Policy {
		return policytest.Edited(t, "version: 1.0.0", "version: "+version, "effective_from: 1970-01-01T00:00:00Z", "effective_from: "+from.Format(time.RFC3339))
	}
	l, now := New(Config{Schemas: schemas, Dev: true}), time.Now()
	tell := func(p *policy.Policy, id string, published, at time.Duration) {
		archive, err := p.Pack(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range Records(schemas, p, archive, &wire.Control{ID: id, Source: "/test", OccurredAt: wire.MicrosOf(now.Add(published)), EffectiveAt: wire.MicrosOf(now.Add(at))}, 0) {
			rec.Timestamp = now
			l.note(rec)
		}
	}
	a, b := of("2.0.0"), of("3.0.0")
	tell(a, "last", 3*time.Second, time.Minute)
	tell(a, "first", time.Second, 3*time.Minute)
	tell(b, "between", 2*time.Second, 2*time.Minute)
	tell(b, "between", 4*time.Second, 2*time.Minute)
	taken, refused := l.Schedule(now)
	if len(taken) != 3 || len(refused) != 0 {
		t.Fatalf("taken %d, refused %v", len(taken), refused)
	}
	for i, want := range []*policy.Policy{a, b, a} {
		if taken[i].Policy.Digest() != want.Digest() || !taken[i].From.Equal(from) {
			t.Errorf("%d: %s from %s on", i, taken[i].Policy.Bundle.Version, taken[i].From)
		}
	}
	if next := l.Next(now); next != wire.MicrosOf(now.Add(4*time.Second))+1 {
		t.Errorf("the next is made at %d, before one there is", next)
	}
}

// An announcement on hiring.control is meant where the history holds it word for word, whatever partition it is for.
func TestAnAnnouncementIsComparedWordForWord(t *testing.T) {
	schemas, err := wire.Open(wire.Config{})
	if err != nil {
		t.Fatal(err)
	}
	p := policytest.Edited(t, "version: 1.0.0", "version: 2.0.0")
	meant := wire.Control{ID: "x", Source: "/test", OccurredAt: 1, EffectiveAt: 2, Actor: wire.Actor{Kind: wire.ActorKindHuman, ID: "u1"}, Reason: "HR-1"}
	l := New(Config{Schemas: schemas})
	for _, rec := range Records(schemas, p, nil, &meant, 2) {
		if rec.Topic == topics.Policy && string(rec.Key) == activationKey+meant.ID {
			l.note(rec)
		}
	}
	if c := meant; !l.announced(&c) {
		t.Error("as it was published: not meant")
	}
	for name, change := range map[string]func(*wire.Control){
		"another actor":  func(c *wire.Control) { c.Actor.ID = "u2" },
		"another kind":   func(c *wire.Control) { c.Actor.Kind = wire.ActorKindIntegration },
		"another reason": func(c *wire.Control) { c.Reason = "HR-2" },
		"another day":    func(c *wire.Control) { c.OccurredAt++ },
		"another time":   func(c *wire.Control) { c.EffectiveAt++ },
		"another bundle": func(c *wire.Control) { c.Policy = c.Policy[1:] + "0" },
	} {
		c := meant
		if change(&c); l.announced(&c) {
			t.Errorf("%s: meant", name)
		}
	}
}

// Who follows the topic tells apart what no reconciler can have taken, which changes nothing, from what may be in force and cannot be proved
// here: a key was revoked since, is not known, or the archive is gone or was overwritten since.
func TestWhatMayBeInForceIsTold(t *testing.T) {
	schemas, err := wire.Open(wire.Config{})
	if err != nil {
		t.Fatal(err)
	}
	co, now := policytest.NewCompany(t), time.Now().UTC().Truncate(time.Second)
	p := policytest.Edited(t, "version: 1.0.0", "version: 2.0.0")
	full, ada := p.Digest(), co.Keys["ada"].Public+"\n"
	all := co.All(t, p)
	short := *co // of a process whose keys file lacks ada
	short.Roster = co.Roster[1:]
	garbage := func(at time.Time) func([]byte) *kgo.Record {
		return func([]byte) *kgo.Record { return &kgo.Record{Value: []byte("{}\n"), Timestamp: at} }
	}
	for name, c := range map[string]struct {
		signers    *policy.Signers
		signatures []policy.Signature
		archive    func([]byte) *kgo.Record // nil record for none; as it was published when nil
		held       Cause                    // "" where what was in force stays
	}{
		"a key revoked since":             {co.Signers(t, ada), all, nil, CauseUnproven},
		"a key this keys file lacks":      {short.Signers(t, ""), all, nil, CauseUnproven},
		"no keys file":                    {nil, all, nil, CauseNoKeys},
		"no keys file, nobody has signed": {nil, nil, nil, ""},
		"signed by one":                   {co.Signers(t, ""), all[:1], nil, ""},
		"signed by one, with a lost key":  {co.Signers(t, ada), all[:1], nil, ""},
		"the archive is gone":             {co.Signers(t, ""), all, func([]byte) *kgo.Record { return nil }, CauseUnknown},
		"garbage was published":           {co.Signers(t, ""), all, garbage(now), ""},
		"it was overwritten since":        {co.Signers(t, ""), all, garbage(now.Add(time.Second)), CauseAltered},
		"its signatures were taken since": {co.Signers(t, ""), nil, func(text []byte) *kgo.Record { return &kgo.Record{Value: text, Timestamp: now.Add(time.Second)} }, CauseUnproven},
	} {
		cfg := Config{Schemas: schemas}
		if c.signers != nil {
			cfg.Signers = func() (*policy.Signers, error) { return c.signers, nil }
		}
		l := New(cfg)
		archive, err := p.Pack(c.signatures)
		if err != nil {
			t.Fatal(err)
		}
		recs := Records(schemas, p, archive, &wire.Control{ID: "x", Source: "/test", OccurredAt: wire.MicrosOf(now), EffectiveAt: wire.MicrosOf(now)}, 0)
		if c.archive != nil {
			key := recs[0].Key
			if recs[0] = c.archive(archive); recs[0] == nil {
				recs = recs[1:]
			} else {
				recs[0].Key = key
			}
		}
		for _, rec := range recs {
			if rec.Timestamp.IsZero() {
				rec.Timestamp = now
			}
			l.note(rec)
		}
		scheduled, refused := l.Schedule(now)
		switch {
		case c.held == "" && (len(scheduled) != 0 || len(refused) != 1):
			t.Errorf("%s: scheduled %v, refused %q", name, scheduled, refused)
		case c.held != "" && (len(scheduled) != 1 || len(refused) != 0 || scheduled[0].Refused == nil || scheduled[0].Refused.Cause != c.held || scheduled[0].Digest != hiring.Digest(full[:16]) || !scheduled[0].From.Equal(now)):
			t.Errorf("%s: scheduled %v, refused %q, want %s", name, scheduled, refused, c.held)
		}
	}
}

// What was proven and taken up stays so over a restart, when a key of its signers is revoked since; what this machine never took
// does not.
func TestWhatWasTakenStaysOverARestart(t *testing.T) {
	co, dir := policytest.NewCompany(t), t.TempDir()
	p := policytest.Edited(t, "version: 1.0.0", "version: 2.0.0")
	full := p.Digest()
	short := hiring.Digest(full[:16])
	archive, err := p.Pack(co.All(t, p))
	if err != nil {
		t.Fatal(err)
	}
	started := func(dir, revoked string) error {
		signers := co.Signers(t, revoked)
		l := New(Config{Dir: dir, Signers: func() (*policy.Signers, error) { return signers, nil }})
		l.note(&kgo.Record{Key: []byte(full.String()), Value: archive})
		_, err := l.Taken(short, time.Now())
		return err
	}
	revoked := co.Keys["ada"].Public + "\n"
	if err := started(dir, revoked); err == nil {
		t.Error("taken by a revoked key")
	}
	if err := started(dir, ""); err != nil {
		t.Error(err)
	}
	if err := started(dir, revoked); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	if err := started(t.TempDir(), revoked); err == nil {
		t.Error("taken where it never was before")
	}
}
