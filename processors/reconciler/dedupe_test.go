package reconciler

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/concord-ats/concord/pkg/dedupe"
	"github.com/concord-ats/concord/pkg/wire"
)

// net is the dedupe net on a Redis of its own.
func (l *lab) net() (*miniredis.Miniredis, *dedupe.Claimer) {
	l.T.Helper()
	server := miniredis.RunT(l.T)
	net := dedupe.New(&redis.Options{Addr: server.Addr()}, dedupe.Config{ProbeAfter: time.Millisecond, ProbeAtMost: 2 * time.Millisecond, Timeout: time.Second})
	l.T.Cleanup(func() {
		if err := net.Close(); err != nil {
			l.T.Errorf("close dedupe net: %v", err)
		}
	})
	return server, net
}

// lost are the inputs that nothing was decided for but that they had been seen before, though they never had.
func (l *lab) lost() (ids []string) {
	l.T.Helper()
	type event struct{ app, source, id string }
	applied := map[event]bool{}
	var order []event
	for _, d := range l.decisions() {
		if d.Offset < 0 {
			continue
		}
		e := event{d.ApplicationID, d.EventSource, d.EventID}
		if _, ok := applied[e]; !ok {
			order = append(order, e)
		}
		applied[e] = applied[e] || d.Reason != wire.ReasonDuplicate
	}
	for _, e := range order {
		if !applied[e] {
			ids = append(ids, e.id)
		}
	}
	return ids
}

// scene reconciles the same traffic on a broker of its own, and checks that every input was decided once.
func scene(t *testing.T, change func(l *lab, c *Config)) *lab {
	t.Helper()
	l := newLab(t)
	l.Produce(l.traffic(20_260_203, 40)...)
	l.run(t.TempDir(), func(c *Config) {
		c.Stream.MaxBatchRecords = 25
		change(l, c)
	})
	decided := map[coord]int{}
	for _, d := range l.decisions() {
		decided[coord{d.Topic, d.Partition, d.Offset}]++
	}
	for c := range l.inputs() {
		if decided[c] != 1 {
			t.Errorf("%v was decided %d times", c, decided[c])
		}
	}
	return l
}

// crash closes a session abruptly after its n-th look at records: their claims stand, their transaction does not.
func crash(at int) func(n int) bool { return func(n int) bool { return n == at } }

// TestCrashBetweenMarkAndCommit is the classic fault of a dedupe net: whoever trusts a mark made before the effect loses
// what was marked when the process died. The state decides here, so nothing is lost; with the protection off, it is.
func TestCrashBetweenMarkAndCommit(t *testing.T) {
	run := func(unsafe bool) *lab {
		return scene(t, func(l *lab, c *Config) {
			_, c.Dedupe = l.net()
			c.Stream.Faults.CrashAfterPrepare = crash(2)
			c.UnsafeDropOnSight = unsafe
		})
	}
	l := run(false)
	if lost := l.lost(); len(lost) > 0 {
		t.Errorf("lost %v", lost)
	}
	l.exact(l.decisions(), l.inputs(), true)

	lost := run(true).lost()
	t.Logf("dropping on sight lost %d events", len(lost))
	if len(lost) == 0 {
		t.Error("dropping on sight lost nothing: the crash did not hit")
	}
}

// TestRedisIsOnlyANet empties Redis, stops it and starts it again while records are reconciled: every state is what the
// same inputs in the same order give without any Redis.
func TestRedisIsOnlyANet(t *testing.T) {
	type act struct {
		at int
		do func(*miniredis.Miniredis) error
	}
	stop := func(m *miniredis.Miniredis) error { m.Close(); return nil }
	flush := func(m *miniredis.Miniredis) error { m.FlushAll(); return nil }
	for name, acts := range map[string][]act{
		"in place":            nil,
		"flushed":             {{2, flush}, {4, flush}},
		"stopped":             {{3, stop}},
		"stopped and started": {{2, stop}, {5, (*miniredis.Miniredis).Restart}},
		"lost and empty":      {{2, stop}, {3, flush}, {4, (*miniredis.Miniredis).Restart}},
	} {
		t.Run(name, func(t *testing.T) {
			var done int
			l := scene(t, func(l *lab, c *Config) {
				server, net := l.net()
				c.Dedupe = net
				c.Stream.Faults.CrashAfterPrepare = func(n int) bool {
					for _, a := range acts {
						if a.at != n {
							continue
						}
						done++
						if err := a.do(server); err != nil {
							t.Errorf("redis: %v", err)
						}
					}
					return false
				}
			})
			if done != len(acts) {
				t.Errorf("%d of %d things happened to redis", done, len(acts))
			}
			if lost := l.lost(); len(lost) > 0 {
				t.Errorf("lost %v", lost)
			}
			l.exact(l.decisions(), l.inputs(), true)
		})
	}
}
