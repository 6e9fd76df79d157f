package writeback

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/ratelimit"
	"github.com/concord-ats/concord/pkg/store"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

const (
	partitionCount = 2
	patience       = 30 * time.Second // of a test that waits; it is spent only where something is wrong
)

// world is a broker, simulated ATSs behind real HTTP, and a reader of what the worker publishes.
type world struct {
	t       *testing.T
	kafka   *kfake.Cluster
	opts    []kgo.Opt
	cl      *kgo.Client
	schemas *wire.Schemas
	dir     string
	systems map[string]*system
	next    int

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced with every record
	outcomes []wire.Outcome
	changes  []wire.AtsChange
	opened   []wire.Incident
	people   []wire.CandidateEvent
	letters  []*kgo.Record
}

// system is one simulated ATS with a client that can be made to misbehave on the way.
type system struct {
	sim     *atssim.Server
	client  *wrecker
	dialect atssim.Dialect
	url     string
}

// wrecker is a client whose calls can be bent. Its hooks are nil for a client that behaves.
type wrecker struct {
	ats.Client
	mu    sync.Mutex
	apply func(ctx context.Context, id string, expected, desired wire.Tuple, real func() error) error
	read  func(ctx context.Context, id string, real func() (ats.Reading, error)) (ats.Reading, error)
	caps  *ats.Capabilities
}

func (w *wrecker) Capabilities() ats.Capabilities {
	if w.caps != nil {
		return *w.caps
	}
	return w.Client.Capabilities()
}

func (w *wrecker) Read(ctx context.Context, id string) (ats.Reading, error) {
	w.mu.Lock()
	hook := w.read
	w.mu.Unlock()
	real := func() (ats.Reading, error) { return w.Client.Read(ctx, id) }
	if hook == nil {
		return real()
	}
	return hook(ctx, id, real)
}

func (w *wrecker) Apply(ctx context.Context, id string, expected, desired wire.Tuple) error {
	w.mu.Lock()
	hook := w.apply
	w.mu.Unlock()
	real := func() error { return w.Client.Apply(ctx, id, expected, desired) }
	if hook == nil {
		return real()
	}
	return hook(ctx, id, expected, desired, real)
}

func (w *wrecker) onApply(hook func(ctx context.Context, id string, expected, desired wire.Tuple, real func() error) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.apply = hook
}

