package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/concord-ats/concord/pkg/redislink"
	"github.com/concord-ats/concord/pkg/redislink/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is one place where the state may be, with a way to let time go by there.
type source struct {
	make func(t *testing.T, cfg Config) *Limiter
	pass func(d time.Duration)
	wall bool // time also passes by itself
}

func (s source) open(t *testing.T, l Limit) *Limiter {
	t.Helper()
	return s.make(t, Config{Limit: l})
}

// each runs the suite on memory, on the embedded Redis and, where asked for, on a real one.
func each(t *testing.T, test func(t *testing.T, s source)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		var us atomic.Int64
		us.Store(1_700_000_000_000_000)
		shared := newMemory()
		test(t, source{
			make: func(t *testing.T, cfg Config) *Limiter {
				cfg.Now = func() time.Time { return time.UnixMicro(us.Load()) }
				lim, err := New(nil, cfg)
				if err != nil {
					t.Fatal(err)
				}
				lim.local = shared
				return lim
			},
			pass: func(d time.Duration) { us.Add(d.Microseconds()) },
		})
	})
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		test(t, source{
			make: func(t *testing.T, cfg Config) *Limiter {
				cfg.Timeout, cfg.Now = 5*time.Second, s.Now
				lim, err := New(connect(t, s), cfg)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if lim.Degraded() {
						t.Error("the suite ran without its Redis")
					}
				})
				return lim
			},
			pass: s.Pass,
			wall: s.Real(),
		})
	})
}

