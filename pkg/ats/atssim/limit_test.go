package atssim

import (
	"testing"
	"time"
)

func TestMeter(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 1, 23, 59, 50, 0, time.UTC)
	// spend sends requests at an offset and returns how many were admitted.
	spend := func(m *meter, l RateLimit, at time.Duration, n, running int) (admitted int, last limitState) {
		for range n {
			if last = m.count(l, running, noon.Add(at), noon.Add(at)); !last.Over {
				admitted++
			}
		}
		return admitted, last
	}
	t.Run("window", func(t *testing.T) {
		var m meter
		l := RateLimit{Requests: 5, Window: 10 * time.Second}
		n, s := spend(&m, l, 0, 7, 1)
		if n != 5 || s.Wait != 10*time.Second || s.Left != 0 {
			t.Errorf("%d, then %+v", n, s)
		}
		if n, _ := spend(&m, l, 10*time.Second, 7, 1); n != 5 {
			t.Errorf("next window: %d", n)
		}
	})
	t.Run("bucket", func(t *testing.T) {
		var m meter
		l := RateLimit{Requests: 10, Window: time.Second, Burst: 20}
		n, s := spend(&m, l, 0, 30, 1)
		if n != 20 || s.Wait <= 0 || s.Wait > 100*time.Millisecond {
			t.Errorf("burst: %d, then %+v", n, s)
		}
		if n, _ := spend(&m, l, time.Second, 30, 1); n != 10 {
			t.Errorf("a second later: %d, want 10", n)
		}
	})
	t.Run("at once", func(t *testing.T) {
		var m meter
		l := RateLimit{Concurrent: 2}
		if _, s := spend(&m, l, 0, 1, 2); s.Over {
			t.Error("two of two refused")
		}
		if _, s := spend(&m, l, 0, 1, 3); !s.Over || !s.Crowded {
			t.Error("three of two admitted")
		}
	})
	t.Run("day", func(t *testing.T) {
		var m meter
		l := RateLimit{Daily: 3}
		if n, s := spend(&m, l, 0, 5, 1); n != 3 || s.Wait != 10*time.Second {
			t.Errorf("%d, then %+v: want 3 and the wait to midnight", n, s)
		}
		if n, _ := spend(&m, l, 10*time.Second, 5, 1); n != 3 {
			t.Errorf("next day: %d", n)
		}
	})
}

func TestIDsComeBack(t *testing.T) {
	t.Parallel()
	kinds := []Kind{KindApplication, KindCandidate, KindJob, KindStage, KindReason, KindNote}
	for _, d := range Dialects() {
		for _, k := range kinds {
			for _, n := range []int64{1, 71416, 1<<40 + 7} {
				id := d.Spell(k, n)
				if back, ok := d.Number(k, id); !ok || back != n {
					t.Errorf("%s: %s %d is %q, which reads as %d %v", d.Name(), k, n, id, back, ok)
				}
			}
			for _, bad := range []string{"", "0", "-1", "../1", "x"} {
				if n, ok := d.Number(k, bad); ok {
					t.Errorf("%s: %q reads as the %s %d", d.Name(), bad, k, n)
				}
			}
		}
	}
}
