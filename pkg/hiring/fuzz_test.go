package hiring_test

import (
	"fmt"
	"testing"

	"github.com/concord-ats/concord/pkg/hiring"
)

// FuzzDecide reads bytes as a stream of events: no panic, versions never fall and rise by one, a second delivery
// of what the ring still knows changes nothing, and no timer is left due in the past.
func FuzzDecide(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x02\x10\x02\x01\x00\x0e\x20\x01\x02\x00"))
	for i := range byte(30) {
		f.Add([]byte{i, 10, 2, 1, 0, i + 1, 20, 3, 2, 1, 27, 30, 4, 3, 2, i, 5, 1, 1, 1})
	}
	rules := defaultRules()
	rules.Bounds.TailCap, rules.Bounds.RingSize = 6, 6
	f.Fuzz(func(t *testing.T, stream []byte) {
		s := hiring.NewState("gh-main/1")
		now := epoch + 300e6
		for len(stream) >= 5 && len(stream) < 5000 {
			e := byteEvent(stream[:5])
			stream = stream[5:]
			now += 1e6
			if s.NextDue != 0 && s.NextDue <= now {
				now = max(now, s.NextDue)
				s = step(t, rules, s, &hiring.Event{Type: hiring.EventTimer}, now)
			}
			next := step(t, rules, s, &e, now)
			again := hiring.Decide(rules, next, &e, now)
			if e.Type != hiring.EventTimer && again.State.Head.Stage != next.Head.Stage {
				t.Fatalf("a second delivery of %+v moved %q to %q", e, next.Head.Stage, again.State.Head.Stage)
			}
			if d := again.Disposition(); d == hiring.DispositionApplied && !next.Erased && e.Type != hiring.EventTimer {
				t.Fatalf("a second delivery of %+v is %s", e, again.Reason)
			}
			s = next
		}
	})
}

func step(t *testing.T, rules *hiring.Rules, s *hiring.State, e *hiring.Event, now hiring.Micros) *hiring.State {
	t.Helper()
	version := s.Version
	d := hiring.Decide(rules, s, e, now)
	switch {
	case s.Version != version:
		t.Fatal("the prior state changed")
	case d.Changed && d.State.Version != version+1, !d.Changed && d.State.Version != version:
		t.Fatalf("version %d after %d", d.State.Version, version)
	case d.Changed && d.State.NextDue != 0 && d.State.NextDue <= d.Now:
		t.Fatalf("after %s the next timer is due %d us ago", d.Reason, d.Now-d.State.NextDue)
	case len(d.State.Tail) > 6, len(d.State.Ring) > 6:
		t.Fatalf("tail %d ring %d", len(d.State.Tail), len(d.State.Ring))
	}
	return d.State
}

// byteEvent reads five bytes: type, time, what, who, identity.
func byteEvent(b []byte) hiring.Event {
	e := hiring.Event{
		Type: hiring.EventType(b[0] % 31), OccurredAt: epoch + hiring.Micros(b[1])*1e6, Basis: hiring.TimeBasis(b[3] >> 6),
		Source: "s", ID: fmt.Sprint(b[4]), Revision: int64(b[3] % 4),
	}
	if b[2]&1 != 0 {
		e.ObservedAt = epoch + hiring.Micros(b[2])*1e6
	}
	e.Status = hiring.Status(b[3] % 5)
	e.Actor = hiring.ActorKind(b[3] >> 2 % 5)
	e.Stage = stageIDs[int(b[2]>>1)%len(stageIDs)]
	if b[4]&1 != 0 {
		e.PreviousStage = stageIDs[int(b[2]>>4)%len(stageIDs)]
	}
	switch {
	case e.Type.ATS():
		e.System = atsSystem
	case e.Type.Screening():
		e.System, e.Order, e.Attempt = vendorSystem, fmt.Sprint("o", b[3]%3), int32(b[3]%4)
		e.HasResult, e.Verdict = b[2]&2 != 0, hiring.Verdict(b[3]>>3%4)
		e.Elements = []hiring.Element{{Name: fmt.Sprint("e", b[2]%5), Value: fmt.Sprint(b[3] % 3)}}
	case e.Type.Control():
		e.System, e.SeenVersion = hiring.ControlSystem, int64(b[2]%8)
		e.Stage = []string{"apply", "screening", "offer", "rejected", "nowhere", ""}[b[2]%6]
		if b[3]&1 != 0 {
			e.ExpiresAt = epoch + hiring.Micros(b[3])*10e6
		}
	case e.Type == hiring.EventOutcome:
		if b[3] == 255 {
			break
		}
		e.Outcome = &hiring.Outcome{
			Kind: hiring.CommandKind(b[2] % 2), Outcome: hiring.OutcomeKind(b[3] % 12), Revision: int64(b[2] % 6), Until: epoch + hiring.Micros(b[3])*1e7,
			FinishedAt: e.OccurredAt, VersionAfter: int64(e.OccurredAt), VersionBefore: int64(b[3]), Written: hiring.Tuple{Stage: e.Stage, Status: e.Status},
			Cause: hiring.Cause{Source: "s", ID: fmt.Sprint(b[3])},
		}
		if b[2]&4 != 0 {
			e.Outcome.Observed = &hiring.Tuple{Stage: e.Stage, Status: hiring.Status(b[2] % 5), Version: int64(e.OccurredAt)}
		}
	}
	e.Digest = contentDigest(&e)
	return e
}
