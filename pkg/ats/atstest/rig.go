package atstest

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/wire"
)

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
	id      string         // of the application
	faults  []atssim.Fault // the requests were to meet
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
	tenant.Mapping.Regions = c.places
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
