package policylog

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/policy/policytest"
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
