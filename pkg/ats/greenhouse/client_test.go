package greenhouse_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/ats/atstest"
	"github.com/concord-ats/concord/pkg/ats/greenhouse"
	"github.com/concord-ats/concord/pkg/wire"
)

// clock is moved by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

const (
	app   = "500"
	appID = 500
)

type rig struct {
	sim    *atssim.Server
	client *greenhouse.Client
	clock  *clock
}

// newRig serves a simulator with one application in screening on a real port, and a client for it.
func newRig(t *testing.T, cfg atssim.Config, change func(*greenhouse.Config)) *rig {
	t.Helper()
	r := &rig{clock: newClock()}
	cfg.Now, cfg.Seed = r.clock.Now, 7
	cfg.Hang, cfg.Latency = time.Minute, time.Millisecond
	sim, err := atssim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim)
	t.Cleanup(srv.Close)
	r.sim = sim
	gc := greenhouse.Config{
		BaseURL: srv.URL, TokenURL: srv.URL + "/token", ClientID: "concord", ClientSecret: "secret",
		Mapping: greenhouse.Mapping(atstest.GreenhouseMapping("gh-main")), Now: r.clock.Now, HTTP: ats.HTTPConfig{Timeout: 20 * time.Second},
	}
	if change != nil {
		change(&gc)
	}
	r.client, err = greenhouse.New(gc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.client.Close)
	if err := sim.Seed(atssim.Application{ID: appID, CandidateID: 9, JobID: 3485, StageID: 71416}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) read(t *testing.T) ats.Reading {
	t.Helper()
	got, err := r.client.Read(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// writes are the changes the API made, and sent the write requests the simulator saw.
func (r *rig) writes() (made, sent int) {
	for _, e := range r.sim.Journal(0) {
		switch {
		case e.Type == atssim.EntryMutation && e.Actor.Kind == "api":
			made++
		case e.Type == atssim.EntryRequest && (e.Method == "POST" || e.Method == "PATCH") && e.Kind != "token":
			sent++
		}
	}
	return made, sent
}

func tuple(stage string, status wire.ApplicationStatus, reason string, elements ...wire.Element) wire.Tuple {
	return wire.Tuple{Stage: stage, Status: status, Reason: reason, Elements: elements}
}

func TestReadWriteReadBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, atssim.Config{ClockOffset: -30 * time.Second}, nil)
	first := r.read(t)
	want := ats.Reading{
		Tuple: tuple("71416", wire.ApplicationStatusActive, "",
			wire.Element{Name: "screening_recommendation"}, wire.Element{Name: "screening_report_url"},
			wire.Element{Name: "screening_score"}, wire.Element{Name: "screening_status"}),
		StageName: "Assessment", CandidateID: "9", Requisition: wire.Requisition{ID: "3485"},
		UpdatedAt: r.clock.Now().Add(-30 * time.Second),
	}
	want.Tuple.Version = want.UpdatedAt.UnixMicro()
	if d := want.UpdatedAt.Sub(first.AsOf); d < 0 || d > 2*time.Second {
		t.Errorf("as of %v: want the ATS's own clock, %v", first.AsOf, want.UpdatedAt)
	}
	first.AsOf = time.Time{}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Fatal(diff)
	}

	score := wire.Element{Name: "screening_score", Value: "81.5"}
	status := wire.Element{Name: "screening_status", Value: "passed"}
	expected := first.Tuple
	for _, c := range []struct {
		name    string
		desired wire.Tuple
		kinds   string // the changes, in order
	}{
		{"nothing to do", tuple("71416", wire.ApplicationStatusActive, ""), ""},
		{"elements then move", tuple("1004", wire.ApplicationStatusActive, "", score, status), "edit move"},
		{"only what differs", tuple("1005", wire.ApplicationStatusActive, "", score, status), "move"},
		{"reject", tuple("", wire.ApplicationStatusRejected, "14"), "reject"},
		{"unreject before the move", tuple("1004", wire.ApplicationStatusActive, ""), "unreject move"},
		{"move before the closing", tuple("71416", wire.ApplicationStatusRejected, "8", wire.Element{Name: "screening_score", Value: "3"}), "edit move reject"},
		{"unreject alone", tuple("", wire.ApplicationStatusActive, ""), "unreject"},
		{"withdraw", tuple("", wire.ApplicationStatusWithdrawn, ""), "reject"},
		{"come back", tuple("", wire.ApplicationStatusActive, ""), "unreject"},
		{"hire", tuple("", wire.ApplicationStatusHired, ""), "hire"},
	} {
		r.clock.Advance(time.Second)
		since := r.sim.Stats().JournalLast
		if err := r.client.Apply(t.Context(), app, expected, c.desired); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		var kinds []string
		for _, e := range r.sim.Journal(since) {
			if e.Type == atssim.EntryMutation {
				kinds = append(kinds, e.Kind)
			}
		}
		if got := strings.Join(kinds, " "); got != c.kinds {
			t.Errorf("%s: the ATS did %q, want %q", c.name, got, c.kinds)
		}
		back := r.read(t)
		if !ats.Shows(back.Tuple, c.desired) {
			t.Errorf("%s: %+v does not show %+v", c.name, back.Tuple, c.desired)
		}
		if len(kinds) > 0 && back.Tuple.Version <= expected.Version {
			t.Errorf("%s: the version did not grow", c.name)
		}
		expected = back.Tuple
	}
}