func (w *wrecker) onRead(hook func(ctx context.Context, id string, real func() (ats.Reading, error)) (ats.Reading, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read = hook
}

// afterFirstRead does something once the first read has been answered.
func (w *wrecker) afterFirstRead(do func()) {
	var once sync.Once
	w.onRead(func(_ context.Context, _ string, real func() (ats.Reading, error)) (ats.Reading, error) {
		r, err := real()
		once.Do(do)
		return r, err
	})
}

func newWorld(t *testing.T, names ...string) *world {
	t.Helper()
	if len(names) == 0 {
		names = []string{"gh"}
	}
	w := &world{t: t, dir: t.TempDir(), systems: map[string]*system{}, changed: make(chan struct{})}
	all := []string{topics.ATSCommands, topics.ATSOutcomes, topics.ATSChanges, topics.HiringConflicts, topics.CandidateEvents, topics.WritebackState, topics.DeadLetter(topics.ATSCommands)}
	var err error
	w.kafka, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitionCount, all...), kfake.GroupMinSessionTimeout(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.kafka.Close)
	w.opts = []kgo.Opt{kgo.SeedBrokers(w.kafka.ListenAddrs()...)}
	if w.schemas, err = wire.Open(wire.Config{}); err != nil {
		t.Fatal(err)
	}
	if w.cl, err = kgo.NewClient(append(w.opts, kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ConsumeTopics(topics.ATSOutcomes, topics.ATSChanges, topics.HiringConflicts, topics.CandidateEvents, topics.DeadLetter(topics.ATSCommands)),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(w.collect)
	t.Cleanup(func() { w.cl.Close(); reading.Wait() })
	for _, name := range names {
		w.systems[name] = newSystem(t, name, atssim.Greenhouse{})
	}
	return w
}

func newSystem(t *testing.T, name string, d atssim.Dialect) *system {
	t.Helper()
	sim, err := atssim.New(atssim.Config{Dialect: d, Seed: 1, ReadLag: 100 * time.Millisecond, Hang: 10 * time.Second, RetryAfter: time.Second, Latency: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	client, err := newClient(d, server.URL, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &system{sim: sim, client: &wrecker{Client: client}, dialect: d, url: server.URL}
}

// metered gives the system a client that pays for its requests, and returns what from.
func (s *system) metered(t *testing.T, cfg ratelimit.Config) *ratelimit.Meter {
	t.Helper()
	limiter, err := ratelimit.New(nil, cfg)
	if err != nil {
		t.Fatal(err)
	}
	m := limiter.Meter("gh")
	if s.client.Client, err = newClient(s.dialect, s.url, "gh", m.Pay); err != nil {
		t.Fatal(err)
	}
	return m
}

// seed adds applications in the screening stage.
func (s *system) seed(t *testing.T, ids ...int64) {
	t.Helper()
	for _, id := range ids {
		err := s.sim.Seed(atssim.Application{ID: id, CandidateID: id + 5000, JobID: 1, StageID: 71416, LastActivityAt: time.Unix(1_700_000_000, 0)})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (s *system) version(id int64) int64 {
	a, _ := s.sim.Application(id)
	return a.LastActivityAt.UnixMicro()
}

// mutations are the true changes the API made to an application, of one kind or of all.
func (s *system) mutations(id int64, kinds ...string) []atssim.Entry {
	return slices.DeleteFunc(s.sim.Journal(0), func(e atssim.Entry) bool {
		return e.Type != atssim.EntryMutation || e.Application != id || e.Actor == nil || e.Actor.Kind != "api" ||
			len(kinds) > 0 && !slices.Contains(kinds, e.Kind)
	})
}

func (s *system) faults(t *testing.T, r atssim.Rates) {
	t.Helper()
	all := atssim.Rates{}
	for _, f := range atssim.Faults() {
		all[f] = r[f]
	}
	if err := s.sim.SetFaults(atssim.FaultState{Rates: all}); err != nil {
		t.Fatal(err)
	}
}

func (w *world) collect() {
	for {
		fetches := w.cl.PollFetches(context.Background())
		if fetches.IsClientClosed() {
			return
		}
		w.mu.Lock()
		fetches.EachRecord(func(rec *kgo.Record) {
			switch rec.Topic {
			case topics.ATSOutcomes:
				w.outcomes = append(w.outcomes, decoded[wire.Outcome](w, rec))
			case topics.ATSChanges:
				w.changes = append(w.changes, decoded[wire.AtsChange](w, rec))
			case topics.HiringConflicts:
				w.opened = append(w.opened, decoded[wire.Incident](w, rec))
			case topics.CandidateEvents:
				w.people = append(w.people, decoded[wire.CandidateEvent](w, rec))
			default:
				w.letters = append(w.letters, rec)
			}
		})
		close(w.changed)
		w.changed = make(chan struct{})
		w.mu.Unlock()
	}
}

func decoded[T any, P interface {
	*T
	wire.Record
}](w *world, rec *kgo.Record) T {
	var v T
	if err := w.schemas.DecodeLocal(rec.Value, P(&v)); err != nil {
		w.t.Errorf("decode %s: %v", rec.Topic, err)
	}
	return v
}

// until waits until cond, which is called under the lock with every change, is true.
func (w *world) until(what string, cond func() bool) {
	w.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		w.mu.Lock()
		ok, changed := cond(), w.changed
		w.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-look.C:
		case <-deadline.C:
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, o := range w.outcomes {
				w.t.Logf("%s r%d %s %s a%d n%d", o.CommandID, o.Revision, o.Outcome, o.Detail, o.Arming, o.Attempts)
			}
			w.t.Fatalf("still not after %v: %s", patience, what)
		}
	}
}

// terminal waits for the one outcome that ends a command, and fails if there is a second.
func (w *world) terminal(id string) wire.Outcome {
	w.t.Helper()
	var out wire.Outcome
	w.until("terminal outcome of "+id, func() bool {
		found := w.terminals(id)
		if len(found) > 1 {
			w.t.Fatalf("%s ended %d times: %v, %v", id, len(found), found[0].Outcome, found[1].Outcome)
		}
		if len(found) == 1 {
			out = found[0]
		}
		return len(found) == 1
	})
	return out
}

// locked runs fn while nothing is added to what was read.
func (w *world) locked(fn func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fn()
}

// terminals are the outcomes that end a command. The lock is held.
func (w *world) terminals(id string) []wire.Outcome {
	var found []wire.Outcome
	for _, o := range w.outcomes {
		if o.CommandID == id && o.Outcome != wire.OutcomeKindAttempt {
			found = append(found, o)
		}
	}
	return found
}

func (w *world) attempts(id string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, o := range w.outcomes {
		if o.CommandID == id && o.Outcome == wire.OutcomeKindAttempt {
			n++
		}
	}
	return n
}

// command makes a command to an application that is expected where seed put it.
func (w *world) command(sys string, app, revision int64, desired wire.Tuple) *wire.Command {
	w.next++
	closing := desired.Status > wire.ApplicationStatusActive
	s := w.systems[sys]
	return &wire.Command{
		ID: fmt.Sprintf("c%d", w.next), ApplicationID: sys + "/" + s.dialect.Spell(atssim.KindApplication, app), System: sys, Revision: revision,
		Expected: s.native(wire.Tuple{Stage: "71416", Status: wire.ApplicationStatusActive, Version: s.version(app)}),
		Desired:  s.native(desired), Closing: closing, Cause: wire.CommandCause{Source: "vendor", ID: fmt.Sprintf("e%d", w.next), EffectiveAt: 1, ScreeningFinishedAt: 2},
		Requisition: wire.Requisition{ID: "q", Type: "tech", Region: "de"}, Policy: wire.Digest{7},
	}
}

var (
	toInterviews = wire.Tuple{Stage: "1004", Status: wire.ApplicationStatusActive}
	toReject     = wire.Tuple{Status: wire.ApplicationStatusRejected, Reason: "8"}
	toScore      = wire.Tuple{Elements: []wire.Element{{Name: "screening_score", Value: "81"}}}
)

func (w *world) send(cmds ...*wire.Command) {
	w.t.Helper()
	for _, c := range cmds {
		rec := &kgo.Record{Topic: topics.ATSCommands, Key: []byte(c.ApplicationID), Value: w.schemas.Append(nil, c)}
		if err := w.cl.ProduceSync(context.Background(), rec).FirstErr(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// running is a worker under way.
type running struct {
	t      *testing.T
	worker *Worker
	db     *store.DB
	cancel context.CancelFunc
	done   chan error
	once   sync.Once
}

func (w *world) config(change func(*Config)) Config {
	cfg := Config{
		Schemas: w.schemas, Systems: map[string]System{},
		MaxActive: 64, DeferAfter: 15 * time.Second, DeferFor: 200 * time.Millisecond, Recheck: 100 * time.Millisecond,
		Backoff: 10 * time.Millisecond, RepeatEvery: 20 * time.Millisecond, MaxBackoff: 100 * time.Millisecond, OwnerWait: time.Millisecond, Margin: 200 * time.Millisecond,
		ReadTimeout: time.Second, WriteTimeout: time.Second, ProbeFirst: 50 * time.Millisecond, ProbeMax: 200 * time.Millisecond,
		DrainTimeout: 5 * time.Second, Metrics: NewMetrics(),
	}
	for name, s := range w.systems {
		cfg.Systems[name] = System{Client: s.client}
	}
	cfg.Stream.Opts = w.opts
	cfg.Stream.TransactionalID = "writeback-test"
	cfg.Stream.Sessions = 1 // no rebalance at the start, as these tests do not wait for it to be over
	cfg.Stream.CommitInterval = 5 * time.Millisecond
	cfg.Stream.HeartbeatInterval = 100 * time.Millisecond
	cfg.Stream.StartTimeout = 10 * time.Second
	if os.Getenv("WRITEBACK_TEST_LOG") != "" {
		logger, err := zap.NewDevelopment()
		if err != nil {
			w.t.Fatal(err)
		}
		cfg.Stream.Logger = logger
	}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

// run starts a worker on the world's store; stop ends it.
func (w *world) run(change func(*Config)) *running {
	w.t.Helper()
	cfg := w.config(change)
	db, err := store.Open(w.dir, store.Options{FlushInterval: time.Hour, MinFreeBytes: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	cfg.Stream.Store = db
	worker, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: w.t, worker: worker, db: db, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- worker.Run(ctx) }()
	w.t.Cleanup(r.stop)
	return r
}

func (r *running) stop() {
	r.once.Do(func() {
		r.cancel()
		if err := <-r.done; err != nil {
			r.t.Errorf("worker: %v", err)
		}
		if err := r.db.Close(); err != nil {
			r.t.Errorf("close store: %v", err)
		}
	})
}

func wantOutcome(t *testing.T, o wire.Outcome, kind wire.OutcomeKind, detail Detail) {
	t.Helper()
	if o.Outcome != kind || o.Detail != string(detail) {
		t.Errorf("%s: got %s %q, want %s %q", o.CommandID, o.Outcome, o.Detail, kind, detail)
	}
}
