package poller

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/processortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const pageSize = 3

// estate is an ATS with a list of changes; change n is of application n. A page's token is where it starts. It fails as told.
type estate struct {
	ats.Client
	mu      sync.Mutex
	changes int
	page    int // how many a page has; pageSize when 0
	// anonymized is the change, from 1, whose person is anonymised; 0 for none.
	anonymized int
	fail       map[int]error // by the number of the call, from 1
	calls      int
	asked      []int // where each page started
	paused     time.Duration
}

func (e *estate) ListChanged(_ context.Context, from ats.Cursor) (ats.Page, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls++
	if err := e.fail[e.calls]; err != nil {
		return ats.Page{}, err
	}
	at, _ := strconv.Atoi(from.Sync)
	e.asked = append(e.asked, at)
	end := min(at+cmp.Or(e.page, pageSize), e.changes)
	p := ats.Page{Next: ats.Cursor{Since: from.Since, Sync: strconv.Itoa(end)}, More: end < e.changes}
	for n := at; n < end; n++ {
		p.Changed = append(p.Changed, ats.Changed{ApplicationID: strconv.Itoa(n), Reading: ats.Reading{
			Tuple: wire.Tuple{Stage: "s", Version: int64(n + 1)}, CandidateID: fmt.Sprint("c", n), Anonymized: n == e.anonymized-1, UpdatedAt: time.Unix(1_700_000_000+int64(n), 0),
		}})
	}
	return p, nil
}

func (e *estate) system() System {
	return System{
		Client: e, Allow: func(ctx context.Context) error { return ctx.Err() },
		Pause: func(_ context.Context, d time.Duration) error {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.paused = d
			return nil
		},
	}
}

func (e *estate) pages() []int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.asked)
}

// lab is a broker that pollers write to.
type lab struct{ *processortest.Broker }

func newLab(t *testing.T) *lab {
	t.Helper()
	return &lab{processortest.New(t, 3)}
}

// poll runs a poller until done holds.
func (l *lab) poll(systems map[string]System, done func() bool) {
	l.T.Helper()
	p, err := New(Config{Opts: l.Opts, Schemas: l.Schemas, Systems: systems, Every: 50 * time.Millisecond, Settle: time.Millisecond})
	if err != nil {
		l.T.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	l.Until("the pollers are done", func(context.Context) (bool, error) { return done(), nil })
	cancel()
	if err := <-ended; err != nil {
		l.T.Errorf("run: %v", err)
	}
}

// snapshots counts the snapshots of each application on ats.changes.
func (l *lab) snapshots(source string) map[string]int {
	l.T.Helper()
	out := map[string]int{}
	for _, rec := range l.Read(topics.ATSChanges) {
		var c wire.AtsChange
		if err := l.Schemas.DecodeLocal(rec.Value, &c); err != nil {
			l.T.Fatal(err)
		}
		if c.Type != "snapshot" || c.Source != source || string(rec.Key) != c.ApplicationID || c.TimeBasis != wire.TimeBasisRecord {
			l.T.Errorf("keyed %q: %+v", rec.Key, c)
		}
		out[c.ApplicationID]++
	}
	return out
}

// A walk that fails in its middle goes on there, a new process goes on where the old one was, and nothing is left out.
func TestAWalkGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	e := &estate{changes: 10, fail: map[int]error{3: &ats.Error{Class: ats.NotExecuted, Code: ats.CodeRateLimited, RetryAfter: time.Millisecond}}}
	l.poll(map[string]System{"lever": e.system()}, func() bool { return len(e.pages()) > 6 })
	// Two pages were read and held when the third was refused: they are read again.
	if got := e.pages()[:7]; !slices.Equal(got, []int{0, 3, 0, 3, 6, 9, 10}) {
		t.Errorf("pages start at %v", got)
	}
	if e.paused != time.Millisecond {
		t.Errorf("others were kept away for %v", e.paused)
	}
	e.mu.Lock()
	e.changes, e.asked = 14, nil
	e.mu.Unlock()
	l.poll(map[string]System{"lever": e.system()}, func() bool { return len(e.pages()) > 2 })
	if got := e.pages()[:3]; !slices.Equal(got, []int{10, 13, 14}) {
		t.Errorf("the next process asks for pages at %v", got)
	}
	got := l.snapshots(wire.SourcePoller)
	for n := range 14 {
		if got[fmt.Sprint("lever/", n)] != 1 {
			t.Errorf("application %d was published %d times", n, got[fmt.Sprint("lever/", n)])
		}
	}
}