// What Greenhouse is known to refuse goes over no wire.
func TestRefusedBeforeAnyRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t, atssim.Config{}, nil)
	active := tuple("71416", wire.ApplicationStatusActive, "")
	for _, c := range []struct {
		name, id          string
		expected, desired wire.Tuple
		code              ats.Code
	}{
		{"move of a rejected one", app, tuple("1004", wire.ApplicationStatusRejected, "8"), tuple("1005", 0, ""), ats.CodeNotApplicable},
		{"reject of a hired one", app, tuple("1005", wire.ApplicationStatusHired, ""), tuple("", wire.ApplicationStatusRejected, "8"), ats.CodeNotApplicable},
		{"unreject of a hired one", app, tuple("1005", wire.ApplicationStatusHired, ""), tuple("", wire.ApplicationStatusActive, ""), ats.CodeNotApplicable},
		{"other reason", app, tuple("1004", wire.ApplicationStatusRejected, "8"), tuple("", wire.ApplicationStatusRejected, "14"), ats.CodeUnsupported},
		{"from nowhere", app, tuple("", wire.ApplicationStatusActive, ""), tuple("1004", 0, ""), ats.CodeInvalid},
		{"stage is no number", app, active, tuple("offer", 0, ""), ats.CodeInvalid},
		{"reject as withdrawn", app, active, tuple("", wire.ApplicationStatusRejected, "40"), ats.CodeInvalid},
		{"unmapped element", app, active, tuple("", 0, "", wire.Element{Name: "salary", Value: "1"}), ats.CodeUnsupported},
		{"not a number", app, active, tuple("", 0, "", wire.Element{Name: "screening_score", Value: "high"}), ats.CodeInvalid},
		{"id is a path", "1/../2", active, tuple("1004", 0, ""), ats.CodeInvalid},
	} {
		err := r.client.Apply(t.Context(), c.id, c.expected, c.desired)
		if ats.ClassOf(err) != ats.Refused || ats.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", c.name, err, c.code)
		}
	}
	if n := r.sim.Stats().Requests; n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// Also proves scenario 14: in the client, which takes no answer for a confirmation.