func connect(t *testing.T, s *redistest.Server) *redis.Client {
	t.Helper()
	client := redis.NewClient(redislink.Bounded(s.Options(), 5*time.Second))
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

func take(t *testing.T, l *Limiter, key string, n int) time.Duration {
	t.Helper()
	wait, err := l.Take(t.Context(), key, n)
	if err != nil {
		t.Fatal(err)
	}
	return wait
}

func TestBurstThenEvenly(t *testing.T) {
	each(t, func(t *testing.T, s source) {
		// One unit takes 10 s: time that passes by itself does not matter.
		l := s.open(t, Limit{Rate: 6, Window: time.Minute, Burst: 3})
		twin := s.open(t, Limit{Rate: 6, Window: time.Minute, Burst: 3})
		for i, lim := range []*Limiter{l, twin, l} {
			if wait := take(t, lim, "gh", 1); wait != 0 {
				t.Fatalf("unit %d of the burst waits %s", i, wait)
			}
		}
		for _, lim := range []*Limiter{l, twin} {
			if wait := take(t, lim, "gh", 1); wait <= 9*time.Second || wait > 10*time.Second {
				t.Errorf("after the burst: wait %s, want about 10s", wait)
			}
		}
		if wait := take(t, l, "lever", 3); wait != 0 {
			t.Errorf("another tenant waits %s", wait)
		}
		if wait := take(t, s.open(t, l.cfg.Limit), "gh", 2); wait <= 19*time.Second || wait > 20*time.Second {
			t.Errorf("two units: wait %s, want about 20s", wait)
		}
	})
}

func TestWaitingAsToldIsEnough(t *testing.T) {
	each(t, func(t *testing.T, s source) {
		l := s.open(t, Limit{Rate: 10, Window: 2 * time.Second, Burst: 1})
		if wait := take(t, l, "gh", 1); wait != 0 {
			t.Fatalf("first waits %s", wait)
		}
		wait := take(t, l, "gh", 1)
		if wait <= 0 || wait > 200*time.Millisecond {
			t.Fatalf("second: wait %s, want up to 200ms", wait)
		}
		if !s.wall {
			s.pass(wait - time.Microsecond)
			if got := take(t, l, "gh", 1); got != time.Microsecond {
				t.Errorf("a microsecond early: wait %s", got)
			}
			wait = time.Microsecond
		}
		s.pass(wait)
		if got := take(t, l, "gh", 1); got != 0 {
			t.Errorf("after the wait: still %s", got)
		}
	})
}

// Where units are counted, a whole window's may go at once, and the next go as those leave the window.
func TestCountedByWindows(t *testing.T) {
	each(t, func(t *testing.T, s source) {
		limit := Limit{Rate: 10, Window: 4 * time.Second}
		l, twin := s.open(t, limit), s.open(t, limit)
		if wait := take(t, l, "gh", 4); wait != 0 {
			t.Fatalf("the first four wait %s", wait)
		}
		s.pass(time.Second)
		if wait := take(t, twin, "gh", 6); wait != 0 {
			t.Fatalf("six more wait %s", wait)
		}
		for n, want := range map[int]time.Duration{1: 3 * time.Second, 4: 3 * time.Second, 5: 4 * time.Second} {
			if wait := take(t, l, "gh", n); wait <= want-900*time.Millisecond || wait > want {
				t.Errorf("%d more: wait %s, want about %s", n, wait, want)
			}
		}
		if _, err := l.Take(t.Context(), "gh", 11); !errors.Is(err, ErrNeverFits) {
			t.Errorf("more than a window has: %v", err)
		}
		s.pass(3 * time.Second)
		if wait := take(t, l, "gh", 4); wait != 0 {
			t.Errorf("when the first four are out of the window: wait %s", wait)
		}
		if wait := take(t, twin, "gh", 1); !s.wall && wait == 0 || wait > time.Second {
			t.Errorf("then: wait %s, want about 1s", wait)
		}
		if err := twin.Block(t.Context(), "gh", 2*time.Minute); err != nil {
			t.Fatal(err)
		}
		if wait := take(t, l, "gh", 1); wait <= time.Minute {
			t.Errorf("under penalty: wait %s", wait)
		}
	})
}

// Who needs less goes before whoever waits for more, as long as that one does not wait longer for it.
func TestBehind(t *testing.T) {
	each(t, func(t *testing.T, s source) {
		l := s.open(t, Limit{Rate: 10, Window: 40 * time.Second})
		m := l.Meter("gh")
		used := func(n int) {
			t.Helper()
			a, wait := ahead(t, m, n, 0)
			if wait != 0 {
				t.Fatalf("%d wait %s", n, wait)
			}
			for range n {
				if _, err := m.Pay(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			a.GiveBack(t.Context())
		}
		goes := func(n, behind int, want bool) {
			t.Helper()
			a, wait, err := m.Ahead(t.Context(), n, behind, 0)
			if err != nil || (wait == 0) != want {
				t.Errorf("%d behind %d: wait %s, %v", n, behind, wait, err)
			}
			if a != nil {
				a.GiveBack(t.Context())
			}
		}
		used(4)
		s.pass(time.Second)
		used(3)
		goes(3, 4, true)  // three are left, and then four leave where one is waited for
		goes(3, 5, false) // then only two of the four are not waited for
		goes(2, 5, true)
		goes(1, 7, false) // all four are
		goes(2, 8, true)  // one of the three
		goes(3, 8, false)
		goes(1, 3, false) // nothing is waited for: three are left
		if a, wait := ahead(t, m, 2, 0); wait != 0 {
			t.Errorf("two of three wait %s", wait)
		} else {
			goes(1, 9, false) // nobody knows when the two leave
			goes(1, 4, true)
			a.GiveBack(t.Context())
		}
		even := s.open(t, Limit{Rate: 10, Window: 40 * time.Second, Burst: 5}).Meter("even")
		if _, wait, err := even.Ahead(t.Context(), 1, 5, 0); err != nil || wait == 0 {
			t.Errorf("what is taken of a bucket puts nobody off: %v", err)
		}
	})
}

// Each request is paid once: from what was taken ahead while there is some, and by itself then. What is given back unused
// is there again.
func TestMeter(t *testing.T) {
	each(t, func(t *testing.T, s source) {
		for _, limit := range []Limit{{Rate: 6, Window: time.Hour}, {Rate: 6, Window: time.Hour, Burst: 6}} {
			l := s.open(t, limit)
			gh := fmt.Sprint("gh", limit.Burst)
			m, left := l.Meter(gh), func(n int) {
				t.Helper()
				if wait := take(t, l, gh, n); wait != 0 {
					t.Errorf("%d are not left: wait %s", n, wait)
				}
				if wait := take(t, l, gh, 1); wait == 0 {
					t.Errorf("more than %d were left", n)
				}
			}
			pay := func() {
				t.Helper()
				done, err := m.Pay(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				done(true)
			}
			a, wait, err := m.Ahead(t.Context(), 4, 0, 0)
			if a == nil || wait != 0 || err != nil {
				t.Fatalf("%s, %v", wait, err)
			}
			if wait := take(t, l, gh, 3); wait == 0 {
				t.Error("what was taken ahead is there for others")
			}
			pay()
			pay()
			a.GiveBack(t.Context()) // two of four
			pay()
			left(3)
			if a, wait, err := m.Ahead(t.Context(), 9, 0, 0); a != nil || wait == 0 || err != nil {
				t.Errorf("more than ever goes at once: %v, %s, %v", a, wait, err)
			}
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := m.Pay(ended); !errors.Is(err, context.Canceled) {
				t.Errorf("ended with %v", err)
			}
		}
	})
}

// Requests that have not ended count, however long they last, and from their end a window more: nobody knows when the server
// counted them.
func TestRequestsCountUntilTheyHaveEnded(t *testing.T) {
	each(t, func(t *testing.T, s source) {
		l := s.open(t, Limit{Rate: 2, Window: 700 * time.Millisecond})
		m := l.Meter("gh")
		a, _, err := m.Ahead(t.Context(), 2, 0, 0)
		if err != nil || a == nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := m.Pay(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		s.pass(800 * time.Millisecond)
		if wait := take(t, l, "gh", 1); wait == 0 || wait > 100*time.Millisecond {
			t.Errorf("under way for longer than a window: wait %s, want a moment", wait)
		}
		a.GiveBack(t.Context())
		if wait := take(t, l, "gh", 1); wait == 0 || wait > 700*time.Millisecond {
			t.Errorf("just ended: wait %s, want up to a window", wait)
		}
		s.pass(800 * time.Millisecond)
		done, err := m.Pay(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.pass(800 * time.Millisecond)
		done(true)
		if wait := take(t, l, "gh", 2); wait == 0 {
			t.Error("one that just ended does not count")
		}
	})
}

func TestPenalty(t *testing.T) {
	each(t, func(t *testing.T, s source) {
		l := s.open(t, Limit{Rate: 100, Window: time.Second, Burst: 100})
		twin := s.open(t, Limit{Rate: 100, Window: time.Second, Burst: 100})
		if err := l.Block(t.Context(), "gh", 30*time.Second); err != nil {
			t.Fatal(err)
		}
		if err := twin.Block(t.Context(), "gh", time.Second); err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, 1} {
			for _, lim := range []*Limiter{l, s.open(t, l.cfg.Limit)} {
				if wait := take(t, lim, "gh", n); wait <= 29*time.Second || wait > 30*time.Second {
					t.Errorf("take %d under penalty: wait %s, want about 30s", n, wait)
				}
			}
		}
		s.pass(1100 * time.Millisecond) // the penalty that twin knows of
		if wait := take(t, twin, "gh", 1); wait <= 25*time.Second || wait > 30*time.Second {
			t.Errorf("under another's penalty: wait %s, want nearly 29s", wait)
		}
		if wait := take(t, l, "lever", 1); wait != 0 {
			t.Errorf("another tenant waits %s", wait)
		}
		if err := l.Block(t.Context(), "ashby", 150*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		s.pass(160 * time.Millisecond)
		if wait := take(t, l, "ashby", 1); wait != 0 {
			t.Errorf("after the penalty: wait %s", wait)
		}
		if err := l.Block(t.Context(), "evil", 1000*time.Hour); err != nil {
			t.Fatal(err)
		}
		if wait := take(t, l, "evil", 1); wait > time.Hour {
			t.Errorf("unbounded penalty: wait %s", wait)
		}
	})
}

func TestNeverFits(t *testing.T) {
	each(t, func(t *testing.T, s source) {
		l := s.open(t, Limit{Rate: 1, Window: time.Second, Burst: 2})
		if _, err := l.Take(t.Context(), "gh", 3); !errors.Is(err, ErrNeverFits) {
			t.Errorf("err = %v", err)
		}
	})
	for _, bad := range []Limit{{}, {Rate: 1, Burst: 1}, {Rate: 1, Window: time.Second, Burst: -1}, {Window: time.Second, Burst: 1}} {
		if _, err := New(nil, Config{Limit: bad}); !errors.Is(err, ErrLimit) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if _, err := New(nil, Config{Limit: Limit{Rate: 1, Window: time.Second}, Daily: -1}); !errors.Is(err, ErrLimit) {
		t.Errorf("a negative day: %v", err)
	}
}

func TestEachKeepsToItsShareWithoutRedis(t *testing.T) {
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		var us atomic.Int64
		us.Store(time.Now().UnixMicro())
		now := func() time.Time { return time.UnixMicro(us.Load()) }
		client := connect(t, s)
		open := func() *Limiter {
			l, err := New(client, Config{Limit: Limit{Rate: 8, Window: 8 * time.Second, Burst: 8}, Processes: 4, Now: now, Timeout: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		fleet := []*Limiter{open(), open(), open(), open()}
		if err := fleet[0].Block(t.Context(), "blocked", time.Minute); err != nil {
			t.Fatal(err)
		}
		s.Stop()
		if wait := take(t, fleet[0], "gh", 1); wait == 0 {
			t.Error("a process took something while another's units may count")
		}
		us.Add((8 * time.Second).Microseconds())
		granted := 0
		for range 8 {
			for _, l := range fleet {
				if take(t, l, "gh", 1) == 0 {
					granted++
				}
			}
		}
		if granted != 8 {
			t.Errorf("four processes took %d units at once, want the burst of 8", granted)
		}
		if !fleet[0].Degraded() {
			t.Error("not reported as degraded")
		}
		us.Add((4*time.Second - time.Microsecond).Microseconds())
		if wait := take(t, fleet[0], "gh", 1); wait == 0 {
			t.Error("one process has its next unit within 4s")
		}
		us.Add(1)
		if wait := take(t, fleet[0], "gh", 1); wait != 0 {
			t.Errorf("one process waits %s for its next unit, want 4s", 4*time.Second+wait)
		}
		if wait := take(t, fleet[0], "blocked", 1); wait != 48*time.Second {
			t.Errorf("penalty forgotten with Redis: wait %s", wait)
		}
		s.Start()
		us.Add(time.Minute.Microseconds())
		if wait := take(t, fleet[0], "gh", 8); wait != 0 || fleet[0].Degraded() {
			t.Errorf("back: wait %s, degraded %v", wait, fleet[0].Degraded())
		}
	})
}

// A process takes no more than the limit in all, though Redis goes away in the middle of a window, and comes back with
// nothing in it.
func TestLosingRedisDoublesNothing(t *testing.T) {
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for _, limit := range []Limit{{Rate: 8, Window: time.Hour}, {Rate: 8, Window: time.Hour, Burst: 8}} {
			l, err := New(connect(t, s), Config{Limit: limit, Timeout: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			granted := 0
			all := func(most int) {
				for range most {
					if take(t, l, fmt.Sprint("gh", limit.Burst), 1) == 0 {
						granted++
					}
				}
			}
			all(5)
			s.Stop()
			all(2)
			if granted != 7 || !l.Degraded() {
				t.Fatalf("%d granted, degraded: %v", granted, l.Degraded())
			}
			s.Start()
			for l.Degraded() { // until it is asked again
				take(t, l, "other", 0)
			}
			all(20)
			if granted != 8 {
				t.Errorf("%+v: %d granted, want 8", limit, granted)
			}
		}
	})
}

// What was taken without Redis counts on when it is back, for as long as it may be under way and a window more.
func TestWhatWasTakenWithoutRedisCountsOn(t *testing.T) {
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		const window = 600 * time.Millisecond // longer than Redis is not asked again
		l, err := New(connect(t, s), Config{Limit: Limit{Rate: 2, Window: window}, Now: s.Now, Timeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		m := l.Meter("gh")
		s.Stop()
		a, wait := ahead(t, m, 2, 0)
		if wait != 0 || !l.Degraded() {
			t.Fatalf("wait %s, degraded: %v", wait, l.Degraded())
		}
		for range 2 {
			if _, err := m.Pay(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		s.Start()
		s.Pass(window * 3 / 2)
		take(t, l, "other", 1)
		if l.Degraded() {
			t.Fatal("Redis is back and not asked")
		}
		if wait := take(t, l, "gh", 1); wait == 0 {
			t.Error("two are under way, and a third goes")
		}
		a.GiveBack(t.Context())
		if wait := take(t, l, "gh", 1); wait == 0 || wait > window {
			t.Errorf("two have just ended: wait %s, want up to a window", wait)
		}
		s.Pass(window)
		if wait := take(t, l, "gh", 2); wait != 0 {
			t.Errorf("a window later: wait %s", wait)
		}
	})
}

// A Redis that has forgotten all, without having been away, gives no process a second window.
func TestAnEmptyRedisDoublesNothing(t *testing.T) {
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for _, limit := range []Limit{{Rate: 8, Window: time.Hour}, {Rate: 8, Window: time.Hour, Burst: 8}} {
			l, err := New(connect(t, s), Config{Limit: limit, Now: s.Now, Timeout: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			key := fmt.Sprint("gh", limit.Burst)
			if wait := take(t, l, key, 8); wait != 0 {
				t.Fatalf("the first eight wait %s", wait)
			}
			s.Flush()
			if wait := take(t, l, key, 1); wait == 0 {
				t.Errorf("%+v: a ninth goes", limit)
			}
		}
	})
}

// Whatever is asked when, no window of any place sees more than rate and burst allow.
func TestNeverMoreThanTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Limit{
			Rate:   rapid.IntRange(1, 20).Draw(t, "rate"),
			Window: time.Duration(rapid.IntRange(1, 5000).Draw(t, "window")) * time.Millisecond,
			Burst:  rapid.IntRange(0, 10).Draw(t, "burst"),
		}
		m := newMemory()
		now := time.UnixMicro(1_700_000_000_000_000)
		type grant struct {
			at time.Time
			n  int
		}
		var grants []grant
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 1_000_000).Draw(t, "gap")) * time.Microsecond)
			n := rapid.IntRange(1, l.most()).Draw(t, "n")
			if wait, _ := m.take("k", l, want{n: n}, now); wait == 0 {
				grants = append(grants, grant{now, n})
			}
		}
		for i := range grants {
			sum := 0
			for _, g := range grants[i:] {
				sum += g.n
				span := g.at.Sub(grants[i].at).Microseconds()
				most := l.Burst + int(span/l.interval())
				if l.counted() {
					most = l.Rate * (1 + int(span/l.Window.Microseconds()))
				}
				if sum > most {
					t.Fatalf("%+v: %d units within %dµs, at most %d", l, sum, span, most)
				}
			}
		}
	})
}

func TestMemoryFollowsTheKeysInUse(t *testing.T) {
	m := newMemory()
	now := time.UnixMicro(1_700_000_000_000_000)
	l := Limit{Rate: 1000, Window: time.Second, Burst: 1}
	for i := range 10_000 {
		m.take(string(rune('a'+i%26))+time.Duration(i).String(), l, want{n: 1}, now)
		now = now.Add(100 * time.Millisecond)
	}
	if len(m.cells) > 1000 {
		t.Errorf("%d cells kept", len(m.cells))
	}
}