// Whom a list shows as anonymised is marked, beside the snapshot.
func TestAnAnonymisedPersonIsMarked(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	e := &estate{changes: 4, anonymized: 2}
	l.poll(map[string]System{"lever": e.system()}, func() bool { return len(e.pages()) > 2 })
	if got := l.snapshots(wire.SourcePoller); len(got) != 4 {
		t.Errorf("snapshots %v", got)
	}
	cl, err := kgo.NewClient(append(l.Opts, kgo.ConsumeTopics(topics.CandidateEvents), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	recs := cl.PollFetches(ctx).Records()
	if len(recs) != 1 {
		t.Fatalf("%d marks", len(recs))
	}
	var c wire.CandidateEvent
	if err := l.Schemas.DecodeLocal(recs[0].Value, &c); err != nil {
		t.Fatal(err)
	}
	if c.Type != "candidate.anonymized" || string(recs[0].Key) != "lever/c1" || !slices.Equal(c.ApplicationIDs, []string{"lever/1"}) {
		t.Errorf("keyed %q: %+v", recs[0].Key, c)
	}
}

// A page is published before its cursor is kept: where Kafka takes the one and not the other, the page comes again.
func TestACursorNeverRunsAhead(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	e := &estate{changes: 5}
	broken := &walker{
		client: l.Client, schemas: l.Schemas, system: "lever", ats: e.system(), key: "lever", source: wire.SourcePoller, clock: time.Now, atOnce: true,
	}
	ctx, cancel := context.WithCancel(t.Context())
	broken.shown = func(*place, *ats.Page) { cancel() } // cut short after the first page
	var at place
	if err := broken.walk(ctx, &at); err == nil || at.Cursor.Sync != "3" {
		t.Fatalf("walked to %+v, error %v", at, err)
	}
	found, ok, err := find(t.Context(), l.Client, l.Opts, "lever")
	if err != nil || !ok || found.Cursor.Sync != "3" || found.Applications != 3 {
		t.Errorf("on record: %+v %t %v", found, ok, err)
	}
	if n := len(l.snapshots(wire.SourcePoller)); n != 3 {
		t.Errorf("%d applications are published before the cursor is kept, want 3", n)
	}
}

// walker is one over an estate, that publishes what has settled.
func (l *lab) walker(s System) *walker {
	return &walker{client: l.Client, schemas: l.Schemas, system: "lever", ats: s, key: "lever", source: wire.SourcePoller, clock: time.Now}
}

// What was read is published once it has settled, and not before: a webhook still under way has that long to come.
func TestAReadingSettles(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	e := &estate{changes: 2}
	w := l.walker(e.system())
	w.settle = 150 * time.Millisecond
	began := time.Now()
	if err := w.walk(t.Context(), new(place)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < w.settle || len(l.snapshots(wire.SourcePoller)) != 2 {
		t.Errorf("published within %v of being read, want after %v", took, w.settle)
	}
}

// A walk holds no more than maxHeld readings: what is beyond is published before more is read, and its cursor kept.
func TestAWalkHoldsABoundedNumber(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	const page = maxHeld / 2
	e := &estate{changes: 2 * maxHeld, page: page, fail: map[int]error{3: errors.New("cut short")}}
	var at place
	if err := l.walker(e.system()).walk(t.Context(), &at); err == nil || at.Cursor.Sync != strconv.Itoa(maxHeld) || at.Applications != maxHeld {
		t.Errorf("after %d readings the place is %+v, error %v", maxHeld, at, err)
	}
}

// Each request asks the rate first: a page that is not allowed is not asked for.
func TestEachRequestIsAllowed(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	e := &estate{changes: 3 * pageSize}
	s, refused, asked := e.system(), errors.New("the rate is used up"), 0
	s.Allow = func(context.Context) error {
		if asked++; asked > 2 {
			return refused
		}
		return nil
	}
	if err := l.walker(s).walk(t.Context(), new(place)); !errors.Is(err, refused) || len(e.pages()) != 2 {
		t.Errorf("%d pages were asked for, 2 allowed; error %v", len(e.pages()), err)
	}
}

// A cursor nobody can read costs a walk from the start, and loses nothing.
func TestAnUnreadableCursor(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	rec := &kgo.Record{Topic: topics.ATSCursors, Key: []byte("lever"), Value: []byte("{")}
	if err := l.Client.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
		t.Fatal(err)
	}
	e := &estate{changes: 4}
	l.poll(map[string]System{"lever": e.system()}, func() bool { return len(e.pages()) > 2 })
	if n := len(l.snapshots(wire.SourcePoller)); n != 4 {
		t.Errorf("%d applications are published, want 4", n)
	}
}

// Two processes share the ATSs: while both run each is walked by one of them.
func TestEachATSHasOneWalker(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	names := []string{"a", "b", "c", "d", "e", "f"}
	var first, second [6]*estate
	one, two := map[string]System{}, map[string]System{}
	for i, n := range names {
		first[i], second[i] = &estate{}, &estate{}
		one[n], two[n] = first[i].system(), second[i].system()
	}
	walks := func(in [6]*estate) (out []int) {
		for _, e := range in {
			out = append(out, len(e.pages()))
		}
		return out
	}
	l.poll(one, func() bool {
		if slices.Min(walks(first)) == 0 {
			return false // the first has them all
		}
		l.poll(two, func() bool {
			if slices.Max(walks(second)) == 0 {
				return false
			}
			was, other := walks(first), walks(second)
			l.Until("the second goes on", func(context.Context) (bool, error) { return slices.Max(walks(second)) > slices.Max(other)+5, nil })
			still := 0
			for i, n := range walks(first) {
				if n > was[i]+1 && len(second[i].pages()) > other[i]+1 {
					still++
				}
			}
			return still == 0
		})
		return true
	})
}

// A backfill that is cut short goes on where it was, one that was complete says so, and again begins anew.
//
// Also proves scenario 7: A backfill publishes every application an ATS lists, though cut short on the way.
func TestBackfill(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	e := &estate{changes: 11, fail: map[int]error{2: &ats.Error{Class: ats.NotExecuted, Code: ats.CodeRateLimited}, 4: &ats.Error{Class: ats.NotExecuted, Code: ats.CodeReset}}}
	cfg := BackfillConfig{Opts: l.Opts, Schemas: l.Schemas, Name: "lever", System: e.system()}
	if p, err := Backfill(t.Context(), cfg); err == nil || p.Applications != 6 {
		t.Fatalf("cut short: %+v, %v", p, err)
	}
	if p, err := Backfill(t.Context(), cfg); err != nil || p.Applications != 11 || !p.Resumed {
		t.Errorf("gone on: %+v, %v", p, err)
	}
	if p, err := Backfill(t.Context(), cfg); err != nil || !p.Done || p.Applications != 11 {
		t.Errorf("complete: %+v, %v", p, err)
	}
	if got := e.pages(); !slices.Equal(got, []int{0, 3, 6, 9}) {
		t.Errorf("pages start at %v", got)
	}
	cfg.Again = true
	if p, err := Backfill(t.Context(), cfg); err != nil || p.Applications != 11 || p.Resumed {
		t.Errorf("again: %+v, %v", p, err)
	}
	for app, n := range l.snapshots(SourceBackfill) {
		if n != 2 {
			t.Errorf("%s was published %d times, want 2", app, n)
		}
	}
	var p place
	if err := json.Unmarshal([]byte(`{"cursor":{"sync":"7"},"done":true}`), &p); err != nil || p.Cursor.Sync != "7" {
		t.Errorf("a cursor is read as %+v, %v", p, err)
	}
}
