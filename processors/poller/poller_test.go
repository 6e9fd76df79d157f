package poller

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/processortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const pageSize = 3

// estate is an ATS with a list of changes; change n is of application n. A page's token is where it starts, and no other is
// taken. It fails as told.
type estate struct {
	ats.Client
	mu      sync.Mutex
	changes int
	ages    []time.Duration // of the changes; all are younger than any walk when nil
	page    int             // how many a page has; pageSize when 0
	// anonymized is the change, from 1, whose person is anonymised; 0 for none.
	anonymized int
	gone       bool          // no page's token is taken any more
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
	at, err := strconv.Atoi(cmp.Or(from.Next, from.Sync, "0"))
	if err != nil || e.gone && from.Next != "" {
		return ats.Page{}, &ats.Error{Class: ats.Refused, Code: ats.CodeInvalid, Op: "read", Status: 422}
	}
	e.asked = append(e.asked, at)
	end := min(at+cmp.Or(e.page, pageSize), e.changes)
	p := ats.Page{Next: ats.Cursor{Since: from.Since}, More: end < e.changes}
	if p.More {
		p.Next.Next, p.Next.Sync = strconv.Itoa(end), from.Sync
	} else {
		p.Next.Sync = strconv.Itoa(end)
	}
	for n := at; n < end; n++ {
		if e.ages != nil && time.Now().Add(-e.ages[n]).Before(from.Since) {
			continue
		}
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
func (l *lab) poll(systems map[string]System, done func() bool) *Poller {
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
	return p
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
	if err := broken.walk(ctx, &at); err == nil || at.Cursor.Next != "3" {
		t.Fatalf("walked to %+v, error %v", at, err)
	}
	found, ok, err := find(t.Context(), l.Client, l.Opts, "lever")
	if err != nil || !ok || found.Cursor.Next != "3" || found.Applications != 3 {
		t.Errorf("on record: %+v %t %v", found, ok, err)
	}
	if n := len(l.snapshots(wire.SourcePoller)); n != 3 {
		t.Errorf("%d applications are published before the cursor is kept, want 3", n)
	}
}

// walker is one over an estate, that publishes what has settled.
func (l *lab) walker(s System) *walker {
	return &walker{client: l.Client, schemas: l.Schemas, system: "lever", ats: s, key: "lever", source: wire.SourcePoller, clock: time.Now, anew: func(error) {}}
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
	if err := l.walker(e.system()).walk(t.Context(), &at); err == nil || at.Cursor.Next != strconv.Itoa(maxHeld) || at.Applications != maxHeld {
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

// ages are those of changes that a walk of what is new would miss.
var ages = []time.Duration{48 * time.Hour, 2 * time.Hour, 10 * time.Minute, 0}

// A cursor nobody can read costs a walk from the start, or from the one before it, and loses nothing.
func TestAnUnreadableCursor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before string
		want   int
	}{
		"alone":              {"", 4},
		"after one that can": {fmt.Sprintf(`{"cursor":{"since":%q}}`, time.Now().Add(-3*time.Hour).Format(time.RFC3339)), 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			if c.before != "" {
				l.keep("lever", c.before)
			}
			l.keep("lever", "{")
			e := &estate{changes: 4, ages: ages}
			l.poll(map[string]System{"lever": e.system()}, func() bool { return len(e.pages()) > 2 })
			if n := len(l.snapshots(wire.SourcePoller)); n != c.want {
				t.Errorf("%d applications are published, want %d", n, c.want)
			}
		})
	}
}

// An ATS that was never walked begins with what is new: what is older is for a backfill.
func TestTheFirstWalkBeginsNow(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	e := &estate{changes: 4, ages: ages}
	l.poll(map[string]System{"lever": e.system()}, func() bool { return len(e.pages()) > 2 })
	if n := len(l.snapshots(wire.SourcePoller)); n > 1 {
		t.Errorf("%d applications are published, want what is new", n)
	}
}

// When an ATS was last walked is known after a restart too, though no walk ends any more.
func TestTheLastWholeWalkOutlivesARestart(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ended := time.Now().Add(-2 * time.Hour).Truncate(time.Second)
	for key, cursor := range map[string]string{"lever": `{"cursor":{"sync":"1"}}`, "other": `{"cursor":{"sync":"1","next":"3"}}`} {
		rec := &kgo.Record{Topic: topics.ATSCursors, Key: []byte(key), Value: []byte(cursor), Timestamp: ended}
		if err := l.Client.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	lever, other := &estate{gone: true, changes: 10}, &estate{gone: true, changes: 10}
	began := time.Now().Truncate(time.Second)
	p := l.poll(map[string]System{"lever": lever.system(), "other": other.system()}, func() bool { return len(lever.pages()) > 2 && len(other.pages()) > 2 })
	for system, want := range map[string]func(time.Time) bool{"lever": ended.Equal, "other": func(at time.Time) bool { return !at.Before(began) }} {
		var walked dto.Metric
		if err := p.m.walked.WithLabelValues(system).Write(&walked); err != nil {
			t.Fatal(err)
		}
		if at := time.UnixMilli(int64(walked.GetGauge().GetValue() * 1e3)); !want(at) {
			t.Errorf("%s was walked at %s; a whole walk ended at %s, the process began at %s", system, at, ended, began)
		}
	}
}

// keep puts a place on ats.cursors, as it stands.
func (l *lab) keep(key, value string) {
	l.T.Helper()
	rec := &kgo.Record{Topic: topics.ATSCursors, Key: []byte(key), Value: []byte(value)}
	if err := l.Client.ProduceSync(l.T.Context(), rec).FirstErr(); err != nil {
		l.T.Fatal(err)
	}
}

// A page's token that the ATS takes no more costs the pages since the walk's start, and stops nothing.
func TestARefusedPageBeginsTheWalkAnew(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	now := time.Now().UTC()
	l.keep("lever", fmt.Sprintf(`{"cursor":{"since":%q,"began":%q,"next":"Z29uZQ"}}`, now.Add(-3*time.Hour).Format(time.RFC3339), now.Format(time.RFC3339)))
	e := &estate{changes: 4, ages: ages}
	p := l.poll(map[string]System{"lever": e.system()}, func() bool { return len(e.pages()) > 2 })
	if n := len(l.snapshots(wire.SourcePoller)); n != 3 {
		t.Errorf("%d applications are published, want the 3 since the walk's start", n)
	}
	var refused dto.Metric
	if err := p.m.failures.WithLabelValues("lever", codePageRefused).Write(&refused); err != nil || refused.GetCounter().GetValue() != 1 {
		t.Errorf("%v pages are counted as refused, error %v, want 1", refused.GetCounter().GetValue(), err)
	}
	if why := p.Degraded(); len(why) != 0 {
		t.Errorf("after a whole walk: %v", why)
	}
}

// Where every page's token is refused a walk begins anew twice and then ends, its ATS is said not to be polled, and when its
// last whole walk was stays.
func TestAWalkThatCannotGoOnIsTold(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	e := &estate{changes: 10, gone: true}
	p := l.poll(map[string]System{"lever": e.system()}, func() bool { return len(e.pages()) > 4 })
	if why := p.Degraded(); len(why) != 1 || !strings.Contains(why[0], "lever is not polled: ") {
		t.Errorf("degraded: %v", why)
	}
	if got := len(l.snapshots(wire.SourcePoller)); got != pageSize {
		t.Errorf("%d applications are published, want those of the first page", got)
	}
	asked := len(e.pages())
	if err := l.walker(e.system()).walk(t.Context(), new(place)); ats.ClassOf(err) != ats.Refused || len(e.pages()) != asked+3 {
		t.Errorf("one walk began %d times and ended with %v, want three times and refused", len(e.pages())-asked, err)
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
	// Cut short and begun anew.
	e.fail = map[int]error{e.calls + 2: &ats.Error{Class: ats.NotExecuted, Code: ats.CodeReset}}
	if p, err := Backfill(t.Context(), cfg); err == nil || p.Applications != 3 {
		t.Errorf("again, cut short: %+v, %v", p, err)
	}
	if p, err := Backfill(t.Context(), cfg); err != nil || p.Applications != 11 || p.Resumed {
		t.Errorf("again, after one that was cut short: %+v, %v", p, err)
	}
	var p place
	if err := json.Unmarshal([]byte(`{"cursor":{"sync":"7"},"done":true}`), &p); err != nil || p.Cursor.Sync != "7" {
		t.Errorf("a cursor is read as %+v, %v", p, err)
	}
}

// A backfill whose place the ATS takes no more begins anew, and says so.
func TestABackfillWhosePageIsRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.keep("backfill/lever", `{"cursor":{"began":"2026-03-01T12:00:00Z","next":"Z29uZQ"},"applications":6}`)
	e := &estate{changes: 11}
	core, log := observer.New(zap.WarnLevel)
	p, err := Backfill(t.Context(), BackfillConfig{Opts: l.Opts, Schemas: l.Schemas, Name: "lever", System: e.system(), Logger: zap.New(core)})
	if err != nil || p.Applications != 11 || p.Resumed || len(l.snapshots(SourceBackfill)) != 11 {
		t.Errorf("%+v, %v, %d published", p, err, len(l.snapshots(SourceBackfill)))
	}
	if said := log.All(); len(said) != 1 || !strings.Contains(said[0].Message, "begins anew") {
		t.Errorf("the log says %v", said)
	}
}