//
// Each fault alone, at every request: what the client says, what really happened, and how often it was sent.
func TestEachFault(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault atssim.Fault
		class ats.Class
		code  ats.Code
		made  int // changes by the API
		sent  int // write requests
		after time.Duration
	}{
		{fault: atssim.FaultRateLimited, class: ats.NotExecuted, code: ats.CodeRateLimited, sent: 1, after: time.Second},
		{fault: atssim.FaultRateLimitedBare, class: ats.NotExecuted, code: ats.CodeRateLimited, sent: 1},
		{fault: atssim.FaultTokenExpired, class: ats.NotExecuted, code: ats.CodeUnauthorised, sent: 2},
		{fault: atssim.FaultServerErrorBefore, class: ats.Unknown, code: ats.CodeServerError, sent: 1},
		{fault: atssim.FaultResetBefore, class: ats.Unknown, code: ats.CodeReset, sent: 1},
		{fault: atssim.FaultTimeoutBefore, class: ats.Unknown, code: ats.CodeTimeout, sent: 1},
		{fault: atssim.FaultFailureIn200, sent: 1},
		{fault: atssim.FaultHumanRace, class: ats.NotExecuted, code: ats.CodeStaleVersion, sent: 1},
		{fault: atssim.FaultLostWrite, sent: 1},
		{fault: atssim.FaultServerErrorAfter, class: ats.Unknown, code: ats.CodeServerError, made: 1, sent: 1},
		{fault: atssim.FaultTimeoutAfter, class: ats.Unknown, code: ats.CodeTimeout, made: 1, sent: 1},
		{fault: atssim.FaultResetAfter, class: ats.Unknown, code: ats.CodeReset, made: 1, sent: 1},
		{fault: atssim.FaultStaleRead, made: 1, sent: 1},
		{fault: atssim.FaultEmptyAnswer, made: 1, sent: 1},
		{fault: atssim.FaultBlankAnswer, made: 1, sent: 1},
		{fault: atssim.FaultLatency, made: 1, sent: 1},
	} {
		t.Run(string(c.fault), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, atssim.Config{ReadLag: 5 * time.Second}, func(gc *greenhouse.Config) {
				if c.fault == atssim.FaultTimeoutAfter || c.fault == atssim.FaultTimeoutBefore {
					gc.HTTP.Timeout = time.Second
				}
			})
			expected := r.read(t).Tuple
			if err := r.sim.SetFaults(atssim.FaultState{Rates: atssim.Rates{c.fault: 1}}); err != nil {
				t.Fatal(err)
			}
			r.clock.Advance(time.Second)
			err := r.client.Apply(t.Context(), app, expected, tuple("1004", wire.ApplicationStatusActive, ""))
			var e *ats.Error
			switch {
			case c.code == "" && err != nil:
				t.Errorf("error %v", err)
			case c.code != "" && (!errors.As(err, &e) || e.Class != c.class || e.Code != c.code || e.RetryAfter != c.after):
				t.Errorf("error %+v, want %s %s after %v", e, c.class, c.code, c.after)
			}
			if made, sent := r.writes(); made != c.made || sent != c.sent {
				t.Errorf("%d sent, %d executed; want %d and %d", sent, made, c.sent, c.made)
			}
			if r.sim.FaultState().Fired[c.fault] == 0 {
				t.Error("the fault did not fire")
			}
			if err := r.sim.SetFaults(atssim.FaultState{Rates: atssim.Rates{c.fault: 0}}); err != nil {
				t.Fatal(err)
			}
			shown := r.read(t).Tuple.Stage == "1004"
			if want := c.made == 1 && c.fault != atssim.FaultStaleRead; shown != want {
				t.Errorf("read back: shown %v, want %v", shown, want)
			}
			r.clock.Advance(6 * time.Second)
			if shown := r.read(t).Tuple.Stage == "1004"; shown != (c.made == 1) {
				t.Errorf("read back after the lag: shown %v", shown)
			}
		})
	}
}

func TestFaultKindsAreAllTested(t *testing.T) {
	t.Parallel()
	if n := len(atssim.Faults()); n != 17 { // page_expired is the conformance suite's
		t.Errorf("%d fault kinds: TestEachFault has 16", n)
	}
}

