// Package atstest is the one conformance suite of the ATS adapters: what every client has to keep, tried against
// the simulator's dialect of its vendor with faults. An adapter passes it from a test of its own package:
//
//	func TestConformance(t *testing.T) { atstest.Run(t, atstest.Adapter{…}) }
//
// so that `go test ./pkg/ats/... -run Conformance` names adapter and case. Each case is also run with clients that
// break its promise, and has to notice every one: a case that cannot fail proves nothing.
package atstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/wire"
)

// Adapter is what the suite has to know of an adapter.
type Adapter struct {
	Dialect atssim.Dialect
	// New makes a client of the tenant that a simulator serves.
	New func(Tenant) (ats.Client, error)
	// Named is what an application's id says of the candidate and the job, each empty where it says nothing. Nil: it says
	// neither, as most ids.
	Named func(applicationID string) (candidate, job string)
}

// Tenant is the simulated tenant a client is for.
type Tenant struct {
	URL string
	// ClientID and Secret are its credential; the secret alone is the API key of a dialect without a client id.
	ClientID, Secret string
	// Mapping is what the tenant calls things, in the dialect's ids. A field has the simulator's key and number; an
	// adapter that knows fields by something else changes the keys.
	Mapping ats.Mapping
	// Now is the simulator's clock.
	Now func() time.Time
	// ReadLag is how long a read may lag here.
	ReadLag time.Duration
}

// T is what a case needs of a test.
type T interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
	Context() context.Context
}

// Run runs every case, and each again with every client that breaks its promise.
func Run(t *testing.T, a Adapter) {
	t.Run(a.Dialect.Name(), func(t *testing.T) {
		for _, c := range cases() {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.run(newRig(t, a, c, nil))
				for name, broken := range c.broken {
					if notices(t, a, c, broken) {
						continue
					}
					t.Errorf("the case does not notice a client that %s", name)
				}
			})
		}
	})
}

// notices reports whether a case fails with a broken client.
func notices(t *testing.T, a Adapter, c testCase, broken broken) bool {
	rec := &recorder{ctx: t.Context()}
	done := make(chan struct{})
	applies := true
	go func() {
		defer close(done)
		defer func() {
			if recover() != nil {
				rec.Errorf("it fell over")
			}
		}()
		r := newRig(rec, a, c, broken.wrap)
		if broken.when != nil {
			caps := r.client.Capabilities()
			applies = broken.when(&caps)
		}
		if applies {
			c.run(r)
		}
	}()
	<-done
	rec.cleanup()
	return !applies || rec.failed
}

// recorder is a test that only remembers whether it failed. One goroutine uses it.
type recorder struct {
	ctx      context.Context
	mu       sync.Mutex
	failed   bool
	cleanups []func()
}

func (*recorder) Helper() {}

// Errorf notes a failure.
func (r *recorder) Errorf(string, ...any) {
	r.mu.Lock()
	r.failed = true
	r.mu.Unlock()
}

// Fatalf notes a failure and ends the goroutine.
func (r *recorder) Fatalf(string, ...any) {
	r.Errorf("")
	runtime.Goexit()
}

// Cleanup keeps a function for the end.
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

// Context is the test's.
func (r *recorder) Context() context.Context { return r.ctx }

func (r *recorder) cleanup() {
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
}

// testCase is one promise. Broken are clients that do not keep it, by what they do.
type testCase struct {
	name   string
	run    func(r *rig)
	sim    func(*atssim.Config)
	broken map[string]broken
}

// broken bends a client. When says for which adapters it breaks the promise at all; nil for every one.
type broken struct {
	wrap func(ats.Client) ats.Client
	when func(*ats.Capabilities) bool
}

// The numbers of the simulated tenant.
const (
	appNumber    = 500
	candidate    = 9
	job          = 3485
	readLag      = 4 * time.Second
	reasonNo     = 8
	reasonOther  = 14
	reasonLeft   = 40
	fieldScore   = "screening_score"
	fieldStatus  = "screening_status"
	noteElement  = "screening_summary"
	clientID     = "concord"
	clientSecret = "conformance-secret"
)

// rig is a simulator with one application in the third stage, and a client for it.
type rig struct {
	T
	dialect atssim.Dialect
	sim     *atssim.Server
	mangler *mangler
	client  ats.Client
	caps    ats.Capabilities
	clock   *clock
	id      string // of the application
	named   func(string) (candidate, job string)
}

