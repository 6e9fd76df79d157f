package ratelimit

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/redislink/redistest"
)

// plenty is a rate that holds nobody up.
var plenty = Limit{Rate: 10_000, Window: time.Second, Burst: 10_000}

// ahead takes n requests if keep are left of the day, and returns the wait.
func ahead(t *testing.T, m *Meter, n, keep int) (*Advance, time.Duration) {
	t.Helper()
	a, wait, err := m.Ahead(t.Context(), n, 0, keep)
	if err != nil || (a == nil) != (wait > 0) {
		t.Fatalf("%v, %s, %v", a, wait, err)
	}
	return a, wait
}

// A day's requests go once, its last only to whoever need leave none, and another day has them again.
func TestQuotaOfADay(t *testing.T) {
	each(t, func(t *testing.T, s source) {
		m := s.make(t, Config{Limit: plenty, Daily: 10}).Meter("gh")
		if _, wait := ahead(t, m, 8, 2); wait != 0 {
			t.Fatalf("eight of ten wait %s", wait)
		}
		if m.Left() != 2 {
			t.Errorf("%d are left, want two", m.Left())
		}
		_, wait := ahead(t, m, 1, 2)
		if wait <= 0 || wait > 24*time.Hour {
			t.Errorf("one that leaves two waits %s, want the rest of the day", wait)
		}
		late, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := m.PayKeeping(late, 2); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one that leaves two is paid: %v", err)
		}
		a, again := ahead(t, m, 2, 0)
		if again != 0 {
			t.Fatalf("the last two wait %s", again)
		}
		if _, wait := ahead(t, m, 1, 0); wait == 0 {
			t.Error("an eleventh went")
		}
		a.GiveBack(t.Context())
		if _, wait := ahead(t, m, 2, 0); wait != 0 {
			t.Errorf("two that were given back wait %s", wait)
		}
		if s.wall {
			return // a day is not waited for
		}
		s.pass(wait - time.Second)
		if _, wait := ahead(t, m, 1, 0); wait != time.Second {
			t.Errorf("a second before midnight: wait %s", wait)
		}
		s.pass(time.Second)
		if _, wait := ahead(t, m, 9, 9); wait != 0 {
			t.Errorf("when the day has begun: wait %s", wait)
		}
	})
}

// Requests under way at midnight are of both days: nobody knows when the server counts them.
func TestQuotaAtMidnight(t *testing.T) {
	each(t, func(t *testing.T, s source) {
		if s.wall {
			return // a day is not waited for
		}
		m := s.make(t, Config{Limit: plenty, Daily: 10}).Meter("gh")
		a, _ := ahead(t, m, 4, 0)
		done, err := m.Pay(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done(true)
		b, _ := ahead(t, m, 6, 0)
		_, wait := ahead(t, m, 1, 0)
		s.pass(wait)
		a.GiveBack(t.Context())
		b.GiveBack(t.Context())
		if _, wait := ahead(t, m, 10, 0); wait == 0 {
			t.Error("one that was made at midnight is of neither day")
		}
		if _, wait := ahead(t, m, 9, 0); wait != 0 {
			t.Errorf("the others wait %s", wait)
		}
	})
}

// Processes share a day. Without Redis each takes its share of what was left, and what they took then counts when it is back,
// though it has forgotten the rest.
func TestQuotaWithoutRedis(t *testing.T) {
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		passed := time.Duration(0)
		open := func() *Meter {
			l, err := New(connect(t, s), Config{
				Limit: plenty, Daily: 20, Processes: 2, Timeout: 5 * time.Second, Now: func() time.Time { return s.Now().Add(passed) },
			})
			if err != nil {
				t.Fatal(err)
			}
			return l.Meter("gh")
		}
		one, two := open(), open()
		taken := 0
		all := func(m *Meter, most int) {
			for range most {
				if _, wait := ahead(t, m, 1, 0); wait == 0 {
					taken++
				}
			}
		}
		all(one, 4)
		all(two, 4)
		all(one, 1)
		ahead(t, two, 1, 19) // takes nothing, and hears what one took
		s.Stop()
		passed = time.Second // what others took of the rate before counts no more
		for _, m := range []*Meter{one, two} {
			all(m, 3)
		}
		if taken != 15 || !one.Degraded() || !two.Degraded() {
			t.Fatalf("%d taken, degraded: %v, %v", taken, one.Degraded(), two.Degraded())
		}
		for range 20 {
			all(one, 1)
			all(two, 1)
		}
		if taken < 18 || taken > 20 {
			t.Errorf("%d of 20 taken without Redis", taken)
		}
		s.Start()
		for one.Degraded() || two.Degraded() { // until it is asked again; nothing is taken that leaves so many
			passed += time.Second
			ahead(t, one, 1, 19)
			ahead(t, two, 1, 19)
		}
		all(one, 20)
		all(two, 20)
		if taken != 20 {
			t.Errorf("%d taken of a day that has 20", taken)
		}
	})
}