// A 422 that does not say which field is told apart by reading again.
func TestStaleMoveWithOpaqueErrors(t *testing.T) {
	t.Parallel()
	r := newRig(t, atssim.Config{OpaqueErrors: true}, nil)
	expected := r.read(t).Tuple
	r.sim.Act(atssim.Action{Kind: "move", Application: appID, Stage: 1002})
	err := r.client.Apply(t.Context(), app, expected, tuple("1004", 0, ""))
	if ats.ClassOf(err) != ats.NotExecuted || ats.CodeOf(err) != ats.CodeStaleVersion {
		t.Errorf("moved meanwhile: %v", err)
	}
	err = r.client.Apply(t.Context(), app, r.read(t).Tuple, tuple("4711", 0, ""))
	if ats.ClassOf(err) != ats.Refused || ats.CodeOf(err) != ats.CodeInvalid {
		t.Errorf("stage of another job: %v", err)
	}
	if a, _ := r.sim.Application(appID); a.StageID != 1002 {
		t.Errorf("the human's stage was overwritten: %d", a.StageID)
	}
}

// Also proves scenario 28: an option that was removed is refused, and nothing is written.
func TestRemovedOptionIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, atssim.Config{Fields: []atssim.FieldDef{{ID: 9004, Key: "screening_status", Type: "single_select", Options: []string{"complete"}}}}, nil)
	desired := wire.Tuple{Elements: []wire.Element{{Name: "screening_status", Value: "partial"}}}
	if err := r.client.Apply(t.Context(), app, r.read(t).Tuple, desired); ats.ClassOf(err) != ats.Refused || ats.CodeOf(err) != ats.CodeInvalid {
		t.Errorf("%v", err)
	}
	if made, _ := r.writes(); made != 0 {
		t.Errorf("%d changes, want none", made)
	}
	desired.Elements[0].Value = "complete"
	if err := r.client.Apply(t.Context(), app, r.read(t).Tuple, desired); err != nil {
		t.Error(err)
	}
}

// When a step fails the closing effect behind it is not sent, and Done says what was.
func TestClosingEffectIsNotSentAfterAFailure(t *testing.T) {
	t.Parallel()
	r := newRig(t, atssim.Config{}, nil)
	expected := r.read(t).Tuple
	r.sim.Act(atssim.Action{Kind: "move", Application: appID, Stage: 1002})
	err := r.client.Apply(t.Context(), app, expected, tuple("1004", wire.ApplicationStatusRejected, "8", wire.Element{Name: "screening_status", Value: "failed"}))
	var e *ats.Error
	if !errors.As(err, &e) || e.Code != ats.CodeStaleVersion || e.Op != "move" || e.Done != 1 {
		t.Errorf("%+v", e)
	}
	if a, _ := r.sim.Application(appID); a.Status != "active" || a.StageID != 1002 || string(a.Fields["screening_status"]) != `"failed"` {
		t.Errorf("%+v", a)
	}
}