func newRig(t T, a Adapter, c testCase, wrap func(ats.Client) ats.Client) *rig {
	t.Helper()
	r := &rig{T: t, dialect: a.Dialect, named: a.Named, clock: &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}, id: a.Dialect.Spell(atssim.KindApplication, appNumber)}
	cfg := atssim.Config{
		Dialect: a.Dialect, Seed: 7, Now: r.clock.Now, ClientID: clientID, ClientSecret: clientSecret,
		ReadLag: readLag / 2, Hang: time.Minute, Latency: time.Millisecond, RetryAfter: 3 * time.Second,
		Reasons: []int64{reasonNo, reasonOther, reasonLeft},
	}
	if c.sim != nil {
		c.sim(&cfg)
	}
	sim, err := atssim.New(cfg)
	if err != nil {
		t.Fatalf("simulator: %v", err)
	}
	r.sim, r.mangler = sim, &mangler{next: sim}
	srv := httptest.NewServer(r.mangler)
	t.Cleanup(srv.Close)
	tenant := Tenant{URL: srv.URL, ClientID: clientID, Secret: clientSecret, Mapping: mapping(a.Dialect), Now: r.clock.Now, ReadLag: readLag}
	client, err := a.New(tenant)
	if err != nil {
		t.Fatalf("client: %v", err)
	}
	if closer, ok := client.(interface{ Close() }); ok {
		t.Cleanup(closer.Close)
	}
	r.client = client
	if wrap != nil {
		r.client = wrap(r.client)
	}
	r.caps = r.client.Capabilities()
	if err := sim.Seed(atssim.Application{ID: appNumber, CandidateID: candidate, JobID: job, StageID: atssim.DefaultStages()[2].ID}); err != nil {
		t.Fatalf("seed: %v", err)
	}
	r.clock.Advance(time.Minute)
	return r
}

func mapping(d atssim.Dialect) ats.Mapping {
	m := ats.Mapping{
		System: "conformance", RejectReason: d.Spell(atssim.KindReason, reasonNo), WithdrawReasons: []string{d.Spell(atssim.KindReason, reasonLeft)},
		Fields: []ats.Field{{Element: noteElement, Type: ats.FieldNote}},
	}
	for _, f := range atssim.DefaultFields() {
		field := ats.Field{Element: f.Key, Key: f.Key, ID: f.ID}
		if f.Type == "number" {
			field.Type = ats.FieldNumber
		}
		m.Fields = append(m.Fields, field)
	}
	return m
}

// clock is moved by hand. Safe for concurrent use.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

// Now is the time it was moved to.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

// Advance moves it on.
func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	c.t = c.t.Add(d)
	c.mu.Unlock()
}

// stage is the i-th stage as the dialect names it.
func (r *rig) stage(i int) string {
	return r.dialect.Spell(atssim.KindStage, atssim.DefaultStages()[i].ID)
}

// person is a candidate as a read shows it.
func (r *rig) person(n int64) string {
	if r.named != nil {
		if candidate, _ := r.named(r.id); candidate != "" {
			return candidate
		}
	}
	return r.dialect.Spell(atssim.KindCandidate, n)
}

// requisition is the job as a read shows it.
func (r *rig) requisition() string {
	if r.named != nil {
		if _, job := r.named(r.id); job != "" {
			return job
		}
	}
	return r.dialect.Spell(atssim.KindJob, job)
}

func (r *rig) reason(n int64) string { return r.dialect.Spell(atssim.KindReason, n) }

// read reads the application, which has to work.
func (r *rig) read() ats.Reading {
	r.Helper()
	got, err := r.client.Read(r.Context(), r.id)
	if err != nil {
		r.Fatalf("read: %v", err)
	}
	return got
}

// apply writes what differs from what is read now.
func (r *rig) apply(desired wire.Tuple) error {
	r.Helper()
	expected := r.read().Tuple
	r.clock.Advance(time.Second)
	return r.client.Apply(r.Context(), r.id, expected, desired)
}

// write is apply for a write that has to be answered as done.
func (r *rig) write(desired wire.Tuple) {
	r.Helper()
	if err := r.apply(desired); err != nil {
		r.Fatalf("apply %+v: %v", desired, err)
	}
}

// shows reports whether a read shows desired before the declared lag is over, as write-back finds out.
func (r *rig) shows(desired wire.Tuple) bool {
	r.Helper()
	for range 5 {
		if ats.Shows(r.read().Tuple, desired) {
			return true
		}
		r.clock.Advance(r.caps.ReadLag / 4)
	}
	return false
}

// confirmed fails unless desired shows.
func (r *rig) confirmed(desired wire.Tuple) {
	r.Helper()
	if !r.shows(desired) {
		r.Errorf("the ATS does not show %+v but %+v", desired, r.read().Tuple)
	}
}

// truth is the application as the ATS really has it.
func (r *rig) truth() atssim.Application {
	r.Helper()
	a, ok := r.sim.Application(appNumber)
	if !ok {
		r.Fatalf("the application is gone")
	}
	return a
}