// Also proves scenario 13: one token for all, a new one before it runs out, and one retry.
func TestTokens(t *testing.T) {
	t.Parallel()
	r := newRig(t, atssim.Config{TokenTTL: 10 * time.Minute}, nil)
	tokens := func() (n int) {
		for _, e := range r.sim.Journal(0) {
			if e.Kind == "token" {
				n++
			}
		}
		return n
	}
	all := func() {
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := r.client.Read(t.Context(), app); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	all()
	if n := tokens(); n != 1 {
		t.Errorf("%d tokens for 20 callers, want 1", n)
	}
	r.clock.Advance(9*time.Minute + time.Second) // renewed a minute before it expires
	all()
	if n := tokens(); n != 2 {
		t.Errorf("%d tokens after one lifetime, want 2", n)
	}

	yes, no := true, false
	if err := r.sim.SetFaults(atssim.FaultState{Revoked: &yes}); err != nil {
		t.Fatal(err)
	}
	err := r.client.Apply(t.Context(), app, tuple("71416", wire.ApplicationStatusActive, ""), tuple("1004", 0, ""))
	if ats.ClassOf(err) != ats.NotExecuted || ats.CodeOf(err) != ats.CodeUnauthorised {
		t.Errorf("revoked: %v", err)
	}
	if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "sim-") {
		t.Errorf("the error shows a secret: %v", err)
	}
	if err := r.sim.SetFaults(atssim.FaultState{Revoked: &no, Denied: &yes}); err != nil {
		t.Fatal(err)
	}
	err = r.client.Apply(t.Context(), app, tuple("71416", wire.ApplicationStatusActive, ""), tuple("1004", 0, ""))
	if ats.ClassOf(err) != ats.NotExecuted || ats.CodeOf(err) != ats.CodeForbidden {
		t.Errorf("denied: %v", err)
	}
	if err := r.sim.SetFaults(atssim.FaultState{Denied: &no}); err != nil {
		t.Fatal(err)
	}
	if err := r.client.Apply(t.Context(), app, tuple("71416", wire.ApplicationStatusActive, ""), tuple("1004", 0, "")); err != nil {
		t.Errorf("restored: %v", err)
	}
	if made, _ := r.writes(); made != 1 {
		t.Errorf("%d changes, want the one after restoring", made)
	}
}

// A caller that gives up while the token is fetched hurts nobody else, and sends nothing.
func TestGivingUpOnAToken(t *testing.T) {
	t.Parallel()
	r := newRig(t, atssim.Config{}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := r.client.Apply(ctx, app, tuple("71416", wire.ApplicationStatusActive, ""), tuple("1004", 0, ""))
	if ats.ClassOf(err) != ats.NotExecuted || ats.CodeOf(err) != ats.CodeCancelled {
		t.Errorf("%v", err)
	}
	r.read(t)
	if _, sent := r.writes(); sent != 0 {
		t.Errorf("%d writes sent", sent)
	}
}

func TestRealRateLimit(t *testing.T) {
	t.Parallel()
	r := newRig(t, atssim.Config{RateLimit: atssim.RateLimit{Requests: 4, Window: 10 * time.Second}}, nil)
	for range 3 { // and the job is looked up once
		r.read(t)
	}
	_, err := r.client.Read(t.Context(), app)
	var e *ats.Error
	if !errors.As(err, &e) || e.Code != ats.CodeRateLimited || e.RetryAfter != 10*time.Second {
		t.Fatalf("%+v", e)
	}
	r.clock.Advance(e.RetryAfter)
	r.read(t)
	if n := r.sim.FaultState().OverLimit; n != 1 {
		t.Errorf("%d over the limit, want 1", n)
	}
}

func TestNotFound(t *testing.T) {
	t.Parallel()
	r := newRig(t, atssim.Config{}, nil)
	if _, err := r.client.Read(t.Context(), "501"); ats.CodeOf(err) != ats.CodeNotFound || ats.ClassOf(err) != ats.Refused {
		t.Errorf("read: %v", err)
	}
	if err := r.client.Apply(t.Context(), "501", tuple("71416", wire.ApplicationStatusActive, ""), tuple("1004", 0, "")); ats.CodeOf(err) != ats.CodeNotFound {
		t.Errorf("write: %v", err)
	}
}

func TestConfigNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := greenhouse.New(greenhouse.Config{
		BaseURL: "ftp://x", ReadLag: -1,
		Mapping: greenhouse.Mapping{System: "a/b", Fields: []greenhouse.Field{{Element: "e", Key: "k", Type: "blob"}, {Element: "e", Key: "k"}}},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{"system", "type \"blob\"", "mapped twice", "base url", "client secret", "read lag"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
}