// changes are the kinds of what the client changed, in order.
func (r *rig) changes() string {
	var kinds []string
	for _, e := range r.sim.Journal(0) {
		if e.Type == atssim.EntryMutation && e.Actor.Kind == "api" {
			kinds = append(kinds, e.Kind)
		}
	}
	return strings.Join(kinds, " ")
}

// sent counts the API requests of the given kinds, those that change something when none is given.
func (r *rig) sent(kinds ...string) int {
	n := 0
	for _, e := range r.sim.Journal(0) {
		if e.Type != atssim.EntryRequest {
			continue
		}
		if len(kinds) > 0 && slices.Contains(kinds, e.Kind) || len(kinds) == 0 && slices.Contains(writes, e.Kind) {
			n++
		}
	}
	return n
}

// act is what a human does, without a webhook.
func (r *rig) act(a atssim.Action) {
	r.Helper()
	if a.Application == 0 && a.Candidate == 0 {
		a.Application = appNumber
	}
	a.Silent = true
	if res := r.sim.Act(a); !res.OK {
		r.Fatalf("%s: %s", a.Kind, res.Error)
	}
}

// writes are the kinds of requests that change something.
var writes = []string{"move", "reject", "unreject", "hire", "edit", "note"}

// fault makes every request of some kinds meet a fault, of all when none is given; calm ends all faults.
func (r *rig) fault(f atssim.Fault, kinds ...string) {
	r.Helper()
	r.calm()
	if err := r.sim.SetFaults(atssim.FaultState{Rates: atssim.Rates{f: 1}, Only: append([]string{}, kinds...)}); err != nil {
		r.Fatalf("%v", err)
	}
}

func (r *rig) calm() {
	r.Helper()
	none := atssim.Rates{}
	for _, f := range atssim.Faults() {
		none[f] = 0
	}
	if err := r.sim.SetFaults(atssim.FaultState{Rates: none}); err != nil {
		r.Fatalf("%v", err)
	}
}

// fails checks an error's class and code.
func (r *rig) fails(what string, err error, class ats.Class, codes ...ats.Code) {
	r.Helper()
	var e *ats.Error
	if !errors.As(err, &e) {
		r.Errorf("%s: %v, want an *ats.Error", what, err)
		return
	}
	if e.Class != class || len(codes) > 0 && !slices.Contains(codes, e.Code) {
		r.Errorf("%s: %v, want %s %v", what, err, class, codes)
	}
	for _, secret := range []string{clientSecret, "candidate-9@example.com", "Candidate 9"} {
		if strings.Contains(err.Error(), secret) {
			r.Errorf("%s: the error holds %q", what, secret)
		}
	}
}

func retryAfter(err error) time.Duration {
	var e *ats.Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return -1
}

// untouched fails if the client changed anything.
func (r *rig) untouched() {
	r.Helper()
	if made := r.changes(); made != "" {
		r.Errorf("the client changed something: %s", made)
	}
}

// until polls a condition.
func (r *rig) until(what string, ok func() bool) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			r.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

// late is a context whose deadline passes when it is told to.
type late struct {
	context.Context
	done chan struct{}
}

func newLate(ctx context.Context) *late { return &late{ctx, make(chan struct{})} }

// Done is closed when the deadline has passed.
func (l *late) Done() <-chan struct{} { return l.done }

// Err is DeadlineExceeded once it has.
func (l *late) Err() error {
	select {
	case <-l.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// timesOut applies while requests hang, and lets the deadline pass as soon as the ATS has taken the write.
func (r *rig) timesOut(f atssim.Fault, desired wire.Tuple) error {
	r.Helper()
	expected := r.read().Tuple
	r.clock.Advance(time.Second)
	before := r.sent()
	r.fault(f, writes...)
	ctx := newLate(r.Context())
	failed := make(chan error, 1)
	go func() { failed <- r.client.Apply(ctx, r.id, expected, desired) }()
	answered := false
	var err error
	r.until("the write reached the ATS", func() bool {
		select {
		case err = <-failed:
			answered = true
		default:
		}
		return answered || r.sent() > before
	})
	r.calm() // what hangs goes on hanging
	close(ctx.done)
	if !answered {
		err = <-failed
	}
	return err
}

// copyOf sends a cursor through JSON, as a poller keeps it.
func copyOf(r *rig, c ats.Cursor) ats.Cursor {
	b, err := json.Marshal(c)
	if err != nil {
		r.Fatalf("cursor: %v", err)
	}
	var out ats.Cursor
	if err := json.Unmarshal(b, &out); err != nil {
		r.Fatalf("cursor: %v", err)
	}
	return out
}

func value(r ats.Reading, element string) string {
	v, _ := ats.ElementValue(r.Tuple.Elements, element)
	return v
}

func element(name, value string) wire.Tuple {
	return wire.Tuple{Elements: []wire.Element{{Name: name, Value: value}}}
}

func spelled(n int) string { return fmt.Sprintf("note %d", n) }
